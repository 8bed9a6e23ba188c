//! Where a PostgreSQL database is.

use std::fmt;
use std::str::FromStr;

use tokio_postgres::config::{Config, Host, SslMode};

/// A `postgres://` address. Shows everything but the password.
///
/// ```
/// # use mintcode_store::postgres::PostgresUrl;
/// let url: PostgresUrl = "postgres://mint:secret@db.example:5432/mintcode?sslmode=require".parse()?;
/// assert_eq!(url.to_string(), "postgres://mint@db.example:5432/mintcode");
/// # Ok::<(), mintcode_store::postgres::BadPostgresUrl>(())
/// ```
#[derive(Clone)]
pub struct PostgresUrl {
    config: Box<Config>,
    text: String,
}

/// Text that is no `postgres://` address. The text is not repeated: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected \"postgres://USER:PASSWORD@HOST/DATABASE\", with sslmode=disable, prefer or require if any"
)]
pub struct BadPostgresUrl;

impl PostgresUrl {
    /// What PostgreSQL's own programs, such as `pg_dump`, are told to connect there: arguments for a shell, without the
    /// password.
    ///
    /// ```
    /// # use mintcode_store::postgres::PostgresUrl;
    /// let url: PostgresUrl = "postgres://mint:secret@db.example:5433/mintcode".parse()?;
    /// assert_eq!(url.client_arguments(), "--host=db.example --port=5433 --username=mint --dbname=mintcode");
    /// # Ok::<(), mintcode_store::postgres::BadPostgresUrl>(())
    /// ```
    #[must_use]
    pub fn client_arguments(&self) -> String {
        let config = &self.config;
        let hosts = config.get_hosts().iter().map(|host| match host {
            Host::Tcp(name) => name.clone(),
            #[cfg(unix)]
            Host::Unix(path) => path.display().to_string(),
        });
        let hosts = hosts.collect::<Vec<_>>().join(",");
        let ports = config.get_ports().iter().map(u16::to_string).collect::<Vec<_>>().join(",");
        let told = [
            ("host", Some(hosts)),
            ("port", Some(ports).filter(|ports| !ports.is_empty())),
            ("username", config.get_user().map(str::to_owned)),
            ("dbname", config.get_dbname().map(str::to_owned)),
        ];
        let arguments = told
            .into_iter()
            .filter_map(|(name, value)| value.map(|value| format!("--{name}={}", shell_word(&value))));
        arguments.collect::<Vec<_>>().join(" ")
    }

    /// What the client library needs to connect.
    pub(super) fn config(&self) -> &Config {
        &self.config
    }
}

/// `text` as one word of a shell.
fn shell_word(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./,:@".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

impl FromStr for PostgresUrl {
    type Err = BadPostgresUrl;

    fn from_str(text: &str) -> Result<Self, BadPostgresUrl> {
        let is_address = text.starts_with("postgres://") || text.starts_with("postgresql://");
        let mut config: Config = text.parse().map_err(|_| BadPostgresUrl)?;
        if !is_address || config.get_hosts().is_empty() {
            return Err(BadPostgresUrl);
        }
        match config.get_ssl_mode() {
            SslMode::Disable | SslMode::Prefer | SslMode::Require => {}
            // Whatever a later library adds.
            _ => return Err(BadPostgresUrl),
        }
        if config.get_application_name().is_none() {
            config.application_name("mintcode");
        }
        Ok(Self { config: Box::new(config), text: text.to_owned() })
    }
}

impl PartialEq for PostgresUrl {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for PostgresUrl {}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = &self.config;
        write!(f, "postgres://")?;
        if let Some(user) = config.get_user() {
            write!(f, "{user}@")?;
        }
        for (index, host) in config.get_hosts().iter().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            match host {
                Host::Tcp(name) => write!(f, "{separator}{name}")?,
                #[cfg(unix)]
                Host::Unix(path) => write!(f, "{separator}{}", path.display())?,
            }
            // One port stands for all hosts.
            let port = config.get_ports().get(index).or_else(|| config.get_ports().first());
            if let Some(port) = port {
                write!(f, ":{port}")?;
            }
        }
        write!(f, "/{}", config.get_dbname().unwrap_or_default())
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_password() {
        for (text, shown) in [
            ("postgres://mint:hunter2@db:5433/mintcode", "postgres://mint@db:5433/mintcode"),
            ("postgresql://db/mintcode?sslmode=require", "postgres://db:5432/mintcode"),
            ("postgres://a,b:1/m?user=x&password=hunter2", "postgres://x@a:5432,b:1/m"),
        ] {
            let url: PostgresUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), shown);
            assert!(!format!("{url:?}").contains("hunter2"));
        }
    }

    #[test]
    fn other_programs_are_told_where_it_is_without_the_password() {
        for (text, told) in [
            ("postgresql://%2Ftmp%2Fpg/m", "--host=/tmp/pg --port=5432 --dbname=m"),
            (
                "postgres://m%20o:hunter2@a,b/it's",
                r"--host=a,b --port=5432,5432 --username='m o' --dbname='it'\''s'",
            ),
        ] {
            assert_eq!(text.parse::<PostgresUrl>().unwrap().client_arguments(), told);
        }
    }

    #[test]
    fn what_is_no_address_is_refused_without_repeating_it() {
        for text in [
            "postgres://",
            "host=db password=hunter2",
            "postgres://db/m?sslmode=verify-full",
            "postgres://mint:hunter2@db:port/m",
        ] {
            let error = text.parse::<PostgresUrl>().unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}

//! Where an operator says the database is.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

#[cfg(feature = "postgres")]
use crate::postgres::PostgresUrl;

/// The database of an operator's configuration.
///
/// ```
/// # use mintcode_store::DatabaseUrl;
/// let url: DatabaseUrl = "sqlite:mintcode.db".parse()?;
/// assert_eq!(url, DatabaseUrl::Sqlite("mintcode.db".into()));
/// # Ok::<(), mintcode_store::BadDatabaseUrl>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// A file, made where there is none: `sqlite:PATH`.
    Sqlite(PathBuf),
    /// A database on a server: `postgres://USER:PASSWORD@HOST/DATABASE`.
    #[cfg(feature = "postgres")]
    Postgres(PostgresUrl),
}

/// Text that names no database that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadDatabaseUrl {
    /// A database that this build cannot use.
    #[cfg(not(feature = "postgres"))]
    #[error("PostgreSQL is not built in; use \"sqlite:PATH\", such as \"sqlite:mintcode.db\"")]
    Postgres,
    /// `postgres:` and no address behind it. The text is not repeated: it may hold a password.
    #[cfg(feature = "postgres")]
    #[error(transparent)]
    Postgres(#[from] crate::postgres::BadPostgresUrl),
    /// `sqlite:` and nothing behind it.
    #[error("\"sqlite:\" is followed by the path of a file, such as \"sqlite:mintcode.db\"")]
    NoPath,
    /// Anything else. The text is not repeated: it may hold a password.
    #[cfg_attr(
        feature = "postgres",
        error("a database is given as \"sqlite:PATH\" or \"postgres://USER:PASSWORD@HOST/DATABASE\"")
    )]
    #[cfg_attr(
        not(feature = "postgres"),
        error("a database is given as \"sqlite:PATH\", such as \"sqlite:mintcode.db\"")
    )]
    UnknownScheme,
}

impl FromStr for DatabaseUrl {
    type Err = BadDatabaseUrl;

    fn from_str(text: &str) -> Result<Self, BadDatabaseUrl> {
        let (scheme, rest) = text.split_once(':').ok_or(BadDatabaseUrl::UnknownScheme)?;
        match scheme {
            "sqlite" => match rest.strip_prefix("//").unwrap_or(rest) {
                "" => Err(BadDatabaseUrl::NoPath),
                path if path.starts_with(':') => Err(BadDatabaseUrl::NoPath),
                path => Ok(Self::Sqlite(path.into())),
            },
            #[cfg(feature = "postgres")]
            "postgres" | "postgresql" => Ok(Self::Postgres(text.parse()?)),
            #[cfg(not(feature = "postgres"))]
            "postgres" | "postgresql" => Err(BadDatabaseUrl::Postgres),
            _ => Err(BadDatabaseUrl::UnknownScheme),
        }
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            #[cfg(feature = "postgres")]
            Self::Postgres(url) => url.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_taken_with_or_without_slashes_in_front() {
        for (text, path) in [
            ("sqlite:mintcode.db", "mintcode.db"),
            ("sqlite:/var/lib/mintcode.db", "/var/lib/mintcode.db"),
            ("sqlite:///var/lib/mintcode.db", "/var/lib/mintcode.db"),
            ("sqlite://data/a b.db", "data/a b.db"),
        ] {
            assert_eq!(text.parse(), Ok(DatabaseUrl::Sqlite(path.into())), "{text}");
        }
        assert_eq!("sqlite:a.db".parse::<DatabaseUrl>().unwrap().to_string(), "sqlite:a.db");
    }

    #[test]
    fn anything_else_is_refused_with_what_works() {
        for (text, error) in [
            #[cfg(not(feature = "postgres"))]
            ("postgres://user:hunter2@host/db", BadDatabaseUrl::Postgres),
            #[cfg(feature = "postgres")]
            (
                "postgres://user:hunter2@host/db?sslmode=wrong",
                BadDatabaseUrl::Postgres(crate::postgres::BadPostgresUrl),
            ),
            ("sqlite:", BadDatabaseUrl::NoPath),
            ("sqlite://", BadDatabaseUrl::NoPath),
            ("sqlite::memory:", BadDatabaseUrl::NoPath),
            ("mysql://host", BadDatabaseUrl::UnknownScheme),
            ("mintcode.db", BadDatabaseUrl::UnknownScheme),
            ("", BadDatabaseUrl::UnknownScheme),
        ] {
            let found = text.parse::<DatabaseUrl>().unwrap_err();
            assert_eq!(found, error, "{text}");
            assert!(
                found.to_string().contains("sqlite:") || found.to_string().contains("postgres:"),
                "{found}"
            );
            assert!(!found.to_string().contains("hunter2"), "{found}");
        }
    }

    #[cfg(feature = "postgres")]
    #[test]
    fn an_address_is_a_servers() {
        for text in ["postgres://user:hunter2@host/db", "postgresql://user@host/db?sslmode=require"] {
            let url: DatabaseUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), "postgres://user@host:5432/db");
        }
    }
}

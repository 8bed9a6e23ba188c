//! What a server promises, read back from it.

use super::OpenError;
use super::connection::{Connection, Database, Limits};
use super::migrations;
use super::url::PostgresUrl;

/// The oldest server that has all that is asked of it.
const OLDEST_SERVER: i32 = 150_000;

/// What the server behind a store's sessions promises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Durability {
    /// The server's version, such as `15.8`.
    pub version: String,
    /// The same as a number that grows, such as 150008.
    pub version_number: i32,
    /// Whether what is written is waited for until it is on disk.
    pub fsync: bool,
    /// Whether a page that was half written when the power went is mended.
    pub full_page_writes: bool,
    /// What a commit of this store's sessions waits for: `on`, or more where there are replicas.
    pub synchronous_commit: String,
    /// Whether nothing can be changed there: a standby, or a database that is set so.
    pub is_read_only: bool,
}

/// Why a server is not one to keep vouchers on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortcoming {
    /// It is older than PostgreSQL 15.
    OldServer,
    /// `fsync` is off: a loss of power damages everything.
    NoFsync,
    /// `full_page_writes` is off: a loss of power damages what is being written.
    NoFullPageWrites,
    /// A commit is answered before it is on disk, though this store's sessions ask for it.
    NoSynchronousCommit,
    /// Nothing can be changed there.
    ReadOnly,
}

impl Durability {
    /// What the server at `url` promises to a session of this store. Makes and changes nothing.
    pub async fn of(url: &PostgresUrl) -> Result<Self, OpenError> {
        let unreachable = |source| OpenError::Unreachable { url: url.clone(), source };
        let database = Database::new(url, Limits::default()).map_err(unreachable)?;
        let connection = database.connection().await.map_err(|error| unreachable(error.into()))?;
        Self::read(&connection).await.map_err(|error| unreachable(error.into()))
    }

    pub(super) async fn read(connection: &Connection) -> Result<Self, tokio_postgres::Error> {
        let sql = "SELECT current_setting('server_version'), current_setting('server_version_num')::integer,
                       current_setting('fsync')::boolean, current_setting('full_page_writes')::boolean,
                       current_setting('synchronous_commit'),
                       pg_is_in_recovery() OR current_setting('default_transaction_read_only')::boolean";
        let row = connection.query_one(sql, &[]).await?;
        Ok(Self {
            version: row.try_get(0)?,
            version_number: row.try_get(1)?,
            fsync: row.try_get(2)?,
            full_page_writes: row.try_get(3)?,
            synchronous_commit: row.try_get(4)?,
            is_read_only: row.try_get(5)?,
        })
    }

    /// Everything that speaks against it, the worst first.
    #[must_use]
    pub fn shortcomings(&self) -> Vec<Shortcoming> {
        let loses = matches!(self.synchronous_commit.as_str(), "off" | "local");
        [
            (self.version_number < OLDEST_SERVER, Shortcoming::OldServer),
            (!self.fsync, Shortcoming::NoFsync),
            (!self.full_page_writes, Shortcoming::NoFullPageWrites),
            (loses, Shortcoming::NoSynchronousCommit),
            (self.is_read_only, Shortcoming::ReadOnly),
        ]
        .into_iter()
        .filter_map(|(is_so, shortcoming)| is_so.then_some(shortcoming))
        .collect()
    }
}

/// The version of the schema at `url`, and the newest one that this program knows. `None` where there is none yet, or
/// another program's. Makes and changes nothing.
pub async fn schema(url: &PostgresUrl) -> Result<(Option<i64>, i64), OpenError> {
    let unreachable = |source| OpenError::Unreachable { url: url.clone(), source };
    let database = Database::new(url, Limits::default()).map_err(unreachable)?;
    let connection = database.connection().await.map_err(|error| unreachable(error.into()))?;
    let applied = migrations::applied(&connection).await.map_err(|error| unreachable(error.into()))?;
    Ok((applied.and_then(|applied| applied.into_keys().max()), migrations::newest()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn durable() -> Durability {
        Durability {
            version: "15.8".into(),
            version_number: 150_008,
            fsync: true,
            full_page_writes: true,
            synchronous_commit: "on".into(),
            is_read_only: false,
        }
    }

    #[test]
    fn every_shortcoming_is_told() {
        assert_eq!(durable().shortcomings(), []);
        let old = Durability { version: "14.19".into(), version_number: 140_019, ..durable() };
        assert_eq!(old.shortcomings(), [Shortcoming::OldServer]);
        let fast = Durability { fsync: false, full_page_writes: false, ..durable() };
        assert_eq!(fast.shortcomings(), [Shortcoming::NoFsync, Shortcoming::NoFullPageWrites]);
        let standby = Durability { is_read_only: true, ..durable() };
        assert_eq!(standby.shortcomings(), [Shortcoming::ReadOnly]);
        for (setting, is_enough) in
            [("off", false), ("local", false), ("on", true), ("remote_write", true), ("remote_apply", true)]
        {
            let server = Durability { synchronous_commit: setting.into(), ..durable() };
            assert_eq!(server.shortcomings().is_empty(), is_enough, "{setting}");
        }
    }
}

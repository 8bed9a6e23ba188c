//! How connections are opened and set up.

use std::path::Path;
use std::thread;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};

/// How long a connection waits for another process, such as a command beside the server.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// How often it looks whether its turn has come. SQLite's own handler looks less and less often, up to once in 100 ms, so
/// that whoever writes much would hardly ever be found at rest.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// More than all statements there are.
const STATEMENTS: usize = 128;

/// Settings that every connection needs.
pub(super) fn prepare(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.busy_handler(Some(wait_for_others))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // A statement is planned once. SQLite would otherwise plan one again with every use whose parameters it compares with
    // the condition of a partial index, which takes longer than most statements themselves.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "foreign_keys", true)
}

/// Whether another look at a file that others use is worth while, after so many of them.
fn wait_for_others(looks: i32) -> bool {
    let looks = u128::try_from(looks).unwrap_or_default();
    let is_due = looks * LOOK_EVERY.as_micros() < BUSY_TIMEOUT.as_micros();
    if is_due {
        thread::sleep(LOOK_EVERY);
    }
    is_due
}

/// Opens the connection that writes, making the file where there is none.
pub(super) fn open_writer(path: &Path) -> rusqlite::Result<Connection> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    // SQLite opens a file that it may not write to all the same, and would fail at the first change.
    if connection.is_readonly(rusqlite::MAIN_DB)? {
        return Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_READONLY), None));
    }
    prepare(&mut connection)?;
    use_write_ahead_log(&connection)?;
    // An acknowledged commit survives a loss of power.
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Folding the log into the file costs two syncs and scattered writes, so it happens once per 32 MiB.
    connection.pragma_update(None, "wal_autocheckpoint", 8192)?;
    connection.pragma_update(None, "cache_size", -32 * 1024)?;
    // A destroyed nonce is overwritten, not merely forgotten.
    connection.pragma_update(None, "secure_delete", true)?;
    Ok(connection)
}

/// Whoever only does something beside the server, such as minting, has no use for many pages at hand.
pub(super) fn keep_little(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "cache_size", -4 * 1024)
}

/// Opens a connection that only reads; there has to be a file.
pub(super) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    prepare(&mut connection)?;
    Ok(connection)
}

/// SQLite does not wait by itself where several processes switch a new file to the log at once.
fn use_write_ahead_log(connection: &Connection) -> rusqlite::Result<()> {
    const PAUSE: Duration = Duration::from_millis(20);
    let mut tries = BUSY_TIMEOUT.as_millis() / PAUSE.as_millis();
    loop {
        match connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0)) {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && tries > 0 => {
                tries -= 1;
                thread::sleep(PAUSE);
            }
            answer => return answer.map(drop),
        }
    }
}

/// What the writing connection promises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Durability {
    /// `wal`, or another mode where the file system cannot do it.
    pub journal_mode: String,
    /// 2 for `FULL`: every commit is on disk before it is answered.
    pub synchronous: i64,
    /// Whether references between tables are checked.
    pub foreign_keys: bool,
}

impl Durability {
    /// What every store promises.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.journal_mode == "wal" && self.synchronous == 2 && self.foreign_keys
    }

    pub(super) fn of(connection: &Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            journal_mode: connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?,
            synchronous: connection.pragma_query_value(None, "synchronous", |row| row.get(0))?,
            foreign_keys: connection.pragma_query_value(None, "foreign_keys", |row| row.get(0))?,
        })
    }
}

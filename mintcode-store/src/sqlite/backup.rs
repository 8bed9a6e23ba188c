//! A copy of the database, taken while it is used.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::{OpenError, connection, migrations, opening};

/// Pages copied at once: 1 MiB, a few milliseconds.
const PAGES: i32 = 256;

/// How long whoever serves has the disk to itself after each of them.
const PAUSE: Duration = Duration::from_millis(2);

/// A finished backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupSummary {
    /// The size of its file.
    pub bytes: u64,
    /// The version of its schema.
    pub schema: i64,
}

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A file of that name is there, and stays as it is.
    #[error("{path} is there already; name another file")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The database cannot be read.
    #[error(transparent)]
    Source(OpenError),
    /// The copy cannot be written.
    #[error("the backup {path} cannot be written")]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Copying failed.
    #[error("the database cannot be copied to {path}")]
    NotCopied {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// The copy was read, and is not in order: the database itself may be damaged. The copy was removed.
    #[error("the backup was checked and is not in order: {what}")]
    Damaged {
        /// What SQLite finds first.
        what: String,
    },
}

/// Copies the database `source` to the new file `target`, beside whoever uses it, as it is at one moment.
///
/// The copy is checked before it gets its name, and only its owner may read it. Whatever happens, `target` is either
/// whole or not there. No secret is needed: what is sealed stays sealed. Blocks for as long as it takes; until it is done,
/// the log of the database grows by what is written meanwhile.
pub fn backup(source: &Path, target: &Path) -> Result<BackupSummary, BackupError> {
    if target.symlink_metadata().is_ok() {
        return Err(BackupError::Exists { path: target.to_owned() });
    }
    let copy = Copy::begin(target)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let unusable =
        |error| BackupError::Source(OpenError::Unusable { path: source.to_owned(), source: error });
    let mut from = Connection::open_with_flags(source, flags).map_err(unusable)?;
    connection::prepare(&mut from).map_err(unusable)?;
    // One look for as long as it takes: a copy that saw other commits between its steps would begin anew with each.
    let moment = from.unchecked_transaction().map_err(unusable)?;
    migrations::applied(&moment).map_err(|error| BackupError::Source(opening(source, error)))?;
    copy.fill(&moment).map_err(|source| BackupError::NotCopied { path: target.to_owned(), source })?;
    drop(moment);
    let schema = copy.check()?;
    copy.finish(schema)
}

/// A backup that has no name yet. Dropped before it is finished, it leaves nothing behind.
struct Copy {
    temporary: PathBuf,
    target: PathBuf,
}

impl Copy {
    fn begin(target: &Path) -> Result<Self, BackupError> {
        let unwritable = |source| BackupError::Unwritable { path: target.to_owned(), source };
        let name = target.file_name().ok_or_else(|| unwritable(io::ErrorKind::InvalidInput.into()))?;
        let name = format!(".{}.{}.part", name.to_string_lossy(), std::process::id());
        let temporary = target.with_file_name(name);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&temporary).map_err(unwritable)?;
        Ok(Self { temporary, target: target.to_owned() })
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Connection::open_with_flags(&self.temporary, flags)
    }

    fn fill(&self, from: &Connection) -> rusqlite::Result<()> {
        let mut to = self.open()?;
        let backup = Backup::new(from, &mut to)?;
        while backup.step(PAGES)? != StepResult::Done {
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Reads all of it, and returns the version of its schema.
    fn check(&self) -> Result<i64, BackupError> {
        let not_read = |source| BackupError::NotCopied { path: self.target.clone(), source };
        let copy = self.open().map_err(not_read)?;
        // Otherwise the log beside the copy would be in use, and be part of it.
        copy.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(())).map_err(not_read)?;
        let found: String =
            copy.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(not_read)?;
        if found != "ok" {
            return Err(BackupError::Damaged { what: found });
        }
        let applied =
            migrations::applied(&copy).map_err(|error| BackupError::Source(opening(&self.target, error)))?;
        Ok(applied.into_keys().max().unwrap_or_default())
    }

    fn finish(self, schema: i64) -> Result<BackupSummary, BackupError> {
        let unwritable = |source| BackupError::Unwritable { path: self.target.clone(), source };
        let file = File::open(&self.temporary).map_err(unwritable)?;
        file.sync_all().map_err(unwritable)?;
        let bytes = file.metadata().map_err(unwritable)?.len();
        // A link fails where a file of that name has come up meanwhile; a rename would replace it.
        fs::hard_link(&self.temporary, &self.target).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => BackupError::Exists { path: self.target.clone() },
            _ => unwritable(error),
        })?;
        let directory = self.target.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = File::open(directory.unwrap_or(Path::new("."))).map_err(unwritable)?;
        directory.sync_all().map_err(unwritable)?;
        Ok(BackupSummary { bytes, schema })
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.temporary) {
            tracing::warn!(path = %self.temporary.display(), %error, "a file in the making could not be removed");
        }
    }
}

//! One server per file.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// Held for as long as a server uses the database; the operating system gives it up with the process.
#[derive(Debug)]
pub(super) struct ServeLock {
    _file: File,
}

pub(super) enum LockError {
    Held,
    Io(io::Error),
}

impl ServeLock {
    /// Locks the file beside the database, `PATH.lock`.
    pub(super) fn take(database: &Path) -> Result<Self, LockError> {
        // The file is left behind: removing it would let two servers lock two files of one name.
        let open = OpenOptions::new().create(true).truncate(false).write(true).open(path(database));
        let file = open.map_err(LockError::Io)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(LockError::Held),
            Err(TryLockError::Error(error)) => Err(LockError::Io(error)),
        }
    }
}

pub(super) fn path(database: &Path) -> PathBuf {
    let mut path = OsString::from(database);
    path.push(".lock");
    path.into()
}

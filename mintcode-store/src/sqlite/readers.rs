//! Connections that only read, beside the writer.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, OpenFlags};

use super::connection;

/// Enough for reads that take microseconds each; more would only hold more page caches.
const READERS: usize = 4;

pub(super) struct Readers {
    connections: Vec<Mutex<Connection>>,
    next: AtomicUsize,
}

impl Readers {
    pub(super) fn open(path: &Path) -> rusqlite::Result<Self> {
        let open = |_| {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let mut connection = Connection::open_with_flags(path, flags)?;
            connection::prepare(&mut connection)?;
            Ok(Mutex::new(connection))
        };
        Ok(Self {
            connections: (0..READERS).map(open).collect::<rusqlite::Result<_>>()?,
            next: AtomicUsize::new(0),
        })
    }

    /// Runs `read` on a connection nobody uses, or waits for one.
    pub(super) fn read<T>(&self, read: impl FnOnce(&Connection) -> T) -> T {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let in_turn = |offset: usize| &self.connections[(first.wrapping_add(offset)) % READERS];
        let free = (0..READERS).find_map(|offset| in_turn(offset).try_lock().ok());
        let connection = free.unwrap_or_else(|| in_turn(0).lock().unwrap_or_else(PoisonError::into_inner));
        read(&connection)
    }
}

//! How many redemptions were begun lately.

use chrono::{DateTime, Duration, Utc};
use mintcode_core::ports::storage::StorageError;
use mintcode_core::velocity::Counter;
use rusqlite::Connection;

use super::redemptions::{execute, row};
use crate::rows::{Row, json, micros};

/// What is counted under `key`.
pub(super) fn load(connection: &Connection, key: &str) -> Result<Counter, StorageError> {
    let state: Option<String> =
        row(connection, "SELECT state FROM begun WHERE key = ?1", [key], |row| row.get(0))?;
    state.map_or(Ok(Counter::default()), |state| Row::of("begun", key).json(&state))
}

/// Counts one more redemption under `key`, where `counter` stands.
pub(super) fn count(
    connection: &Connection,
    key: &str,
    counter: Counter,
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    let counter = counter.counted(now);
    let ends_at = micros(counter.ends_at().unwrap_or(now));
    let state = json(&counter);
    // Within the day its end stays, and with it the index.
    let sql = "UPDATE begun SET state = ?2 WHERE key = ?1 AND ends_at = ?3";
    if execute(connection, sql, (key, &state, ends_at), || Row::of("begun", key))? == 0 {
        let sql = "INSERT INTO begun (key, state, ends_at) VALUES (?1, ?2, ?3)
                   ON CONFLICT DO UPDATE SET state = excluded.state, ends_at = excluded.ends_at";
        execute(connection, sql, (key, &state, ends_at), || Row::of("begun", key))?;
    }
    Ok(())
}

/// Removes what no cap looks at any more: what is over, and the traces of a clock that was ahead by days.
pub(super) fn forget_idle(connection: &Connection, now: DateTime<Utc>) -> Result<u64, StorageError> {
    // A window that begins more than its own length from now counts for nothing. The day's begins at most a day before
    // the hour's ends, so that neither counts where the later end is further ahead than this.
    let ahead = now.checked_add_signed(Duration::hours(49)).unwrap_or(DateTime::<Utc>::MAX_UTC);
    let sql = "DELETE FROM begun WHERE ends_at <= ?1 OR ends_at > ?2";
    let forgotten = execute(connection, sql, (micros(now), micros(ahead)), || Row::of("begun", &now))?;
    Ok(forgotten as u64)
}

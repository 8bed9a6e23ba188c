//! How many redemptions were begun lately.

use chrono::{DateTime, Duration, Utc};
use mintcode_core::ports::storage::StorageError;
use mintcode_core::velocity::Counter;

use super::connection::Connection;
use super::transaction::{execute, hold};
use crate::rows::{Row, json, micros};

/// What is counted under `key`, until the transaction's end for nobody else.
pub(super) async fn load(connection: &Connection, key: &str) -> Result<Counter, StorageError> {
    let name = format!("begun {key}");
    let sql = "SELECT state FROM begun WHERE key = $1 FOR NO KEY UPDATE";
    let state = hold(connection, &name, sql, &[&key]).await?;
    state.map_or(Ok(Counter::default()), |state| Row::of("begun", key).json(&state))
}

/// Counts one more redemption under `key`, where `counter` stands.
pub(super) async fn count(
    connection: &Connection,
    key: &str,
    counter: Counter,
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    let counter = counter.counted(now);
    let ends_at = micros(counter.ends_at().unwrap_or(now));
    let sql = "INSERT INTO begun (key, state, ends_at) VALUES ($1, $2, $3)
               ON CONFLICT (key) DO UPDATE SET state = excluded.state, ends_at = excluded.ends_at";
    execute(connection, sql, &[&key, &json(&counter), &ends_at], || Row::of("begun", key)).await.map(drop)
}

/// Removes what no cap looks at any more: what is over, and the traces of a clock that was ahead by days.
pub(super) async fn forget_idle(connection: &Connection, now: DateTime<Utc>) -> Result<u64, StorageError> {
    // A window that begins more than its own length from now counts for nothing. The day's begins at most a day before
    // the hour's ends, so that neither counts where the later end is further ahead than this.
    let ahead = now.checked_add_signed(Duration::hours(49)).unwrap_or(DateTime::<Utc>::MAX_UTC);
    let sql = "DELETE FROM begun WHERE key IN (SELECT key FROM begun WHERE ends_at <= $1 OR ends_at > $2
                   FOR UPDATE SKIP LOCKED)";
    execute(connection, sql, &[&micros(now), &micros(ahead)], || Row::of("begun", &now)).await
}

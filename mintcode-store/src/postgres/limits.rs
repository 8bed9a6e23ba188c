//! Limits that all processes on the database share. A decision is one statement on a table that is not logged, so that it
//! waits for no disk; it goes by the database's clock.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use mintcode_core::guessing::Verdict;
use mintcode_core::ports::storage::StorageError;
use mintcode_core::ports::{Counted, Limits};

use super::PostgresStore;
use super::connection::Connection;
use super::transaction::{execute, rows};
use crate::rows::Row;

/// `Meter::count` of the core, for several keys in the order of their names, so that nobody waits for each other in a circle.
/// Which meters changed is what says who was within; what stood before tells the others how long they have to wait.
const COUNT: &str = "
    WITH asked AS MATERIALIZED (
        SELECT key, every, whole, now
        FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS asked (key, every, whole), now_micros() AS now
        ORDER BY key COLLATE \"C\"
    ), counted AS (
        INSERT INTO meter (key, whole_at, every, whole)
            SELECT key, now + every, every, whole FROM asked
        ON CONFLICT (key) DO UPDATE SET
            whole_at = greatest(meter.whole_at + excluded.every, excluded.whole_at),
            every = excluded.every,
            whole = excluded.whole
        WHERE greatest(meter.whole_at + excluded.every, excluded.whole_at)
            <= excluded.whole_at - excluded.every + excluded.whole
        RETURNING key, whole_at
    )
    SELECT asked.key, counted.whole_at, now + asked.whole AS full_at, least(
            coalesce((SELECT whole_at FROM meter WHERE meter.key = asked.key), 0), now + asked.whole) AS stood
    FROM asked LEFT JOIN counted USING (key)";

#[async_trait]
impl Limits for PostgresStore {
    async fn count(&self, counted: &[Counted], _now: DateTime<Utc>) -> Result<Vec<Verdict>, StorageError> {
        let micros = |time: TimeDelta| time.num_microseconds().unwrap_or(i64::MAX / 4);
        let keys: Vec<&str> = counted.iter().map(|counted| counted.key.as_str()).collect();
        let every: Vec<i64> = counted.iter().map(|counted| micros(counted.quota.every())).collect();
        let whole: Vec<i64> = counted.iter().map(|counted| micros(counted.quota.whole_after())).collect();
        let connection = self.database.connection().await?;
        let read = |row: &tokio_postgres::Row| {
            Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?))
        };
        let told: Vec<(String, Option<i64>, i64, i64)> =
            rows(&connection, COUNT, &[&keys, &every, &whole], read).await?;
        let verdict = |(counted, every): (&Counted, i64)| {
            let row = told.iter().find(|(key, ..)| *key == counted.key);
            let (_, whole_at, full_at, stood) =
                row.ok_or_else(|| Row::of("meter", &counted.key).corrupt())?;
            if let Some(whole_at) = whole_at {
                let left = (full_at - whole_at) / every;
                return Ok(Verdict::Within { left: u32::try_from(left).unwrap_or(0) });
            }
            // Whoever came at the same moment may have used it up: then it is not seen here, and one is free soon.
            let wait = (stood + every - full_at).clamp(1, every);
            Ok(Verdict::Over { retry_after: Duration::from_micros(wait.unsigned_abs()) })
        };
        counted.iter().zip(every.iter().copied()).map(verdict).collect()
    }
}

/// Removes meters of which nothing matters any more.
pub(super) async fn forget_idle(connection: &Connection) -> Result<u64, StorageError> {
    let sql = "DELETE FROM meter WHERE key IN (SELECT key FROM meter WHERE whole_at <= now_micros()
                   FOR UPDATE SKIP LOCKED)";
    execute(connection, sql, &[], || Row::of("meter", &"idle")).await
}

//! Alerts: raised once per crossing, and told until somebody heard.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use mintcode_core::alert::{Alert, AlertChange};
use mintcode_core::ports::reports::{AlertRow, Alerts};
use mintcode_core::ports::storage::StorageError;
use rusqlite::Connection;

use super::SqliteStore;
use super::redemptions::{execute, row, rows};
use crate::rows::{Row, json, micros};

#[async_trait]
impl Alerts for SqliteStore {
    async fn alerts(&self, open: bool, limit: u32) -> Result<Vec<AlertRow>, StorageError> {
        let sql = if open {
            "SELECT id, alert, raised_at, cleared_at, tries FROM alert WHERE cleared_at IS NULL
             ORDER BY id DESC LIMIT ?1"
        } else {
            "SELECT id, alert, raised_at, cleared_at, tries FROM alert ORDER BY id DESC LIMIT ?1"
        };
        self.read(|connection| alert_rows(connection, sql, [limit]))
    }

    async fn acknowledge(&self, id: i64, now: DateTime<Utc>) -> Result<bool, StorageError> {
        self.writer
            .write(move |connection| {
                let sql = "UPDATE alert SET cleared_at = ?2 WHERE id = ?1 AND cleared_at IS NULL";
                let cleared = execute(connection, sql, (id, micros(now)), || Row::of("alert", &id))?;
                Ok::<_, StorageError>(cleared > 0)
            })
            .await
    }

    async fn untold(&self, now: DateTime<Utc>, limit: u32) -> Result<Vec<AlertRow>, StorageError> {
        let sql = "SELECT id, alert, raised_at, cleared_at, tries FROM alert WHERE tell_at <= ?1
                   ORDER BY id LIMIT ?2";
        self.read(|connection| alert_rows(connection, sql, (micros(now), limit)))
    }

    async fn told(&self, id: i64, again_at: Option<DateTime<Utc>>) -> Result<(), StorageError> {
        self.writer
            .write(move |connection| {
                let sql = "UPDATE alert SET tries = tries + 1, tell_at = ?2 WHERE id = ?1";
                execute(connection, sql, (id, again_at.map(micros)), || Row::of("alert", &id)).map(drop)
            })
            .await
    }
}

/// Raises and clears, in order. Raising what is raised and clearing what is clear change nothing.
pub(super) fn apply<'a>(
    connection: &Connection,
    changes: impl IntoIterator<Item = &'a AlertChange>,
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    // Every purchase clears what may have kept purchases back, and most of the time nothing did.
    let mut is_any_open = None;
    for change in changes {
        match change {
            AlertChange::Raise(alert) => {
                raise(connection, alert, now)?;
                is_any_open = Some(true);
            }
            AlertChange::Clear(key) => {
                let is_open = match is_any_open {
                    Some(is_open) => is_open,
                    None => {
                        row(connection, "SELECT 1 FROM alert WHERE cleared_at IS NULL LIMIT 1", [], |_| {
                            Ok(())
                        })?
                        .is_some()
                    }
                };
                is_any_open = Some(is_open);
                if is_open {
                    let sql = "UPDATE alert SET cleared_at = ?2 WHERE key = ?1 AND cleared_at IS NULL";
                    execute(connection, sql, (key, micros(now)), || Row::of("alert", key))?;
                }
            }
        }
    }
    Ok(())
}

fn raise(connection: &Connection, alert: &Alert, now: DateTime<Utc>) -> Result<(), StorageError> {
    let key = alert.key();
    // Looked for first: an insert that does nothing writes all the same, since it counts the ids.
    let sql = "SELECT 1 FROM alert WHERE key = ?1 AND cleared_at IS NULL";
    if row(connection, sql, [&key], |_| Ok(()))?.is_some() {
        return Ok(());
    }
    let sql = "INSERT INTO alert (key, alert, raised_at, tell_at) VALUES (?1, ?2, ?3, ?3)";
    execute(connection, sql, (&key, json(alert), micros(now)), || Row::of("alert", &key)).map(drop)
}

fn alert_rows(
    connection: &Connection,
    sql: &str,
    parameters: impl rusqlite::Params,
) -> Result<Vec<AlertRow>, StorageError> {
    type Columns = (i64, String, i64, Option<i64>, u32);
    let read = |row: &rusqlite::Row<'_>| -> rusqlite::Result<Columns> {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
    };
    rows(connection, sql, parameters, read)?
        .into_iter()
        .map(|(id, alert, raised_at, cleared_at, tries)| {
            let row = Row::of("alert", &id);
            Ok(AlertRow {
                id,
                alert: row.json(&alert)?,
                raised_at: row.time(raised_at)?,
                cleared_at: row.times(cleared_at)?,
                tries,
            })
        })
        .collect()
}

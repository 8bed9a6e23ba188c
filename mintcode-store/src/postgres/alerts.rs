//! Alerts: raised once per crossing, and told until somebody heard.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use mintcode_core::alert::{Alert, AlertChange};
use mintcode_core::ports::reports::{AlertRow, Alerts};
use mintcode_core::ports::storage::StorageError;

use super::PostgresStore;
use super::connection::Connection;
use super::transaction::{Parameters, execute, row, rows};
use crate::rows::{Row, json, micros};

#[async_trait]
impl Alerts for PostgresStore {
    async fn alerts(&self, open: bool, limit: u32) -> Result<Vec<AlertRow>, StorageError> {
        let sql = if open {
            "SELECT id, alert, raised_at, cleared_at, tries FROM alert WHERE cleared_at IS NULL
             ORDER BY id DESC LIMIT $1"
        } else {
            "SELECT id, alert, raised_at, cleared_at, tries FROM alert ORDER BY id DESC LIMIT $1"
        };
        let connection = self.database.connection().await?;
        alert_rows(&connection, sql, &[&i64::from(limit)]).await
    }

    async fn acknowledge(&self, id: i64, now: DateTime<Utc>) -> Result<bool, StorageError> {
        let acknowledged = self.database.write(move |connection| async move {
            let sql = "UPDATE alert SET cleared_at = $2 WHERE id = $1 AND cleared_at IS NULL";
            Ok::<_, StorageError>(
                execute(&connection, sql, &[&id, &micros(now)], || Row::of("alert", &id)).await? > 0,
            )
        });
        acknowledged.await
    }

    async fn untold(&self, now: DateTime<Utc>, limit: u32) -> Result<Vec<AlertRow>, StorageError> {
        let sql = "SELECT id, alert, raised_at, cleared_at, tries FROM alert WHERE tell_at <= $1
                   ORDER BY id LIMIT $2";
        let connection = self.database.connection().await?;
        alert_rows(&connection, sql, &[&micros(now), &i64::from(limit)]).await
    }

    async fn told(&self, id: i64, again_at: Option<DateTime<Utc>>) -> Result<(), StorageError> {
        let noted = self.database.write(move |connection| async move {
            let sql = "UPDATE alert SET tries = tries + 1, tell_at = $2 WHERE id = $1";
            execute(&connection, sql, &[&id, &again_at.map(micros)], || Row::of("alert", &id)).await.map(drop)
        });
        noted.await
    }
}

/// Raises and clears, in order. Raising what is raised and clearing what is clear change nothing.
pub(super) async fn apply(
    connection: &Connection,
    changes: &[AlertChange],
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    // Every purchase clears what may have kept purchases back, and most of the time nothing did.
    let mut is_any_open = None;
    for change in changes {
        match change {
            AlertChange::Raise(alert) => {
                raise(connection, alert, now).await?;
                is_any_open = Some(true);
            }
            AlertChange::Clear(key) => {
                let is_open = if let Some(is_open) = is_any_open {
                    is_open
                } else {
                    let sql = "SELECT 1 FROM alert WHERE cleared_at IS NULL LIMIT 1";
                    row(connection, sql, &[], |_| Ok(())).await?.is_some()
                };
                is_any_open = Some(is_open);
                if is_open {
                    let sql = "UPDATE alert SET cleared_at = $2 WHERE key = $1 AND cleared_at IS NULL";
                    execute(connection, sql, &[key, &micros(now)], || Row::of("alert", key)).await?;
                }
            }
        }
    }
    Ok(())
}

async fn raise(connection: &Connection, alert: &Alert, now: DateTime<Utc>) -> Result<(), StorageError> {
    let key = alert.key();
    // Looked for first: an insert that does nothing uses up an id all the same.
    let sql = "SELECT 1 FROM alert WHERE key = $1 AND cleared_at IS NULL";
    if row(connection, sql, &[&key], |_| Ok(())).await?.is_some() {
        return Ok(());
    }
    let sql = "INSERT INTO alert (key, alert, raised_at, tell_at) VALUES ($1, $2, $3, $3)
               ON CONFLICT (key) WHERE cleared_at IS NULL DO NOTHING";
    execute(connection, sql, &[&key, &json(alert), &micros(now)], || Row::of("alert", &key)).await.map(drop)
}

async fn alert_rows(
    connection: &Connection,
    sql: &str,
    parameters: Parameters<'_>,
) -> Result<Vec<AlertRow>, StorageError> {
    type Columns = (i64, String, i64, Option<i64>, i64);
    let read = |row: &tokio_postgres::Row| -> Result<Columns, tokio_postgres::Error> {
        Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?, row.try_get(4)?))
    };
    rows(connection, sql, parameters, read)
        .await?
        .into_iter()
        .map(|(id, alert, raised_at, cleared_at, tries)| {
            let row = Row::of("alert", &id);
            Ok(AlertRow {
                id,
                alert: row.json(&alert)?,
                raised_at: row.time(raised_at)?,
                cleared_at: row.times(cleared_at)?,
                tries: row.int(tries)?,
            })
        })
        .collect()
}

//! Looks through a live database for what must never be so.

use chrono::{DateTime, Utc};
use mintcode_core::ports::StorageError;
use tokio_postgres::types::Type;

use super::connection::Connection;
use super::redemptions::redemption_row;
use super::transaction::{Parameters, rows, unavailable};
use super::{PostgresStore, books};
use crate::examine::{CHECKS, Check, DOCUMENTS, Finding, Findings, OVERDUE, PAGE, limited, overdue_since};
use crate::rows::hex;
use crate::vault::Vault;

/// What the two databases have different words for.
const OWN_CHECKS: [Check; 2] = [
    (
        "I9",
        "documents that are not sealed",
        r"SELECT 'redemption ' || id FROM redemption WHERE substr(state, 1, 4) <> '\x00000001'
         UNION ALL SELECT 'inbox ' || id FROM inbox WHERE substr(item, 1, 4) <> '\x00000001'
         UNION ALL SELECT 'orphan ' || supplier || '/' || order_id FROM orphan WHERE substr(state, 1, 4) <> '\x00000001'",
    ),
    (
        "I9",
        "open texts with what looks like a phone number",
        r"WITH found (id, text) AS (
             SELECT 'event ' || redemption || '/' || version, snapshot FROM event
             UNION ALL SELECT 'choice ' || redemption || '/' || version, record FROM choice
             UNION ALL SELECT 'alert ' || id, key || alert FROM alert)
         SELECT id FROM found WHERE text ~ '\+[0-9]{8}'",
    ),
];

impl PostgresStore {
    /// Looks for everything that breaks an invariant, as of one moment; `now` tells what is overdue. Reads all there is, so it
    /// takes a while, beside whoever serves: nobody waits for it, but what is deleted meanwhile is cleared away only
    /// afterwards. Wants the secrets: what is sealed is looked at as well.
    pub async fn examine(&self, now: DateTime<Utc>) -> Result<Vec<Finding>, StorageError> {
        self.database
            .snapshot(|moment| async move {
                // Ends with the transaction.
                moment.batch_execute("SET LOCAL statement_timeout = 0").await.map_err(unavailable)?;
                examine(&moment, &self.vault, now).await
            })
            .await
    }
}

async fn examine(
    connection: &Connection,
    vault: &Vault,
    now: DateTime<Utc>,
) -> Result<Vec<Finding>, StorageError> {
    let mut findings = Findings::default();
    for (invariant, what, sql) in CHECKS.into_iter().chain(OWN_CHECKS) {
        findings.note(invariant, what, ids(connection, sql, &[]).await?);
    }
    let (invariant, what, sql) = OVERDUE;
    findings.note(invariant, what, ids(connection, sql, &[&overdue_since(now)]).await?);
    let mut last = String::new();
    loop {
        let page = rows(connection, DOCUMENTS, &[&last, &i64::from(PAGE)], redemption_row).await?;
        let Some(newest) = page.last() else { break };
        last.clone_from(&newest.id);
        let ids: Vec<_> = page.iter().map(|row| row.id.clone()).collect();
        let mut booked = books::rows_of(connection, &ids).await?;
        for row in page {
            let booked = booked.remove(&row.id).unwrap_or_default();
            findings.look_at(vault, row, booked)?;
        }
    }
    Ok(findings.told())
}

async fn ids(
    connection: &Connection,
    sql: &str,
    parameters: Parameters<'_>,
) -> Result<Vec<String>, StorageError> {
    let read = |row: &tokio_postgres::Row| match row.columns().first() {
        Some(column) if *column.type_() == Type::BYTEA => row.try_get(0).map(hex),
        Some(_) | None => row.try_get(0),
    };
    rows(connection, &limited(sql), parameters, read).await
}

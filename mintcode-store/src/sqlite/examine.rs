//! Looks through a live database for what must never be so.

use chrono::{DateTime, Utc};
use mintcode_core::ports::StorageError;
use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::redemptions::{redemption_row, rows};
use super::{SqliteStore, books, unavailable};
use crate::examine::{CHECKS, Check, DOCUMENTS, Finding, Findings, OVERDUE, PAGE, limited, overdue_since};
use crate::rows::hex;
use crate::vault::Vault;

/// What the two databases have different words for.
const OWN_CHECKS: [Check; 2] = [
    (
        "I9",
        "documents that are not sealed",
        "SELECT 'redemption ' || id FROM redemption WHERE substr(state, 1, 4) <> x'00000001'
         UNION ALL SELECT 'inbox ' || id FROM inbox WHERE substr(item, 1, 4) <> x'00000001'
         UNION ALL SELECT 'orphan ' || supplier || '/' || order_id FROM orphan WHERE substr(state, 1, 4) <> x'00000001'",
    ),
    (
        "I9",
        "open texts with what looks like a phone number",
        "WITH found (id, text) AS (
             SELECT 'event ' || redemption || '/' || version, snapshot FROM event
             UNION ALL SELECT 'choice ' || redemption || '/' || version, record FROM choice
             UNION ALL SELECT 'alert ' || id, key || alert FROM alert)
         SELECT id FROM found WHERE text GLOB '*+[0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]*'",
    ),
];

impl SqliteStore {
    /// Looks for everything that breaks an invariant, as of one moment; `now` tells what is overdue. Reads all there is, so it
    /// takes a while, beside whoever serves. Wants the secrets: what is sealed is looked at as well.
    pub async fn examine(&self, now: DateTime<Utc>) -> Result<Vec<Finding>, StorageError> {
        let vault = std::sync::Arc::clone(&self.vault);
        self.read_long(move |connection| {
            let moment = connection.unchecked_transaction().map_err(unavailable)?;
            examine(&moment, &vault, now)
        })
        .await
    }
}

fn examine(connection: &Connection, vault: &Vault, now: DateTime<Utc>) -> Result<Vec<Finding>, StorageError> {
    let mut findings = Findings::default();
    for (invariant, what, sql) in CHECKS.into_iter().chain(OWN_CHECKS) {
        findings.note(invariant, what, ids(connection, sql, [])?);
    }
    let (invariant, what, sql) = OVERDUE;
    findings.note(invariant, what, ids(connection, sql, [overdue_since(now)])?);
    let mut last = String::new();
    loop {
        let page = rows(connection, DOCUMENTS, (&last, PAGE), redemption_row)?;
        let Some(newest) = page.last() else { break };
        last.clone_from(&newest.id);
        for row in page {
            let booked = books::rows_of(connection, &row.id)?;
            findings.look_at(vault, row, booked)?;
        }
    }
    Ok(findings.told())
}

fn ids(
    connection: &Connection,
    sql: &str,
    parameters: impl rusqlite::Params,
) -> Result<Vec<String>, StorageError> {
    rows(connection, &limited(sql), parameters, |row| match row.get_ref(0)? {
        ValueRef::Blob(bytes) => Ok(hex(bytes)),
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) | ValueRef::Text(_) => row.get(0),
    })
}

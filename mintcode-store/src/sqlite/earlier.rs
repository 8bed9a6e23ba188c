//! What redemptions of a version without books stand for, booked when its database is first opened.

use chrono::{DateTime, Utc};
use mintcode_core::ledger;
use mintcode_core::ports::storage::StorageError;
use mintcode_core::redemption::Redemption;
use rusqlite::Connection;

use super::redemptions::{execute, redemption_row};
use super::{books, unavailable};
use crate::rows::{Row, micros};
use crate::vault::Vault;

/// Books every stored redemption as it is, so that what it books from now on has something to stand on: the refund of a
/// number needs its charge. Prices were not stored with redemptions then, so no sale is booked.
pub(super) fn book(connection: &Connection, vault: &Vault) -> Result<(), StorageError> {
    let sql = "SELECT id, version, epoch, owner, takeovers, next, state FROM redemption";
    let mut statement = connection.prepare(sql).map_err(unavailable)?;
    for row in statement.query_map([], redemption_row).map_err(unavailable)? {
        let row = row.map_err(unavailable)?;
        match row.read(vault).and_then(|redemption| book_one(connection, &redemption)) {
            Ok(()) => {}
            // Left alone, as by the worker that adopts it, so that one bad row holds nobody else back.
            Err(error @ StorageError::Corrupt { .. }) => {
                tracing::error!(%error, "a redemption cannot be booked");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn book_one(connection: &Connection, redemption: &Redemption) -> Result<(), StorageError> {
    books::insert(connection, redemption, &ledger::implied(redemption), redemption.updated_at)?;
    for attempt in redemption.attempt_rows() {
        if let Some(sms_at) = attempt.sms_at {
            note_sms(connection, &redemption.id.to_string(), attempt.number, sms_at)?;
        }
    }
    Ok(())
}

fn note_sms(
    connection: &Connection,
    redemption: &str,
    attempt: u32,
    sms_at: DateTime<Utc>,
) -> Result<(), StorageError> {
    let sql = "UPDATE attempt SET sms_at = ?3 WHERE redemption = ?1 AND number = ?2";
    let row = || Row::of("attempt", &format!("{redemption}/{attempt}"));
    execute(connection, sql, (redemption, attempt, micros(sms_at)), row).map(drop)
}

//! What operators and time do to vouchers.

use chrono::{DateTime, Utc};
use mintcode_core::ports::storage::{Inbox, StorageError};
use mintcode_core::ports::vouchers::ChangeError;
use mintcode_core::redemption::Wish;
use mintcode_core::voucher::{VoidReason, Voucher, VoucherEvent, VoucherHash, VoucherState};
use rusqlite::Connection;

use super::redemptions::{append_inbox, execute, row};
use super::vouchers;
use crate::columns::sealed_item;
use crate::rows::{Row, micros};
use crate::vault::Vault;

/// Applies an operator's event to a voucher.
pub(super) fn change(
    connection: &Connection,
    vault: &Vault,
    hash: VoucherHash,
    event: VoucherEvent,
) -> Result<Voucher, ChangeError> {
    let voucher = vouchers::find(connection, &[hash])?.ok_or(ChangeError::NoVoucher)?;
    let is_void = matches!(event, VoucherEvent::Void { .. });
    let changed = voucher.apply(event)?;
    vouchers::update(connection, &changed)?;
    let is_owned = matches!(changed.state, VoucherState::Locked { .. } | VoucherState::Redeeming { .. });
    if let Some(redemption) = changed.redemption.filter(|_| is_void && is_owned) {
        let redemption = redemption.to_string();
        let item = sealed_item(vault, &redemption, &Inbox::Wish(Wish::Cancel))?;
        append_inbox(connection, &redemption, &item)?;
    }
    Ok(changed)
}

/// Cancels the issued vouchers of a batch.
pub(super) fn void_batch(
    connection: &Connection,
    id: &str,
    reason: &VoidReason,
) -> Result<Option<u64>, StorageError> {
    let number: Option<i64> =
        row(connection, "SELECT number FROM batch WHERE id = ?1", [id], |row| row.get(0))?;
    let Some(number) = number else { return Ok(None) };
    // Reads every voucher there is: an index by batch would cost half of what a voucher takes on disk, for a rare wish.
    let sql =
        "UPDATE voucher SET state = 'cancelled', void_reason = ?2 WHERE batch = ?1 AND state = 'issued'";
    let voided = execute(connection, sql, (number, reason.as_str()), || Row::of("batch", id))?;
    Ok(Some(voided as u64))
}

/// Lets vouchers expire whose end has come, the longest past first.
pub(super) fn expire(connection: &Connection, now: DateTime<Utc>, limit: u32) -> Result<u64, StorageError> {
    // With the condition of the index in the index's own words, or SQLite would not use it.
    let sql = "UPDATE voucher SET state = 'expired', came_from = state
               WHERE hash IN (SELECT hash FROM voucher
                   WHERE expires_at <= ?1 AND state IN ('issued', 'retryable_failed')
                       AND batch NOT IN (SELECT number FROM every_batch WHERE staged_until IS NOT NULL)
                   ORDER BY expires_at LIMIT ?2)";
    let expired = execute(connection, sql, (micros(now), limit), || Row::of("voucher", &now))?;
    Ok(expired as u64)
}

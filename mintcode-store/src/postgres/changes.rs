//! What operators and time do to vouchers.

use chrono::{DateTime, Utc};
use mintcode_core::ports::storage::{Inbox, StorageError};
use mintcode_core::ports::vouchers::ChangeError;
use mintcode_core::redemption::Wish;
use mintcode_core::voucher::{VoidReason, Voucher, VoucherEvent, VoucherHash, VoucherState};

use super::connection::Connection;
use super::redemptions::append_inbox;
use super::transaction::{execute, row};
use super::vouchers;
use crate::columns::sealed_item;
use crate::rows::{Row, micros};
use crate::vault::Vault;

/// Applies an operator's event to a voucher.
pub(super) async fn change(
    connection: &Connection,
    vault: &Vault,
    hash: VoucherHash,
    event: VoucherEvent,
) -> Result<Voucher, ChangeError> {
    let voucher = vouchers::hold(connection, &[hash]).await?.ok_or(ChangeError::NoVoucher)?;
    let is_void = matches!(event, VoucherEvent::Void { .. });
    let changed = voucher.apply(event)?;
    vouchers::update(connection, &changed).await?;
    let is_owned = matches!(changed.state, VoucherState::Locked { .. } | VoucherState::Redeeming { .. });
    if let Some(redemption) = changed.redemption.filter(|_| is_void && is_owned) {
        let id = redemption.to_string();
        let item = sealed_item(vault, &id, &Inbox::Wish(Wish::Cancel))?;
        append_inbox(connection, &id, &item).await?;
    }
    Ok(changed)
}

/// Cancels the issued vouchers of a batch.
pub(super) async fn void_batch(
    connection: &Connection,
    id: &str,
    reason: &VoidReason,
) -> Result<Option<u64>, StorageError> {
    let sql = "SELECT number FROM batch WHERE id = $1";
    let number: Option<i64> = row(connection, sql, &[&id], |row| row.try_get(0)).await?;
    let Some(number) = number else { return Ok(None) };
    // Reads every voucher there is: an index by batch would cost half of what a voucher takes on disk, for a rare wish.
    let sql = "UPDATE voucher SET state = 'cancelled', void_reason = $2
               WHERE hash IN (SELECT hash FROM voucher WHERE batch = $1 AND state = 'issued'
                   ORDER BY hash FOR NO KEY UPDATE)";
    let row = || Row::of("batch", id);
    Ok(Some(execute(connection, sql, &[&number, &reason.as_str()], row).await?))
}

/// Lets vouchers expire whose end has come, the longest past first. One that somebody is about to redeem is left to him.
pub(super) async fn expire(
    connection: &Connection,
    now: DateTime<Utc>,
    limit: u32,
) -> Result<u64, StorageError> {
    // With the condition of the index in the index's own words, or it would not be used.
    let sql = "UPDATE voucher SET state = 'expired', came_from = state
               WHERE hash IN (SELECT hash FROM voucher
                   WHERE expires_at <= $1 AND expires_at IS NOT NULL AND state IN ('issued', 'retryable_failed')
                   ORDER BY expires_at LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED)";
    execute(connection, sql, &[&micros(now), &i64::from(limit)], || Row::of("voucher", &now)).await
}

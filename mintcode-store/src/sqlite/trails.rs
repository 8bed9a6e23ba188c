//! What support asks: a voucher and everything that happened to it.

use mintcode_core::ports::storage::StorageError;
use mintcode_core::ports::vouchers::{RedemptionTrail, VoucherTrail};
use mintcode_core::voucher::{Mask, Voucher, VoucherHash};
use rusqlite::Connection;

use super::redemptions::{redemption_row, rows};
use super::{unavailable, vouchers};
use crate::vault::Vault;

pub(super) fn of_hashes(
    connection: &Connection,
    vault: &Vault,
    hashes: &[VoucherHash],
) -> Result<Option<VoucherTrail>, StorageError> {
    // One transaction, so that voucher and redemptions are of one moment.
    let transaction = connection.unchecked_transaction().map_err(unavailable)?;
    let voucher = vouchers::find(&transaction, hashes)?;
    voucher.map(|voucher| trail(&transaction, vault, voucher)).transpose()
}

pub(super) fn of_mask(
    connection: &Connection,
    vault: &Vault,
    mask: Mask,
    limit: u32,
) -> Result<Vec<VoucherTrail>, StorageError> {
    let transaction = connection.unchecked_transaction().map_err(unavailable)?;
    let vouchers = vouchers::find_by_mask(&transaction, mask, limit)?;
    vouchers.into_iter().map(|voucher| trail(&transaction, vault, voucher)).collect()
}

fn trail(connection: &Connection, vault: &Vault, voucher: Voucher) -> Result<VoucherTrail, StorageError> {
    let sql = "SELECT id, version, epoch, owner, takeovers, next, state FROM redemption WHERE voucher = ?1
               ORDER BY created_at, id";
    let redemptions = rows(connection, sql, [voucher.hash.to_bytes()], redemption_row)?
        .into_iter()
        .map(|row| row.read(vault).map(|redemption| RedemptionTrail::from(&redemption)))
        .collect::<Result<_, _>>()?;
    let replaced_by = vouchers::replacement(connection, voucher.hash)?;
    Ok(VoucherTrail { voucher, replaced_by, redemptions })
}

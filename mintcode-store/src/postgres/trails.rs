//! What support asks: a voucher and everything that happened to it.

use mintcode_core::ports::storage::StorageError;
use mintcode_core::ports::vouchers::{RedemptionTrail, VoucherTrail};
use mintcode_core::voucher::{Mask, Voucher, VoucherHash};

use super::connection::Connection;
use super::redemptions::redemption_row;
use super::transaction::rows;
use super::vouchers;
use crate::vault::Vault;

pub(super) async fn of_hashes(
    connection: &Connection,
    vault: &Vault,
    hashes: &[VoucherHash],
) -> Result<Option<VoucherTrail>, StorageError> {
    match vouchers::find(connection, hashes).await? {
        Some(voucher) => trail(connection, vault, voucher).await.map(Some),
        None => Ok(None),
    }
}

pub(super) async fn of_mask(
    connection: &Connection,
    vault: &Vault,
    mask: Mask,
    limit: u32,
) -> Result<Vec<VoucherTrail>, StorageError> {
    let mut trails = Vec::new();
    for voucher in vouchers::find_by_mask(connection, mask, limit).await? {
        trails.push(trail(connection, vault, voucher).await?);
    }
    Ok(trails)
}

async fn trail(
    connection: &Connection,
    vault: &Vault,
    voucher: Voucher,
) -> Result<VoucherTrail, StorageError> {
    let sql = "SELECT id, version, epoch, owner, takeovers, next, state FROM redemption WHERE voucher = $1
               ORDER BY created_at, id";
    let hash = voucher.hash.to_bytes();
    let redemptions = rows(connection, sql, &[&hash.as_slice()], redemption_row)
        .await?
        .into_iter()
        .map(|row| row.read(vault).map(|redemption| RedemptionTrail::from(&redemption)))
        .collect::<Result<_, _>>()?;
    let replaced_by = vouchers::replacement(connection, voucher.hash).await?;
    Ok(VoucherTrail { voucher, replaced_by, redemptions })
}

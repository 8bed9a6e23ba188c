//! Removing numbers and messages that were kept for long enough. What was there before is gone once the server has vacuumed.

use chrono::{DateTime, Utc};
use mintcode_core::orphan::Orphan;
use mintcode_core::ports::storage::StorageError;
use mintcode_core::redemption::Redemption;

use super::commit::insert_event;
use super::connection::Connection;
use super::orphans;
use super::redemptions::redemption_row;
use super::transaction::{execute, row, rows};
use crate::columns::size;
use crate::rows::{Row, count, json, micros};
use crate::vault::Vault;

/// What another worker is about to purge, or somebody is about to change, is left to them.
const OLD_REDEMPTIONS: &str = "
    SELECT id, version, epoch, owner, takeovers, next, state FROM redemption
    WHERE is_at_rest AND NOT is_purged AND updated_at < $1 ORDER BY updated_at LIMIT $2
    FOR NO KEY UPDATE SKIP LOCKED";

const OLD_ORPHANS: &str = "
    SELECT supplier, order_id, version, state FROM orphan
    WHERE settled_at IS NOT NULL AND NOT is_purged AND settled_at < $1 ORDER BY settled_at LIMIT $2
    FOR NO KEY UPDATE SKIP LOCKED";

const IS_DUE: &str = "
    SELECT EXISTS (SELECT FROM redemption WHERE is_at_rest AND NOT is_purged AND updated_at < $1)
        OR EXISTS (SELECT FROM orphan WHERE settled_at IS NOT NULL AND NOT is_purged AND settled_at < $1)";

/// Whether there is anything to look through.
pub(super) async fn is_due(connection: &Connection, before: DateTime<Utc>) -> Result<bool, StorageError> {
    let is_due: Option<bool> = row(connection, IS_DUE, &[&micros(before)], |row| row.try_get(0)).await?;
    Ok(is_due == Some(true))
}

/// Looks through what is older than `before`, the oldest first.
pub(super) async fn purge(
    connection: &Connection,
    vault: &Vault,
    before: DateTime<Utc>,
    limit: u32,
    now: DateTime<Utc>,
) -> Result<u64, StorageError> {
    let mut done = 0;
    let (before, limit) = (micros(before), i64::from(limit));
    for row in rows(connection, OLD_REDEMPTIONS, &[&before, &limit], redemption_row).await? {
        let Some(redemption) = readable(row.read(vault))? else { continue };
        purge_redemption(connection, vault, &redemption, now).await?;
        done += 1;
    }
    for orphan in orphans::one_by_one(connection, vault, OLD_ORPHANS, &[&before, &limit]).await? {
        let Some(orphan) = readable(orphan)? else { continue };
        purge_orphan(connection, vault, &orphan).await?;
        done += 1;
    }
    Ok(done)
}

/// What fits no value is left alone, so that one bad row keeps nobody else's number.
fn readable<T>(read: Result<T, StorageError>) -> Result<Option<T>, StorageError> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(error @ StorageError::Corrupt { .. }) => {
            tracing::error!(%error, "a row cannot be purged");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

async fn purge_orphan(connection: &Connection, vault: &Vault, orphan: &Orphan) -> Result<(), StorageError> {
    if let Some(purged) = orphan.purged() {
        orphans::update(connection, vault, &purged).await?;
    }
    let order = &orphan.order.id;
    let sql = "UPDATE orphan SET is_purged = true WHERE supplier = $1 AND size = $2 AND order_id = $3";
    let supplier = orphan.source.supplier.as_str();
    let row = || Row::of("orphan", order);
    execute(connection, sql, &[&supplier, &size(order), &order.as_str()], row).await.map(drop)
}

async fn purge_redemption(
    connection: &Connection,
    vault: &Vault,
    redemption: &Redemption,
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    let id = redemption.id.to_string();
    let row = || Row::of("redemption", &id);
    let Some(purged) = redemption.purged(now) else {
        let sql = "UPDATE redemption SET is_purged = true WHERE id = $1";
        return execute(connection, sql, &[&id], row).await.map(drop);
    };
    let (version, sealed) = (count(purged.version), vault.seal(&row(), "state", &purged)?);
    let sql =
        "UPDATE redemption SET version = $2, updated_at = $3, state = $4, is_purged = true WHERE id = $1";
    execute(connection, sql, &[&id, &version, &micros(purged.updated_at), &sealed], row).await?;
    insert_event(connection, &id, version, &json(&purged.snapshot())).await
}

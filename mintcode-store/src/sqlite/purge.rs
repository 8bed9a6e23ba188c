//! Removing numbers and messages that were kept for long enough. What is overwritten is zeroed by SQLite's `secure_delete`.

use chrono::{DateTime, Utc};
use mintcode_core::orphan::Orphan;
use mintcode_core::ports::storage::StorageError;
use mintcode_core::redemption::Redemption;
use rusqlite::Connection;

use super::commit::insert_event;
use super::orphans;
use super::redemptions::{execute, redemption_row, row, rows};
use crate::columns::size;
use crate::rows::{Row, count, json, micros};
use crate::vault::Vault;

const OLD_REDEMPTIONS: &str = "
    SELECT id, version, epoch, owner, takeovers, next, state FROM redemption
    WHERE is_at_rest = 1 AND is_purged = 0 AND updated_at < ?1 ORDER BY updated_at LIMIT ?2";

const OLD_ORPHANS: &str = "
    SELECT supplier, order_id, version, state FROM orphan
    WHERE settled_at IS NOT NULL AND is_purged = 0 AND settled_at < ?1 ORDER BY settled_at LIMIT ?2";

/// Whether there is anything to look through.
pub(super) fn is_due(connection: &Connection, before: DateTime<Utc>) -> Result<bool, StorageError> {
    for sql in [OLD_REDEMPTIONS, OLD_ORPHANS] {
        if row(connection, sql, (micros(before), 1), |_| Ok(()))?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Looks through what is older than `before`, the oldest first.
pub(super) fn purge(
    connection: &Connection,
    vault: &Vault,
    before: DateTime<Utc>,
    limit: u32,
    now: DateTime<Utc>,
) -> Result<u64, StorageError> {
    let mut done = 0;
    let old = (micros(before), limit);
    for row in rows(connection, OLD_REDEMPTIONS, old, redemption_row)? {
        let Some(redemption) = readable(row.read(vault))? else { continue };
        purge_redemption(connection, vault, &redemption, now)?;
        done += 1;
    }
    for orphan in orphans::one_by_one(connection, vault, OLD_ORPHANS, old)? {
        let Some(orphan) = readable(orphan)? else { continue };
        purge_orphan(connection, vault, &orphan)?;
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

fn purge_orphan(connection: &Connection, vault: &Vault, orphan: &Orphan) -> Result<(), StorageError> {
    if let Some(purged) = orphan.purged() {
        orphans::update(connection, vault, &purged)?;
    }
    let order = &orphan.order.id;
    let sql = "UPDATE orphan SET is_purged = 1 WHERE supplier = ?1 AND size = ?2 AND order_id = ?3";
    let parameters = (orphan.source.supplier.as_str(), size(order), order.as_str());
    execute(connection, sql, parameters, || Row::of("orphan", order)).map(drop)
}

fn purge_redemption(
    connection: &Connection,
    vault: &Vault,
    redemption: &Redemption,
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    let id = redemption.id.to_string();
    let row = || Row::of("redemption", &id);
    let Some(purged) = redemption.purged(now) else {
        let sql = "UPDATE redemption SET is_purged = 1 WHERE id = ?1";
        return execute(connection, sql, [&id], row).map(drop);
    };
    let version = count(purged.version);
    let sql = "UPDATE redemption SET version = ?2, updated_at = ?3, state = ?4, is_purged = 1 WHERE id = ?1";
    let parameters = (&id, version, micros(purged.updated_at), vault.seal(&row(), "state", &purged)?);
    execute(connection, sql, parameters, row)?;
    insert_event(connection, &id, version, &json(&purged.snapshot()))
}

//! Who drives which redemption, and which nobody does.

use std::collections::BTreeMap;

use mintcode_core::alert::{Alert, AlertChange};
use mintcode_core::ids::{RedemptionId, WorkerId};
use mintcode_core::ports::storage::{Adopt, StorageError};
use mintcode_core::redemption::Redemption;

use super::alerts;
use super::connection::Connection;
use super::redemptions::{load, redemption_row};
use super::transaction::{execute, row, rows};
use crate::rows::Row;
use crate::vault::Vault;

/// Owners of redemptions that are to be driven, other than `$1`, that are no workers. One step in the index per owner:
/// however many redemptions an owner has, they are not read.
pub(super) const OWNERS_GONE: &str = "
    WITH RECURSIVE known (owner) AS (
        SELECT ''::text COLLATE \"C\"
        UNION ALL
        SELECT (SELECT redemption.owner FROM redemption
            WHERE NOT is_at_rest AND NOT is_quarantined AND redemption.owner > known.owner
            ORDER BY redemption.owner LIMIT 1)
        FROM known WHERE known.owner IS NOT NULL)
    SELECT owner FROM known
    WHERE owner <> '' AND owner <> $1 AND NOT EXISTS (SELECT FROM worker WHERE worker.id = known.owner)";

pub(super) const OLDEST_OF_OWNER: &str = "
    SELECT created_at, id, epoch FROM redemption
    WHERE NOT is_at_rest AND NOT is_quarantined AND owner = $1 ORDER BY created_at, id LIMIT $2";

pub(super) const OLDEST_OF_NOBODY: &str = "
    SELECT created_at, id, epoch FROM redemption
    WHERE NOT is_at_rest AND NOT is_quarantined AND owner IS NULL ORDER BY created_at, id LIMIT $1";

/// Walks through the inbox alone, in the order of arrival.
pub(super) const INBOXES: &str = "
    SELECT inbox.redemption FROM inbox JOIN redemption ON redemption.id = inbox.redemption
    WHERE (owner = $1
            OR (owner IS NULL OR NOT EXISTS (SELECT FROM worker WHERE worker.id = owner)) AND NOT is_quarantined)
        AND NOT EXISTS (SELECT FROM inbox AS earlier
            WHERE earlier.redemption = inbox.redemption AND earlier.id < inbox.id)
    ORDER BY inbox.id LIMIT $2";

/// Takes over what nobody took since it was found: an epoch grows with every owner. What another worker is about to take, or
/// somebody is about to change, is left to them. What was taken over `$3` times stays.
pub(super) const TAKE: &str = "
    WITH free AS (
        SELECT redemption.id FROM unnest($1::text[], $2::bigint[]) AS found (id, epoch)
            JOIN redemption ON redemption.id = found.id AND redemption.epoch = found.epoch
        WHERE NOT is_at_rest AND NOT is_quarantined AND takeovers < $3
        FOR NO KEY UPDATE OF redemption SKIP LOCKED)
    UPDATE redemption SET owner = $4, epoch = epoch + 1, takeovers = takeovers + (owner IS NOT NULL)::integer
    FROM free WHERE redemption.id = free.id
    RETURNING redemption.id, version, epoch, owner, takeovers, next, state";

/// As [`TAKE`], for what was taken over `$3` times and belongs to nobody from now on.
pub(super) const QUARANTINE: &str = "
    WITH free AS (
        SELECT redemption.id FROM unnest($1::text[], $2::bigint[]) AS found (id, epoch)
            JOIN redemption ON redemption.id = found.id AND redemption.epoch = found.epoch
        WHERE NOT is_at_rest AND NOT is_quarantined AND takeovers >= $3
        FOR NO KEY UPDATE OF redemption SKIP LOCKED)
    UPDATE redemption SET is_quarantined = true, owner = NULL, epoch = epoch + 1
    FROM free WHERE redemption.id = free.id
    RETURNING redemption.id";

/// A redemption that nobody drives, as it was found.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Undriven {
    created_at: i64,
    id: String,
    epoch: i64,
}

/// The redemptions, at most `limit`, that are to be driven and that `worker` may take over, oldest first.
pub(super) async fn undriven(
    connection: &Connection,
    worker: WorkerId,
    limit: usize,
) -> Result<Vec<Undriven>, StorageError> {
    let most = i64::try_from(limit).unwrap_or(i64::MAX);
    let read = |row: &tokio_postgres::Row| {
        Ok(Undriven { created_at: row.try_get(0)?, id: row.try_get(1)?, epoch: row.try_get(2)? })
    };
    let mut found = rows(connection, OLDEST_OF_NOBODY, &[&most], read).await?;
    let gone: Vec<String> =
        rows(connection, OWNERS_GONE, &[&worker.to_string()], |row| row.try_get(0)).await?;
    for owner in gone {
        found.extend(rows(connection, OLDEST_OF_OWNER, &[&owner, &most], read).await?);
    }
    found.sort_unstable();
    found.truncate(limit);
    Ok(found)
}

/// Takes over what nobody drives, oldest first, and puts into quarantine what was taken over too often.
pub(super) async fn adopt(
    connection: &Connection,
    vault: &Vault,
    adopt: &Adopt,
) -> Result<Vec<Redemption>, StorageError> {
    let (worker, most) = (adopt.worker.to_string(), i64::from(adopt.most_takeovers));
    let limit = usize::try_from(adopt.limit).unwrap_or(usize::MAX);
    let mut adopted = Vec::new();
    loop {
        // What went into quarantine makes room for others.
        let undriven = undriven(connection, adopt.worker, limit - adopted.len()).await?;
        if undriven.is_empty() {
            return Ok(adopted);
        }
        let ids: Vec<_> = undriven.iter().map(|found| &*found.id).collect();
        let epochs: Vec<_> = undriven.iter().map(|found| found.epoch).collect();
        let taken = rows(connection, TAKE, &[&ids, &epochs, &most, &worker], redemption_row).await?;
        let quarantined: Vec<String> =
            rows(connection, QUARANTINE, &[&ids, &epochs, &most], |row| row.try_get(0)).await?;
        // The rest are being taken by others.
        let is_over = taken.is_empty() && quarantined.is_empty();
        let mut taken: BTreeMap<_, _> = taken.into_iter().map(|row| (row.id.clone(), row)).collect();
        for row in ids.iter().filter_map(|id| taken.remove(*id)) {
            match row.read(vault) {
                Ok(redemption) => adopted.push(redemption),
                // Taken over all the same and left alone, so that one bad row holds nobody else back.
                Err(error) => tracing::error!(%error, "a redemption cannot be driven"),
            }
        }
        for id in quarantined {
            tell_quarantine(connection, vault, &id, adopt).await?;
        }
        if is_over {
            return Ok(adopted);
        }
    }
}

async fn tell_quarantine(
    connection: &Connection,
    vault: &Vault,
    id: &str,
    adopt: &Adopt,
) -> Result<(), StorageError> {
    match load(connection, vault, id).await {
        Ok(Some(Redemption { mask, sku, .. })) => {
            let alert = AlertChange::raise(Alert::Quarantined { voucher: mask, sku });
            alerts::apply(connection, &[alert], adopt.now).await
        }
        Ok(None) => Ok(()),
        Err(error @ StorageError::Corrupt { .. }) => {
            tracing::error!(%error, "a redemption in quarantine cannot be read");
            Ok(())
        }
        Err(error) => Err(error),
    }
}

pub(super) async fn adopt_one(
    connection: &Connection,
    vault: &Vault,
    worker: WorkerId,
    id: RedemptionId,
) -> Result<Option<Redemption>, StorageError> {
    let (id, worker_id) = (id.to_string(), worker.to_string());
    // Held first: who its owner is, and whether that is a worker, is asked once nobody can change it any more.
    let sql = "SELECT 1 FROM redemption WHERE id = $1 FOR NO KEY UPDATE";
    row(connection, sql, &[&id], |_| Ok(())).await?;
    let sql =
        "UPDATE redemption SET owner = $2, epoch = epoch + 1, takeovers = takeovers + (owner IS NOT NULL)::integer
               WHERE id = $1 AND owner IS DISTINCT FROM $2 AND NOT is_quarantined
                   AND NOT EXISTS (SELECT FROM worker WHERE worker.id = owner)";
    execute(connection, sql, &[&id, &worker_id], || Row::of("redemption", &id)).await?;
    let redemption = load(connection, vault, &id).await?;
    Ok(redemption.filter(|redemption| redemption.owner == Some(worker)))
}

pub(super) async fn outlived(
    connection: &Connection,
    worker: WorkerId,
    redemptions: &[RedemptionId],
) -> Result<(), StorageError> {
    let ids: Vec<_> = redemptions.iter().map(ToString::to_string).collect();
    let sql = "UPDATE redemption SET takeovers = 0
               WHERE id IN (SELECT id FROM redemption WHERE id = ANY($1) AND owner = $2 AND takeovers > 0
                   ORDER BY id FOR NO KEY UPDATE)";
    let row = || Row::of("redemption", &worker);
    execute(connection, sql, &[&ids, &worker.to_string()], row).await.map(drop)
}

pub(super) async fn resume(connection: &Connection, id: RedemptionId) -> Result<bool, StorageError> {
    let sql = "UPDATE redemption SET is_quarantined = false, takeovers = 0 WHERE id = $1 AND is_quarantined";
    Ok(execute(connection, sql, &[&id.to_string()], || Row::of("redemption", &id)).await? > 0)
}

pub(super) async fn inboxes(
    connection: &Connection,
    worker: WorkerId,
    limit: u32,
) -> Result<Vec<RedemptionId>, StorageError> {
    rows(connection, INBOXES, &[&worker.to_string(), &i64::from(limit)], |row| row.try_get(0))
        .await?
        .into_iter()
        .map(|id: String| Row::of("inbox", &id).parse(&id))
        .collect()
}

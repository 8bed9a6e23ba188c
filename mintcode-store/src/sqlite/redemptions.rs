//! Redemptions, their claims and their inboxes.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use mintcode_core::health::Outlook;
use mintcode_core::ids::{RedemptionId, SkuId, SupplierName, WorkerId};
use mintcode_core::order::OrderId;
use mintcode_core::ports::storage::{
    Adopt, Begin, Begun, Claims, Commit, Inbox, InboxItem, Observed, Storage, StorageError,
};
use mintcode_core::ports::supplier::Wanted;
use mintcode_core::redemption::{Redemption, Snapshot};
use mintcode_core::sku::Sku;
use rusqlite::{Connection, OptionalExtension};

use super::commit::PreparedCommit;
use super::{SqliteStore, begin, catalogue, counters, outlook, ownership, purge, refused, unavailable};
use crate::columns::{sealed_item, size};
use crate::rows::{RedemptionRow, Row, count};
use crate::vault::Vault;

#[async_trait]
impl Storage for SqliteStore {
    async fn begin(&self, begin: Begin) -> Result<Begun, StorageError> {
        let vault = Arc::clone(&self.vault);
        self.writer.write(move |connection| begin::begin(connection, &vault, &begin)).await
    }

    async fn commit(&self, commit: Commit) -> Result<(), StorageError> {
        // Written out and sealed here, so that the one writing thread does not have to.
        let prepared = PreparedCommit::of(commit, &self.vault)?;
        let stored = prepared.stored();
        self.writer.write_as(stored, move |connection| prepared.store(connection)).await
    }

    async fn redemption(&self, id: RedemptionId) -> Result<Option<Redemption>, StorageError> {
        self.read(|connection| load(connection, &self.vault, &id.to_string()))
    }

    async fn history(&self, id: RedemptionId, after: u64, limit: u32) -> Result<Vec<Snapshot>, StorageError> {
        self.read(|connection| {
            let id = id.to_string();
            let sql = "SELECT version, snapshot FROM event WHERE redemption = ?1 AND version > ?2
                       ORDER BY version LIMIT ?3";
            rows(connection, sql, (&id, count(after), limit), |row| Ok((row.get(0)?, row.get(1)?)))?
                .into_iter()
                .map(|(version, snapshot): (i64, String)| {
                    Row::of("event", &format!("{id}/{version}")).json(&snapshot)
                })
                .collect()
        })
    }

    async fn adopt(&self, adopt: Adopt) -> Result<Vec<Redemption>, StorageError> {
        // Asked for every second, mostly for nothing, so that whoever writes is not kept waiting.
        if self.read(|connection| ownership::undriven(connection, adopt.worker, 1))?.is_empty() {
            return Ok(Vec::new());
        }
        let vault = Arc::clone(&self.vault);
        self.writer.write(move |connection| ownership::adopt(connection, &vault, &adopt)).await
    }

    async fn outlived(&self, worker: WorkerId, redemptions: &[RedemptionId]) -> Result<(), StorageError> {
        let redemptions = redemptions.to_vec();
        self.writer.write(move |connection| ownership::outlived(connection, worker, &redemptions)).await
    }

    async fn resume(&self, id: RedemptionId) -> Result<bool, StorageError> {
        self.writer.write(move |connection| ownership::resume(connection, id)).await
    }

    async fn adopt_one(
        &self,
        worker: WorkerId,
        id: RedemptionId,
    ) -> Result<Option<Redemption>, StorageError> {
        let vault = Arc::clone(&self.vault);
        self.writer.write(move |connection| ownership::adopt_one(connection, &vault, worker, id)).await
    }

    async fn append_inbox(&self, redemption: RedemptionId, item: Inbox) -> Result<(), StorageError> {
        let redemption = redemption.to_string();
        let item = sealed_item(&self.vault, &redemption, &item)?;
        self.writer.write(move |connection| append_inbox(connection, &redemption, &item)).await
    }

    async fn inbox(&self, redemption: RedemptionId) -> Result<Vec<InboxItem>, StorageError> {
        self.read(|connection| {
            let sql = "SELECT id, item FROM inbox WHERE redemption = ?1 ORDER BY id";
            let row = Row::of("inbox", &redemption);
            rows(connection, sql, [redemption.to_string()], |row| Ok((row.get(0)?, row.get(1)?)))?
                .into_iter()
                .map(|(id, item): (i64, Vec<u8>)| {
                    Ok(InboxItem { id, item: self.vault.open(&row, "item", &item)? })
                })
                .collect()
        })
    }

    async fn inboxes(&self, worker: WorkerId, limit: u32) -> Result<Vec<RedemptionId>, StorageError> {
        self.read(|connection| ownership::inboxes(connection, worker, limit))
    }

    async fn discard_inbox(
        &self,
        redemption: RedemptionId,
        epoch: u64,
        items: &[i64],
    ) -> Result<(), StorageError> {
        let items = items.to_vec();
        self.writer
            .write(move |connection| {
                let id = redemption.to_string();
                let sql = "SELECT epoch FROM redemption WHERE id = ?1";
                if row(connection, sql, [&id], |row| row.get(0))? != Some(count(epoch)) {
                    return Err(StorageError::Fenced);
                }
                let sql = "DELETE FROM inbox WHERE id = ?1 AND redemption = ?2";
                for item in items {
                    execute(connection, sql, (item, &id), || Row::of("inbox", &item))?;
                }
                Ok(())
            })
            .await
    }

    async fn claims(
        &self,
        supplier: &SupplierName,
        wanted: &Wanted,
        orders: &[OrderId],
        except: RedemptionId,
    ) -> Result<Claims, StorageError> {
        self.read(|connection| {
            let transaction = connection.unchecked_transaction().map_err(unavailable)?;
            let mut claims = Claims::default();
            for order in orders {
                if claimant(&transaction, supplier, order)?.is_some() {
                    claims.claimed.insert(order.clone());
                }
            }
            let sql = "SELECT min(attempt.started_at)
                       FROM attempt JOIN redemption ON redemption.id = attempt.redemption
                       WHERE attempt.is_unresolved = 1 AND attempt.supplier = ?1 AND attempt.product = ?2
                           AND attempt.country = ?3 AND attempt.operator = ?4
                           AND redemption.phase = 'ordering' AND redemption.id <> ?5";
            let Wanted { product, country, operator, max_cost: _ } = wanted;
            let plan = (supplier.as_str(), product, country, operator, except.to_string());
            let earliest: Option<i64> = transaction
                .prepare_cached(sql)
                .and_then(|mut statement| statement.query_row(plan, |row| row.get(0)))
                .map_err(unavailable)?;
            let time = |micros| Row::of("attempt", supplier).time(micros);
            claims.other_send_window = earliest.map(time).transpose()?;
            Ok(claims)
        })
    }

    async fn holders(
        &self,
        supplier: &SupplierName,
        orders: &[OrderId],
    ) -> Result<Vec<(OrderId, RedemptionId)>, StorageError> {
        self.read(|connection| {
            let transaction = connection.unchecked_transaction().map_err(unavailable)?;
            let mut holders = Vec::new();
            for order in orders.iter().collect::<BTreeSet<_>>() {
                if let Some(id) = holder(&transaction, supplier, order)? {
                    holders.push((order.clone(), id));
                }
            }
            Ok(holders)
        })
    }

    async fn outlook(&self, sku: &SkuId) -> Result<Option<(Sku, Outlook)>, StorageError> {
        self.read(|connection| {
            let transaction = connection.unchecked_transaction().map_err(unavailable)?;
            let Some(sku) = catalogue::load(&transaction, sku.as_str())? else { return Ok(None) };
            let outlook = outlook::of_sku(&transaction, &sku)?;
            Ok(Some((sku, outlook)))
        })
    }

    async fn observe(&self, observed: Observed) -> Result<(), StorageError> {
        self.writer.write(move |connection| outlook::observe(connection, &observed)).await
    }

    async fn forget_idle(&self, now: DateTime<Utc>) -> Result<u64, StorageError> {
        self.writer.write(move |connection| counters::forget_idle(connection, now)).await
    }

    async fn purge(
        &self,
        before: DateTime<Utc>,
        limit: u32,
        now: DateTime<Utc>,
    ) -> Result<u64, StorageError> {
        // Asked for every minute, mostly for nothing, so that whoever writes is not kept waiting.
        if !self.read(|connection| purge::is_due(connection, before))? {
            return Ok(0);
        }
        let vault = Arc::clone(&self.vault);
        self.writer.write(move |connection| purge::purge(connection, &vault, before, limit, now)).await
    }

    async fn newest_order(&self, supplier: &SupplierName) -> Result<Option<OrderId>, StorageError> {
        self.read(|connection| {
            let sql = "SELECT order_id FROM (
                    SELECT * FROM (SELECT size, order_id FROM claim WHERE supplier = ?1
                        ORDER BY size DESC, order_id DESC LIMIT 1)
                    UNION ALL
                    SELECT * FROM (SELECT size, order_id FROM orphan WHERE supplier = ?1
                        ORDER BY size DESC, order_id DESC LIMIT 1))
                ORDER BY size DESC, order_id DESC LIMIT 1";
            let newest: Option<String> = row(connection, sql, [supplier.as_str()], |row| row.get(0))?;
            Ok(newest.map(OrderId::new))
        })
    }
}

/// Who has claimed an order.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Claimant {
    Attempt { redemption: String, number: u32 },
    Orphan,
}

/// Who has claimed `order`, if anybody has.
pub(super) fn claimant(
    connection: &Connection,
    supplier: &SupplierName,
    order: &OrderId,
) -> Result<Option<Claimant>, StorageError> {
    let sql = "SELECT redemption, attempt FROM claim WHERE supplier = ?1 AND size = ?2 AND order_id = ?3
               UNION ALL
               SELECT NULL, NULL FROM orphan WHERE supplier = ?1 AND size = ?2 AND order_id = ?3";
    row(connection, sql, (supplier.as_str(), size(order), order.as_str()), |row| {
        Ok(match (row.get(0)?, row.get(1)?) {
            (Some(redemption), Some(number)) => Claimant::Attempt { redemption, number },
            _ => Claimant::Orphan,
        })
    })
}

/// The redemption that has claimed `order` and is not at rest.
fn holder(
    connection: &Connection,
    supplier: &SupplierName,
    order: &OrderId,
) -> Result<Option<RedemptionId>, StorageError> {
    let sql = "SELECT redemption.id FROM claim JOIN redemption ON redemption.id = claim.redemption
               WHERE claim.supplier = ?1 AND claim.size = ?2 AND claim.order_id = ?3 AND redemption.is_at_rest = 0";
    let id: Option<String> =
        row(connection, sql, (supplier.as_str(), size(order), order.as_str()), |row| row.get(0))?;
    id.map(|id| Row::of("redemption", &id).parse(&id)).transpose()
}

pub(super) fn load(
    connection: &Connection,
    vault: &Vault,
    id: &str,
) -> Result<Option<Redemption>, StorageError> {
    let sql = "SELECT id, version, epoch, owner, takeovers, next, state FROM redemption WHERE id = ?1";
    row(connection, sql, [id], redemption_row)?.map(|row| row.read(vault)).transpose()
}

pub(super) fn redemption_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<RedemptionRow> {
    Ok(RedemptionRow {
        id: row.get(0)?,
        version: row.get(1)?,
        epoch: row.get(2)?,
        owner: row.get(3)?,
        takeovers: row.get(4)?,
        next: row.get(5)?,
        state: row.get(6)?,
    })
}

pub(super) fn append_inbox(
    connection: &Connection,
    redemption: &str,
    item: &[u8],
) -> Result<(), StorageError> {
    let sql = "INSERT INTO inbox (redemption, item) SELECT id, ?2 FROM redemption WHERE id = ?1";
    match execute(connection, sql, (redemption, item), || Row::of("inbox", redemption))? {
        0 => Err(StorageError::Conflict),
        _ => Ok(()),
    }
}

/// The row that `sql` finds, if any.
pub(super) fn row<T>(
    connection: &Connection,
    sql: &str,
    parameters: impl rusqlite::Params,
    read: impl FnOnce(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> Result<Option<T>, StorageError> {
    let found = connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.query_row(parameters, read).optional());
    found.map_err(unavailable)
}

/// All rows that `sql` finds.
pub(super) fn rows<T>(
    connection: &Connection,
    sql: &str,
    parameters: impl rusqlite::Params,
    read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, StorageError> {
    let found = connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.query_map(parameters, read)?.collect());
    found.map_err(unavailable)
}

/// Runs `sql` for `row`, and tells how many rows it changed.
pub(super) fn execute(
    connection: &Connection,
    sql: &str,
    parameters: impl rusqlite::Params,
    row: impl FnOnce() -> Row,
) -> Result<usize, StorageError> {
    let done = connection.prepare_cached(sql).and_then(|mut statement| statement.execute(parameters));
    done.map_err(|error| refused(row())(error))
}

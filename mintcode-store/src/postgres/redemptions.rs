//! Redemptions, their claims and their inboxes.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use mintcode_core::health::Outlook;
use mintcode_core::ids::{RedemptionId, SkuId, SupplierName, WorkerId};
use mintcode_core::order::OrderId;
use mintcode_core::ports::storage::{
    Adopt, Begin, Begun, Claims, Commit, Inbox, InboxItem, News, Observed, Storage, StorageError,
};
use mintcode_core::ports::supplier::Wanted;
use mintcode_core::redemption::{Redemption, Snapshot};
use mintcode_core::sku::Sku;
use tokio::sync::broadcast;

use super::connection::Connection;
use super::transaction::{execute, row, rows};
use super::{PostgresStore, begin, catalogue, counters, limits, outlook, ownership, purge, vouchers};
use crate::columns::{sealed_item, size};
use crate::rows::{RedemptionRow, Row, count};
use crate::vault::Vault;

#[async_trait]
impl Storage for PostgresStore {
    async fn begin(&self, begin: Begin) -> Result<Begun, StorageError> {
        let (wish, vault) = (Arc::new(begin), Arc::clone(&self.vault));
        let answer = self.database.write(move |connection| {
            let (wish, vault) = (Arc::clone(&wish), Arc::clone(&vault));
            async move { begin::begin(&connection, &vault, &wish).await }
        });
        let answer = answer.await;
        if let Ok(Begun::New(redemption)) = &answer {
            self.notices.tell(redemption);
        }
        answer
    }

    fn news(&self) -> Option<broadcast::Receiver<News>> {
        Some(self.notices.news())
    }

    async fn commit(&self, commit: Commit) -> Result<(), StorageError> {
        self.committer.commit(commit).await
    }

    async fn redemption(&self, id: RedemptionId) -> Result<Option<Redemption>, StorageError> {
        let connection = self.database.connection().await?;
        load(&connection, &self.vault, &id.to_string()).await
    }

    async fn history(&self, id: RedemptionId, after: u64, limit: u32) -> Result<Vec<Snapshot>, StorageError> {
        let (id, connection) = (id.to_string(), self.database.connection().await?);
        let sql = "SELECT version, snapshot FROM event WHERE redemption = $1 AND version > $2
                   ORDER BY version LIMIT $3";
        let read = |row: &tokio_postgres::Row| Ok((row.try_get(0)?, row.try_get(1)?));
        rows(&connection, sql, &[&id, &count(after), &i64::from(limit)], read)
            .await?
            .into_iter()
            .map(|(version, snapshot): (i64, String)| {
                Row::of("event", &format!("{id}/{version}")).json(&snapshot)
            })
            .collect()
    }

    async fn adopt(&self, adopt: Adopt) -> Result<Vec<Redemption>, StorageError> {
        // Asked for every second, mostly for nothing.
        let connection = self.database.connection().await?;
        if ownership::undriven(&connection, adopt.worker, 1).await?.is_empty() {
            return Ok(Vec::new());
        }
        drop(connection);
        let vault = Arc::clone(&self.vault);
        let adopted = self.database.write(move |connection| {
            let vault = Arc::clone(&vault);
            async move { ownership::adopt(&connection, &vault, &adopt).await }
        });
        adopted.await
    }

    async fn outlived(&self, worker: WorkerId, redemptions: &[RedemptionId]) -> Result<(), StorageError> {
        let redemptions: Arc<[_]> = redemptions.into();
        let noted = self.database.write(move |connection| {
            let redemptions = Arc::clone(&redemptions);
            async move { ownership::outlived(&connection, worker, &redemptions).await }
        });
        noted.await
    }

    async fn resume(&self, id: RedemptionId) -> Result<bool, StorageError> {
        self.database.write(move |connection| async move { ownership::resume(&connection, id).await }).await
    }

    async fn adopt_one(
        &self,
        worker: WorkerId,
        id: RedemptionId,
    ) -> Result<Option<Redemption>, StorageError> {
        let vault = Arc::clone(&self.vault);
        let adopted = self.database.write(move |connection| {
            let vault = Arc::clone(&vault);
            async move { ownership::adopt_one(&connection, &vault, worker, id).await }
        });
        adopted.await
    }

    async fn append_inbox(&self, redemption: RedemptionId, item: Inbox) -> Result<(), StorageError> {
        let id = redemption.to_string();
        let item = Arc::new((sealed_item(&self.vault, &id, &item)?, id));
        let appended = self.database.write(move |connection| {
            let item = Arc::clone(&item);
            async move { append_inbox(&connection, &item.1, &item.0).await }
        });
        appended.await
    }

    async fn inbox(&self, redemption: RedemptionId) -> Result<Vec<InboxItem>, StorageError> {
        let connection = self.database.connection().await?;
        let sql = "SELECT id, item FROM inbox WHERE redemption = $1 ORDER BY id";
        let read = |row: &tokio_postgres::Row| Ok((row.try_get(0)?, row.try_get(1)?));
        rows(&connection, sql, &[&redemption.to_string()], read)
            .await?
            .into_iter()
            .map(|(id, item): (i64, Vec<u8>)| {
                Ok(InboxItem { id, item: self.vault.open(&Row::of("inbox", &redemption), "item", &item)? })
            })
            .collect()
    }

    async fn inboxes(&self, worker: WorkerId, limit: u32) -> Result<Vec<RedemptionId>, StorageError> {
        let connection = self.database.connection().await?;
        ownership::inboxes(&connection, worker, limit).await
    }

    async fn discard_inbox(
        &self,
        redemption: RedemptionId,
        epoch: u64,
        items: &[i64],
    ) -> Result<(), StorageError> {
        let items: Arc<[_]> = items.into();
        let discarded = self.database.write(move |connection| {
            let (id, items) = (redemption.to_string(), Arc::clone(&items));
            async move {
                // Held, so that nobody takes it over meanwhile.
                let sql = "SELECT epoch FROM redemption WHERE id = $1 FOR NO KEY UPDATE";
                let stored: Option<i64> = row(&connection, sql, &[&id], |row| row.try_get(0)).await?;
                if stored != Some(count(epoch)) {
                    return Err(StorageError::Fenced);
                }
                let sql = "DELETE FROM inbox WHERE id = ANY($1) AND redemption = $2";
                execute(&connection, sql, &[&&items[..], &id], || Row::of("inbox", &id)).await.map(drop)
            }
        });
        discarded.await
    }

    async fn claims(
        &self,
        supplier: &SupplierName,
        wanted: &Wanted,
        orders: &[OrderId],
        except: RedemptionId,
    ) -> Result<Claims, StorageError> {
        let Wanted { product, country, operator, max_cost: _ } = wanted;
        let claims = self.database.snapshot(|connection| async move {
            let sql = "SELECT order_id FROM unnest($2::bigint[], $3::text[]) AS listed (size, order_id)
                       WHERE EXISTS (SELECT FROM claim
                               WHERE supplier = $1 AND claim.size = listed.size AND claim.order_id = listed.order_id)
                           OR EXISTS (SELECT FROM orphan
                               WHERE supplier = $1 AND orphan.size = listed.size AND orphan.order_id = listed.order_id)";
            let (sizes, ids) = (sizes(orders), ids(orders));
            let found: Vec<String> =
                rows(&connection, sql, &[&supplier.as_str(), &sizes, &ids], |row| row.try_get(0)).await?;
            let sql = "SELECT min(attempt.started_at)
                       FROM attempt JOIN redemption ON redemption.id = attempt.redemption
                       WHERE attempt.is_unresolved AND attempt.supplier = $1 AND attempt.product = $2
                           AND attempt.country = $3 AND attempt.operator = $4
                           AND redemption.phase = 'ordering' AND redemption.id <> $5";
            let plan: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
                [&supplier.as_str(), product, country, operator, &except.to_string()];
            let earliest: Option<Option<i64>> =
                row(&connection, sql, &plan, |row| row.try_get(0)).await?;
            Ok(Claims {
                claimed: found.into_iter().map(OrderId::new).collect(),
                other_send_window: Row::of("attempt", supplier).times(earliest.flatten())?,
            })
        });
        claims.await
    }

    async fn holders(
        &self,
        supplier: &SupplierName,
        orders: &[OrderId],
    ) -> Result<Vec<(OrderId, RedemptionId)>, StorageError> {
        let connection = self.database.connection().await?;
        let sql = "SELECT DISTINCT claim.order_id, redemption.id
                   FROM unnest($2::bigint[], $3::text[]) AS listed (size, order_id)
                       JOIN claim ON claim.supplier = $1 AND claim.size = listed.size AND claim.order_id = listed.order_id
                       JOIN redemption ON redemption.id = claim.redemption
                   WHERE NOT redemption.is_at_rest";
        let read = |row: &tokio_postgres::Row| Ok((row.try_get(0)?, row.try_get(1)?));
        rows(&connection, sql, &[&supplier.as_str(), &sizes(orders), &ids(orders)], read)
            .await?
            .into_iter()
            .map(|(order, id): (String, String)| {
                Ok((OrderId::new(order), Row::of("redemption", &id).parse(&id)?))
            })
            .collect()
    }

    async fn outlook(&self, sku: &SkuId) -> Result<Option<(Sku, Outlook)>, StorageError> {
        let seen = self.database.snapshot(|connection| async move {
            let Some(sku) = catalogue::load(&connection, sku.as_str()).await? else { return Ok(None) };
            let outlook = outlook::of_sku(&connection, &sku).await?;
            Ok(Some((sku, outlook)))
        });
        seen.await
    }

    async fn observe(&self, observed: Observed) -> Result<(), StorageError> {
        let observed = Arc::new(observed);
        let noted = self.database.write(move |connection| {
            let observed = Arc::clone(&observed);
            async move { outlook::observe(&connection, &observed).await }
        });
        noted.await
    }

    async fn forget_idle(&self, now: DateTime<Utc>) -> Result<u64, StorageError> {
        let forgotten = self.database.write(move |connection| async move {
            vouchers::sum_up_counts(&connection).await?;
            limits::forget_idle(&connection).await?;
            counters::forget_idle(&connection, now).await
        });
        forgotten.await
    }

    async fn purge(
        &self,
        before: DateTime<Utc>,
        limit: u32,
        now: DateTime<Utc>,
    ) -> Result<u64, StorageError> {
        // Asked for every minute, mostly for nothing.
        if !purge::is_due(&*self.database.connection().await?, before).await? {
            return Ok(0);
        }
        let vault = Arc::clone(&self.vault);
        let purged = self.database.write(move |connection| {
            let vault = Arc::clone(&vault);
            async move { purge::purge(&connection, &vault, before, limit, now).await }
        });
        purged.await
    }

    async fn newest_order(&self, supplier: &SupplierName) -> Result<Option<OrderId>, StorageError> {
        let connection = self.database.connection().await?;
        let sql = "SELECT order_id FROM (
                (SELECT size, order_id FROM claim WHERE supplier = $1 ORDER BY size DESC, order_id DESC LIMIT 1)
                UNION ALL
                (SELECT size, order_id FROM orphan WHERE supplier = $1 ORDER BY size DESC, order_id DESC LIMIT 1)
            ) AS newest ORDER BY size DESC, order_id DESC LIMIT 1";
        let newest: Option<String> =
            row(&connection, sql, &[&supplier.as_str()], |row| row.try_get(0)).await?;
        Ok(newest.map(OrderId::new))
    }
}

fn sizes(orders: &[OrderId]) -> Vec<i64> {
    orders.iter().map(size).collect()
}

fn ids(orders: &[OrderId]) -> Vec<&str> {
    orders.iter().map(OrderId::as_str).collect()
}

/// Who has claimed an order.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Claimant {
    Attempt { redemption: String, number: i64 },
    Orphan,
}

/// Who has claimed `order`, if anybody has.
pub(super) async fn claimant(
    connection: &Connection,
    supplier: &SupplierName,
    order: &OrderId,
) -> Result<Option<Claimant>, StorageError> {
    let sql = "SELECT redemption, attempt FROM claim WHERE supplier = $1 AND size = $2 AND order_id = $3
               UNION ALL
               SELECT NULL, NULL FROM orphan WHERE supplier = $1 AND size = $2 AND order_id = $3";
    row(connection, sql, &[&supplier.as_str(), &size(order), &order.as_str()], |row| {
        Ok(match (row.try_get(0)?, row.try_get(1)?) {
            (Some(redemption), Some(number)) => Claimant::Attempt { redemption, number },
            _ => Claimant::Orphan,
        })
    })
    .await
}

pub(super) async fn load(
    connection: &Connection,
    vault: &Vault,
    id: &str,
) -> Result<Option<Redemption>, StorageError> {
    let sql = "SELECT id, version, epoch, owner, takeovers, next, state FROM redemption WHERE id = $1";
    row(connection, sql, &[&id], redemption_row).await?.map(|row| row.read(vault)).transpose()
}

pub(super) fn redemption_row(row: &tokio_postgres::Row) -> Result<RedemptionRow, tokio_postgres::Error> {
    Ok(RedemptionRow {
        id: row.try_get(0)?,
        version: row.try_get(1)?,
        epoch: row.try_get(2)?,
        owner: row.try_get(3)?,
        takeovers: row.try_get(4)?,
        next: row.try_get(5)?,
        state: row.try_get(6)?,
    })
}

pub(super) async fn append_inbox(
    connection: &Connection,
    redemption: &str,
    item: &[u8],
) -> Result<(), StorageError> {
    let sql = "INSERT INTO inbox (redemption, item) SELECT id, $2 FROM redemption WHERE id = $1";
    match execute(connection, sql, &[&redemption, &item], || Row::of("inbox", redemption)).await? {
        0 => Err(StorageError::Conflict),
        _ => Ok(()),
    }
}

//! SKUs.

use std::sync::Arc;

use async_trait::async_trait;
use mintcode_core::ids::{PlanId, SkuId};
use mintcode_core::ports::catalogue::{Catalogue, PlanChange, Put, SkuError, may_replace};
use mintcode_core::ports::storage::StorageError;
use mintcode_core::sku::Sku;

use super::PostgresStore;
use super::connection::Connection;
use super::transaction::{execute, lock_name, row, rows};
use crate::rows::{Row, json};

#[async_trait]
impl Catalogue for PostgresStore {
    async fn put_sku(&self, sku: Sku, put: Put) -> Result<bool, SkuError> {
        let stored = self.database.write(move |connection| {
            let sku = sku.clone();
            async move {
                lock(&connection).await?;
                put_sku(&connection, sku, put).await
            }
        });
        stored.await
    }

    async fn put_skus(&self, skus: Vec<Sku>, put: Put) -> Result<Vec<bool>, (usize, SkuError)> {
        let skus = Arc::new(skus);
        let stored = self.database.write(move |connection| {
            let skus = Arc::clone(&skus);
            async move {
                lock(&connection).await?;
                let mut stored = Vec::new();
                for (index, sku) in skus.iter().enumerate() {
                    let is_new = put_sku(&connection, sku.clone(), put).await;
                    stored.push(is_new.map_err(|error| Refused { index, error })?);
                }
                Ok::<_, Refused>(stored)
            }
        });
        stored.await.map_err(|Refused { index, error }| (index, error))
    }

    async fn sku(&self, id: &SkuId) -> Result<Option<Sku>, StorageError> {
        let connection = self.database.connection().await?;
        load(&connection, id.as_str()).await
    }

    async fn skus(&self) -> Result<Vec<Sku>, StorageError> {
        let connection = self.database.connection().await?;
        let read = |row: &tokio_postgres::Row| Ok((row.try_get(0)?, row.try_get(1)?));
        rows(&connection, "SELECT id, spec FROM sku ORDER BY id", &[], read)
            .await?
            .into_iter()
            .map(|(id, spec): (String, String)| Row::of("sku", &id).json(&spec))
            .collect()
    }

    async fn archive_sku(&self, id: &SkuId) -> Result<(), SkuError> {
        let id = id.clone();
        let archived = self.database.write(move |connection| {
            let id = id.clone();
            async move {
                lock(&connection).await?;
                let sku = load(&connection, id.as_str()).await?.ok_or(SkuError::NoSku)?;
                store(&connection, &Sku { archived: true, ..sku }).await
            }
        });
        archived.await
    }

    async fn change_plan(&self, sku: &SkuId, plan: &PlanId, change: PlanChange) -> Result<Sku, SkuError> {
        let (sku, plan) = (sku.clone(), plan.clone());
        let changed = self.database.write(move |connection| {
            let (sku, plan, change) = (sku.clone(), plan.clone(), change.clone());
            async move {
                lock(&connection).await?;
                let stored = load(&connection, sku.as_str()).await?.ok_or(SkuError::NoSku)?;
                let changed = change.apply(stored, &plan)?;
                store(&connection, &changed).await?;
                Ok(changed)
            }
        });
        changed.await
    }
}

/// Which of several SKUs was refused, and why.
#[derive(Debug, thiserror::Error)]
#[error("SKU {index} was refused")]
struct Refused {
    index: usize,
    #[source]
    error: SkuError,
}

impl From<StorageError> for Refused {
    /// None was reached, so it is the first one's.
    fn from(error: StorageError) -> Self {
        Self { index: 0, error: error.into() }
    }
}

/// Changes of the catalogue are rare, and come one after the other.
async fn lock(connection: &Connection) -> Result<(), StorageError> {
    lock_name(connection, "catalogue").await
}

pub(super) async fn load(connection: &Connection, id: &str) -> Result<Option<Sku>, StorageError> {
    let sql = "SELECT spec FROM sku WHERE id = $1";
    let spec: Option<String> = row(connection, sql, &[&id], |row| row.try_get(0)).await?;
    spec.map(|spec| Row::of("sku", id).json(&spec)).transpose()
}

/// As [`load`], and keeps the SKU as it is until the transaction's end, as whoever mints needs it.
pub(super) async fn load_to_mint(connection: &Connection, id: &str) -> Result<Option<Sku>, StorageError> {
    let sql = "SELECT spec FROM sku WHERE id = $1 FOR SHARE";
    let spec: Option<String> = row(connection, sql, &[&id], |row| row.try_get(0)).await?;
    spec.map(|spec| Row::of("sku", id).json(&spec)).transpose()
}

async fn put_sku(connection: &Connection, sku: Sku, put: Put) -> Result<bool, SkuError> {
    // Whoever is minting it ends first, so that the batch is seen.
    row(connection, "SELECT 1 FROM sku WHERE id = $1 FOR NO KEY UPDATE", &[&sku.id.as_str()], |_| Ok(()))
        .await?;
    let old = load(connection, sku.id.as_str()).await?;
    match (&old, put) {
        (Some(_), Put::Create) => return Err(SkuError::Exists),
        (None, Put::Replace) => return Err(SkuError::NoSku),
        (None, Put::Create | Put::Apply) => {}
        (Some(old), Put::Replace | Put::Apply) => may_replace(old, &sku, has_batch(connection, &sku).await?)?,
    }
    let sql = "SELECT 1 FROM sku WHERE label = $1 AND id <> $2";
    if row(connection, sql, &[&sku.label.as_str(), &sku.id.as_str()], |_| Ok(())).await?.is_some() {
        return Err(SkuError::LabelTaken);
    }
    store(connection, &Sku { archived: false, ..sku }).await?;
    Ok(old.is_none())
}

async fn has_batch(connection: &Connection, sku: &Sku) -> Result<bool, StorageError> {
    let sql = "SELECT 1 FROM batch WHERE sku = $1 LIMIT 1";
    Ok(row(connection, sql, &[&sku.id.as_str()], |_| Ok(())).await?.is_some())
}

async fn store(connection: &Connection, sku: &Sku) -> Result<(), SkuError> {
    let sql = "INSERT INTO sku (id, label, spec) VALUES ($1, $2, $3)
               ON CONFLICT (id) DO UPDATE SET label = excluded.label, spec = excluded.spec";
    let row = || Row::of("sku", &sku.id);
    execute(connection, sql, &[&sku.id.as_str(), &sku.label.as_str(), &json(sku)], row).await?;
    Ok(())
}

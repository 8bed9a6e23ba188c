//! SKUs.

use async_trait::async_trait;
use mintcode_core::ids::{PlanId, SkuId};
use mintcode_core::ports::catalogue::{Catalogue, PlanChange, Put, SkuError, may_replace};
use mintcode_core::ports::storage::StorageError;
use mintcode_core::sku::Sku;
use rusqlite::Connection;

use super::SqliteStore;
use super::redemptions::{execute, row, rows};
use crate::rows::{Row, json};

#[async_trait]
impl Catalogue for SqliteStore {
    async fn put_sku(&self, sku: Sku, put: Put) -> Result<bool, SkuError> {
        self.writer.write(move |connection| put_sku(connection, sku, put)).await
    }

    async fn put_skus(&self, skus: Vec<Sku>, put: Put) -> Result<Vec<bool>, (usize, SkuError)> {
        let stored = self.writer.write(move |connection| {
            let put_one =
                |(index, sku)| put_sku(connection, sku, put).map_err(|error| Refused { index, error });
            skus.into_iter().enumerate().map(put_one).collect()
        });
        stored.await.map_err(|Refused { index, error }| (index, error))
    }

    async fn sku(&self, id: &SkuId) -> Result<Option<Sku>, StorageError> {
        self.read(|connection| load(connection, id.as_str()))
    }

    async fn skus(&self) -> Result<Vec<Sku>, StorageError> {
        self.read(|connection| {
            rows(connection, "SELECT id, spec FROM sku ORDER BY id", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?
            .into_iter()
            .map(|(id, spec): (String, String)| Row::of("sku", &id).json(&spec))
            .collect()
        })
    }

    async fn archive_sku(&self, id: &SkuId) -> Result<(), SkuError> {
        let id = id.clone();
        self.writer
            .write(move |connection| {
                let sku = load(connection, id.as_str())?.ok_or(SkuError::NoSku)?;
                store(connection, &Sku { archived: true, ..sku })
            })
            .await
    }

    async fn change_plan(&self, sku: &SkuId, plan: &PlanId, change: PlanChange) -> Result<Sku, SkuError> {
        let (sku, plan) = (sku.clone(), plan.clone());
        self.writer
            .write(move |connection| {
                let changed = change.apply(load(connection, sku.as_str())?.ok_or(SkuError::NoSku)?, &plan)?;
                store(connection, &changed)?;
                Ok(changed)
            })
            .await
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

pub(super) fn load(connection: &Connection, id: &str) -> Result<Option<Sku>, StorageError> {
    let spec: Option<String> = row(connection, "SELECT spec FROM sku WHERE id = ?1", [id], |row| row.get(0))?;
    spec.map(|spec| Row::of("sku", &id).json(&spec)).transpose()
}

fn put_sku(connection: &Connection, sku: Sku, put: Put) -> Result<bool, SkuError> {
    let old = load(connection, sku.id.as_str())?;
    match (&old, put) {
        (Some(_), Put::Create) => return Err(SkuError::Exists),
        (None, Put::Replace) => return Err(SkuError::NoSku),
        (None, Put::Create | Put::Apply) => {}
        (Some(old), Put::Replace | Put::Apply) => may_replace(old, &sku, has_batch(connection, &sku)?)?,
    }
    let sql = "SELECT 1 FROM sku WHERE label = ?1 AND id <> ?2";
    if row(connection, sql, (sku.label.as_str(), sku.id.as_str()), |_| Ok(()))?.is_some() {
        return Err(SkuError::LabelTaken);
    }
    store(connection, &Sku { archived: false, ..sku })?;
    Ok(old.is_none())
}

fn has_batch(connection: &Connection, sku: &Sku) -> Result<bool, StorageError> {
    // One whose vouchers are still being stored counts: they are tagged with the label.
    let sql = "SELECT 1 FROM every_batch WHERE sku = ?1 LIMIT 1";
    let found = row(connection, sql, [sku.id.as_str()], |_| Ok(()))?;
    Ok(found.is_some())
}

fn store(connection: &Connection, sku: &Sku) -> Result<(), SkuError> {
    let sql = "INSERT INTO sku (id, label, spec) VALUES (?1, ?2, ?3)
               ON CONFLICT (id) DO UPDATE SET label = excluded.label, spec = excluded.spec";
    let parameters = (sku.id.as_str(), sku.label.as_str(), json(sku));
    execute(connection, sql, parameters, || Row::of("sku", &sku.id))?;
    Ok(())
}

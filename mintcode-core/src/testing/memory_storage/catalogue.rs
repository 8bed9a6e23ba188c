//! SKUs.

use async_trait::async_trait;

use super::{MemoryStorage, State};
use crate::ids::{PlanId, SkuId};
use crate::ports::catalogue::may_replace;
use crate::ports::{Catalogue, PlanChange, Put, SkuError, StorageError};
use crate::sku::Sku;

#[async_trait]
impl Catalogue for MemoryStorage {
    async fn put_sku(&self, sku: Sku, put: Put) -> Result<bool, SkuError> {
        self.transaction(|state| state.put_sku(sku, put))
    }

    async fn put_skus(&self, skus: Vec<Sku>, put: Put) -> Result<Vec<bool>, (usize, SkuError)> {
        self.transaction(|state| {
            let before = state.skus.clone();
            let stored: Result<Vec<_>, _> = skus
                .into_iter()
                .enumerate()
                .map(|(place, sku)| state.put_sku(sku, put).map_err(|error| (place, error)))
                .collect();
            if stored.is_err() {
                state.skus = before;
            }
            stored
        })
    }

    async fn sku(&self, id: &SkuId) -> Result<Option<Sku>, StorageError> {
        self.transaction(|state| Ok(state.skus.get(id).cloned()))
    }

    async fn skus(&self) -> Result<Vec<Sku>, StorageError> {
        self.transaction(|state| Ok(state.skus.values().cloned().collect()))
    }

    async fn archive_sku(&self, id: &SkuId) -> Result<(), SkuError> {
        self.transaction(|state| {
            state.skus.get_mut(id).ok_or(SkuError::NoSku)?.archived = true;
            Ok(())
        })
    }

    async fn change_plan(&self, sku: &SkuId, plan: &PlanId, change: PlanChange) -> Result<Sku, SkuError> {
        self.transaction(|state| {
            let stored = state.skus.get_mut(sku).ok_or(SkuError::NoSku)?;
            *stored = change.apply(stored.clone(), plan)?;
            Ok(stored.clone())
        })
    }
}

impl State {
    fn put_sku(&mut self, sku: Sku, put: Put) -> Result<bool, SkuError> {
        let old = self.skus.get(&sku.id);
        match (old, put) {
            (Some(_), Put::Create) => return Err(SkuError::Exists),
            (None, Put::Replace) => return Err(SkuError::NoSku),
            (None, Put::Create | Put::Apply) => {}
            (Some(old), Put::Replace | Put::Apply) => {
                let has_batch = self.batches.iter().any(|batch| batch.sku == sku.id);
                may_replace(old, &sku, has_batch)?;
            }
        }
        if self.skus.values().any(|other| other.id != sku.id && other.label == sku.label) {
            return Err(SkuError::LabelTaken);
        }
        let replaced = self.skus.insert(sku.id.clone(), Sku { archived: false, ..sku });
        Ok(replaced.is_none())
    }
}

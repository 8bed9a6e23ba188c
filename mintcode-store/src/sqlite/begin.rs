//! Beginning a redemption: find the voucher, let the core decide, store what it decides.

use mintcode_core::ids::RedemptionId;
use mintcode_core::ports::storage::{Begin, BeginBy, Begun, StorageError};
use mintcode_core::redemption::{HolderKey, Redemption};
use mintcode_core::voucher::{Admission, Refusal, Request, VoucherHash, admit};
use rusqlite::Connection;

use super::commit::{insert_event, standing};
use super::redemptions::{execute, load, row};
use super::{catalogue, vouchers};
use crate::rows::{Row, count, json, micros};

pub(super) fn begin(connection: &Connection, begin: Begin) -> Result<Begun, StorageError> {
    let Begin { by, holder, id, owner, now } = begin;
    let again = match &by {
        BeginBy::Again(id) => Some(*id),
        BeginBy::Code(_) => None,
    };
    let voucher = match by {
        BeginBy::Code(hashes) => vouchers::find(connection, &hashes)?,
        BeginBy::Again(id) => match load(connection, &id.to_string())? {
            Some(redemption) => vouchers::find(connection, &[redemption.voucher])?,
            None => return Ok(Begun::Refused(Refusal::NoRedemption)),
        },
    };
    let key = holder.idempotency.clone();
    if let Some(first) = first_voucher(connection, key.as_ref())?
        && voucher.as_ref().is_none_or(|voucher| voucher.hash.to_bytes() != *first)
    {
        return Ok(Begun::Refused(Refusal::IdempotencyMismatch));
    }
    let Some(voucher) = voucher else {
        return Ok(Begun::Refused(Refusal::Unknown));
    };

    let hash = voucher.hash;
    let corrupt = || Row::of("voucher", &hash).corrupt();
    let sku = catalogue::load(connection, voucher.sku.as_str())?.ok_or_else(corrupt)?;
    let last = match voucher.redemption {
        Some(last) => Some(load(connection, &last.to_string())?.ok_or_else(corrupt)?),
        None => None,
    };
    match admit(voucher, &sku, last.as_ref(), Request { holder, id, again }, now) {
        Admission::Begin { voucher, redemption, follows } => {
            let redemption = Redemption { owner, ..*redemption };
            insert(connection, &redemption)?;
            insert_event(connection, &id.to_string(), 1, &json(&redemption.snapshot()))?;
            vouchers::update(connection, &voucher)?;
            if let Some(followed) = follows {
                set_next(connection, followed, id)?;
            }
            if let Some(key) = key {
                remember_key(connection, &key, hash, id)?;
            }
            Ok(Begun::New(Box::new(redemption)))
        }
        Admission::Same => Ok(Begun::Same(Box::new(last.ok_or_else(corrupt)?))),
        Admission::Expired(voucher) => {
            vouchers::update(connection, &voucher)?;
            Ok(Begun::Refused(Refusal::Expired))
        }
        Admission::Refused(refusal) => Ok(Begun::Refused(refusal)),
    }
}

/// The voucher that the idempotency key belongs to.
fn first_voucher(connection: &Connection, key: Option<&HolderKey>) -> Result<Option<Vec<u8>>, StorageError> {
    let Some(key) = key else { return Ok(None) };
    row(connection, "SELECT voucher FROM idempotency WHERE key = ?1", [key.as_str()], |row| row.get(0))
}

fn remember_key(
    connection: &Connection,
    key: &HolderKey,
    voucher: VoucherHash,
    redemption: RedemptionId,
) -> Result<(), StorageError> {
    let sql = "INSERT INTO idempotency (key, voucher, redemption) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
    let parameters = (key.as_str(), voucher.to_bytes(), redemption.to_string());
    execute(connection, sql, parameters, || Row::of("idempotency", key.as_str())).map(drop)
}

fn set_next(connection: &Connection, followed: RedemptionId, next: RedemptionId) -> Result<(), StorageError> {
    let sql = "UPDATE redemption SET next = ?2 WHERE id = ?1";
    execute(connection, sql, (followed.to_string(), next.to_string()), || Row::of("redemption", &followed))
        .map(drop)
}

fn insert(connection: &Connection, redemption: &Redemption) -> Result<(), StorageError> {
    let sql =
        "INSERT INTO redemption (id, voucher, sku, status, phase, standing, is_at_rest, version, epoch, owner,
                   deadline, created_at, updated_at, state)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
    let Redemption { id, voucher, sku, version, epoch, owner, deadline, created_at, updated_at, .. } =
        redemption;
    let id = id.to_string();
    let parameters = rusqlite::params![
        id,
        voucher.to_bytes(),
        sku.as_str(),
        redemption.status().name(),
        redemption.phase.name(),
        standing(redemption),
        redemption.is_at_rest(),
        count(*version),
        count(*epoch),
        owner.map(|owner| owner.to_string()),
        micros(*deadline),
        micros(*created_at),
        micros(*updated_at),
        json(redemption),
    ];
    if row(connection, "SELECT 1 FROM redemption WHERE id = ?1", [&id], |_| Ok(()))?.is_some() {
        return Err(StorageError::Conflict);
    }
    execute(connection, sql, parameters, || Row::of("redemption", &id)).map(drop)
}

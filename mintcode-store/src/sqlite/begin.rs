//! Beginning a redemption: find the voucher, let the core decide, store what it decides.

use mintcode_core::health::Outlook;
use mintcode_core::ids::RedemptionId;
use mintcode_core::ledger;
use mintcode_core::ports::storage::{Begin, BeginBy, Begun, StorageError};
use mintcode_core::redemption::{HolderKey, Redemption};
use mintcode_core::sku::Sku;
use mintcode_core::velocity::{Cap, Counter};
use mintcode_core::voucher::{
    Admission, Refusal, Request, Surroundings, Voucher, VoucherHash, VoucherState, admit,
};
use rusqlite::Connection;

use super::commit::{insert_event, phase};
use super::redemptions::{execute, load, row};
use super::{alerts, books, catalogue, counters, outlook, vouchers};
use crate::columns::standing;
use crate::rows::{Row, count, json, micros};
use crate::vault::Vault;

pub(super) fn begin(connection: &Connection, vault: &Vault, begin: &Begin) -> Result<Begun, StorageError> {
    let again = match &begin.by {
        BeginBy::Again(id) => Some(*id),
        BeginBy::Code(_) => None,
    };
    let voucher = match &begin.by {
        BeginBy::Code(hashes) => vouchers::find(connection, hashes)?,
        BeginBy::Again(id) => match load(connection, vault, &id.to_string())? {
            Some(redemption) => vouchers::find(connection, &[redemption.voucher])?,
            None => return Ok(Begun::Refused(Refusal::NoRedemption)),
        },
    };
    let key = begin.holder.idempotency.as_ref();
    if let Some(first) = first_voucher(connection, key)?
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
        Some(last) => Some(load(connection, vault, &last.to_string())?.ok_or_else(corrupt)?),
        None => None,
    };
    let seen = Seen::of(connection, begin, &voucher, &sku)?;
    let around = Surroundings { outlook: &seen.outlook, rules: &begin.rules, begun: &seen.begun };
    let (id, now) = (begin.id, begin.now);
    let request = Request { holder: begin.holder.clone(), id, again };
    match admit(voucher, &sku, last.as_ref(), request, &around, now) {
        Admission::Begin { voucher, redemption, follows } => {
            let redemption = Redemption { owner: begin.owner, ..*redemption };
            insert(connection, vault, &redemption)?;
            insert_event(connection, &id.to_string(), 1, &json(&redemption.snapshot()))?;
            vouchers::update(connection, &voucher)?;
            if let Some(followed) = follows {
                set_next(connection, followed, id)?;
            }
            if let Some(key) = key {
                remember_key(connection, key, hash, id)?;
            }
            books::insert(connection, &redemption, &ledger::due(None, &redemption), now)?;
            for (key, (_, counter)) in seen.keys.iter().zip(seen.begun) {
                counters::count(connection, key, counter, now)?;
            }
            Ok(Begun::New(Box::new(redemption)))
        }
        Admission::Same => Ok(Begun::Same(Box::new(last.ok_or_else(corrupt)?))),
        Admission::Expired(voucher) => {
            vouchers::update(connection, &voucher)?;
            Ok(Begun::Refused(Refusal::Expired))
        }
        Admission::Refused(refusal) => {
            alerts::apply(connection, &refusal.alert(&sku.id), now)?;
            Ok(Begun::Refused(refusal))
        }
    }
}

/// What a redemption that begins depends on beside its voucher.
#[derive(Default)]
struct Seen {
    outlook: Outlook,
    keys: Vec<String>,
    begun: Vec<(Cap, Counter)>,
}

impl Seen {
    /// Where no redemption can begin, nothing is looked at: holders who come back to theirs are the most common of all.
    fn of(
        connection: &Connection,
        begin: &Begin,
        voucher: &Voucher,
        sku: &Sku,
    ) -> Result<Self, StorageError> {
        if !matches!(voucher.state, VoucherState::Issued | VoucherState::RetryableFailed) {
            return Ok(Self::default());
        }
        let mut seen = Self { outlook: outlook::of_sku(connection, sku)?, ..Self::default() };
        for (key, cap) in begin.counted_under(&sku.id) {
            seen.begun.push((cap, counters::load(connection, &key)?));
            seen.keys.push(key);
        }
        Ok(seen)
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

fn insert(connection: &Connection, vault: &Vault, redemption: &Redemption) -> Result<(), StorageError> {
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
        phase(redemption),
        standing(redemption),
        redemption.is_at_rest(),
        count(*version),
        count(*epoch),
        owner.map(|owner| owner.to_string()),
        micros(*deadline),
        micros(*created_at),
        micros(*updated_at),
        vault.seal(&Row::of("redemption", &id), "state", redemption)?,
    ];
    if row(connection, "SELECT 1 FROM redemption WHERE id = ?1", [&id], |_| Ok(()))?.is_some() {
        return Err(StorageError::Conflict);
    }
    execute(connection, sql, parameters, || Row::of("redemption", &id)).map(drop)
}

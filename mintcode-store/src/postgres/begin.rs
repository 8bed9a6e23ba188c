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

use super::commit::insert_event;
use super::connection::{Connection, Lent};
use super::redemptions::load;
use super::transaction::{execute, lock_name, row};
use super::{alerts, books, catalogue, counters, outlook, vouchers};
use crate::columns::standing;
use crate::rows::{Row, count, json, micros};
use crate::vault::Vault;

pub(super) async fn begin(transaction: &Lent, vault: &Vault, begin: &Begin) -> Result<Begun, StorageError> {
    // Most of those who come back, and all who guess, change nothing.
    let unchanged = |begun| {
        transaction.nothing_changed();
        Ok(begun)
    };
    let connection: &Connection = transaction;
    let again = match &begin.by {
        BeginBy::Again(id) => Some(*id),
        BeginBy::Code(_) => None,
    };
    let key = begin.holder.idempotency.as_ref();
    if let Some(key) = key {
        // Requests with one key come one after the other, so that the first one's voucher is known to the others.
        lock_name(connection, &format!("idempotency {}", key.as_str())).await?;
    }
    let voucher = match &begin.by {
        BeginBy::Code(hashes) => vouchers::hold(connection, hashes).await?,
        BeginBy::Again(id) => match load(connection, vault, &id.to_string()).await? {
            Some(redemption) => vouchers::hold(connection, &[redemption.voucher]).await?,
            None => return unchanged(Begun::Refused(Refusal::NoRedemption)),
        },
    };
    if let Some(first) = first_voucher(connection, key).await?
        && voucher.as_ref().is_none_or(|voucher| voucher.hash.to_bytes() != *first)
    {
        return unchanged(Begun::Refused(Refusal::IdempotencyMismatch));
    }
    let Some(voucher) = voucher else {
        return unchanged(Begun::Refused(Refusal::Unknown));
    };

    let hash = voucher.hash;
    let corrupt = || Row::of("voucher", &hash).corrupt();
    let last = async {
        match voucher.redemption {
            Some(last) => load(connection, vault, &last.to_string()).await?.ok_or_else(corrupt).map(Some),
            None => Ok(None),
        }
    };
    let (sku, last) = tokio::try_join!(catalogue::load(connection, voucher.sku.as_str()), last)?;
    let sku = sku.ok_or_else(corrupt)?;
    let seen = Seen::of(connection, begin, &voucher, &sku).await?;
    let around = Surroundings { outlook: &seen.outlook, rules: &begin.rules, begun: &seen.begun };
    let (id, now) = (begin.id, begin.now);
    let request = Request { holder: begin.holder.clone(), id, again };
    match admit(voucher, &sku, last.as_ref(), request, &around, now) {
        Admission::Begin { voucher, redemption, follows } => {
            let redemption = Redemption { owner: begin.owner, ..*redemption };
            insert(connection, vault, &redemption).await?;
            insert_event(connection, &id.to_string(), 1, &json(&redemption.snapshot())).await?;
            vouchers::update(connection, &voucher).await?;
            if let Some(followed) = follows {
                set_next(connection, followed, id).await?;
            }
            if let Some(key) = key {
                remember_key(connection, key, hash, id).await?;
            }
            books::insert(connection, &redemption, &ledger::due(None, &redemption), now).await?;
            for (key, (_, counter)) in seen.keys.iter().zip(seen.begun) {
                counters::count(connection, key, counter, now).await?;
            }
            Ok(Begun::New(Box::new(redemption)))
        }
        Admission::Same => unchanged(Begun::Same(Box::new(last.ok_or_else(corrupt)?))),
        Admission::Expired(voucher) => {
            vouchers::update(connection, &voucher).await?;
            Ok(Begun::Refused(Refusal::Expired))
        }
        Admission::Refused(refusal) => {
            let alert = refusal.alert(&sku.id);
            alerts::apply(connection, alert.as_slice(), now).await?;
            if alert.is_none() { unchanged(Begun::Refused(refusal)) } else { Ok(Begun::Refused(refusal)) }
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
    async fn of(
        connection: &Connection,
        begin: &Begin,
        voucher: &Voucher,
        sku: &Sku,
    ) -> Result<Self, StorageError> {
        if !matches!(voucher.state, VoucherState::Issued | VoucherState::RetryableFailed) {
            return Ok(Self::default());
        }
        let mut seen = Self { outlook: outlook::of_sku(connection, sku).await?, ..Self::default() };
        let mut counted = begin.counted_under(&sku.id);
        // Held in one order by everybody, so that no two wait for each other.
        counted.sort_by(|(one, _), (other, _)| one.cmp(other));
        for (key, cap) in counted {
            seen.begun.push((cap, counters::load(connection, &key).await?));
            seen.keys.push(key);
        }
        Ok(seen)
    }
}

/// The voucher that the idempotency key belongs to.
async fn first_voucher(
    connection: &Connection,
    key: Option<&HolderKey>,
) -> Result<Option<Vec<u8>>, StorageError> {
    let Some(key) = key else { return Ok(None) };
    let sql = "SELECT voucher FROM idempotency WHERE key = $1";
    row(connection, sql, &[&key.as_str()], |row| row.try_get(0)).await
}

async fn remember_key(
    connection: &Connection,
    key: &HolderKey,
    voucher: VoucherHash,
    redemption: RedemptionId,
) -> Result<(), StorageError> {
    let sql = "INSERT INTO idempotency (key, voucher, redemption) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    let row = || Row::of("idempotency", key.as_str());
    let hash = voucher.to_bytes();
    execute(connection, sql, &[&key.as_str(), &hash.as_slice(), &redemption.to_string()], row).await.map(drop)
}

async fn set_next(
    connection: &Connection,
    followed: RedemptionId,
    next: RedemptionId,
) -> Result<(), StorageError> {
    let sql = "UPDATE redemption SET next = $2 WHERE id = $1";
    let row = || Row::of("redemption", &followed);
    execute(connection, sql, &[&followed.to_string(), &next.to_string()], row).await.map(drop)
}

async fn insert(connection: &Connection, vault: &Vault, redemption: &Redemption) -> Result<(), StorageError> {
    let sql =
        "INSERT INTO redemption (id, voucher, sku, status, phase, standing, is_at_rest, version, epoch, owner,
                   deadline, created_at, updated_at, state)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
               ON CONFLICT (id) DO NOTHING";
    let Redemption { id, voucher, sku, version, epoch, owner, deadline, created_at, updated_at, .. } =
        redemption;
    let (id, hash) = (id.to_string(), voucher.to_bytes());
    let inserted = execute(
        connection,
        sql,
        &[
            &id,
            &hash.as_slice(),
            &sku.as_str(),
            &redemption.status().name(),
            &redemption.phase.name(),
            &standing(redemption),
            &redemption.is_at_rest(),
            &count(*version),
            &count(*epoch),
            &owner.map(|owner| owner.to_string()),
            &micros(*deadline),
            &micros(*created_at),
            &micros(*updated_at),
            &vault.seal(&Row::of("redemption", &id), "state", redemption)?,
        ],
        || Row::of("redemption", &id),
    )
    .await?;
    if inserted == 0 { Err(StorageError::Conflict) } else { Ok(()) }
}

//! Storing one change of a redemption with everything that belongs to it.

use mintcode_core::alert::AlertChange;
use mintcode_core::ports::storage::{Commit, StorageError};
use mintcode_core::redemption::AttemptRow;
use mintcode_core::voucher::{Voucher, VoucherEvent};

use super::connection::Connection;
use super::redemptions::{Claimant, claimant};
use super::transaction::{execute, row};
use super::{alerts, books, outlook, vouchers};
use crate::columns::{size, standing};
use crate::crash_point::Stored;
use crate::rows::{Row, count, json, micros};
use crate::vault::Vault;

/// A commit with everything written out that needs no database.
pub(super) struct PreparedCommit {
    commit: Commit,
    id: String,
    state: Vec<u8>,
    snapshot: String,
    attempts: Vec<AttemptRow>,
    choice: Option<String>,
}

impl PreparedCommit {
    pub(super) fn of(commit: Commit, vault: &Vault) -> Result<Self, StorageError> {
        let id = commit.next.id.to_string();
        Ok(Self {
            state: vault.seal(&Row::of("redemption", &id), "state", &commit.next)?,
            id,
            snapshot: json(&commit.next.snapshot()),
            attempts: commit.next.attempt_rows(),
            choice: commit.choice.as_ref().map(|choice| choice.text()),
            commit,
        })
    }

    pub(super) fn commit(&self) -> &Commit {
        &self.commit
    }

    /// What is stored, in words.
    pub(super) fn stored(&self) -> Stored {
        Stored::change(&self.commit)
    }

    /// The redemption's id.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Stores it in a transaction that [holds](super::committer) what it changes.
    pub(super) async fn store(&self, connection: &Connection) -> Result<(), StorageError> {
        self.check_release(connection).await?;
        self.update_redemption(connection).await?;
        let version = count(self.commit.next.version);
        insert_event(connection, &self.id, version, &self.snapshot).await?;
        for attempt in &self.attempts {
            self.claim(connection, attempt).await?;
            self.put_attempt(connection, attempt).await?;
        }
        let mut told = self.move_sources(connection).await?;
        if self.commit.needs_voucher() {
            vouchers::update(connection, &self.moved_voucher(connection).await?).await?;
        }
        let (rules, now) = (&self.commit.rules, self.commit.next.updated_at);
        for change in &self.commit.accounts {
            told.extend(outlook::move_account(connection, change, rules, now).await?);
        }
        books::insert(connection, &self.commit.next, &self.commit.ledger, now).await?;
        if let Some(choice) = &self.choice {
            let sql = "INSERT INTO choice (redemption, version, record) VALUES ($1, $2, $3)";
            execute(connection, sql, &[&self.id, &version, choice], || Row::of("choice", &self.id)).await?;
        }
        told.extend(self.commit.alerts.iter().cloned());
        alerts::apply(connection, &told, now).await?;
        if !self.commit.consumed.is_empty() {
            let sql = "DELETE FROM inbox WHERE id = ANY($1) AND redemption = $2";
            let row = || Row::of("inbox", &self.id);
            execute(connection, sql, &[&self.commit.consumed, &self.id], row).await?;
        }
        Ok(())
    }

    /// Refuses a release whose voucher went on. Looked at first, since that voucher may have its delivery by now, and the
    /// schema would take the release for a second one.
    async fn check_release(&self, connection: &Connection) -> Result<(), StorageError> {
        if !self.commit.voucher.contains(&VoucherEvent::Release) {
            return Ok(());
        }
        let sql = "SELECT 1 FROM redemption WHERE id = $1 AND version + 1 = $2 AND epoch = $3";
        let (version, epoch) = (count(self.commit.next.version), count(self.commit.next.epoch));
        // Another version or epoch is told before anything else.
        match row(connection, sql, &[&self.id, &version, &epoch], |_| Ok(())).await? {
            Some(()) => self.moved_voucher(connection).await.map(drop),
            None => Ok(()),
        }
    }

    async fn moved_voucher(&self, connection: &Connection) -> Result<Voucher, StorageError> {
        let hash = self.commit.next.voucher;
        let voucher = vouchers::find(connection, &[hash]).await?;
        self.commit.move_voucher(voucher.ok_or_else(|| Row::of("voucher", &hash).corrupt())?)
    }

    async fn move_sources(&self, connection: &Connection) -> Result<Vec<AlertChange>, StorageError> {
        let mut told = Vec::new();
        for change in &self.commit.health {
            let (rules, now) = (&self.commit.rules, self.commit.next.updated_at);
            told.extend(outlook::move_source(connection, change, rules, now).await?);
        }
        Ok(told)
    }

    /// Owner and follower are not the change's to make.
    async fn update_redemption(&self, connection: &Connection) -> Result<(), StorageError> {
        let sql = "UPDATE redemption SET status = $6, phase = $7, version = $2, takeovers = 0, deadline = $8,
                       updated_at = $9, state = $10, standing = $4, is_at_rest = $5, is_purged = false
                   WHERE id = $1 AND version + 1 = $2 AND epoch = $3";
        let next = &self.commit.next;
        let (version, epoch) = (count(next.version), count(next.epoch));
        let updated = execute(
            connection,
            sql,
            &[
                &self.id,
                &version,
                &epoch,
                &standing(next),
                &next.is_at_rest(),
                &next.status().name(),
                &next.phase.name(),
                &micros(next.deadline),
                &micros(next.updated_at),
                &self.state,
            ],
            || Row::of("redemption", &self.id),
        )
        .await?;
        if updated == 1 {
            return Ok(());
        }
        let sql = "SELECT epoch FROM redemption WHERE id = $1";
        let stored: Option<i64> = row(connection, sql, &[&self.id], |row| row.try_get(0)).await?;
        Err(if stored.is_none_or(|stored| stored == epoch) {
            StorageError::Conflict
        } else {
            StorageError::Fenced
        })
    }

    async fn claim(&self, connection: &Connection, attempt: &AttemptRow) -> Result<(), StorageError> {
        let Some(order) = &attempt.order else { return Ok(()) };
        match claimant(connection, &attempt.supplier, order).await? {
            Some(Claimant::Attempt { redemption, number })
                if redemption == self.id && number == i64::from(attempt.number) =>
            {
                Ok(())
            }
            Some(Claimant::Attempt { .. } | Claimant::Orphan) => Err(StorageError::Claimed),
            None => {
                let sql = "INSERT INTO claim (supplier, size, order_id, redemption, attempt)
                           VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
                let (supplier, number) = (attempt.supplier.as_str(), i64::from(attempt.number));
                let row = || Row::of("claim", order);
                match execute(
                    connection,
                    sql,
                    &[&supplier, &size(order), &order.as_str(), &self.id, &number],
                    row,
                )
                .await?
                {
                    // Somebody claimed it since it was looked for.
                    0 => Err(StorageError::Claimed),
                    _ => Ok(()),
                }
            }
        }
    }

    async fn put_attempt(&self, connection: &Connection, attempt: &AttemptRow) -> Result<(), StorageError> {
        // Attempts that are over are not written again with every later change.
        let sql = "INSERT INTO attempt (redemption, number, plan, supplier, product, country, operator, order_id, price,
                       is_unresolved, outcome, started_at, ended_at, sms_at)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
                   ON CONFLICT (redemption, number) DO UPDATE SET
                       order_id = excluded.order_id, price = excluded.price,
                       is_unresolved = excluded.is_unresolved, outcome = excluded.outcome,
                       ended_at = excluded.ended_at, sms_at = excluded.sms_at
                   WHERE (attempt.order_id, attempt.price, attempt.is_unresolved, attempt.outcome, attempt.ended_at,
                           attempt.sms_at)
                       IS DISTINCT FROM (excluded.order_id, excluded.price, excluded.is_unresolved, excluded.outcome,
                           excluded.ended_at, excluded.sms_at)";
        let AttemptRow { number, plan, supplier, wanted, started_at, order, price, .. } = attempt;
        execute(
            connection,
            sql,
            &[
                &self.id,
                &i64::from(*number),
                &plan.as_str(),
                &supplier.as_str(),
                &wanted.product,
                &wanted.country,
                &wanted.operator,
                &order.as_ref().map(mintcode_core::order::OrderId::as_str),
                &price.map(mintcode_core::money::Amount::micros),
                &attempt.is_unresolved,
                &attempt.outcome.map(mintcode_core::redemption::Outcome::name),
                &micros(*started_at),
                &attempt.ended_at.map(micros),
                &attempt.sms_at.map(micros),
            ],
            || Row::of("attempt", &format!("{}/{number}", self.id)),
        )
        .await
        .map(drop)
    }
}

pub(super) async fn insert_event(
    connection: &Connection,
    redemption: &str,
    version: i64,
    snapshot: &str,
) -> Result<(), StorageError> {
    let sql = "INSERT INTO event (redemption, version, snapshot) VALUES ($1, $2, $3)";
    let row = || Row::of("event", &format!("{redemption}/{version}"));
    execute(connection, sql, &[&redemption, &version, &snapshot], row).await.map(drop)
}

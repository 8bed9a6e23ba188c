//! Storing one change of a redemption with everything that belongs to it.

use mintcode_core::alert::AlertChange;
use mintcode_core::ports::storage::{Commit, StorageError};
use mintcode_core::redemption::{AttemptRow, Phase, Redemption};
use mintcode_core::voucher::{Voucher, VoucherEvent};
use rusqlite::Connection;

use super::redemptions::{Claimant, claimant, execute, row};
use super::{alerts, books, outlook, vouchers};
use crate::columns::{size, standing};
use crate::crash_point::Stored;
use crate::rows::{Row, count, json, micros};
use crate::vault::Vault;

/// A commit with everything written out that needs no database.
pub(super) struct PreparedCommit {
    commit: Commit,
    id: String,
    /// Sealed.
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

    /// What is stored, in words.
    pub(super) fn stored(&self) -> Stored {
        Stored::change(&self.commit)
    }

    pub(super) fn store(&self, connection: &Connection) -> Result<(), StorageError> {
        self.check_release(connection)?;
        self.update_redemption(connection)?;
        let version = count(self.commit.next.version);
        insert_event(connection, &self.id, version, &self.snapshot)?;
        for attempt in &self.attempts {
            self.claim(connection, attempt)?;
            self.put_attempt(connection, attempt)?;
        }
        let mut told = self.move_sources(connection)?;
        if self.commit.needs_voucher() {
            vouchers::update(connection, &self.moved_voucher(connection)?)?;
        }
        for change in &self.commit.accounts {
            let (rules, now) = (&self.commit.rules, self.commit.next.updated_at);
            told.extend(outlook::move_account(connection, change, rules, now)?);
        }
        books::insert(connection, &self.commit.next, &self.commit.ledger, self.commit.next.updated_at)?;
        if let Some(choice) = &self.choice {
            let sql = "INSERT INTO choice (redemption, version, record) VALUES (?1, ?2, ?3)";
            execute(connection, sql, (&self.id, version, choice), || Row::of("choice", &self.id))?;
        }
        alerts::apply(connection, told.iter().chain(&self.commit.alerts), self.commit.next.updated_at)?;
        for item in &self.commit.consumed {
            let sql = "DELETE FROM inbox WHERE id = ?1 AND redemption = ?2";
            execute(connection, sql, (item, &self.id), || Row::of("inbox", &item))?;
        }
        Ok(())
    }

    /// Refuses a release whose voucher went on. Looked at first, since that voucher may have its delivery by now, and the
    /// schema would take the release for a second one.
    fn check_release(&self, connection: &Connection) -> Result<(), StorageError> {
        if !self.commit.voucher.contains(&VoucherEvent::Release) {
            return Ok(());
        }
        let sql = "SELECT 1 FROM redemption WHERE id = ?1 AND version + 1 = ?2 AND epoch = ?3";
        let (version, epoch) = (count(self.commit.next.version), count(self.commit.next.epoch));
        // Another version or epoch is told before anything else.
        match row(connection, sql, (&self.id, version, epoch), |_| Ok(()))? {
            Some(()) => self.moved_voucher(connection).map(drop),
            None => Ok(()),
        }
    }

    fn moved_voucher(&self, connection: &Connection) -> Result<Voucher, StorageError> {
        let hash = self.commit.next.voucher;
        let voucher =
            vouchers::find(connection, &[hash])?.ok_or_else(|| Row::of("voucher", &hash).corrupt())?;
        self.commit.move_voucher(voucher)
    }

    fn move_sources(&self, connection: &Connection) -> Result<Vec<AlertChange>, StorageError> {
        let mut told = Vec::new();
        for change in &self.commit.health {
            let (rules, now) = (&self.commit.rules, self.commit.next.updated_at);
            told.extend(outlook::move_source(connection, change, rules, now)?);
        }
        Ok(told)
    }

    /// Owner and follower are not the change's to make.
    fn update_redemption(&self, connection: &Connection) -> Result<(), StorageError> {
        let sql = "UPDATE redemption SET status = ?6, phase = ?7, version = ?2, takeovers = 0, deadline = ?8,
                       updated_at = ?9, state = ?10
                   WHERE id = ?1 AND version + 1 = ?2 AND epoch = ?3 AND standing = ?4 AND is_at_rest = ?5
                       AND is_purged = 0";
        // Naming a column, even with the value it has, makes SQLite write every index that has it.
        let sql_to_another_standing =
            "UPDATE redemption SET status = ?6, phase = ?7, version = ?2, takeovers = 0, deadline = ?8,
                       updated_at = ?9, state = ?10, standing = ?4, is_at_rest = ?5, is_purged = 0
                   WHERE id = ?1 AND version + 1 = ?2 AND epoch = ?3";
        let next = &self.commit.next;
        let (version, epoch) = (count(next.version), count(next.epoch));
        for sql in [sql, sql_to_another_standing] {
            let parameters = (
                &self.id,
                version,
                epoch,
                standing(next),
                next.is_at_rest(),
                next.status().name(),
                phase(next),
                micros(next.deadline),
                micros(next.updated_at),
                &self.state,
            );
            if execute(connection, sql, parameters, || Row::of("redemption", &self.id))? == 1 {
                return Ok(());
            }
        }
        let sql = "SELECT epoch FROM redemption WHERE id = ?1";
        let stored: Option<i64> = row(connection, sql, [&self.id], |row| row.get(0))?;
        Err(if stored.is_none_or(|stored| stored == epoch) {
            StorageError::Conflict
        } else {
            StorageError::Fenced
        })
    }

    fn claim(&self, connection: &Connection, attempt: &AttemptRow) -> Result<(), StorageError> {
        let Some(order) = &attempt.order else { return Ok(()) };
        match claimant(connection, &attempt.supplier, order)? {
            Some(Claimant::Attempt { redemption, number })
                if redemption == self.id && number == attempt.number =>
            {
                Ok(())
            }
            Some(Claimant::Attempt { .. } | Claimant::Orphan) => Err(StorageError::Claimed),
            None => {
                let sql = "INSERT INTO claim (supplier, size, order_id, redemption, attempt)
                           VALUES (?1, ?2, ?3, ?4, ?5)";
                let parameters =
                    (attempt.supplier.as_str(), size(order), order.as_str(), &self.id, attempt.number);
                execute(connection, sql, parameters, || Row::of("claim", &order)).map(drop)
            }
        }
    }

    fn put_attempt(&self, connection: &Connection, attempt: &AttemptRow) -> Result<(), StorageError> {
        // Attempts that are over are not written again with every later change.
        let sql = "INSERT INTO attempt (redemption, number, plan, supplier, product, country, operator, order_id, price,
                       is_unresolved, outcome, started_at, ended_at, sms_at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
                   ON CONFLICT (redemption, number) DO UPDATE SET
                       order_id = excluded.order_id, price = excluded.price,
                       is_unresolved = excluded.is_unresolved, outcome = excluded.outcome,
                       ended_at = excluded.ended_at, sms_at = excluded.sms_at
                   WHERE (attempt.order_id, attempt.price, attempt.is_unresolved, attempt.outcome, attempt.ended_at,
                           attempt.sms_at)
                       IS NOT (excluded.order_id, excluded.price, excluded.is_unresolved, excluded.outcome,
                           excluded.ended_at, excluded.sms_at)";
        let AttemptRow { number, plan, supplier, wanted, started_at, order, price, .. } = attempt;
        let parameters = (
            &self.id,
            number,
            plan.as_str(),
            supplier.as_str(),
            &wanted.product,
            &wanted.country,
            &wanted.operator,
            order.as_ref().map(mintcode_core::order::OrderId::as_str),
            price.map(mintcode_core::money::Amount::micros),
            attempt.is_unresolved,
            attempt.outcome.map(mintcode_core::redemption::Outcome::name),
            micros(*started_at),
            attempt.ended_at.map(micros),
            attempt.sms_at.map(micros),
        );
        execute(connection, sql, parameters, || Row::of("attempt", &format!("{}/{number}", self.id)))
            .map(drop)
    }
}

/// The phase's name, as the schema knows it.
pub(super) fn phase(redemption: &Redemption) -> &'static str {
    match redemption.phase {
        // The table is older than this phase, and a constraint of a table cannot be changed without copying the table. It
        // counts as failed, like its status; what is true is in the state.
        Phase::Withheld(_) => "failed",
        ref phase => phase.name(),
    }
}

pub(super) fn insert_event(
    connection: &Connection,
    redemption: &str,
    version: i64,
    snapshot: &str,
) -> Result<(), StorageError> {
    let sql = "INSERT INTO event (redemption, version, snapshot) VALUES (?1, ?2, ?3)";
    let row = || Row::of("event", &format!("{redemption}/{version}"));
    execute(connection, sql, (redemption, version, snapshot), row).map(drop)
}

//! Looks through a live database for what must never be so.

use chrono::{DateTime, TimeDelta, Utc};
use mintcode_core::ledger::{self, Entry};
use mintcode_core::ports::StorageError;
use mintcode_core::redemption::{Outcome, Phase, Redemption};
use rusqlite::Connection;

use super::redemptions::{redemption_row, rows};
use super::{SqliteStore, books, unavailable};
use crate::rows::micros;
use crate::vault::Vault;

/// How many ids a finding names at most.
const MOST_IDS: usize = 20;

/// Redemptions read at once.
const PAGE: u32 = 500;

/// How long after its deadline a redemption has ended.
const GRACE: TimeDelta = TimeDelta::seconds(60);

/// Something that must never be so, found in a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The invariant it breaks, as `ARCHITECTURE.md` numbers them: `I1` to `I11`.
    pub invariant: &'static str,
    /// What it is.
    pub what: &'static str,
    /// Where it is, a few of them: ids that may be shown, never a code or a number.
    pub ids: Vec<String>,
}

/// Something that SQL can find: its invariant, what it is, and a statement for the ids.
type Check = (&'static str, &'static str, &'static str);

const CHECKS: [Check; 16] = [
    (
        "I1",
        "vouchers with more than one live redemption",
        "SELECT lower(hex(voucher)) FROM redemption WHERE standing = 'live' GROUP BY voucher HAVING count(*) > 1",
    ),
    (
        "I1",
        "vouchers with more than one order in a customer's hands",
        "SELECT lower(hex(voucher)) FROM attempt JOIN redemption ON id = redemption
         WHERE order_id IS NOT NULL AND outcome IS NULL GROUP BY voucher HAVING count(*) > 1",
    ),
    (
        "I2",
        "fulfilled vouchers without exactly one delivery",
        "SELECT lower(hex(hash)) FROM voucher WHERE state = 'fulfilled'
             AND (SELECT count(*) FROM redemption WHERE voucher = hash AND status = 'delivered') <> 1",
    ),
    (
        "I2",
        "deliveries of vouchers that are not fulfilled",
        "SELECT id FROM redemption JOIN voucher ON hash = voucher
         WHERE status = 'delivered' AND voucher.state <> 'fulfilled'",
    ),
    (
        "I3",
        "orders that their attempts have not claimed",
        "SELECT redemption || '/' || number FROM attempt WHERE order_id IS NOT NULL AND NOT EXISTS (
             SELECT 1 FROM claim WHERE claim.supplier = attempt.supplier AND claim.order_id = attempt.order_id
                 AND claim.size = octet_length(attempt.order_id)
                 AND claim.redemption = attempt.redemption AND claim.attempt = attempt.number)",
    ),
    (
        "I3",
        "claims without the attempt that intended the purchase",
        "SELECT supplier || '/' || order_id FROM claim WHERE NOT EXISTS (
             SELECT 1 FROM attempt WHERE attempt.redemption = claim.redemption AND number = claim.attempt)",
    ),
    (
        "I3",
        "redemptions at rest with an attempt that has not ended",
        "SELECT redemption FROM attempt JOIN redemption ON id = redemption WHERE is_at_rest = 1 AND ended_at IS NULL",
    ),
    (
        "I4",
        "vouchers that were charged for more than one order, without the others being lost or on hold",
        "SELECT lower(hex(voucher)) FROM (
             SELECT redemption, sum(CASE kind
                     WHEN 'charge' THEN 1 WHEN 'recovery' THEN 1 WHEN 'release' THEN 1
                     WHEN 'refund' THEN -1 WHEN 'loss' THEN -1 WHEN 'hold' THEN -1 ELSE 0 END) AS paid
             FROM ledger WHERE book = 'cost' GROUP BY redemption, attempt)
         JOIN redemption ON id = redemption
         WHERE paid > 0 AND is_at_rest = 1 GROUP BY voucher HAVING count(*) > 1",
    ),
    (
        "I7",
        "idempotency keys whose redemption is of another voucher",
        "SELECT key FROM idempotency JOIN redemption ON id = redemption WHERE idempotency.voucher <> redemption.voucher",
    ),
    (
        "I7",
        "orders that an attempt has claimed and that are orphans",
        "SELECT claim.supplier || '/' || claim.order_id FROM claim JOIN orphan
             ON orphan.supplier = claim.supplier AND orphan.size = claim.size AND orphan.order_id = claim.order_id",
    ),
    (
        "I8",
        "redemptions whose history has a gap",
        "SELECT id FROM redemption WHERE version <> (SELECT count(*) FROM event WHERE redemption = id)
             OR version <> (SELECT max(version) FROM event WHERE redemption = id)",
    ),
    (
        "I8",
        "redemptions in quarantine that somebody drives",
        "SELECT id FROM redemption WHERE is_quarantined = 1 AND owner IS NOT NULL",
    ),
    (
        "I9",
        "documents that are not sealed",
        "SELECT 'redemption ' || id FROM redemption WHERE substr(state, 1, 4) <> x'00000001'
         UNION ALL SELECT 'inbox ' || id FROM inbox WHERE substr(item, 1, 4) <> x'00000001'
         UNION ALL SELECT 'orphan ' || supplier || '/' || order_id FROM orphan WHERE substr(state, 1, 4) <> x'00000001'",
    ),
    (
        "I9",
        "open texts with what looks like a phone number",
        "WITH found (id, text) AS (
             SELECT 'event ' || redemption || '/' || version, snapshot FROM event
             UNION ALL SELECT 'choice ' || redemption || '/' || version, record FROM choice
             UNION ALL SELECT 'alert ' || id, key || alert FROM alert)
         SELECT id FROM found WHERE text GLOB '*+[0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]*'",
    ),
    (
        "I11",
        "batches whose counts are not those of their vouchers",
        "SELECT id FROM batch WHERE count <> (SELECT sum(vouchers) FROM batch_count WHERE batch = number)
         UNION SELECT id FROM batch JOIN (
             SELECT batch, state, count(*) AS vouchers FROM voucher GROUP BY batch, state) AS found ON batch = number
         WHERE found.vouchers IS NOT (SELECT vouchers FROM batch_count
             WHERE batch_count.batch = number AND batch_count.state = found.state)",
    ),
    (
        "I11",
        "vouchers that no live redemption holds, and that are locked",
        "SELECT lower(hex(hash)) FROM voucher WHERE state IN ('locked', 'redeeming')
             AND NOT EXISTS (SELECT 1 FROM redemption WHERE voucher = hash AND standing = 'live')",
    ),
];

/// Redemptions whose end is overdue though somebody could drive them. A number may be on its way back for longer.
const OVERDUE: &str = "SELECT id FROM redemption
    WHERE standing = 'live' AND is_quarantined = 0 AND phase <> 'releasing' AND deadline < ?1
        AND EXISTS (SELECT 1 FROM worker)";

const DOCUMENTS: &str = "SELECT id, version, epoch, owner, takeovers, next, state FROM redemption
    WHERE id > ?1 ORDER BY id LIMIT ?2";

impl SqliteStore {
    /// Looks for everything that breaks an invariant, as of one moment; `now` tells what is overdue. Reads all there is, so it
    /// takes a while, beside whoever serves. Wants the secrets: what is sealed is looked at as well.
    pub async fn examine(&self, now: DateTime<Utc>) -> Result<Vec<Finding>, StorageError> {
        let vault = std::sync::Arc::clone(&self.vault);
        self.read_long(move |connection| {
            let moment = connection.unchecked_transaction().map_err(unavailable)?;
            examine(&moment, &vault, now)
        })
        .await
    }
}

fn examine(connection: &Connection, vault: &Vault, now: DateTime<Utc>) -> Result<Vec<Finding>, StorageError> {
    let mut findings = Vec::new();
    for (invariant, what, sql) in CHECKS {
        note(&mut findings, invariant, what, ids(connection, sql, [])?);
    }
    let overdue = now.checked_sub_signed(GRACE).map_or(i64::MIN, micros);
    let what = "redemptions that should have ended";
    note(&mut findings, "I11", what, ids(connection, OVERDUE, [overdue])?);
    let mut documents = Documents::default();
    let mut last = String::new();
    loop {
        let page = rows(connection, DOCUMENTS, (&last, PAGE), redemption_row)?;
        let Some(newest) = page.last() else { break };
        last.clone_from(&newest.id);
        for row in page {
            let id = row.id.clone();
            match row.read(vault) {
                Ok(redemption) => documents.take(connection, &redemption)?,
                Err(StorageError::Corrupt { .. }) => documents.unreadable.push(id),
                Err(error) => return Err(error),
            }
        }
    }
    documents.tell(&mut findings);
    Ok(findings)
}

fn ids(
    connection: &Connection,
    sql: &str,
    parameters: impl rusqlite::Params,
) -> Result<Vec<String>, StorageError> {
    let sql = format!("SELECT * FROM ({sql}) LIMIT {MOST_IDS}");
    rows(connection, &sql, parameters, |row| row.get(0))
}

fn note(findings: &mut Vec<Finding>, invariant: &'static str, what: &'static str, mut ids: Vec<String>) {
    if !ids.is_empty() {
        ids.truncate(MOST_IDS);
        findings.push(Finding { invariant, what, ids });
    }
}

/// What only the documents tell.
#[derive(Default)]
struct Documents {
    unreadable: Vec<String>,
    empty: Vec<String>,
    unbalanced: Vec<String>,
    beyond_limits: Vec<String>,
}

impl Documents {
    fn take(&mut self, connection: &Connection, redemption: &Redemption) -> Result<(), StorageError> {
        let id = || redemption.id.to_string();
        if let Phase::Delivered(delivery) = &redemption.phase
            && delivery.message().is_none()
            && !redemption.is_purged()
        {
            self.empty.push(id());
        }
        if is_beyond_limits(redemption) {
            self.beyond_limits.push(id());
        }
        let booked = books::of_redemption(connection, redemption.id)?;
        let entries: Vec<Entry> = booked.into_iter().map(|booked| booked.entry).collect();
        if ledger::check([(redemption, entries.as_slice())]).is_err() {
            self.unbalanced.push(id());
        }
        Ok(())
    }

    fn tell(self, findings: &mut Vec<Finding>) {
        note(findings, "I2", "redemptions that fit no state, or were edited", self.unreadable);
        note(findings, "I2", "deliveries without a message", self.empty);
        note(findings, "I5", "redemptions whose books do not balance", self.unbalanced);
        note(findings, "I6", "redemptions beyond the limits of their policy", self.beyond_limits);
    }
}

/// More tries, purchases or plans than the policy allows, or a delivered number that cost more than its plan may.
fn is_beyond_limits(redemption: &Redemption) -> bool {
    let policy = &redemption.policy;
    let attempts = redemption.attempt_rows();
    let mut plans: Vec<_> = attempts.iter().map(|attempt| &attempt.plan).collect();
    plans.sort_unstable();
    plans.dedup();
    let tries = redemption.tries_before + u32::from(redemption.uses_a_try());
    let is_too_dear = attempts.iter().any(|attempt| {
        attempt.outcome == Some(Outcome::Delivered)
            && attempt.price.is_some_and(|price| price > attempt.wanted.max_cost)
    });
    tries > policy.max_redemptions
        || redemption.buys() > policy.buys_allowed()
        || u32::try_from(plans.len()).is_ok_and(|plans| plans > policy.max_plans_per_redemption)
        || is_too_dear
}

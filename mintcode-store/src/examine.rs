//! What must never be so in a database, in words that both databases understand.

use chrono::{DateTime, TimeDelta, Utc};
use mintcode_core::ledger::{self, Entry};
use mintcode_core::ports::StorageError;
use mintcode_core::redemption::{Outcome, Phase, Redemption};

use crate::books::EntryRow;
use crate::rows::{RedemptionRow, micros};
use crate::vault::Vault;

/// How many ids a finding names at most.
const MOST_IDS: usize = 20;

/// Redemptions read at once: bounds the memory it takes.
pub(crate) const PAGE: u32 = 500;

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

/// Something that SQL can find: its invariant, what it is, and a statement for the ids: texts, or the bytes of a
/// voucher's hash.
pub(crate) type Check = (&'static str, &'static str, &'static str);

/// What both databases find with the same statement.
pub(crate) const CHECKS: [Check; 14] = [
    (
        "I1",
        "vouchers with more than one live redemption",
        "SELECT voucher FROM redemption WHERE standing = 'live' GROUP BY voucher HAVING count(*) > 1",
    ),
    (
        "I1",
        "vouchers with more than one order in a customer's hands",
        "SELECT voucher FROM attempt JOIN redemption ON id = redemption
         WHERE order_id IS NOT NULL AND outcome IS NULL GROUP BY voucher HAVING count(*) > 1",
    ),
    (
        "I2",
        "fulfilled vouchers without exactly one delivery",
        "SELECT hash FROM voucher WHERE state = 'fulfilled'
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
        "SELECT redemption FROM attempt JOIN redemption ON id = redemption WHERE is_at_rest AND ended_at IS NULL",
    ),
    (
        "I4",
        "vouchers that were charged for more than one order, without the others being lost or on hold",
        "SELECT voucher FROM (
             SELECT redemption, sum(CASE kind
                     WHEN 'charge' THEN 1 WHEN 'recovery' THEN 1 WHEN 'release' THEN 1
                     WHEN 'refund' THEN -1 WHEN 'loss' THEN -1 WHEN 'hold' THEN -1 ELSE 0 END) AS paid
             FROM ledger WHERE book = 'cost' GROUP BY redemption, attempt) AS order_of_attempt
         JOIN redemption ON id = redemption
         WHERE paid > 0 AND is_at_rest GROUP BY voucher HAVING count(*) > 1",
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
        "SELECT id FROM redemption WHERE is_quarantined AND owner IS NOT NULL",
    ),
    (
        "I11",
        "batches whose counts are not those of their vouchers",
        "SELECT id FROM batch
             LEFT JOIN (SELECT batch, sum(vouchers) AS vouchers FROM batch_count GROUP BY batch) AS counted
                 ON batch = number
             WHERE count <> coalesce(vouchers, 0)
         UNION SELECT id FROM (SELECT batch, state, count(*) AS vouchers FROM voucher GROUP BY batch, state) AS found
             FULL JOIN (SELECT batch, state, sum(vouchers) AS vouchers FROM batch_count GROUP BY batch, state) AS counted
                 USING (batch, state)
             JOIN batch ON number = batch
             WHERE coalesce(found.vouchers, 0) <> coalesce(counted.vouchers, 0)",
    ),
    (
        "I11",
        "vouchers that no live redemption holds, and that are locked",
        "SELECT hash FROM voucher WHERE state IN ('locked', 'redeeming')
             AND NOT EXISTS (SELECT 1 FROM redemption WHERE voucher = hash AND standing = 'live')",
    ),
];

/// Redemptions whose end is overdue since `$1` though somebody could drive them. A number may be on its way back for
/// longer.
pub(crate) const OVERDUE: Check = (
    "I11",
    "redemptions that should have ended",
    "SELECT id FROM redemption WHERE standing = 'live' AND NOT is_quarantined AND phase <> 'releasing' AND deadline < $1
         AND EXISTS (SELECT 1 FROM worker)",
);

/// The next `$2` redemptions behind the one with id `$1`.
pub(crate) const DOCUMENTS: &str = "SELECT id, version, epoch, owner, takeovers, next, state FROM redemption
    WHERE id > $1 ORDER BY id LIMIT $2";

/// `sql`, for no more ids than are told.
pub(crate) fn limited(sql: &str) -> String {
    format!("SELECT * FROM ({sql}) AS broken LIMIT {MOST_IDS}")
}

/// Whose deadline was before this is overdue.
pub(crate) fn overdue_since(now: DateTime<Utc>) -> i64 {
    now.checked_sub_signed(GRACE).map_or(i64::MIN, micros)
}

/// What was found so far.
#[derive(Default)]
pub(crate) struct Findings {
    found: Vec<Finding>,
    unreadable: Vec<String>,
    empty: Vec<String>,
    unbalanced: Vec<String>,
    beyond_limits: Vec<String>,
}

impl Findings {
    /// Takes what a check found.
    pub(crate) fn note(&mut self, invariant: &'static str, what: &'static str, mut ids: Vec<String>) {
        if !ids.is_empty() {
            ids.truncate(MOST_IDS);
            self.found.push(Finding { invariant, what, ids });
        }
    }

    /// Looks at a redemption's document and at what is booked for it, which tell what SQL cannot.
    pub(crate) fn look_at(
        &mut self,
        vault: &Vault,
        row: RedemptionRow,
        booked: Vec<EntryRow>,
    ) -> Result<(), StorageError> {
        let id = row.id.clone();
        let redemption = match row.read(vault) {
            Ok(redemption) => redemption,
            Err(StorageError::Corrupt { .. }) => {
                add(&mut self.unreadable, id);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if let Phase::Delivered(delivery) = &redemption.phase
            && delivery.message().is_none()
            && !redemption.is_purged()
        {
            add(&mut self.empty, id.clone());
        }
        if is_beyond_limits(&redemption) {
            add(&mut self.beyond_limits, id.clone());
        }
        if !is_balanced(&redemption, booked)? {
            add(&mut self.unbalanced, id);
        }
        Ok(())
    }

    /// All that was found.
    pub(crate) fn told(mut self) -> Vec<Finding> {
        let documents = [
            ("I2", "redemptions that fit no state, or were edited", std::mem::take(&mut self.unreadable)),
            ("I2", "deliveries without a message", std::mem::take(&mut self.empty)),
            ("I5", "redemptions whose books do not balance", std::mem::take(&mut self.unbalanced)),
            ("I6", "redemptions beyond the limits of their policy", std::mem::take(&mut self.beyond_limits)),
        ];
        for (invariant, what, ids) in documents {
            self.note(invariant, what, ids);
        }
        self.found
    }
}

/// Keeps no more ids than are told, however many there are.
fn add(ids: &mut Vec<String>, id: String) {
    if ids.len() < MOST_IDS {
        ids.push(id);
    }
}

fn is_balanced(redemption: &Redemption, booked: Vec<EntryRow>) -> Result<bool, StorageError> {
    let booked = booked.into_iter().map(|row| row.read(redemption.id).map(|booked| booked.entry));
    match booked.collect::<Result<Vec<Entry>, _>>() {
        Ok(entries) => Ok(ledger::check([(redemption, entries.as_slice())]).is_ok()),
        Err(StorageError::Corrupt { .. }) => Ok(false),
        Err(error) => Err(error),
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

//! The proof that the books balance: what was booked on one side, what the redemptions' attempts tell on the other.

use std::collections::BTreeMap;

use super::{Book, Entry, Kind, implied};
use crate::ids::{RedemptionId, SupplierName};
use crate::money::{Amount, Currency};
use crate::order::OrderStatus;
use crate::redemption::{AttemptRow, Outcome, Phase, Redemption};
use crate::voucher::Mask;

/// What one supplier was paid in one currency.
///
/// The first four are summed from the entries alone, the others from the redemptions' attempts alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Entries: what was charged for orders.
    pub charged: Amount,
    /// Entries: what was given back.
    pub refunded: Amount,
    /// Entries: losses less recoveries.
    pub written_off: Amount,
    /// Entries: holds less releases.
    pub on_hold: Amount,
    /// Attempts: orders whose message was delivered, and kept by the supplier.
    pub delivered: Amount,
    /// Attempts: orders that are not settled.
    pub open: Amount,
    /// Attempts: orders completed without serving a customer.
    pub lost: Amount,
    /// Attempts: orders that the supplier no longer knows.
    pub vanished: Amount,
    /// Attempts: caps of purchases whose outcome could not be found out.
    pub unresolved: Amount,
}

impl Account {
    /// Whether both sides tell the same: what was charged and not refunded is delivered, open, lost or vanished; losses
    /// are what is lost; and on hold is what vanished or was never resolved. `None` where a sum does not fit.
    #[must_use]
    pub fn balances(&self) -> Option<bool> {
        let paid = self.charged.checked_sub(self.refunded)?;
        let told = Amount::checked_sum([self.delivered, self.open, self.lost, self.vanished])?;
        let doubtful = self.vanished.checked_add(self.unresolved)?;
        Some(paid == told && self.written_off == self.lost && self.on_hold == doubtful)
    }

    fn book(&mut self, entry: &Entry) -> Option<()> {
        match entry.kind {
            Kind::Charge => add(&mut self.charged, entry.amount),
            Kind::Refund => add(&mut self.refunded, entry.amount),
            Kind::Loss => add(&mut self.written_off, entry.amount),
            Kind::Recovery => subtract(&mut self.written_off, entry.amount),
            Kind::Hold => add(&mut self.on_hold, entry.amount),
            Kind::Release => subtract(&mut self.on_hold, entry.amount),
            // No state implies a captured cost, so such an entry has been refused before.
            Kind::Capture => Some(()),
        }
    }

    fn tell(&mut self, row: &AttemptRow) -> Option<()> {
        let Some(price) = row.price else {
            let is_unresolved = row.outcome == Some(Outcome::Unresolved);
            return if is_unresolved { add(&mut self.unresolved, row.wanted.max_cost) } else { Some(()) };
        };
        let side = match (row.order_end, row.outcome) {
            (Some(OrderStatus::Cancelled | OrderStatus::Banned | OrderStatus::TimedOut), _) => {
                return Some(());
            }
            (_, Some(Outcome::Delivered)) => &mut self.delivered,
            (_, Some(Outcome::Withheld)) | (Some(OrderStatus::Finished), _) => &mut self.lost,
            (None, _) if row.ended_at.is_some() => &mut self.vanished,
            (None | Some(OrderStatus::Open), _) => &mut self.open,
        };
        add(side, price)
    }

    fn merge(&mut self, other: &Self) -> Option<()> {
        add(&mut self.charged, other.charged)?;
        add(&mut self.refunded, other.refunded)?;
        add(&mut self.written_off, other.written_off)?;
        add(&mut self.on_hold, other.on_hold)?;
        add(&mut self.delivered, other.delivered)?;
        add(&mut self.open, other.open)?;
        add(&mut self.lost, other.lost)?;
        add(&mut self.vanished, other.vanished)?;
        add(&mut self.unresolved, other.unresolved)
    }
}

/// What redemptions earned in one selling currency.
///
/// The first three are summed from the entries alone, the others from the redemptions alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sales {
    /// Entries: prices reserved when redemptions began.
    pub held: Amount,
    /// Entries: prices earned.
    pub captured: Amount,
    /// Entries: prices given back.
    pub released: Amount,
    /// Redemptions: prices of those that delivered.
    pub earned: Amount,
    /// Redemptions: prices of those that run.
    pub pending: Amount,
}

impl Sales {
    /// Whether both sides tell the same: every price is captured, released or pending, and what is captured is what
    /// was delivered. `None` where a sum does not fit.
    #[must_use]
    pub fn balances(&self) -> Option<bool> {
        let told = Amount::checked_sum([self.captured, self.released, self.pending])?;
        Some(self.held == told && self.captured == self.earned)
    }

    fn book(&mut self, entry: &Entry) -> Option<()> {
        match entry.kind {
            Kind::Hold => add(&mut self.held, entry.amount),
            Kind::Capture => add(&mut self.captured, entry.amount),
            Kind::Release => add(&mut self.released, entry.amount),
            // No state implies such a sale, so the entry has been refused before.
            Kind::Charge | Kind::Refund | Kind::Loss | Kind::Recovery => Some(()),
        }
    }

    fn tell(&mut self, redemption: &Redemption) -> Option<()> {
        match &redemption.phase {
            Phase::Delivered(_) => add(&mut self.earned, redemption.price),
            Phase::Withheld(_) | Phase::Failed(_) | Phase::Cancelled => Some(()),
            Phase::Queued
            | Phase::Ordering(_)
            | Phase::Uncertain(_)
            | Phase::Waiting(_)
            | Phase::Releasing(_)
            | Phase::CoolingDown { .. } => add(&mut self.pending, redemption.price),
        }
    }

    fn merge(&mut self, other: &Self) -> Option<()> {
        add(&mut self.held, other.held)?;
        add(&mut self.captured, other.captured)?;
        add(&mut self.released, other.released)?;
        add(&mut self.earned, other.earned)?;
        add(&mut self.pending, other.pending)
    }
}

fn add(total: &mut Amount, amount: Amount) -> Option<()> {
    *total = total.checked_add(amount)?;
    Some(())
}

fn subtract(total: &mut Amount, amount: Amount) -> Option<()> {
    *total = total.checked_sub(amount)?;
    Some(())
}

/// The totals of books that were proved to balance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// How many redemptions were looked at.
    pub redemptions: u64,
    /// What each supplier was paid, by currency.
    pub accounts: BTreeMap<(SupplierName, Currency), Account>,
    /// What was earned, by selling currency.
    pub sales: BTreeMap<Currency, Sales>,
}

/// Books that do not balance.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the books of voucher {mask} do not balance: {why}")]
pub struct Imbalance {
    /// The redemption.
    pub redemption: RedemptionId,
    /// Its voucher, as people are shown it.
    pub mask: Mask,
    /// What is wrong.
    pub why: Box<Discrepancy>,
}

/// How the books of a redemption are wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Discrepancy {
    /// Something was booked twice.
    #[error("booked twice: {0}")]
    Twice(Entry),
    /// The redemption stands for it, and it was not booked, or not like this, or was undone.
    #[error("missing: {0}")]
    Missing(Entry),
    /// It was booked, and the redemption does not stand for it.
    #[error("unfounded: {0}")]
    Unfounded(Entry),
    /// The entries tell of other sums than the attempts.
    #[error("{0} {1}: the entries and the attempts differ: {2:?}")]
    Account(SupplierName, Currency, Account),
    /// The entries tell of other sales than the redemption.
    #[error("{0}: the entries and the redemption differ: {1:?}")]
    Sales(Currency, Sales),
    /// A sum is larger than any amount.
    #[error("a sum does not fit")]
    TooLarge,
}

impl Balance {
    /// Proves the books of one more redemption, of which `booked` are all the entries in any order, and adds them up.
    ///
    /// Proved is that the entries, with what was undone left out, are those that the state stands for, that none was
    /// booked twice, and that their sums are those of the redemption's attempts.
    ///
    /// # Errors
    ///
    /// The first discrepancy; the balance is then of no more use.
    pub fn take(&mut self, redemption: &Redemption, booked: &[Entry]) -> Result<(), Imbalance> {
        self.prove(redemption, booked).map_err(|why| Imbalance {
            redemption: redemption.id,
            mask: redemption.mask,
            why: Box::new(why),
        })
    }

    fn prove(&mut self, redemption: &Redemption, booked: &[Entry]) -> Result<(), Discrepancy> {
        prove_entries(redemption, booked)?;
        let (accounts, sales) = sums(redemption, booked).ok_or(Discrepancy::TooLarge)?;
        for ((supplier, currency), account) in accounts {
            if !account.balances().ok_or(Discrepancy::TooLarge)? {
                return Err(Discrepancy::Account(supplier, currency, account));
            }
            let total = self.accounts.entry((supplier, currency)).or_default();
            total.merge(&account).ok_or(Discrepancy::TooLarge)?;
        }
        for (currency, of_one) in sales {
            if !of_one.balances().ok_or(Discrepancy::TooLarge)? {
                return Err(Discrepancy::Sales(currency, of_one));
            }
            self.sales.entry(currency).or_default().merge(&of_one).ok_or(Discrepancy::TooLarge)?;
        }
        self.redemptions += 1;
        Ok(())
    }
}

/// Proves the books of all `redemptions`, each with all its entries.
///
/// # Errors
///
/// The first discrepancy: see [`Balance::take`].
pub fn check<'a>(
    redemptions: impl IntoIterator<Item = (&'a Redemption, &'a [Entry])>,
) -> Result<Balance, Imbalance> {
    let mut balance = Balance::default();
    for (redemption, booked) in redemptions {
        balance.take(redemption, booked)?;
    }
    Ok(balance)
}

/// Whether what was booked over the redemption's life, less what was undone, is what it stands for.
fn prove_entries(redemption: &Redemption, booked: &[Entry]) -> Result<(), Discrepancy> {
    let mut identities = std::collections::HashSet::new();
    if let Some(twice) = booked.iter().find(|entry| !identities.insert(entry.identity())) {
        return Err(Discrepancy::Twice(twice.clone()));
    }
    let is_undone = |entry: &Entry| entry.undone().is_some_and(|undoing| booked.contains(&undoing));
    let undoes = |entry: &Entry| booked.iter().any(|other| other.undone().as_ref() == Some(entry));
    let implied = implied(redemption);
    let unfounded =
        booked.iter().find(|&entry| !(is_undone(entry) || undoes(entry) || implied.contains(entry)));
    if let Some(entry) = unfounded {
        return Err(Discrepancy::Unfounded(entry.clone()));
    }
    match implied.into_iter().find(|entry| !booked.contains(entry) || is_undone(entry)) {
        Some(entry) => Err(Discrepancy::Missing(entry)),
        None => Ok(()),
    }
}

type Sums = (BTreeMap<(SupplierName, Currency), Account>, BTreeMap<Currency, Sales>);

/// Both sides of one redemption; `None` where a sum does not fit.
fn sums(redemption: &Redemption, booked: &[Entry]) -> Option<Sums> {
    let mut accounts = BTreeMap::<_, Account>::new();
    let mut sales = BTreeMap::<_, Sales>::new();
    for entry in booked {
        match (entry.book, &entry.supplier) {
            (Book::Cost, Some(supplier)) => {
                accounts.entry((supplier.clone(), entry.currency)).or_default().book(entry)?;
            }
            // No state implies a cost that nobody was paid, so such an entry has been refused before.
            (Book::Cost, None) => {}
            (Book::Sale, _) => sales.entry(entry.currency).or_default().book(entry)?,
        }
    }
    for row in redemption.attempt_rows() {
        accounts.entry((row.supplier.clone(), row.currency)).or_default().tell(&row)?;
    }
    sales.entry(redemption.currency).or_default().tell(redemption)?;
    Some((accounts, sales))
}

//! The books: what suppliers were paid, and what redemptions earned.
//!
//! The entries are a pure function of a redemption's state. [`implied()`] tells what a state stands for, and [`due`]
//! what a move from one state to the next has to book; it is stored in the transaction that stores the move, so the
//! books can never tell another story than the redemption. [`Balance`] proves that they do not, and [`margin`] sums
//! them up for reports.
//!
//! Nothing here is ever changed or deleted: what no longer holds is undone by an entry of its own.

mod balance;
mod implied;
pub mod margin;

use std::fmt;

use chrono::{DateTime, Utc};

pub use self::balance::{Account, Balance, Discrepancy, Imbalance, Sales, check};
pub use self::implied::{due, implied};
use crate::ids::{PlanId, RedemptionId, SkuId, SupplierName};
use crate::money::{Amount, Currency};
use crate::order::OrderId;

/// Which side of the business an entry belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Book {
    /// What suppliers are paid, in their currencies.
    Cost,
    /// What redemptions earn, in the selling currency.
    Sale,
}

impl Book {
    /// Both books.
    pub const ALL: [Self; 2] = [Self::Cost, Self::Sale];

    /// The book's name in storage and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cost => "cost",
            Self::Sale => "sale",
        }
    }

    /// The book of that name.
    #[must_use]
    pub fn read(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|book| book.name() == name)
    }
}

/// What an entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Cost: the supplier was paid for an order.
    Charge,
    /// Cost: the supplier gave the money back.
    Refund,
    /// Cost: nobody knows whether the money is lost: an order that vanished, or a purchase whose outcome could not be
    /// found out. Sale: the price is reserved while the redemption runs.
    Hold,
    /// Sale: a code was delivered, so the price is earned.
    Capture,
    /// Cost: what was on hold is known after all. Sale: the redemption ended without a code.
    Release,
    /// Cost: the money was spent and no customer was served by it.
    Loss,
    /// Cost: what was booked as lost was not lost after all.
    Recovery,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 7] =
        [Self::Charge, Self::Refund, Self::Hold, Self::Capture, Self::Release, Self::Loss, Self::Recovery];

    /// The kind's name in storage and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Charge => "charge",
            Self::Refund => "refund",
            Self::Hold => "hold",
            Self::Capture => "capture",
            Self::Release => "release",
            Self::Loss => "loss",
            Self::Recovery => "recovery",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn read(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// One line of the books. Amounts are never negative: the kind tells the direction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// The book.
    pub book: Book,
    /// What is said.
    pub kind: Kind,
    /// The attempt's number within its redemption; 0 for sales.
    pub attempt: u32,
    /// Who sold the number; `None` for sales.
    pub supplier: Option<SupplierName>,
    /// The supplier's order; `None` for sales, and where none is known.
    pub order: Option<OrderId>,
    /// The attempt's plan; for a capture the plan that delivered, for other sales `None`.
    pub plan: Option<PlanId>,
    /// How much.
    pub amount: Amount,
    /// In which currency.
    pub currency: Currency,
    /// How much that is in the selling currency, at the rate of the attempt's intent; [`Amount::MAX`] where it does not
    /// fit, which no sum survives unseen.
    pub value: Amount,
}

impl Entry {
    /// What an entry is unique by within its redemption.
    ///
    /// The order belongs to it: an attempt without a known order may be put on hold, come to light, and then vanish, which
    /// puts its order on hold.
    #[must_use]
    pub fn identity(&self) -> (Book, u32, Kind, Option<&OrderId>) {
        (self.book, self.attempt, self.kind, self.order.as_ref())
    }

    /// The entry that undoes this one, for those that can come undone: a cost on hold, and a loss.
    #[must_use]
    pub fn undone(&self) -> Option<Self> {
        let kind = match (self.book, self.kind) {
            (Book::Cost, Kind::Hold) => Kind::Release,
            (Book::Cost, Kind::Loss) => Kind::Recovery,
            (Book::Cost, Kind::Charge | Kind::Refund | Kind::Capture | Kind::Release | Kind::Recovery)
            | (Book::Sale, _) => return None,
        };
        Some(Self { kind, ..self.clone() })
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} of {} {}", self.book.name(), self.kind.name(), self.amount, self.currency)?;
        if self.attempt > 0 {
            write!(f, " for attempt {}", self.attempt)?;
        }
        Ok(())
    }
}

/// An entry with what reports ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Booked {
    /// The redemption.
    pub redemption: RedemptionId,
    /// Its SKU.
    pub sku: SkuId,
    /// When the entry was booked.
    pub at: DateTime<Utc>,
    /// The entry.
    pub entry: Entry,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_back() {
        for book in Book::ALL {
            assert_eq!(Book::read(book.name()), Some(book));
        }
        for kind in Kind::ALL {
            assert_eq!(Kind::read(kind.name()), Some(kind));
        }
        assert_eq!(Book::read("Cost"), None);
        assert_eq!(Kind::read(""), None);
    }
}

//! What the operator is told, once per crossing.
//!
//! An alert is raised when something begins to be so, stays open while it is, and is cleared when it is so no more;
//! only then can it be raised again. Storage keeps which are open, in the transaction of whatever changed them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::health::Source;
use crate::ids::{SkuId, SupplierName, WorkerId};
use crate::money::{Amount, Currency};
use crate::order::OrderId;
use crate::voucher::Mask;

/// Something the operator has to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Alert {
    /// An account's balance is low.
    BalanceLow {
        /// Whose account.
        supplier: SupplierName,
        /// Money left.
        balance: Amount,
        /// In this currency.
        currency: Currency,
    },
    /// An account's balance did not cover a purchase.
    BalanceEmpty {
        /// Whose account.
        supplier: SupplierName,
    },
    /// An account's standing is low.
    RatingLow {
        /// Whose account.
        supplier: SupplierName,
        /// The standing in thousandths.
        rating_milli: i64,
    },
    /// An account's standing is too low to buy.
    RatingRefused {
        /// Whose account.
        supplier: SupplierName,
    },
    /// Too many numbers were given back at an account: nothing is bought there for a while.
    AccountPaused {
        /// Whose account.
        supplier: SupplierName,
        /// Until then.
        until: DateTime<Utc>,
    },
    /// A supplier refuses the key. Over once a purchase went through.
    KeyRefused {
        /// Which supplier.
        supplier: SupplierName,
    },
    /// A supplier refuses what a plan asks for.
    ParametersRefused {
        /// Where it was asked for.
        source: Source,
    },
    /// A source switched itself off.
    SourceOff {
        /// Which one.
        source: Source,
        /// Until then.
        until: DateTime<Utc>,
    },
    /// Most of a source's last numbers got no SMS.
    SourceSilent {
        /// Which one.
        source: Source,
    },
    /// A customer found no plan of a SKU that could be tried.
    NoPlanLeft {
        /// Which SKU.
        sku: SkuId,
    },
    /// It could not be found out whether a purchase was made: its cost is on hold.
    PurchaseUnresolved {
        /// The voucher.
        voucher: Mask,
        /// Where it was to be made.
        source: Source,
        /// The most it may have cost.
        cap: Amount,
    },
    /// An order was found that no redemption knows of; it is being given back.
    OrphanFound {
        /// The supplier.
        supplier: SupplierName,
        /// Its order.
        order: OrderId,
        /// What it cost, in the supplier's currency.
        price: Amount,
    },
    /// A worker's clock is off the database's: it buys nothing until the two agree again.
    ClockOff {
        /// The worker.
        worker: WorkerId,
        /// By how many milliseconds the worker's is ahead.
        ahead_ms: i64,
    },
    /// Worker after worker died while it drove a redemption: nobody takes it over any more until the operator resumes it.
    Quarantined {
        /// Its voucher.
        voucher: Mask,
        /// Its SKU.
        sku: SkuId,
    },
    /// The supplier charged for an order that nobody was shown.
    OrphanLoss {
        /// The supplier.
        supplier: SupplierName,
        /// Its order.
        order: OrderId,
        /// What was charged, in the supplier's currency.
        price: Amount,
    },
    /// An order vanished at the supplier: whether its cost comes back is unknown.
    OrderVanished {
        /// The supplier.
        supplier: SupplierName,
        /// Its order.
        order: OrderId,
        /// What was charged, in the supplier's currency.
        price: Amount,
    },
    /// A message was withheld.
    Withheld {
        /// The voucher.
        voucher: Mask,
        /// Its SKU.
        sku: SkuId,
        /// The supplier.
        supplier: SupplierName,
        /// Its order.
        order: OrderId,
        /// The pattern that matched.
        pattern: String,
    },
    /// The books of a redemption do not balance.
    BooksOff {
        /// Its voucher.
        voucher: Mask,
        /// What is wrong.
        what: String,
    },
}

impl Alert {
    /// What it is about: no two open alerts share it.
    #[must_use]
    pub fn key(&self) -> String {
        let kind = self.kind();
        match self {
            Self::BalanceLow { supplier, .. }
            | Self::BalanceEmpty { supplier }
            | Self::RatingLow { supplier, .. }
            | Self::RatingRefused { supplier }
            | Self::AccountPaused { supplier, .. }
            | Self::KeyRefused { supplier } => format!("{kind} {supplier}"),
            Self::ParametersRefused { source }
            | Self::SourceOff { source, .. }
            | Self::SourceSilent { source } => {
                format!("{kind} {source}")
            }
            Self::NoPlanLeft { sku } => format!("{kind} {sku}"),
            Self::PurchaseUnresolved { voucher, source, .. } => format!("{kind} {voucher} {source}"),
            Self::ClockOff { worker, .. } => format!("{kind} {worker}"),
            Self::OrphanFound { supplier, order, .. }
            | Self::OrphanLoss { supplier, order, .. }
            | Self::OrderVanished { supplier, order, .. }
            | Self::Withheld { supplier, order, .. } => format!("{kind} {supplier} {order}"),
            Self::Quarantined { voucher, .. } | Self::BooksOff { voucher, .. } => format!("{kind} {voucher}"),
        }
    }

    /// Whether the operator can clear it by hand. One that every look at an account finds again ends with what it tells
    /// of instead: cleared by hand, it would only be told again a minute later.
    #[must_use]
    pub fn ends_by_hand(&self) -> bool {
        match self {
            Self::PurchaseUnresolved { .. }
            | Self::OrphanFound { .. }
            | Self::OrphanLoss { .. }
            | Self::ClockOff { .. }
            | Self::Quarantined { .. }
            | Self::OrderVanished { .. }
            | Self::Withheld { .. }
            | Self::BooksOff { .. }
            | Self::BalanceEmpty { .. }
            | Self::RatingRefused { .. }
            | Self::KeyRefused { .. }
            | Self::ParametersRefused { .. }
            | Self::SourceOff { .. }
            | Self::SourceSilent { .. }
            | Self::NoPlanLeft { .. } => true,
            Self::BalanceLow { .. } | Self::RatingLow { .. } | Self::AccountPaused { .. } => false,
        }
    }

    /// The kind's name, as it is written in an alert's JSON.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::BalanceLow { .. } => "balance_low",
            Self::BalanceEmpty { .. } => "balance_empty",
            Self::RatingLow { .. } => "rating_low",
            Self::RatingRefused { .. } => "rating_refused",
            Self::AccountPaused { .. } => "account_paused",
            Self::KeyRefused { .. } => "key_refused",
            Self::ParametersRefused { .. } => "parameters_refused",
            Self::SourceOff { .. } => "source_off",
            Self::SourceSilent { .. } => "source_silent",
            Self::NoPlanLeft { .. } => "no_plan_left",
            Self::PurchaseUnresolved { .. } => "purchase_unresolved",
            Self::OrphanFound { .. } => "orphan_found",
            Self::OrphanLoss { .. } => "orphan_loss",
            Self::ClockOff { .. } => "clock_off",
            Self::Quarantined { .. } => "quarantined",
            Self::OrderVanished { .. } => "order_vanished",
            Self::Withheld { .. } => "withheld",
            Self::BooksOff { .. } => "books_off",
        }
    }
}

/// A crossing, one way or the other. Raising what is raised and clearing what is clear change nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlertChange {
    /// It is so now.
    Raise(Alert),
    /// It is so no more: the key of what was raised.
    Clear(String),
}

impl AlertChange {
    /// It is so now.
    #[must_use]
    pub fn raise(alert: Alert) -> Self {
        Self::Raise(alert)
    }

    /// It is so no more, whatever its particulars were.
    #[must_use]
    pub fn clear(alert: &Alert) -> Self {
        Self::Clear(alert.key())
    }

    /// It is so if `holds`, and else no more.
    #[must_use]
    pub fn when(holds: bool, alert: Alert) -> Self {
        if holds { Self::raise(alert) } else { Self::clear(&alert) }
    }
}

//! What a redemption's move means beyond itself: for its voucher, the books, the source, the account and the operator.
//!
//! A pure function of the two states, so that whoever stores a move stores all of it.

use std::time::Duration;

use chrono::TimeDelta;

use super::{AttemptRow, Held, Intent, Outcome, Phase, Redemption, voucher_event};
use crate::alert::{Alert, AlertChange};
use crate::health::{AccountChange, AccountEvent, HealthChange, HealthEvent, Probe, Source};
use crate::ledger::{self, Entry};
use crate::order::OrderStatus;
use crate::ports::Stop;
use crate::voucher::VoucherEvent;

/// How long a number has to be waited for before its silence counts.
const LONG_ENOUGH: TimeDelta = TimeDelta::seconds(60);

/// Everything that is stored beside a redemption's move, in one transaction with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Consequences {
    /// For its voucher.
    pub voucher: Option<VoucherEvent>,
    /// For the books.
    pub ledger: Vec<Entry>,
    /// For the sources it tried.
    pub health: Vec<HealthChange>,
    /// For the accounts it used.
    pub accounts: Vec<AccountChange>,
    /// For the operator.
    pub alerts: Vec<AlertChange>,
}

impl Consequences {
    /// What `after` means, which follows `before`. A probe that nothing is heard of ends `probe_lasts` after its intent.
    #[must_use]
    pub fn of(before: &Redemption, after: &Redemption, probe_lasts: Duration) -> Self {
        let mut all = Self {
            voucher: voucher_event(before, after),
            ledger: ledger::due(Some(before), after),
            ..Self::default()
        };
        let rows = before.attempt_rows();
        for row in after.attempt_rows() {
            let earlier = rows.iter().find(|earlier| earlier.number == row.number);
            if earlier != Some(&row) {
                all.attempt(earlier, &row, after, probe_lasts);
            }
        }
        all.ended(before, after);
        all.withheld(before, after);
        all
    }

    fn attempt(
        &mut self,
        before: Option<&AttemptRow>,
        after: &AttemptRow,
        redemption: &Redemption,
        probe_lasts: Duration,
    ) {
        let source = Source::of_wanted(&after.supplier, &after.wanted);
        let is_new = |holds: fn(&AttemptRow) -> bool| holds(after) && !before.is_some_and(holds);
        let mut note = |event| self.health.push(HealthChange { source: source.clone(), event });

        let probe =
            Probe { redemption: redemption.id, attempt: after.number, until: after.started_at + probe_lasts };
        let was_probe = after.is_probe;
        if before.is_none() && was_probe && after.is_unresolved {
            note(HealthEvent::Probing(probe));
        }
        if let (true, Some(price)) = (is_new(|row| row.order.is_some()), after.price) {
            if price > after.wanted.max_cost {
                note(HealthEvent::Dear { price, cap: after.wanted.max_cost, was_probe });
            } else {
                note(HealthEvent::Sold { was_probe });
            }
        }
        if is_new(|row| row.outcome == Some(Outcome::OutOfStock)) {
            note(HealthEvent::Empty { was_probe });
        }
        if was_probe && is_new(taught_nothing) {
            note(HealthEvent::ProbeReleased { redemption: redemption.id, attempt: after.number });
        }
        if is_new(|row| matches!(row.outcome, Some(Outcome::Delivered | Outcome::Withheld))) {
            note(HealthEvent::Number { got_sms: true });
        }
        if is_new(was_silent) {
            note(HealthEvent::Number { got_sms: false });
        }
        if is_new(was_given_back) {
            let supplier = after.supplier.clone();
            self.accounts.push(AccountChange { supplier, event: AccountEvent::GivenBack });
        }
        if is_new(|row| row.price.is_some_and(|price| price <= row.wanted.max_cost)) {
            self.works_again(after, source, redemption);
        }
        self.trouble(before, after, redemption);
    }

    /// A purchase went through, so whatever kept purchases back is over.
    fn works_again(&mut self, row: &AttemptRow, source: Source, redemption: &Redemption) {
        let supplier = || row.supplier.clone();
        self.alerts.extend(
            [
                Alert::KeyRefused { supplier: supplier() },
                Alert::BalanceEmpty { supplier: supplier() },
                Alert::RatingRefused { supplier: supplier() },
                Alert::ParametersRefused { source },
                Alert::NoPlanLeft { sku: redemption.sku.clone() },
            ]
            .each_ref()
            .map(AlertChange::clear),
        );
    }

    /// What an attempt's end costs without having brought anything.
    fn trouble(&mut self, before: Option<&AttemptRow>, after: &AttemptRow, redemption: &Redemption) {
        let is_new = |holds: fn(&AttemptRow) -> bool| holds(after) && !before.is_some_and(holds);
        if is_new(|row| row.outcome == Some(Outcome::Unresolved)) {
            self.alerts.push(AlertChange::raise(Alert::PurchaseUnresolved {
                voucher: redemption.mask,
                source: Source::of_wanted(&after.supplier, &after.wanted),
                cap: after.wanted.max_cost,
            }));
        }
        let (Some(order), Some(price)) = (after.order.clone(), after.price) else { return };
        let supplier = after.supplier.clone();
        if is_new(is_charged_for_nothing) {
            self.alerts.push(AlertChange::raise(Alert::OrphanLoss { supplier, order, price }));
        } else if is_new(has_vanished) {
            self.alerts.push(AlertChange::raise(Alert::OrderVanished { supplier, order, price }));
        }
    }

    /// What the operator has to see to where the redemption failed.
    fn ended(&mut self, before: &Redemption, after: &Redemption) {
        let Phase::Failed(failure) = &after.phase else { return };
        if before.is_final() {
            return;
        }
        let last = after.closed.iter().max_by_key(|closed| closed.intent.number);
        // Where no attempt was stopped, the account's standing did it, which a look at the account tells of.
        let stopped = last.filter(|closed| closed.outcome == Outcome::Stopped).map(|closed| &closed.intent);
        let (Some(stop), Some(Intent { supplier, wanted, .. })) = (failure.stop, stopped) else { return };
        let supplier = supplier.clone();
        self.alerts.push(AlertChange::raise(match stop {
            Stop::Key => Alert::KeyRefused { supplier },
            Stop::Balance => Alert::BalanceEmpty { supplier },
            Stop::Rating => Alert::RatingRefused { supplier },
            Stop::Parameters => Alert::ParametersRefused { source: Source::of_wanted(&supplier, wanted) },
        }));
    }

    fn withheld(&mut self, before: &Redemption, after: &Redemption) {
        let Some(Held { intent, order, withheld, .. }) = after.held() else { return };
        let earlier = before.held().filter(|held| held.order.id == order.id);
        let is_news = |place: &usize| earlier.is_none_or(|held| !held.withheld.contains_key(place));
        let news = withheld.iter().find(|(place, _)| is_news(place));
        self.alerts.extend(news.map(|(_, pattern)| {
            AlertChange::raise(Alert::Withheld {
                voucher: after.mask,
                sku: after.sku.clone(),
                supplier: intent.supplier.clone(),
                order: order.id.clone(),
                pattern: pattern.clone(),
            })
        }));
    }
}

/// Whether a number was waited for and got no SMS. One that was replaced at once says nothing about its source.
fn was_silent(row: &AttemptRow) -> bool {
    let waited = row.ended_at.map(|ended_at| ended_at - row.started_at);
    match row.outcome {
        Some(Outcome::NoSms) => true,
        Some(Outcome::Replaced) => waited.is_some_and(|waited| waited >= LONG_ENOUGH),
        _ => false,
    }
}

/// Whether an attempt ended without telling whether its source has stock.
fn taught_nothing(row: &AttemptRow) -> bool {
    row.order.is_none() && row.outcome.is_some_and(|outcome| outcome != Outcome::OutOfStock)
}

fn was_given_back(row: &AttemptRow) -> bool {
    matches!(row.order_end, Some(OrderStatus::Cancelled | OrderStatus::Banned))
}

/// Whether the supplier kept the money for an order that brought nobody anything.
fn is_charged_for_nothing(row: &AttemptRow) -> bool {
    row.order_end == Some(OrderStatus::Finished)
        && !matches!(row.outcome, Some(Outcome::Delivered | Outcome::Withheld) | None)
}

/// Whether the supplier no longer knew the order, which there was, of an attempt that is over without a delivery.
fn has_vanished(row: &AttemptRow) -> bool {
    let is_over = row.ended_at.is_some() && row.order_end.is_none();
    is_over && row.outcome != Some(Outcome::Delivered)
}

//! A decision in words.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use mintcode_core::alert::AlertChange;
use mintcode_core::health::HealthEvent;
use mintcode_core::redemption::{
    AfterRelease, Consequences, Decision, Effect, GiveBack, Illegal, Phase, Redemption, Settlement,
};
use mintcode_core::voucher::VoucherEvent;

use crate::run::{PROBE_LASTS, Run};

/// What was decided, in one line: the phase that follows, what ended, what is done, when it is looked at again, and what it
/// means for voucher, books, sources, accounts and operator.
pub(crate) fn told(run: &Run, decided: &Result<Decision, Illegal>) -> String {
    let decision = match decided {
        Ok(decision) => decision,
        Err(illegal) => return format!("refused: {illegal}"),
    };
    let mut words = Vec::new();
    match &decision.next {
        None => words.push("stays".to_owned()),
        Some(next) => {
            assert_eq!(next.version, run.redemption.version + 1);
            words.push(changed(&run.redemption, next, run.now));
            words.extend(next.is_at_rest().then(|| "at rest".to_owned()));
        }
    }
    words.extend(decision.effect.as_ref().map(|effect| format!("do {}", done(effect))));
    words.extend(decision.wake_at.map(|at| format!("look {}", after(at, run.now))));
    if let Some(next) = &decision.next {
        words.extend(meant(run, next));
    }
    words.join("; ")
}

fn changed(before: &Redemption, after: &Redemption, now: DateTime<Utc>) -> String {
    let mut words = phase(after, now);
    for closed in &after.closed {
        let is_new = !before.closed.contains(closed);
        if is_new {
            let end = closed.order_end.map_or(String::new(), |end| format!(" {end:?}"));
            write!(words, ", attempt {} ended {}{end}", closed.intent.number, closed.outcome.name()).unwrap();
        }
    }
    for surplus in &after.background {
        if !before.background.contains(surplus) {
            let held = &surplus.held;
            write!(
                words,
                ", gives back {} unseen as {} (asked {}, again {}, unknown {})",
                held.order.id,
                surplus.outcome.name(),
                surplus.asked,
                self::after(surplus.not_before, now),
                held.unknown
            )
            .unwrap();
        }
    }
    if after.cancel_wished && !before.cancel_wished {
        words.push_str(", to be cancelled");
    }
    words
}

fn phase(redemption: &Redemption, now: DateTime<Utc>) -> String {
    let name = redemption.phase.name();
    let held = redemption.held().map_or(String::new(), |held| {
        let unknown = if held.unknown > 0 { format!(" unknown {}", held.unknown) } else { String::new() };
        format!(" {} with {} messages{unknown}", held.order.id, held.messages.len())
    });
    let tries = redemption.tries_left();
    let more = match &redemption.phase {
        Phase::Ordering(intent) => format!(
            " plan {} at most {}{} ({})",
            intent.plan,
            intent.wanted.max_cost,
            if intent.is_probe { " as a probe" } else { "" },
            intent.reason
        ),
        Phase::Uncertain(search) => search.absent_since.map_or(String::new(), |_| " absent once".to_owned()),
        Phase::Releasing(releasing) => {
            let by = match releasing.by {
                GiveBack::Cancel => "cancel",
                GiveBack::Ban => "ban",
            };
            let then = match releasing.then {
                AfterRelease::NextPlan => "another number".to_owned(),
                AfterRelease::Fail(kind) => format!("fail {}", kind.name()),
                AfterRelease::Cancel => "cancelled".to_owned(),
            };
            format!(
                " by {by}, then {then} (asked {}, again {})",
                releasing.asked,
                after(releasing.not_before, now)
            )
        }
        Phase::CoolingDown { until, plan } => format!(" until {} for plan {plan}", after(*until, now)),
        Phase::Delivered(delivery) | Phase::Withheld(delivery) => match delivery.settlement {
            Settlement::Open { until } => format!(" open until {}", after(until, now)),
            Settlement::Finishing { not_before, asked } => {
                format!(" finishing (asked {asked}, again {})", after(not_before, now))
            }
            Settlement::Settled { order_end, .. } => format!(" settled {order_end:?}"),
        },
        Phase::Failed(failure) => {
            let stop = failure.stop.map_or(String::new(), |stop| format!(" for {stop:?}"));
            format!(" {}{stop}, again {}", failure.kind.name(), after(failure.retry_at, now))
        }
        Phase::Queued | Phase::Waiting(_) | Phase::Cancelled => String::new(),
    };
    format!("{name}{held}{more}, {tries} tries left")
}

fn after(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let millis = (at - now).num_milliseconds();
    format!("{}{}.{:03}s", if millis < 0 { '-' } else { '+' }, millis.abs() / 1000, millis.abs() % 1000)
}

fn done(effect: &Effect) -> String {
    match effect {
        Effect::Buy => "buy".to_owned(),
        Effect::Check(_, order) => format!("check {order}"),
        Effect::Finish(_, order) => format!("finish {order}"),
        Effect::Cancel(_, order) => format!("cancel {order}"),
        Effect::Ban(_, order) => format!("ban {order}"),
        Effect::ListOrders(_) => "list orders".to_owned(),
    }
}

fn meant(run: &Run, after: &Redemption) -> Vec<String> {
    let means = Consequences::of(&run.redemption, after, PROBE_LASTS);
    let mut words = Vec::new();
    if let Some(event) = &means.voucher {
        let tried =
            matches!(event, VoucherEvent::End { number_shown: true, .. }).then_some(" with a try used");
        let rest = match event {
            VoucherEvent::End { start_behind, ready_at, .. } => {
                let behind = start_behind.as_ref().map_or(String::new(), |plan| format!(" behind {plan}"));
                format!("{behind} again {}", self::after(*ready_at, run.now))
            }
            _ => String::new(),
        };
        words.push(format!("voucher: {}{}{rest}", event.name(), tried.unwrap_or_default()));
    }
    let booked: Vec<_> = means
        .ledger
        .iter()
        .map(|entry| format!("{} {} {}", entry.book.name(), entry.kind.name(), entry.amount))
        .collect();
    let health: Vec<_> = means.health.iter().map(|change| health(change.event, run.now)).collect();
    let alerts = means.alerts.iter().filter_map(|change| match change {
        AlertChange::Raise(alert) => Some(alert.kind().to_owned()),
        AlertChange::Clear(_) => None,
    });
    let alerts = alerts.collect::<Vec<_>>();
    let is_over = |change: &AlertChange| matches!(change, AlertChange::Clear(_));
    let over = means.alerts.iter().filter(|change| is_over(change)).count();
    let over = if over > 0 { vec![format!("{over} alerts are over")] } else { Vec::new() };
    let accounts: Vec<_> = means.accounts.iter().map(|_| "one number given back".to_owned()).collect();
    for (what, list) in
        [("books", booked), ("source", health), ("account", accounts), ("alert", alerts), ("operator", over)]
    {
        if !list.is_empty() {
            words.push(format!("{what}: {}", list.join(", ")));
        }
    }
    words
}

fn health(event: HealthEvent, now: DateTime<Utc>) -> String {
    let said = match event {
        HealthEvent::Probing(probe) => return format!("probing until {}", self::after(probe.until, now)),
        HealthEvent::Sold { was_probe: true } => "sold to the probe",
        HealthEvent::Sold { was_probe: false } => "sold",
        HealthEvent::Empty { was_probe: true } => "empty for the probe",
        HealthEvent::Empty { was_probe: false } => "empty",
        HealthEvent::Dear { .. } => "dear",
        HealthEvent::ProbeReleased { .. } => "probe released",
        HealthEvent::Number { got_sms: true } => "a number got its SMS",
        HealthEvent::Number { got_sms: false } => "a number got no SMS",
        HealthEvent::Listed { .. } => "listed",
    };
    said.to_owned()
}

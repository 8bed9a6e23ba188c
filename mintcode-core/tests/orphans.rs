//! Orders that no redemption knows of: what becomes of one, from being found to its end.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::time::Duration;

use chrono::{DateTime, Utc};
use mintcode_core::alert::{Alert, AlertChange};
use mintcode_core::ids::SupplierName;
use mintcode_core::money::{Amount, Currency, Rate};
use mintcode_core::order::{ListedOrder, Message, Order, OrderId, OrderStatus, Phone, Sight};
use mintcode_core::orphan::{Orphan, OrphanEffect, OrphanLoss, OrphanPhase};
use mintcode_core::ports::Stop;
use mintcode_core::redemption::{Call, CallFailure};
use mintcode_core::testing::sample;
use proptest::prelude::*;

/// The pause after a refusal to take an order back yet.
const TOO_EARLY: Duration = Duration::from_secs(30);

const CLOSED: [OrderStatus; 4] =
    [OrderStatus::Finished, OrderStatus::Cancelled, OrderStatus::Banned, OrderStatus::TimedOut];

fn at(seconds: u64) -> DateTime<Utc> {
    sample::now() + Duration::from_secs(seconds)
}

fn price() -> Amount {
    Amount::from_micros(12_500_000)
}

fn order() -> Order {
    Order {
        id: OrderId::new("1001"),
        phone: Phone::new("15550001122"),
        price: price(),
        created_at: at(0),
        expires_at: at(900),
    }
}

/// The order's state, and how many messages there are.
fn sight(status: OrderStatus, messages: usize) -> Sight {
    let message = Message {
        received_at: at(1),
        sender: "Telegram".to_owned(),
        text: "Your code is 482915".to_owned(),
        code: None,
    };
    Sight { status, messages: vec![message; messages] }
}

/// An order that shows so when it is found, 100 s in.
fn found(sight: Sight) -> Orphan {
    let listed = ListedOrder {
        order: order(),
        product: "telegram".to_owned(),
        country: "canada".to_owned(),
        operator: "virtual4".to_owned(),
        sight,
    };
    let (currency, rate) = ("RUB".parse::<Currency>().unwrap(), "0.0125".parse::<Rate>().unwrap());
    Orphan::found(&SupplierName::default(), listed, currency, rate, at(100))
}

/// One that is open, and was asked to be given back `asked` times, to be asked again 110 s in.
fn returning(asked: u32, has_message: bool, unknown: u32) -> Orphan {
    let phase = OrphanPhase::Returning { not_before: at(110), asked };
    Orphan { phase, has_message, unknown, ..found(sight(OrderStatus::Open, 0)) }
}

fn settled(end: Option<OrderStatus>) -> Orphan {
    Orphan { phase: OrphanPhase::Settled { end, at: at(105) }, ..returning(1, false, 0) }
}

/// Every settled state.
fn all_settled() -> impl Iterator<Item = Orphan> {
    std::iter::once(None).chain(CLOSED.map(Some)).map(settled)
}

/// What an orphan is by now, as a short text.
fn shown(orphan: &Orphan) -> String {
    let seconds = |time: DateTime<Utc>| (time - at(0)).num_seconds();
    let phase = match orphan.phase {
        OrphanPhase::Returning { not_before, asked } => {
            format!("returning from {} after {asked}", seconds(not_before))
        }
        OrphanPhase::Settled { end, at } => format!("settled {end:?} at {}", seconds(at)),
    };
    let message = if orphan.has_message { ", message" } else { "" };
    let unknown = if orphan.unknown > 0 { format!(", unknown {}", orphan.unknown) } else { String::new() };
    format!("{phase}{message}{unknown}")
}

/// `next`, which has to be one version on and otherwise the same order.
#[track_caller]
fn changed(before: &Orphan, next: Option<Orphan>) -> String {
    let Some(next) = next else { return "-".to_owned() };
    let Orphan { has_message, unknown, phase, .. } = next;
    assert_eq!(next, Orphan { has_message, unknown, phase, version: before.version + 1, ..before.clone() });
    shown(&next)
}

#[test]
fn an_order_is_found_as_it_shows() {
    let open = found(sight(OrderStatus::Open, 0));
    assert_eq!((open.version, open.found_at), (1, at(100)));
    assert_eq!((&open.order, open.source.to_string().as_str()), (&order(), "main/telegram/canada/virtual4"));
    for (status, messages, expected) in [
        (OrderStatus::Open, 0, "returning from 100 after 0"),
        (OrderStatus::Open, 2, "returning from 100 after 0, message"),
        (OrderStatus::Finished, 1, "settled Some(Finished) at 100, message"),
        (OrderStatus::Finished, 0, "settled Some(Finished) at 100"),
        (OrderStatus::Cancelled, 0, "settled Some(Cancelled) at 100"),
        (OrderStatus::Banned, 0, "settled Some(Banned) at 100"),
        (OrderStatus::TimedOut, 0, "settled Some(TimedOut) at 100"),
    ] {
        let orphan = found(sight(status, messages));
        assert_eq!(shown(&orphan), expected);
        assert_eq!(orphan.version, 1, "{expected}");
    }
}

#[test]
fn it_is_given_back_at_its_time_and_completed_once_a_message_has_come() {
    for (orphan, seconds, expected) in [
        (returning(0, false, 0), 109, "-"),
        (returning(0, false, 0), 110, "returning from 111 after 1 Cancel"),
        (returning(0, false, 0), 200, "returning from 201 after 1 Cancel"),
        (returning(4, false, 1), 110, "returning from 126 after 5, unknown 1 Cancel"),
        (returning(9, false, 0), 110, "returning from 140 after 10 Cancel"),
        (returning(u32::MAX - 1, false, 0), 110, "returning from 140 after 4294967295 Cancel"),
        (returning(0, true, 0), 109, "-"),
        (returning(3, true, 0), 110, "returning from 118 after 4, message Finish"),
    ] {
        let due = orphan.due(at(seconds));
        let effect = due.as_ref().map(|(_, effect)| format!(" {effect:?}")).unwrap_or_default();
        let next = changed(&orphan, due.map(|(next, _)| next));
        assert_eq!(next + &effect, expected, "{} at {seconds}", shown(&orphan));
    }
    for orphan in all_settled() {
        assert_eq!(orphan.due(at(1_000_000)), None, "{}", shown(&orphan));
    }
}

#[test]
fn messages_are_read_before_the_status() {
    use OrderStatus::{Banned, Cancelled, Finished, Open, TimedOut};
    let (plain, unknown) = (returning(2, false, 0), returning(2, false, 1));
    let (told, both) = (returning(2, true, 0), returning(2, true, 1));
    for (orphan, status, messages, expected) in [
        (&plain, Open, 0, "-"),
        // It is to be completed at once instead of given back.
        (&plain, Open, 1, "returning from 105 after 2, message"),
        (&plain, Finished, 0, "settled Some(Finished) at 105"),
        (&plain, Finished, 1, "settled Some(Finished) at 105, message"),
        (&plain, Cancelled, 0, "settled Some(Cancelled) at 105"),
        (&plain, Cancelled, 1, "settled Some(Cancelled) at 105, message"),
        (&plain, Banned, 0, "settled Some(Banned) at 105"),
        (&plain, TimedOut, 0, "settled Some(TimedOut) at 105"),
        // It is known after all.
        (&unknown, Open, 0, "returning from 110 after 2"),
        (&unknown, Open, 1, "returning from 105 after 2, message"),
        (&unknown, TimedOut, 0, "settled Some(TimedOut) at 105"),
        // A message that has come has come, and a second one changes nothing. What was asked waits for its answer.
        (&told, Open, 0, "-"),
        (&told, Open, 1, "-"),
        (&told, Open, 2, "-"),
        (&told, Finished, 0, "settled Some(Finished) at 105, message"),
        (&told, Finished, 1, "settled Some(Finished) at 105, message"),
        (&both, Open, 1, "returning from 110 after 2, message"),
        (&both, Finished, 1, "settled Some(Finished) at 105, message"),
    ] {
        let next = changed(orphan, orphan.seen(&sight(status, messages), at(105)));
        assert_eq!(next, expected, "{} seen {status:?} with {messages}", shown(orphan));
    }
}

#[test]
fn what_is_settled_stays_settled() {
    for orphan in all_settled() {
        for status in [OrderStatus::Open].into_iter().chain(CLOSED) {
            for messages in [0, 1] {
                let next = orphan.seen(&sight(status, messages), at(200));
                assert_eq!(next, None, "{} {status:?} with {messages}", shown(&orphan));
            }
        }
    }
}

const fn throttled(seconds: Option<u64>) -> CallFailure {
    let retry_after = match seconds {
        Some(seconds) => Some(Duration::from_secs(seconds)),
        None => None,
    };
    CallFailure::Throttled { retry_after }
}

/// Every way a call can fail.
const FAILURES: [CallFailure; 8] = [
    throttled(None),
    throttled(Some(100)),
    CallFailure::Stopped(Stop::Key),
    CallFailure::Stopped(Stop::Balance),
    CallFailure::NotFound,
    CallFailure::TooEarly,
    CallFailure::Conflict,
    CallFailure::Unclear,
];

#[test]
fn a_refusal_is_not_believed_and_two_looks_are() {
    // Asked twice so far: without a word from the supplier, the next pause is 4 s.
    let (plain, unknown) = (returning(2, false, 0), returning(2, false, 1));
    let (told, both) = (returning(2, true, 0), returning(2, true, 1));
    let look = "- Check";
    for (call, failure, expected) in [
        (
            Call::Settle,
            throttled(None),
            ["returning from 109 after 2", "returning from 109 after 2, unknown 1"],
        ),
        (
            Call::Settle,
            throttled(Some(1)),
            ["returning from 109 after 2", "returning from 109 after 2, unknown 1"],
        ),
        (
            Call::Settle,
            throttled(Some(100)),
            ["returning from 205 after 2", "returning from 205 after 2, unknown 1"],
        ),
        (
            Call::Settle,
            CallFailure::TooEarly,
            ["returning from 135 after 2", "returning from 135 after 2, unknown 1"],
        ),
        (Call::Settle, CallFailure::Stopped(Stop::Key), [look, look]),
        (Call::Settle, CallFailure::Stopped(Stop::Balance), [look, look]),
        (Call::Settle, CallFailure::NotFound, [look, look]),
        (Call::Settle, CallFailure::Conflict, [look, look]),
        (Call::Settle, CallFailure::Unclear, [look, look]),
        (
            Call::Check,
            CallFailure::NotFound,
            ["returning from 110 after 2, unknown 1", "settled None at 105, unknown 1"],
        ),
        (Call::Check, throttled(None), ["-", "-"]),
        (Call::Check, throttled(Some(100)), ["-", "-"]),
        (Call::Check, CallFailure::Stopped(Stop::Key), ["-", "-"]),
        (Call::Check, CallFailure::Stopped(Stop::Balance), ["-", "-"]),
        (Call::Check, CallFailure::TooEarly, ["-", "-"]),
        (Call::Check, CallFailure::Conflict, ["-", "-"]),
        (Call::Check, CallFailure::Unclear, ["-", "-"]),
    ] {
        for (orphan, expected) in [&plain, &unknown].into_iter().zip(expected) {
            assert_eq!(after(orphan, call, failure), expected, "{} {call:?} {failure:?}", shown(orphan));
        }
        // Whether a message has come makes no difference to it.
        for (orphan, with_message) in [(&plain, &told), (&unknown, &both)] {
            let as_without = after(with_message, call, failure).replace(", message", "");
            assert_eq!(as_without, after(orphan, call, failure), "{call:?} {failure:?}");
        }
    }
}

/// What a failed call makes of it 105 s in, and what is asked next.
#[track_caller]
fn after(orphan: &Orphan, call: Call, failure: CallFailure) -> String {
    let (next, effect) = orphan.failed(call, failure, TOO_EARLY, at(105));
    let effect = effect.map(|effect| format!(" {effect:?}")).unwrap_or_default();
    changed(orphan, next) + &effect
}

#[test]
fn no_failure_moves_what_is_settled() {
    for orphan in all_settled() {
        for failure in FAILURES {
            for call in [Call::Check, Call::Settle] {
                let answer = orphan.failed(call, failure, TOO_EARLY, at(200));
                assert_eq!(answer, (None, None), "{} {call:?} {failure:?}", shown(&orphan));
            }
        }
    }
}

#[test]
fn only_what_was_charged_is_a_loss() {
    for orphan in all_settled().chain([returning(1, true, 0), returning(1, false, 0)]) {
        let is_charged = shown(&orphan).starts_with("settled Some(Finished)");
        let loss = OrphanLoss {
            source: orphan.source.clone(),
            order: order(),
            currency: "RUB".parse().unwrap(),
            value: Amount::from_micros(156_250),
            at: at(105),
        };
        assert_eq!(orphan.loss(), is_charged.then_some(loss), "{}", shown(&orphan));
    }
    let dear = Order { price: Amount::MAX, ..order() };
    let rate = Rate::from_micros(2_000_000).unwrap();
    let orphan = Orphan { order: dear, rate, ..settled(Some(OrderStatus::Finished)) };
    assert_eq!(orphan.loss().unwrap().value, Amount::MAX, "what fits nowhere is not booked as less");
}

#[test]
fn the_operator_is_told_of_finding_charging_and_vanishing_once() {
    let (supplier, order, price) = (SupplierName::default(), OrderId::new("1001"), price());
    let found = Alert::OrphanFound { supplier: supplier.clone(), order: order.clone(), price };
    let loss = Alert::OrphanLoss { supplier: supplier.clone(), order: order.clone(), price };
    let vanished = Alert::OrderVanished { supplier, order, price };
    let raised = |alerts: &[&Alert]| -> Vec<_> {
        alerts.iter().map(|alert| AlertChange::raise((*alert).clone())).collect()
    };
    let open = returning(1, false, 0);
    let finished = settled(Some(OrderStatus::Finished));
    let gone = settled(None);
    assert_eq!(open.alerts(None), raised(&[&found]));
    assert_eq!(finished.alerts(None), raised(&[&found, &loss]));
    assert_eq!(settled(Some(OrderStatus::Cancelled)).alerts(None), raised(&[&found]));
    assert_eq!(returning(2, true, 1).alerts(Some(&open)), []);
    assert_eq!(finished.alerts(Some(&open)), raised(&[&loss]));
    assert_eq!(gone.alerts(Some(&open)), raised(&[&vanished]));
    for end in [OrderStatus::Cancelled, OrderStatus::Banned, OrderStatus::TimedOut] {
        assert_eq!(settled(Some(end)).alerts(Some(&open)), [], "{end:?} costs nothing");
    }
    for orphan in [finished, gone] {
        assert_eq!(Orphan { has_message: true, ..orphan.clone() }.alerts(Some(&orphan)), []);
    }
}

#[test]
fn an_orphan_is_read_back_as_it_was_written() {
    let states = all_settled().chain([returning(7, true, 1), found(sight(OrderStatus::Open, 0))]);
    for orphan in states {
        let text = serde_json::to_string(&orphan).unwrap();
        let version = orphan.version;
        let read = Orphan { version, ..serde_json::from_str(&text).unwrap() };
        assert_eq!(read, orphan, "{text}");
    }
}

/// Something that happens to an orphan.
#[derive(Clone, Copy, Debug)]
enum Happens {
    Due,
    Seen(OrderStatus, usize),
    Failed(Call, CallFailure),
}

fn happens() -> impl Strategy<Value = Happens> {
    let status = prop::sample::select(vec![
        OrderStatus::Open,
        OrderStatus::Open,
        OrderStatus::Open,
        OrderStatus::Finished,
        OrderStatus::Cancelled,
        OrderStatus::Banned,
        OrderStatus::TimedOut,
    ]);
    let call = prop::sample::select(vec![Call::Check, Call::Settle]);
    let failure = prop::sample::select(FAILURES.to_vec());
    prop_oneof![
        3 => Just(Happens::Due),
        2 => (status, 0_usize..3).prop_map(|(status, messages)| Happens::Seen(status, messages)),
        2 => (call, failure).prop_map(|(call, failure)| Happens::Failed(call, failure)),
    ]
}

proptest! {
    /// Whatever happens in whatever order: nothing is asked of a settled order, none is given back that has a message, the
    /// operator is told of each crossing once, and what was charged is a loss.
    #[test]
    fn whatever_happens_an_orphan_keeps_to_its_law(story in prop::collection::vec((0_u64..60, happens()), 1..80)) {
        let mut orphan = found(sight(OrderStatus::Open, 0));
        let mut alerts = orphan.alerts(None);
        let mut seconds = 100;
        let (mut looked_in_vain, mut version) = (0, 1);
        for (passed, happens) in story {
            seconds += passed;
            let now = at(seconds);
            let (next, effect) = match happens {
                Happens::Due => orphan.due(now).map_or((None, None), |(next, effect)| (Some(next), Some(effect))),
                Happens::Seen(status, messages) => (orphan.seen(&sight(status, messages), now), None),
                Happens::Failed(call, failure) => orphan.failed(call, failure, TOO_EARLY, now),
            };
            looked_in_vain = match happens {
                Happens::Failed(Call::Check, CallFailure::NotFound) => looked_in_vain + 1,
                Happens::Seen(..) => 0,
                Happens::Due | Happens::Failed(..) => looked_in_vain,
            };
            prop_assert!(effect.is_none() || !orphan.is_settled(), "{effect:?} for {orphan:?}");
            match effect {
                Some(OrphanEffect::Cancel) => prop_assert!(!orphan.has_message),
                Some(OrphanEffect::Finish) => prop_assert!(orphan.has_message),
                Some(OrphanEffect::Check) | None => {}
            }
            let Some(next) = next else { continue };
            version += 1;
            prop_assert_eq!(next.version, version);
            prop_assert!(next.has_message || !orphan.has_message, "a message was forgotten");
            if orphan.is_settled() {
                prop_assert_eq!(next.phase, orphan.phase);
            }
            if matches!(next.phase, OrphanPhase::Settled { end: None, .. }) && !orphan.is_settled() {
                prop_assert!(looked_in_vain >= 2, "one look in vain is not enough");
            }
            alerts.extend(next.alerts(Some(&orphan)));
            orphan = next;
        }
        let kinds: Vec<_> = alerts
            .iter()
            .map(|change| match change {
                AlertChange::Raise(alert) => alert.kind(),
                AlertChange::Clear(_) => "clear",
            })
            .collect();
        let expected: &[&str] = match orphan.phase {
            OrphanPhase::Settled { end: Some(OrderStatus::Finished), .. } => &["orphan_found", "orphan_loss"],
            OrphanPhase::Settled { end: None, .. } => &["orphan_found", "order_vanished"],
            OrphanPhase::Settled { .. } | OrphanPhase::Returning { .. } => &["orphan_found"],
        };
        prop_assert_eq!(kinds, expected);
        prop_assert_eq!(orphan.loss().is_some(), expected.contains(&"orphan_loss"));
    }

    /// A supplier that takes orders back, or completes them, is not asked for ever.
    #[test]
    fn a_supplier_that_answers_settles_it(story in prop::collection::vec((0_u64..60, happens()), 0..40), takes_long: bool) {
        let mut orphan = found(sight(OrderStatus::Open, 0));
        let mut now = at(100);
        for (passed, happens) in story {
            now += Duration::from_secs(passed);
            let next = match happens {
                Happens::Due => orphan.due(now).map(|(next, _)| next),
                Happens::Seen(_, messages) => orphan.seen(&sight(OrderStatus::Open, messages), now),
                Happens::Failed(Call::Check, CallFailure::NotFound) => None,
                Happens::Failed(call, failure) => orphan.failed(call, failure, TOO_EARLY, now).0,
            };
            orphan = next.unwrap_or(orphan);
        }
        // The longest pause is ten minutes.
        now += Duration::from_mins(10);
        let (asked, effect) = orphan.due(now).expect("it is due after the longest pause");
        let end = match effect {
            OrphanEffect::Finish => OrderStatus::Finished,
            OrphanEffect::Cancel => OrderStatus::Cancelled,
            OrphanEffect::Check => unreachable!("a look settles nothing"),
        };
        let answered = if takes_long { asked.seen(&sight(OrderStatus::Open, 0), now).unwrap_or(asked) } else { asked };
        let settled = answered.seen(&sight(end, 0), now).unwrap();
        prop_assert_eq!(settled.phase, OrphanPhase::Settled { end: Some(end), at: now });
    }
}

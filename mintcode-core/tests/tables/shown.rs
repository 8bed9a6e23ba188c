//! What a redemption shows of itself, phase by phase.

use std::time::Duration;

use mintcode_core::order::{OrderId, OrderStatus};
use mintcode_core::ports::Stop;
use mintcode_core::redemption::{
    Call, CallFailure, Event, FailureKind, FailureView, NotBought, Outcome, Status, Wish,
};

use crate::run::{Run, two_plans};

const SECOND: Duration = Duration::from_secs(1);

fn fresh() -> Run {
    Run::of(two_plans())
}

fn bank(run: Run) -> Run {
    let event = run.seen(OrderStatus::Open, &["Sberbank: payment 5,000 RUB, card *1234. Code 482915"]);
    run.then(SECOND, event)
}

fn no_sms(run: Run) -> Run {
    let run = run.then(300 * SECOND, Event::Tick);
    let event = run.seen(OrderStatus::Cancelled, &[]);
    run.at_once(event)
}

#[test]
fn every_phase_shows_its_status_and_the_number_in_hand() {
    let unclear = fresh().ordering().at_once(Event::BuyUnclear { attempt: 1 });
    let why = NotBought::Throttled { retry_after_ms: Some(40_000) };
    let code = fresh().waiting();
    let seen = code.seen(OrderStatus::Open, &["Your code is 482915"]);
    for (run, name, attempt) in vec![
        (fresh(), "queued", None),
        (fresh().ordering(), "ordering", None),
        (unclear, "ordering", None),
        (fresh().waiting(), "waiting_sms", Some(1)),
        (fresh().waiting().then(SECOND, Event::Wish(Wish::Cancel)), "releasing", Some(1)),
        (fresh().ordering().at_once(Event::NotBought { attempt: 1, why }), "cooling_down", None),
        (code.at_once(seen), "delivered", Some(1)),
        (bank(fresh().waiting()), "failed", None),
        (no_sms(fresh().waiting()), "failed", None),
        (fresh().at_once(Event::Wish(Wish::Cancel)), "cancelled", None),
    ] {
        let snapshot = run.redemption.snapshot();
        assert_eq!((snapshot.status.name(), snapshot.attempt), (name, attempt));
        assert_eq!(snapshot.version, run.redemption.version);
        let is_final = matches!(name, "delivered" | "failed" | "cancelled");
        assert_eq!((snapshot.status.is_final(), run.redemption.is_final()), (is_final, is_final), "{name}");
    }
}

#[test]
fn a_failure_tells_whether_and_when_to_try_again() {
    let failure = |run: &Run| run.redemption.snapshot().failure;
    let failed = no_sms(fresh().waiting());
    let retry_at = Some(failed.now + 60 * SECOND);
    assert_eq!(failure(&failed), Some(FailureView { kind: FailureKind::NoSms, retryable: true, retry_at }));
    let mut last = fresh();
    last.redemption.tries_before = 2;
    let over = Some(FailureView { kind: FailureKind::NoSms, retryable: false, retry_at: None });
    assert_eq!(failure(&no_sms(last.waiting())), over);
    let support = Some(FailureView { kind: FailureKind::ContactSupport, retryable: false, retry_at: None });
    let stopped = Event::NotBought { attempt: 1, why: NotBought::Stopped(Stop::Key) };
    assert_eq!(failure(&fresh().ordering().at_once(stopped)), support);
    assert_eq!(failure(&bank(fresh().waiting())), support);
    assert_eq!(failure(&fresh()), None);
}

#[test]
fn what_goes_on_by_itself_says_when() {
    let resumes_at = |run: &Run| run.redemption.snapshot().resumes_at;
    let why = NotBought::Throttled { retry_after_ms: Some(40_000) };
    let paused = fresh().ordering().at_once(Event::NotBought { attempt: 1, why });
    assert_eq!(resumes_at(&paused), Some(paused.now + 40 * SECOND));
    let order = OrderId::new("1001");
    let failure = CallFailure::TooEarly;
    let early = fresh().waiting().then(SECOND, Event::Wish(Wish::Cancel));
    let early = early.at_once(Event::CallFailed { order, call: Call::Settle, failure });
    assert_eq!(resumes_at(&early), Some(early.now + 30 * SECOND));
    // A number found too late is asked back at once.
    let found = fresh().ordering().at_once(Event::BuyUnclear { attempt: 1 }).later(300 * SECOND);
    let order = crate::run::order(120_000, found.now);
    let found = found.at_once(Event::Bought { attempt: 1, order });
    assert_eq!((found.redemption.status(), resumes_at(&found)), (Status::Releasing, None));
    assert_eq!(resumes_at(&fresh().waiting()), None);
}

#[test]
fn numbers_and_intents_are_found_by_their_attempt() {
    let number = |run: &Run, attempt| run.redemption.phone(attempt).map(|phone| phone.reveal().to_owned());
    let shown = Some("+12045550100".to_owned());
    let waiting = fresh().waiting();
    assert_eq!((number(&waiting, 1), number(&waiting, 2)), (shown.clone(), None));
    let failed = no_sms(waiting);
    assert_eq!((number(&failed, 1), number(&failed, 2)), (shown, None));
    let unclear = fresh().ordering().at_once(Event::BuyUnclear { attempt: 1 });
    for run in [fresh().ordering(), unclear, failed] {
        assert_eq!(run.redemption.intent(1).map(|intent| intent.number), Some(1));
        assert_eq!(run.redemption.intent(2), None);
    }
}

#[test]
fn an_attempt_says_when_its_sms_came_and_a_release_does_not_change_it() {
    let sms_at = |run: &Run| run.redemption.attempt_rows()[0].sms_at;
    let withheld = bank(fresh().waiting());
    let came_at = Some(withheld.now);
    assert_eq!(sms_at(&withheld), came_at);
    let released = withheld.then(3600 * SECOND, Event::Wish(Wish::Release));
    assert_eq!((sms_at(&released), released.redemption.snapshot().attempt), (came_at, Some(1)));
    assert_eq!(sms_at(&fresh().waiting()), None);
}

#[test]
fn attempts_tell_how_and_when_they_ended() {
    let dear = fresh().ordering();
    let order = crate::run::order(300_000, dear.now);
    let dear = dear.at_once(Event::Bought { attempt: 1, order });
    let row = &dear.redemption.attempt_rows()[0];
    assert_eq!((row.outcome, row.ended_at), (Some(Outcome::TooDear), None));

    let done = fresh().waiting();
    let event = done.seen(OrderStatus::Finished, &["Your code is 482915"]);
    let done = done.then(SECOND, event);
    let row = &done.redemption.attempt_rows()[0];
    assert_eq!((row.outcome, row.order_end), (Some(Outcome::Delivered), Some(OrderStatus::Finished)));
    assert_eq!(row.ended_at, Some(done.now));
}

//! How sources and accounts do.

use chrono::Duration;

use super::Subject;
use super::stage::{
    at, begun, bought, change, fails_whole, happened, intended, meant, minted, moved, nothing_observed, post,
    queued, queued_many, rdm, refusal, reload, session, source, voucher, went_on,
};
use crate::health::{
    Account, AccountChange, AccountEvent, Health, HealthChange, HealthEvent, HealthRules, Outlook, Probe,
    Source,
};
use crate::ids::{SkuId, SupplierName};
use crate::money::{Amount, Currency};
use crate::ports::{Commit, Observed, PlanChange, Put, StorageError};
use crate::redemption::{ClosedAttempt, Outcome, Redemption};
use crate::testing::sample;
use crate::voucher::{Refusal, VoucherState};

const DEAR: HealthEvent = HealthEvent::Dear {
    price: Amount::from_micros(500_000),
    cap: Amount::from_micros(200_000),
    was_probe: false,
};
const CHEAP_AGAIN: HealthEvent = HealthEvent::Listed { price: Amount::from_micros(200_000) };
const SOLD: HealthEvent = HealthEvent::Sold { was_probe: false };
const EMPTY: HealthEvent = HealthEvent::Empty { was_probe: false };

/// What the source does after `events`, all of them `seconds` in.
fn after(events: &[HealthEvent], rules: &HealthRules, seconds: i64) -> Health {
    events.iter().fold(Health::default(), |health, event| {
        health.after(&happened(*event), rules, at(seconds)).unwrap().0
    })
}

async fn observe(store: &Subject, health: Vec<HealthChange>, seconds: i64) {
    store.observe(Observed { health, ..nothing_observed(seconds) }).await.unwrap();
}

async fn health(store: &Subject) -> Health {
    let (_, outlook) = store.outlook(&sample::sku("tg").id).await.unwrap().expect("the SKU is stored");
    outlook.sources.get(&source()).cloned().unwrap_or_default()
}

/// The next version of `redemption`, `seconds` in, whose attempt is to probe the source for 45 s.
fn probing(redemption: &Redemption, seconds: i64) -> Commit {
    let probe = Probe { redemption: redemption.id, attempt: 1, until: at(seconds + 45) };
    let next = Redemption { updated_at: at(seconds), ..intended(redemption) };
    Commit { health: vec![happened(HealthEvent::Probing(probe))], ..change(next, Vec::new()) }
}

/// A SKU comes with what is known of its sources: at first nothing.
pub async fn nothing_is_known_of_what_was_never_tried(store: &Subject) {
    let sku = sample::sku("tg");
    assert_eq!(store.outlook(&sku.id).await.unwrap(), None);
    store.put_sku(sku.clone(), Put::Create).await.unwrap();
    assert_eq!(store.outlook(&sku.id).await.unwrap(), Some((sku, Outlook::default())));
    assert_eq!(store.outlook(&SkuId::new("nope").unwrap()).await.unwrap(), None);
    assert_eq!(store.sources().await.unwrap(), []);
    assert_eq!(store.accounts().await.unwrap(), []);
}

/// What redemptions met is what the next choice sees.
pub async fn the_outlook_is_what_commits_made_of_it(store: &Subject) {
    let first = queued(store).await;
    let mut ordering = went_on(store, &first, intended(&first)).await;
    let empty = |ordering: &Redemption| {
        let mut next = intended(ordering);
        next.closed.push(ClosedAttempt {
            intent: ordering.intent(ordering.attempts()).unwrap().clone(),
            order: None,
            order_end: None,
            outcome: Outcome::OutOfStock,
            ended_at: next.updated_at,
        });
        next
    };
    let mut expected = Health::default();
    for _ in 0..2 {
        let next = empty(&ordering);
        expected = expected.after(&happened(EMPTY), &HealthRules::default(), next.updated_at).unwrap().0;
        ordering = went_on(store, &ordering, next).await;
        assert_eq!(health(store).await, expected);
    }
    let waiting = bought(&ordering, "100");
    expected = expected.after(&happened(SOLD), &HealthRules::default(), waiting.updated_at).unwrap().0;
    went_on(store, &ordering, waiting).await;
    assert_eq!(health(store).await, expected);
    assert_eq!(store.sources().await.unwrap(), [(source(), expected)]);
}

/// One change makes the ground for the next, by the rules that come with them.
pub async fn changes_of_a_source_are_applied_in_order(store: &Subject) {
    let first = queued(store).await;
    let rules =
        HealthRules { off: std::time::Duration::from_secs(7), min_tries: 2, ..HealthRules::default() };
    let mut current = first;
    for events in [[DEAR, CHEAP_AGAIN, SOLD], [CHEAP_AGAIN, SOLD, DEAR], [EMPTY, CHEAP_AGAIN, EMPTY]] {
        let next = moved(&current, current.phase.clone());
        let earlier = health(store).await;
        let expected = events.iter().fold(earlier, |health, event| {
            health.after(&happened(*event), &rules, next.updated_at).unwrap().0
        });
        let health_changes = events.map(happened).to_vec();
        let commit = Commit { health: health_changes, rules, ..change(next.clone(), Vec::new()) };
        store.commit(commit).await.unwrap();
        assert_eq!(health(store).await, expected, "{events:?}");
        current = next;
    }
    let in_order = after(&[DEAR, CHEAP_AGAIN], &rules, 1);
    assert_ne!(in_order, after(&[CHEAP_AGAIN, DEAR], &rules, 1), "the order would not show");
}

/// A source is the same for every SKU that buys there, and no other one is.
pub async fn skus_share_what_is_known_of_a_source(store: &Subject) {
    let mut elsewhere = sample::sku("elsewhere");
    elsewhere.plans = vec![sample::plan("A", "canada", "virtual5")];
    let mut other_product = sample::sku("product");
    other_product.product = "whatsapp".into();
    for sku in [sample::sku("tg"), sample::sku("wa"), elsewhere, other_product] {
        store.put_sku(sku, Put::Create).await.unwrap();
    }
    observe(store, vec![happened(DEAR)], 5).await;
    let known = async |id: &str| {
        let (_, outlook) = store.outlook(&SkuId::new(id).unwrap()).await.unwrap().unwrap();
        outlook.sources.into_iter().collect::<Vec<_>>()
    };
    let expected = [(source(), after(&[DEAR], &HealthRules::default(), 5))];
    assert_eq!(known("tg").await, expected);
    assert_eq!(known("wa").await, expected);
    assert_eq!(known("elsewhere").await, []);
    assert_eq!(known("product").await, []);
}

/// All plans' sources and accounts, switched off or not, as of now; what else is known is left out.
pub async fn an_outlook_tells_of_the_skus_own_plans(store: &Subject) {
    let second = SupplierName::new("second").unwrap();
    let mut sku = sample::sku("tg");
    sku.plans.push(sample::plan("B", "usa", "virtual5"));
    sku.plans[1].supplier = second.clone();
    store.put_sku(sku.clone(), Put::Create).await.unwrap();

    let other = Source { country: "france".into(), ..source() };
    let usa =
        Source { supplier: second.clone(), country: "usa".into(), operator: "virtual5".into(), ..source() };
    let third = SupplierName::new("third").unwrap();
    let seen = |name: &SupplierName| AccountChange { supplier: name.clone(), event: AccountEvent::GivenBack };
    let observed = Observed {
        health: [&usa, &other, &source()].map(|it| HealthChange { source: it.clone(), event: SOLD }).to_vec(),
        accounts: [&third, &second, &SupplierName::default()].map(seen).to_vec(),
        ..nothing_observed(5)
    };
    store.observe(observed).await.unwrap();
    let off = PlanChange { enabled: Some(false), ..PlanChange::default() };
    let switched = store.change_plan(&sku.id, &sample::plan_id("B"), off).await.unwrap();

    let sold = after(&[SOLD], &HealthRules::default(), 5);
    let account = Account::default().after(&seen(&second), &HealthRules::default(), at(5)).0;
    let outlook = Outlook {
        sources: [source(), usa.clone()].map(|it| (it, sold.clone())).into(),
        accounts: [SupplierName::default(), second.clone()].map(|it| (it, account.clone())).into(),
    };
    assert_eq!(store.outlook(&sku.id).await.unwrap(), Some((switched, outlook)));
    let sources = [source(), other, usa].map(|it| (it, sold.clone()));
    assert_eq!(store.sources().await.unwrap(), sources);
    let accounts = [SupplierName::default(), second, third].map(|it| (it, account.clone()));
    assert_eq!(store.accounts().await.unwrap(), accounts);
}

/// Looks and numbers given back add up, one after the other.
pub async fn changes_of_an_account_are_applied_in_order(store: &Subject) {
    let first = queued(store).await;
    let (balance, currency) = (Amount::from_micros(3_210_000), Currency::USD);
    let seen = AccountEvent::Seen { balance, currency, rating_milli: Some(91_500) };
    let unrated = AccountEvent::Seen { balance: Amount::ZERO, currency, rating_milli: None };
    let supplier = SupplierName::default();
    let mut expected = Account::default();
    let mut current = first;
    for events in [vec![AccountEvent::GivenBack, seen], vec![unrated, AccountEvent::GivenBack, seen]] {
        let next = moved(&current, current.phase.clone());
        let accounts: Vec<_> =
            events.into_iter().map(|event| AccountChange { supplier: supplier.clone(), event }).collect();
        for account in &accounts {
            expected = expected.after(account, &HealthRules::default(), next.updated_at).0;
        }
        store.commit(Commit { accounts, ..change(next.clone(), Vec::new()) }).await.unwrap();
        assert_eq!(store.accounts().await.unwrap(), [(supplier.clone(), expected.clone())]);
        current = next;
    }
}

/// Of many who want to probe a source at the same moment, one does; the others choose again.
pub async fn a_probe_is_won_by_one_of_sixty_four(store: &Subject) {
    let redemptions = queued_many(store, 64).await;
    observe(store, vec![happened(DEAR)], 100).await;
    let rivals = redemptions.iter().map(|redemption| {
        let (store, commit) = (store.clone(), probing(redemption, 1_000));
        tokio::spawn(async move { store.commit(commit.clone()).await.map(|()| commit.next.id) })
    });
    let mut winners = Vec::new();
    for rival in rivals.collect::<Vec<_>>() {
        match rival.await.unwrap() {
            Ok(winner) => winners.push(winner),
            Err(error) => assert!(matches!(error, StorageError::ProbeTaken), "{error:?}"),
        }
    }
    let probe = health(store).await.off.expect("the source is off").probe.expect("it is being probed");
    assert_eq!(winners, [probe.redemption]);
    for redemption in &redemptions {
        let stored = reload(store, redemption.id).await;
        assert_eq!(stored.version, if redemption.id == winners[0] { 2 } else { 1 });
    }
}

/// Whoever may not probe stores nothing at all: neither before the source's time has come, nor beside another probe.
pub async fn a_probe_that_is_taken_stores_nothing(store: &Subject) {
    let redemptions = queued_many(store, 2).await;
    observe(store, vec![happened(DEAR)], 100).await;
    let with_everything = |seconds| {
        let commit = probing(&redemptions[1], seconds);
        let changes = [happened(EMPTY), commit.health[0].clone()].to_vec();
        let given_back = AccountChange { supplier: SupplierName::default(), event: AccountEvent::GivenBack };
        Commit { health: changes, accounts: vec![given_back], ..meant(&redemptions[1], commit.next) }
    };
    let error = fails_whole(store, with_everything(699)).await;
    assert!(matches!(error, StorageError::ProbeTaken), "{error:?}");
    store.commit(probing(&redemptions[0], 700)).await.unwrap();
    let error = fails_whole(store, with_everything(744)).await;
    assert!(matches!(error, StorageError::ProbeTaken), "{error:?}");
    assert_eq!(voucher(store, redemptions[1].voucher).await.state.name(), "locked");
}

/// A probe that nothing is heard of keeps others back for its time only.
pub async fn a_lease_that_ran_out_is_free(store: &Subject) {
    let redemptions = queued_many(store, 2).await;
    observe(store, vec![happened(DEAR)], 100).await;
    store.commit(probing(&redemptions[0], 700)).await.unwrap();
    store.commit(probing(&redemptions[1], 745)).await.unwrap();
    let probe = health(store).await.off.unwrap().probe.unwrap();
    assert_eq!((probe.redemption, probe.until), (redemptions[1].id, at(790)));
}

/// What redemptions tell at the same moment is all counted.
pub async fn nothing_told_at_once_is_lost(store: &Subject) {
    let redemptions = queued_many(store, 40).await;
    let telling = redemptions.iter().map(|redemption| {
        let next = Redemption { updated_at: at(100), ..moved(redemption, redemption.phase.clone()) };
        let supplier = SupplierName::default();
        let commit = Commit {
            health: vec![happened(SOLD)],
            accounts: vec![AccountChange { supplier, event: AccountEvent::GivenBack }],
            ..change(next, Vec::new())
        };
        let store = store.clone();
        tokio::spawn(async move { store.commit(commit).await.unwrap() })
    });
    for told in telling.collect::<Vec<_>>() {
        told.await.unwrap();
    }
    let hour = std::time::Duration::from_hours(1);
    assert_eq!(health(store).await.tries.within(hour, at(100)), (40, 0));
    let accounts = store.accounts().await.unwrap();
    assert_eq!(accounts[0].1.given_back.within(hour, at(100)), (40, 0));
}

/// A look from outside counts like what redemptions meet; what a source cannot take of it is left out alone.
pub async fn what_is_observed_counts_like_what_is_committed(store: &Subject) {
    let first = queued(store).await;
    observe(store, vec![happened(DEAR)], 100).await;
    store.commit(probing(&first, 700)).await.unwrap();
    let before = health(store).await;

    let rival = Probe { redemption: rdm(9), attempt: 1, until: at(800) };
    let taken = happened(HealthEvent::Probing(rival));
    let other = HealthChange { source: Source { country: "usa".into(), ..source() }, event: SOLD };
    let supplier = SupplierName::default();
    let observed = Observed {
        health: vec![taken, happened(SOLD), other.clone()],
        accounts: vec![AccountChange { supplier: supplier.clone(), event: AccountEvent::GivenBack }],
        ..nothing_observed(720)
    };
    let rules = observed.rules;
    store.observe(observed.clone()).await.unwrap();

    let sold = |health: Health| health.after(&happened(SOLD), &rules, at(720)).unwrap().0;
    let expected = [(source(), sold(before)), (other.source, sold(Health::default()))];
    assert_eq!(store.sources().await.unwrap(), expected);
    let account = Account::default().after(&observed.accounts[0], &rules, at(720)).0;
    assert_eq!(store.accounts().await.unwrap(), [(supplier, account)]);
}

/// With every source off by itself the voucher is not even locked, until one of them may be probed.
pub async fn a_voucher_whose_sources_are_off_is_not_locked(store: &Subject) {
    let hash = minted(store, &sample::sku("tg"), 1).await[0];
    observe(store, vec![happened(DEAR)], 100).await;
    let refused = refusal(store, post(hash, session(1), 101)).await;
    assert_eq!(refused, Refusal::Unavailable { until: Some(at(700)) });
    assert_eq!(voucher(store, hash).await.state, VoucherState::Issued);
    assert_eq!(refusal(store, post(hash, session(1), 699)).await, refused);
    begun(store, post(hash, session(1), 700)).await;
    assert_eq!(
        health(store).await.off.unwrap().until,
        at(100) + Duration::minutes(10),
        "looking is no probe"
    );
}

/// A source that is off for its price is not off for a SKU that pays more.
pub async fn a_dear_source_serves_whoever_pays_its_price(store: &Subject) {
    let mut generous = sample::sku("generous");
    generous.plans[0].max_cost = Amount::from_micros(500_000);
    let vouchers = [minted(store, &sample::sku("tg"), 1).await[0], minted(store, &generous, 1).await[0]];
    observe(store, vec![happened(DEAR)], 1).await;
    let refused = refusal(store, post(vouchers[0], session(1), 2)).await;
    assert!(matches!(refused, Refusal::Unavailable { until: Some(_) }), "{refused:?}");
    begun(store, post(vouchers[1], session(1), 3)).await;
}

//! Limits that several processes share.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use mintcode_core::guessing::{Meter, Quota, Verdict};
use mintcode_core::ports::{Counted, Limits, Storage};
use mintcode_core::testing::sample;

use crate::server::{connect, fresh_store, open, schema};

fn counted(key: &str, most: u32) -> Counted {
    Counted { key: key.to_owned(), quota: Quota::new(most, Duration::from_hours(1)) }
}

#[tokio::test]
async fn several_processes_share_a_quota() {
    let url = schema().await;
    let (one, other) = (open(&url).await, open(&url).await);
    let mut left = Vec::new();
    for store in [&one, &other, &one, &other] {
        left.extend(store.count(&[counted("session", 3)], sample::now()).await.unwrap());
    }
    let within = |left| Verdict::Within { left };
    assert_eq!(left[..3], [within(2), within(1), within(0)]);
    let Verdict::Over { retry_after } = left[3] else { panic!("{left:?}") };
    assert!((1_140..=1_200).contains(&retry_after.as_secs()), "a third of an hour: {retry_after:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_at_once_as_many_are_counted_as_there_is_room_for() {
    let url = schema().await;
    let stores = [Arc::new(open(&url).await), Arc::new(open(&url).await)];
    let keys = [("b", 7), ("a", 100), ("c", 1)];
    let tasks: Vec<_> = (0..64)
        .map(|turn| {
            let store = Arc::clone(&stores[turn % 2]);
            // In an order of one's own, which must not make two wait for each other.
            let mut asked = keys.map(|(key, most)| counted(key, most));
            asked.rotate_left(turn % 3);
            tokio::spawn(async move {
                let verdicts = store.count(&asked, sample::now()).await.unwrap();
                asked.map(|counted| counted.key).into_iter().zip(verdicts).collect::<Vec<_>>()
            })
        })
        .collect();
    let mut within: HashMap<String, u32> = HashMap::new();
    for task in tasks {
        for (key, verdict) in task.await.unwrap() {
            if matches!(verdict, Verdict::Within { .. }) {
                *within.entry(key).or_default() += 1;
            }
        }
    }
    assert_eq!(["a", "b", "c"].map(|key| within[key]), [64, 7, 1]);
}

/// The statement says what the core's own count says, whatever was counted before.
#[tokio::test]
async fn the_statement_counts_as_the_core_does() {
    let url = schema().await;
    let store = open(&url).await;
    let raw = connect(&url).await;
    let now = async || -> i64 { raw.query_one("SELECT now_micros()", &[]).await.unwrap().get(0) };
    for (most, minutes_used) in
        [(1, -5), (1, 0), (1, 61), (3, 19), (3, 39), (3, 41), (3, 100_000), (60, 59), (60, 60)]
    {
        let quota = Quota::new(most, Duration::from_hours(1));
        let before = now().await;
        let whole_at = before + minutes_used * 60_000_000;
        raw.execute("DELETE FROM meter", &[]).await.unwrap();
        let sql = "INSERT INTO meter (key, whole_at, every, whole) VALUES ('k', $1, 1, 1)";
        raw.execute(sql, &[&whole_at]).await.unwrap();
        let told = store.count(&[counted("k", most)], sample::now()).await.unwrap()[0];

        let start = sample::now();
        let used = TimeDelta::minutes(minutes_used);
        // A meter of that standing, made by a count an hour's share earlier.
        let meter = Meter::count(None, quota, start + used - quota.every()).0;
        let (_, expected) = Meter::count(meter, quota, start);
        match (told, expected) {
            (Verdict::Over { retry_after: told }, Verdict::Over { retry_after: expected }) => {
                let passed = Duration::from_micros((now().await - before).unsigned_abs());
                assert!(
                    told <= expected && told + passed >= expected,
                    "{most} {minutes_used}: {told:?} {expected:?}"
                );
            }
            (told, expected) => assert_eq!(told, expected, "{most}, {minutes_used}"),
        }
    }
}

#[tokio::test]
async fn what_is_idle_is_forgotten_and_nothing_is_logged() {
    let url = schema().await;
    let store = open(&url).await;
    let quick = Counted { key: "quick".into(), quota: Quota::new(1, Duration::from_micros(1)) };
    store.count(&[quick, counted("slow", 1)], sample::now()).await.unwrap();
    store.forget_idle(sample::now()).await.unwrap();
    let raw = connect(&url).await;
    let keys: Vec<String> =
        raw.query("SELECT key FROM meter", &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!(keys, ["slow"]);
    let kind = "SELECT relpersistence::text FROM pg_class WHERE oid = 'meter'::regclass";
    let kind: String = raw.query_one(kind, &[]).await.unwrap().get(0);
    assert_eq!(kind, "u", "an unlogged table, so that a decision waits for no disk");
}

/// Nothing but room for the count is needed: no key, no redemption, no time of the caller's.
#[tokio::test]
async fn keys_do_not_touch_each_other() {
    let store = fresh_store().await;
    let asked = [counted("a", 1), counted("b", 1)];
    let first = store.count(&asked, sample::now()).await.unwrap();
    assert_eq!(first, [Verdict::Within { left: 0 }; 2]);
    let second = store.count(&[counted("c", 1), counted("a", 1)], sample::now()).await.unwrap();
    assert!(matches!(second[..], [Verdict::Within { left: 0 }, Verdict::Over { .. }]), "{second:?}");
}

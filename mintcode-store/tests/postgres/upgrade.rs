//! A database that an earlier version filled is gone on with.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Duration, Utc};
use mintcode_core::ids::{RedemptionId, SupplierName};
use mintcode_core::ports::{
    Adopt, Alerts, Begin, BeginBy, Begun, RedemptionSearch, Reports, Storage, Vouchers, Workers,
};
use mintcode_core::redemption::{Holder, Phase};
use mintcode_core::testing::{SeededEntropy, sample};
use mintcode_core::voucher::{VoucherHash, VoucherKeys, VoucherSecret};
use mintcode_store::postgres::{self, OpenError, PostgresUrl};
use mintcode_store::{PostgresStore, Secrets};
use tokio_postgres::Client;

use crate::server::{connect, schema};
use crate::stage::worker;

/// A schema that was on the main branch.
struct Released {
    /// Its migration.
    sql: &'static str,
    /// As databases noted it: the file has to stay as it was released.
    checksum: &'static str,
    /// What a server of that version left behind, in addition to what is there already.
    filled: &'static str,
}

/// Every one, by number from 1.
const RELEASED: [Released; 2] = [
    Released {
        sql: include_str!("../../migrations/postgres/0001_first.sql"),
        checksum: "2d44ba2f245e34438bfa5605c9b083499ef1e79a8644edd2200e3397ffc96296",
        filled: include_str!("../fixtures/postgres_first.sql"),
    },
    Released {
        sql: include_str!("../../migrations/postgres/0002_limits.sql"),
        checksum: "f3cee19e03f748a1f6c681f2f1b348639d89944b7b96558932262f7d8883c859",
        filled: include_str!("../fixtures/postgres_second.sql"),
    },
];

/// The voucher secret of the servers that filled the fixtures.
const SECRET: &str = "correct horse battery staple mintcode";

fn secrets() -> Secrets {
    let keys = VoucherKeys::new(&VoucherSecret::new(SECRET).unwrap(), &[]);
    Secrets::new(keys, Arc::new(SeededEntropy::new(1)))
}

/// A database as the version of schema `version` left it.
async fn left_behind(version: usize) -> (String, Client) {
    let url = schema().await;
    let raw = connect(&url).await;
    let history = "CREATE TABLE schema_migration (
            version    bigint PRIMARY KEY,
            checksum   text NOT NULL,
            applied_at timestamptz NOT NULL DEFAULT now()
        )";
    raw.batch_execute(history).await.unwrap();
    for (version, Released { sql, checksum, filled }) in (1_i64..).zip(&RELEASED[..version]) {
        raw.batch_execute(sql).await.unwrap();
        let note = "INSERT INTO schema_migration (version, checksum) VALUES ($1, $2)";
        raw.execute(note, &[&version, checksum]).await.unwrap();
        raw.batch_execute(filled).await.unwrap();
    }
    (url, raw)
}

/// How many rows each table has.
async fn sizes(raw: &Client) -> BTreeMap<String, i64> {
    let sql = "SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema()";
    let mut sizes = BTreeMap::new();
    for table in raw.query(sql, &[]).await.unwrap() {
        let table: String = table.get(0);
        let sql = format!("SELECT count(*) FROM {table}");
        sizes.insert(table, raw.query_one(&sql, &[]).await.unwrap().get(0));
    }
    sizes
}

async fn open(url: &str) -> PostgresStore {
    PostgresStore::open(&url.parse().unwrap(), Some(&secrets())).await.unwrap()
}

/// The redemption in the phase of that name, and its voucher.
async fn in_phase(raw: &Client, phase: &str) -> (RedemptionId, VoucherHash) {
    let sql = "SELECT id, encode(voucher, 'hex') FROM redemption WHERE phase = $1 ORDER BY id LIMIT 1";
    let row = raw.query_one(sql, &[&phase]).await.unwrap();
    (row.get::<_, String>(0).parse().unwrap(), row.get::<_, String>(1).parse().unwrap())
}

/// A moment after everything that the fixture tells of.
async fn afterwards(raw: &Client) -> DateTime<Utc> {
    let row = raw.query_one("SELECT max(updated_at) FROM redemption", &[]).await.unwrap();
    DateTime::from_timestamp_micros(row.get(0)).unwrap() + Duration::seconds(1)
}

#[tokio::test]
async fn every_released_schema_is_brought_up_to_date_with_all_that_it_holds() {
    for version in 1..=RELEASED.len() {
        let (url, raw) = left_behind(version).await;
        let before = sizes(&raw).await;
        let empty: Vec<_> = before.iter().filter(|(_, rows)| **rows == 0).collect();
        assert!(empty.is_empty(), "the fixture is filled: {empty:?}");

        let address: PostgresUrl = url.parse().unwrap();
        let (from, to) = PostgresStore::migrate(&address, Some(&secrets())).await.unwrap();
        assert_eq!(from, i64::try_from(version).ok());
        assert_eq!(postgres::schema(&address).await.unwrap(), (Some(to), to));
        let after = sizes(&raw).await;
        for (table, rows) in &before {
            let wanted = if table == "schema_migration" { &to } else { rows };
            assert_eq!(after.get(table), Some(wanted), "{table}");
        }
        let store = open(&url).await;
        assert_eq!(store.examine(afterwards(&raw).await).await.unwrap(), []);
    }
}

#[tokio::test]
async fn what_an_earlier_version_stored_is_read() {
    let (url, raw) = left_behind(1).await;
    let store = open(&url).await;
    let (delivered, voucher) = in_phase(&raw, "delivered").await;
    let redemption = store.redemption(delivered).await.unwrap().unwrap();
    assert!(matches!(&redemption.phase, Phase::Delivered(delivery) if delivery.code().is_some()));
    // The first plan was out of stock.
    assert!(redemption.phone(1).is_none() && redemption.phone(2).is_some());
    let history = store.history(delivered, 0, 99).await.unwrap();
    assert_eq!(history.len(), usize::try_from(redemption.version).unwrap());
    let trail = store.trail(&[voucher]).await.unwrap().unwrap();
    assert_eq!(trail.voucher.state.name(), "fulfilled");
    assert!(!store.booked(delivered).await.unwrap().is_empty());

    let batches = store.batches(None, 9).await.unwrap();
    let vouchers: u64 = batches.iter().flat_map(|batch| batch.counts.values()).sum();
    assert_eq!(i64::try_from(vouchers).unwrap(), sizes(&raw).await["voucher"]);
    assert!(!store.alerts(false, 9).await.unwrap().is_empty());
    let all = store.redemptions(RedemptionSearch::default(), 99).await.unwrap();
    assert_eq!(i64::try_from(all.len()).unwrap(), sizes(&raw).await["redemption"]);
    // The fixture's newest order is one that waits; the orphan is older.
    let newest = store.newest_order(&SupplierName::default()).await.unwrap().unwrap();
    let sql = "SELECT max(order_id) FROM claim";
    assert_eq!(newest.as_str(), raw.query_one(sql, &[]).await.unwrap().get::<_, &str>(0));
}

#[tokio::test]
async fn what_an_earlier_version_began_is_gone_on_with() {
    let (url, raw) = left_behind(1).await;
    let store = open(&url).await;
    let now = afterwards(&raw).await;
    store.enlist(worker(1), true, now).await.unwrap();
    let adopt = Adopt { worker: worker(1), limit: 10, most_takeovers: 5, now };
    let adopted = store.adopt(adopt).await.unwrap();
    let (waiting, _) = in_phase(&raw, "waiting").await;
    let adopted: BTreeSet<_> = adopted.into_iter().map(|redemption| redemption.id).collect();
    assert!(adopted.contains(&waiting), "{adopted:?}");

    let sql = "SELECT encode(hash, 'hex') FROM voucher WHERE state = 'issued' ORDER BY hash LIMIT 1";
    let issued: String = raw.query_one(sql, &[]).await.unwrap().get(0);
    let wish = Begin {
        by: BeginBy::Code(vec![issued.parse().unwrap()]),
        holder: Holder::default(),
        address: None,
        rules: sample::rules(),
        id: crate::stage::rdm(1),
        owner: Some(worker(1)),
        now,
    };
    let answer = store.begin(wish).await.unwrap();
    assert!(matches!(answer, Begun::New(_)), "{answer:?}");
}

#[tokio::test]
async fn another_secret_opens_nothing_of_an_earlier_version() {
    let (url, raw) = left_behind(1).await;
    let before = sizes(&raw).await;
    let other = crate::server::secrets();
    let refused = PostgresStore::open(&url.parse().unwrap(), Some(&other)).await.err();
    assert!(matches!(refused, Some(OpenError::MissingSecret { .. })), "{refused:?}");
    assert_eq!(sizes(&raw).await, before, "and nothing is upgraded");
}

//! What is done all the time reads by index, however much is stored.

use chrono::TimeDelta;
use mintcode_core::ids::SupplierName;
use mintcode_core::money::Amount;
use mintcode_core::order::OrderId;
use mintcode_core::ports::supplier::Wanted;
use mintcode_core::ports::{Adopt, Alerts, Orphans, RedemptionSearch, Reports, Storage, Vouchers, Workers};
use mintcode_core::testing::sample;

use crate::server::{connect, open, schema};
use crate::stage::{begun, later, minted, rdm, worker};

/// Tables that grow with what is sold.
const LARGE: [&str; 10] = [
    "voucher",
    "redemption",
    "event",
    "attempt",
    "claim",
    "idempotency",
    "inbox",
    "ledger",
    "choice",
    "begun",
];

/// Fills every large table by as many rows as a shop has after a while, all of it at rest or driven by a living worker.
const FILL: &str = "
    INSERT INTO voucher (hash, batch, mask, state, came_from, expires_at)
        SELECT decode('ee' || lpad(to_hex(n), 30, '0'), 'hex'), 1, 'ABCDWXYZ', 'redeeming', 'issued', 9000000000000000
        FROM generate_series(1, 20000) AS n;
    INSERT INTO redemption (id, voucher, sku, status, phase, standing, is_at_rest, version, epoch, owner, deadline,
            created_at, updated_at, state)
        SELECT 'rdm_' || encode(hash, 'hex'), hash, 'tg', 'waiting_sms', 'waiting', 'live', false, 3, 1,
            'wrk_00000000000000000000000001', 0, row_number() OVER (), 0, '{}'
        FROM voucher WHERE state = 'redeeming';
    INSERT INTO event SELECT id, 1, '{}' FROM redemption;
    INSERT INTO attempt (redemption, number, plan, supplier, product, country, operator, is_unresolved, started_at)
        SELECT id, 1, 'A', 'main', 'telegram', 'canada', 'virtual8', false, created_at FROM redemption;
    INSERT INTO claim SELECT 'main', 32, substr(id, 5), id, 1 FROM redemption;
    INSERT INTO idempotency SELECT id, voucher, id FROM redemption;
    INSERT INTO inbox (redemption, item) SELECT id, '{}' FROM redemption LIMIT 5000;
    INSERT INTO ledger SELECT id, 0, 'sale', 'charge', '', 1, 0, 'tg', NULL, NULL, 1, 'USD', 1, created_at FROM redemption;
    INSERT INTO choice SELECT id, 1, '{}' FROM redemption;
    INSERT INTO begun SELECT id, '{}', $SOON FROM redemption;
    ANALYZE;";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_all_the_time_reads_no_table_from_end_to_end() {
    let url = schema().await;
    let store = open(&url).await;
    let hashes = minted(&store, 60).await;
    let raw = connect(&url).await;
    let soon = sample::now() + TimeDelta::hours(1);
    raw.batch_execute(&FILL.replace("$SOON", &soon.timestamp_micros().to_string())).await.unwrap();
    drop(store);

    let name = format!("plans_{}", std::process::id());
    let store = open(&format!("{url}&application_name={name}")).await;
    store.enlist(worker(1), false, sample::now()).await.unwrap();
    store.enlist(worker(2), false, sample::now()).await.unwrap();
    let main = SupplierName::default();
    let wanted = Wanted {
        product: "telegram".to_owned(),
        country: "canada".to_owned(),
        operator: "virtual8".to_owned(),
        max_cost: Amount::from_micros(200_000),
    };
    let orders = [OrderId::new("12"), OrderId::new("13")];
    let before = end_to_end(&raw).await;
    // Often enough for plans that are made for any parameter.
    for (number, hash) in hashes.iter().enumerate() {
        let redemption = begun(&store, *hash, number).await.unwrap();
        store.commit(later(&redemption)).await.unwrap();
        store.redemption(rdm(number)).await.unwrap();
        store.history(rdm(number), 0, 10).await.unwrap();
        store.inbox(rdm(number)).await.unwrap();
        if number % 6 == 0 {
            // Walks through everybody's, of which there are far fewer than here.
            store.inboxes(worker(2), 100).await.unwrap();
        }
        store.discard_inbox(rdm(number), 1, &[1]).await.unwrap();
        let adopt = Adopt { worker: worker(2), limit: 100, most_takeovers: 9, now: sample::now() };
        store.adopt(adopt).await.unwrap();
        store.outlived(worker(1), &[rdm(number)]).await.unwrap();
        store.claims(&main, &wanted, &orders, rdm(number)).await.unwrap();
        store.holders(&main, &orders).await.unwrap();
        store.newest_order(&main).await.unwrap();
        store.open_orphans(&main, 100).await.unwrap();
        store.untold(sample::now(), 100).await.unwrap();
        store.trail(&[*hash]).await.unwrap();
        store.batches(None, 10).await.unwrap();
        store.expire_vouchers(sample::now(), 500).await.unwrap();
        store.forget_idle(sample::now()).await.unwrap();
        store.booked(rdm(number)).await.unwrap();
        store.choices(rdm(number)).await.unwrap();
        let search = RedemptionSearch { before: Some(rdm(number)), ..RedemptionSearch::default() };
        // The oldest of ours is followed by one that nobody can read.
        drop(store.redemptions(search, 1).await);
    }
    store.close();
    drop(store);
    // A session counts what it did when it ends, at the latest.
    while gone(&raw, &name).await {
        tokio::task::yield_now().await;
    }
    assert_eq!(end_to_end(&raw).await, before);
}

/// How often each large table was read from end to end.
async fn end_to_end(raw: &tokio_postgres::Client) -> Vec<(String, i64)> {
    let sql = "SELECT relname::text, seq_scan FROM pg_stat_user_tables
               WHERE schemaname = current_schema() AND relname = ANY($1) ORDER BY relname";
    let large: Vec<_> = LARGE.to_vec();
    let rows = raw.query(sql, &[&large]).await.unwrap();
    assert_eq!(rows.len(), LARGE.len());
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Whether sessions of that name are still there.
async fn gone(raw: &tokio_postgres::Client, name: &str) -> bool {
    let sql = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = $1)";
    raw.query_one(sql, &[&name]).await.unwrap().get(0)
}

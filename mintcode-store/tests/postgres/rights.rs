//! The rights that the documentation gives to a process are enough, and no more than that.

use mintcode_core::ports::{Catalogue, Put, Storage, Vouchers, Workers};
use mintcode_core::testing::sample;

use crate::server::{connect, open, schema};
use crate::stage::{begun, later, minted, worker};

/// The statements of `docs/postgres.md`.
fn documented(schema: &str, role: &str) -> String {
    let page = include_str!("../../../docs/postgres.md");
    let (_, rest) = page.split_once("```sql\n").unwrap();
    let (sql, _) = rest.split_once("```").unwrap();
    assert!(sql.contains("SCHEMA public") && sql.contains("mintcode_app"), "{sql}");
    sql.replace("SCHEMA public", &format!("SCHEMA {schema}")).replace("mintcode_app", role)
}

#[tokio::test]
async fn a_process_needs_no_more_than_the_documented_rights() {
    let url = schema().await;
    drop(open(&url).await);
    let raw = connect(&url).await;
    let name: String = raw.query_one("SELECT current_schema()::text", &[]).await.unwrap().get(0);
    let role = name.replace("case_", "app_");
    raw.batch_execute(&format!("CREATE ROLE {role} LOGIN; {}", documented(&name, &role))).await.unwrap();

    let url = format!("{url}&user={role}");
    let store = open(&url).await;
    store.enlist(worker(1), false, sample::now()).await.unwrap();
    let hashes = minted(&store, 2).await;
    store.put_sku(sample::sku("tg"), Put::Replace).await.unwrap();
    let redemption = begun(&store, hashes[0], 1).await.unwrap();
    store.commit(later(&redemption)).await.unwrap();
    store.expire_vouchers(sample::now(), 10).await.unwrap();
    store.forget_idle(sample::now()).await.unwrap();
    assert!(
        store.take_chore("sweep", worker(1), std::time::Duration::from_secs(9), sample::now()).await.unwrap()
    );
    store.retire(worker(1)).await.unwrap();
    assert_eq!(store.batches(None, 9).await.unwrap()[0].counts["locked"], 1);

    let app = connect(&url).await;
    for forbidden in [
        "UPDATE ledger SET amount = 0",
        "DELETE FROM ledger",
        "UPDATE event SET snapshot = ''",
        "DELETE FROM event",
        "DELETE FROM voucher",
        "DELETE FROM redemption",
        "UPDATE claim SET attempt = 9",
        "DELETE FROM choice",
        "INSERT INTO schema_migration VALUES (99, '')",
        "DROP TABLE ledger",
    ] {
        let error = app.batch_execute(forbidden).await.expect_err(forbidden);
        assert_eq!(error.code().unwrap().code(), "42501", "{forbidden}: {error}");
    }
}

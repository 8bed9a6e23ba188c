//! Support work beside a redemption and after one.

use serde_json::json;

use crate::scene::{Scene, counts, line, money, sku, supply};

#[tokio::test]
async fn a_voucher_voided_in_mid_run_is_cancelled_once_its_number_is_given_back() {
    let scenario = supply(&[line("silent", "0.10", "messages = 0")]);
    let scene = Scene::open(&[sku("tg", "cooldown = \"0s\"", &["A silent 0.10 0.20"])], &scenario, &[]);
    let (customer, code) = (scene.customer(1), scene.mint("tg").await);
    let id = customer.redeem(&code).await;
    customer.status(&id, "waiting_sms").await;
    let voided = scene.support(&code, "void", Some(json!({ "reason": "refunded" }))).await.done(200);
    assert_eq!(voided["void_reason"], "refunded", "{voided}");
    assert_eq!(customer.end(&id).await["status"], "cancelled");
    assert_eq!(scene.books().await["counts"], counts(1, 0, 1), "given back before it is shown as cancelled");
    let voucher = scene.lookup(&code).await;
    assert_eq!(voucher["state"], "cancelled", "{voucher}");
    assert_eq!(scene.trail(&code).await, "A given_up 0.10 cancelled");
    assert_eq!(voucher["redemptions"][0]["money"], money("0.00", "0.00", "0.00", "0.00"));
    assert_eq!(customer.post(&code).await.refused(410, "voucher-cancelled"), None);
    assert_eq!(customer.press(&id, "retry").await.refused(410, "voucher-cancelled"), None);
    scene
        .support(&code, "extend", Some(json!({ "expires_at": "2099-01-01T00:00:00Z" })))
        .await
        .refused(409, "action-not-allowed");
    let books = scene.audit().await;
    assert_eq!((&books["balance"], &books["calls"]["buy"]), (&json!("1000.00"), &json!(1)), "{books}");
}

#[tokio::test]
async fn a_fulfilled_voucher_is_made_up_for_once_at_the_shops_cost() {
    let scenario = supply(&[line("good", "0.12", "")]);
    let scene = Scene::open(&[sku("tg", "further_sms = \"0s\"", &["A good 0.12 0.20"])], &scenario, &[]);
    let (customer, stranger, old) = (scene.customer(1), scene.customer(2), scene.mint("tg").await);
    scene.support(&old, "reissue", None).await.refused(409, "action-not-allowed");
    let id = customer.redeem(&old).await;
    assert_eq!(customer.end(&id).await["status"], "delivered");

    let reissued = scene.support(&old, "reissue", None).await;
    assert!(!reissued.is_replay);
    let reissued = reissued.done(201);
    let new = reissued["code"].as_str().unwrap().to_owned();
    scene.knows(&new);
    let again = scene.support(&old, "reissue", None).await;
    assert!(again.is_replay, "{again:?}");
    assert_eq!(again.done(200)["code"], new, "asked again, the same one");
    let second = stranger.redeem(&new).await;
    assert_eq!(stranger.end(&second).await["status"], "delivered");
    assert_eq!(stranger.post(&old).await.refused(410, "voucher-used"), None);

    let books = scene.audit().await;
    assert_eq!((&books["counts"], &books["balance"]), (&counts(2, 2, 0), &json!("999.76")), "{books}");
    let (old, new) = (scene.lookup(&old).await, scene.lookup(&new).await);
    assert_eq!((&old["replaced_by"], &new["replaces"]), (&new["id"], &old["id"]), "{old} {new}");
    assert_eq!(old["redemptions"][0]["money"], money("0.80", "0.12", "0.00", "0.68"));
    assert_eq!(new["redemptions"][0]["money"], money("0.00", "0.12", "0.00", "-0.12"), "paid for already");
}

/// Also the first one of a label that the server has not seen yet, right after it looked for labels.
#[tokio::test]
async fn a_voucher_is_good_the_moment_it_is_minted() {
    let scenario = supply(&[line("good", "0.12", "")]);
    let skus = ["one", "two"].map(|id| sku(id, "further_sms = \"0s\"", &["A good 0.12 0.20"]));
    let scene = Scene::open(&skus, &scenario, &[]);
    for id in ["one", "two"] {
        let code = scene.mint(id).await;
        scene.customer(1).redeem(&code).await;
    }
}

//! Support work on vouchers: void, extend, reset, reissue.

use std::time::Duration;

use axum::http::Method;
use mintcode_core::testing::Line;
use mintcode_http::Site;
use serde_json::{Value, json};

use crate::shop::{Answer, COUNTRY, OPERATOR, Shop, request, silent, sku};

async fn act(shop: &Shop, path: &str, body: Option<&Value>) -> Answer {
    shop.admin(Method::POST, path, body).await
}

#[tokio::test(start_paused = true)]
async fn a_voucher_that_is_taken_back_is_no_longer_redeemed() {
    let shop = Shop::open().await;
    let codes = shop.mint(2).await;
    let path = shop.voucher(&codes[0]).await;
    let voided = act(&shop, &format!("{path}/void"), Some(&json!({"reason": "refunded"}))).await;
    assert_eq!(voided.status, 200, "{voided:?}");
    let voided = voided.value();
    assert_eq!((&voided["state"], &voided["void_reason"]), (&json!("cancelled"), &json!("refunded")));
    assert_eq!(voided, shop.lookup(&codes[0]).await, "as a lookup shows it");
    shop.redeem(&codes[0], &[]).await.problem(410, "voucher-cancelled");

    // Asked again nothing changes, and neither body nor its type is needed.
    let again = act(&shop, &format!("{path}/void"), None).await;
    assert_eq!((again.status.as_u16(), &again.value()["void_reason"]), (200, &json!("refunded")));
    let path = shop.voucher(&codes[1]).await;
    let auth = format!("Bearer {}", crate::shop::ADMIN_KEY);
    let form = [("authorization", auth.as_str()), ("content-type", "application/x-www-form-urlencoded")];
    let bare = shop.send(request(Method::POST, &format!("{path}/void"), &form, "".into())).await;
    assert_eq!((bare.status.as_u16(), &bare.value()["void_reason"]), (200, &json!("voided")), "{bare:?}");
}

#[tokio::test(start_paused = true)]
async fn a_void_in_mid_run_stops_it_and_is_applied_at_its_end() {
    let shop = Shop::with(sku(), silent(), Site::default()).await;
    let (id, code) = shop.redemption("waiting_sms").await;
    let path = shop.voucher(&code).await;
    let wished = act(&shop, &format!("{path}/void"), Some(&json!({"reason": "lost"}))).await.value();
    assert_eq!((&wished["state"], &wished["void_reason"]), (&json!("redeeming"), &json!("lost")));
    shop.until(&id, "cancelled").await;
    assert_eq!(shop.lookup(&code).await["state"], "cancelled");
    assert_eq!(shop.supplier.open(), 0, "its number is given back");
    shop.redeem(&code, &[]).await.problem(410, "voucher-cancelled");
}

#[tokio::test(start_paused = true)]
async fn an_expired_voucher_is_good_again_once_it_is_extended() {
    let shop = Shop::open().await;
    let body = json!({"sku_id": "tg", "count": 1, "expires_in": "1h"});
    let code = act(&shop, "/admin/vouchers/generate", Some(&body)).await.body.trim().to_owned();
    tokio::time::sleep(Duration::from_secs(3_601)).await;
    shop.redeem(&code, &[]).await.problem(410, "voucher-expired");
    let path = format!("{}/extend", shop.voucher(&code).await);
    let now = shop.app.clock.now();
    let end = now + Duration::from_secs(600);

    for (bad, field) in [
        (json!({}), "expires_at"),
        (json!({"expires_at": "soon"}), "expires_at"),
        (json!({"expires_at": now - Duration::from_secs(1)}), "expires_at"),
        (json!({"expires_in": "1h"}), "expires_in"),
    ] {
        let problem = act(&shop, &path, Some(&bad)).await.problem(400, "invalid-request");
        assert_eq!(problem["errors"][0]["field"], field, "{bad}: {problem}");
    }
    assert_eq!(shop.lookup(&code).await["state"], "expired");

    let extended = act(&shop, &path, Some(&json!({"expires_at": end}))).await;
    assert_eq!(extended.status, 200, "{extended:?}");
    let extended = extended.value();
    assert_eq!((&extended["state"], &extended["expires_at"]), (&json!("issued"), &json!(end)));
    assert_eq!(shop.redeem(&code, &[]).await.status, 202);
}

#[tokio::test(start_paused = true)]
async fn a_reset_gives_all_tries_back() {
    let mut one_try = sku();
    one_try.policy.max_redemptions = 1;
    let shop = Shop::with(one_try, silent(), Site::default()).await;
    let (_, code) = shop.redemption("failed").await;
    shop.redeem(&code, &[]).await.problem(409, "redemptions-exhausted");
    let path = shop.voucher(&code).await;
    for body in [None, Some(json!({}))] {
        let reset = act(&shop, &format!("{path}/reset"), body.as_ref()).await;
        assert_eq!((reset.status.as_u16(), &reset.value()["state"]), (200, &json!("retryable_failed")));
    }
    // Without a pause either.
    let again = shop.redeem(&code, &[]).await;
    assert_eq!(again.status, 202, "{again:?}");
    // In mid-run it is granted when the run has ended.
    assert_eq!(act(&shop, &format!("{path}/reset"), None).await.status, 200);
    shop.until(&again.id(), "failed").await;
    let once_more = shop.redeem(&code, &[]).await;
    assert_eq!(once_more.status, 202, "{once_more:?}");
    shop.until(&once_more.id(), "failed").await;
    shop.redeem(&code, &[]).await.problem(409, "redemptions-exhausted");
    shop.supplier.stock(COUNTRY, OPERATOR, Line::default());
    act(&shop, &format!("{path}/reset"), None).await;
    let delivered = shop.redeem(&code, &[]).await.id();
    shop.until(&delivered, "delivered").await;
    let over = act(&shop, &format!("{path}/reset"), None).await.problem(409, "action-not-allowed");
    assert_eq!(over["errors"][0]["field"], "state", "{over}");
}

#[tokio::test(start_paused = true)]
async fn a_fulfilled_voucher_is_made_up_for_once() {
    let shop = Shop::open().await;
    let (_, code) = shop.redemption("delivered").await;
    let path = shop.voucher(&code).await;
    let first = act(&shop, &format!("{path}/reissue"), None).await;
    assert_eq!((first.status.as_u16(), first.header("idempotent-replayed")), (201, None), "{first:?}");
    let replacement = first.value();
    let new_code = replacement["code"].as_str().unwrap();
    let old = shop.lookup(&code).await;
    let new = shop.lookup(new_code).await;
    assert_eq!((&replacement["id"], &replacement["object"]), (&new["id"], &json!("voucher")));
    assert_eq!((&replacement["batch"], &replacement["replaces"]), (&new["batch"], &old["id"]));
    assert_eq!((&new["replaces"], &new["replaced_by"]), (&old["id"], &json!(null)));
    assert_eq!((&old["replaces"], &old["replaced_by"]), (&json!(null), &new["id"]));

    let again = act(&shop, &format!("{path}/reissue"), Some(&json!({}))).await;
    assert_eq!((again.status.as_u16(), again.header("idempotent-replayed")), (200, Some("true")));
    assert_eq!(again.value(), replacement);

    let id = shop.redeem(new_code, &[]).await.id();
    shop.until(&id, "delivered").await;
    let spent = shop.lookup(new_code).await["redemptions"][0]["money"].clone();
    let money =
        json!({"revenue": "0.00", "cost": "0.12", "loss": "0.00", "margin": "-0.12", "currency": "USD"});
    assert_eq!(spent, money, "what replaces another voucher was paid for with that one");

    let batch = replacement["batch"].as_str().unwrap();
    act(&shop, &format!("/admin/vouchers/batches/{batch}/seal"), None).await;
    act(&shop, &format!("{path}/reissue"), None).await.problem(410, "batch-sealed");
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_is_refused_and_changes_nothing() {
    let shop = Shop::open().await;
    let fresh = shop.mint_one().await;
    let path = shop.voucher(&fresh).await;
    act(&shop, &format!("{path}/reissue"), None).await.problem(409, "action-not-allowed");
    for bad in [
        json!({"reason": ""}),
        json!({"reason": "two\nlines"}),
        json!({"reason": "a\u{0}b"}),
        json!({"reason": 1}),
        json!({"why": "x"}),
    ] {
        act(&shop, &format!("{path}/void"), Some(&bad)).await.problem(400, "invalid-request");
    }
    act(&shop, &format!("{path}/reset"), Some(&json!({"tries": 1}))).await.problem(400, "invalid-request");
    assert_eq!(shop.lookup(&fresh).await["state"], "issued");

    let (_, used) = shop.redemption("delivered").await;
    let used = shop.voucher(&used).await;
    for action in ["void", "reset"] {
        act(&shop, &format!("{used}/{action}"), None).await.problem(409, "action-not-allowed");
    }
    for id in ["vch_00112233445566778899aabbccddeeff", "vch_1", "nonsense", "bat_00000000000000000000000000"]
    {
        for action in ["void", "reset", "reissue"] {
            let path = format!("/admin/vouchers/{id}/{action}");
            act(&shop, &path, None).await.problem(404, "not-found");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_batch_only_what_was_never_redeemed_is_taken_back() {
    let shop = Shop::open().await;
    let minted = act(&shop, "/admin/vouchers/generate", Some(&json!({"sku_id": "tg", "count": 3}))).await;
    let batch = format!("/admin/vouchers/batches/{}", minted.header("x-batch-id").unwrap());
    let codes: Vec<_> = minted.body.lines().collect();
    let id = shop.redeem(codes[0], &[]).await.id();
    shop.until(&id, "delivered").await;
    let voided = act(&shop, &format!("{batch}/void"), Some(&json!({"reason": "wrong shop"}))).await;
    assert_eq!(voided.status, 200, "{voided:?}");
    let voided = voided.value();
    assert_eq!((&voided["object"], &voided["voided"]), (&json!("batch"), &json!(2)));
    assert_eq!((&voided["counts"]["cancelled"], &voided["counts"]["fulfilled"]), (&json!(2), &json!(1)));
    assert_eq!(shop.lookup(codes[2]).await["void_reason"], "wrong shop");
    shop.redeem(codes[2], &[]).await.problem(410, "voucher-cancelled");
    assert_eq!(act(&shop, &format!("{batch}/void"), None).await.value()["voided"], 0);
    let none = "/admin/vouchers/batches/bat_00000000000000000000000000/void";
    act(&shop, none, None).await.problem(404, "not-found");
}

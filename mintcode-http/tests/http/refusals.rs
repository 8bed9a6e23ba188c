//! Every refusal has its slug and its status, and changes nothing.

use std::time::Duration;

use axum::http::Method;
use mintcode_core::ports::Entropy;
use mintcode_core::testing::SeededEntropy;
use mintcode_core::voucher::{Shape, VoucherKeys, VoucherSecret};
use mintcode_http::Site;
use serde_json::json;

use crate::shop::{Shop, request, silent, sku};

#[tokio::test(start_paused = true)]
async fn nobody_can_tell_a_malformed_code_from_a_forged_one() {
    let shop = Shop::open().await;
    let own = shop.mint_one().await;
    let stranger = VoucherSecret::new("a secret of somebody else, 32 bytes or more").unwrap();
    let entropy = SeededEntropy::new(1);
    let label = sku().label;
    let forged = VoucherKeys::new(&stranger, &[])
        .mint_many(&label, Shape::default(), 1, |bytes| entropy.fill(bytes))
        .unwrap()
        .next()
        .unwrap();
    let typo = format!("{}{}", &own[..31], if own.ends_with('0') { '1' } else { '0' });
    let mut answers = Vec::new();
    for bad in ["", "  - ", "nonsense!", &own[1..], &typo, &forged.reveal(), &"A".repeat(5000)] {
        let answer = shop.redeem(bad, &[("x-request-id", "same")]).await;
        answer.problem(404, "voucher-invalid");
        answers.push(answer.body);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(shop.redeem(&own, &[]).await.status, 202);
}

#[tokio::test(start_paused = true)]
async fn an_expired_voucher_is_told_so() {
    let shop = Shop::open().await;
    let body = json!({"sku_id": "tg", "count": 1, "expires_in": "1h"});
    let code = shop.admin(Method::POST, "/admin/vouchers/generate", Some(&body)).await.body;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    shop.redeem(code.trim(), &[]).await.problem(410, "voucher-expired");
}

#[tokio::test(start_paused = true)]
async fn used_up_tries_are_told_to_whoever_has_the_code() {
    let mut one_try = sku();
    one_try.policy.max_redemptions = 1;
    one_try.policy.cooldown = Duration::ZERO;
    let site = Site { support_contact: Some("help@example.org".to_owned()), ..Site::default() };
    let shop = Shop::with(one_try, silent(), site).await;
    let (id, code) = shop.redemption("failed").await;
    let failed = shop.get(&format!("/redeem/{id}")).await.value();
    assert_eq!((&failed["failure"]["retryable"], &failed["redemptions_left"]), (&json!(false), &json!(0)));
    let problem = shop.redeem(&code, &[]).await.problem(409, "redemptions-exhausted");
    assert!(problem["detail"].as_str().unwrap().contains("help@example.org"), "{problem}");
    shop.post(&format!("/redeem/{id}/retry")).await.problem(409, "redemptions-exhausted");
}

#[tokio::test(start_paused = true)]
async fn a_voucher_that_cools_down_says_for_how_long() {
    let shop = Shop::with(sku(), silent(), Site::default()).await;
    let (_, code) = shop.redemption("failed").await;
    let wait = shop.redeem(&code, &[]).await.problem(429, "cooling-down")["retry_after"].as_u64().unwrap();
    tokio::time::sleep(Duration::from_secs(wait)).await;
    assert_eq!(shop.redeem(&code, &[]).await.status, 202);
}

#[tokio::test(start_paused = true)]
async fn with_every_plan_switched_off_nothing_begins() {
    let shop = Shop::open().await;
    let code = shop.mint_one().await;
    let plan = "/admin/skus/tg/plans/PLAN-X";
    let off = shop.admin(Method::PATCH, plan, Some(&json!({"enabled": false}))).await;
    assert_eq!((off.status.as_u16(), &off.value()["plans"][0]["enabled"]), (200, &json!(false)));
    let problem = shop.redeem(&code, &[]).await.problem(503, "unavailable");
    assert!(problem["retry_after"].as_u64().unwrap() > 0);

    shop.admin(Method::PATCH, plan, Some(&json!({"enabled": true}))).await;
    assert_eq!(shop.redeem(&code, &[]).await.status, 202);
}

#[tokio::test(start_paused = true)]
async fn a_redemption_that_runs_or_has_delivered_is_not_tried_again() {
    let shop = Shop::open().await;
    let (id, _) = shop.redemption("waiting_sms").await;
    shop.post(&format!("/redeem/{id}/retry")).await.problem(409, "action-not-allowed");
    shop.until(&id, "delivered").await;
    shop.post(&format!("/redeem/{id}/replace")).await.problem(409, "action-not-allowed");
    shop.post(&format!("/redeem/{id}/cancel")).await.problem(409, "action-not-allowed");
}

#[tokio::test(start_paused = true)]
async fn an_id_that_is_none_is_not_found() {
    let shop = Shop::open().await;
    let unknown = "rdm_00000000000000000000000000";
    for id in [unknown, "rdm_1", "bat_00000000000000000000000000", "%20"] {
        for path in ["", "/result", "/events"] {
            shop.get(&format!("/redeem/{id}{path}")).await.problem(404, "not-found");
        }
        for path in ["/retry", "/replace", "/cancel"] {
            shop.post(&format!("/redeem/{id}{path}")).await.problem(404, "not-found");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_fit_names_the_field_and_quotes_nothing() {
    let shop = Shop::open().await;
    let code = shop.mint_one().await;
    let json = "application/json";
    let big = format!("{{\"code\": \"{}\"}}", "A".repeat(300_000));
    for (kind, body, field) in [
        (json, "{".to_owned(), "body"),
        (json, format!("\"{code}\""), "body"),
        (json, format!("{{\"code\": [\"{code}\"]}}"), "code"),
        (json, format!("{{\"kode\": \"{code}\"}}"), "code"),
        (json, "{\"code\": null}".to_owned(), "code"),
        (json, big, "body"),
        ("text/plain", format!("{{\"code\": \"{code}\"}}"), "Content-Type"),
        ("application/x-www-form-urlencoded", format!("kode={code}"), "code"),
    ] {
        let headers = [("content-type", kind)];
        let answer = shop.send(request(Method::POST, "/redeem", &headers, body.into())).await;
        let problem = answer.problem(400, "invalid-request");
        assert_eq!(problem["errors"][0]["field"], field, "{answer:?}");
        assert!(!answer.body.contains(&code), "{answer:?}");
    }
    assert_eq!(shop.redeem(&code, &[]).await.status, 202, "nothing was lost by it");
}

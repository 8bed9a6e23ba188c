//! The main path, and who is recognised on the way back.

use serde_json::json;

use crate::shop::{Shop, silent, sku};

#[tokio::test(start_paused = true)]
async fn a_voucher_becomes_a_code() {
    let shop = Shop::open().await;
    let code = shop.mint_one().await;

    let begun = shop.redeem(&code, &[]).await;
    assert_eq!(begun.status, 202);
    let id = begun.id();
    assert_eq!(begun.header("location"), Some(format!("/redeem/{id}").as_str()));

    let waiting = shop.until(&id, "waiting_sms").await;
    let phone = shop.supplier.orders()[0].order.phone.reveal().to_owned();
    assert_eq!(waiting["phone"], phone);
    assert!(waiting["phone_expires_at"].is_string(), "{waiting}");
    assert_eq!((&waiting["code"], &waiting["text"]), (&json!(null), &json!(null)));
    shop.get(&format!("/redeem/{id}/result")).await.problem(409, "not-ready");

    let delivered = shop.until(&id, "delivered").await;
    let mask = format!("{}****{}", &code[..4], &code[28..]);
    let version = delivered["version"].as_u64().unwrap();
    assert_eq!(
        delivered,
        json!({
            "id": id, "object": "redemption", "version": version, "status": "delivered", "voucher": mask,
            "sku": {"name": "Telegram · Canada"}, "phone": phone, "phone_expires_at": waiting["phone_expires_at"],
            "code": "482915", "text": "Your code is 482915", "failure": null, "redemptions_left": 3,
            "resumes_at": null, "deadline": waiting["deadline"], "next": null,
            "created_at": waiting["created_at"], "updated_at": delivered["updated_at"],
        })
    );

    let result = shop.get(&format!("/redeem/{id}/result")).await;
    assert_eq!(result.status, 200);
    let result = result.value();
    assert_eq!((&result["code"], &result["phone"]), (&json!("482915"), &json!(phone)));
    let message =
        json!({"received_at": result["received_at"], "text": "Your code is 482915", "code": "482915"});
    assert_eq!(result["messages"], json!([message]));
}

#[tokio::test(start_paused = true)]
async fn the_cookie_finds_the_redemption_again_and_nobody_else_does() {
    let shop = Shop::open().await;
    let code = shop.mint_one().await;
    let first = shop.redeem(&code, &[]).await;
    let cookie = first.cookie();

    let again = shop.redeem(&code.to_lowercase(), &[("cookie", &format!("a=b; {cookie}"))]).await;
    assert_eq!((again.status.as_u16(), again.id()), (200, first.id()));
    assert!(again.header("set-cookie").is_none(), "a browser that has its cookie keeps it");

    let stranger = shop.redeem(&code, &[("cookie", "mintcode_holder=guess")]).await;
    stranger.problem(409, "voucher-busy");
    assert_ne!(stranger.cookie(), cookie);

    shop.until(&first.id(), "delivered").await;
    let after = shop.redeem(&code, &[("cookie", &cookie)]).await;
    assert_eq!((after.status.as_u16(), after.value()["code"].as_str()), (200, Some("482915")));
    shop.redeem(&code, &[]).await.problem(410, "voucher-used");
}

#[tokio::test(start_paused = true)]
async fn the_cookie_of_the_first_page_is_the_holder() {
    let shop = Shop::open().await;
    let code = shop.mint_one().await;
    let page = shop.get("/").await;
    let set = page.header("set-cookie").unwrap();
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Lax") && set.contains("Path=/"), "{set}");
    assert!(!set.contains("Secure"), "over plain HTTP a secure cookie would be lost: {set}");
    let secure = shop.get_with("/", &[("x-forwarded-proto", "https")]).await;
    assert!(secure.header("set-cookie").unwrap().ends_with("; Secure"));

    let cookie = page.cookie();
    let lost = shop.redeem(&code, &[("cookie", &cookie)]).await;
    let again = shop.redeem(&code, &[("cookie", &cookie)]).await;
    assert_eq!((again.status.as_u16(), again.id()), (200, lost.id()));
}

#[tokio::test(start_paused = true)]
async fn the_idempotency_key_names_the_holder_from_any_browser() {
    let shop = Shop::open().await;
    let codes = shop.mint(2).await;
    let key = [("idempotency-key", "order 66")];
    let first = shop.redeem(&codes[0], &key).await;
    let again = shop.redeem(&codes[0], &key).await;
    assert_eq!((first.status.as_u16(), again.status.as_u16(), again.id()), (202, 200, first.id()));

    shop.redeem(&codes[1], &key).await.problem(422, "idempotency-mismatch");
    for bad in ["", "é", &"x".repeat(256)] {
        let wrong = shop.redeem(&codes[1], &[("idempotency-key", bad)]).await.problem(400, "invalid-request");
        assert_eq!(wrong["errors"][0]["field"], "Idempotency-Key", "{bad:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_the_next_try_is_a_new_redemption_of_the_same_holder() {
    let shop = Shop::with(sku(), silent(), mintcode_http::Site::default()).await;
    let code = shop.mint_one().await;
    let first = shop.redeem(&code, &[]).await;
    let (id, cookie) = (first.id(), first.cookie());
    let failed = shop.until(&id, "failed").await;
    assert_eq!(failed["failure"]["type"], "no_sms");
    assert_eq!((&failed["failure"]["retryable"], &failed["redemptions_left"]), (&json!(true), &json!(2)));
    let wait = failed["failure"]["retry_after"].as_u64().unwrap();
    assert!((1..=60).contains(&wait), "{failed}");
    shop.get(&format!("/redeem/{id}/result")).await.problem(410, "redemption-failed");

    let early = shop.post(&format!("/redeem/{id}/retry")).await.problem(429, "cooling-down");
    assert_eq!(early["retryable"], true);
    let wait = early["retry_after"].as_u64().unwrap();
    assert!((1..=60).contains(&wait), "{early}");
    tokio::time::sleep(std::time::Duration::from_secs(wait)).await;

    let next = shop.post(&format!("/redeem/{id}/retry")).await;
    assert_eq!(next.status, 202);
    assert_ne!(next.id(), id);
    assert_eq!(next.header("location"), Some(format!("/redeem/{}", next.id()).as_str()));
    assert_eq!(shop.get(&format!("/redeem/{id}")).await.value()["next"], next.id());
    let back = shop.redeem(&code, &[("cookie", &cookie)]).await;
    assert_eq!((back.status.as_u16(), back.id()), (200, next.id()));
}

#[tokio::test(start_paused = true)]
async fn a_number_is_replaced_and_a_redemption_given_up() {
    let mut two_plans = sku();
    let other = mintcode_core::sku::Plan {
        id: mintcode_core::testing::sample::plan_id("Y"),
        operator: "other".to_owned(),
        ..two_plans.plans[0].clone()
    };
    two_plans.plans.push(other);
    let shop = Shop::with(two_plans, silent(), mintcode_http::Site::default()).await;
    shop.supplier.stock(crate::shop::COUNTRY, "other", silent());
    let (id, code) = shop.redemption("waiting_sms").await;
    let first = shop.get(&format!("/redeem/{id}")).await.value()["phone"].clone();

    let replaced = shop.post(&format!("/redeem/{id}/replace")).await;
    assert_eq!(replaced.status, 202, "{replaced:?}");
    assert_eq!(replaced.id(), id);
    let mut seen = shop.until(&id, "waiting_sms").await;
    while seen["phone"] == first {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        seen = shop.until(&id, "waiting_sms").await;
    }

    assert_eq!(shop.post(&format!("/redeem/{id}/cancel")).await.status, 202);
    let cancelled = shop.until(&id, "cancelled").await;
    assert_eq!((&cancelled["phone"], &cancelled["failure"]), (&json!(null), &json!(null)));
    assert_eq!(shop.supplier.open(), 0, "numbers are given back");
    shop.post(&format!("/redeem/{id}/replace")).await.problem(409, "action-not-allowed");
    shop.post(&format!("/redeem/{id}/cancel")).await.problem(409, "action-not-allowed");
    shop.get(&format!("/redeem/{id}/result")).await.problem(410, "redemption-failed");

    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert_eq!(shop.redeem(&code, &[]).await.status, 202, "the voucher stays good");
}

#[tokio::test(start_paused = true)]
async fn names_come_in_the_readers_language() {
    let shop = Shop::open().await;
    let (id, _) = shop.begun().await;
    let seen = shop.get_with(&format!("/redeem/{id}"), &[("accept-language", "zh-CN")]).await;
    assert_eq!(seen.value()["sku"]["name"], "Telegram · 加拿大");
}

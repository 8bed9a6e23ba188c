//! No SMS = not charged = the voucher stays good, within limits.

use reqwest::Method;
use serde_json::{Value, json};

use crate::scene::{Scene, at, counts, failed, line, millis, money, sku, supply, until};

const SILENT: &str = "messages = 0";

#[tokio::test]
async fn a_number_without_an_sms_costs_a_try_and_no_money_until_no_try_is_left() {
    let scenario = supply(&[line("silent1", "0.10", SILENT), line("silent2", "0.12", SILENT)]);
    let policy = "max_redemptions = 2\nmax_duration = \"1500ms\"\ncooldown = \"1s\"";
    let plans = ["A silent1 0.10 0.20", "B silent2 0.12 0.20"];
    let scene = Scene::open(&[sku("tg", policy, &plans)], &scenario, &[]);
    let (customer, code) = (scene.customer(1), scene.mint("tg").await);

    let first = customer.redeem(&code).await;
    assert_eq!(customer.status(&first, "waiting_sms").await["redemptions_left"], 1, "a number is shown");
    let ended = customer.end(&first).await;
    failed(&ended, "no_sms", true, Some(1));
    assert_eq!((&ended["redemptions_left"], &ended["phone"]), (&json!(1), &Value::Null), "{ended}");
    assert_eq!(customer.post(&code).await.refused(429, "cooling-down"), Some(1));
    assert_eq!(customer.press(&first, "retry").await.refused(429, "cooling-down"), Some(1));
    assert_eq!(customer.result(&first).await.refused(410, "redemption-failed"), Some(1));
    let order = &scene.books().await["orders"][0];
    assert_eq!(order["status"], "CANCELED", "a failure is shown once its order is settled: {order}");
    assert_eq!(scene.lookup(&code).await["state"], "retryable_failed");

    let second = until(async || {
        let again = customer.press(&first, "retry").await;
        if again.status == 429 { Err(format!("{again:?}")) } else { Ok(again.begun()) }
    })
    .await;
    let pause = millis(at(&ended, "updated_at"), at(&customer.look(&second).await, "created_at"));
    assert!((1_000..3_000).contains(&pause), "the cool-down took {pause} ms");
    assert_eq!(customer.look(&first).await["next"], second);
    let ended = customer.end(&second).await;
    let seen = [&ended["failure"]["type"], &ended["failure"]["retryable"], &ended["redemptions_left"]];
    assert_eq!(seen, [&json!("no_sms"), &json!(false), &json!(0)], "{ended}");
    assert_eq!(customer.post(&code).await.refused(409, "redemptions-exhausted"), None);
    assert_eq!(customer.press(&second, "retry").await.refused(409, "redemptions-exhausted"), None);
    assert_eq!(scene.customer(2).post(&code).await.refused(409, "redemptions-exhausted"), None);
    assert_eq!(scene.audit().await["counts"], counts(2, 0, 2));

    assert_eq!(scene.support(&code, "reset", None).await.done(200)["state"], "retryable_failed");
    let third = customer.redeem(&code).await;
    assert_eq!(customer.status(&third, "waiting_sms").await["redemptions_left"], 1);
    failed(&customer.end(&third).await, "no_sms", true, Some(1));
    let books = scene.audit().await;
    assert_eq!((&books["counts"], &books["balance"]), (&counts(3, 0, 3), &json!("1000.00")), "{books}");
    assert_eq!(books["calls"]["buy"], 3, "{books}");
    let voucher = scene.lookup(&code).await;
    let behind = "A no_sms 0.10 cancelled, B no_sms 0.12 cancelled, A no_sms 0.10 cancelled";
    assert_eq!(scene.trail(&code).await, behind, "each begins behind the plan that got none");
    assert_eq!(voucher["redemptions"][2]["money"], money("0.00", "0.00", "0.00", "0.00"));
    assert_eq!(customer.saw(&third).await, ["queued", "ordering", "waiting_sms", "releasing", "failed"]);
}

#[tokio::test]
async fn a_number_without_an_sms_is_banned_where_the_policy_says_so() {
    let scenario = supply(&[line("silent", "0.10", SILENT)]);
    let policy = "max_duration = \"1s\"\nmax_buys = 1\ncooldown = \"0s\"\non_no_sms = \"ban\"";
    let scene = Scene::open(&[sku("tg", policy, &["A silent 0.10 0.20"])], &scenario, &[]);
    let (customer, code) = (scene.customer(1), scene.mint("tg").await);
    let first = customer.redeem(&code).await;
    failed(&customer.end(&first).await, "no_sms", true, None);
    let books = scene.audit().await;
    assert_eq!((&books["orders"][0]["status"], &books["counts"]), (&json!("BANNED"), &counts(1, 0, 1)));
    assert_eq!((&books["calls"]["ban"], &books["calls"]["cancel"]), (&json!(1), &Value::Null), "{books}");
    assert_eq!(scene.trail(&code).await, "A no_sms 0.10 banned");

    // The one purchase the voucher had is made, so another redemption cannot begin one.
    let second = customer.redeem(&code).await;
    let ended = customer.end(&second).await;
    failed(&ended, "contact_support", false, None);
    assert_eq!(ended["redemptions_left"], 2, "{ended}");
    assert_eq!(scene.books().await["calls"]["buy"], 1, "max_buys is 1");
    scene.support(&code, "reset", None).await.done(200);
    let third = customer.redeem(&code).await;
    customer.status(&third, "waiting_sms").await;
    customer.end(&third).await;
    assert_eq!(scene.audit().await["counts"], counts(2, 0, 2));
}

#[tokio::test]
async fn a_voucher_lives_from_its_first_redemption_and_is_good_again_once_extended() {
    let scenario = supply(&[line("silent", "0.10", SILENT), line("good", "0.12", "")]);
    let plans = ["A silent 0.10 0.20", "B good 0.12 0.20"];
    let policy =
        "max_duration = \"1s\"\ncooldown = \"0s\"\nvoucher_lifetime = \"500ms\"\nfurther_sms = \"0s\"";
    let skus = [sku("life", policy, &plans), sku("quick", policy, &["B good 0.12 0.20"])];
    let scene = Scene::open(&skus, &scenario, &[]);
    let customer = scene.customer(1);
    let code = scene.mint("life").await;
    assert_eq!(scene.lookup(&code).await["expires_at"], Value::Null, "nothing runs out on the shelf");

    let first = customer.post(&code).await.done(202);
    let voucher = scene.lookup(&code).await;
    // Times are stored to the microsecond.
    let life = millis(at(&first, "created_at"), at(&voucher, "expires_at"));
    assert!((499..=500).contains(&life), "{voucher}");
    let first = first["id"].as_str().unwrap();
    customer.end(first).await;
    assert_eq!(scene.lookup(&code).await["state"], "expired", "applied when its redemption ended");
    assert_eq!(customer.post(&code).await.refused(410, "voucher-expired"), None);
    assert_eq!(customer.press(first, "retry").await.refused(410, "voucher-expired"), None);

    let past = scene.support(&code, "extend", Some(json!({ "expires_at": "2020-01-01T00:00:00Z" }))).await;
    assert_eq!(past.body["errors"][0]["field"], "expires_at", "{past:?}");
    past.refused(400, "invalid-request");
    let extended =
        scene.support(&code, "extend", Some(json!({ "expires_at": "2099-01-01T00:00:00Z" }))).await;
    assert_eq!(extended.done(200)["state"], "retryable_failed");
    let second = customer.redeem(&code).await;
    assert_eq!(customer.end(&second).await["status"], "delivered");
    let voucher = scene.lookup(&code).await;
    assert_eq!(scene.trail(&code).await, "A no_sms 0.10 cancelled, B delivered 0.12 finished");
    assert_eq!(voucher["expires_at"], "2099-01-01T00:00:00Z", "only a first redemption sets the end");

    // What is minted for a shorter time keeps it, and a code that comes past it is delivered all the same.
    let short = scene.mint_with(json!({ "sku_id": "quick", "count": 1, "expires_in": "300ms" })).await;
    let begun = customer.post(&short).await.done(202);
    assert!(millis(at(&begun, "created_at"), at(&scene.lookup(&short).await, "expires_at")) <= 300);
    assert_eq!(customer.end(begun["id"].as_str().unwrap()).await["status"], "delivered");
    let over = scene.mint_with(json!({ "sku_id": "quick", "count": 1, "expires_in": "1ms" })).await;
    assert_eq!(customer.post(&over).await.refused(410, "voucher-expired"), None);
    assert_eq!(scene.lookup(&over).await["state"], "expired");
    assert_eq!(scene.audit().await["counts"], counts(3, 2, 1));
}

#[tokio::test]
async fn giving_up_costs_a_try_only_once_a_number_was_shown() {
    let scenario = supply(&[line("silent", "0.10", SILENT)]);
    let policy = "max_duration = \"20s\"\ncooldown = \"2s\"";
    let scene = Scene::open(&[sku("tg", policy, &["A silent 0.10 0.20"])], &scenario, &[]);
    let (customer, shown, unseen) = (scene.customer(1), scene.mint("tg").await, scene.mint("tg").await);
    let id = customer.redeem(&shown).await;
    customer.status(&id, "waiting_sms").await;
    customer.press(&id, "cancel").await.done(202);
    let ended = customer.end(&id).await;
    let seen = [&ended["status"], &ended["redemptions_left"], &ended["phone"], &ended["failure"]];
    assert_eq!(seen, [&json!("cancelled"), &json!(2), &Value::Null, &Value::Null], "{ended}");
    assert_eq!(scene.books().await["counts"], counts(1, 0, 1), "settled before it is shown as cancelled");
    let wait = customer.post(&shown).await.refused(429, "cooling-down");
    assert!((1..=2).contains(&wait.unwrap()), "{wait:?}");
    assert_eq!(customer.press(&id, "cancel").await.refused(409, "action-not-allowed"), None);
    assert_eq!(customer.press(&id, "replace").await.refused(409, "action-not-allowed"), None);
    assert_eq!(customer.result(&id).await.refused(410, "redemption-failed"), None);
    let voucher = scene.lookup(&shown).await;
    assert_eq!(voucher["state"], "retryable_failed", "{voucher}");
    assert_eq!(scene.trail(&shown).await, "A given_up 0.10 cancelled");

    scene.fault(json!({ "name": "throttle_429", "route": "buy", "retry_after": "9s" })).await;
    let id = customer.redeem(&unseen).await;
    customer.status(&id, "cooling_down").await;
    let path = format!("redemptions/{id}/cancel");
    scene.admin(Method::POST, &path, None).await.done(202);
    let ended = customer.end(&id).await;
    assert_eq!((&ended["status"], &ended["redemptions_left"]), (&json!("cancelled"), &json!(3)), "{ended}");
    let wait = customer.post(&unseen).await.refused(429, "cooling-down");
    assert!((1..=2).contains(&wait.unwrap()), "{wait:?}");
    assert_eq!(scene.trail(&unseen).await, "A throttled");
    let books = scene.audit().await;
    assert_eq!((&books["counts"], &books["balance"]), (&counts(1, 0, 1), &json!("1000.00")), "{books}");
}

#[tokio::test]
async fn a_replaced_number_is_refunded_and_another_plan_comes_first() {
    let scenario = supply(&[line("silent", "0.10", SILENT), line("good", "0.12", "")]);
    let policy = "max_duration = \"8s\"\nfurther_sms = \"0s\"\nmax_plans_per_redemption = 2";
    let plans = ["A silent 0.10 0.20", "B good 0.12 0.20"];
    let scene = Scene::open(&[sku("tg", policy, &plans)], &scenario, &[]);
    let (customer, code) = (scene.customer(1), scene.mint("tg").await);
    let id = customer.redeem(&code).await;
    let old = customer.status(&id, "waiting_sms").await["phone"].clone();
    customer.press(&id, "replace").await.done(202);
    let new = customer.when(&id, |seen| seen["status"] == "waiting_sms" && seen["phone"] != old).await;
    // As many numbers as plans may be had.
    assert_eq!(customer.press(&id, "replace").await.refused(409, "action-not-allowed"), None);
    let delivered = customer.end(&id).await;
    let seen = [&delivered["status"], &delivered["phone"], &delivered["redemptions_left"]];
    assert_eq!(seen, [&json!("delivered"), &new["phone"], &json!(3)], "{delivered}");
    assert_eq!(customer.press(&id, "replace").await.refused(409, "action-not-allowed"), None);

    let books = scene.audit().await;
    assert_eq!(books["counts"], counts(2, 1, 1), "{books}");
    let (first, second) = (&books["orders"][0], &books["orders"][1]);
    assert_eq!((&first["phone"], &first["status"]), (&old, &json!("CANCELED")), "{books}");
    assert!(at(first, "closed_at") <= at(second, "created_at"), "never two numbers at a time: {books}");
    let voucher = scene.lookup(&code).await;
    assert_eq!(scene.trail(&code).await, "A replaced 0.10 cancelled, B delivered 0.12 finished");
    assert_eq!(voucher["redemptions"][0]["money"], money("0.80", "0.12", "0.00", "0.68"));
    let statuses = ["queued", "ordering", "waiting_sms", "releasing", "ordering", "waiting_sms", "delivered"];
    assert_eq!(customer.saw(&id).await, statuses);
}

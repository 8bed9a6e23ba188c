//! Responsible operation: what is withheld, what is not served, and how much one customer may redeem.

use reqwest::Method;
use serde_json::{Value, json};

use crate::scene::{Scene, counts, failed, line, money, sku, supply};

const AT_ONCE: &str = r#"further_sms = "0s""#;

#[tokio::test]
async fn a_payment_services_message_is_kept_from_everybody_until_the_owner_releases_it() {
    let lines = [line("odd", "0.12", r#"texts = ["PayPal: your security code is {code}."]"#)];
    let site = [("SITE_SUPPORT_CONTACT", "help@shop.example")];
    let scene = Scene::open(&[sku("tg", AT_ONCE, &["A odd 0.12 0.20"])], &supply(&lines), &site);
    let (customer, code) = (scene.customer(1), scene.mint("tg").await);
    let id = customer.redeem(&code).await;
    let ended = customer.end(&id).await;
    failed(&ended, "contact_support", false, None);
    assert_eq!(ended["redemptions_left"], 3, "{ended}");
    assert!(ended["failure"]["detail"].as_str().unwrap().contains("help@shop.example"), "{ended}");
    let refused = customer.result(&id).await;
    let refusal = refused.body.to_string();
    refused.refused(410, "redemption-failed");

    let books = scene.audit().await;
    assert_eq!((&books["counts"], &books["balance"]), (&counts(1, 1, 0), &json!("999.88")), "{books}");
    let sms = &books["orders"][0]["sms"][0];
    let (secret, text) = (sms["code"].as_str().unwrap(), sms["text"].as_str().unwrap());
    let everything = customer.everything(&id).await;
    let alerts = scene.admin(Method::GET, "alerts", None).await.done(200);
    let path = format!("redemptions/{id}");
    let shown = scene.admin(Method::GET, &path, None).await.done(200);
    let voucher = scene.lookup(&code).await;
    for told in [
        &ended.to_string(),
        &refusal,
        &everything,
        &alerts.to_string(),
        &shown.to_string(),
        &voucher.to_string(),
    ] {
        for inside in ["PayPal", text, &format!("\"{secret}\""), &format!(">{secret}<")] {
            assert!(!told.contains(inside), "{inside} in {told}");
        }
    }
    assert_eq!(alerts["data"].as_array().unwrap().len(), 1, "{alerts}");
    let alert = &alerts["data"][0];
    assert_eq!([&alert["kind"], &alert["pattern"], &alert["sku"]], ["withheld", "wallet", "tg"], "{alert}");
    assert_eq!((&shown["phase"], &shown["withheld"]), (&json!("withheld"), &json!(["wallet"])), "{shown}");
    assert_eq!(scene.trail(&code).await, "A withheld 0.12 finished");
    assert_eq!(voucher["redemptions"][0]["money"], money("0.00", "0.12", "0.12", "-0.12"));
    assert_eq!(customer.press(&id, "cancel").await.refused(409, "action-not-allowed"), None);

    let acknowledge = format!("alerts/{}", alert["id"]);
    scene.admin(Method::DELETE, &acknowledge, None).await.done(204);
    scene.alerts_come_to(&[]).await;
    let release = format!("{path}/release");
    scene.admin(Method::POST, &release, None).await.done(202);
    let released = customer.status(&id, "delivered").await;
    assert_eq!((&released["code"], &released["text"]), (&json!(secret), &json!(text)), "{released}");
    assert_eq!(customer.result(&id).await.done(200)["code"], secret);
    assert_eq!(customer.post(&code).await.done(200)["code"], secret);
    let voucher = scene.lookup(&code).await;
    assert_eq!(voucher["state"], "fulfilled", "{voucher}");
    assert_eq!(scene.trail(&code).await, "A delivered 0.12 finished");
    assert_eq!(voucher["redemptions"][0]["money"], money("0.80", "0.12", "0.00", "0.68"));
    let books = scene.audit().await;
    assert_eq!((&books["counts"], &books["calls"]["finish"]), (&counts(1, 1, 0), &json!(1)), "{books}");
    assert_eq!(books["calls"]["buy"], 1, "{books}");
    scene
        .admin(Method::POST, "redemptions/rdm_00000000000000000000000000/release", None)
        .await
        .refused(404, "not-found");
}

#[tokio::test]
async fn what_is_on_the_deny_list_is_neither_stored_nor_redeemed_nor_bought() {
    let lines = [line("good", "0.12", ""), line("georgia/good", "0.10", "")];
    let skus = [
        sku("dc", AT_ONCE, &["A good 0.12 0.20"]).replace("\"telegram\"", "\"discord\""),
        sku("geo", AT_ONCE, &["A georgia/good 0.10 0.20"]),
        sku("mixed", AT_ONCE, &["A georgia/good 0.10 0.20", "B good 0.12 0.20"]),
    ];
    let deny = [("DENY_SERVICES", "discord"), ("DENY_COUNTRIES", "georgia")];
    let scene = Scene::open(&skus, &supply(&lines), &deny);
    let customer = scene.customer(1);
    let stored = scene.admin(Method::GET, "skus/geo", None).await.done(200);
    for (product, id) in [("paypal", "pay"), ("discord", "chat")] {
        let mut body = stored.clone();
        (body["id"], body["label"], body["product"]) = (json!(id), json!(id.to_uppercase()), json!(product));
        (body["plans"][0]["country"], body["plans"][0]["operator"]) = (json!("canada"), json!("good"));
        let path = format!("skus/{id}");
        let refused = scene.admin(Method::PUT, &path, Some(body)).await;
        let errors = refused.body["errors"].clone();
        refused.refused(400, "invalid-request");
        assert_eq!(
            (errors.as_array().unwrap().len(), &errors[0]["field"]),
            (1, &json!("product")),
            "{errors}"
        );
        scene.admin(Method::GET, &path, None).await.refused(404, "not-found");
    }
    let refused = scene.admin(Method::PUT, "skus/geo", Some(stored)).await;
    assert_eq!(refused.body["errors"][0]["field"], "plan[0].country", "{refused:?}");
    refused.refused(400, "invalid-request");

    // Sold before they were denied: minted by a command that does not know of the list.
    let (code, sold) = (scene.mint("mixed").await, ["dc", "geo"].map(|id| scene.shop.mint(id, 1).remove(0)));
    for code in sold {
        assert_eq!(customer.post(&code).await.refused(403, "not-offered"), None);
        assert_eq!(scene.lookup(&code).await["state"], "issued");
    }
    assert_eq!(scene.books().await["calls"]["buy"], Value::Null, "nothing is asked of the supplier");
    let id = customer.redeem(&code).await;
    assert_eq!(customer.end(&id).await["status"], "delivered");
    let books = scene.audit().await;
    assert_eq!((&books["counts"], &books["calls"]["buy"]), (&counts(1, 1, 0), &json!(1)), "{books}");
    assert_eq!(scene.trail(&code).await, "B delivered 0.12 finished");
}

#[tokio::test]
async fn a_customer_and_a_sku_are_redeemed_no_faster_than_the_caps_allow() {
    let lines = [line("good", "0.10", "")];
    let skus = [sku("tg", AT_ONCE, &["A good 0.10 0.20"]), sku("other", AT_ONCE, &["A good 0.10 0.20"])];
    let caps = [("LIMITS_SESSION_PER_HOUR", "2"), ("LIMITS_SKU_PER_DAY", "3")];
    let scene = Scene::open(&skus, &supply(&lines), &caps);
    let (keen, calm, third) = (scene.customer(1), scene.customer(2), scene.customer(3));
    let mut codes = Vec::new();
    for _ in 0..4 {
        codes.push(scene.mint("tg").await);
    }
    let elsewhere = scene.mint("other").await;

    let first = keen.redeem(&codes[0]).await;
    keen.redeem(&codes[1]).await;
    let wait = keen.post(&codes[2]).await.refused(429, "too-many-requests").unwrap();
    assert!((3_570..=3_600).contains(&wait), "{wait} s");
    assert_eq!(scene.lookup(&codes[2]).await["state"], "issued", "nothing is locked");
    assert_eq!(keen.post(&codes[0]).await.done(200)["id"], first, "what runs is not touched");
    calm.redeem(&codes[2]).await;

    for customer in [&calm, &third] {
        let wait = customer.post(&codes[3]).await.refused(429, "daily-limit").unwrap();
        assert!((86_370..=86_400).contains(&wait), "{wait} s");
    }
    assert_eq!(scene.lookup(&codes[3]).await["redemptions"], json!([]));
    let id = calm.redeem(&elsewhere).await;
    assert_eq!(calm.end(&id).await["status"], "delivered", "the cap is that of one SKU");
    assert_eq!(keen.end(&first).await["status"], "delivered");
    let books = scene.audit().await;
    assert_eq!((&books["counts"], &books["calls"]["buy"]), (&counts(4, 4, 0), &json!(4)), "{books}");
}

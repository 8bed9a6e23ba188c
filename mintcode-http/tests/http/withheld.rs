//! A message that reads like a bank's: nobody is shown it until an owner lets it through.

use axum::http::Method;
use mintcode_core::responsible::Screening;
use mintcode_core::rules::Rules;
use mintcode_core::testing::Line;
use mintcode_http::Site;
use serde_json::json;

use crate::shop::{Answer, COUNTRY, OPERATOR, SUPPLIER, Setup, Shop};

const TEXT: &str = "Mattress Bank: 7391 confirms your payment of 250.00";
const CODE: &str = "7391";

async fn shop() -> Shop {
    let screening = Screening::new(false, &["mattress bank".to_owned()]).unwrap();
    let line = Line { text: TEXT.to_owned(), code: Some(CODE.to_owned()), ..Line::default() };
    let site = Site { support_contact: Some("help@example.org".to_owned()), ..Site::default() };
    let rules = Rules { screening, ..Rules::default() };
    Shop::of(Setup { line, site, rules, ..Setup::default() }).await
}

/// Everything a customer can ask about a redemption that has ended.
async fn everything_seen(shop: &Shop, id: &str) -> Vec<Answer> {
    let path = format!("/redeem/{id}");
    vec![
        shop.get(&path).await,
        shop.get_with(&path, &[("prefer", "wait=1")]).await,
        shop.get(&format!("{path}/result")).await,
        shop.get_with(&format!("{path}/result"), &[("accept", "text/html")]).await,
        shop.get(&format!("/r/{id}")).await,
        shop.get_with(&format!("/r/{id}"), &[("accept-language", "zh")]).await,
        shop.post(&format!("{path}/cancel")).await,
        shop.post(&format!("{path}/replace")).await,
        shop.get_with(&format!("{path}/events"), &[("last-event-id", "0")]).await,
        shop.get(&format!("{path}/events")).await,
    ]
}

#[tokio::test(start_paused = true)]
async fn what_is_withheld_is_shown_to_nobody_and_ends_with_contact_support() {
    let shop = shop().await;
    let (id, code) = shop.redemption("failed").await;
    let seen = shop.get(&format!("/redeem/{id}")).await.value();
    let failure = &seen["failure"];
    assert_eq!((&failure["type"], &failure["retryable"]), (&json!("contact_support"), &json!(false)));
    assert!(failure["detail"].as_str().unwrap().contains("help@example.org"), "{seen}");
    assert_eq!((&seen["code"], &seen["text"], &seen["phone"]), (&json!(null), &json!(null), &json!(null)));
    assert_eq!(seen["redemptions_left"], 3, "no try is used");
    let result = shop.get(&format!("/redeem/{id}/result")).await.problem(410, "redemption-failed");
    assert_eq!(result["retryable"], false);

    // Also once its order is settled at the supplier.
    for wait in [0, 600] {
        tokio::time::sleep(std::time::Duration::from_secs(wait)).await;
        let mut answers = everything_seen(&shop, &id).await;
        answers.push(shop.admin(Method::GET, &format!("/admin/redemptions/{id}"), None).await);
        answers.push(shop.admin(Method::POST, "/admin/vouchers/lookup", Some(&json!({"code": code}))).await);
        answers.push(shop.admin(Method::GET, "/admin/alerts", None).await);
        for answer in answers {
            for secret in ["Mattress", "250.00", ">7391<", "\"7391\""] {
                assert!(!answer.body.contains(secret), "{secret} in {answer:?}");
            }
        }
        for answer in everything_seen(&shop, &id).await {
            for secret in [SUPPLIER, COUNTRY, OPERATOR, "PLAN-X", "operator-1", "withheld"] {
                assert!(!answer.body.contains(secret), "{secret} in {answer:?}");
            }
        }
    }

    // The voucher was not spent.
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert_eq!(shop.redeem(&code, &[]).await.status, 202);
}

#[tokio::test(start_paused = true)]
async fn an_owner_sees_why_and_lets_it_through() {
    let shop = shop().await;
    let (id, code) = shop.redemption("failed").await;
    let path = format!("/admin/redemptions/{id}");
    tokio::time::sleep(std::time::Duration::from_secs(300)).await;
    let trail = shop.admin(Method::GET, &path, None).await.value();
    assert_eq!(
        (&trail["phase"], &trail["withheld"]),
        (&json!("withheld"), &json!(["operator-1"])),
        "{trail}"
    );
    assert_eq!(trail["attempts"][0]["outcome"], "withheld");
    let lost =
        json!({"revenue": "0.00", "cost": "0.12", "loss": "0.12", "margin": "-0.12", "currency": "USD"});
    assert_eq!(trail["money"], lost);
    let alert = shop.admin(Method::GET, "/admin/alerts?open=true", None).await.value()["data"][0].clone();
    assert_eq!((&alert["kind"], &alert["pattern"]), (&json!("withheld"), &json!("operator-1")), "{alert}");

    let released = shop.admin(Method::POST, &format!("{path}/release"), None).await;
    assert_eq!((released.status.as_u16(), released.id()), (202, id.clone()), "{released:?}");
    let delivered = shop.until(&id, "delivered").await;
    assert_eq!((&delivered["code"], &delivered["text"]), (&json!(CODE), &json!(TEXT)));
    assert_eq!(shop.get(&format!("/redeem/{id}/result")).await.value()["messages"][0]["text"], TEXT);
    assert_eq!(shop.lookup(&code).await["state"], "fulfilled");
    let trail = shop.admin(Method::GET, &path, None).await.value();
    let earned =
        json!({"revenue": "0.80", "cost": "0.12", "loss": "0.00", "margin": "0.68", "currency": "USD"});
    assert_eq!((&trail["money"], &trail["withheld"]), (&earned, &json!([])), "{trail}");
}

#[tokio::test(start_paused = true)]
async fn only_what_is_withheld_can_be_let_through() {
    let shop = shop().await;
    let (id, code) = shop.redemption("waiting_sms").await;
    let release = format!("/admin/redemptions/{id}/release");
    shop.admin(Method::POST, &release, None).await.problem(409, "action-not-allowed");
    shop.until(&id, "failed").await;
    // Once the voucher has gone on, the message stays where it is.
    let path = shop.voucher(&code).await;
    shop.admin(Method::POST, &format!("{path}/void"), None).await;
    shop.admin(Method::POST, &release, None).await;
    tokio::time::sleep(std::time::Duration::from_secs(30)).await;
    assert_eq!(shop.get(&format!("/redeem/{id}")).await.value()["status"], "failed");
    assert_eq!(shop.lookup(&code).await["state"], "cancelled");
    let unknown = "/admin/redemptions/rdm_00000000000000000000000000/release";
    shop.admin(Method::POST, unknown, None).await.problem(404, "not-found");
}

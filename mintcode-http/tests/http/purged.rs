//! Numbers and messages are kept for a time and then removed.

use std::time::Duration;

use axum::http::Method;
use mintcode_core::responsible::Screening;
use mintcode_core::rules::Rules;
use mintcode_core::testing::Line;
use serde_json::json;

use crate::shop::{Setup, Shop};

const HOUR: Duration = Duration::from_hours(1);

/// Of a line whose text and code no page has for another reason.
fn line() -> Line {
    let text = "Your code is 90417, never tell it".to_owned();
    Line { text, code: Some("90417".to_owned()), ..Line::default() }
}

async fn shop(rules: Rules) -> Shop {
    Shop::of(Setup { line: line(), rules: Rules { retention: HOUR, ..rules }, ..Setup::default() }).await
}

#[tokio::test(start_paused = true)]
async fn a_delivered_code_can_be_had_until_it_is_purged() {
    let shop = shop(Rules::default()).await;
    let (id, code) = shop.redemption("delivered").await;
    let path = format!("/redeem/{id}");
    tokio::time::sleep(Duration::from_mins(59)).await;
    let before = shop.get(&path).await;
    assert_eq!(before.value()["code"], "90417");
    let phone = before.value()["phone"].as_str().unwrap().to_owned();
    assert_eq!(shop.get(&format!("{path}/result")).await.status, 200);

    tokio::time::sleep(Duration::from_mins(10)).await;
    let problem = shop.get(&format!("{path}/result")).await.problem(410, "purged");
    assert_eq!(problem["retryable"], false);
    let after = shop.get_with(&path, &[("if-none-match", before.header("etag").unwrap())]).await;
    assert_eq!(after.status, 200, "what a client has of it is out of date: {after:?}");
    let seen = after.value();
    assert_eq!((&seen["code"], &seen["text"], &seen["phone"]), (&json!(null), &json!(null), &json!(null)));
    assert_eq!(seen["status"], "delivered");
    let lookup = json!({ "code": code });
    for answer in [
        after,
        shop.get(&format!("{path}/result")).await,
        shop.get(&format!("/r/{id}")).await,
        shop.get_with(&format!("{path}/events"), &[("last-event-id", "0")]).await,
        shop.admin(Method::GET, &format!("/admin/redemptions/{id}"), None).await,
        shop.admin(Method::POST, "/admin/vouchers/lookup", Some(&lookup)).await,
    ] {
        for private in ["90417", phone.trim_start_matches('+')] {
            assert!(!answer.body.contains(private), "{private} in {answer:?}");
        }
    }
    let page = shop.get(&format!("/r/{id}")).await;
    assert!(page.body.contains("kept for a limited time"), "{}", page.body);
    assert_eq!(shop.lookup(&code).await["state"], "fulfilled", "the voucher stays what it is");
}

#[tokio::test(start_paused = true)]
async fn what_was_withheld_cannot_be_released_once_it_is_purged() {
    let screening = Screening::new(false, &["never tell it".to_owned()]).unwrap();
    let shop = shop(Rules { screening, ..Rules::default() }).await;
    let (id, _) = shop.redemption("failed").await;
    tokio::time::sleep(2 * HOUR).await;
    let answer = shop.admin(Method::POST, &format!("/admin/redemptions/{id}/release"), None).await;
    answer.problem(409, "action-not-allowed");
}

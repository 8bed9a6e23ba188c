//! A message that arrives while its number is given back is delivered instead.

use serde_json::{Value, json};

use crate::scene::{Scene, at, counts, line, millis, money, sku, supply};

#[tokio::test]
async fn an_sms_that_arrives_while_its_number_is_given_back_is_delivered_and_charged() {
    let lines = [line("silent", "0.10", "messages = 0"), line("slow", "0.12", "sms_after = \"2s\"")];
    let policy = |duration: &str| format!("further_sms = \"0s\"\nmax_duration = \"{duration}\"");
    let skus = [
        sku("silent", &policy("1s"), &["A silent 0.10 0.20"]),
        sku("slow", &policy("20s"), &["A slow 0.12 0.20"]),
    ];
    let scene = Scene::open(&skus, &supply(&lines), &[]);
    let customer = scene.customer(1);

    // At the deadline, where nobody asked for anything.
    let silent = scene.mint("silent").await;
    scene.fault(json!({ "name": "sms_between_check_and_cancel" })).await;
    let id = customer.redeem(&silent).await;
    let late = customer.end(&id).await;
    assert_eq!((&late["status"], &late["redemptions_left"]), (&json!("delivered"), &json!(3)), "{late}");
    assert!(at(&late, "updated_at") >= at(&late, "deadline"), "{late}");
    assert_eq!(customer.saw(&id).await, ["queued", "ordering", "waiting_sms", "releasing", "delivered"]);

    // When the customer gives up.
    let given_up = scene.mint("slow").await;
    scene.fault(json!({ "name": "sms_between_check_and_cancel" })).await;
    let id = customer.redeem(&given_up).await;
    customer.status(&id, "waiting_sms").await;
    customer.press(&id, "cancel").await.done(202);
    let unwanted = customer.end(&id).await;
    assert_eq!(unwanted["status"], "delivered", "{unwanted}");

    // While the supplier does not take the number back yet.
    let too_early = scene.mint("slow").await;
    scene.fault(json!({ "name": "cancel_too_early" })).await;
    let id = customer.redeem(&too_early).await;
    customer.status(&id, "waiting_sms").await;
    customer.press(&id, "cancel").await.done(202);
    let is_told = |seen: &Value| seen["status"] == "releasing" && !seen["resumes_at"].is_null();
    let mut releasing = customer.when(&id, is_told).await;
    if millis(at(&releasing, "updated_at"), at(&releasing, "resumes_at")) < 30_000 {
        // The refusal is not in yet: until then the next asking is a second away.
        let first = releasing["version"].clone();
        releasing = customer.when(&id, |seen| is_told(seen) && seen["version"] != first).await;
    }
    assert_eq!(millis(at(&releasing, "updated_at"), at(&releasing, "resumes_at")), 30_000, "{releasing}");
    let meanwhile = customer.end(&id).await;
    assert_eq!(meanwhile["status"], "delivered", "{meanwhile}");

    let books = scene.audit().await;
    assert_eq!((&books["counts"], &books["balance"]), (&counts(3, 3, 0), &json!("999.66")), "{books}");
    assert_eq!((&books["calls"]["cancel"], &books["calls"]["finish"]), (&json!(3), &json!(3)), "{books}");
    let codes: Vec<_> = (0..3).map(|place| &books["orders"][place]["sms"][0]["code"]).collect();
    assert_eq!(codes, [&late["code"], &unwanted["code"], &meanwhile["code"]], "{books}");
    for (code, price) in [(silent, "0.10"), (given_up, "0.12"), (too_early, "0.12")] {
        let voucher = scene.lookup(&code).await;
        let margin = if price == "0.10" { "0.70" } else { "0.68" };
        assert_eq!(scene.trail(&code).await, format!("A delivered {price} finished"));
        assert_eq!(
            (&voucher["state"], &voucher["redemptions"][0]["money"]),
            (&json!("fulfilled"), &money("0.80", price, "0.00", margin))
        );
    }
}

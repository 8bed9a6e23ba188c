//! Which plan is tried: the operator's order, "out of stock" and nothing else to the next one, never above a cap.

use reqwest::Method;
use serde_json::{Value, json};

use crate::scene::{Scene, at, attempts, counts, failed, line, millis, money, sku, supply, until};

const AT_ONCE: &str = "further_sms = \"0s\"\nmax_duration = \"8s\"\ncooldown = \"1s\"";
const EMPTY: &str = "stock = 0";

/// Why each plan was chosen in the latest redemption of the voucher, which has to hold, byte for byte.
async fn explained(scene: &Scene, code: &str) -> Vec<Value> {
    let voucher = scene.lookup(code).await;
    let id = voucher["redemptions"].as_array().unwrap().last().unwrap()["id"].as_str().unwrap();
    let told = scene.admin(Method::GET, &format!("redemptions/{id}/explain"), None).await.done(200);
    let choices = told["data"].as_array().unwrap().clone();
    for choice in &choices {
        assert_eq!((&choice["holds"], &choice["replayed"]), (&json!(true), &choice["stored"]), "{choice}");
        let record: Value = serde_json::from_str(choice["stored"].as_str().unwrap()).unwrap();
        assert_eq!(record["question"], choice["question"], "the record is what is told");
    }
    choices
}

fn reason(choice: &Value) -> &str {
    choice["reason"].as_str().unwrap()
}

#[tokio::test]
async fn out_of_stock_leads_to_the_next_plan_at_once_and_the_choices_explain_themselves() {
    let lines = [line("cheap", "0.05", ""), line("empty", "0.12", EMPTY), line("good", "0.15", "")];
    let plans = ["A cheap 0.05 0.20 20", "C good 0.15 0.20 10", "B empty 0.12 0.20 10"];
    let slow = [("ENGINE_BACKOFF_MIN", "5s"), ("ENGINE_BACKOFF_MAX", "5s")];
    let scene = Scene::open(&[sku("tg", AT_ONCE, &plans)], &supply(&lines), &slow);
    let (customer, code) = (scene.customer(1), scene.mint("tg").await);
    let id = customer.redeem(&code).await;
    assert_eq!(customer.end(&id).await["status"], "delivered");

    let books = scene.audit().await;
    assert_eq!((&books["counts"], &books["calls"]["buy"]), (&counts(1, 1, 0), &json!(2)), "{books}");
    assert_eq!((&books["orders"][0]["operator"], &books["balance"]), (&json!("good"), &json!("999.85")));
    let voucher = scene.lookup(&code).await;
    assert_eq!(
        scene.trail(&code).await,
        "B out_of_stock, C delivered 0.15 finished",
        "priority, then expected cost"
    );
    let tried = attempts(&voucher);
    let pause = millis(at(&tried[0], "ended_at"), at(&tried[1], "started_at"));
    assert!((0..2_000).contains(&pause), "the next plan was tried after {pause} ms");
    assert_eq!(customer.saw(&id).await, ["queued", "ordering", "waiting_sms", "delivered"]);

    let choices = explained(&scene, &code).await;
    let plans: Vec<_> = choices.iter().map(|choice| &choice["plan"]).collect();
    assert_eq!(plans, ["B", "C"]);
    assert!(reason(&choices[0]).starts_with("first by priority 10 and expected cost 0.12"), "{choices:?}");
    assert!(reason(&choices[1]).ends_with("without B (out of stock)"), "{choices:?}");
    assert_eq!(choices[1]["question"]["exhausted"], json!(["B"]));
}

#[tokio::test]
async fn with_no_plan_left_no_try_is_used_and_the_operator_is_told_until_one_sells() {
    let lines = [line("good1", "0.10", ""), line("good2", "0.12", "")];
    let plans = ["A good1 0.10 0.20", "B good2 0.12 0.20"];
    let site = [("SITE_SUPPORT_CONTACT", "help@shop.example")];
    let scene = Scene::open(&[sku("tg", AT_ONCE, &plans)], &supply(&lines), &site);
    let (customer, code) = (scene.customer(1), scene.mint("tg").await);
    scene.fault(json!({ "name": "no_free_phones", "times": 2 })).await;
    let first = customer.redeem(&code).await;
    let ended = customer.end(&first).await;
    failed(&ended, "out_of_stock", true, Some(1));
    assert_eq!(ended["redemptions_left"], 3, "{ended}");
    assert!(ended["failure"]["detail"].as_str().unwrap().contains("help@shop.example"), "{ended}");
    assert_eq!(customer.post(&code).await.refused(429, "cooling-down"), Some(1));
    scene.alerts_come_to(&["no_plan_left"]).await;
    assert_eq!(explained(&scene, &code).await[2]["choice"], "give_up");
    let books = scene.books().await;
    assert_eq!((&books["counts"], &books["calls"]["buy"]), (&counts(0, 0, 0), &json!(2)), "{books}");

    let second = until(async || {
        let again = customer.post(&code).await;
        if again.status == 429 { Err(format!("{again:?}")) } else { Ok(again.begun()) }
    })
    .await;
    assert_eq!(customer.end(&second).await["status"], "delivered");
    scene.alerts_come_to(&[]).await;
    assert_eq!(scene.audit().await["counts"], counts(1, 1, 0));
    let voucher = scene.lookup(&code).await;
    assert_eq!(scene.trail(&code).await, "A out_of_stock, B out_of_stock, A delivered 0.10 finished");
    assert_eq!(voucher["redemptions"][0]["money"], money("0.00", "0.00", "0.00", "0.00"));
}

#[tokio::test]
async fn no_more_plans_are_tried_in_one_redemption_than_the_policy_allows() {
    let lines = [line("empty1", "0.10", EMPTY), line("empty2", "0.11", EMPTY), line("good", "0.12", "")];
    let plans = ["A empty1 0.10 0.20", "B empty2 0.11 0.20", "C good 0.12 0.20"];
    let policy = "max_plans_per_redemption = 2";
    let scene = Scene::open(&[sku("tg", policy, &plans)], &supply(&lines), &[]);
    let (customer, code) = (scene.customer(1), scene.mint("tg").await);
    let id = customer.redeem(&code).await;
    failed(&customer.end(&id).await, "out_of_stock", true, Some(60));
    assert_eq!(scene.trail(&code).await, "A out_of_stock, B out_of_stock");
    let books = scene.audit().await;
    assert_eq!((&books["counts"], &books["calls"]["buy"]), (&counts(0, 0, 0), &json!(2)), "{books}");
    let choices = explained(&scene, &code).await;
    assert!(reason(&choices[2]).contains("C (enough plans were tried)"), "{choices:?}");
}

#[tokio::test]
async fn an_order_above_the_cap_of_its_plan_or_sku_goes_back_unseen_and_the_next_plan_is_tried() {
    let lines = [
        line("dear", "0.10", "charged = \"0.25\""),
        line("over", "0.10", "charged = \"0.13\""),
        line("pricey", "0.15", ""),
        line("good", "0.12", ""),
    ];
    let capped = format!("{AT_ONCE}\nmax_cost = \"0.12\"");
    let skus = [
        sku("plan", AT_ONCE, &["A dear 0.10 0.20", "B good 0.12 0.20"]),
        sku("sku", &capped, &["A pricey 0.15 0.20 1", "B over 0.10 0.20 5", "C good 0.12 0.20 9"]),
    ];
    let scene = Scene::open(&skus, &supply(&lines), &[]);
    let customer = scene.customer(1);
    let (first, second, third) =
        (scene.mint("plan").await, scene.mint("plan").await, scene.mint("sku").await);
    let id = customer.redeem(&first).await;
    let delivered = customer.end(&id).await;
    assert_eq!((&delivered["status"], &delivered["redemptions_left"]), (&json!("delivered"), &json!(3)));
    let order = scene.audit().await["orders"][0].clone();
    assert_eq!([&order["status"], &order["charged"], &order["refunded"]], ["CANCELED", "0.25", "0.25"]);
    assert!(!customer.everything(&id).await.contains(order["phone"].as_str().unwrap()), "never shown");
    assert_eq!(customer.saw(&id).await, ["queued", "ordering", "waiting_sms", "delivered"]);
    let voucher = scene.lookup(&first).await;
    assert_eq!(scene.trail(&first).await, "A too_dear 0.25 cancelled, B delivered 0.12 finished");
    assert_eq!(voucher["redemptions"][0]["money"], money("0.80", "0.12", "0.00", "0.68"));

    // Who pays no more than that is kept away from there, until the catalogue shows a price that fits.
    let id = customer.redeem(&second).await;
    assert_eq!(customer.end(&id).await["status"], "delivered");
    assert_eq!(scene.trail(&second).await, "B delivered 0.12 finished");
    assert!(reason(&explained(&scene, &second).await[0]).contains("A (off by itself)"));
    let suppliers = scene.admin(Method::GET, "suppliers", None).await.done(200);
    let sources = suppliers["data"][0]["sources"].as_array().unwrap();
    let dear = sources.iter().find(|source| source["operator"] == "dear").unwrap();
    assert_eq!([&dear["state"], &dear["why"], &dear["dear_price"]], ["off", "dear", "0.25"], "{dear}");
    scene.alerts_come_to(&["source_off"]).await;

    let id = customer.redeem(&third).await;
    assert_eq!(customer.end(&id).await["status"], "delivered", "at exactly the cap");
    let expected = "B too_dear 0.13 cancelled, C delivered 0.12 finished";
    let books = scene.audit().await;
    assert_eq!(scene.trail(&third).await, expected);
    assert!(reason(&explained(&scene, &third).await[0]).contains("A (expected above its cap)"));
    assert_eq!((&books["counts"], &books["balance"]), (&counts(5, 3, 2), &json!("999.64")), "{books}");
    assert_eq!(books["calls"]["buy"], 5, "{books}");
}

#[tokio::test]
async fn a_plan_switched_by_hand_is_seen_by_the_very_next_choice() {
    let lines = [line("good1", "0.10", ""), line("good2", "0.12", "")];
    let plans = ["A good1 0.10 0.20", "B good2 0.12 0.20"];
    let scene = Scene::open(&[sku("tg", AT_ONCE, &plans)], &supply(&lines), &[]);
    let (customer, code, other) = (scene.customer(1), scene.mint("tg").await, scene.mint("tg").await);
    let switch = async |plan: &str, enabled: bool| {
        let path = format!("skus/tg/plans/{plan}");
        scene.admin(Method::PATCH, &path, Some(json!({ "enabled": enabled }))).await.done(200);
    };
    scene.fault(json!({ "name": "throttle_429", "route": "buy", "retry_after": "2s" })).await;
    let id = customer.redeem(&code).await;
    customer.status(&id, "cooling_down").await;
    switch("A", false).await;
    assert_eq!(customer.end(&id).await["status"], "delivered");
    assert_eq!(scene.trail(&code).await, "A throttled, B delivered 0.12 finished");
    assert!(reason(&explained(&scene, &code).await[1]).contains("A (switched off by hand)"));

    switch("B", false).await;
    assert_eq!(customer.post(&other).await.refused(503, "unavailable"), Some(60));
    let voucher = scene.lookup(&other).await;
    assert_eq!((&voucher["state"], &voucher["redemptions"]), (&json!("issued"), &json!([])), "{voucher}");
    assert_eq!(scene.books().await["calls"]["buy"], 2, "nothing is asked of the supplier");
    scene.alerts_come_to(&["no_plan_left"]).await;
    switch("A", true).await;
    let id = customer.redeem(&other).await;
    assert_eq!(customer.end(&id).await["status"], "delivered");
    assert_eq!(scene.trail(&other).await, "A delivered 0.10 finished");
    scene.alerts_come_to(&[]).await;
    let books = scene.audit().await;
    assert_eq!((&books["counts"], &books["balance"]), (&counts(2, 2, 0), &json!("999.78")), "{books}");
}

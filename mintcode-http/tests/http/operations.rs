//! What operators see of redemptions, money, suppliers and alerts.

use std::time::Duration;

use axum::http::Method;
use mintcode_core::ids::{SupplierName, WorkerId};
use mintcode_core::money::Currency;
use mintcode_core::order::{ListedOrder, Order, OrderId, OrderStatus, Phone, Sight};
use mintcode_core::orphan::Orphan;
use mintcode_core::ports::{Adopt, Orphans, Stop, Storage, Workers};
use mintcode_core::testing::{Line, SeededEntropy};
use serde_json::{Value, json};

use crate::shop::{COUNTRY, OPERATOR, SUPPLIER, Setup, Shop, silent};

async fn get(shop: &Shop, path: &str) -> Value {
    let answer = shop.admin(Method::GET, path, None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.value()
}

#[tokio::test(start_paused = true)]
async fn redemptions_are_searched_page_by_page() {
    let shop = Shop::open().await;
    let mut begun = Vec::new();
    for _ in 0..3 {
        begun.insert(0, shop.redemption("delivered").await.0);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let mut seen: Vec<String> = Vec::new();
    loop {
        let after = seen.last().map(|id| format!("&starting_after={id}")).unwrap_or_default();
        let page = get(&shop, &format!("/admin/redemptions?limit=2{after}")).await;
        let ids = page["data"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned());
        seen.extend(ids);
        if page["has_more"] == false {
            break;
        }
    }
    assert_eq!(seen, begun);
    for (filter, count) in [
        ("status=delivered", 3),
        ("status=failed", 0),
        ("sku=tg", 3),
        ("sku=wa", 0),
        ("sku=tg&status=queued", 0),
    ] {
        let found = get(&shop, &format!("/admin/redemptions?{filter}")).await;
        assert_eq!(found["data"].as_array().unwrap().len(), count, "{filter}");
    }
    for bad in ["limit=0", "status=lost", "starting_after=x", "sku=a%20b"] {
        let path = format!("/admin/redemptions?{bad}");
        shop.admin(Method::GET, &path, None).await.problem(400, "invalid-request");
    }
}

#[tokio::test(start_paused = true)]
async fn a_redemptions_trail_has_its_books() {
    let shop = Shop::open().await;
    let (id, code) = shop.redemption("delivered").await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    let order = shop.supplier.orders()[0].order.clone();
    let trail = get(&shop, &format!("/admin/redemptions/{id}")).await;
    let voucher = shop.lookup(&code).await;
    assert_eq!((&trail["id"], &trail["voucher_id"]), (&json!(id), &voucher["id"]));
    assert_eq!(
        (&trail["status"], &trail["price"], &trail["currency"]),
        (&json!("delivered"), &json!("0.80"), &json!("USD"))
    );
    assert_eq!(trail["attempts"], voucher["redemptions"][0]["attempts"]);
    assert!(trail["attempts"][0]["sms_at"].is_string(), "{trail}");
    assert_eq!(trail["money"], voucher["redemptions"][0]["money"]);
    let money =
        json!({"revenue": "0.80", "cost": "0.12", "loss": "0.00", "margin": "0.68", "currency": "USD"});
    assert_eq!(trail["money"], money);
    let ledger = trail["ledger"].as_array().unwrap();
    let charge = json!({
        "book": "cost", "kind": "charge", "attempt": 1, "plan": "PLAN-X", "supplier": SUPPLIER,
        "supplier_order": order.id.as_str(), "amount": "0.12", "currency": "USD", "value": "0.12",
    });
    assert!(ledger.contains(&charge), "{trail}");
    assert!(ledger.iter().any(|entry| entry["kind"] == "capture" && entry["amount"] == "0.80"), "{trail}");
    let text = trail.to_string();
    assert!(!text.contains("482915") && !text.contains(order.phone.reveal()), "{trail}");
    for path in ["rdm_00000000000000000000000000", "x", "rdm_00000000000000000000000000/explain"] {
        shop.admin(Method::GET, &format!("/admin/redemptions/{path}"), None).await.problem(404, "not-found");
    }
}

#[tokio::test(start_paused = true)]
async fn every_choice_explains_itself_and_can_be_made_again() {
    let mut setup = Setup::default();
    let second = mintcode_core::sku::Plan {
        id: mintcode_core::testing::sample::plan_id("PLAN-Y"),
        operator: "other".to_owned(),
        priority: 20,
        ..setup.sku.plans[0].clone()
    };
    setup.sku.plans.push(second);
    setup.line = Line { stock: 0, ..Line::default() };
    let shop = Shop::of(setup).await;
    shop.supplier.stock(COUNTRY, "other", Line::default());
    let (id, _) = shop.redemption("delivered").await;
    let explained = get(&shop, &format!("/admin/redemptions/{id}/explain")).await;
    assert_eq!(explained["object"], "list");
    let choices = explained["data"].as_array().unwrap();
    let plans: Vec<_> = choices.iter().map(|choice| (&choice["choice"], &choice["plan"])).collect();
    assert_eq!(
        plans,
        [(&json!("next"), &json!("PLAN-X")), (&json!("next"), &json!("PLAN-Y"))],
        "{explained}"
    );
    for choice in choices {
        assert_eq!(choice["holds"], true, "{choice}");
        assert_eq!(choice["stored"], choice["replayed"]);
        let stored: Value = serde_json::from_str(choice["stored"].as_str().unwrap()).unwrap();
        assert_eq!((&stored["question"], &stored["at"]), (&choice["question"], &choice["at"]));
        assert_eq!(stored["answer"]["reason"], choice["reason"]);
    }
    assert!(choices[1]["reason"].as_str().unwrap().contains("PLAN-X (out of stock)"), "{explained}");
}

#[tokio::test(start_paused = true)]
async fn an_operator_stops_a_redemption() {
    let shop = Shop::of(Setup { line: silent(), ..Setup::default() }).await;
    let (id, code) = shop.redemption("waiting_sms").await;
    let cancel = format!("/admin/redemptions/{id}/cancel");
    let stopped = shop.admin(Method::POST, &cancel, None).await;
    assert_eq!((stopped.status.as_u16(), stopped.id()), (202, id.clone()), "{stopped:?}");
    shop.until(&id, "cancelled").await;
    assert_eq!(shop.lookup(&code).await["state"], "retryable_failed", "the voucher stays good");
    shop.admin(Method::POST, &cancel, None).await.problem(409, "action-not-allowed");
}

#[tokio::test(start_paused = true)]
async fn the_stats_add_up() {
    let shop = Shop::open().await;
    for _ in 0..2 {
        shop.redemption("delivered").await;
    }
    shop.supplier.stock(COUNTRY, OPERATOR, silent());
    shop.redemption("failed").await;
    shop.supplier.stock(COUNTRY, OPERATOR, Line { stock: 0, ..Line::default() });
    shop.redemption("failed").await;
    tokio::time::sleep(Duration::from_secs(300)).await;

    let stats = get(&shop, "/admin/stats").await;
    let sums = json!({"delivered": 2, "revenue": "1.60", "cost": "0.24", "loss": "0.00", "margin": "1.36"});
    let totals = and(&sums, &json!({"orphan_loss": "0.00"}));
    assert_eq!((&stats["currency"], &stats["totals"]), (&json!("USD"), &totals));
    let today = shop.app.clock.now().date_naive();
    assert_eq!(stats["days"], json!([and(&totals, &json!({"day": today}))]));
    assert_eq!(stats["skus"], json!([and(&sums, &json!({"sku": "tg"}))]));
    let mut plan = stats["plans"][0].clone();
    let sms_after = plan["sms_after_seconds"].take().as_f64().unwrap();
    assert!((4.0..15.0).contains(&sms_after), "{stats}");
    let attempts = json!({
        "sku": "tg", "plan": "PLAN-X", "attempts": 4, "numbers": 3, "out_of_stock": 1, "with_sms": 2,
        "success_rate": 0.6667, "sms_after_seconds": null,
    });
    assert_eq!(plan, and(&sums, &attempts));

    let empty = json!({
        "delivered": 0, "revenue": "0.00", "cost": "0.00", "loss": "0.00", "orphan_loss": "0.00", "margin": "0.00",
    });
    let before = get(&shop, "/admin/stats?from=2020-01-01&to=2020-01-31").await;
    assert_eq!((&before["totals"], &before["plans"], &before["days"]), (&empty, &json!([]), &json!([])));
    assert_eq!(
        (&before["from"], &before["to"]),
        (&json!("2020-01-01T00:00:00Z"), &json!("2020-02-01T00:00:00Z"))
    );
    assert_eq!(get(&shop, &format!("/admin/stats?from={today}&to={today}")).await["totals"], totals);
    for bad in ["from=soon", "to=2020-13-01", "from=2020-01-02&to=2020-01-01T00:00:00Z"] {
        shop.admin(Method::GET, &format!("/admin/stats?{bad}"), None).await.problem(400, "invalid-request");
    }
}

/// `one` with the members of `other`.
fn and(one: &Value, other: &Value) -> Value {
    let mut all = one.as_object().unwrap().clone();
    all.extend(other.as_object().unwrap().clone());
    Value::from(all)
}

#[tokio::test(start_paused = true)]
async fn what_an_order_that_nobody_knew_of_has_cost_lessens_the_margin() {
    let shop = Shop::open().await;
    shop.redemption("delivered").await;
    let now = shop.app.clock.now();
    // One was charged, the other one taken back.
    let found = [("9001", OrderStatus::Finished), ("9002", OrderStatus::Cancelled)].map(|(id, status)| {
        let order = Order {
            id: OrderId::new(id),
            phone: Phone::new("+255700000000"),
            price: "0.15".parse().unwrap(),
            created_at: now - Duration::from_secs(600),
            expires_at: now + Duration::from_secs(300),
        };
        let sight = Sight { status, messages: Vec::new() };
        let (product, country, operator) = ("telegram".to_owned(), COUNTRY.to_owned(), OPERATOR.to_owned());
        let listed = ListedOrder { order, product, country, operator, sight };
        let supplier = SupplierName::new(SUPPLIER).unwrap();
        // A unit of the supplier's currency is worth two of the selling one.
        Orphan::found(&supplier, listed, Currency::USD, "2".parse().unwrap(), now)
    });
    let claimed = shop.storage.claim_orphans(found.to_vec(), now).await.unwrap();
    assert_eq!(claimed.len(), 2);

    tokio::time::sleep(Duration::from_secs(1)).await;
    let stats = get(&shop, "/admin/stats").await;
    let sums = json!({"delivered": 1, "revenue": "0.80", "cost": "0.12", "loss": "0.00", "margin": "0.68"});
    let totals = and(&sums, &json!({"orphan_loss": "0.30", "margin": "0.38"}));
    assert_eq!(stats["totals"], totals);
    assert_eq!(stats["days"], json!([and(&totals, &json!({"day": now.date_naive()}))]));
    assert_eq!(stats["skus"], json!([and(&sums, &json!({"sku": "tg"}))]), "it belongs to no SKU");
    let before = get(&shop, "/admin/stats?from=2020-01-01&to=2020-01-31").await;
    assert_eq!(before["totals"]["orphan_loss"], "0.00");
}

#[tokio::test(start_paused = true)]
async fn a_redemption_in_quarantine_is_taken_over_again_once_it_is_resumed() {
    let shop = Shop::of(Setup { line: silent(), ..Setup::default() }).await;
    let (id, _) = shop.redemption("waiting_sms").await;
    let resume = format!("/admin/redemptions/{id}/resume");
    shop.admin(Method::POST, &resume, None).await.problem(409, "action-not-allowed");

    // Its worker dies once too often.
    shop.running.kill();
    for dead in shop.storage.workers().await.unwrap() {
        assert!(shop.storage.strike_off(dead).await.unwrap());
    }
    let now = shop.app.clock.now();
    let worker = WorkerId::draw(&SeededEntropy::new(11));
    shop.storage.enlist(worker, false, now).await.unwrap();
    let adopt = Adopt { worker, limit: 10, most_takeovers: 0, now };
    assert_eq!(shop.storage.adopt(adopt).await.unwrap(), []);
    let alerts = get(&shop, "/admin/alerts?open=true").await;
    assert_eq!(alerts["data"][0]["kind"], "quarantined", "{alerts}");
    assert_eq!(shop.storage.adopt(Adopt { most_takeovers: 3, ..adopt }).await.unwrap(), []);

    let resumed = shop.admin(Method::POST, &resume, None).await;
    assert_eq!((resumed.status.as_u16(), resumed.id()), (200, id.clone()), "{resumed:?}");
    assert_eq!(get(&shop, "/admin/alerts?open=true").await["data"], json!([]));
    let adopted = shop.storage.adopt(Adopt { most_takeovers: 3, ..adopt }).await.unwrap();
    assert_eq!(adopted.iter().map(|it| it.id.to_string()).collect::<Vec<_>>(), [id]);

    shop.admin(Method::POST, &resume, None).await.problem(409, "action-not-allowed");
    for unknown in ["rdm_00000000000000000000000000", "x"] {
        let path = format!("/admin/redemptions/{unknown}/resume");
        shop.admin(Method::POST, &path, None).await.problem(404, "not-found");
    }
}

#[tokio::test(start_paused = true)]
async fn accounts_and_sources_are_shown_as_they_stand() {
    let shop = Shop::of(Setup { line: silent(), ..Setup::default() }).await;
    shop.redemption("failed").await;
    let suppliers = get(&shop, "/admin/suppliers").await;
    assert_eq!(suppliers["data"].as_array().unwrap().len(), 1, "{suppliers}");
    let supplier = &suppliers["data"][0];
    let account = (&supplier["name"], &supplier["balance"], &supplier["currency"], &supplier["rating"]);
    assert_eq!(account, (&json!(SUPPLIER), &json!("100.00"), &json!("USD"), &json!(96.0)));
    let standing = (&supplier["given_back_10m"], &supplier["standing"], &supplier["paused_until"]);
    assert_eq!(standing, (&json!(1), &json!("open"), &json!(null)));
    assert!(supplier["seen_at"].is_string(), "{supplier}");
    let source = json!({
        "product": "telegram", "country": COUNTRY, "operator": OPERATOR, "tries": 1, "empty": 0, "state": "on",
        "until": null, "why": null, "dear_price": null, "last_numbers": 1, "silent_numbers": 1, "is_silent": false,
    });
    assert_eq!(supplier["sources"], json!([source]));
}

#[tokio::test(start_paused = true)]
async fn alerts_are_listed_and_acknowledged() {
    let shop = Shop::open().await;
    assert_eq!(get(&shop, "/admin/alerts").await["data"], json!([]));
    shop.supplier.stop_sales(Some(Stop::Balance));
    let (id, _) = shop.redemption("failed").await;
    let seen = shop.get(&format!("/redeem/{id}")).await.value();
    assert_eq!(seen["failure"]["type"], "contact_support");
    let trail = get(&shop, &format!("/admin/redemptions/{id}")).await;
    assert_eq!(trail["failure"], json!({"type": "contact_support", "stop": "balance"}));

    let alerts = get(&shop, "/admin/alerts?open=true").await;
    let alert = &alerts["data"][0];
    assert_eq!((&alert["kind"], &alert["supplier"]), (&json!("balance_empty"), &json!(SUPPLIER)), "{alerts}");
    assert!(alert["raised_at"].is_string() && alert["cleared_at"].is_null(), "{alert}");
    let path = format!("/admin/alerts/{}", alert["id"]);
    assert_eq!(shop.admin(Method::DELETE, &path, None).await.status, 204);
    assert_eq!(get(&shop, "/admin/alerts?open=true").await["data"], json!([]));
    assert!(get(&shop, "/admin/alerts").await["data"][0]["cleared_at"].is_string());
    for gone in [path.as_str(), "/admin/alerts/999", "/admin/alerts/x"] {
        shop.admin(Method::DELETE, gone, None).await.problem(404, "not-found");
    }
    for bad in ["open=maybe", "limit=0"] {
        shop.admin(Method::GET, &format!("/admin/alerts?{bad}"), None).await.problem(400, "invalid-request");
    }
}

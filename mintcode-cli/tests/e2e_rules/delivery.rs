//! SMS received = fulfilled = charged, once.

use reqwest::Method;
use serde_json::{Value, json};

use crate::scene::{Scene, at, counts, line, millis, money, sku, supply};

const AT_ONCE: &str = r#"further_sms = "0s""#;

#[tokio::test]
async fn a_delivered_code_is_charged_once_and_its_order_is_finished() {
    let scenario = supply(&[line("good", "0.12", "")]);
    let scene = Scene::open(&[sku("tg", AT_ONCE, &["A good 0.10 0.20"])], &scenario, &[]);
    let (customer, stranger) = (scene.customer(1), scene.customer(2));
    let code = scene.mint("tg").await;

    let begun = customer.post(&code).await.done(202);
    let id = begun["id"].as_str().unwrap();
    assert_eq!((&begun["redemptions_left"], &begun["code"]), (&json!(3), &Value::Null), "{begun}");
    assert_eq!(customer.result(id).await.refused(409, "not-ready"), Some(2));
    assert_eq!(stranger.post(&code).await.refused(409, "voucher-busy"), None);
    assert_eq!(customer.post(&code).await.done(200)["id"], id, "the same holder gets the same redemption");
    let waiting = customer.status(id, "waiting_sms").await;
    let delivered = customer.end(id).await;

    let books = scene.audit().await;
    assert_eq!(books["counts"], counts(1, 1, 0));
    assert_eq!((&books["opening_balance"], &books["balance"]), (&json!("1000.00"), &json!("999.88")));
    assert_eq!((&books["calls"]["buy"], &books["calls"]["finish"]), (&json!(1), &json!(1)), "{books}");
    assert_eq!(books["calls"]["cancel"], Value::Null, "{books}");
    let (order, sms) = (&books["orders"][0], &books["orders"][0]["sms"][0]);
    let shown = [&waiting["phone"], &delivered["phone"], &delivered["code"], &delivered["text"]];
    assert_eq!(shown, [&order["phone"], &order["phone"], &sms["code"], &sms["text"]], "{delivered}");
    assert_eq!((&delivered["status"], &delivered["redemptions_left"]), (&json!("delivered"), &json!(3)));
    assert_eq!(delivered["failure"], Value::Null);
    let result = customer.result(id).await.done(200);
    let shown = [&result["code"], &result["text"], &result["phone"], &result["messages"][0]["code"]];
    assert_eq!(shown, [&sms["code"], &sms["text"], &order["phone"], &sms["code"]], "{result}");
    assert_eq!(result["messages"].as_array().unwrap().len(), 1, "{result}");
    assert_eq!(customer.saw(id).await, ["queued", "ordering", "waiting_sms", "delivered"]);

    let voucher = scene.lookup(&code).await;
    assert_eq!(voucher["state"], "fulfilled", "{voucher}");
    assert_eq!(scene.trail(&code).await, "A delivered 0.12 finished");
    assert_eq!(voucher["redemptions"][0]["money"], money("0.80", "0.12", "0.00", "0.68"));
    assert_eq!(customer.post(&code).await.done(200)["code"], sms["code"], "shown again to its holder");
    assert_eq!(stranger.post(&code).await.refused(410, "voucher-used"), None);
    assert_eq!(scene.books().await["counts"], counts(1, 1, 0), "coming back buys nothing");
}

#[tokio::test]
async fn a_second_code_replaces_the_first_while_the_number_is_kept_open() {
    let scenario = supply(&[line("twice", "0.12", "messages = 2\nsms_every = \"1s\"")]);
    let policy = r#"further_sms = "3s""#;
    let scene = Scene::open(&[sku("tg", policy, &["A twice 0.10 0.20"])], &scenario, &[]);
    let (customer, code) = (scene.customer(1), scene.mint("tg").await);
    let id = customer.redeem(&code).await;
    let first = customer.end(&id).await;
    let second = customer.when(&id, |seen| seen["code"] != first["code"]).await;
    assert_eq!(scene.books().await["counts"]["open"], 1, "the number is still alive");

    let books = scene.audit().await;
    assert_eq!((&books["counts"], &books["calls"]["finish"]), (&counts(1, 1, 0), &json!(1)), "{books}");
    let (order, sms) = (&books["orders"][0], &books["orders"][0]["sms"]);
    assert_eq!((&first["status"], &first["code"]), (&json!("delivered"), &sms[0]["code"]), "{first}");
    assert_eq!((&second["status"], &second["code"]), (&json!("delivered"), &sms[1]["code"]), "{second}");
    let kept_open = millis(at(&sms[0], "received_at"), at(order, "closed_at"));
    assert!((3_000..6_000).contains(&kept_open), "{order}");
    let result = customer.result(&id).await.done(200);
    assert_eq!(
        (&result["code"], result["messages"].as_array().unwrap().len()),
        (&sms[1]["code"], 2),
        "{result}"
    );
    let voucher = scene.lookup(&code).await;
    assert_eq!(scene.trail(&code).await, "A delivered 0.12 finished");
    assert_eq!(voucher["redemptions"][0]["money"], money("0.80", "0.12", "0.00", "0.68"));
}

#[tokio::test]
async fn a_message_without_a_code_waits_for_one_and_is_delivered_as_text_at_the_end() {
    let scenario = supply(&[
        line("chatty", "0.12", r#"texts = ["Welcome to Telegram!"]"#),
        line(
            "late",
            "0.13",
            "messages = 2\nsms_every = \"500ms\"\ntexts = [\"Welcome!\", \"Telegram code: {code}\"]",
        ),
        line("good", "0.14", ""),
    ]);
    let policy = "further_sms = \"0s\"\nmax_duration = \"3s\"";
    let skus = [
        sku("text", policy, &["A chatty 0.10 0.20"]),
        sku("late", policy, &["A late 0.10 0.20"]),
        sku("found", policy, &["A good 0.10 0.20"]),
    ];
    let scene = Scene::open(&skus, &scenario, &[]);
    let customer = scene.customer(1);
    scene.fault(json!({ "name": "sms_without_code" })).await;
    let (found, late, text) = (scene.mint("found").await, scene.mint("late").await, scene.mint("text").await);
    let found = customer.redeem(&found).await;
    // The fault strikes the next purchase, which has to be that one.
    customer.status(&found, "waiting_sms").await;
    let (late, text) = (customer.redeem(&late).await, customer.redeem(&text).await);
    let found = customer.end(&found).await;
    let (head, tail) = ("Telegram code: ", "\nYou can also");
    let written = found["text"].as_str().unwrap();
    assert_eq!(&written[head.len() + 5..][..tail.len()], tail, "{found}");
    assert_eq!(found["code"], written[head.len()..][..5], "the supplier told no code, its text does");

    let late = customer.end(&late).await;
    assert_eq!(late["text"], format!("Telegram code: {}", late["code"].as_str().unwrap()), "{late}");
    let waiting = customer.look(&text).await;
    assert_eq!((&waiting["status"], &waiting["text"]), (&json!("waiting_sms"), &Value::Null), "{waiting}");
    let ended = customer.end(&text).await;
    let seen = [&ended["status"], &ended["code"], &ended["text"]];
    assert_eq!(seen, [&json!("delivered"), &Value::Null, &json!("Welcome to Telegram!")], "{ended}");
    assert!(at(&ended, "updated_at") >= at(&ended, "deadline"), "{ended}");
    let result = customer.result(&text).await.done(200);
    assert_eq!((&result["code"], &result["messages"][0]["text"]), (&Value::Null, &ended["text"]), "{result}");

    let books = scene.audit().await;
    assert_eq!((&books["counts"], &books["balance"]), (&counts(3, 3, 0), &json!("999.61")), "{books}");
    assert_eq!(books["orders"][0]["sms"][0]["code"], Value::Null, "{books}");
    assert_eq!(books["orders"][1]["sms"][1]["code"], late["code"], "{books}");
}

#[tokio::test]
async fn what_a_supplier_charges_in_its_own_currency_costs_what_the_rate_says() {
    let scenario = supply(&[line("silent", "0.10", "messages = 0"), line("good", "0.12", "")]);
    let policy = "further_sms = \"0s\"\nmax_duration = \"8s\"";
    let plans = ["A silent 0.10 0.20", "B good 0.12 0.20"];
    let euros = [("SUPPLIER_CURRENCY", "EUR"), ("RATES_EUR", "1.25")];
    let mut scene = Scene::open(&[sku("tg", policy, &plans)], &scenario, &euros);
    scene.rate = 125;
    let (customer, code) = (scene.customer(1), scene.mint("tg").await);
    let id = customer.redeem(&code).await;
    customer.status(&id, "waiting_sms").await;
    customer.press(&id, "replace").await.done(202);
    assert_eq!(customer.end(&id).await["status"], "delivered");
    let books = scene.audit().await;
    assert_eq!((&books["counts"], &books["balance"]), (&counts(2, 1, 1), &json!("999.88")), "{books}");
    let voucher = scene.lookup(&code).await;
    assert_eq!(scene.trail(&code).await, "A replaced 0.10 cancelled, B delivered 0.12 finished");
    assert_eq!(voucher["redemptions"][0]["attempts"][1]["currency"], "EUR", "{voucher}");
    assert_eq!(voucher["redemptions"][0]["money"], money("0.80", "0.15", "0.00", "0.65"));
    let shown = scene.admin(Method::GET, &format!("redemptions/{id}"), None).await.done(200);
    let costs = shown["ledger"].as_array().unwrap().iter().filter(|entry| entry["book"] == "cost");
    let told = |entry: &Value| ["kind", "amount", "currency", "value"].map(|name| entry[name].clone());
    let expected = [
        ["charge", "0.10", "EUR", "0.125"],
        ["refund", "0.10", "EUR", "0.125"],
        ["charge", "0.12", "EUR", "0.15"],
    ];
    let costs: Vec<_> = costs.map(told).collect();
    assert_eq!(costs, expected.map(|entry| entry.map(|word| json!(word))));
}

//! Rate limits, timeouts and network trouble: the same plan again, later, and never a second purchase.

use reqwest::Method;
use serde_json::{Value, json};

use crate::command::mintcode;
use crate::scene::{Scene, at, attempts, counts, failed, line, millis, sku, supply, until};
use crate::server::Server;

const PATIENT: &str = "further_sms = \"0s\"\nmax_duration = \"12s\"";

fn lines() -> String {
    supply(&[line("good", "0.10", ""), line("spare", "0.12", "")])
}

#[tokio::test]
async fn a_throttled_purchase_waits_as_long_as_it_is_told_and_tries_the_same_plan_again() {
    let plans = ["A good 0.10 0.20", "B spare 0.12 0.20"];
    let skus = [sku("tg", PATIENT, &plans), sku("hasty", "max_duration = \"3s\"\ncooldown = \"5s\"", &plans)];
    let backoff = [("ENGINE_BACKOFF_MIN", "1100ms"), ("ENGINE_BACKOFF_MAX", "1300ms")];
    let scene = Scene::open(&skus, &lines(), &backoff);
    let customer = scene.customer(1);
    let told = json!({ "name": "throttle_429", "route": "buy", "retry_after": "2s" });
    let untold = json!({ "name": "throttle_429", "route": "buy" });
    for (fault, pauses) in [(untold, 1_100..=1_300), (told, 2_000..=2_000)] {
        let code = scene.mint("tg").await;
        scene.fault(fault).await;
        let id = customer.redeem(&code).await;
        let cooling = customer.status(&id, "cooling_down").await;
        assert_eq!((&cooling["phone"], &cooling["redemptions_left"]), (&Value::Null, &json!(3)), "{cooling}");
        let resumes_at = at(&cooling, "resumes_at");
        let pause = millis(at(&cooling, "updated_at"), resumes_at);
        assert!(pauses.contains(&pause), "{pause} ms are not {pauses:?}: {cooling}");
        assert_eq!(customer.end(&id).await["status"], "delivered");
        scene.audit().await;
        let voucher = scene.lookup(&code).await;
        assert_eq!(scene.trail(&code).await, "A throttled, A delivered 0.10 finished");
        assert!(at(&attempts(&voucher)[1], "started_at") >= resumes_at, "{voucher}");
        let statuses = ["queued", "ordering", "cooling_down", "ordering", "waiting_sms", "delivered"];
        assert_eq!(customer.saw(&id).await, statuses);
    }

    // A pause that leaves no time for a number ends the redemption, and no other plan is tried.
    let code = scene.mint("hasty").await;
    scene.fault(json!({ "name": "throttle_429", "route": "buy", "retry_after": "60s" })).await;
    let id = customer.redeem(&code).await;
    let ended = customer.end(&id).await;
    failed(&ended, "temporarily_unavailable", true, Some(5));
    assert_eq!(ended["redemptions_left"], 3, "{ended}");
    assert_eq!(scene.trail(&code).await, "A throttled");
    let books = scene.audit().await;
    assert_eq!((&books["counts"], &books["calls"]["buy"]), (&counts(2, 2, 0), &json!(5)), "{books}");
}

#[tokio::test]
async fn a_purchase_whose_answer_is_lost_is_looked_for_and_never_made_twice() {
    let cases = [
        ("first", json!({ "name": "buy_refused_before" }), "A absent, A delivered 0.10 finished"),
        ("second", json!({ "name": "buy_answer_lost" }), "A delivered 0.10 finished"),
        (
            "third",
            json!({ "name": "server_error_500", "route": "buy", "after_work": true }),
            "A delivered 0.10 finished",
        ),
    ];
    let skus: Vec<_> = cases
        .iter()
        .map(|(name, ..)| sku(name, PATIENT, &[&format!("A {name} 0.10 0.20"), "B spare 0.12 0.20"]))
        .collect();
    let lines = ["first", "second", "third", "spare"].map(|name| line(name, "0.10", "sms_after = \"2s\""));
    let quick = [("ENGINE_BUY_TIMEOUT", "500ms"), ("ENGINE_SETTLE_TIME", "700ms")];
    let scene = Scene::open(&skus, &supply(&lines), &quick);
    let customer = scene.customer(1);
    let (mut vouchers, mut begun) = (Vec::new(), Vec::new());
    for (name, ..) in &cases {
        vouchers.push(scene.mint(name).await);
    }
    for (number, ((_, fault, expected), code)) in (1..).zip(cases.into_iter().zip(vouchers)) {
        scene.fault(fault).await;
        let id = customer.redeem(&code).await;
        until(async || {
            let calls = scene.books().await["calls"].clone();
            if calls["buy"].as_u64() >= Some(number) { Ok(()) } else { Err(format!("{calls}")) }
        })
        .await;
        assert_eq!(customer.status(&id, "ordering").await["redemptions_left"], 3);
        begun.push((id, code, expected));
    }
    let (id, ..) = &begun[0];
    customer.press(id, "replace").await.refused(409, "action-not-allowed");
    for (id, ..) in &begun {
        assert_eq!(customer.end(id).await["status"], "delivered");
    }
    let books = scene.audit().await;
    assert_eq!((&books["counts"], &books["calls"]["buy"]), (&counts(3, 3, 0), &json!(4)), "{books}");
    for (id, code, expected) in begun {
        assert_eq!(scene.trail(&code).await, expected);
        assert_eq!(customer.saw(&id).await, ["queued", "ordering", "waiting_sms", "delivered"]);
    }
}

#[tokio::test]
async fn while_the_supplier_cannot_be_reached_the_same_plan_is_tried_again_and_nothing_is_used_up() {
    let plans = ["A good 0.10 0.20", "B spare 0.12 0.20"];
    let policy = format!("{PATIENT}\nmax_buys = 1");
    let mut scene = Scene::open(&[sku("tg", &policy, &plans)], &lines(), &[]);
    let code = scene.mint("tg").await;
    let address = scene.shop.simulator.url().trim_start_matches("http://").replace("/v1", "");
    scene.shop.simulator.signal("KILL");
    let id = scene.customer(1).redeem(&code).await;
    scene.customer(1).status(&id, "cooling_down").await;

    let arguments = ["simulator", "--json", "--listen", &address, "--scenario", "scenario.toml"];
    let mut command = mintcode(scene.shop.path(), arguments);
    scene.shop.simulator = Server::start(command.env("MINTCODE_SUPPLIER_API_KEY", "the key"));
    let delivered = scene.customer(1).end(&id).await;
    assert_eq!((&delivered["status"], &delivered["redemptions_left"]), (&json!("delivered"), &json!(3)));
    let books = scene.audit().await;
    assert_eq!((&books["counts"], &books["calls"]["buy"]), (&counts(1, 1, 0), &json!(1)), "{books}");
    let trail = scene.trail(&code).await;
    let not_sent = trail.strip_suffix("A delivered 0.10 finished").unwrap_or_else(|| panic!("{trail}"));
    let times = not_sent.matches("A not_sent, ").count();
    assert_eq!((times > 0, not_sent), (true, &*"A not_sent, ".repeat(times)), "{trail}");
}

#[tokio::test]
async fn a_purchase_that_comes_to_light_after_the_deadline_goes_back_unseen() {
    let policy = "max_duration = \"1s\"\ncooldown = \"5s\"";
    let skus = ["first", "second"].map(|name| sku(name, policy, &[&format!("A {name} 0.10 0.20")]));
    let lines = ["first", "second"].map(|name| line(name, "0.10", "sms_after = \"9s\""));
    let quick = [("ENGINE_BUY_TIMEOUT", "500ms"), ("ENGINE_SETTLE_TIME", "700ms")];
    let scene = Scene::open(&skus, &supply(&lines), &quick);
    let customer = scene.customer(1);
    let (sold, unsold) = (scene.mint("first").await, scene.mint("second").await);
    scene.fault(json!({ "name": "buy_answer_lost" })).await;
    let first = customer.redeem(&sold).await;
    until(async || {
        let books = scene.books().await;
        if books["counts"]["sold"] == 1 { Ok(()) } else { Err(format!("{books}")) }
    })
    .await;
    scene.fault(json!({ "name": "buy_refused_before" })).await;
    let second = customer.redeem(&unsold).await;
    for (id, statuses) in [
        (first, &["queued", "ordering", "releasing", "failed"][..]),
        (second, &["queued", "ordering", "failed"]),
    ] {
        let ended = customer.end(&id).await;
        failed(&ended, "deadline", true, Some(5));
        assert_eq!((&ended["redemptions_left"], &ended["phone"]), (&json!(3), &Value::Null), "{ended}");
        assert_eq!(customer.saw(&id).await, statuses);
    }
    let books = scene.audit().await;
    assert_eq!((&books["counts"], &books["calls"]["buy"]), (&counts(1, 0, 1), &json!(2)), "{books}");
    assert_eq!(scene.trail(&sold).await, "A late 0.10 cancelled");
    assert_eq!(scene.trail(&unsold).await, "A absent");
}

#[tokio::test]
async fn on_a_shared_account_a_lost_purchase_is_left_alone_and_its_cost_is_put_on_hold() {
    let policy = "max_duration = \"1s\"\ncooldown = \"5s\"";
    let shared = [("SUPPLIER_EXCLUSIVE_ACCOUNT", "false")];
    let scene =
        Scene::open(&[sku("tg", policy, &["A good 0.10 0.20", "B spare 0.12 0.20"])], &lines(), &shared);
    let (customer, code) = (scene.customer(1), scene.mint("tg").await);
    scene.fault(json!({ "name": "buy_refused_before" })).await;
    let id = customer.redeem(&code).await;
    let ended = customer.end(&id).await;
    failed(&ended, "temporarily_unavailable", true, Some(5));
    assert_eq!(ended["redemptions_left"], 3, "{ended}");
    assert_eq!(scene.trail(&code).await, "A unresolved");
    scene.alerts_come_to(&["purchase_unresolved"]).await;
    let shown = scene.admin(Method::GET, &format!("redemptions/{id}"), None).await.done(200);
    let entry = |entry: &Value| [&entry["book"], &entry["kind"], &entry["amount"]].map(Clone::clone);
    let ledger: Vec<_> = shown["ledger"].as_array().unwrap().iter().map(entry).collect();
    let expected = [["sale", "hold", "0.80"], ["cost", "hold", "0.20"], ["sale", "release", "0.80"]];
    for entry in expected {
        assert!(ledger.contains(&entry.map(|word| json!(word))), "{entry:?} in {ledger:?}");
    }
    assert_eq!(ledger.len(), 3, "{ledger:?}");
    let books = scene.audit().await;
    assert_eq!((&books["counts"], &books["calls"]["buy"]), (&counts(0, 0, 0), &json!(1)), "{books}");
}

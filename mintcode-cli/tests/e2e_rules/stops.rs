//! What only the operator can mend: the redemption stops at once, costs no try, and the operator is told.

use reqwest::Method;
use serde_json::{Value, json};

use crate::scene::{Scene, counts, failed, line, sku, supply};

const AT_ONCE: &str = r#"further_sms = "0s""#;

async fn stop(scene: &Scene, id: &str) -> Value {
    scene.admin(Method::GET, &format!("redemptions/{id}"), None).await.done(200)["failure"]["stop"].clone()
}

#[tokio::test]
async fn a_refused_key_an_empty_balance_and_wrong_parameters_call_for_support_until_they_are_mended() {
    let lines = [line("good", "0.10", ""), line("spare", "0.12", "")];
    let skus = [
        sku("tg", AT_ONCE, &["A good 0.10 0.20", "B spare 0.12 0.20"]),
        sku("odd", AT_ONCE, &["A unheard 0.10 0.20", "B spare 0.12 0.20"]),
    ];
    let site = [("SITE_SUPPORT_CONTACT", "help@shop.example")];
    let scene = Scene::open(&skus, &supply(&lines), &site);
    let customer = scene.customer(1);
    let troubles = [("bad_key", "key", "key_refused"), ("not_enough_balance", "balance", "balance_empty")];
    let odd = scene.mint("odd").await;
    for (fault, reason, alert) in troubles {
        let code = scene.mint("tg").await;
        scene.fault(json!({ "name": fault, "route": "buy" })).await;
        let id = customer.redeem(&code).await;
        let ended = customer.end(&id).await;
        failed(&ended, "contact_support", false, None);
        assert_eq!(ended["redemptions_left"], 3, "{ended}");
        assert!(ended["failure"]["detail"].as_str().unwrap().contains("help@shop.example"), "{ended}");
        assert_eq!(customer.saw(&id).await, ["queued", "ordering", "failed"]);
        assert_eq!(stop(&scene, &id).await, reason);
        assert_eq!(scene.trail(&code).await, "A stopped");
        scene.alerts_come_to(&[alert]).await;

        // Nothing holds the customer back once it is mended, and a purchase that goes through shows that it is.
        let again = customer.press(&id, "retry").await.begun();
        assert_eq!(customer.end(&again).await["status"], "delivered");
        scene.alerts_come_to(&[]).await;
        assert_eq!(scene.trail(&code).await, "A stopped, A delivered 0.10 finished");
    }

    let id = customer.redeem(&odd).await;
    failed(&customer.end(&id).await, "contact_support", false, None);
    assert_eq!(stop(&scene, &id).await, "parameters");
    assert_eq!(scene.trail(&odd).await, "A stopped");
    scene.alerts_come_to(&["parameters_refused"]).await;
    let alerts = scene.admin(Method::GET, "alerts?open=true", None).await.done(200);
    assert_eq!(alerts["data"][0]["source"]["operator"], "unheard", "{alerts}");
    scene.admin(Method::PATCH, "skus/odd/plans/A", Some(json!({ "enabled": false }))).await.done(200);
    let again = customer.redeem(&odd).await;
    assert_eq!(customer.end(&again).await["status"], "delivered");
    let books = scene.audit().await;
    assert_eq!((&books["counts"], &books["calls"]["buy"]), (&counts(3, 3, 0), &json!(6)), "{books}");
    assert_eq!(books["balance"], "999.68", "{books}");
}

#[tokio::test]
async fn below_the_rating_floor_nothing_is_bought() {
    let scenario = format!("rating = \"79\"\nbalance = \"4.00\"\n{}", supply(&[line("good", "0.10", "")]));
    let scene = Scene::open(&[sku("tg", AT_ONCE, &["A good 0.10 0.20"])], &scenario, &[]);
    let (customer, code) = (scene.customer(1), scene.mint("tg").await);
    scene.alerts_come_to(&["balance_low", "rating_low"]).await;
    let id = customer.redeem(&code).await;
    let ended = customer.end(&id).await;
    failed(&ended, "contact_support", false, None);
    assert_eq!(ended["redemptions_left"], 3, "{ended}");
    assert_eq!(stop(&scene, &id).await, "rating");
    let books = scene.audit().await;
    assert_eq!((&books["counts"], &books["calls"]["buy"]), (&counts(0, 0, 0), &Value::Null), "{books}");
    let suppliers = scene.admin(Method::GET, "suppliers", None).await.done(200);
    let account = &suppliers["data"][0];
    let seen = [&account["standing"], &account["rating"], &account["balance"]];
    assert_eq!(seen, [&json!("below_floor"), &json!(79.0), &json!("4.00")], "{account}");
}

#[tokio::test]
async fn a_rating_too_low_for_the_supplier_stops_and_is_told() {
    let scenario = format!("rating = \"0.1\"\n{}", supply(&[line("silent", "0.10", "messages = 0")]));
    let policy = "max_duration = \"1s\"\ncooldown = \"0s\"";
    let floor = [("LIMITS_RATING_FLOOR", "0")];
    let scene = Scene::open(&[sku("tg", policy, &["A silent 0.10 0.20"])], &scenario, &floor);
    let (customer, code) = (scene.customer(1), scene.mint("tg").await);
    // The rating this give-back costs is the last there was.
    let id = customer.redeem(&code).await;
    failed(&customer.end(&id).await, "no_sms", true, None);
    let id = customer.redeem(&code).await;
    let ended = customer.end(&id).await;
    failed(&ended, "contact_support", false, None);
    assert_eq!(
        (stop(&scene, &id).await, &ended["redemptions_left"]),
        (json!("rating"), &json!(2)),
        "{ended}"
    );
    scene.alerts_come_to(&["rating_low", "rating_refused"]).await;
    let books = scene.audit().await;
    assert_eq!((&books["counts"], &books["calls"]["buy"]), (&counts(1, 0, 1), &json!(2)), "{books}");
}

#[tokio::test]
async fn too_many_numbers_given_back_hold_back_purchases_but_use_up_nothing() {
    let scenario = supply(&[line("silent", "0.10", "messages = 0")]);
    let policy = "max_duration = \"1s\"\ncooldown = \"0s\"";
    let budget = [("LIMITS_GIVE_BACKS", "1")];
    let scene = Scene::open(&[sku("tg", policy, &["A silent 0.10 0.20"])], &scenario, &budget);
    let (customer, code, other) = (scene.customer(1), scene.mint("tg").await, scene.mint("tg").await);
    let id = customer.redeem(&code).await;
    failed(&customer.end(&id).await, "no_sms", true, None);
    for refused in
        [customer.post(&code).await, customer.press(&id, "retry").await, customer.post(&other).await]
    {
        let wait = refused.refused(503, "unavailable").unwrap();
        assert!((570..=660).contains(&wait), "{wait} s");
    }
    let (voucher, other) = (scene.lookup(&code).await, scene.lookup(&other).await);
    assert_eq!((&voucher["state"], &other["state"]), (&json!("retryable_failed"), &json!("issued")));
    assert_eq!(voucher["redemptions"].as_array().unwrap().len(), 1, "{voucher}");
    scene.alerts_come_to(&["account_paused", "no_plan_left"]).await;
    let books = scene.audit().await;
    assert_eq!((&books["counts"], &books["calls"]["buy"]), (&counts(1, 0, 1), &json!(1)), "{books}");
    let suppliers = scene.admin(Method::GET, "suppliers", None).await.done(200);
    let account = &suppliers["data"][0];
    assert_eq!(
        (&account["standing"], &account["given_back_10m"]),
        (&json!("paused"), &json!(1)),
        "{account}"
    );
}

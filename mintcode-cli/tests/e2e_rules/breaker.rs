//! A source that is out of stock too often switches itself off, and is then probed with one try.

use reqwest::Method;
use serde_json::{Value, json};

use crate::scene::{Answer, Scene, attempts, counts, failed, line, sku, supply, until};

const AT_ONCE: &str = "further_sms = \"0s\"\ncooldown = \"0s\"";

async fn source(scene: &Scene) -> Value {
    let suppliers = scene.admin(Method::GET, "suppliers", None).await.done(200);
    let sources = suppliers["data"][0]["sources"].as_array().unwrap();
    sources.iter().find(|source| source["operator"] == "good").unwrap().clone()
}

fn off(answer: Answer) {
    let wait = answer.refused(503, "unavailable").unwrap();
    assert!((1..=2).contains(&wait), "{wait} s");
}

#[tokio::test]
async fn a_source_that_is_empty_five_times_is_off_for_all_skus_until_a_probe_finds_stock() {
    let lines = [line("good", "0.10", ""), line("spare", "0.12", "")];
    let skus = [
        sku("one", AT_ONCE, &["A good 0.10 0.20"]),
        sku("two", AT_ONCE, &["A good 0.10 0.20", "B spare 0.12 0.20"]),
    ];
    let scene = Scene::open(&skus, &supply(&lines), &[("ENGINE_BREAKER_OFF", "2s")]);
    let customer = scene.customer(1);
    let (waiting, after) = (scene.mint("one").await, scene.mint("one").await);
    let elsewhere = scene.mint("two").await;
    scene.fault(json!({ "name": "no_free_phones", "times": 5 })).await;
    for number in 1..=5 {
        let code = scene.mint("one").await;
        let ended = customer.end(&customer.redeem(&code).await).await;
        failed(&ended, "out_of_stock", true, None);
        assert_eq!(ended["redemptions_left"], 3, "{ended}");
        assert_eq!(source(&scene).await["empty"], number);
    }

    off(customer.post(&waiting).await);
    let other = customer.redeem(&elsewhere).await;
    assert_eq!(customer.status(&other, "waiting_sms").await["status"], "waiting_sms", "its other plan is on");
    let voucher = scene.lookup(&waiting).await;
    assert_eq!(
        (&voucher["state"], &voucher["redemptions"]),
        (&json!("issued"), &json!([])),
        "nothing is locked"
    );
    let books = scene.books().await;
    assert_eq!((&books["counts"]["sold"], &books["calls"]["buy"]), (&json!(1), &json!(6)), "{books}");
    assert_eq!(source(&scene).await["why"], "empty");
    scene.alerts_come_to(&["no_plan_left", "source_off"]).await;

    let admitted = async |code: &str| {
        let id = until(async || {
            let answer = customer.post(code).await;
            if answer.status == 503 { Err(format!("{answer:?}")) } else { Ok(answer.begun()) }
        });
        customer.end(&id.await).await
    };
    scene.fault(json!({ "name": "no_free_phones" })).await;
    failed(&admitted(&waiting).await, "out_of_stock", true, None);
    let probe = attempts(&scene.lookup(&waiting).await);
    assert_eq!(probe.len(), 1, "{probe:?}");
    assert_eq!((&probe[0]["is_probe"], &probe[0]["outcome"]), (&json!(true), &json!("out_of_stock")));
    off(customer.post(&waiting).await);

    assert_eq!(admitted(&waiting).await["status"], "delivered");
    let tried = attempts(&scene.lookup(&waiting).await);
    assert_eq!((tried.len(), &tried[1]["is_probe"]), (2, &json!(true)), "{tried:?}");
    assert_eq!(source(&scene).await["state"], "on");
    scene.alerts_come_to(&[]).await;
    let ended = customer.end(&customer.redeem(&after).await).await;
    assert_eq!(ended["status"], "delivered");
    assert_eq!(attempts(&scene.lookup(&after).await)[0]["is_probe"], false);
    let books = scene.audit().await;
    assert_eq!((&books["counts"], &books["calls"]["buy"]), (&counts(3, 3, 0), &json!(9)), "{books}");
    assert_eq!(scene.trail(&elsewhere).await, "B delivered 0.12 finished");
}

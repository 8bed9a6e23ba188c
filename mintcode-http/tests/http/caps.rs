//! How often a customer may begin, what is not served, and when a plan may be tried again.

use std::time::Duration;

use axum::body::Body;
use axum::http::Method;
use mintcode_core::guessing::{GuessQuotas, Quota};
use mintcode_core::responsible::DenyList;
use mintcode_core::rules::Rules;
use mintcode_core::testing::Line;
use mintcode_core::velocity::Cap;
use mintcode_http::Site;
use serde_json::json;

use crate::shop::{COUNTRY, OPERATOR, SUPPLIER, Setup, Shop, request, silent};

fn capped(change: impl FnOnce(&mut Rules)) -> Setup {
    let mut rules = Rules::default();
    change(&mut rules);
    Setup { rules, ..Setup::default() }
}

#[tokio::test(start_paused = true)]
async fn a_customer_who_begins_too_many_is_told_for_how_long() {
    let shop = Shop::of(capped(|rules| rules.caps.session = Cap { per_hour: 2, per_day: 3 })).await;
    let codes = shop.mint(5).await;
    let cookie = shop.get("/").await.cookie();
    let own = [("cookie", cookie.as_str())];
    for code in &codes[..2] {
        assert_eq!(shop.redeem(code, &own).await.status, 202);
    }
    let problem = shop.redeem(&codes[2], &own).await.problem(429, "too-many-requests");
    assert_eq!(problem["retryable"], true);
    let wait = problem["retry_after"].as_u64().unwrap();
    assert!((3_590..=3_600).contains(&wait), "{problem}");
    assert_eq!(shop.redeem(&codes[0], &own).await.status, 200, "what runs is not begun again");
    let form = shop.form("/redeem", &format!("code={}", codes[2]), &own).await;
    assert_eq!((form.status.as_u16(), form.header("retry-after")), (429, Some(wait.to_string().as_str())));
    assert!(form.body.contains("Try again in 60 minutes."), "{}", form.body);
    let other = shop.redeem(&codes[3], &[]).await;
    assert_eq!(other.status, 202, "somebody else is not held back");

    tokio::time::sleep(Duration::from_secs(wait)).await;
    assert_eq!(shop.redeem(&codes[2], &own).await.status, 202);
    let daily = shop.redeem(&codes[4], &[("cookie", &cookie), ("accept-language", "zh")]).await;
    let problem = daily.problem(429, "daily-limit");
    assert!(problem["retry_after"].as_u64().unwrap() > 80_000, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("小时后重试"), "{problem}");
}

#[tokio::test(start_paused = true)]
async fn whoever_posts_too_many_wrong_codes_waits_and_a_good_one_is_served_all_the_same() {
    let a_minute = |most| Quota::new(most, Duration::from_mins(1));
    let quotas = GuessQuotas { session: a_minute(2), address: a_minute(3), all: a_minute(1_000) };
    let shop = Shop::of(capped(|rules| rules.guesses = quotas)).await;
    let good = shop.mint_one().await;
    let cookie = shop.get("/").await.cookie();
    let own = [("cookie", cookie.as_str())];
    for wrong in ["no code", ""] {
        shop.redeem(wrong, &own).await.problem(404, "voucher-invalid");
    }
    let answer = shop.redeem("0000", &own).await;
    assert_eq!(answer.header("retry-after"), Some("30"));
    let problem = answer.problem(429, "too-many-requests");
    assert_eq!((&problem["retryable"], &problem["retry_after"]), (&json!(true), &json!(30)));
    let form = shop.form("/redeem", "code=0000", &own).await;
    assert_eq!((form.status.as_u16(), form.header("retry-after")), (429, Some("30")));
    assert_eq!(shop.redeem(&good, &own).await.status, 202);

    // Whoever leaves the cookie at home is counted by address.
    let stranger = async |code: &str| shop.redeem_from("192.0.2.1", code, &[]).await;
    for wrong in ["0000", "1111", "2222"] {
        stranger(wrong).await.problem(404, "voucher-invalid");
    }
    stranger("0000").await.problem(429, "too-many-requests");
    shop.redeem_from("192.0.2.2", "0000", &[]).await.problem(404, "voucher-invalid");
    tokio::time::sleep(Duration::from_secs(20)).await;
    stranger("0000").await.problem(404, "voucher-invalid");
    stranger("0000").await.problem(429, "too-many-requests");
}

#[tokio::test(start_paused = true)]
async fn another_try_counts_for_its_customer_too() {
    let mut setup = capped(|rules| rules.caps.session = Cap { per_hour: 1, per_day: 9 });
    setup.line = silent();
    setup.sku.policy.cooldown = Duration::ZERO;
    let shop = Shop::of(setup).await;
    let code = shop.mint_one().await;
    let first = shop.redeem(&code, &[]).await;
    shop.until(&first.id(), "failed").await;
    let retry = format!("/redeem/{}/retry", first.id());
    let cookie = first.cookie();
    let own = request(Method::POST, &retry, &[("cookie", cookie.as_str())], Body::empty());
    shop.send(own).await.problem(429, "too-many-requests");
}

#[tokio::test(start_paused = true)]
async fn addresses_are_those_of_customers_and_not_of_the_proxy() {
    let mut setup = capped(|rules| rules.caps.address = Cap { per_hour: 1, per_day: 9 });
    setup.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
    let shop = Shop::of(setup).await;
    let codes = shop.mint(8).await;
    let mut codes = codes.iter();
    for (peer, forwarded, begins) in [
        ("192.0.2.1", None, true),
        ("192.0.2.1", None, false),
        // Whoever is no trusted proxy cannot hide behind another address.
        ("192.0.2.1", Some("198.51.100.9"), false),
        ("10.0.0.1", Some("198.51.100.1"), true),
        ("10.0.0.2", Some("9.9.9.9, 198.51.100.1, 10.0.0.1"), false),
        ("10.0.0.1", Some("198.51.100.2"), true),
        ("10.0.0.1", Some("2001:db8:0:1::1"), true),
        ("10.0.0.1", Some("2001:db8:0:1:ffff::2"), false),
    ] {
        let headers: Vec<_> = forwarded.map(|value| ("x-forwarded-for", value)).into_iter().collect();
        let answer = shop.redeem_from(peer, codes.next().unwrap(), &headers).await;
        if begins {
            assert_eq!(answer.status, 202, "{peer} {forwarded:?} {answer:?}");
        } else {
            answer.problem(429, "too-many-requests");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_server_tells_the_router_who_its_peer_is() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let shop = Shop::of(capped(|rules| rules.caps.address = Cap { per_hour: 1, per_day: 9 })).await;
    let codes = shop.mint(2).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(mintcode_http::serve(listener, shop.router.clone(), std::future::pending()));
    for (code, status) in codes.iter().zip(["202", "429"]) {
        let body = json!({ "code": code }).to_string();
        let head = "POST /redeem HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json";
        let request = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    }
    server.abort();
}

#[tokio::test(start_paused = true)]
async fn a_denied_service_is_neither_stored_nor_served() {
    let mut setup = capped(|rules| rules.deny = DenyList::empty().with(["telegram".to_owned()], []));
    setup.site = Site { support_contact: Some("help@example.org".to_owned()), ..Site::default() };
    let shop = Shop::of(setup).await;
    let code = shop.mint_one().await;
    let problem = shop.redeem(&code, &[]).await.problem(403, "not-offered");
    assert_eq!(problem["retryable"], false);
    assert!(problem["detail"].as_str().unwrap().contains("help@example.org"), "{problem}");

    let stored = shop.admin(Method::GET, "/admin/skus/tg", None).await.value();
    let problem =
        shop.admin(Method::PUT, "/admin/skus/tg", Some(&stored)).await.problem(400, "invalid-request");
    assert_eq!(problem["errors"][0]["field"], "product", "{problem}");
    let mut fresh = stored;
    fresh["id"] = json!("other");
    fresh["label"] = json!("OTHER");
    shop.admin(Method::POST, "/admin/skus", Some(&fresh)).await.problem(400, "invalid-request");
    shop.admin(Method::GET, "/admin/skus/other", None).await.problem(404, "not-found");
}

#[tokio::test(start_paused = true)]
async fn with_every_plan_off_by_itself_the_next_probe_is_told() {
    let mut setup = capped(|rules| rules.health.min_tries = 1);
    setup.line = Line { stock: 0, ..Line::default() };
    let shop = Shop::of(setup).await;
    let (id, _) = shop.redemption("failed").await;
    assert_eq!(shop.get(&format!("/redeem/{id}")).await.value()["failure"]["type"], "out_of_stock");
    let code = shop.mint_one().await;
    let problem = shop.redeem(&code, &[]).await.problem(503, "unavailable");
    let wait = problem["retry_after"].as_u64().unwrap();
    assert!((590..=600).contains(&wait), "{problem}");
    assert_eq!(shop.lookup(&code).await["redemptions"], json!([]), "it is refused before anything begins");

    let supplier = shop.admin(Method::GET, "/admin/suppliers", None).await.value()["data"][0].clone();
    assert_eq!(supplier["name"], SUPPLIER);
    let source = &supplier["sources"][0];
    let at = (&source["product"], &source["country"], &source["operator"]);
    assert_eq!(at, (&json!("telegram"), &json!(COUNTRY), &json!(OPERATOR)));
    let off = (&source["state"], &source["why"], &source["tries"], &source["empty"]);
    assert_eq!(off, (&json!("off"), &json!("empty"), &json!(1), &json!(1)), "{source}");
    assert!(source["until"].is_string(), "{source}");

    shop.supplier.stock(COUNTRY, OPERATOR, Line::default());
    tokio::time::sleep(Duration::from_secs(wait)).await;
    let id = shop.redeem(&code, &[]).await.id();
    shop.until(&id, "delivered").await;
    let attempt = shop.lookup(&code).await["redemptions"][0]["attempts"][0].clone();
    assert_eq!(attempt["is_probe"], true, "{attempt}");
    let source =
        shop.admin(Method::GET, "/admin/suppliers", None).await.value()["data"][0]["sources"][0].clone();
    let on = (&source["state"], &source["why"], &source["until"]);
    assert_eq!(on, (&json!("on"), &json!(null), &json!(null)), "{source}");
}

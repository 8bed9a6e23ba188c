//! What every answer and every problem has.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Method;
use chrono::{DateTime, Utc};
use mintcode_core::engine::{Issuer, Support};
use mintcode_core::ports::Clock;
use mintcode_core::testing::{Fault, Faults, Faulty, MemoryStorage};
use mintcode_core::voucher::{Shape, VoucherKeys, VoucherSecret};
use mintcode_http::{App, router};

use crate::shop::{Shop, request};

/// The contract's slugs that there is a way to meet.
const SLUGS: [&str; 22] = [
    "voucher-invalid",
    "voucher-used",
    "voucher-expired",
    "voucher-cancelled",
    "voucher-busy",
    "cooling-down",
    "too-many-requests",
    "daily-limit",
    "not-offered",
    "redemptions-exhausted",
    "not-ready",
    "redemption-failed",
    "batch-sealed",
    "action-not-allowed",
    "idempotency-mismatch",
    "in-flight",
    "invalid-request",
    "not-found",
    "method-not-allowed",
    "unauthorized",
    "unavailable",
    "internal",
];

#[tokio::test(start_paused = true)]
async fn every_problem_has_a_page_in_both_languages() {
    let shop = Shop::open().await;
    for slug in SLUGS {
        let pages = [
            shop.get(&format!("/problems/{slug}")).await,
            shop.get_with(&format!("/problems/{slug}"), &[("accept-language", "zh")]).await,
        ];
        for page in &pages {
            assert_eq!(page.status, 200, "{slug}");
            assert!(page.header("content-type").unwrap().starts_with("text/html"));
            assert!(page.body.contains(&format!("/problems/{slug}")));
        }
        assert_ne!(pages[0].body, pages[1].body);
    }
    shop.get("/problems/nothing").await.problem(404, "not-found");
}

#[tokio::test(start_paused = true)]
async fn problems_speak_the_readers_language() {
    let shop = Shop::open().await;
    for (asked, title) in
        [("en-GB,en", "Not a voucher"), ("zh-CN, en;q=0.5", "兑换码无效"), ("ja, zh;q=0.1", "兑换码无效")]
    {
        let answer = shop.redeem("x", &[("accept-language", asked)]).await;
        assert_eq!(answer.problem(404, "voucher-invalid")["title"], title, "{asked}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_answer_has_a_request_id_and_a_sane_one_is_kept() {
    let shop = Shop::open().await;
    for path in ["/", "/healthz", "/nothing", "/redeem/rdm_1", "/admin/skus"] {
        let first = shop.get(path).await;
        let second = shop.get(path).await;
        assert!(first.header("x-request-id").unwrap().starts_with("req_"), "{path}");
        assert_ne!(first.header("x-request-id"), second.header("x-request-id"), "{path}");
        let given = shop.get_with(path, &[("x-request-id", "trace-1.a_B")]).await;
        assert_eq!(given.header("x-request-id"), Some("trace-1.a_B"), "{path}");
        for bad in ["", "two words", "<x>", &"x".repeat(129)] {
            let replaced = shop.get_with(path, &[("x-request-id", bad)]).await;
            assert!(replaced.header("x-request-id").unwrap().starts_with("req_"), "{bad:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn unknown_routes_and_methods_are_problems_too() {
    let shop = Shop::open().await;
    shop.get("/nothing/here").await.problem(404, "not-found");
    shop.get("/admin/nothing").await.problem(404, "not-found");
    let wrong = shop.send(request(Method::DELETE, "/redeem", &[], Body::empty())).await;
    wrong.problem(405, "method-not-allowed");
    assert_eq!(wrong.header("allow"), Some("POST"));
    let page = shop.get_with("/nothing", &[("accept", "text/html,application/xhtml+xml")]).await;
    assert_eq!(page.status, 404);
    assert!(page.body.contains("<h1>Not found</h1>"));
}

/// A clock that is broken.
struct Broken;

impl Clock for Broken {
    fn now(&self) -> DateTime<Utc> {
        panic!("a bug");
    }

    fn uptime(&self) -> Duration {
        panic!("a bug");
    }
}

#[tokio::test(start_paused = true)]
async fn storage_that_is_gone_is_unavailable_and_a_bug_is_ours() {
    let mut shop = Shop::open().await;
    let (id, _) = shop.redemption("waiting_sms").await;
    assert_eq!(shop.get("/readyz").await.status, 200);

    let storage = Arc::new(MemoryStorage::new());
    let gone = Arc::new(Faulty::new(Arc::clone(&storage), Faults::at(1, Fault::BeforeWork)));
    let secret = VoucherSecret::new("a secret of this test, 32 bytes or more").unwrap();
    let keys = VoucherKeys::new(&secret, &[]);
    let (clock, entropy) = (shop.app.clock.clone(), shop.app.entropy.clone());
    let issuer = Issuer::new(gone, clock, entropy, keys, Shape::default());
    let support = Support::new(storage, issuer, Arc::default());
    shop.router = router(App { support, ..shop.app.clone() });
    let unavailable = shop.get("/readyz").await;
    assert_eq!(unavailable.problem(503, "unavailable")["retryable"], true);
    assert!(!unavailable.body.contains("away"), "{unavailable:?}");

    shop.router = router(App { clock: Arc::new(Broken), ..shop.app.clone() });
    let internal = shop.get(&format!("/redeem/{id}")).await;
    assert_eq!(internal.problem(500, "internal")["retryable"], true);
    assert!(!internal.body.contains("a bug"), "{internal:?}");
    assert_eq!(shop.get("/healthz").await.value()["status"], "ok", "the process lives");
}

//! What every answer and every problem has.

use std::sync::Arc;

use async_trait::async_trait;
use axum::body::Body;
use axum::http::Method;
use mintcode_core::ids::{PlanId, SkuId};
use mintcode_core::ports::{Catalogue, PlanChange, Put, SkuError, StorageError};
use mintcode_core::sku::Sku;
use mintcode_http::{App, router};

use crate::shop::{Shop, request};

/// The contract's slugs that there is a way to meet.
const SLUGS: [&str; 18] = [
    "voucher-invalid",
    "voucher-used",
    "voucher-expired",
    "voucher-cancelled",
    "voucher-busy",
    "cooling-down",
    "redemptions-exhausted",
    "not-ready",
    "redemption-failed",
    "batch-sealed",
    "action-not-allowed",
    "idempotency-mismatch",
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

/// A catalogue that fails, or panics.
struct Broken {
    panics: bool,
}

impl Broken {
    fn fail(&self) -> StorageError {
        assert!(!self.panics, "a bug");
        StorageError::Unavailable("the disk /srv/secret.db is gone".into())
    }
}

#[async_trait]
impl Catalogue for Broken {
    async fn put_sku(&self, _: Sku, _: Put) -> Result<bool, SkuError> {
        Err(self.fail().into())
    }

    async fn sku(&self, _: &SkuId) -> Result<Option<Sku>, StorageError> {
        Err(self.fail())
    }

    async fn skus(&self) -> Result<Vec<Sku>, StorageError> {
        Err(self.fail())
    }

    async fn archive_sku(&self, _: &SkuId) -> Result<(), SkuError> {
        Err(self.fail().into())
    }

    async fn change_plan(&self, _: &SkuId, _: &PlanId, _: PlanChange) -> Result<Sku, SkuError> {
        Err(self.fail().into())
    }
}

#[tokio::test(start_paused = true)]
async fn storage_that_is_gone_is_unavailable_and_a_bug_is_ours() {
    let mut shop = Shop::open().await;
    assert_eq!(shop.get("/readyz").await.status, 200);
    for (panics, status, slug) in [(false, 503, "unavailable"), (true, 500, "internal")] {
        shop.router = router(App { catalogue: Arc::new(Broken { panics }), ..shop.app.clone() });
        let answer = shop.get("/readyz").await;
        let problem = answer.problem(status, slug);
        assert_eq!(problem["retryable"], true);
        assert!(!answer.body.contains("secret") && !answer.body.contains("a bug"), "{answer:?}");
        assert_eq!(shop.get("/healthz").await.value()["status"], "ok", "the process lives");
    }
}

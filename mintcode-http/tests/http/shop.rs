//! A shop with one SKU, a supplier with books, and customers who send requests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use mintcode_core::engine::{Engine, Running};
use mintcode_core::ids::SupplierName;
use mintcode_core::ports::{Catalogue, Put};
use mintcode_core::rules::Rules;
use mintcode_core::sku::Sku;
use mintcode_core::testing::{FakeSupplier, Line, MemoryStorage, SeededEntropy, TokioClock, sample};
use mintcode_core::voucher::{VoucherKeys, VoucherSecret};
use mintcode_http::{App, Proxy, Site, router};
use serde_json::Value;
use tower::ServiceExt;

pub(crate) const ADMIN_KEY: &str = "the operator's key";
pub(crate) const SUPPLIER: &str = "wholesale-7";
pub(crate) const COUNTRY: &str = "zanzibar";
pub(crate) const OPERATOR: &str = "op77";

/// The adapter over a running engine. Wants paused time.
pub(crate) struct Shop {
    pub(crate) app: App,
    pub(crate) router: Router,
    pub(crate) supplier: FakeSupplier,
    pub(crate) storage: Arc<MemoryStorage>,
    pub(crate) running: Running,
}

/// What a shop is made of; a test names only what it is about.
pub(crate) struct Setup {
    pub(crate) sku: Sku,
    pub(crate) line: Line,
    pub(crate) site: Site,
    pub(crate) rules: Rules,
    pub(crate) trusted_proxies: Vec<Proxy>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            sku: sku(),
            line: Line::default(),
            site: Site::default(),
            rules: Rules::default(),
            trusted_proxies: Vec::new(),
        }
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

/// A SKU with one plan, that sells by the default policy.
pub(crate) fn sku() -> Sku {
    let plan = mintcode_core::sku::Plan {
        supplier: SupplierName::new(SUPPLIER).unwrap(),
        ..sample::plan("PLAN-X", COUNTRY, OPERATOR)
    };
    Sku { plans: vec![plan], ..sample::sku("tg") }
}

/// A line whose numbers never get an SMS.
pub(crate) fn silent() -> Line {
    Line { sms_after: None, ..Line::default() }
}

impl Shop {
    /// Sells `sku()`; every number gets its SMS after four seconds.
    pub(crate) async fn open() -> Self {
        Self::of(Setup::default()).await
    }

    pub(crate) async fn with(sku: Sku, line: Line, site: Site) -> Self {
        Self::of(Setup { sku, line, site, ..Setup::default() }).await
    }

    pub(crate) async fn of(setup: Setup) -> Self {
        let Setup { sku, line, site, rules, trusted_proxies } = setup;
        let clock = Arc::new(TokioClock::default());
        let storage = Arc::new(MemoryStorage::new());
        let supplier = FakeSupplier::new(clock.clone());
        supplier.stock(COUNTRY, OPERATOR, line);
        storage.put_sku(sku, Put::Create).await.unwrap();
        let name = SupplierName::new(SUPPLIER).unwrap();
        let secret = VoucherSecret::new("a secret of this test, 32 bytes or more").unwrap();
        let keys = VoucherKeys::new(&secret, &[]);
        let entropy = Arc::new(SeededEntropy::new(7));
        let engine = Engine::builder(storage.clone(), clock, entropy.clone(), keys)
            .rules(rules)
            .supplier(name, Arc::new(supplier.clone()), true, 50)
            .build()
            .unwrap();
        let app = App {
            redeemer: engine.redeemer(),
            issuer: engine.issuer(),
            support: engine.support(),
            clock: engine.clock(),
            entropy,
            admin_key: ADMIN_KEY.into(),
            site,
            trusted_proxies,
        };
        Self { router: router(app.clone()), app, supplier, storage, running: engine.start() }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(request(Method::GET, path, &[], Body::empty())).await
    }

    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send(request(Method::GET, path, headers, Body::empty())).await
    }

    pub(crate) async fn post(&self, path: &str) -> Answer {
        self.send(request(Method::POST, path, &[], Body::empty())).await
    }

    /// Posts a form as a browser does.
    pub(crate) async fn form(&self, path: &str, fields: &str, headers: &[(&str, &str)]) -> Answer {
        let browser =
            [("content-type", "application/x-www-form-urlencoded"), ("accept", "text/html,*/*;q=0.8")];
        let headers = [&browser, headers].concat();
        self.send(request(Method::POST, path, &headers, fields.to_owned().into())).await
    }

    /// Posts JSON.
    pub(crate) async fn json(&self, path: &str, body: &Value, headers: &[(&str, &str)]) -> Answer {
        let headers = [&[("content-type", "application/json")], headers].concat();
        self.send(request(Method::POST, path, &headers, body.to_string().into())).await
    }

    /// Redeems as somebody nobody knows, or with `headers` that say who it is.
    pub(crate) async fn redeem(&self, code: &str, headers: &[(&str, &str)]) -> Answer {
        self.json("/redeem", &serde_json::json!({ "code": code }), headers).await
    }

    /// Redeems over a connection from `peer`.
    pub(crate) async fn redeem_from(&self, peer: &str, code: &str, headers: &[(&str, &str)]) -> Answer {
        let headers = [&[("content-type", "application/json")], headers].concat();
        let body = serde_json::json!({ "code": code }).to_string();
        let mut request = request(Method::POST, "/redeem", &headers, body.into());
        let peer: SocketAddr = format!("{peer}:4711").parse().unwrap();
        request.extensions_mut().insert(ConnectInfo(peer));
        self.send(request).await
    }

    /// What a lookup of the voucher tells.
    pub(crate) async fn lookup(&self, code: &str) -> Value {
        let body = serde_json::json!({ "code": code });
        let answer = self.admin(Method::POST, "/admin/vouchers/lookup", Some(&body)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.value()
    }

    /// Where an operator works on the voucher with this code.
    pub(crate) async fn voucher(&self, code: &str) -> String {
        format!("/admin/vouchers/{}", self.lookup(code).await["id"].as_str().unwrap())
    }

    /// A request of the operator.
    pub(crate) async fn admin(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let key = format!("Bearer {ADMIN_KEY}");
        let headers = [("authorization", key.as_str()), ("content-type", "application/json")];
        let body = body.map_or_else(Body::empty, |body| body.to_string().into());
        self.send(request(method, path, &headers, body)).await
    }

    pub(crate) async fn mint(&self, count: u32) -> Vec<String> {
        let body = serde_json::json!({ "sku_id": "tg", "count": count });
        let answer = self.admin(Method::POST, "/admin/vouchers/generate", Some(&body)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body.lines().map(ToOwned::to_owned).collect()
    }

    pub(crate) async fn mint_one(&self) -> String {
        self.mint(1).await.remove(0)
    }

    /// Waits, at most an hour, until the redemption has the status.
    pub(crate) async fn until(&self, id: &str, status: &str) -> Value {
        for _ in 0..36_000 {
            let seen = self.get(&format!("/redeem/{id}")).await.value();
            if seen["status"] == status {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("never {status}: {}", self.get(&format!("/redeem/{id}")).await.body)
    }

    /// A redemption of a fresh voucher that has just begun, and the voucher.
    pub(crate) async fn begun(&self) -> (String, String) {
        let code = self.mint_one().await;
        (self.redeem(&code, &[]).await.id(), code)
    }

    /// The same when it has come to `status`.
    pub(crate) async fn redemption(&self, status: &str) -> (String, String) {
        let (id, code) = self.begun().await;
        self.until(&id, status).await;
        (id, code)
    }
}

impl Answer {
    #[track_caller]
    pub(crate) fn value(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The id of the redemption in the body.
    #[track_caller]
    pub(crate) fn id(&self) -> String {
        self.value()["id"].as_str().unwrap_or_else(|| panic!("no id: {self:?}")).to_owned()
    }

    pub(crate) fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The holder's cookie as a browser sends it back.
    #[track_caller]
    pub(crate) fn cookie(&self) -> String {
        let cookie = self.header(header::SET_COOKIE).unwrap_or_else(|| panic!("no cookie: {self:?}"));
        cookie.split(';').next().unwrap().to_owned()
    }

    /// Asserts that this is the problem of `slug`, and gives its body.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, slug: &str) -> Value {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let body = self.value();
        assert_eq!(body["type"], format!("/problems/{slug}"), "{self:?}");
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        assert_eq!(body["status"], status, "{self:?}");
        assert_eq!(body["request_id"], self.header("x-request-id").unwrap(), "{self:?}");
        assert!(body["title"].is_string() && body["detail"].is_string(), "{self:?}");
        assert_eq!(
            body["retry_after"].as_u64().map(|it| it.to_string()).as_deref(),
            self.header("retry-after")
        );
        body
    }
}

pub(crate) fn request(method: Method, path: &str, headers: &[(&str, &str)], body: Body) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body).unwrap()
}

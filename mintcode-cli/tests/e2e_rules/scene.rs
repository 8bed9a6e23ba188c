//! A server, a simulator and the people around them.

use std::sync::Mutex;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::server::{Server, books, http};
use crate::shop::{ADMIN, Shop};

/// How long anything may take that is waited for.
const DEADLINE: Duration = Duration::from_secs(30);
/// How long to wait before looking again.
const PAUSE: Duration = Duration::from_millis(20);

/// A SKU sold at 0.80. Each plan is `id operator expected_cost max_cost`, with its priority behind where it matters; an
/// operator is one of Canada unless written `country/operator`.
pub(crate) fn sku(id: &str, policy: &str, plans: &[&str]) -> String {
    let label = id.to_uppercase();
    let mut text = format!(
        "[[sku]]\nid = \"{id}\"\nname = {{ en = \"{id}\", zh = \"{id}\" }}\nlabel = \"{label}\"\n\
         product = \"telegram\"\nprice = \"0.80\"\n[sku.policy]\n{policy}\n"
    );
    for plan in plans {
        let words: Vec<_> = plan.split_whitespace().collect();
        let [id, operator, expected, most] = words[..4] else { panic!("{plan} is no plan") };
        let (country, operator) = operator.split_once('/').unwrap_or(("canada", operator));
        let priority = words.get(4).unwrap_or(&"10");
        let plan = format!(
            "[[sku.plan]]\nid = \"{id}\"\ncountry = \"{country}\"\noperator = \"{operator}\"\n\
             expected_cost = \"{expected}\"\nmax_cost = \"{most}\"\npriority = {priority}\n"
        );
        text += &plan;
    }
    text
}

/// A line of the simulator for `telegram`, with what is out of the ordinary about it.
pub(crate) fn line(operator: &str, price: &str, more: &str) -> String {
    let (country, operator) = operator.split_once('/').unwrap_or(("canada", operator));
    format!(
        "[[line]]\ncountry = \"{country}\"\noperator = \"{operator}\"\nproduct = \"telegram\"\n\
         price = \"{price}\"\n{more}\n"
    )
}

/// A scenario of nothing but `lines`, whose messages come after half a second.
pub(crate) fn supply(lines: &[String]) -> String {
    format!("catalogue = \"empty\"\nsms_after = \"500ms\"\n{}", lines.concat())
}

/// A real server against a simulator of its own.
pub(crate) struct Scene {
    pub(crate) shop: Shop,
    _server: Server,
    http: reqwest::Client,
    /// What one unit of the supplier's currency is worth in the selling currency, in hundredths.
    pub(crate) rate: i64,
    /// Vouchers whose orders have to be in the simulator's books, and no others.
    codes: Mutex<Vec<String>>,
}

impl Scene {
    /// Serves `skus` against a simulator of `scenario`; `settings` are environment variables without `MINTCODE_`.
    pub(crate) fn open(skus: &[String], scenario: &str, settings: &[(&str, &str)]) -> Self {
        let shop = Shop::open(&skus.concat(), scenario);
        let mut serve = shop.command(&["serve", "--json", "--listen", &shop.address]);
        serve.envs(settings.iter().map(|(name, value)| (format!("MINTCODE_{name}"), value)));
        let server = Server::start(&mut serve);
        Self { shop, _server: server, http: http(), rate: 100, codes: Mutex::default() }
    }

    pub(crate) fn customer(&self, number: u8) -> Customer<'_> {
        Customer { scene: self, cookie: format!("mintcode_holder={number:064x}") }
    }

    async fn send(&self, request: RequestBuilder) -> Answer {
        let answer = timeout(DEADLINE, request.send()).await.expect("an answer in time").unwrap();
        Answer::of(answer).await
    }

    /// Does what an operator does.
    pub(crate) async fn admin(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let url = format!("http://{}/admin/{path}", self.shop.address);
        let request = self.http.request(method, url).bearer_auth(ADMIN);
        self.send(if let Some(body) = body { request.json(&body) } else { request }).await
    }

    pub(crate) async fn mint(&self, sku: &str) -> String {
        self.mint_with(json!({ "sku_id": sku, "count": 1 })).await
    }

    pub(crate) async fn mint_with(&self, body: Value) -> String {
        let minted = self.admin(Method::POST, "vouchers/generate", Some(body)).await.done(200);
        let code = minted.as_str().unwrap().trim().to_owned();
        self.knows(&code);
        code
    }

    /// Counts what a voucher that was not minted here bought, too.
    pub(crate) fn knows(&self, code: &str) {
        self.codes.lock().unwrap().push(code.to_owned());
    }

    /// The voucher with its trail.
    pub(crate) async fn lookup(&self, code: &str) -> Value {
        self.admin(Method::POST, "vouchers/lookup", Some(json!({ "code": code }))).await.done(200)
    }

    /// Each attempt of the voucher as `plan outcome`, once every order it bought is settled, with the order's price and
    /// end where it bought one.
    pub(crate) async fn trail(&self, code: &str) -> String {
        until(async || {
            let tried: Vec<_> = attempts(&self.lookup(code).await).iter().map(told).collect();
            let trail = tried.join(", ");
            if trail.contains("open") { Err(trail) } else { Ok(trail) }
        })
        .await
    }

    /// Does support work on the voucher.
    pub(crate) async fn support(&self, code: &str, work: &str, body: Option<Value>) -> Answer {
        let voucher = self.lookup(code).await;
        let id = voucher["id"].as_str().unwrap();
        self.admin(Method::POST, &format!("vouchers/{id}/{work}"), body).await
    }

    /// The kinds of alerts that are open, in the order of their names.
    pub(crate) async fn alerts(&self) -> Vec<String> {
        let open = self.admin(Method::GET, "alerts?open=true", None).await.done(200);
        let kind = |alert: &Value| alert["kind"].as_str().unwrap().to_owned();
        let mut kinds: Vec<_> = open["data"].as_array().unwrap().iter().map(kind).collect();
        kinds.sort();
        kinds
    }

    /// Waits until exactly alerts of these kinds are open: some are raised beside what a customer sees.
    pub(crate) async fn alerts_come_to(&self, kinds: &[&str]) {
        until(async || {
            let open = self.alerts().await;
            if open == kinds { Ok(()) } else { Err(format!("{open:?} are open, not {kinds:?}")) }
        })
        .await;
    }

    /// Arms a fault of the simulator.
    pub(crate) async fn fault(&self, fault: Value) {
        let url = self.shop.simulator.url().replace("/v1", "/sim/faults");
        let armed = self.http.post(url).json(&fault).send().await.unwrap();
        assert_eq!(armed.status(), 204, "{fault}");
    }

    /// The simulator's own books.
    pub(crate) async fn books(&self) -> Value {
        books(&self.http, self.shop.simulator.url()).await
    }

    /// Waits until everything is settled, proves that our trails and sums are the simulator's, and returns its books.
    ///
    /// Our own word on an order comes a moment after the simulator's, so what differs is looked at again for a while.
    pub(crate) async fn audit(&self) -> Value {
        until(async || {
            let books = self.books().await;
            self.agrees(&books).await.map(|()| books)
        })
        .await
    }

    async fn agrees(&self, books: &Value) -> Result<(), String> {
        let orders = books["orders"].as_array().unwrap();
        if books["counts"]["open"] != 0 {
            return Err(format!("an order is open: {books}"));
        }
        let codes = self.codes.lock().unwrap().clone();
        let mut bought = 0;
        for code in &codes {
            let voucher = self.lookup(code).await;
            for redemption in voucher["redemptions"].as_array().unwrap() {
                let mut cost = 0;
                for attempt in redemption["attempts"].as_array().unwrap() {
                    let Some(id) = attempt["supplier_order"].as_str() else { continue };
                    let id: u64 = id.parse().unwrap();
                    let order = orders.iter().find(|order| order["id"] == id);
                    let Some(order) = order else { return Err(format!("{attempt} is not in {books}")) };
                    let end = match order["status"].as_str().unwrap() {
                        "FINISHED" => "finished",
                        "CANCELED" => "cancelled",
                        "BANNED" => "banned",
                        other => return Err(format!("{other} is no end that a rule leads to: {order}")),
                    };
                    if attempt["price"] != order["charged"] || attempt["supplier_order_end"] != end {
                        return Err(format!("{attempt} does not agree with {order}"));
                    }
                    bought += 1;
                    cost += micros(&order["charged"]) - micros(&order["refunded"]);
                }
                if micros(&redemption["money"]["cost"]) * 100 != cost * self.rate {
                    return Err(format!("{redemption} does not agree with {books}"));
                }
            }
        }
        if bought != orders.len() {
            return Err(format!("{bought} orders are known: {books}"));
        }
        let stats = self.admin(Method::GET, "stats", None).await.done(200);
        let spent = micros(&books["opening_balance"]) - micros(&books["balance"]);
        let told = micros(&stats["totals"]["cost"]) + micros(&stats["totals"]["orphan_loss"]);
        if told * 100 != spent * self.rate {
            return Err(format!("{stats} does not agree with {books}"));
        }
        Ok(())
    }
}

/// A browser: always the same holder.
pub(crate) struct Customer<'a> {
    scene: &'a Scene,
    cookie: String,
}

impl Customer<'_> {
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("http://{}/{path}", self.scene.shop.address);
        self.scene.http.request(method, url).header("cookie", &self.cookie)
    }

    /// Sends a request as a customer does, to whom nobody may name what is behind the shop.
    async fn send(&self, request: RequestBuilder) -> Answer {
        let answer = self.scene.send(request).await;
        let text = answer.body.to_string().to_lowercase();
        let simulator = self.scene.shop.simulator.url().trim_start_matches("http://").replace("/v1", "");
        for inside in ["supplier", "free phones", &simulator] {
            assert!(!text.contains(inside), "{inside} in {text}");
        }
        answer
    }

    /// Posts a voucher.
    pub(crate) async fn post(&self, code: &str) -> Answer {
        self.send(self.request(Method::POST, "redeem").json(&json!({ "code": code }))).await
    }

    /// Begins a redemption: its id.
    pub(crate) async fn redeem(&self, code: &str) -> String {
        self.post(code).await.begun()
    }

    pub(crate) async fn look(&self, id: &str) -> Value {
        self.send(self.request(Method::GET, &format!("redeem/{id}"))).await.done(200)
    }

    /// The redemption as soon as it is as `wanted`, as a client waits that polls patiently.
    pub(crate) async fn when(&self, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut etag = None;
        until(async || {
            let mut request = self.request(Method::GET, &format!("redeem/{id}"));
            if let Some(known) = &etag {
                request = request.header("if-none-match", known).header("prefer", "wait=5");
            }
            let answer = self.send(request).await;
            if answer.status == 304 {
                return Err(format!("nothing changed since {etag:?}"));
            }
            etag.clone_from(&answer.etag);
            let seen = answer.done(200);
            if wanted(&seen) { Ok(seen) } else { Err(format!("last seen as {seen}")) }
        })
        .await
    }

    /// The redemption as soon as it has this status.
    pub(crate) async fn status(&self, id: &str, status: &str) -> Value {
        self.when(id, |seen| seen["status"] == status).await
    }

    /// The redemption once it has ended.
    pub(crate) async fn end(&self, id: &str) -> Value {
        self.when(id, |seen| ["delivered", "failed", "cancelled"].contains(&seen["status"].as_str().unwrap()))
            .await
    }

    /// Presses a button: `retry`, `replace` or `cancel`.
    pub(crate) async fn press(&self, id: &str, button: &str) -> Answer {
        self.send(self.request(Method::POST, &format!("redeem/{id}/{button}"))).await
    }

    pub(crate) async fn result(&self, id: &str) -> Answer {
        self.send(self.request(Method::GET, &format!("redeem/{id}/result"))).await
    }

    /// What the progress page and the whole stream of events of a redemption at rest say, as text.
    pub(crate) async fn everything(&self, id: &str) -> String {
        let events = self.request(Method::GET, &format!("redeem/{id}/events")).header("last-event-id", "0");
        let page = self.request(Method::GET, &format!("r/{id}")).header("accept", "text/html");
        let (events, page) = (self.send(events).await.done(200), self.send(page).await.done(200));
        format!("{}\n{}", events.as_str().unwrap(), page.as_str().unwrap())
    }

    /// Every status that a redemption at rest ever showed, in order.
    pub(crate) async fn saw(&self, id: &str) -> Vec<String> {
        let everything = self.everything(id).await;
        let data = everything.lines().filter_map(|line| line.strip_prefix("data:"));
        let status = |data: &str| {
            let redemption: Value = serde_json::from_str(data.trim()).unwrap();
            redemption["status"].as_str().unwrap().to_owned()
        };
        let mut statuses: Vec<_> = data.map(status).collect();
        statuses.dedup();
        statuses
    }
}

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Seconds.
    pub(crate) retry_after: Option<u64>,
    pub(crate) is_replay: bool,
    etag: Option<String>,
    /// A text where it is no JSON.
    pub(crate) body: Value,
}

impl Answer {
    async fn of(response: Response) -> Self {
        let header = |name: &str| Some(response.headers().get(name)?.to_str().unwrap().to_owned());
        let status = response.status().as_u16();
        let retry_after = header("retry-after").map(|seconds| seconds.parse().unwrap());
        let (etag, is_replay) = (header("etag"), header("idempotent-replayed").is_some());
        let text = response.text().await.unwrap();
        let body: Value = serde_json::from_str(&text).unwrap_or(Value::String(text));
        if status >= 400 {
            assert_eq!(body["retry_after"].as_u64(), retry_after, "header and body agree: {body}");
        }
        Self { status, retry_after, is_replay, etag, body }
    }

    /// The body of an answer that has to have this status.
    #[track_caller]
    pub(crate) fn done(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        self.body
    }

    /// The id of the redemption that began.
    #[track_caller]
    pub(crate) fn begun(self) -> String {
        self.done(202)["id"].as_str().unwrap().to_owned()
    }

    /// The seconds after which a refusal of this status and slug says to come back.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, slug: &str) -> Option<u64> {
        let problem = format!("/problems/{slug}");
        assert_eq!((self.status, self.body["type"].as_str()), (status, Some(&*problem)), "{self:?}");
        self.retry_after
    }
}

/// Looks until `look` finds what it looks for.
pub(crate) async fn until<T>(mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let mut last = String::new();
    let looking = async {
        loop {
            match look().await {
                Ok(found) => return found,
                Err(seen) => last = seen,
            }
            sleep(PAUSE).await;
        }
    };
    timeout(DEADLINE, looking).await.unwrap_or_else(|_| panic!("waited in vain: {last}"))
}

fn told(attempt: &Value) -> String {
    let word = |name: &str| attempt[name].as_str().unwrap_or("open");
    if attempt["supplier_order"].is_null() {
        return format!("{} {}", word("plan"), word("outcome"));
    }
    let end = word("supplier_order_end");
    format!("{} {} {} {end}", word("plan"), word("outcome"), word("price"))
}

/// The attempts of a voucher, oldest first.
pub(crate) fn attempts(voucher: &Value) -> Vec<Value> {
    let redemptions = voucher["redemptions"].as_array().unwrap().iter();
    redemptions.flat_map(|redemption| redemption["attempts"].as_array().unwrap().clone()).collect()
}

/// The time that `name` tells in `value`.
pub(crate) fn at(value: &Value, name: &str) -> DateTime<Utc> {
    let text = value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}"));
    text.parse().unwrap()
}

/// From one time to another, in milliseconds.
pub(crate) fn millis(from: DateTime<Utc>, to: DateTime<Utc>) -> i64 {
    TimeDelta::num_milliseconds(&(to - from))
}

/// The counts of the simulator's books when nothing is open.
pub(crate) fn counts(sold: u32, charged: u32, refunded: u32) -> Value {
    json!({ "sold": sold, "charged": charged, "refunded": refunded, "open": 0 })
}

/// What a redemption of a voucher earned and cost, in dollars.
pub(crate) fn money(revenue: &str, cost: &str, loss: &str, margin: &str) -> Value {
    json!({ "revenue": revenue, "cost": cost, "loss": loss, "margin": margin, "currency": "USD" })
}

/// How a failure is shown whose redemption may be retried after `retry_after` seconds.
#[track_caller]
pub(crate) fn failed(redemption: &Value, kind: &str, retryable: bool, retry_after: Option<u64>) {
    let failure = &redemption["failure"];
    let seen = (&redemption["status"], &failure["type"], &failure["retryable"]);
    assert_eq!(seen, (&json!("failed"), &json!(kind), &json!(retryable)), "{redemption}");
    assert_eq!(failure["retry_after"].as_u64(), retry_after, "{redemption}");
}

fn micros(amount: &Value) -> i64 {
    let text = amount.as_str().unwrap_or_else(|| panic!("{amount} is no amount"));
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits: i64 = format!("{whole}{part:0<6}").parse().unwrap();
    digits
}

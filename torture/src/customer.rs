//! Customers: each redeems a voucher until it has its code or gives up, whatever becomes of the server.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::shop::{Shop, TRIES};
use crate::{Error, Plan};

/// Customers at a time.
const CROWD: usize = 32;
/// Before a customer asks again.
const PAUSE: Duration = Duration::from_millis(150);
/// How long a customer who is still there when everything is well again waits for an end.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a customer was shown.
#[derive(Debug, Default)]
pub(crate) struct Receipt {
    pub(crate) redemptions: BTreeSet<String>,
    pub(crate) phones: BTreeSet<String>,
    /// The redemption that brought the code, and the code.
    pub(crate) code: Option<(String, String)>,
    /// What a customer must never be told.
    pub(crate) oddities: Vec<String>,
}

/// The customers of a shop.
pub(crate) struct Customers {
    all: JoinSet<Vec<Receipt>>,
    leaving: watch::Sender<bool>,
    served: watch::Receiver<usize>,
    wanted: usize,
}

/// Tells when enough redemptions came to an end.
pub(crate) struct Served {
    served: watch::Receiver<usize>,
    wanted: usize,
}

impl Served {
    pub(crate) async fn enough(mut self) {
        // Without anybody left there is nothing to wait for.
        self.served.wait_for(|served| *served >= self.wanted).await.ok();
    }
}

impl Customers {
    pub(crate) fn come(shop: &Arc<Shop>, plan: &Plan) -> Self {
        let (leaving, left) = watch::channel(false);
        let (count, served) = watch::channel(0);
        let next = Arc::new(AtomicUsize::new(0));
        let mut all = JoinSet::new();
        for _ in 0..CROWD {
            let (shop, left, next, count) =
                (Arc::clone(shop), left.clone(), Arc::clone(&next), count.clone());
            all.spawn(async move {
                let mut receipts = Vec::new();
                while !*left.borrow() {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(code) = shop.codes.get(number) else { break };
                    let (http, address) = (shop.http.clone(), shop.address.clone());
                    let customer = Customer { http, address, number, left: left.clone() };
                    let receipt = customer.redeem(code).await;
                    count.send_modify(|redemptions| *redemptions += receipt.redemptions.len());
                    receipts.push(receipt);
                }
                receipts
            });
        }
        Self { all, leaving, served, wanted: plan.redemptions }
    }

    pub(crate) fn served(&self) -> Served {
        Served { served: self.served.clone(), wanted: self.wanted }
    }

    /// Nobody comes any more; whoever is there waits for an end.
    pub(crate) async fn leave(mut self) -> Result<Vec<Receipt>, Error> {
        self.leaving.send(true)?;
        let mut receipts = Vec::new();
        while let Some(done) = self.all.join_next().await {
            receipts.extend(done?);
        }
        Ok(receipts)
    }
}

/// One customer, whose number decides what it wants.
pub(crate) struct Customer {
    pub(crate) http: reqwest::Client,
    /// Where the server is.
    pub(crate) address: String,
    pub(crate) number: usize,
    /// Whether everything is well again, so that patience ends some time.
    pub(crate) left: watch::Receiver<bool>,
}

/// How one redemption ended.
enum End {
    Delivered(String),
    /// It may be tried again.
    Again,
    Over,
}

impl Customer {
    /// Redeems `code` until it has brought a code, or nothing more is to be had with it.
    pub(crate) async fn redeem(mut self, code: &str) -> Receipt {
        let mut receipt = Receipt::default();
        for attempt in 0..TRIES {
            let Some(id) = self.begin(code, &mut receipt).await else { break };
            receipt.redemptions.insert(id.clone());
            // Some want another number, and some give up at first.
            let wish = match (self.number % 10, attempt) {
                (3, 0) => Some("cancel"),
                (7, 0) => Some("replace"),
                _ => None,
            };
            match self.follow(&id, wish, &mut receipt).await {
                End::Delivered(code) => {
                    receipt.code = Some((id, code));
                    break;
                }
                End::Again => {}
                End::Over => break,
            }
        }
        receipt
    }

    /// Posts the code until there is a redemption, now and then from two windows at once.
    async fn begin(&mut self, code: &str, receipt: &mut Receipt) -> Option<String> {
        let post = || {
            let url = format!("http://{}/redeem", self.address);
            self.ask(self.http.post(url).json(&json!({ "code": code })))
        };
        let mut patience = Patience::new(&self.left);
        while patience.lasts() {
            let answers = if self.number.is_multiple_of(4) {
                let (one, other) = tokio::join!(post(), post());
                vec![one, other]
            } else {
                vec![post().await]
            };
            let mut begun = BTreeMap::new();
            for (status, body) in answers.into_iter().flatten() {
                match (status.as_u16(), slug(&body)) {
                    (200 | 202, _) => {
                        begun.insert(body["id"].as_str()?.to_owned(), body);
                    }
                    (409 | 410, "redemptions-exhausted" | "voucher-used" | "voucher-expired") => return None,
                    (429 | 500 | 502 | 503 | 504, _) | (409, "voucher-busy") => {}
                    _ => receipt.oddities.push(format!("a good code was answered with {status}: {body}")),
                }
            }
            if begun.len() > 1 {
                receipt.oddities.push(format!("two redemptions at once: {:?}", begun.keys()));
            }
            if let Some((id, _)) = begun.pop_first() {
                return Some(id);
            }
            sleep(PAUSE).await;
        }
        receipt.oddities.push("no redemption could be begun".to_owned());
        None
    }

    async fn follow(&mut self, id: &str, wish: Option<&str>, receipt: &mut Receipt) -> End {
        let url = format!("http://{}/redeem/{id}", self.address);
        let mut wish = wish;
        let mut patience = Patience::new(&self.left);
        while patience.lasts() {
            let request = self.http.get(&url).header("Prefer", "wait=1");
            let Some((StatusCode::OK, now)) = self.ask(request).await else {
                sleep(PAUSE).await;
                continue;
            };
            receipt.phones.extend(now["phone"].as_str().map(str::to_owned));
            match now["status"].as_str() {
                Some("delivered") => {
                    if let Some(code) = now["code"].as_str() {
                        return End::Delivered(code.to_owned());
                    }
                    receipt.oddities.push(format!("{id} was delivered without a code"));
                    return End::Over;
                }
                Some("failed") if now["failure"]["retryable"] == true => return End::Again,
                Some("failed") => return End::Over,
                Some("cancelled") => return End::Again,
                Some("waiting_sms") => {
                    if let Some(wish) = wish.take() {
                        // Whatever the answer is, and if there is none.
                        self.ask(self.http.post(format!("{url}/{wish}"))).await;
                    }
                }
                _ => {}
            }
            sleep(PAUSE / 3).await;
        }
        receipt.oddities.push(format!("{id} has no end"));
        End::Over
    }

    /// The answer, if there is one: the server may be dead, or die over it.
    async fn ask(&self, request: RequestBuilder) -> Option<(StatusCode, Value)> {
        let cookie = format!("mintcode_holder={:064x}", self.number + 1);
        let answer = request.header("Cookie", cookie).send().await.ok()?;
        let status = answer.status();
        Some((status, answer.json().await.ok()?))
    }
}

/// The last part of a problem's type.
fn slug(body: &Value) -> &str {
    body["type"].as_str().and_then(|name| name.rsplit('/').next()).unwrap_or_default()
}

/// As long as the weather lasts, and a while longer.
struct Patience {
    left: watch::Receiver<bool>,
    until: Option<Instant>,
}

impl Patience {
    fn new(left: &watch::Receiver<bool>) -> Self {
        Self { left: left.clone(), until: None }
    }

    fn lasts(&mut self) -> bool {
        if !*self.left.borrow() {
            return true;
        }
        let until = *self.until.get_or_insert_with(|| Instant::now() + PATIENCE);
        Instant::now() < until
    }
}

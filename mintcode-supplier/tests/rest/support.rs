//! A simulator on a port of its own, a client of it, and a clock moved by hand.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use mintcode_core::order::{Order, OrderId};
use mintcode_core::ports::supplier::{BuyError, CallError, Wanted};
use mintcode_core::ports::{Clock, Supplier};
use mintcode_core::testing::permit;
use mintcode_supplier::rest::{Failure, RestSupplier};
use mintcode_supplier::simulator::{Scenario, Simulator};
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

pub(crate) const KEY: &str = "correct-horse-battery-staple";

pub(crate) fn start() -> DateTime<Utc> {
    DateTime::parse_from_rfc3339("2026-11-22T10:00:00Z").unwrap().to_utc()
}

/// Stands still until it is moved.
pub(crate) struct HandClock(Mutex<DateTime<Utc>>);

impl HandClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(start())))
    }

    pub(crate) fn advance(&self, seconds: i64) {
        *self.0.lock().unwrap() += TimeDelta::seconds(seconds);
    }
}

impl Clock for HandClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }

    fn uptime(&self) -> Duration {
        (self.now() - start()).to_std().unwrap()
    }
}

/// A running simulator and its client.
pub(crate) struct Desk {
    pub(crate) simulator: Simulator,
    pub(crate) supplier: RestSupplier,
    pub(crate) clock: Arc<HandClock>,
    /// Where the simulator listens, without `/v1`.
    pub(crate) address: String,
    _running: oneshot::Sender<()>,
}

impl Desk {
    pub(crate) async fn open(scenario: Scenario) -> Self {
        Self::open_with_timeout(scenario, Duration::from_secs(30)).await
    }

    pub(crate) async fn open_with_timeout(mut scenario: Scenario, timeout: Duration) -> Self {
        scenario.api_key = Some(KEY.into());
        let clock = HandClock::new();
        let simulator = Simulator::new(scenario, clock.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (running, stopped) = oneshot::channel::<()>();
        let serving = simulator.clone().serve(listener, async {
            let _ = stopped.await;
        });
        tokio::spawn(serving);
        let supplier = client(&format!("{address}/v1"), KEY, clock.clone(), timeout);
        Self { simulator, supplier, clock, address, _running: running }
    }

    pub(crate) async fn buy(&self, wanted: Wanted) -> Result<Order, BuyError> {
        let send_by = self.clock.now() + TimeDelta::seconds(5);
        self.supplier.buy(permit(wanted, send_by, self.clock.clone()).await).await
    }

    pub(crate) async fn bought(&self) -> OrderId {
        self.buy(telegram()).await.unwrap().id
    }

    pub(crate) fn sold(&self) -> u64 {
        self.simulator.books().counts.sold
    }
}

pub(crate) fn client(base: &str, key: &str, clock: Arc<dyn Clock>, timeout: Duration) -> RestSupplier {
    let key = SecretString::from(key.to_owned());
    RestSupplier::builder(base.parse().unwrap(), key, clock).timeout(timeout).build().unwrap()
}

pub(crate) fn wanted(country: &str, operator: &str, product: &str) -> Wanted {
    let (country, operator, product) = (country.to_owned(), operator.to_owned(), product.to_owned());
    Wanted { product, country, operator, max_cost: "0.20".parse().unwrap() }
}

pub(crate) fn telegram() -> Wanted {
    wanted("canada", "virtual4", "telegram")
}

/// What lies behind an unclear purchase.
pub(crate) fn unclear<T: std::fmt::Debug>(result: Result<T, BuyError>) -> Failure {
    match result {
        Err(BuyError::Unclear(source)) => *source.downcast::<Failure>().unwrap(),
        other => panic!("not unclear: {other:?}"),
    }
}

/// What lies behind any other unclear call.
pub(crate) fn unclear_call<T: std::fmt::Debug>(result: Result<T, CallError>) -> Failure {
    match result {
        Err(CallError::Unclear(source)) => *source.downcast::<Failure>().unwrap(),
        other => panic!("not unclear: {other:?}"),
    }
}

//! The upstream as a server: the routes of [`rest`](crate::rest) over books of its own, for tests, demonstrations
//! and audits.
//!
//! It is as unhelpful as the real thing: ids are never reused, answers get lost after the work was done, refusals
//! come with status 200, and its list of orders can be stale.
//!
//! - [`Scenario`] says how it behaves, in code or from TOML,
//! - [`Fault`]s are armed by the scenario, by [`Simulator::arm`] or over the control route,
//! - [`Simulator::books`] shows what was really sold, charged and refunded.
//!
//! ```
//! # use std::sync::Arc;
//! # use chrono::{DateTime, Utc};
//! # use mintcode_core::ports::Clock;
//! # struct Noon;
//! # impl Clock for Noon {
//! #     fn now(&self) -> DateTime<Utc> { DateTime::UNIX_EPOCH }
//! #     fn uptime(&self) -> std::time::Duration { std::time::Duration::ZERO }
//! # }
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! use mintcode_supplier::simulator::{Arming, Fault, Scenario, Simulator};
//!
//! let simulator = Simulator::new(Scenario::default(), Arc::new(Noon));
//! simulator.arm(Arming::next(Fault::BuyAnswerLost)).unwrap();
//!
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
//! let serving = simulator.clone().serve(listener, async {});
//! serving.await.unwrap();
//! assert_eq!(simulator.books().counts.sold, 0);
//! # });
//! ```

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use mintcode_core::ports::Clock;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

mod books;
mod catalogue;
mod chance;
mod faults;
mod line;
mod scenario;
mod server;
mod shown;
mod sms;

pub use books::{Counts, Sale, Snapshot, Status};
pub use faults::{ArmedFault, Arming, Fault, Route};
pub use scenario::{BadScenario, Catalogue, FreshStatus, Line, Scenario, UnknownCountry};

/// How long calls under way may take after the server was told to stop.
const GRACE: Duration = Duration::from_secs(1);

/// A supplier with books of its own. Clones share them.
#[derive(Clone)]
pub struct Simulator {
    inner: Arc<Inner>,
}

struct Inner {
    api_key: Option<SecretString>,
    clock: Arc<dyn Clock>,
    books: Mutex<books::Books>,
    faults: Mutex<faults::Faults>,
}

impl fmt::Debug for Simulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulator").finish_non_exhaustive()
    }
}

/// A fault that can never strike as it was armed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadArming(String);

impl Simulator {
    /// Opens the books of `scenario`. Everything that depends on time follows `clock`.
    #[must_use]
    pub fn new(scenario: Scenario, clock: Arc<dyn Clock>) -> Self {
        let mut faults = faults::Faults::new(scenario.seed);
        for arming in &scenario.fault {
            faults.arm(arming.clone());
        }
        let api_key = scenario.api_key.clone();
        let books = Mutex::new(books::Books::new(scenario, clock.now()));
        Self { inner: Arc::new(Inner { api_key, clock, books, faults: Mutex::new(faults) }) }
    }

    /// The routes, for a listener of one's own, which cannot drop connections: what would be a dropped connection
    /// is a gateway's 504 there, and as unclear.
    pub fn router(&self) -> axum::Router {
        server::router(self.clone())
    }

    /// Serves on `listener` until `shutdown` comes, and then for a second at most what is under way.
    ///
    /// # Errors
    ///
    /// Those of the listener.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let (stopping, stopped) = oneshot::channel();
        let service = self.router().into_make_service_with_connect_info::<line::Switch>();
        let server =
            axum::serve(line::SwitchedListener(listener), service).with_graceful_shutdown(async move {
                shutdown.await;
                // The other end is gone only when the server is.
                let _ = stopping.send(());
            });
        tokio::select! {
            result = server => result,
            () = async {
                let _ = stopped.await;
                tokio::time::sleep(GRACE).await;
            } => Ok(()),
        }
    }

    /// What was really sold, charged and refunded by now.
    #[must_use]
    pub fn books(&self) -> Snapshot {
        let calls = self.faults().calls();
        self.with_books(|books, now| books.snapshot(calls, now))
    }

    /// Arms a fault, behind those armed before.
    ///
    /// # Errors
    ///
    /// [`BadArming`] if it could never strike as it says.
    pub fn arm(&self, arming: Arming) -> Result<(), BadArming> {
        if let Some(problem) = arming.problem() {
            return Err(BadArming(problem));
        }
        self.faults().arm(arming);
        Ok(())
    }

    /// Every fault armed, in the order of arming, and what became of it.
    #[must_use]
    pub fn armed(&self) -> Vec<ArmedFault> {
        self.faults().armed()
    }

    /// Takes all faults away.
    pub fn disarm(&self) {
        self.faults().disarm();
    }

    fn api_key(&self) -> Option<&SecretString> {
        self.inner.api_key.as_ref()
    }

    fn strike(&self, route: Route) -> Option<Arming> {
        self.faults().strike(route)
    }

    /// Works on the books at the time it is now.
    fn with_books<T>(&self, work: impl FnOnce(&mut books::Books, DateTime<Utc>) -> T) -> T {
        let mut books = self.inner.books.lock().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock, so that calls happen in the order of their times.
        let now = self.inner.clock.now();
        work(&mut books, now)
    }

    fn faults(&self) -> MutexGuard<'_, faults::Faults> {
        self.inner.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

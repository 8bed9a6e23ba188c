//! Looking at the suppliers' accounts, and at prices that were too high.

use std::sync::Arc;
use std::time::Duration;

use super::driver::Driver;
use super::supplier_desk::Chain;
use crate::alert::{Alert, AlertChange};
use crate::health::{AccountChange, AccountEvent, HealthChange, HealthEvent, Off, WhyOff};
use crate::ids::SupplierName;
use crate::money::Amount;
use crate::ports::{Clock, Observed, Profile, Reports, Stop, Wanted};
use crate::redemption::CallFailure;

/// How often each account is looked at.
const ACCOUNTS_EVERY: Duration = Duration::from_secs(60);
/// How often the catalogue is asked for each source that is off for its price.
const PRICES_EVERY: Duration = Duration::from_secs(60);

pub(super) async fn watch_accounts(driver: Arc<Driver>) {
    let mut every = tokio::time::interval(ACCOUNTS_EVERY);
    loop {
        every.tick().await;
        for (name, desk) in &driver.suppliers {
            match desk.profile().await {
                Ok(profile) => driver.observe_account(name, &profile).await,
                Err(CallFailure::Stopped(Stop::Key)) => driver.observe_refused_key(name).await,
                Err(failure) => {
                    tracing::debug!(supplier = %name, ?failure, "an account could not be looked at");
                }
            }
        }
    }
}

/// A source that was too dear comes back when the catalogue shows a price that fits.
pub(super) async fn watch_prices(driver: Arc<Driver>, reports: Arc<dyn Reports>) {
    let mut every = tokio::time::interval(PRICES_EVERY);
    loop {
        every.tick().await;
        let sources = match reports.sources().await {
            Ok(sources) => sources,
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "sources could not be read");
                continue;
            }
        };
        for (source, health) in sources {
            let Some(Off { why: WhyOff::Dear { .. }, .. }) = health.off else { continue };
            let Some(desk) = driver.suppliers.get(&source.supplier) else { continue };
            let wanted = Wanted {
                product: source.product.clone(),
                country: source.country.clone(),
                operator: source.operator.clone(),
                max_cost: Amount::MAX,
            };
            if let Ok(Some(price)) = desk.listed_price(&wanted).await {
                let health = vec![HealthChange { source, event: HealthEvent::Listed { price } }];
                driver.observe(Observed { health, ..driver.nothing_observed() }).await;
            }
        }
    }
}

impl Driver {
    async fn observe_account(&self, supplier: &SupplierName, profile: &Profile) {
        let event = AccountEvent::Seen {
            balance: profile.balance,
            currency: profile.currency,
            rating_milli: profile.rating_milli,
        };
        let accounts = vec![AccountChange { supplier: supplier.clone(), event }];
        self.observe(Observed { accounts, ..self.nothing_observed() }).await;
    }

    async fn observe_refused_key(&self, supplier: &SupplierName) {
        let alerts = vec![AlertChange::raise(Alert::KeyRefused { supplier: supplier.clone() })];
        self.observe(Observed { alerts, ..self.nothing_observed() }).await;
    }

    pub(super) async fn observe(&self, observed: Observed) {
        match self.journal.storage().observe(observed).await {
            Ok(()) => self.journal.alerted().notify_one(),
            // Seen again at the next look.
            Err(error) => tracing::warn!(error = %Chain(&error), "what was seen could not be stored"),
        }
    }

    pub(super) fn nothing_observed(&self) -> Observed {
        Observed {
            health: Vec::new(),
            accounts: Vec::new(),
            alerts: Vec::new(),
            rules: self.rules.health,
            now: self.clock.now(),
        }
    }
}

//! The operator's rules for all SKUs together, and whom alerts are told to.

use std::sync::Arc;
use std::time::Duration;

use mintcode_core::guessing::{GuessQuotas, Quota};
use mintcode_core::health::HealthRules;
use mintcode_core::money::{Amount, Currency, Rate, Rates};
use mintcode_core::ports::Clock;
use mintcode_core::responsible::{DenyList, Screening};
use mintcode_core::rules::Rules;
use mintcode_core::velocity::{Cap, Caps};
use mintcode_http::{WebhookAlerts, WebhookError};
use secrecy::SecretString;

use super::keys;
use super::settings::SupplierSettings;
use super::sources::Sources;
use super::value::{PatternList, Rating, SecretUrl, TextList};
use crate::exit::{Failure, chain};

impl Sources {
    /// What the operator has set for all SKUs.
    pub(crate) fn rules(&self) -> Result<Rules, Failure> {
        Ok(Rules {
            health: self.health_rules()?,
            caps: Caps {
                session: self.cap("session")?,
                address: self.cap("address")?,
                sku: self.cap("sku")?,
            },
            guesses: self.guesses()?,
            deny: self.deny_list()?,
            screening: self.screening()?,
            rates: self.rates()?,
            retention: self.required("privacy.retention")?,
        })
    }

    fn health_rules(&self) -> Result<HealthRules, Failure> {
        Ok(HealthRules {
            window: self.required("engine.breaker_window")?,
            min_tries: self.required("engine.breaker_min_tries")?,
            off: self.required("engine.breaker_off")?,
            give_backs: self.required("limits.give_backs")?,
            rating_floor_milli: self.required::<Rating>("limits.rating_floor")?.0,
            balance_low: self.required::<Amount>("alerts.balance_below")?,
            rating_low_milli: self.required::<Rating>("alerts.rating_below")?.0,
        })
    }

    fn cap(&self, of: &str) -> Result<Cap, Failure> {
        let number = |per: &str| self.required(&format!("limits.{of}_per_{per}"));
        Ok(Cap { per_hour: number("hour")?, per_day: number("day")? })
    }

    fn guesses(&self) -> Result<GuessQuotas, Failure> {
        let quota = |of: &str| {
            let most = self.required(&format!("limits.wrong_codes_{of}_per_minute"))?;
            Ok::<_, Failure>(Quota::new(most, Duration::from_mins(1)))
        };
        Ok(GuessQuotas { session: quota("session")?, address: quota("address")?, all: quota("all")? })
    }

    /// What is not served.
    pub(crate) fn deny_list(&self) -> Result<DenyList, Failure> {
        let list = if self.required("deny.shipped")? { DenyList::shipped() } else { DenyList::empty() };
        let TextList(services) = self.required("deny.services")?;
        let TextList(countries) = self.required("deny.countries")?;
        Ok(list.with(services, countries))
    }

    fn screening(&self) -> Result<Screening, Failure> {
        let name = "sms.patterns";
        let PatternList(patterns) = self.required(name)?;
        Screening::new(self.required("sms.withhold")?, &patterns)
            .map_err(|error| Failure::usage(format!("{name}, from {}: {error}", self.origin(name))))
    }

    /// The selling currency, and what others are worth in it.
    pub(crate) fn rates(&self) -> Result<Rates, Failure> {
        let mut rates = Rates::only(self.required("money.currency")?);
        for currency in self.rated() {
            let name = keys::rate(currency);
            let rate = self.required(&name)?;
            if currency == rates.selling && rate != Rate::ONE {
                return Err(Failure::usage(format!(
                    "{name}, from {}, is {rate}; expected no rate for the selling currency itself",
                    self.origin(&name)
                )));
            }
            rates.rates.insert(currency, rate);
        }
        Ok(rates)
    }

    /// Refuses a supplier whose prices could not be compared with what vouchers earn.
    pub(crate) fn check_rates(&self, suppliers: &[SupplierSettings]) -> Result<(), Failure> {
        let rates = self.rates()?;
        for SupplierSettings { name, currency, .. } in suppliers {
            if rates.of(*currency).is_none() {
                let (key, selling): (_, Currency) = (keys::rate(*currency), rates.selling);
                let variable = keys::variable(&key);
                return Err(Failure::usage(format!(
                    "{key} is missing, and supplier {name} charges in {currency}; set the variable {variable}, or \
                     {currency} under [rates], to what 1 {currency} is worth in {selling}"
                )));
            }
        }
        Ok(())
    }

    /// What posts alerts, if they are to be posted anywhere.
    pub(crate) fn alerts(&self, clock: Arc<dyn Clock>) -> Result<Option<WebhookAlerts>, Failure> {
        let (url, secret) = ("alerts.webhook", "alerts.webhook_secret");
        let Some(SecretUrl(webhook)) = self.optional(url)? else { return Ok(None) };
        let key: Option<SecretString> = self.optional(secret)?;
        let sink = WebhookAlerts::new(webhook.as_str(), key.as_ref(), clock);
        sink.map(Some).map_err(|error| {
            let name = if matches!(error, WebhookError::Secret) { secret } else { url };
            Failure::usage(format!("{name}, from {}: {}", self.origin(name), chain(&error)))
        })
    }
}

//! What the values mean to the parts they are for.

use std::time::Duration;

use mintcode_core::ids::SupplierName;
use mintcode_core::money::Currency;
use mintcode_core::redemption::Timing;
use mintcode_core::span;
use mintcode_core::voucher::{Shape, VoucherKeys, VoucherSecret};
use mintcode_http::{Proxy, Site};
use mintcode_store::DatabaseUrl;
use secrecy::{ExposeSecret, SecretString};
use tracing_subscriber::EnvFilter;
use url::Url;

use super::keys;
use super::sources::{self, Sources};
use super::value::{Address, LogFormat, ProxyList, SecretList, SupplierKind};
use crate::exit::Failure;

/// The longest time after a committed intent within which its purchase may be sent.
const LONGEST_SEND_WINDOW: Duration = Duration::from_secs(5);

/// How to log.
pub(crate) struct LogSettings {
    pub(crate) filter: EnvFilter,
    pub(crate) format: LogFormat,
}

/// One supplier.
pub(crate) struct SupplierSettings {
    pub(crate) name: SupplierName,
    pub(crate) url: Url,
    pub(crate) api_key: SecretString,
    pub(crate) currency: Currency,
    pub(crate) is_exclusive: bool,
    pub(crate) requests_per_second: u32,
}

impl Sources {
    pub(crate) fn listen(&self) -> Result<Address, Failure> {
        self.required("listen")
    }

    /// The operator's key.
    pub(crate) fn admin_key(&self) -> Result<SecretString, Failure> {
        self.required("admin_api_key")
    }

    pub(crate) fn log(&self) -> Result<LogSettings, Failure> {
        Ok(LogSettings { filter: self.required("log")?, format: self.required("log_format")? })
    }

    /// Where the database is.
    pub(crate) fn database(&self) -> Result<DatabaseUrl, Failure> {
        self.required("database.url")
    }

    /// The voucher secret and those before it.
    pub(crate) fn voucher_keys(&self) -> Result<VoucherKeys, Failure> {
        let current: SecretString = self.required("voucher.secret")?;
        let previous: Option<SecretList> = self.optional("voucher.secret_previous")?;
        let previous = previous.map_or_else(Vec::new, |list| list.0);
        let current = self.secret("voucher.secret", &current)?;
        let previous: Result<Vec<_>, _> =
            previous.iter().map(|secret| self.secret("voucher.secret_previous", secret)).collect();
        Ok(VoucherKeys::new(&current, &previous?))
    }

    fn secret(&self, name: &str, secret: &SecretString) -> Result<VoucherSecret, Failure> {
        VoucherSecret::new(secret.expose_secret()).map_err(|_| {
            let bytes = secret.expose_secret().len();
            sources::refused(
                name,
                &self.origin(name),
                &format!("at least 32 bytes for each secret, one has {bytes}"),
            )
        })
    }

    /// The shape of codes, where `length` holds instead of the one that is set if it is given.
    pub(crate) fn shape(&self, length: Option<u8>) -> Result<Shape, Failure> {
        let length = length.map_or_else(|| self.required("voucher.length"), Ok)?;
        let (label_length, label_pos) =
            (self.required("voucher.label_length")?, self.required("voucher.label_pos")?);
        Shape::new(length, label_length, label_pos).map_err(|error| {
            let names = ["voucher.length", "voucher.label_length", "voucher.label_pos"];
            let name = names.into_iter().find(|name| self.is_given(name)).unwrap_or(names[0]);
            Failure::usage(format!("{name}, from {}: {error}", self.origin(name)))
        })
    }

    /// The engine's times, after checking that they fit together.
    pub(crate) fn timing(&self) -> Result<Timing, Failure> {
        let worker_ttl = self.engine("worker_ttl")?;
        // A short life of workers needs quick beats, whether or not anyone thought of setting them.
        let usual_beat: Duration = self.engine("heartbeat")?;
        let heartbeat =
            if self.is_given("engine.heartbeat") { usual_beat } else { usual_beat.min(worker_ttl / 3) };
        let timing = Timing {
            buy_timeout: self.engine("buy_timeout")?,
            send_window: LONGEST_SEND_WINDOW.min(worker_ttl / 6),
            settle_time: self.engine("settle_time")?,
            late_max: self.engine("late_max")?,
            backoff_min: self.engine("backoff_min")?,
            backoff_max: self.engine("backoff_max")?,
            poll_min: self.engine("poll_min")?,
            poll_max: self.engine("poll_max")?,
            worker_ttl,
            heartbeat,
            orphan_age: self.engine("orphan_age")?,
            sweep_interval: self.engine("sweep_interval")?,
            ..Timing::default()
        };
        let zero = Duration::ZERO;
        self.in_order("worker_ttl", worker_ttl >= heartbeat * 2, "at least twice heartbeat", heartbeat)?;
        self.in_order("worker_ttl", worker_ttl > zero, "longer than", zero)?;
        self.in_order("heartbeat", heartbeat > zero, "longer than", zero)?;
        self.in_order("buy_timeout", timing.buy_timeout > zero, "longer than", zero)?;
        self.in_order("poll_min", timing.poll_min > zero, "longer than", zero)?;
        self.in_order("breaker_window", self.engine("breaker_window")? > zero, "longer than", zero)?;
        self.in_order("sweep_interval", timing.sweep_interval > zero, "longer than", zero)?;
        let settle = timing.settle_time;
        self.in_order(
            "settle_time",
            settle > timing.buy_timeout,
            "longer than buy_timeout",
            timing.buy_timeout,
        )?;
        self.in_order("poll_max", timing.poll_max >= timing.poll_min, "at least poll_min", timing.poll_min)?;
        let backoff = timing.backoff_min;
        self.in_order("backoff_max", timing.backoff_max >= backoff, "at least backoff_min", backoff)?;
        let least = settle + worker_ttl;
        self.in_order(
            "orphan_age",
            timing.orphan_age > least,
            "longer than settle_time and worker_ttl together",
            least,
        )?;
        Ok(timing)
    }

    fn engine(&self, key: &str) -> Result<Duration, Failure> {
        self.required(&format!("engine.{key}"))
    }

    fn in_order(&self, key: &str, holds: bool, expected: &str, other: Duration) -> Result<(), Failure> {
        if holds {
            return Ok(());
        }
        let name = format!("engine.{key}");
        let value = span::show(self.engine(key)?);
        let origin = self.origin(&name);
        Err(Failure::usage(format!(
            "{name}, from {origin}, is {value}; expected {expected}, {}",
            span::show(other)
        )))
    }

    /// Every supplier, the default one first.
    pub(crate) fn suppliers(&self) -> Result<Vec<SupplierSettings>, Failure> {
        let further = self.further_suppliers();
        let wants_main =
            further.is_empty() || self.is_given("supplier.url") || self.is_given("supplier.api_key");
        let main = wants_main.then(|| self.supplier(keys::SUPPLIER, SupplierName::default()));
        let further = further.into_iter().map(|name| {
            let section = format!("{}.{name}", keys::SUPPLIERS);
            let name =
                SupplierName::new(name).map_err(|error| Failure::usage(format!("[{section}]: {error}")))?;
            if name == SupplierName::default() {
                return Err(Failure::usage(format!(
                    "[{section}] is the default supplier, which stands in [supplier]"
                )));
            }
            self.supplier(&section, name)
        });
        main.into_iter().chain(further).collect()
    }

    fn supplier(&self, section: &str, name: SupplierName) -> Result<SupplierSettings, Failure> {
        let key = |key: &str| format!("{section}.{key}");
        let SupplierKind::Rest = self.required(&key("kind"))?;
        Ok(SupplierSettings {
            name,
            url: self.required(&key("url"))?,
            api_key: self.required(&key("api_key"))?,
            currency: self.required(&key("currency"))?,
            is_exclusive: self.required(&key("exclusive_account"))?,
            requests_per_second: self.required(&key("requests_per_second"))?,
        })
    }

    /// The only key that a simulator takes.
    pub(crate) fn simulator_key(&self) -> Result<Option<SecretString>, Failure> {
        self.optional("supplier.api_key")
    }

    /// From a purchase to its SMS at the sandbox's supplier.
    pub(crate) fn sandbox_sms_after(&self) -> Result<Duration, Failure> {
        self.required("sandbox.sms_after")
    }

    /// The proxies whose word on a customer's address is believed.
    pub(crate) fn trusted_proxies(&self) -> Result<Vec<Proxy>, Failure> {
        self.required::<ProxyList>("server.trusted_proxies").map(|list| list.0)
    }

    /// What the pages say about the operator.
    pub(crate) fn site(&self) -> Result<Site, Failure> {
        Ok(Site {
            name: self.required("site.name")?,
            support_contact: self.optional("site.support_contact")?,
            terms: self.optional("site.terms")?,
        })
    }
}

//! The table of everything that can be set.

use std::time::Duration;

use mintcode_core::money::{Amount, Currency, Rate};
use mintcode_store::DatabaseUrl;
use secrecy::SecretString;
use tracing_subscriber::EnvFilter;
use url::Url;

use super::value::{
    Address, Given, LogFormat, PatternList, ProxyList, Rating, SecretList, SecretUrl, Setting, SupplierKind,
    TextList,
};

/// Something that can be set.
#[derive(Debug)]
pub(super) struct Key {
    /// Section and key joined by a point; those of the default supplier stand for every supplier.
    pub(super) name: &'static str,
    /// What holds where nothing is set.
    pub(super) default: Option<&'static str>,
    /// Whether a value may be shown in an error.
    pub(super) is_secret: bool,
    /// What is wrong with a value.
    pub(super) check: fn(&Given) -> Result<(), String>,
}

const fn key<T: Setting>(name: &'static str, default: Option<&'static str>) -> Key {
    Key { name, default, is_secret: T::IS_SECRET, check: |given| given.read::<T>().map(drop) }
}

/// Everything that can be set, in the order of `mintcode.example.toml`.
pub(super) const KEYS: &[Key] = &[
    key::<Address>("listen", Some("127.0.0.1:8080")),
    key::<SecretString>("admin_api_key", None),
    key::<EnvFilter>("log", Some("info")),
    key::<LogFormat>("log_format", Some("pretty")),
    key::<DatabaseUrl>("database.url", Some("sqlite:mintcode.db")),
    key::<SupplierKind>("supplier.kind", Some("rest")),
    key::<Url>("supplier.url", None),
    key::<SecretString>("supplier.api_key", None),
    key::<Currency>("supplier.currency", Some("USD")),
    key::<bool>("supplier.exclusive_account", Some("false")),
    key::<u32>("supplier.requests_per_second", Some("50")),
    key::<Duration>("engine.worker_ttl", Some("30s")),
    key::<Duration>("engine.heartbeat", Some("10s")),
    key::<Duration>("engine.settle_time", Some("30s")),
    key::<Duration>("engine.late_max", Some("10s")),
    key::<Duration>("engine.orphan_age", Some("100s")),
    key::<Duration>("engine.sweep_interval", Some("30s")),
    key::<Duration>("engine.poll_min", Some("1s")),
    key::<Duration>("engine.poll_max", Some("10s")),
    key::<Duration>("engine.buy_timeout", Some("10s")),
    key::<Duration>("engine.breaker_window", Some("10m")),
    key::<u32>("engine.breaker_min_tries", Some("5")),
    key::<Duration>("engine.breaker_off", Some("10m")),
    key::<Duration>("engine.backoff_min", Some("30s")),
    key::<Duration>("engine.backoff_max", Some("60s")),
    key::<SecretString>("voucher.secret", None),
    key::<SecretList>("voucher.secret_previous", None),
    key::<u8>("voucher.length", Some("32")),
    key::<u8>("voucher.label_length", Some("6")),
    key::<u8>("voucher.label_pos", Some("8")),
    key::<Currency>("money.currency", Some("USD")),
    key::<ProxyList>("server.trusted_proxies", Some("")),
    key::<String>("site.name", Some("MintCode")),
    key::<String>("site.support_contact", None),
    key::<String>("site.terms", None),
    key::<u32>("limits.session_per_hour", Some("200")),
    key::<u32>("limits.session_per_day", Some("1000")),
    key::<u32>("limits.address_per_hour", Some("2000")),
    key::<u32>("limits.address_per_day", Some("20000")),
    key::<u32>("limits.sku_per_hour", Some("5000")),
    key::<u32>("limits.sku_per_day", Some("50000")),
    key::<u32>("limits.wrong_codes_session_per_minute", Some("20")),
    key::<u32>("limits.wrong_codes_address_per_minute", Some("120")),
    key::<u32>("limits.wrong_codes_all_per_minute", Some("6000")),
    key::<u32>("limits.give_backs", Some("60")),
    key::<Rating>("limits.rating_floor", Some("80")),
    key::<SecretUrl>("alerts.webhook", None),
    key::<SecretString>("alerts.webhook_secret", None),
    key::<Amount>("alerts.balance_below", Some("5.00")),
    key::<Rating>("alerts.rating_below", Some("85")),
    key::<bool>("deny.shipped", Some("true")),
    key::<TextList>("deny.services", Some("")),
    key::<TextList>("deny.countries", Some("")),
    key::<bool>("sms.withhold", Some("true")),
    key::<PatternList>("sms.patterns", Some("")),
    key::<Duration>("privacy.retention", Some("30d")),
    key::<Duration>("sandbox.sms_after", Some("4s")),
];

/// The section whose keys are currencies, and what each of them is.
pub(super) const RATES: &str = "rates";
static RATE: Key = key::<Rate>("rates.CURRENCY", None);

/// The default supplier's section, and where further ones stand.
pub(super) const SUPPLIER: &str = "supplier";
pub(super) const SUPPLIERS: &str = "suppliers";

/// The key called `name`, be it of the default supplier or of a further one (`suppliers.NAME.KEY`), or a currency's rate.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    if let Some(currency) = name.strip_prefix("rates.") {
        return currency.parse::<Currency>().is_ok().then_some(&RATE);
    }
    let further = name.strip_prefix("suppliers.").and_then(|rest| rest.rsplit_once('.'));
    let wanted = match further {
        Some((_, key)) => format!("{SUPPLIER}.{key}"),
        None => name.to_owned(),
    };
    KEYS.iter().find(|key| key.name == wanted)
}

/// The names of the keys of one supplier, without their section.
pub(super) fn of_a_supplier() -> impl Iterator<Item = &'static str> {
    KEYS.iter().filter_map(|key| key.name.strip_prefix("supplier."))
}

/// The currency's rate that `variable` sets: `MINTCODE_RATES_EUR`.
pub(super) fn of_rate(variable: &str) -> Option<String> {
    let currency: Currency = variable.strip_prefix("MINTCODE_RATES_")?.parse().ok()?;
    Some(rate(currency))
}

/// The name of the key that has the rate of `currency`.
pub(super) fn rate(currency: Currency) -> String {
    format!("{RATES}.{currency}")
}

/// The variable that sets the key called `name`.
pub(super) fn variable(name: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    format!("MINTCODE_{}", name.chars().map(fits).collect::<String>())
}

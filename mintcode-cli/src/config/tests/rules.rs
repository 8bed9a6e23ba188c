use std::time::Duration;

use mintcode_core::guessing::{GuessQuotas, Quota};
use mintcode_core::health::HealthRules;
use mintcode_core::money::{Amount, Currency};
use mintcode_core::responsible::Reason;
use mintcode_core::velocity::{Cap, Caps};

use super::{alerts, environment, file, refused};

#[test]
fn an_error_in_a_rule_names_key_and_origin_and_what_is_expected() {
    for (text, expected) in [
        (
            "[limits]\nsku_per_day = 1000001",
            "limits.sku_per_day, from m.toml:2, is 1000001; expected a whole number from 1 to 1000000",
        ),
        (
            "[limits]\nrating_floor = \"101\"",
            "limits.rating_floor, from m.toml:2, is \\\"101\\\"; expected a standing from",
        ),
        ("[limits]\nrating_floor = \"80.0001\"", "at most three digits after the point"),
        (
            "[alerts]\nbalance_below = 5.0",
            "alerts.balance_below, from m.toml:2, is 5.0; expected an amount such as",
        ),
        ("[alerts]\nbalance_below = \"-1\"", "expected an amount such as"),
        (
            "[alerts]\nwebhook = \"hush-hush\"",
            "alerts.webhook, from m.toml:2, cannot be used; expected a URL that begins with http:// or https://",
        ),
        (
            "[alerts]\nwebhook = \"http://hush\"\nwebhook_secret = \"whsec_hush!\"",
            "alerts.webhook_secret, from m.toml:3: a webhook's secret is",
        ),
        (
            "[engine]\nbreaker_window = \"0s\"",
            "engine.breaker_window, from m.toml:2, is 0s; expected longer than, 0s",
        ),
        (
            "[deny]\nservices = \"acme\"",
            "deny.services, from m.toml:2, is \\\"acme\\\"; expected a list of texts",
        ),
        ("[deny]\ncountries = [7]", "deny.countries, from m.toml:2, is [7]; expected a list of texts"),
        ("[deny]\nshipped = \"no\"", "deny.shipped, from m.toml:2, is \\\"no\\\"; expected true or false"),
        (
            "[sms]\npatterns = ['acme', '(']",
            "sms.patterns, from m.toml:2: pattern 2 is not a regular expression (unclosed group): correct or remove it",
        ),
        ("[sms]\npatterns = ['x*']", "sms.patterns, from m.toml:2: pattern 1 matches an empty text"),
        (
            "[server]\ntrusted_proxies = [\"10.0.0.0/8\", \"proxy\"]",
            "expected a list of addresses such as \\\"127.0.0.1\\\" and blocks such as \\\"10.0.0.0/8\\\"; \\\"proxy\\\" is neither",
        ),
        ("[rates]\nEURO = \"1.08\"", "rates.EURO, from m.toml:2, is not known"),
        (
            "[rates]\nEUR = 1.08",
            "rates.EUR, from m.toml:2, is 1.08; expected what one unit is worth in the selling currency, such as",
        ),
        ("[rates]\nEUR = \"0\"", "rates.EUR, from m.toml:2, is \\\"0\\\"; expected what one unit is worth"),
        (
            "[rates]\nUSD = \"2\"",
            "rates.USD, from m.toml:2, is 2.00; expected no rate for the selling currency itself",
        ),
        (
            "[supplier]\nurl = \"http://s\"\napi_key = \"k\"\ncurrency = \"RUB\"",
            "rates.RUB is missing, and supplier main charges in RUB; set the variable MINTCODE_RATES_RUB, or RUB under \
             [rates], to what 1 RUB is worth in USD",
        ),
        (
            "[supplier]\nurl = \"http://s\"\napi_key = \"k\"\n[money]\ncurrency = \"CNY\"",
            "rates.USD is missing, and supplier main charges in USD",
        ),
    ] {
        let error = refused(text);
        assert!(error.contains(expected), "{text:?}: {error}");
        assert!(!error.contains("\\n") && !error.contains("hush"), "{error}");
    }
}

#[test]
fn the_rules_are_what_is_set() {
    let sources = file(
        r#"
[engine]
breaker_window = "1m"
breaker_min_tries = 3
breaker_off = "20s"
[money]
currency = "CNY"
[rates]
USD = "7.15"
RUB = "0.09"
[limits]
session_per_hour = 1
session_per_day = 2
address_per_hour = 3
address_per_day = 4
sku_per_hour = 5
sku_per_day = 6
wrong_codes_session_per_minute = 8
wrong_codes_address_per_minute = 9
wrong_codes_all_per_minute = 10
give_backs = 7
rating_floor = "90.5"
[alerts]
balance_below = "12.34"
rating_below = "95"
[deny]
shipped = false
services = ["acme-chat"]
countries = ["atlantis"]
[sms]
withhold = false
patterns = ['\bcredit \d{2,4}\b']
"#,
    );
    let rules = sources.rules().unwrap();
    let expected = HealthRules {
        window: Duration::from_secs(60),
        min_tries: 3,
        off: Duration::from_secs(20),
        give_backs: 7,
        rating_floor_milli: 90_500,
        balance_low: Amount::from_micros(12_340_000),
        rating_low_milli: 95_000,
    };
    assert_eq!(rules.health, expected);
    let cap = |per_hour, per_day| Cap { per_hour, per_day };
    assert_eq!(rules.caps, Caps { session: cap(1, 2), address: cap(3, 4), sku: cap(5, 6) });
    let quota = |most| Quota::new(most, Duration::from_mins(1));
    assert_eq!(rules.guesses, GuessQuotas { session: quota(8), address: quota(9), all: quota(10) });
    assert_eq!(rules.deny.service("acmechat"), Some(Reason::Operator));
    assert_eq!((rules.deny.service("paypal"), rules.deny.country("Atlantis")), (None, true));
    assert_eq!(rules.screening.patterns().collect::<Vec<_>>(), ["operator-1"]);
    let rate = |code: &str| rules.rates.of(code.parse::<Currency>().unwrap()).map(|rate| rate.to_string());
    assert_eq!(rules.rates.selling.code(), "CNY");
    assert_eq!([rate("USD"), rate("RUB"), rate("EUR")], [Some("7.15".into()), Some("0.09".into()), None]);
}

#[test]
fn rates_and_lists_come_from_variables_too() {
    let mut sources = file("[rates]\nEUR = \"1.08\"\n[deny]\nservices = [\"acme\"]");
    let unknown = environment(
        &mut sources,
        &[
            ("MINTCODE_RATES_EUR", "1.10"),
            ("MINTCODE_RATES_RUB", "0.0125"),
            ("MINTCODE_RATES_EURO", "1"),
            ("MINTCODE_DENY_SERVICES", "one, two\nthree\n"),
            ("MINTCODE_SMS_PATTERNS", "acme \\d{2,4}\nother\r\n"),
            ("MINTCODE_SERVER_TRUSTED_PROXIES", "127.0.0.1, 10.0.0.0/8"),
            ("MINTCODE_LIMITS_GIVE_BACKS", "9"),
            ("MINTCODE_ALERTS_WEBHOOK", "https://ops.example/hook?key=hush"),
        ],
    );
    assert_eq!(unknown, ["MINTCODE_RATES_EURO"]);
    sources.check().unwrap();
    let rules = sources.rules().unwrap();
    let rates: Vec<_> =
        rules.rates.rates.iter().map(|(currency, rate)| format!("{currency} {rate}")).collect();
    assert_eq!(rates, ["EUR 1.10", "RUB 0.0125"]);
    let added = ["one", "two", "three"];
    assert!(added.iter().all(|name| rules.deny.service(name) == Some(Reason::Operator)));
    assert_eq!(rules.deny.service("acme"), None, "a variable replaces the file's list");
    assert_eq!(rules.screening.patterns().filter(|name| name.starts_with("operator")).count(), 2);
    assert_eq!((rules.health.give_backs, sources.trusted_proxies().unwrap().len()), (9, 2));
    assert!(alerts(&sources).unwrap().is_some());
}

mod rules;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mintcode_core::redemption::Timing;
use mintcode_core::rules::Rules;
use mintcode_http::WebhookAlerts;
use toml::{Table, Value};

use super::keys::{self, KEYS};
use super::sources::Sources;
use super::value::{Given, Origin};
use crate::exit::Failure;
use crate::system::SystemClock;

const EXAMPLE: &str = include_str!("../../../mintcode.example.toml");
/// The file in the contract, but for the values it leaves out.
const CONTRACT: &str = r#"
listen = "127.0.0.1:8080"
[database]
url = "sqlite:mintcode.db"
[supplier]                     # the default one, named "main"; further ones under [suppliers.NAME]
kind = "rest"                  # or "handler"
url = "http://supplier.example/v1"
api_key = "key"
currency = "USD"
exclusive_account = false
requests_per_second = 50
[engine]
worker_ttl = "30s"
heartbeat = "10s"
settle_time = "30s"
orphan_age = "100s"
sweep_interval = "30s"
poll_min = "1s"
poll_max = "10s"
buy_timeout = "10s"
breaker_window = "10m"
breaker_min_tries = 5
breaker_off = "10m"
backoff_min = "30s"
backoff_max = "60s"
[voucher]
[money]
currency = "USD"
[site]
[limits]
[alerts]
[privacy]
retention = "30d"
"#;

fn file(text: &str) -> Sources {
    let mut sources = Sources::default();
    sources.read_file(Path::new("m.toml"), text).unwrap();
    sources
}

fn refused(text: &str) -> String {
    let mut sources = Sources::default();
    let read = sources.read_file(Path::new("m.toml"), text).and_then(|()| {
        sources.check()?;
        sources.timing()?;
        sources.shape(None)?;
        sources.rules()?;
        alerts(&sources)?;
        sources.trusted_proxies()?;
        sources.check_rates(&sources.suppliers()?)?;
        sources.voucher_keys().map(drop)
    });
    format!("{:?}", read.unwrap_err())
}

fn alerts(sources: &Sources) -> Result<Option<WebhookAlerts>, Failure> {
    sources.alerts(Arc::new(SystemClock))
}

fn environment(sources: &mut Sources, variables: &[(&str, &str)]) -> Vec<String> {
    let variables = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    sources.read_environment(variables).unwrap()
}

/// The example with the keys that have no default switched on.
fn whole_example() -> String {
    let is_key = |line: &str| {
        let name = line.split_once(" = ").map_or("", |(name, _)| name);
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    let switch = |line: &str| match line.strip_prefix("# ").filter(|rest| is_key(rest)) {
        Some(rest) => format!("{rest}\n"),
        None => format!("{line}\n"),
    };
    EXAMPLE.lines().map(switch).collect()
}

fn names(text: &str) -> BTreeSet<String> {
    let table: Table = text.parse().unwrap();
    let of = |(name, value): (&String, &Value)| match value {
        Value::Table(section) => section.keys().map(|key| format!("{name}.{key}")).collect(),
        _ => vec![name.clone()],
    };
    table.iter().flat_map(of).collect()
}

#[test]
fn the_example_has_every_key_and_loads_with_and_without_those_that_have_no_default() {
    let every: BTreeSet<String> = KEYS.iter().map(|key| key.name.to_owned()).collect();
    assert_eq!(names(&whole_example()), every);
    let with_default = KEYS.iter().filter(|key| key.default.is_some()).map(|key| key.name.to_owned());
    assert_eq!(names(EXAMPLE), with_default.collect());

    for text in [EXAMPLE, &whole_example()] {
        file(text).check().unwrap();
        file(text).timing().unwrap();
        let sources = file(text);
        assert_same(&sources.rules().unwrap(), &Rules::default());
        assert!(sources.trusted_proxies().unwrap().is_empty());
    }
    assert!(alerts(&file(EXAMPLE)).unwrap().is_none());
    assert!(alerts(&file(&whole_example())).unwrap().is_some());
    file(&whole_example()).voucher_keys().unwrap();
    assert_eq!(file(&whole_example()).suppliers().unwrap().len(), 1);
}

fn assert_same(rules: &Rules, expected: &Rules) {
    let Rules { health, caps, guesses, deny, screening, rates, retention } = rules;
    assert_eq!((health, caps, rates), (&expected.health, &expected.caps, &expected.rates));
    assert_eq!(guesses, &expected.guesses);
    assert_eq!(retention, &expected.retention);
    assert_eq!(deny, &expected.deny);
    assert!(screening.patterns().eq(expected.screening.patterns()));
}

#[test]
fn the_example_shows_the_defaults() {
    let table: Table = EXAMPLE.parse().unwrap();
    for key in KEYS {
        let Some(default) = key.default else { continue };
        let shown = match key.name.split_once('.') {
            Some((section, name)) => &table[section][name],
            None => &table[key.name],
        };
        let shown = match shown {
            Value::String(text) => text.clone(),
            // A list is shown as a variable would have it.
            Value::Array(parts) => {
                parts.iter().map(|part| part.as_str().unwrap()).collect::<Vec<_>>().join(",")
            }
            other => other.to_string(),
        };
        assert_eq!(shown, default, "{}", key.name);
        let given = Given::text(default, Origin::Default);
        assert_eq!((key.check)(&given), Ok(()), "{}", key.name);
    }
}

#[test]
fn the_contracts_file_loads() {
    let sources = file(CONTRACT);
    sources.check().unwrap();
    assert_eq!(sources.timing().unwrap(), mintcode_core::redemption::Timing::default());
    assert_eq!(sources.suppliers().unwrap()[0].url.as_str(), "http://supplier.example/v1");
}

#[test]
fn an_error_names_key_and_origin_and_what_is_expected() {
    let secret = "[voucher]\nsecret = \"0123456789012345678901234567890123\"\n";
    for (text, expected) in [
        ("lissen = \"x\"", "lissen, from m.toml:1, is not known"),
        ("[engine]\nworker_tll = \"3s\"", "engine.worker_tll, from m.toml:2, is not known"),
        ("[enigne]\nworker_ttl = \"3s\"", "enigne, from m.toml:1, is not known"),
        ("engine = 3", "engine, from m.toml:1, is not known"),
        ("[limits]\nanything = 3", "limits.anything, from m.toml:2, is not known"),
        ("[suppliers.b]\nurll = \"\"", "suppliers.b.urll, from m.toml:2, is not known"),
        ("\n[engine]\nworker_ttl = 30", "engine.worker_ttl, from m.toml:3, is 30; expected a duration"),
        (
            "[supplier]\nrequests_per_second = 0",
            "supplier.requests_per_second, from m.toml:2, is 0; expected a whole",
        ),
        ("[supplier]\nexclusive_account = \"yes\"", "from m.toml:2, is \\\"yes\\\"; expected true or false"),
        ("[supplier]\nkind = \"handler\"", "expected \\\"rest\\\"; this version does not speak the handler"),
        ("listen = \"8080\"", "listen, from m.toml:1, is \\\"8080\\\"; expected an address and a port"),
        (
            "[voucher]\nlength = 12",
            "voucher.length, from m.toml:2: a voucher code needs at least 80 random bits",
        ),
        (
            "[engine]\nsettle_time = \"9s\"",
            "engine.settle_time, from m.toml:2, is 9s; expected longer than buy_timeout, 10s",
        ),
        (
            "[engine]\nheartbeat = \"16s\"",
            "engine.worker_ttl, from the default, is 30s; expected at least twice heartbeat",
        ),
        ("[engine]\nheartbeat = \"0s\"", "engine.heartbeat, from m.toml:2, is 0s; expected longer than, 0s"),
        (
            "[engine]\norphan_age = \"60s\"",
            "engine.orphan_age, from m.toml:2, is 1m; expected longer than settle_time and worker_ttl together, 1m",
        ),
        ("[engine\n", "m.toml:1 is not TOML"),
        ("", "supplier.url is missing; set the variable MINTCODE_SUPPLIER_URL, or url under [supplier]"),
    ] {
        let error = refused(text);
        assert!(error.contains(expected), "{text:?}: {error}");
        assert!(!error.contains("\\n") && !error.contains("hush"), "{error}");
    }
    let error = refused("[voucher]\nsecret = \"hush-hush\"\n[supplier]\nurl=\"http://s\"\napi_key=\"k\"");
    assert!(error.contains("voucher.secret, from m.toml:2, cannot be used"), "{error}");
    assert!(!error.contains("hush"), "{error}");
    let error = refused(&format!(
        "{secret}secret_previous = [\"hush-hush\"]\n[supplier]\nurl=\"http://s\"\napi_key=\"k\""
    ));
    assert!(error.contains("voucher.secret_previous, from m.toml:3"), "{error}");
    let error = refused("[database]\nurl = \"mysql://root:hush-hush@db\"");
    assert!(error.contains("database.url, from m.toml:2") && !error.contains("hush"), "{error}");
}

#[test]
fn a_variable_wins_over_the_file_and_a_flag_over_both() {
    let mut sources = file("listen = \"127.0.0.1:1\"\n[engine]\npoll_min = \"2s\"");
    let unknown = environment(
        &mut sources,
        &[
            ("MINTCODE_ENGINE_POLL_MIN", "3s"),
            ("MINTCODE_LISTEN", "127.0.0.1:2"),
            ("MINTCODE_SUPPLIER_URL", ""),
            ("MINTCODE_TYPO", "x"),
            ("MINTCODE_SERVER", "http://x"),
            ("PATH", "/bin"),
        ],
    );
    assert_eq!(unknown, ["MINTCODE_TYPO"]);
    sources
        .read_flags(&[("listen", "--listen", Some("127.0.0.1:3")), ("database.url", "--database-url", None)]);
    assert_eq!(sources.timing().unwrap().poll_min, Duration::from_secs(3));
    assert_eq!(sources.listen().unwrap().0, "127.0.0.1:3");
    assert!(!sources.is_given("supplier.url"));
}

#[test]
fn a_further_suppliers_key_may_come_from_its_variable() {
    let mut sources = file("[suppliers.big-one]\nurl = \"http://b/v1\"");
    let variables =
        [("MINTCODE_SUPPLIERS_BIG_ONE_API_KEY", "key"), ("MINTCODE_SUPPLIERS_OTHER_URL", "http://o/v1")];
    assert!(environment(&mut sources, &variables).is_empty());
    let error = format!("{:?}", sources.suppliers().err().unwrap());
    assert!(error.contains("suppliers.other.api_key is missing"), "{error}");
    environment(&mut sources, &[("MINTCODE_SUPPLIERS_OTHER_API_KEY", "key")]);
    let names: Vec<_> =
        sources.suppliers().unwrap().iter().map(|supplier| supplier.name.to_string()).collect();
    assert_eq!(names, ["big-one", "other"]);
}

#[test]
fn a_short_life_of_workers_shortens_the_beat_and_the_send_window() {
    let timing = file("[engine]\nworker_ttl = \"3s\"").timing().unwrap();
    assert_eq!(timing.send_window, Duration::from_millis(500));
    assert_eq!((timing.worker_ttl, timing.heartbeat), (Duration::from_secs(3), Duration::from_secs(1)));
}

#[test]
fn workers_and_the_search_for_orphans_take_the_times_that_are_set() {
    let unset = file("").timing().unwrap();
    let usual = Timing::default();
    assert_eq!((unset.worker_ttl, unset.heartbeat), (usual.worker_ttl, usual.heartbeat));
    assert_eq!((unset.orphan_age, unset.sweep_interval), (usual.orphan_age, usual.sweep_interval));
    let set =
        "[engine]\nworker_ttl = \"12s\"\nheartbeat = \"2s\"\norphan_age = \"50s\"\nsweep_interval = \"7s\"";
    let timing = file(set).timing().unwrap();
    let seconds = [timing.worker_ttl, timing.heartbeat, timing.orphan_age, timing.sweep_interval];
    assert_eq!(seconds.map(|it| it.as_secs()), [12, 2, 50, 7]);
}

#[test]
fn every_variable_stands_for_one_key() {
    let variables: BTreeSet<String> = KEYS.iter().map(|key| keys::variable(key.name)).collect();
    assert_eq!(variables.len(), KEYS.len());
    for name in [
        "MINTCODE_LISTEN",
        "MINTCODE_ADMIN_API_KEY",
        "MINTCODE_VOUCHER_SECRET",
        "MINTCODE_VOUCHER_SECRET_PREVIOUS",
    ] {
        assert!(variables.contains(name), "{name}");
    }
}

#[test]
fn previous_secrets_come_one_per_line_or_between_commas() {
    let (one, two) = ("a".repeat(32), "b".repeat(32));
    for text in [format!("{one}\n{two}\n"), format!("{one},{two}"), format!("{one}\r\n{two}")] {
        let mut sources = Sources::default();
        environment(
            &mut sources,
            &[("MINTCODE_VOUCHER_SECRET", &"c".repeat(32)), ("MINTCODE_VOUCHER_SECRET_PREVIOUS", &text)],
        );
        assert_eq!(sources.voucher_keys().unwrap().ids().len(), 3, "{text:?}");
    }
}

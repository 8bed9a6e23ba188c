//! Commands that need no server: codes, SKUs, minting, and what is said about wrong usage.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "support/command.rs"]
mod command;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use command::{SECRET, mintcode, run, run_with};

const SKUS: &str = r#"
[[sku]]
id = "one"
name = { en = "One", zh = "一" }
label = "ONE"
product = "telegram"
price = "0.80"
[[sku.plan]]
id = "A"
country = "canada"
operator = "virtual4"
expected_cost = "0.12"
max_cost = "0.20"

[[sku]]
id = "two"
name = { en = "Two", zh = "二" }
label = "TWO"
product = "whatsapp"
price = "0.90"
[[sku.plan]]
id = "A"
country = "england"
operator = "virtual66"
expected_cost = "0.12"
max_cost = "0.20"
"#;

fn place() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// A command that knows the secret.
fn keyed(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = mintcode(directory, arguments);
    command.env("MINTCODE_VOUCHER_SECRET", SECRET);
    command
}

/// A directory with a database that sells [`SKUS`].
fn shop() -> TempDir {
    let directory = place();
    fs::write(directory.path().join("skus.toml"), SKUS).unwrap();
    let shown = run(&mut mintcode(directory.path(), ["sku", "apply", "skus.toml"])).done();
    assert_eq!(shown, "one is added\ntwo is added\n");
    directory
}

fn lines(text: &str) -> Vec<&str> {
    text.lines().collect()
}

#[test]
fn generated_codes_are_sorted_grouped_and_verified() {
    let place = place();
    let codes = run(&mut keyed(place.path(), &["generate", "--count", "20", "--label", "TGCA"])).done();
    let mut sorted = lines(&codes);
    assert_eq!(sorted.len(), 20);
    for code in &sorted {
        let groups: Vec<_> = code.split('-').collect();
        assert_eq!(groups.len(), 8, "{code}");
        assert!(groups.iter().all(|group| group.len() == 4), "{code}");
    }
    sorted.sort_unstable();
    assert_eq!(sorted, lines(&codes));

    let verify = |label: &str, input: &str| {
        run_with(&mut keyed(place.path(), &["verify", "-", "--label", label]), input)
    };
    assert_eq!(verify("TGCA", &codes).done(), "OK\n".repeat(20));
    assert_eq!(verify("TGCA", &codes.to_lowercase().replace('-', " ")).done(), "OK\n".repeat(20));
    let foreign = verify("OTHER", &codes);
    assert_eq!((foreign.code, foreign.stdout), (Some(1), "NO\n".repeat(20)));
}

#[test]
fn verify_answers_line_by_line_and_an_empty_line_is_no() {
    let place = place();
    let codes = run(&mut keyed(place.path(), &["generate", "--count", "2", "--label", "A"])).done();
    let codes = lines(&codes);
    let input = format!("{}\n\nnonsense\n{}\n", codes[0], codes[1]);
    let ran = run_with(&mut keyed(place.path(), &["verify", "-", "--label", "A"]), &input);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(1), "OK\nNO\nNO\nOK\n", ""));
}

#[test]
fn identify_tells_which_label_each_code_carries() {
    let place = place();
    let of =
        |label: &str| run(&mut keyed(place.path(), &["generate", "--count", "1", "--label", label])).done();
    let (a, b, c) = (of("A"), of("B"), of("C"));
    let arguments = ["identify", a.trim(), c.trim(), b.trim(), "--labels", "A,B"];
    assert_eq!(run(&mut keyed(place.path(), &arguments)).done(), "A\nunknown\nB\n");
    let shown = run(&mut keyed(place.path(), &[&arguments[..], &["--json"]].concat())).done();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown[1]["label"], Value::Null);
    assert_eq!(shown[2]["label"], "B");
}

#[test]
fn another_shape_is_told_by_its_tag_and_a_weak_one_is_refused() {
    let place = place();
    let shape = ["--label-length", "8", "--label-pos", "3"];
    let generate = ["generate", "--count", "3", "--label", "A", "--length", "40", "--group", "0"];
    let codes = run(&mut keyed(place.path(), &[&generate[..], &shape].concat())).done();
    assert!(codes.lines().all(|code| code.len() == 40), "{codes}");
    let verify = ["verify", "-", "--label", "A"];
    assert!(run_with(&mut keyed(place.path(), &[&verify[..], &shape].concat()), &codes).code == Some(0));
    assert!(run_with(&mut keyed(place.path(), &verify), &codes).code == Some(1));

    let weak = run(&mut keyed(place.path(), &["generate", "--count", "1", "--length", "22"]));
    assert_eq!(weak.code, Some(2));
    assert!(weak.stderr.contains("80 random bits"), "{weak:?}");
}

#[test]
fn the_secret_comes_from_a_file_or_the_environment_and_must_be_long() {
    let place = place();
    let file = place.path().join("secret");
    fs::write(&file, format!("{SECRET}\n")).unwrap();
    let arguments = ["generate", "--count", "1", "--secret-file", "secret"];
    let codes = run(&mut mintcode(place.path(), arguments)).done();
    let verify = run_with(&mut keyed(place.path(), &["verify", "-", "--label", "MINT"]), &codes);
    assert_eq!(verify.done(), "OK\n");

    let missing = run(&mut mintcode(place.path(), ["generate", "--count", "1"]));
    assert_eq!(missing.code, Some(2));
    assert!(missing.stderr.contains("MINTCODE_VOUCHER_SECRET"), "{missing:?}");
    let short =
        run(mintcode(place.path(), ["generate", "--count", "1"]).env("MINTCODE_VOUCHER_SECRET", "hush-hush"));
    assert_eq!(short.code, Some(2));
    assert!(short.stderr.contains("32 bytes") && !short.stderr.contains("hush"), "{short:?}");
}

#[test]
fn a_previous_secret_still_verifies() {
    let place = place();
    let codes = run(&mut keyed(place.path(), &["generate", "--count", "1", "--label", "A"])).done();
    let verify = |previous: &str| {
        let mut command = mintcode(place.path(), ["verify", "-", "--label", "A"]);
        command.env("MINTCODE_VOUCHER_SECRET", "another secret of more than 32 bytes");
        command.env("MINTCODE_VOUCHER_SECRET_PREVIOUS", previous);
        run_with(&mut command, &codes).stdout
    };
    assert_eq!(verify(""), "NO\n");
    assert_eq!(verify(SECRET), "OK\n");
}

#[test]
fn wrong_usage_is_two_and_says_so_in_few_lines() {
    let place = place();
    for arguments in [
        &[][..],
        &["sku"],
        &["brew"],
        &["generate"],
        &["generate", "--count", "0"],
        &["generate", "--count", "1", "--secret", "no secret is ever an argument"],
        &["verify", "X"],
        &["mint", "--sku", "one"],
        &["mint", "--sku", "one", "--count", "1", "--expires-in", "soon"],
        &["plan", "enable", "one"],
        &["voucher", "extend", "X"],
        &["voucher", "extend", "X", "--expires-in", "1d", "--expires-at", "2030-01-01T00:00:00Z"],
        &["voucher", "extend", "X", "--expires-at", "tomorrow"],
        &["voucher", "void", "X", "--reason", ""],
        &["batch", "void"],
        &["redemption", "show", "X"],
        &["redemption", "list", "--status", "odd"],
        &["stats", "--from", "yesterday"],
        &["stats", "--from", "2026-11-02", "--to", "2026-11-01"],
        &["alerts", "ack", "X"],
        &["redeem"],
        &["redeem", "X", "--server", "gopher://x"],
        &["serve", "--role", "worker"],
        &["serve", "--config", "nowhere.toml"],
    ] {
        let ran = run(&mut mintcode(place.path(), arguments));
        assert_eq!(ran.code, Some(2), "{arguments:?}: {ran:?}");
        assert_eq!(ran.stdout, "", "{arguments:?}");
        let count = ran.stderr.lines().count();
        assert!((1..=12).contains(&count), "{arguments:?}: {ran:?}");
    }
}

#[test]
fn serve_refuses_to_start_without_what_it_needs_and_names_it() {
    let place = place();
    let mut set: Vec<(&str, &str)> = Vec::new();
    for (variable, value) in [
        ("MINTCODE_ADMIN_API_KEY", "admin"),
        ("MINTCODE_VOUCHER_SECRET", SECRET),
        ("MINTCODE_SUPPLIER_URL", "http://127.0.0.1:1/v1"),
        ("MINTCODE_SUPPLIER_API_KEY", "key"),
    ] {
        let ran = run(mintcode(place.path(), ["serve", "--listen", "127.0.0.1:0"]).envs(set.clone()));
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
        assert!(ran.stderr.contains(variable), "{ran:?}");
        set.push((variable, value));
    }
}

#[test]
fn a_configuration_error_is_one_line_that_names_key_and_origin() {
    let place = place();
    let serve = |variable: &str, value: &str| {
        run(mintcode(place.path(), ["serve", "--sandbox", "--listen", "127.0.0.1:0"]).env(variable, value))
    };
    let ran = serve("MINTCODE_ENGINE_POLL_MIN", "often");
    assert_eq!((ran.code, ran.stderr.lines().count()), (Some(2), 1), "{ran:?}");
    assert!(ran.stderr.contains("engine.poll_min, from MINTCODE_ENGINE_POLL_MIN, is \"often\""), "{ran:?}");

    fs::write(place.path().join("mintcode.toml"), "[engine]\npoll_minimum = \"1s\"\n").unwrap();
    let ran = serve("MINTCODE_LOG", "info");
    assert_eq!((ran.code, ran.stderr.lines().count()), (Some(2), 1), "{ran:?}");
    assert!(ran.stderr.contains("engine.poll_minimum, from mintcode.toml:2"), "{ran:?}");

    let ran = run(&mut mintcode(place.path(), ["serve", "--sandbox", "--listen", "everywhere"]));
    assert_eq!(ran.code, Some(2), "{ran:?}");
}

#[test]
fn a_supplier_without_a_rate_and_a_pattern_that_is_none_stop_the_start() {
    let place = place();
    let serve = |variable: &str, value: &str| {
        let mut command = keyed(place.path(), &["serve", "--listen", "127.0.0.1:0"]);
        command.env("MINTCODE_ADMIN_API_KEY", "admin").env("MINTCODE_SUPPLIER_URL", "http://127.0.0.1:1/v1");
        run(command.env("MINTCODE_SUPPLIER_API_KEY", "key").env(variable, value))
    };
    for (variable, value, expected) in [
        ("MINTCODE_SUPPLIER_CURRENCY", "RUB", "rates.RUB is missing"),
        (
            "MINTCODE_SMS_PATTERNS",
            "acme\n(",
            "sms.patterns, from MINTCODE_SMS_PATTERNS: pattern 2 is not a regular",
        ),
        ("MINTCODE_LIMITS_SKU_PER_DAY", "0", "expected a whole number from 1 to 1000000"),
        ("MINTCODE_SERVER_TRUSTED_PROXIES", "10.0.0.0/33", "\"10.0.0.0/33\" is neither"),
    ] {
        let ran = serve(variable, value);
        assert_eq!((ran.code, ran.stderr.lines().count()), (Some(2), 1), "{ran:?}");
        assert!(ran.stderr.contains(expected), "{ran:?}");
    }
    assert!(!place.path().join("mintcode.db").exists());
}

#[test]
fn an_unknown_variable_only_warns() {
    let place = place();
    let ran = run(keyed(place.path(), &["generate", "--count", "1"]).env("MINTCODE_TYPO", "x"));
    assert_eq!(ran.code, Some(0));
    assert_eq!(ran.stderr, "warning: the variable MINTCODE_TYPO is not known and has no effect\n");
}

#[test]
fn skus_are_applied_all_or_none() {
    let shop = shop();
    let list = || run(&mut mintcode(shop.path(), ["sku", "list", "--json"])).done();
    let before = list();
    let bad = SKUS.replace("\"0.80\"", "\"0.85\"").replace("virtual66", "any");
    fs::write(shop.path().join("bad.toml"), bad).unwrap();
    let ran = run(&mut mintcode(shop.path(), ["sku", "apply", "bad.toml"]));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("bad.toml:24: sku[1].plan[0].operator must name one operator"), "{ran:?}");
    assert_eq!(list(), before);

    // What the first SKU is no longer allowed once it has vouchers keeps the second from being changed, too.
    run(&mut keyed(shop.path(), &["mint", "--sku", "two", "--count", "1"])).done();
    let fixed = SKUS.replace("\"0.80\"", "\"0.85\"").replace("\"TWO\"", "\"OTHER\"");
    fs::write(shop.path().join("fixed.toml"), fixed).unwrap();
    let ran = run(&mut mintcode(shop.path(), ["sku", "apply", "fixed.toml"]));
    assert!(ran.stderr.contains("fixed.toml:18: sku[1].label is fixed once a batch exists"), "{ran:?}");
    assert_eq!(list(), before);
}

#[test]
fn a_shown_sku_can_be_applied_and_a_plan_switched() {
    let shop = shop();
    let shown = run(&mut mintcode(shop.path(), ["sku", "show", "one"])).done();
    fs::write(shop.path().join("again.toml"), shown).unwrap();
    assert_eq!(run(&mut mintcode(shop.path(), ["sku", "apply", "again.toml"])).done(), "one is replaced\n");

    assert_eq!(
        run(&mut mintcode(shop.path(), ["plan", "disable", "one", "A"])).done(),
        "plan A of one is off\n"
    );
    let shown = run(&mut mintcode(shop.path(), ["sku", "show", "one", "--json"])).done();
    assert_eq!(serde_json::from_str::<Value>(&shown).unwrap()["plans"][0]["enabled"], false);
    let ran = run(&mut mintcode(shop.path(), ["plan", "enable", "one", "Z"]));
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("SKU one has no plan Z"), "{ran:?}");
}

#[test]
fn minted_vouchers_go_to_standard_output_or_a_file_of_their_owner() {
    let shop = shop();
    let codes = run(&mut keyed(shop.path(), &["mint", "--sku", "one", "--count", "5"])).done();
    assert_eq!(codes.lines().count(), 5);
    assert!(codes.lines().all(|code| code.len() == 32), "{codes}");
    let labels = run_with(&mut keyed(shop.path(), &["identify", "-"]), &codes).done();
    assert_eq!(labels, "ONE\n".repeat(5));

    let to_file = ["mint", "--sku", "one", "--count", "3", "--group", "4", "--out", "codes.txt"];
    let ran = run(&mut keyed(shop.path(), &to_file));
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""), "{ran:?}");
    let path = shop.path().join("codes.txt");
    let first = fs::read_to_string(&path).unwrap();
    assert_eq!(first.lines().count(), 3);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

    let ran = run(&mut keyed(shop.path(), &to_file));
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("--force"), "{ran:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), first);
    let batches = run(&mut keyed(shop.path(), &["batch", "list", "--json"])).done();
    let batches: Value = serde_json::from_str(&batches).unwrap();
    assert_eq!(batches.as_array().unwrap().len(), 2, "nothing is minted for a file that cannot be written");
}

#[test]
fn a_batch_is_downloaded_again_until_it_is_sealed() {
    let shop = shop();
    let minted = run(&mut keyed(shop.path(), &["mint", "--sku", "one", "--count", "4", "--json"])).done();
    let minted: Value = serde_json::from_str(&minted).unwrap();
    let batch = minted["batch"].as_str().unwrap();
    let codes: Vec<_> =
        minted["codes"].as_array().unwrap().iter().map(|code| code.as_str().unwrap()).collect();
    let download = || run(&mut keyed(shop.path(), &["batch", "download", batch]));
    assert_eq!(lines(&download().done()), codes);
    run(&mut keyed(shop.path(), &["batch", "seal", batch])).done();
    let ran = download();
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("sealed"), "{ran:?}");
}

#[test]
fn codes_made_offline_are_taken_in_once_and_whole() {
    let shop = shop();
    let codes = run(&mut keyed(shop.path(), &["generate", "--count", "3", "--label", "ONE"])).done();
    fs::write(shop.path().join("codes.txt"), &codes).unwrap();
    let import = ["mint", "--sku", "one", "--import", "codes.txt"];
    let batch = run(&mut keyed(shop.path(), &import)).done();
    let shown = run(&mut keyed(shop.path(), &["batch", "show", batch.trim(), "--json"])).done();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((&shown["sealed"], &shown["counts"]["issued"]), (&Value::Bool(true), &Value::from(3)));

    let again = run(&mut keyed(shop.path(), &import));
    assert_eq!(again.code, Some(1));
    assert!(again.stderr.contains("known already: 1, 2, 3"), "{again:?}");
    let foreign = run(&mut keyed(shop.path(), &["mint", "--sku", "two", "--import", "codes.txt"]));
    assert!(foreign.stderr.contains("line 1: not made with this secret and this SKU's label"), "{foreign:?}");
    for code in codes.lines() {
        assert!(!foreign.stderr.contains(code) && !again.stderr.contains(code));
    }
}

#[test]
fn an_unknown_sku_and_a_missing_database_are_told_with_what_to_do() {
    let shop = shop();
    let ran = run(&mut keyed(shop.path(), &["mint", "--sku", "none", "--count", "1"]));
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("no SKU none on sale"), "{ran:?}");

    let place = place();
    let ran = run(&mut keyed(place.path(), &["mint", "--sku", "one", "--count", "1"]));
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("there is no database mintcode.db"), "{ran:?}");
    assert!(ran.stderr.lines().count() <= 3, "{ran:?}");
    assert!(!place.path().join("mintcode.db").exists());
}

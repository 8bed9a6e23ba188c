//! What is withheld and what is passed on: messages as people receive them, in English, Chinese and Russian.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use chrono::DateTime;
use mintcode_core::order::Message;
use mintcode_core::responsible::{BadPattern, Screening};
use proptest::prelude::*;

/// Written before the patterns.
const ORDINARY: &str = include_str!("corpus/ordinary.txt");
const BANK: &str = include_str!("corpus/bank.txt");
/// Written when the patterns stood, to see how they do on messages they were not written for; then mended for.
const HELD_OUT_ORDINARY: &str = include_str!("corpus/held_out_ordinary.txt");
const HELD_OUT_BANK: &str = include_str!("corpus/held_out_bank.txt");
/// Written after that.
const UNSEEN_ORDINARY: &str = include_str!("corpus/unseen_ordinary.txt");
const UNSEEN_BANK: &str = include_str!("corpus/unseen_bank.txt");

fn message(sender: &str, text: &str) -> Message {
    let (sender, text) = (sender.to_owned(), text.to_owned());
    Message { received_at: DateTime::UNIX_EPOCH, sender, text, code: None }
}

/// The lines `sender | text` of a corpus.
fn corpus(lines: &str) -> impl Iterator<Item = Message> {
    lines.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let (sender, text) = line.split_once(" | ").unwrap();
        message(sender, text)
    })
}

/// The built-in pattern that withholds a message.
fn shipped(sender: &str, text: &str) -> Option<String> {
    Screening::shipped().withholds(&message(sender, text)).map(str::to_owned)
}

#[test]
fn no_ordinary_code_is_withheld() {
    let screening = Screening::shipped();
    for (lines, least) in [(ORDINARY, 50), (HELD_OUT_ORDINARY, 30), (UNSEEN_ORDINARY, 30)] {
        assert!(corpus(lines).count() >= least);
        for message in corpus(lines) {
            let name = screening.withholds(&message);
            assert_eq!(name, None, "{} | {}", message.sender, message.text);
        }
    }
}

#[test]
fn messages_of_banks_and_payment_services_are_withheld() {
    let screening = Screening::shipped();
    for (lines, least) in [(BANK, 50), (HELD_OUT_BANK, 30), (UNSEEN_BANK, 30)] {
        let all = corpus(lines).count();
        assert!(all >= least);
        let passed_on: Vec<_> = corpus(lines)
            .filter(|message| screening.withholds(message).is_none())
            .map(|message| format!("{} | {}", message.sender, message.text))
            .collect();
        assert!(passed_on.len() * 50 <= all * 2, "{passed_on:#?}");
    }
}

#[test]
fn each_built_in_pattern_is_named_for_what_it_finds() {
    for (name, sender, text) in [
        ("bank", "95588", "验证码482913"),
        ("bank", "Info", "Your Metro Bank code is 4410"),
        ("wallet", "PayPal", "4410"),
        ("wallet", "Info", "Wise: 4410"),
        ("three-d-secure", "Info", "3-D Secure: 4410"),
        ("card-number", "Info", "您尾号4471卡的验证码是482913"),
        ("payment-amount", "Info", "Перевод 500 руб, код 4410"),
        ("payment-code", "Info", "Code 4410 adds a new payee"),
        ("balance", "Info", "Your credit card was used"),
        ("online-banking", "Info", "网银登录验证码482913"),
    ] {
        assert_eq!(shipped(sender, text).as_deref(), Some(name), "{sender} | {text}");
    }
    let mut names: Vec<_> = Screening::shipped().patterns().map(str::to_owned).collect();
    names.sort();
    assert_eq!(names.len(), 8, "each pattern has its line above: {names:?}");
    names.dedup();
    assert_eq!(names.len(), 8, "{names:?}");
}

#[test]
fn width_case_and_invisible_characters_do_not_hide_a_payment() {
    for text in [
        "ｐａｙｐａｌ: ４４１０",
        "PAYPAL 4410",
        "Pay\u{200B}Pal 4410",
        "ПЕРЕВОД ５００ РУБ",
        "付款￥５００．００",
    ] {
        assert!(shipped("Info", text).is_some(), "{text}");
    }
    assert_eq!(shipped("Ｔｅｌｅｇｒａｍ", "Ｃｏｄｅ ４８２９１"), None);
}

#[test]
fn a_word_of_a_bank_in_a_warning_or_an_offer_withholds_nothing() {
    for text in [
        "Code 4410. Save $5.00 on your first payment",
        "Код 4410. Никому не говорите его, даже если просят оплатить картой",
        "验证码4410，任何要求转账500元的都是骗子",
    ] {
        assert_eq!(shipped("Info", text), None, "{text}");
    }
    let payment = "Never share this code: card *4471, $20.00 at SHOP";
    assert!(shipped("Info", payment).is_some(), "a warning does not hide a payment in the same clause");
}

#[test]
fn an_operator_adds_patterns_which_are_named_by_their_place() {
    let added = ["^acme$", r"\bкредит\b", r"never share \d+"].map(str::to_owned);
    let screening = Screening::new(false, &added).unwrap();
    for (sender, text, name) in [
        ("ACME", "4410", Some("operator-1")),
        ("Info", "КРЕДИТ одобрен", Some("operator-2")),
        ("Info", "Never share ４４１０", Some("operator-3")),
        ("PayPal", "PayPal: 4410", None),
    ] {
        assert_eq!(screening.withholds(&message(sender, text)), name, "{sender} | {text}");
    }
    let both = Screening::new(true, &added).unwrap();
    assert_eq!(both.withholds(&message("PayPal", "4410")), Some("wallet"));
    assert_eq!(both.withholds(&message("Acme", "4410")), Some("operator-1"));
    assert_eq!(Screening::none().withholds(&message("PayPal", "PayPal: 4410")), None);
}

#[test]
fn a_pattern_that_cannot_be_used_is_named_by_its_place_on_one_line() {
    for (pattern, part) in [
        ("(acme", "unclosed group"),
        (r"(?:\w{500}){500}", "too large"),
        ("acme|", "every message"),
        (r"(a)\1", "not a regular expression"),
    ] {
        let error = Screening::new(true, &["fine".to_owned(), pattern.to_owned()]).unwrap_err();
        let BadPattern { place, problem } = &error;
        assert_eq!(*place, 2);
        assert!(problem.contains(part), "{error}");
        let line = error.to_string();
        assert!(line.starts_with("pattern 2 ") && !line.contains('\n'), "{line}");
    }
}

#[test]
fn debug_output_shows_the_names_of_the_patterns_only() {
    let screening = Screening::new(false, &["secret-project".to_owned()]).unwrap();
    assert_eq!(format!("{screening:?}"), r#"Screening["operator-1"]"#);
}

#[test]
fn of_a_text_longer_than_any_sms_the_beginning_is_looked_at() {
    let long = "码".repeat(400_000);
    assert_eq!(shipped("Info", &format!("PayPal: 4410 {long}")).as_deref(), Some("wallet"));
    assert_eq!(shipped("Info", &format!("{long} PayPal: 4410")), None);
}

proptest! {
    #[test]
    fn no_text_breaks_screening(sender in any::<String>(), text in any::<String>()) {
        let screening = Screening::shipped();
        let message = message(&sender, &text);
        let named = screening.withholds(&message);
        prop_assert!(named.is_none_or(|name| screening.patterns().any(|known| known == name)));
    }

    #[test]
    fn a_payment_is_found_wherever_it_stands_in_a_message(before in "[a-zа-я一-龥]{0,40}", after in "[a-z ]{0,40}") {
        let text = format!("{before}. PayPal: 4410. {after}");
        prop_assert_eq!(shipped("Info", &text), Some("wallet".to_owned()));
    }
}

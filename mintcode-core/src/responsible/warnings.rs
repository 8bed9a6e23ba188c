//! Setting aside what a message warns of or advertises.
//!
//! An ordinary code often comes with "never share it, not even with your bank" or "$5 off your first order". Such a
//! clause names banks, cards and money, but it is no payment: the patterns look at what is left of the message.

use std::sync::LazyLock;

use regex::Regex;

use super::patterns::{AMOUNT, CARD_DIGITS, compile};

/// From here to the end of its clause a message warns.
static WARNING: LazyLock<Regex> = LazyLock::new(|| {
    compile(
        r"\b(?:never|do\s?n[o']?t|do\snot|won't|will\snot|nobody|not?\sone|beware|not\seven|even\sif|including
            |не\sсообща\w*|не\sпереда\w*|не\sговори\w*|не\sдавай\w*|не\sназыва\w*|не\sпоказыва\w*|не\sпросят?
            |никому|никогда|даже|включая|в\sтом\sчисле|остерега\w*|опаса\w*)\b
        | 请勿|請勿|切勿|勿|不要|不会|不會|谨防|謹防|谨慎|警惕|当心|當心|包括|甚至|以任何理由|切莫|严禁|绝不",
    )
});

/// A clause with one of these is about swindlers, from its first word to its last.
static SWINDLE: LazyLock<Regex> = LazyLock::new(|| {
    compile(r"\bscam\w*|\bphish\w*|\bfraudsters?\b|мошенни\w*|骗子|騙子|诈骗|詐騙|骗局|盗号")
});

/// A clause with one of these advertises.
static OFFER: LazyLock<Regex> = LazyLock::new(|| {
    compile(
        r"\b(?:off|discounts?|coupons?|promo\w*|bonus\w*|gifts?|save|free|rewards?|win|earn|first\s(?:order|trip|ride|purchase))\b
        | \bno\s(?:credit\s)?card\b
        | скидк\w*|дарим|подар\w*|бонус\w*|промокод\w*|бесплатн\w*|баллы|баллов|выгод\w*|на\sперв\w+
        | 立减|减免|优惠|優惠|折扣|赠送|贈送|免费|免費|首单|首單|新人|满减|红包|礼包|可领|领取|代金券|立省",
    )
});

/// A card's digits: whatever a clause with them says, it is about that card.
static CARD: LazyLock<Regex> = LazyLock::new(|| compile(CARD_DIGITS));

/// An amount: a clause with one is no mere warning.
static MONEY: LazyLock<Regex> = LazyLock::new(|| compile(AMOUNT));

/// `text`, as folded, without its warnings and offers.
pub(super) fn set_aside(text: &str) -> String {
    clauses(text).map(kept).collect()
}

fn kept(clause: &str) -> &str {
    if CARD.is_match(clause) {
        return clause;
    }
    if OFFER.is_match(clause) || SWINDLE.is_match(clause) {
        return "\n";
    }
    match WARNING.find(clause) {
        Some(warning) if !MONEY.is_match(clause) => &clause[..warning.start()],
        _ => clause,
    }
}

/// The clauses of `text`, each with the mark that ends it. A mark between digits is part of a number, and a full stop
/// between Latin letters is part of a name such as `Crypto.com`.
fn clauses(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let mut before = None;
        let mut letters = rest.char_indices().peekable();
        let mut end = rest.len();
        while let Some((at, letter)) = letters.next() {
            let after = letters.peek().map(|(_, next)| *next);
            let within =
                |belongs: fn(char) -> bool| before.is_some_and(belongs) && after.is_some_and(belongs);
            let latin = |near: char| near.is_ascii_alphanumeric();
            let ends = match letter {
                '\n' | '!' | '?' | ';' | '。' | '…' => true,
                ',' => !within(|near| near.is_ascii_digit()),
                '.' => !within(latin),
                _ => false,
            };
            if ends {
                end = at + letter.len_utf8();
                break;
            }
            before = Some(letter);
        }
        let (clause, left) = rest.split_at(end);
        rest = left;
        (!clause.is_empty()).then_some(clause)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clauses_end_at_marks_but_not_within_numbers_and_names() {
        let found: Vec<_> = clauses("Paid 1,234.50 at Crypto.com, ok? Да.Нет").collect();
        assert_eq!(found, ["Paid 1,234.50 at Crypto.com,", " ok?", " Да.", "Нет"]);
    }

    #[test]
    fn warnings_and_offers_are_set_aside_and_payments_are_not() {
        for (text, left) in [
            ("Code 1234. Never share it with your bank.", "Code 1234. "),
            ("Never share it: Rs 500.00 to Ann.", "Never share it: Rs 500.00 to Ann."),
            ("代码1234，切勿转账。", "代码1234，"),
            ("Код 1234. Скидка 500 руб на первую покупку", "Код 1234.\n"),
            ("Card ending 4471: earn points, 20 USD", "Card ending 4471: earn points, 20 USD"),
        ] {
            assert_eq!(set_aside(text), left, "{text}");
        }
    }
}

//! Finding the verification code in the text of a message.

use crate::order::Message;

/// The code of a message: the supplier's, or else the one found in its text.
pub(super) fn code_of(message: &Message) -> Option<String> {
    message.code.as_ref().filter(|code| !code.trim().is_empty()).cloned().or_else(|| find_code(&message.text))
}

const KEYWORDS: [&str; 12] = [
    "code",
    "otp",
    "pin",
    "password",
    "verif",
    "код",
    "пароль",
    "验证码",
    "驗證碼",
    "校验码",
    "动态码",
    "代码",
];

/// Finds a code of 4 to 8 digits in `text`, also written as `123-456` or `123 456`.
///
/// A number next to a word for "code" wins; longer runs of digits, such as phone numbers, are no codes.
///
/// ```
/// # use mintcode_core::redemption::find_code;
/// assert_eq!(find_code("VK: 09363 - use this code to reclaim your profile.").as_deref(), Some("09363"));
/// assert_eq!(find_code("G-482915 is your verification code").as_deref(), Some("482915"));
/// assert_eq!(find_code("Welcome! Call +1 800 555 01 99"), None);
/// ```
#[must_use]
pub fn find_code(text: &str) -> Option<String> {
    let found = candidates(text);
    let lower = text.to_lowercase();
    let words: Vec<usize> =
        KEYWORDS.iter().flat_map(|word| lower.match_indices(word).map(|(at, _)| at)).collect();
    found
        .into_iter()
        .min_by_key(|(at, _)| words.iter().map(|word| word.abs_diff(*at)).min().unwrap_or(*at))
        .map(|(_, code)| code)
}

/// Runs of 4 to 8 digits with their place; two runs of three joined by a hyphen or a space count as one.
fn candidates(text: &str) -> Vec<(usize, String)> {
    let runs = digit_runs(text);
    let mut found = Vec::new();
    let mut index = 0;
    while index < runs.len() {
        let (at, end) = runs[index];
        let next = runs.get(index + 1).copied();
        let joined = next.filter(|(start, stop)| {
            end - at == 3 && stop - start == 3 && matches!(text.get(end..*start), Some("-" | " "))
        });
        let last = joined.map_or(end, |(_, stop)| stop);
        index += if joined.is_some() { 2 } else { 1 };
        let follows = runs
            .get(index)
            .is_some_and(|(start, _)| matches!(text.get(last..*start), Some("-" | " " | "." | ":")));
        let is_part = text[..at].ends_with(['+', '.', ':', '/']) || (joined.is_some() && follows);
        let code: String = text[at..last].chars().filter(char::is_ascii_digit).collect();
        if !is_part && (4..=8).contains(&code.len()) {
            found.push((at, code));
        }
    }
    found
}

fn digit_runs(text: &str) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for (at, byte) in text.bytes().enumerate() {
        if byte.is_ascii_digit() {
            match runs.last_mut() {
                Some((_, end)) if *end == at => *end += 1,
                _ => runs.push((at, at + 1)),
            }
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_found_in_three_languages() {
        for (text, code) in [
            ("【薄荷】您的验证码是 483920，5分钟内有效。", "483920"),
            ("Telegram code 12345", "12345"),
            ("Ваш код: 5821. Никому не сообщайте его", "5821"),
            ("885485isyourInstagramcode.", "885485"),
            ("Your WhatsApp code: 123-456. Don't share it", "123456"),
            ("<#> 1234 is your code, valid until 2026", "1234"),
        ] {
            assert_eq!(find_code(text).as_deref(), Some(code), "{text}");
        }
    }

    #[test]
    fn no_code_is_made_up() {
        for text in
            ["", "Welcome to the service!", "Order 1234567890123 shipped", "call +79001234567", "at 10:45"]
        {
            assert_eq!(find_code(text), None, "{text}");
        }
    }
}

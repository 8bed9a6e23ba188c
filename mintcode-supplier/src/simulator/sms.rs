//! What the messages say.

use chrono::{DateTime, TimeDelta, Utc};
use mintcode_core::order::Message;

use super::chance::draw;
use super::scenario::Line;

/// Who writes for a product, how, and how long its codes are.
struct Voice {
    product: &'static str,
    sender: &'static str,
    text: &'static str,
    digits: usize,
}

const VOICES: [Voice; 6] = [
    Voice { product: "discord", sender: "Discord", text: "Your Discord security code is: {code}", digits: 6 },
    Voice {
        product: "google",
        sender: "Google",
        text: "G-{code} is your Google verification code. Don't share your code with anyone.",
        digits: 6,
    },
    Voice { product: "instagram", sender: "Instagram", text: "{code} is your Instagram code.", digits: 6 },
    Voice {
        product: "openai",
        sender: "OpenAI",
        text: "Your OpenAI verification code is: {code}",
        digits: 6,
    },
    Voice {
        product: "telegram",
        sender: "Telegram",
        text: "Telegram code: {code}\nYou can also tap on this link to log in: https://t.me/login/{code}",
        digits: 5,
    },
    Voice {
        product: "whatsapp",
        sender: "WhatsApp",
        text: "Your WhatsApp code: {code}. Don't share this code with others.",
        digits: 6,
    },
];

const ANYONE: Voice =
    Voice { product: "", sender: "Verify", text: "{code} is your verification code.", digits: 6 };

/// A message without a code, such as follows a sign-up.
const WELCOME: &str = "Welcome! Your number is confirmed.";

/// How messages are out of the ordinary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quirk {
    None,
    /// The first message has its code in the text only.
    CodeInTextOnly,
    /// A message without any code follows the first.
    WelcomeAfterwards,
}

/// Writes the messages of order `id` on `line`, the first at `first` and the others `gap` apart.
pub(crate) fn write(
    seed: u64,
    id: u64,
    line: &Line,
    quirk: Quirk,
    (first, gap): (DateTime<Utc>, TimeDelta),
) -> Vec<Message> {
    let mut messages = Vec::new();
    let mut at = first;
    for number in 0..line.messages {
        messages.push(message(seed, id, line, number, at));
        at += gap;
    }
    match (quirk, messages.first_mut()) {
        (Quirk::CodeInTextOnly, Some(first)) => first.code = None,
        (Quirk::WelcomeAfterwards, Some(first)) => {
            let welcome = Message { text: WELCOME.to_owned(), code: None, received_at: at, ..first.clone() };
            messages.push(welcome);
        }
        (Quirk::None, _) | (_, None) => {}
    }
    messages
}

/// Writes message `number` of order `id`.
pub(crate) fn message(seed: u64, id: u64, line: &Line, number: u32, received_at: DateTime<Utc>) -> Message {
    let voice = VOICES.iter().find(|voice| voice.product == line.product).unwrap_or(&ANYONE);
    let last = line.texts.len().saturating_sub(1);
    let place = usize::try_from(number).map_or(last, |number| number.min(last));
    let text = line.texts.get(place).map_or(voice.text, String::as_str);
    let range = 10_u64.pow(u32::try_from(voice.digits).expect("codes are short"));
    let code = draw(seed, "code", id.wrapping_mul(64).wrapping_add(u64::from(number))) % range;
    let code = format!("{code:0digits$}", digits = voice.digits);
    Message {
        received_at,
        sender: voice.sender.to_owned(),
        text: text.replace("{code}", &code),
        code: text.contains("{code}").then_some(code),
    }
}

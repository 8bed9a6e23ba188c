//! The cookie by which a browser is known as the holder of what it began.

use axum::http::{HeaderMap, HeaderValue, header};
use mintcode_core::ports::Entropy;

use crate::hex::random_hex;

const NAME: &str = "mintcode_holder";
/// As long as browsers keep a cookie at all.
const MAX_AGE_SECONDS: u64 = 400 * 86_400;
/// 256 bits in hexadecimal.
const LENGTH: usize = 64;

/// The holder's secret, and whether the browser has yet to be given it.
pub(crate) struct HolderCookie {
    secret: String,
    is_new: bool,
    is_secure: bool,
}

impl HolderCookie {
    /// The one the browser sent, or a fresh one.
    pub(crate) fn of(headers: &HeaderMap, entropy: &dyn Entropy) -> Self {
        let is_secure = headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https");
        match Self::sent(headers) {
            Some(secret) => Self { secret: secret.to_owned(), is_new: false, is_secure },
            None => Self { secret: random_hex::<{ LENGTH / 2 }>(entropy), is_new: true, is_secure },
        }
    }

    /// The secret the browser sent, if it did.
    pub(crate) fn sent(headers: &HeaderMap) -> Option<&str> {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs =
            cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let is_ours =
            |value: &str| value.len() == LENGTH && value.bytes().all(|byte| byte.is_ascii_hexdigit());
        pairs.find(|(name, value)| *name == NAME && is_ours(value)).map(|(_, value)| value)
    }

    pub(crate) fn secret(&self) -> &str {
        &self.secret
    }

    /// Gives the cookie to a browser that has none.
    pub(crate) fn set(&self, headers: &mut HeaderMap) {
        if !self.is_new {
            return;
        }
        let secure = if self.is_secure { "; Secure" } else { "" };
        let cookie = format!(
            "{NAME}={}; Path=/; Max-Age={MAX_AGE_SECONDS}; HttpOnly; SameSite=Lax{secure}",
            self.secret
        );
        if let Ok(value) = HeaderValue::from_str(&cookie) {
            headers.append(header::SET_COOKIE, value);
        }
    }
}

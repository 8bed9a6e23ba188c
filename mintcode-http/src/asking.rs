//! How a client asks for a redemption: conditionally, and with patience.

use std::time::Duration;

use axum::http::{HeaderMap, header};
use mintcode_core::redemption::Redemption;

/// The longest a request is held.
const LONGEST_WAIT: u64 = 60;

/// The entity tag of the redemption as it is: another one with every change a client can see. Weak, because texts and
/// seconds left differ between two answers of the same version.
pub(crate) fn etag(redemption: &Redemption) -> String {
    let next = if redemption.next.is_some() { "n" } else { "" };
    format!("W/\"{}{next}\"", redemption.version)
}

/// What `If-None-Match` says.
pub(crate) struct Known<'a>(Option<Vec<&'a str>>);

impl<'a> Known<'a> {
    pub(crate) fn of(headers: &'a HeaderMap) -> Self {
        let values = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        let tags: Vec<_> = values.flat_map(|value| value.split(',')).map(str::trim).collect();
        Self(Some(tags).filter(|tags| !tags.is_empty()))
    }

    /// Whether the header was sent.
    pub(crate) fn is_some(&self) -> bool {
        self.0.is_some()
    }

    /// Whether the client has `etag` already. Tags are compared weakly, as the header demands.
    pub(crate) fn has(&self, etag: &str) -> bool {
        let opaque = |tag: &str| tag.trim_start_matches("W/").to_owned();
        self.0.iter().flatten().any(|tag| *tag == "*" || opaque(tag) == opaque(etag))
    }
}

/// How long `Prefer: wait=N` asks to hold the answer, at most [`LONGEST_WAIT`] seconds.
pub(crate) fn patience(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    let mut preferences = values.flat_map(|value| value.split([',', ';'])).map(str::trim);
    let wait = preferences.find_map(|one| {
        let (name, value) = one.split_once('=')?;
        name.trim().eq_ignore_ascii_case("wait").then(|| value.trim().trim_matches('"'))
    })?;
    let seconds: u64 = wait.parse().ok()?;
    Some(Duration::from_secs(seconds.min(LONGEST_WAIT)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        headers
    }

    #[test]
    fn patience_is_read_and_bounded() {
        for (value, seconds) in [
            ("wait=20", Some(20)),
            ("respond-async, wait=5", Some(5)),
            ("Wait = \"7\"", Some(7)),
            ("wait=0", Some(0)),
            ("wait=3600", Some(60)),
            ("wait=-1", None),
            ("wait", None),
            ("return=minimal", None),
        ] {
            assert_eq!(patience(&headers("prefer", value)), seconds.map(Duration::from_secs), "{value}");
        }
    }

    #[test]
    fn tags_are_compared_weakly() {
        for (sent, matches) in
            [("W/\"7\"", true), ("\"7\"", true), ("\"1\", W/\"7\"", true), ("*", true), ("\"77\"", false)]
        {
            assert_eq!(Known::of(&headers("if-none-match", sent)).has("W/\"7\""), matches, "{sent}");
        }
        assert!(!Known::of(&HeaderMap::new()).is_some());
    }
}

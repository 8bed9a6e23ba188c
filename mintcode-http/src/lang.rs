//! The reader's language.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri, header};
use mintcode_core::sku::LocalizedName;

/// A language that everything is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lang {
    En,
    Zh,
}

impl Lang {
    /// The language's tag.
    pub(crate) fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Zh => "zh",
        }
    }

    /// The other one.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::En => Self::Zh,
            Self::Zh => Self::En,
        }
    }

    /// The language's own name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::En => "English",
            Self::Zh => "中文",
        }
    }

    /// The form of `name` in this language.
    pub(crate) fn pick(self, name: &LocalizedName) -> &str {
        match self {
            Self::En => &name.en,
            Self::Zh => &name.zh,
        }
    }

    fn of_tag(tag: &str) -> Option<Self> {
        let primary = tag.split('-').next().unwrap_or_default();
        [Self::En, Self::Zh].into_iter().find(|lang| lang.tag().eq_ignore_ascii_case(primary))
    }

    /// The language `headers` ask for first; English where they ask for none there is.
    fn accepted(headers: &HeaderMap) -> Self {
        let asked = headers.get_all(header::ACCEPT_LANGUAGE).iter().filter_map(|value| value.to_str().ok());
        let mut best = (0.0, Self::En);
        for range in asked.flat_map(|value| value.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let lang = parts.next().and_then(Self::of_tag);
            let quality =
                parts.find_map(|part| part.strip_prefix("q=")).map_or(1.0, |q| q.parse().unwrap_or(0.0));
            if let Some(lang) = lang.filter(|_| quality > best.0) {
                best = (quality, lang);
            }
        }
        best.1
    }
}

/// Who reads the answer: the language, and whether the address names it, so that links have to name it too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader {
    pub(crate) lang: Lang,
    is_chosen: bool,
}

impl Reader {
    /// By `?lang=`, else by `Accept-Language`.
    pub(crate) fn of(uri: &Uri, headers: &HeaderMap) -> Self {
        let query = uri.query().unwrap_or_default();
        let chosen = query.split('&').find_map(|pair| pair.strip_prefix("lang=")).and_then(Lang::of_tag);
        Self { lang: chosen.unwrap_or_else(|| Lang::accepted(headers)), is_chosen: chosen.is_some() }
    }

    /// What links and redirects carry on.
    pub(crate) fn query(self) -> &'static str {
        match (self.is_chosen, self.lang) {
            (false, _) => "",
            (true, Lang::En) => "?lang=en",
            (true, Lang::Zh) => "?lang=zh",
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Reader {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.uri, &parts.headers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_liked_language_wins() {
        for (accepted, lang) in [
            ("", Lang::En),
            ("zh", Lang::Zh),
            ("zh-CN,zh;q=0.9,en;q=0.8", Lang::Zh),
            ("en;q=0.3, zh-Hant;q=0.7", Lang::Zh),
            ("de-DE,de;q=0.9,en;q=0.5", Lang::En),
            ("fr, zh;q=0", Lang::En),
            ("ZH-tw", Lang::Zh),
            ("zh;q=oops", Lang::En),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_LANGUAGE, accepted.parse().unwrap());
            assert_eq!(Reader::of(&"/".parse().unwrap(), &headers).lang, lang, "{accepted}");
        }
    }

    #[test]
    fn a_language_named_in_the_address_wins_and_is_carried_on() {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_LANGUAGE, "en".parse().unwrap());
        let reader = Reader::of(&"/r/x?a=b&lang=zh".parse().unwrap(), &headers);
        assert_eq!((reader.lang, reader.query()), (Lang::Zh, "?lang=zh"));
        assert_eq!(Reader::of(&"/?lang=xx".parse().unwrap(), &headers).query(), "");
    }
}

//! The pages people see; they work without JavaScript, which only makes them live.

mod assets;
mod problems;
mod progress;
mod redeem_form;

use askama::Template;
use axum::Router;
use axum::response::{Html, IntoResponse, Response};

pub(crate) use self::problems::problem_page;
pub(crate) use self::redeem_form::redeem_form;
use crate::app::{Shared, Site};
use crate::error::ApiError;
use crate::lang::{Lang, Reader};
use crate::texts::PageTexts;

pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .merge(redeem_form::routes())
        .merge(progress::routes())
        .merge(problems::routes())
        .merge(assets::routes())
}

/// What stands around every page.
pub(crate) struct Frame<'a> {
    lang: Lang,
    texts: &'static PageTexts,
    brand: &'a str,
    /// What links carry on, such as `?lang=zh`.
    query: &'static str,
    /// Where the same page is in the other language.
    switch: String,
    css: &'static str,
    js: &'static str,
    icon: &'static str,
    support: Option<Note<'a>>,
    terms: Option<Note<'a>>,
}

/// Something the operator says: text, and where it leads if it can be followed.
struct Note<'a> {
    text: &'a str,
    href: Option<String>,
}

impl<'a> Frame<'a> {
    /// The frame of the page at `path`.
    fn new(reader: Reader, path: &str, site: &'a Site) -> Self {
        let lang = reader.lang;
        let texts = lang.page();
        let is_own_name = site.name == Site::default().name;
        Self {
            lang,
            texts,
            brand: if is_own_name { texts.brand } else { &site.name },
            query: reader.query(),
            switch: format!("{path}?lang={}", lang.other().tag()),
            css: assets::css(),
            js: assets::js(),
            icon: assets::icon(),
            support: site.support_contact.as_deref().map(Note::new),
            terms: site.terms.as_deref().map(Note::new),
        }
    }
}

impl<'a> Note<'a> {
    fn new(text: &'a str) -> Self {
        let is_url = text.starts_with("https://") || text.starts_with("http://");
        let is_address = !text.starts_with('@') && text.contains('@') && !text.contains([' ', '/', ':']);
        let href = match (is_url, is_address) {
            (true, _) => Some(text.to_owned()),
            (false, true) => Some(format!("mailto:{text}")),
            (false, false) => None,
        };
        Self { text, href }
    }
}

/// The page as an answer.
fn show(page: &impl Template) -> Result<Response, ApiError> {
    Ok(Html(page.render()?).into_response())
}

//! Style, script and icon, under addresses that change with their content.

use std::sync::LazyLock;

use axum::Router;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sha2::{Digest, Sha256};

use crate::app::Shared;
use crate::asking::Known;
use crate::hex::hex;

/// A file that is part of the program.
struct Asset {
    content: &'static str,
    kind: &'static str,
    etag: String,
    href: String,
}

static CSS: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new("/static/app.css", "text/css; charset=utf-8", include_str!("../../static/app.css"))
});
static JS: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new("/static/app.js", "text/javascript; charset=utf-8", include_str!("../../static/app.js"))
});
static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("/static/leaf.svg", "image/svg+xml", include_str!("../../static/leaf.svg")));

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/static/app.css", get(async |headers: HeaderMap| CSS.answer(&headers)))
        .route("/static/app.js", get(async |headers: HeaderMap| JS.answer(&headers)))
        .route("/static/leaf.svg", get(async |headers: HeaderMap| ICON.answer(&headers)))
        .route("/favicon.ico", get(async |headers: HeaderMap| ICON.answer(&headers)))
}

/// Where the style is.
pub(super) fn css() -> &'static str {
    &CSS.href
}

/// Where the script is.
pub(super) fn js() -> &'static str {
    &JS.href
}

/// Where the icon is.
pub(super) fn icon() -> &'static str {
    &ICON.href
}

impl Asset {
    fn new(path: &str, kind: &'static str, content: &'static str) -> Self {
        let hash = hex(&Sha256::digest(content)[..8]);
        Self { content, kind, etag: format!("\"{hash}\""), href: format!("{path}?v={hash}") }
    }

    fn answer(&self, headers: &HeaderMap) -> Response {
        let is_known = Known::of(headers).has(&self.etag);
        let mut response =
            if is_known { StatusCode::NOT_MODIFIED.into_response() } else { self.content.into_response() };
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.kind));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=86400"));
        headers.extend(HeaderValue::from_str(&self.etag).ok().map(|etag| (header::ETAG, etag)));
        response
    }
}

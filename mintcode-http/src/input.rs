//! Reading bodies, queries and headers; whatever does not fit is an `invalid-request` that names the field.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use serde::Deserializer;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::error::ApiError;

/// The longest idempotency key.
const LONGEST_KEY: usize = 255;

/// A JSON body. What is wrong with it may be quoted in the answer.
pub(crate) struct Input<T>(pub(crate) T);

/// A JSON body that may be left out.
pub(crate) struct OptionalInput<T>(pub(crate) T);

/// A JSON body that may hold a voucher code, so that nothing of it is quoted.
pub(crate) struct SecretInput<T>(pub(crate) T);

/// The query.
pub(crate) struct Search<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Input<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let body = json_bytes(request, state).await?;
        from_json(&body).map(Self).map_err(|error| ApiError::field(error.field, error.message))
    }
}

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for OptionalInput<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let body = bytes(Request::from_parts(parts.clone(), body), state).await?;
        // Clients that send no body may say anything of its type.
        if body.trim_ascii().is_empty() {
            return Ok(Self(T::default()));
        }
        Input::from_request(Request::from_parts(parts, body.into()), state)
            .await
            .map(|Input(value)| Self(value))
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for SecretInput<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let body = json_bytes(request, state).await?;
        let unquoted = |error: Misfit| {
            let message =
                if error.is_syntax { error.message } else { "is missing or of the wrong type".to_owned() };
            ApiError::field(error.field, message)
        };
        from_json(&body).map(Self).map_err(unquoted)
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Search<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|Query(query)| Self(query)).map_err(|error| ApiError::field("query", error.body_text()))
    }
}

/// What is wrong with a body, and where.
struct Misfit {
    field: String,
    message: String,
    is_syntax: bool,
}

async fn json_bytes<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, ApiError> {
    if content_type(request.headers())
        .is_some_and(|kind| kind != "application/json" && !kind.ends_with("+json"))
    {
        return Err(ApiError::field("Content-Type", "must be application/json"));
    }
    bytes(request, state).await
}

async fn bytes<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, ApiError> {
    Bytes::from_request(request, state).await.map_err(|error| ApiError::field("body", error.body_text()))
}

fn from_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Misfit> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = with_path(&mut json)?;
    match json.end() {
        Ok(()) => Ok(value),
        Err(_) => Err(not_json()),
    }
}

/// Reads `T` out of JSON that is parsed already.
pub(crate) fn from_value<T: DeserializeOwned>(value: serde_json::Value) -> Result<T, ApiError> {
    with_path(value).map_err(|error: Misfit| ApiError::field(error.field, error.message))
}

fn with_path<'de, T: DeserializeOwned>(
    json: impl Deserializer<'de, Error = serde_json::Error>,
) -> Result<T, Misfit> {
    serde_path_to_error::deserialize(json).map_err(|error| {
        let path = error.path().to_string();
        let cause = error.into_inner();
        if matches!(cause.classify(), Category::Syntax | Category::Eof | Category::Io) {
            return not_json();
        }
        let text = cause.to_string();
        let message = text.split_once(" at line ").map_or(text.as_str(), |(message, _)| message);
        // A field that is missing or unknown stands in the message, its parent in the path.
        let named = ["missing field `", "unknown field `"];
        let own =
            named.iter().find_map(|start| message.strip_prefix(start)?.split_once('`').map(|(name, _)| name));
        let field = match (path.as_str(), own) {
            (".", Some(own)) => own.to_owned(),
            (".", None) => "body".to_owned(),
            (path, Some(own)) if path.rsplit('.').next() != Some(own) => format!("{path}.{own}"),
            (path, _) => path.to_owned(),
        };
        Misfit { field, message: message.to_owned(), is_syntax: false }
    })
}

fn not_json() -> Misfit {
    Misfit { field: "body".to_owned(), message: "is not valid JSON".to_owned(), is_syntax: true }
}

/// The media type of the body, in lower case and without parameters.
fn content_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// Whether the body is a form's.
pub(crate) fn is_form(headers: &HeaderMap) -> bool {
    content_type(headers).is_some_and(|kind| kind == "application/x-www-form-urlencoded")
}

/// Whether whoever asks is a browser that shows what comes back as a page.
pub(crate) fn accepts_html(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .any(|range| range.trim().to_ascii_lowercase().starts_with("text/html"))
}

/// The `Idempotency-Key`, if one was sent.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    const NAME: &str = "Idempotency-Key";
    let Some(value) = headers.get(NAME) else { return Ok(None) };
    let is_printable = |byte: &u8| (0x20..=0x7E).contains(byte);
    let key = Some(value.as_bytes())
        .filter(|key| (1..=LONGEST_KEY).contains(&key.len()) && key.iter().all(is_printable));
    match key.and_then(|key| std::str::from_utf8(key).ok()) {
        Some(key) => Ok(Some(key)),
        None => Err(ApiError::field(NAME, format!("must be 1 to {LONGEST_KEY} printable ASCII characters"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[expect(dead_code, reason = "only read")]
        list: Vec<Inner>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[expect(dead_code, reason = "only read")]
        size: u8,
    }

    #[test]
    fn the_wrong_field_is_named_by_its_path() {
        for (json, field) in [
            ("{", "body"),
            ("[]x", "body"),
            ("7", "body"),
            ("{}", "list"),
            (r#"{"list": 1}"#, "list"),
            (r#"{"list": [], "more": 1}"#, "more"),
            (r#"{"list": [{"size": 1}, {"size": "x"}]}"#, "list[1].size"),
            (r#"{"list": [{}]}"#, "list[0].size"),
            (r#"{"list": [{"size": 1, "more": 1}]}"#, "list[0].more"),
            (r#"{"list": []} x"#, "body"),
        ] {
            let error = from_json::<Outer>(json.as_bytes()).err().unwrap();
            assert_eq!(error.field, field, "{json}: {}", error.message);
        }
    }
}

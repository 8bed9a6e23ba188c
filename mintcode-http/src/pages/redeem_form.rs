//! The redeem page: paste one voucher, or ten.

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use mintcode_core::engine::Proof;
use mintcode_core::ids::RedemptionId;

use super::progress::MOST_TOGETHER;
use super::{Frame, show};
use crate::app::Shared;
use crate::error::{ApiError, Slug};
use crate::holder::HolderCookie;
use crate::lang::Reader;

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/", get(form))
}

#[derive(Template)]
#[template(path = "redeem.html")]
struct RedeemPage<'a> {
    frame: Frame<'a>,
    /// What stands in the field.
    typed: String,
    refused: Vec<RefusedCode<'a>>,
    begun: Vec<RedemptionId>,
    /// Where the progress of all that began is shown.
    all: String,
}

/// A code that began nothing.
struct RefusedCode<'a> {
    /// As it was typed.
    code: &'a str,
    title: &'static str,
    detail: String,
}

/// `GET /`
async fn form(
    State(shared): State<Shared>,
    reader: Reader,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let frame = Frame::new(reader, "/", &shared.site);
    let page = RedeemPage {
        frame,
        typed: String::new(),
        refused: Vec::new(),
        begun: Vec::new(),
        all: String::new(),
    };
    let mut response = show(&page)?;
    HolderCookie::of(&headers, &*shared.entropy).set(response.headers_mut());
    Ok(response)
}

/// Redeems each code of the form's field, and answers with the progress page, or with the form where a code is refused:
/// nothing that was typed is lost, and sending it again finds what has begun.
pub(crate) async fn redeem_form(
    shared: &Shared,
    reader: Reader,
    typed: &str,
    proof: Proof<'_>,
) -> Result<Response, ApiError> {
    let mut codes = codes(typed);
    if codes.len() > MOST_TOGETHER {
        return too_many(shared, reader, typed);
    }
    if codes.is_empty() {
        codes.push("");
    }
    let mut begun: Vec<RedemptionId> = Vec::new();
    let mut refused = Vec::new();
    for code in codes {
        match shared.redeemer.redeem(code, proof).await {
            Ok(redeemed) if begun.contains(&redeemed.redemption.id) => {}
            Ok(redeemed) => begun.push(redeemed.redemption.id),
            Err(error) => refused.push((code, ApiError::redeem(error, shared.clock.now()))),
        }
    }
    let ids: Vec<String> = begun.iter().map(ToString::to_string).collect();
    let all = format!("/r/{}{}", ids.join(","), reader.query());
    if refused.is_empty() {
        return Ok(Redirect::to(&all).into_response());
    }
    refusals(shared, reader, begun, &refused, all)
}

/// Nothing begins, and what was typed stays.
fn too_many(shared: &Shared, reader: Reader, typed: &str) -> Result<Response, ApiError> {
    let title = reader.lang.problem(Slug::InvalidRequest).title;
    let refused = vec![RefusedCode { code: "", title, detail: reader.lang.too_many_codes(MOST_TOGETHER) }];
    let frame = Frame::new(reader, "/", &shared.site);
    let page = RedeemPage { frame, typed: typed.to_owned(), refused, begun: Vec::new(), all: String::new() };
    let mut response = show(&page)?;
    *response.status_mut() = Slug::InvalidRequest.status();
    Ok(response)
}

fn refusals(
    shared: &Shared,
    reader: Reader,
    begun: Vec<RedemptionId>,
    refused: &[(&str, ApiError)],
    all: String,
) -> Result<Response, ApiError> {
    let typed: Vec<&str> = refused.iter().map(|(code, _)| *code).collect();
    let explained = refused.iter().map(|(code, problem)| RefusedCode {
        code,
        title: reader.lang.problem(problem.slug).title,
        detail: reader.lang.detail(problem, &shared.site),
    });
    let page = RedeemPage {
        frame: Frame::new(reader, "/", &shared.site),
        typed: typed.join("\n"),
        refused: explained.collect(),
        all,
        begun,
    };
    let mut response = show(&page)?;
    // Something began, so the request as a whole did not fail.
    *response.status_mut() = match refused.first() {
        Some((_, problem)) if page.begun.is_empty() => problem.slug.status(),
        _ => StatusCode::OK,
    };
    if let Some(seconds) = refused.iter().filter_map(|(_, problem)| problem.retry_after).max() {
        response.headers_mut().insert(axum::http::header::RETRY_AFTER, seconds.into());
    }
    for (_, problem) in refused
        .iter()
        .filter(|(_, problem)| problem.slug == Slug::Internal || problem.slug == Slug::Unavailable)
    {
        let cause = problem.cause.as_deref().map(tracing::field::display);
        tracing::error!(cause, slug = problem.slug.name(), "a code of a form could not be redeemed");
    }
    Ok(response)
}

/// The codes in `typed`, one per line or separated by commas; spaces are part of how a code may be written.
fn codes(typed: &str) -> Vec<&str> {
    let parts = typed.split(['\n', '\r', ',', ';', '，', '；', '、']).map(str::trim);
    parts.filter(|part| !part.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_apart_by_lines_and_commas() {
        assert_eq!(codes(" ab cd-ef \r\n\r\nGH，ij, kl;"), ["ab cd-ef", "GH", "ij", "kl"]);
        assert!(codes(" \n\t").is_empty());
    }
}

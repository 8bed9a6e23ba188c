//! A page for every kind of problem, and the page a browser sees when it meets one.

use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::Response;
use axum::routing::get;

use super::{Frame, show};
use crate::app::{Shared, Site};
use crate::error::{ApiError, Slug};
use crate::lang::Reader;

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/problems/{slug}", get(kind))
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    frame: Frame<'a>,
    title: &'static str,
    detail: String,
    errors: Vec<String>,
    status: u16,
    /// The problem's slug, on the page that describes it.
    slug: Option<&'static str>,
    back: String,
}

/// `GET /problems/{slug}`: what a problem's `type` stands for.
async fn kind(
    State(shared): State<Shared>,
    reader: Reader,
    Path(slug): Path<String>,
) -> Result<Response, ApiError> {
    let slug =
        Slug::ALL.into_iter().find(|known| known.name() == slug).ok_or(ApiError::new(Slug::NotFound))?;
    let text = reader.lang.problem(slug);
    show(&ProblemPage {
        frame: Frame::new(reader, &format!("/problems/{}", slug.name()), &shared.site),
        title: text.title,
        detail: text.detail.to_owned(),
        errors: Vec::new(),
        status: slug.status().as_u16(),
        slug: Some(slug.name()),
        back: format!("/{}", reader.query()),
    })
}

/// What a browser is shown of `problem`, met at `uri`.
pub(crate) fn problem_page(
    problem: &ApiError,
    reader: Reader,
    uri: &Uri,
    site: &Site,
) -> Result<Response, ApiError> {
    // From a button of a progress page back to that page; what was posted elsewhere begins at the redeem page.
    let mut steps = uri.path().split('/').skip(1);
    let back = match (steps.next(), steps.next(), steps.next()) {
        (Some("redeem"), Some(id), Some(_)) => format!("/r/{id}{}", reader.query()),
        _ => format!("/{}", reader.query()),
    };
    let path = back.split('?').next().unwrap_or_default();
    show(&ProblemPage {
        frame: Frame::new(reader, path, site),
        title: reader.lang.problem(problem.slug).title,
        detail: reader.lang.detail(problem, site),
        errors: problem.errors.iter().map(ToString::to_string).collect(),
        status: problem.slug.status().as_u16(),
        slug: None,
        back,
    })
}

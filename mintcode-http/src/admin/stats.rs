//! What was earned and what it cost, and how the plans did.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use mintcode_core::engine::Report;
use serde::Deserialize;

use crate::app::Shared;
use crate::error::ApiError;
use crate::input::Search;

/// How far back is looked unless asked otherwise.
const USUAL_SPAN: TimeDelta = TimeDelta::days(30);

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/admin/stats", get(stats))
}

#[derive(Deserialize)]
struct Span {
    from: Option<String>,
    to: Option<String>,
}

/// `GET /admin/stats`: money counts on the day it was booked, an orphan's loss on the day it was settled, attempts on the
/// day they began.
async fn stats(State(shared): State<Shared>, Search(span): Search<Span>) -> Result<Json<Report>, ApiError> {
    let (from, to) = read_span(&span, shared.clock.now())?;
    Ok(Json(shared.support.report(from, to).await?))
}

fn read_span(span: &Span, now: DateTime<Utc>) -> Result<(DateTime<Utc>, DateTime<Utc>), ApiError> {
    let to = span.to.as_deref().map(|text| moment("to", text)).transpose()?;
    let to = to.map_or(Some(now), Moment::end).ok_or_else(|| ApiError::field("to", "is too late"))?;
    let from = span.from.as_deref().map(|text| moment("from", text)).transpose()?;
    let from = from.map_or_else(|| to.checked_sub_signed(USUAL_SPAN), |from| Some(from.begin()));
    match from {
        Some(from) if from < to => Ok((from, to)),
        Some(_) | None => Err(ApiError::field("from", "must be before to")),
    }
}

/// A point in time, or a whole day.
enum Moment {
    At(DateTime<Utc>),
    Day(NaiveDate),
}

impl Moment {
    fn begin(self) -> DateTime<Utc> {
        match self {
            Self::At(at) => at,
            Self::Day(day) => day.and_time(NaiveTime::MIN).and_utc(),
        }
    }

    /// A day that is named as the last one counts as a whole.
    fn end(self) -> Option<DateTime<Utc>> {
        match self {
            Self::At(at) => Some(at),
            Self::Day(day) => day.checked_add_days(Days::new(1)).map(|next| Self::Day(next).begin()),
        }
    }
}

fn moment(field: &str, text: &str) -> Result<Moment, ApiError> {
    // In a query a plus stands for a space.
    let at = DateTime::parse_from_rfc3339(&text.replace(' ', "+")).map(|at| Moment::At(at.to_utc()));
    let day = || NaiveDate::parse_from_str(text, "%Y-%m-%d").map(Moment::Day);
    at.or_else(|_| day()).map_err(|_| {
        let message = "must be a day or an RFC 3339 time, such as 2026-11-22 or 2026-11-22T08:00:00Z";
        ApiError::field(field, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(from: Option<&str>, to: Option<&str>) -> Result<(String, String), String> {
        let now = "2026-11-22T10:00:00Z".parse().unwrap();
        let span = Span { from: from.map(ToOwned::to_owned), to: to.map(ToOwned::to_owned) };
        match read_span(&span, now) {
            Ok((from, to)) => Ok((from.to_rfc3339(), to.to_rfc3339())),
            Err(error) => Err(error.errors[0].field.clone()),
        }
    }

    #[test]
    fn a_span_is_of_days_or_of_times_and_thirty_days_unless_told() {
        for (from, to, expected) in [
            (None, None, Ok(("2026-10-23T10:00:00+00:00", "2026-11-22T10:00:00+00:00"))),
            (
                Some("2026-11-22"),
                Some("2026-11-22"),
                Ok(("2026-11-22T00:00:00+00:00", "2026-11-23T00:00:00+00:00")),
            ),
            (None, Some("2026-11-30"), Ok(("2026-11-01T00:00:00+00:00", "2026-12-01T00:00:00+00:00"))),
            (
                Some("2026-11-01T08:00:00 02:00"),
                Some("2026-11-01T07:00:00Z"),
                Ok(("2026-11-01T06:00:00+00:00", "2026-11-01T07:00:00+00:00")),
            ),
            (Some("2026-11-23"), None, Err("from")),
            (Some("2026-11-02T00:00:00Z"), Some("2026-11-01"), Err("from")),
            (Some("yesterday"), None, Err("from")),
            (None, Some("2026-13-01"), Err("to")),
            (None, Some("+262142-12-31"), Err("to")),
        ] {
            let expected = match expected {
                Ok((from, to)) => Ok((from.to_owned(), to.to_owned())),
                Err(field) => Err(field.to_owned()),
            };
            assert_eq!(span(from, to), expected, "{from:?} {to:?}");
        }
    }
}

//! Moments as they are given and shown.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};

/// Reads a moment in RFC 3339, such as `2026-12-31T23:59:59Z`.
pub(crate) fn moment(text: &str) -> Result<DateTime<Utc>, String> {
    let moment = DateTime::parse_from_rfc3339(text);
    moment
        .map(|moment| moment.to_utc())
        .map_err(|_| "expected a moment such as 2026-12-31T23:59:59Z".to_owned())
}

/// The end of a span of time: a moment, or a day in UTC.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    /// Exactly then.
    Moment(DateTime<Utc>),
    /// That day, with all of it.
    Day(NaiveDate),
}

impl Bound {
    /// Reads a moment in RFC 3339 or a day such as `2026-12-31`.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let day = text.parse().map(Self::Day).ok();
        let bound = day.or_else(|| moment(text).ok().map(Self::Moment));
        bound.ok_or_else(|| {
            "expected a day such as 2026-12-31 or a moment such as 2026-12-31T23:59:59Z".to_owned()
        })
    }

    /// The first moment that belongs to a span that begins so.
    pub(crate) fn start(self) -> DateTime<Utc> {
        match self {
            Self::Moment(at) => at,
            Self::Day(day) => midnight(day),
        }
    }

    /// The first moment after a span that ends so.
    pub(crate) fn end(self) -> DateTime<Utc> {
        match self {
            Self::Moment(at) => at,
            Self::Day(day) => midnight(day.succ_opt().unwrap_or(day)),
        }
    }
}

fn midnight(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}

/// A moment as it is shown, in UTC.
pub(crate) fn shown(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_whole_and_a_moment_exact() {
        let day = Bound::read("2026-11-22").unwrap();
        assert_eq!(shown(day.start()), "2026-11-22 00:00:00");
        assert_eq!(shown(day.end()), "2026-11-23 00:00:00");
        let moment = Bound::read("2026-11-22T01:00:00+01:00").unwrap();
        assert_eq!((shown(moment.start()), moment.end()), ("2026-11-22 00:00:00".to_owned(), moment.start()));
        for bad in ["", "today", "2026-11-31", "2026-11-22T01:00:00"] {
            assert!(Bound::read(bad).is_err(), "{bad}");
        }
    }
}

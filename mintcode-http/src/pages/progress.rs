//! The progress page: what is happening, the number, the countdown, the code, and what can be done.

use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use chrono::{DateTime, SecondsFormat, Utc};
use mintcode_core::ids::RedemptionId;
use mintcode_core::redemption::{Phase, Redemption, Settlement, Status};

use super::{Frame, show};
use crate::app::{Shared, Site};
use crate::error::{ApiError, Slug};
use crate::lang::{Lang, Reader};
use crate::redeem::find;
use crate::view::{MessageView, RedemptionView, messages, seconds_until};

/// The most vouchers redeemed by one form and shown on one page.
pub(super) const MOST_TOGETHER: usize = 20;

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/r/{ids}", get(progress))
}

#[derive(Template)]
#[template(path = "progress.html")]
struct ProgressPage<'a> {
    frame: Frame<'a>,
    cards: Vec<Card<'a>>,
    /// The server's time, by which the script counts down.
    now: String,
    /// Whether something still changes by itself.
    is_live: bool,
    /// Whether something changes by itself soon enough for a page without a script to reload.
    reloads: bool,
}

/// One redemption.
struct Card<'a> {
    id: RedemptionId,
    status: &'static str,
    headline: &'static str,
    next_step: String,
    sku: &'a str,
    voucher: String,
    phone: Option<&'a str>,
    code: Option<String>,
    text: Option<&'a str>,
    messages: Vec<MessageLine<'a>>,
    countdown: Option<Countdown>,
    tries_left: String,
    /// The redemption that followed.
    followed_by: Option<RedemptionId>,
    actions: Vec<Action>,
    is_live: bool,
}

/// A button.
struct Action {
    /// The last part of the route it posts to.
    name: &'static str,
    label: &'static str,
    class: &'static str,
}

struct MessageLine<'a> {
    at: String,
    text: &'a str,
}

/// Seconds to something.
struct Countdown {
    label: &'static str,
    until: String,
    left: String,
}

impl Countdown {
    fn new(label: &'static str, until: DateTime<Utc>, now: DateTime<Utc>) -> Option<Self> {
        let seconds = seconds_until(until, now)?;
        let left = format!("{}:{:02}", seconds / 60, seconds % 60);
        Some(Self { label, until: stamp(until), left })
    }
}

fn stamp(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// `GET /r/{id}`, or several ids joined by commas.
async fn progress(
    State(shared): State<Shared>,
    reader: Reader,
    Path(ids): Path<String>,
) -> Result<Response, ApiError> {
    let mut redemptions = Vec::new();
    for id in ids.split(',') {
        if redemptions.len() == MOST_TOGETHER {
            return Err(ApiError::new(Slug::NotFound));
        }
        redemptions.push(find(&shared, id).await?);
    }
    let now = shared.clock.now();
    let cards: Vec<_> =
        redemptions.iter().map(|one| Card::new(one, reader.lang, &shared.site, now)).collect();
    let is_live = cards.iter().any(|card| card.is_live);
    show(&ProgressPage {
        frame: Frame::new(reader, &format!("/r/{ids}"), &shared.site),
        now: stamp(now),
        is_live,
        reloads: is_live || cards.iter().any(|card| card.countdown.is_some()),
        cards,
    })
}

impl<'a> Card<'a> {
    fn new(redemption: &'a Redemption, lang: Lang, site: &Site, now: DateTime<Utc>) -> Self {
        let texts = lang.page();
        let view = RedemptionView::now(redemption, lang, site, now);
        let words = lang.status(view.status);
        let retry_at = redemption.snapshot().failure.and_then(|failure| failure.retry_at);
        let countdown = match view.status {
            Status::Queued | Status::Ordering | Status::WaitingSms => {
                Countdown::new(texts.time_left, redemption.deadline, now)
            }
            Status::CoolingDown | Status::Releasing => {
                view.resumes_at.and_then(|at| Countdown::new(texts.goes_on_in, at, now))
            }
            Status::Failed => retry_at.and_then(|at| Countdown::new(texts.again_in, at, now)),
            Status::Delivered | Status::Cancelled => None,
        };
        let actions = actions(redemption, &view, lang);
        let awaits_more = matches!(&redemption.phase, Phase::Delivered(it) if matches!(it.settlement, Settlement::Open { .. }));
        let next_step = match (view.failure, view.status) {
            (Some(failure), _) => failure.detail,
            (None, Status::Delivered) if redemption.is_purged() => {
                lang.problem(Slug::Purged).detail.to_owned()
            }
            (None, Status::Delivered) if !awaits_more => String::new(),
            (None, _) => words.next.to_owned(),
        };
        Self {
            id: redemption.id,
            status: view.status.name(),
            headline: words.headline,
            next_step,
            sku: lang.pick(&redemption.sku_name),
            voucher: redemption.mask.to_string(),
            phone: view.phone,
            code: view.code,
            text: view.text,
            messages: lines(messages(redemption)),
            countdown,
            tries_left: lang.tries_left(view.redemptions_left),
            followed_by: redemption.next,
            actions,
            is_live: !redemption.is_final() || awaits_more,
        }
    }
}

/// What can be done where the redemption stands.
fn actions(redemption: &Redemption, view: &RedemptionView<'_>, lang: Lang) -> Vec<Action> {
    let texts = lang.page();
    let retry = Action { name: "retry", label: texts.try_again, class: "" };
    let replace = Action { name: "replace", label: texts.another_number, class: "quiet" };
    let cancel = Action { name: "cancel", label: texts.give_up, class: "quiet" };
    let is_last = redemption.next.is_none();
    match view.status {
        Status::WaitingSms => vec![replace, cancel],
        Status::Queued | Status::Ordering | Status::CoolingDown | Status::Releasing => vec![cancel],
        Status::Failed if is_last && view.failure.as_ref().is_some_and(|failure| failure.retryable) => {
            vec![retry]
        }
        Status::Cancelled if is_last && view.redemptions_left > 0 => vec![retry],
        Status::Failed | Status::Cancelled | Status::Delivered => Vec::new(),
    }
}

/// All messages as lines, where there is more than the one that is shown anyway.
fn lines(messages: Vec<MessageView<'_>>) -> Vec<MessageLine<'_>> {
    if messages.len() < 2 {
        return Vec::new();
    }
    let shown = messages.into_iter().map(|message| MessageLine {
        at: message.received_at.format("%H:%M:%S UTC").to_string(),
        text: message.text,
    });
    shown.collect()
}

//! A redemption's changes as server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::stream;
use mintcode_core::ids::RedemptionId;
use mintcode_core::ports::StorageError;
use mintcode_core::redemption::{Redemption, Snapshot};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::app::Shared;
use crate::error::ApiError;
use crate::lang::{Lang, Reader};
use crate::redeem::find;
use crate::serve::Closing;
use crate::view::RedemptionView;

/// Silence is broken this often, so that nobody between here and the client takes the stream for dead.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How often storage is looked at without a notice: another process may have stored the change.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Versions read at a time.
const PAGE: u32 = 100;
/// A client that stays longer has to come back, with its `Last-Event-ID`.
const LONGEST: Duration = Duration::from_hours(1);

pub(crate) fn routes() -> Router<Shared> {
    Router::new().route("/redeem/{id}/events", get(events))
}

/// `GET /redeem/{id}/events`: without `Last-Event-ID` the state it is in and what follows, with it every version after.
///
/// Ends once nothing can follow; whoever comes back to such an end is told not to come again (204).
async fn events(
    State(shared): State<Shared>,
    reader: Reader,
    Path(id): Path<String>,
    headers: HeaderMap,
    closing: Closing,
) -> Result<Response, ApiError> {
    let redemption = find(&shared, &id).await?;
    let last_seen = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.trim().parse::<u64>().ok());
    if redemption.is_at_rest() && last_seen.is_some_and(|seen| seen >= redemption.version) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let feed = Feed {
        changes: shared.redeemer.subscribe(redemption.id),
        id: redemption.id,
        lang: reader.lang,
        shared,
        seen: last_seen.unwrap_or_else(|| redemption.version.saturating_sub(1)),
        pending: Vec::new().into_iter(),
        redemption,
        closing,
        until: Instant::now() + LONGEST,
    };
    let stream = stream::unfold(feed, |mut feed| async move {
        let event = feed.next().await?;
        Some((Ok::<_, Infallible>(event), feed))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response())
}

/// One client's place in a redemption's history.
struct Feed {
    shared: Shared,
    id: RedemptionId,
    lang: Lang,
    /// The last version sent.
    seen: u64,
    /// Versions read and not yet sent.
    pending: std::vec::IntoIter<Snapshot>,
    /// The redemption as it was when they were read, or later.
    redemption: Redemption,
    changes: watch::Receiver<u64>,
    closing: Closing,
    until: Instant,
}

impl Feed {
    /// The next event; `None` where the stream ends.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(snapshot) = self.pending.next() {
                self.seen = snapshot.version;
                return self.event(&snapshot);
            }
            match self.read().await {
                Ok(true) => {}
                Ok(false) if self.redemption.is_at_rest() && self.seen >= self.redemption.version => {
                    return None;
                }
                Ok(false) => self.wait().await?,
                // The client comes back with the last version it saw.
                Err(error) => {
                    tracing::warn!(%error, "an event stream ends early");
                    return None;
                }
            }
        }
    }

    /// Reads what was stored since; whether there is anything.
    async fn read(&mut self) -> Result<bool, StorageError> {
        let stored = self.shared.redeemer.history(self.id, self.seen, PAGE).await?;
        // Read after the history, so that it has the number and the code of every version in it.
        if let Some(redemption) = self.shared.redeemer.redemption(self.id).await? {
            self.redemption = redemption;
        }
        self.pending = stored.into_iter();
        Ok(self.pending.len() > 0)
    }

    /// Waits until there may be something to read; `None` where the stream is to end.
    async fn wait(&mut self) -> Option<()> {
        tokio::select! {
            Ok(()) = self.changes.changed() => Some(()),
            () = tokio::time::sleep(LOOK_EVERY) => Some(()),
            () = tokio::time::sleep_until(self.until) => None,
            () = self.closing.wait() => None,
        }
    }

    fn event(&self, snapshot: &Snapshot) -> Option<Event> {
        let id = snapshot.version.to_string();
        let view = RedemptionView::at(
            &self.redemption,
            snapshot,
            self.lang,
            &self.shared.site,
            self.shared.clock.now(),
        );
        Event::default().event("redemption").id(id).json_data(view).ok()
    }
}

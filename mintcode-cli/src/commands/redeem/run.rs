//! One voucher's way from its code to its outcome, over lost connections and restarts of the server.

use std::time::Duration;

use chrono::{DateTime, Utc};
use mintcode_core::redemption::Status;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::client::{Client, Problem, Shown, Sight, Trouble};
use super::holder::Holder;
use super::progress::Line;
use crate::codes;

/// How long a server that never answered is tried.
const PATIENCE_AT_FIRST: Duration = Duration::from_secs(15);
/// How long a server that answered before is waited for.
const PATIENCE: Duration = Duration::from_mins(15);
/// The pause after the first failure, doubled with each further one.
const PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What redeems one voucher.
pub(super) struct Run<'a> {
    pub(super) client: &'a Client,
    pub(super) holder: &'a Holder,
    pub(super) line: Line,
}

/// How it ended, for this command.
pub(super) enum Outcome {
    /// The redemption ended.
    Ended(Shown),
    /// The server says no.
    Refused(Problem),
    /// Not sent: the code has a typo.
    Typo(String),
    /// The server does not answer.
    Unreachable(String),
}

/// Counts failures in a row and says how long to wait for the next try.
struct Patience {
    since: Instant,
    limit: Duration,
    pause: Duration,
}

impl Patience {
    fn new(limit: Duration) -> Self {
        Self { since: Instant::now(), limit, pause: PAUSE }
    }

    /// Waits for the next try; `false` when it is time to give up.
    async fn wait(&mut self, asked: Option<Duration>) -> bool {
        let pause = asked.unwrap_or(self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        if self.since.elapsed() + pause > self.limit {
            return false;
        }
        sleep(pause).await;
        true
    }
}

impl Run<'_> {
    pub(super) async fn redeem(mut self, code: &str) -> Outcome {
        let outcome = self.go(code).await;
        self.line.end(&outcome.summary(), outcome.is_delivered());
        outcome
    }

    async fn go(&mut self, code: &str) -> Outcome {
        if let Err(error) = codes::read_any(code) {
            return Outcome::Typo(error.to_string());
        }
        let key = self.holder.key(code);
        let mut patience = Patience::new(PATIENCE_AT_FIRST);
        let mut sight = loop {
            match self.client.begin(code, &key).await {
                Ok(sight) => break sight,
                Err(Trouble::Refused(problem)) => return Outcome::Refused(problem),
                Err(Trouble::Later { wait, why }) => {
                    self.line.say(&format!("no answer from {}, trying again", self.client.name()));
                    if !patience.wait(wait).await {
                        return Outcome::Unreachable(why);
                    }
                }
            }
        };
        self.watch(&mut sight).await.unwrap_or(Outcome::Ended(sight.shown))
    }

    /// Follows a redemption to its end; anything but that end is returned.
    async fn watch(&mut self, sight: &mut Sight) -> Option<Outcome> {
        let mut patience = Patience::new(PATIENCE);
        while !sight.shown.status.is_final() {
            self.line.tell(&happening(&sight.shown), until(sight));
            match self.client.wait(sight).await {
                Ok(news) => {
                    patience = Patience::new(PATIENCE);
                    if let Some(news) = news {
                        *sight = news;
                    }
                }
                Err(Trouble::Refused(problem)) if problem.slug() != "unavailable" => {
                    return Some(Outcome::Refused(problem));
                }
                Err(trouble) => {
                    let (wait, why) = match trouble {
                        Trouble::Later { wait, why } => (wait, why),
                        Trouble::Refused(problem) => {
                            (problem.retry_after.map(Duration::from_secs), problem.title)
                        }
                    };
                    self.line.say("connection lost, the redemption goes on; trying again");
                    if !patience.wait(wait).await {
                        return Some(Outcome::Unreachable(why));
                    }
                }
            }
        }
        None
    }
}

/// What happens now, in words.
fn happening(shown: &Shown) -> String {
    let phone = shown.phone.as_deref().unwrap_or("the number");
    match shown.status {
        Status::Queued => "waiting for its turn".to_owned(),
        Status::Ordering => "getting a number".to_owned(),
        Status::WaitingSms => format!("waiting for the SMS on {phone}"),
        Status::CoolingDown => "trying again in a moment".to_owned(),
        Status::Releasing => format!("giving {phone} back"),
        Status::Delivered => "delivered".to_owned(),
        Status::Failed => "failed".to_owned(),
        Status::Cancelled => "cancelled".to_owned(),
    }
}

/// How long that may take, by the server's clock.
fn until(sight: &Sight) -> Option<Duration> {
    let shown = &sight.shown;
    let end: DateTime<Utc> = match shown.status {
        Status::CoolingDown | Status::Releasing => shown.resumes_at?,
        Status::WaitingSms | Status::Ordering => shown.deadline,
        Status::Queued | Status::Delivered | Status::Failed | Status::Cancelled => return None,
    };
    (end - sight.server_time?).to_std().ok()
}

impl Outcome {
    pub(super) fn is_delivered(&self) -> bool {
        matches!(self, Self::Ended(shown) if shown.status == Status::Delivered)
    }

    /// `PHONE CODE`, where a code was delivered. Messages without a code are delivered as their text.
    pub(super) fn delivered(&self) -> Option<String> {
        let Self::Ended(shown) = self else { return None };
        let text = shown.code.as_ref().or(shown.text.as_ref()).filter(|_| self.is_delivered())?;
        let phone = shown.phone.as_deref().unwrap_or("-");
        Some(format!("{phone} {}", text.split_whitespace().collect::<Vec<_>>().join(" ")))
    }

    /// The outcome in a sentence, for people.
    fn summary(&self) -> String {
        match self {
            Self::Ended(shown) if shown.status == Status::Delivered => "delivered".to_owned(),
            Self::Ended(shown) => {
                let detail = shown.failure.as_ref().and_then(|failure| failure["detail"].as_str());
                detail.unwrap_or("cancelled; the voucher stays good").to_owned()
            }
            Self::Refused(Problem { title, detail, retry_after, .. }) => {
                let again =
                    retry_after.map_or_else(String::new, |seconds| format!(" Try again in {seconds} s."));
                if detail.is_empty() {
                    format!("{title}{again}")
                } else {
                    format!("{title}: {detail}{again}")
                }
            }
            Self::Typo(why) => why.clone(),
            Self::Unreachable(why) => {
                format!("the server does not answer ({why}); nothing is lost, call the command again later")
            }
        }
    }

    /// The outcome as JSON, without its voucher.
    pub(super) fn shown(&self) -> Value {
        match self {
            Self::Ended(shown) => json!({
                "redemption": shown.id,
                "status": shown.status,
                "phone": shown.phone,
                "code": shown.code,
                "text": shown.text,
                "failure": shown.failure,
            }),
            Self::Refused(problem) => json!({
                "status": "refused",
                "problem": {
                    "type": problem.kind,
                    "title": problem.title,
                    "detail": problem.detail,
                    "retryable": problem.retryable,
                    "retry_after": problem.retry_after,
                },
            }),
            Self::Typo(why) => json!({
                "status": "refused",
                "problem": { "type": "/problems/voucher-invalid", "title": "Not a voucher", "detail": why },
            }),
            Self::Unreachable(why) => json!({ "status": "unreachable", "detail": why }),
        }
    }
}

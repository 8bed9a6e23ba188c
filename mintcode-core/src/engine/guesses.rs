//! Counts wrong codes, and says when there were too many.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::supplier_desk::Chain;
use crate::guessing::{GuessQuotas, Verdict};
use crate::ports::{Counted, Limits};
use crate::redemption::HolderKey;

/// Keys that are remembered to be over their quota.
const REMEMBERED: usize = 10_000;

/// Who posted a wrong code.
#[derive(Clone, Debug, Default)]
pub(super) struct Guesser {
    pub(super) session: Option<HolderKey>,
    pub(super) address: Option<HolderKey>,
}

/// The limits on guessing.
pub(super) struct Guesses {
    limits: Arc<dyn Limits>,
    quotas: GuessQuotas,
    /// Until when keys are over: whoever floods us costs no statement each.
    over: Mutex<HashMap<String, DateTime<Utc>>>,
}

impl Guesses {
    pub(super) fn new(limits: Arc<dyn Limits>, quotas: GuessQuotas) -> Self {
        Self { limits, quotas, over: Mutex::default() }
    }

    /// Counts one more wrong code; says how long to wait where it is one too many.
    pub(super) async fn wrong(&self, guesser: &Guesser, now: DateTime<Utc>) -> Option<Duration> {
        let of = |name: &str, key: &Option<HolderKey>, quota| {
            key.as_ref().map(|key| Counted { key: format!("{name} {}", key.as_str()), quota })
        };
        let all = Counted { key: "all".to_owned(), quota: self.quotas.all };
        let counted: Vec<_> = [
            of("session", &guesser.session, self.quotas.session),
            of("address", &guesser.address, self.quotas.address),
            Some(all),
        ]
        .into_iter()
        .flatten()
        .collect();
        if let Some(wait) = self.remembered(&counted, now) {
            return Some(wait);
        }
        match self.limits.count(&counted, now).await {
            Ok(verdicts) => self.remember(&counted, &verdicts, now),
            // The code is refused all the same, and entropy is the defence.
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "a wrong code was not counted");
                None
            }
        }
    }

    /// How long the slowest of these keys is over, as far as that is known.
    fn remembered(&self, counted: &[Counted], now: DateTime<Utc>) -> Option<Duration> {
        let over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        let until = counted.iter().filter_map(|counted| over.get(&counted.key)).max()?;
        (*until - now).to_std().ok().filter(|wait| !wait.is_zero())
    }

    fn remember(&self, counted: &[Counted], verdicts: &[Verdict], now: DateTime<Utc>) -> Option<Duration> {
        let mut longest = None;
        for (counted, verdict) in counted.iter().zip(verdicts) {
            let Verdict::Over { retry_after } = *verdict else { continue };
            longest = longest.max(Some(retry_after));
            let Some(until) =
                TimeDelta::from_std(retry_after).ok().and_then(|wait| now.checked_add_signed(wait))
            else {
                continue;
            };
            let mut over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
            if over.len() >= REMEMBERED {
                over.retain(|_, until| *until > now);
            }
            if over.len() < REMEMBERED {
                over.insert(counted.key.clone(), until);
            }
        }
        longest
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use async_trait::async_trait;

    use super::*;
    use crate::guessing::{LocalLimits, Quota};
    use crate::ports::StorageError;
    use crate::testing::sample;

    /// Limits that count how often they are asked.
    #[derive(Default)]
    struct Asked {
        limits: LocalLimits,
        times: AtomicU32,
    }

    #[async_trait]
    impl Limits for Asked {
        async fn count(&self, counted: &[Counted], now: DateTime<Utc>) -> Result<Vec<Verdict>, StorageError> {
            self.times.fetch_add(1, Ordering::Relaxed);
            self.limits.count(counted, now).await
        }
    }

    struct Down;

    #[async_trait]
    impl Limits for Down {
        async fn count(&self, _: &[Counted], _: DateTime<Utc>) -> Result<Vec<Verdict>, StorageError> {
            Err(StorageError::Unavailable("down".into()))
        }
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        sample::now() + TimeDelta::seconds(seconds)
    }

    fn guesser(session: u8, address: u8) -> Guesser {
        let key = |seed| Some(HolderKey::new(&[seed; 32]));
        Guesser { session: key(session), address: key(address) }
    }

    fn quotas(session: u32, address: u32, all: u32) -> GuessQuotas {
        let a_minute = |most| Quota::new(most, Duration::from_mins(1));
        GuessQuotas { session: a_minute(session), address: a_minute(address), all: a_minute(all) }
    }

    #[tokio::test]
    async fn sessions_addresses_and_everybody_have_quotas_of_their_own() {
        let guesses = Guesses::new(Arc::new(LocalLimits::default()), quotas(1, 2, 4));
        let wait = |seconds| Some(Duration::from_secs(seconds));
        for (session, address, told) in [
            (1, 1, None),
            (1, 1, wait(60)),
            (2, 2, None),
            // What one quota refuses counts in the others all the same.
            (3, 1, wait(30)),
            (4, 3, wait(15)),
        ] {
            let said = guesses.wrong(&guesser(session, address), at(0)).await;
            assert_eq!(said, told, "session {session}, address {address}");
        }
    }

    #[tokio::test]
    async fn whoever_floods_costs_no_statement_each() {
        let limits = Arc::new(Asked::default());
        let guesses = Guesses::new(Arc::clone(&limits) as Arc<dyn Limits>, quotas(1, 100, 100));
        let asked = || limits.times.load(Ordering::Relaxed);
        for _ in 0..100 {
            guesses.wrong(&guesser(1, 1), at(0)).await;
        }
        assert_eq!(asked(), 2);
        assert_eq!(guesses.wrong(&guesser(1, 1), at(59)).await, Some(Duration::from_secs(1)));
        assert_eq!(asked(), 2);
        assert_eq!(guesses.wrong(&guesser(1, 1), at(60)).await, None);
        assert_eq!(asked(), 3);
    }

    #[tokio::test]
    async fn what_is_remembered_is_bounded() {
        let guesses = Guesses::new(Arc::new(LocalLimits::default()), quotas(1, 1, 1_000_000));
        for session in 0..u32::try_from(REMEMBERED).unwrap() + 10 {
            let mut key = [0; 32];
            key[..4].copy_from_slice(&session.to_be_bytes());
            let stranger = Guesser { session: Some(HolderKey::new(&key)), address: None };
            guesses.wrong(&stranger, at(0)).await;
            assert!(guesses.wrong(&stranger, at(0)).await.is_some());
        }
        assert_eq!(guesses.over.lock().unwrap().len(), REMEMBERED);
    }

    #[tokio::test]
    async fn limits_that_cannot_be_asked_hold_nobody_back() {
        let guesses = Guesses::new(Arc::new(Down), quotas(1, 1, 1));
        for _ in 0..3 {
            assert_eq!(guesses.wrong(&guesser(1, 1), at(0)).await, None);
        }
    }
}

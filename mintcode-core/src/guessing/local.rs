//! Limits of one process.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{Meter, Verdict};
use crate::ports::{Counted, Limits, StorageError};

/// Keys of one generation. With two of them some ten megabytes are the most.
const GENERATION: usize = 50_000;

/// Limits in memory, for one process that serves alone. How many keys there are is bounded: of more than fit, those that
/// were not counted for longest are forgotten.
#[derive(Default)]
pub struct LocalLimits(Mutex<Generations>);

#[derive(Default)]
struct Generations {
    young: HashMap<String, Meter>,
    old: HashMap<String, Meter>,
}

impl Generations {
    fn count(&mut self, counted: &Counted, now: DateTime<Utc>) -> Verdict {
        let before = self.young.get(&counted.key).or_else(|| self.old.get(&counted.key)).copied();
        let (after, verdict) = Meter::count(before, counted.quota, now);
        if let Some(meter) = after {
            if self.young.len() >= GENERATION && !self.young.contains_key(&counted.key) {
                self.old = std::mem::take(&mut self.young);
            }
            self.young.insert(counted.key.clone(), meter);
        }
        verdict
    }
}

#[async_trait]
impl Limits for LocalLimits {
    async fn count(&self, counted: &[Counted], now: DateTime<Utc>) -> Result<Vec<Verdict>, StorageError> {
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(counted.iter().map(|counted| generations.count(counted, now)).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::guessing::Quota;
    use crate::testing::sample;

    fn counted(key: &impl ToString) -> Counted {
        Counted { key: key.to_string(), quota: Quota::new(1, Duration::from_mins(1)) }
    }

    #[tokio::test]
    async fn keys_are_counted_apart() {
        let limits = LocalLimits::default();
        let both = [counted(&"a"), counted(&"b")];
        let first = limits.count(&both, sample::now()).await.unwrap();
        assert_eq!(first, [Verdict::Within { left: 0 }; 2]);
        let second = limits.count(&[counted(&"a"), counted(&"c")], sample::now()).await.unwrap();
        assert!(matches!(second[..], [Verdict::Over { .. }, Verdict::Within { left: 0 }]), "{second:?}");
    }

    #[tokio::test]
    async fn a_flood_of_keys_takes_no_more_memory_than_two_generations() {
        let limits = LocalLimits::default();
        limits.count(&[counted(&"first")], sample::now()).await.unwrap();
        for key in 0..3 * GENERATION {
            limits.count(&[counted(&key)], sample::now()).await.unwrap();
        }
        let last = limits.count(&[counted(&(3 * GENERATION - 1))], sample::now()).await.unwrap();
        assert!(matches!(last[..], [Verdict::Over { .. }]), "the young are not forgotten");
        let generations = limits.0.lock().unwrap();
        assert!(generations.young.len() <= GENERATION && generations.old.len() == GENERATION);
        assert!(!generations.old.contains_key("first"));
    }
}

//! Counts what must not come too often, for all processes that serve together.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::storage::StorageError;
use crate::guessing::{Quota, Verdict};

/// One more of something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Under which it counts; at most 100 bytes, and nothing that names a person.
    pub key: String,
    /// How many there may be.
    pub quota: Quota,
}

/// Counts what must not come too often. What is counted need not survive a crash: a lost count lets a few more through.
#[async_trait]
pub trait Limits: Send + Sync {
    /// Counts one more under each key, whatever the others say, and tells what each says, in order; no key comes twice. The
    /// same as [`Meter::count`](crate::guessing::Meter::count), for whoever counts at the same time. Where several
    /// processes count, they go by one clock of their own instead of `now`.
    async fn count(&self, counted: &[Counted], now: DateTime<Utc>) -> Result<Vec<Verdict>, StorageError>;
}

//! The vouchers of a batch on their way into storage.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, mpsc};
use std::thread;

use crate::voucher::{Mask, VoucherHash};

/// Vouchers made at a time: small enough to cost no memory, many enough that handing them on costs no time.
const BLOCK: usize = 4096;
/// Threads that make vouchers, or sort them. Two, so that a server that mints still has time for its customers.
const THREADS: usize = 2;

/// Makes the vouchers of a batch, any of them at any time: the same ones each time, all of them distinct.
pub trait VoucherSource: Send + Sync {
    /// How many there are.
    fn count(&self) -> usize;

    /// Those at these places, in order. `places` lies within `0..count`.
    fn make(&self, places: Range<usize>) -> Vec<(VoucherHash, Mask)>;
}

impl VoucherSource for Vec<(VoucherHash, Mask)> {
    fn count(&self) -> usize {
        self.len()
    }

    fn make(&self, places: Range<usize>) -> Vec<(VoucherHash, Mask)> {
        self[places].to_vec()
    }
}

/// The vouchers of a new batch, which storage has made when it needs them: it may find that it needs none. Cheap to clone.
///
/// ```
/// # use mintcode_core::ports::NewVouchers;
/// # use mintcode_core::voucher::VoucherHash;
/// let mask = "ABCD****WXYZ".parse()?;
/// let given = vec![(VoucherHash::from_bytes([2; 16]), mask), (VoucherHash::from_bytes([1; 16]), mask)];
/// let vouchers = NewVouchers::from(given);
/// assert_eq!(vouchers.in_key_order()[0].0, VoucherHash::from_bytes([1; 16]));
/// # Ok::<(), mintcode_core::voucher::BadMask>(())
/// ```
#[derive(Clone)]
pub struct NewVouchers {
    source: Arc<dyn VoucherSource>,
    on_stored: Option<Progress>,
}

/// Whoever is told how many more vouchers of a batch are on their way into storage; none of them is to be had before all
/// are. Cheap to clone.
#[derive(Clone)]
pub struct Progress(Arc<dyn Fn(usize) + Send + Sync>);

impl Progress {
    /// Calls `told` with how many more; it must not block.
    pub fn new(told: impl Fn(usize) + Send + Sync + 'static) -> Self {
        Self(Arc::new(told))
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress(…)")
    }
}

impl NewVouchers {
    /// The vouchers of `source`.
    pub fn new(source: impl VoucherSource + 'static) -> Self {
        Self { source: Arc::new(source), on_stored: None }
    }

    /// The same; `progress` is told as they are stored.
    #[must_use]
    pub fn told(self, progress: Option<Progress>) -> Self {
        Self { on_stored: progress, ..self }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.source.count()
    }

    /// All of them, sorted by hash: 24 bytes each. A storage that keeps them in that order writes every page once.
    ///
    /// Blocks for as long as making and sorting take, on two threads where there are many.
    #[must_use]
    pub fn in_key_order(&self) -> Vec<(VoucherHash, Mask)> {
        let count = self.count();
        if count <= BLOCK {
            let mut vouchers = self.source.make(0..count);
            vouchers.sort_unstable_by_key(|(hash, _)| *hash);
            return vouchers;
        }
        let mut vouchers = Vec::with_capacity(count);
        thread::scope(|scope| {
            let (send, made) = mpsc::sync_channel(2 * THREADS);
            for thread in 0..THREADS {
                let send = send.clone();
                scope.spawn(move || {
                    for first in (thread * BLOCK..count).step_by(THREADS * BLOCK) {
                        if send.send(self.source.make(first..count.min(first + BLOCK))).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(send);
            for block in made {
                vouchers.extend(block);
            }
        });
        let middle = vouchers.len() / 2;
        vouchers.select_nth_unstable_by_key(middle, |(hash, _)| *hash);
        let (lower, upper) = vouchers.split_at_mut(middle);
        thread::scope(|scope| {
            scope.spawn(|| lower.sort_unstable_by_key(|(hash, _)| *hash));
            upper.sort_unstable_by_key(|(hash, _)| *hash);
        });
        vouchers
    }

    /// The places of those that have one of `hashes`, in order.
    #[must_use]
    pub fn places_of(&self, hashes: &HashSet<VoucherHash>) -> Vec<usize> {
        let count = self.count();
        let blocks = (0..count).step_by(BLOCK).map(|first| first..count.min(first + BLOCK));
        let all = blocks.flat_map(|places| places.clone().zip(self.source.make(places)));
        all.filter(|(_, (hash, _))| hashes.contains(hash)).map(|(place, _)| place).collect()
    }

    /// Tells whoever waits that `more` are stored, or will be when all are.
    pub fn stored(&self, more: usize) {
        if let Some(Progress(told)) = &self.on_stored {
            told(more);
        }
    }
}

impl From<Vec<(VoucherHash, Mask)>> for NewVouchers {
    fn from(given: Vec<(VoucherHash, Mask)>) -> Self {
        Self::new(given)
    }
}

impl fmt::Debug for NewVouchers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewVouchers").field("count", &self.count()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::sample;

    fn many(count: u32) -> Vec<(VoucherHash, Mask)> {
        sample::batch(&sample::sku("tg"), count).1
    }

    #[test]
    fn many_are_sorted_and_none_is_lost() {
        for count in [0, 1, 4096, 4097, 8192, 20_001] {
            let given = many(count);
            let mut sorted = given.clone();
            sorted.sort_unstable();
            assert_eq!(NewVouchers::from(given).in_key_order(), sorted, "{count}");
        }
    }

    #[test]
    fn vouchers_are_found_by_their_places() {
        let given = many(9000);
        let wanted = [8999, 0, 4096].map(|place: usize| given[place].0).into();
        assert_eq!(NewVouchers::from(given).places_of(&wanted), [0, 4096, 8999]);
    }
}

//! Batches: many codes at once, derived so that they can be derived again until the nonce is destroyed.

use std::fmt;
use std::ops::Range;
use std::vec;

use serde::{Deserialize, Serialize};

use super::alphabet;
use super::code::VoucherCode;
use super::hex;
use super::keys::{KeyId, Tag, VoucherKeys};
use super::label::Label;
use super::prf::Prf;
use super::shape::{MAX_LENGTH, Shape};

/// The most codes of one batch.
pub const MAX_BATCH: u32 = 10_000_000;

/// Symbols of a head: 125 bits of a `u128`, counted from its top.
const HEAD: usize = 25;

/// Codes made at a time: writing all their symbols before reading any keeps the processor from waiting.
const RUN: usize = 64;

/// What, together with the secret, gives a batch its codes. Destroying it seals the batch.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchNonce(#[serde(with = "hex")] [u8; 32]);

impl BatchNonce {
    /// A nonce of these bytes: unpredictable ones, or those of a nonce kept earlier.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A fresh nonce, from bytes that `random` fills unpredictably.
    pub fn fresh(mut random: impl FnMut(&mut [u8])) -> Self {
        let mut bytes = [0; 32];
        random(&mut bytes);
        Self(bytes)
    }

    /// The bytes, to be stored until the batch is sealed and nowhere else.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for BatchNonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BatchNonce(…)")
    }
}

/// Why a batch cannot be derived.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Its secret is neither the current nor a previous one.
    #[error("the voucher secret {0} of this batch is not configured")]
    UnknownKey(KeyId),
    /// More than [`MAX_BATCH`] codes.
    #[error("a batch has at most {MAX_BATCH} codes, not {count}")]
    TooMany {
        /// Codes asked for.
        count: u32,
    },
}

impl VoucherKeys {
    /// The `count` codes of the batch with this secret, nonce, label and shape: the same ones each time, distinct and
    /// sorted. Takes 16 bytes a code; the codes themselves are made one at a time.
    pub fn derive_batch(
        &self,
        key: KeyId,
        nonce: &BatchNonce,
        label: &Label,
        shape: Shape,
        count: u32,
    ) -> Result<Codes, BatchError> {
        let derivation = self.derivation(key, nonce, label, shape, count)?;
        let heads = distinct_sorted(count as usize, |index| derivation.head(index));
        Ok(Codes { heads: heads.into_iter(), made: Vec::new().into_iter(), maker: derivation.maker })
    }

    /// What makes the same codes in no order, some at a time and without memory of the others.
    pub fn derivation(
        &self,
        key: KeyId,
        nonce: &BatchNonce,
        label: &Label,
        shape: Shape,
        count: u32,
    ) -> Result<Derivation, BatchError> {
        let key = self.all().find(|known| known.id == key).ok_or(BatchError::UnknownKey(key))?;
        if count > MAX_BATCH {
            return Err(BatchError::TooMany { count });
        }
        Ok(Derivation {
            count,
            head: key.keyed.bind("mintcode batch head 1", nonce.expose()),
            unused: 128 - 5 * HEAD.min(shape.random_symbols()),
            maker: Maker {
                shape,
                tag: key.tag_of(label),
                tail: key.keyed.bind("mintcode batch tail 1", nonce.expose()),
            },
        })
    }

    /// `count` fresh codes under the current secret, distinct and sorted, which nobody can derive again.
    pub fn mint_many(
        &self,
        label: &Label,
        shape: Shape,
        count: u32,
        random: impl FnMut(&mut [u8]),
    ) -> Result<Codes, BatchError> {
        self.derive_batch(self.current_id(), &BatchNonce::fresh(random), label, shape, count)
    }
}

/// The first `count` different values of `value(0)`, `value(1)`, …, sorted.
fn distinct_sorted(count: usize, value: impl Fn(u64) -> u128) -> Vec<u128> {
    let mut indices = 0..;
    let mut values: Vec<u128> = Vec::with_capacity(count);
    while values.len() < count {
        let missing = count - values.len();
        values.extend(indices.by_ref().take(missing).map(&value));
        values.sort_unstable();
        values.dedup();
    }
    values
}

/// Makes the codes of a batch in no order. Cheap to clone.
#[derive(Clone)]
pub struct Derivation {
    count: u32,
    head: Prf,
    /// Bits at the end of a head that no symbol shows.
    unused: usize,
    maker: Maker,
}

impl Derivation {
    /// How many codes the batch has.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// The codes at these places in the order of their making.
    ///
    /// Those at `0..count` are the batch's codes, unless two of them are the same: then the batch has others in place of
    /// one of them. Codes have 80 random bits at least, so that happens to one batch of a million codes in 10¹²; whoever
    /// stores them finds out and mints another one.
    pub fn codes(&self, places: Range<u32>) -> impl Iterator<Item = VoucherCode> {
        let mut heads = Vec::with_capacity(RUN);
        places.clone().step_by(RUN).flat_map(move |first| {
            heads.clear();
            heads.extend((first..places.end).take(RUN).map(|place| self.head(place.into())));
            self.maker.codes(&heads)
        })
    }

    fn head(&self, index: u64) -> u128 {
        let mut message = [0; 64];
        message[..8].copy_from_slice(&index.to_be_bytes());
        u128::from_be_bytes(self.head.of_short(&message, 8)) >> self.unused << self.unused
    }
}

impl fmt::Debug for Derivation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Derivation").field("count", &self.count).finish_non_exhaustive()
    }
}

/// Turns heads into codes.
#[derive(Clone)]
struct Maker {
    shape: Shape,
    tag: Prf,
    tail: Prf,
}

impl Maker {
    /// The codes with these heads, in their order.
    fn codes(&self, heads: &[u128]) -> Vec<VoucherCode> {
        // Step by step over all of them: reading wide what was just written in pieces makes the processor wait.
        let mut codes: Vec<_> =
            heads.iter().map(|head| VoucherCode::begin(self.shape, self.random(*head))).collect();
        let tags: Vec<_> = codes.iter().map(|code| Tag::of(code.padded(), self.shape, &self.tag)).collect();
        for (code, tag) in codes.iter_mut().zip(&tags) {
            code.put_tag(tag.symbols());
        }
        codes.iter_mut().for_each(VoucherCode::put_check);
        codes
    }

    /// The random symbols that begin with `head`, and zeros behind them.
    fn random(&self, head: u128) -> [u8; MAX_LENGTH] {
        let mut bytes = [0; 20];
        bytes[..16].copy_from_slice(&head.to_be_bytes());
        let first: [u8; 32] = alphabet::cut(&bytes);
        let mut symbols = [0; MAX_LENGTH];
        symbols[..32].copy_from_slice(&first);
        let random = self.shape.random_symbols();
        if random > HEAD {
            let tail: [u8; 30] = self.tail.of(&bytes);
            let tail: [u8; 48] = alphabet::cut(&tail);
            symbols[HEAD..random].copy_from_slice(&tail[..random - HEAD]);
        }
        symbols
    }

    /// Whether two heads give codes that are alike in front of the tag, so that the tag decides their order.
    fn tie(&self, one: u128, other: u128) -> bool {
        let alike = (one ^ other).leading_zeros() as usize;
        alike >= 5 * self.shape.label_pos().min(HEAD)
    }
}

/// The codes of a batch, in order.
pub struct Codes {
    /// The first random symbols of each code still to be made, sorted.
    heads: vec::IntoIter<u128>,
    /// The codes that come next.
    made: vec::IntoIter<VoucherCode>,
    maker: Maker,
}

impl Codes {
    /// Makes the codes of the next heads, sorted: enough of them that none of the later ones belongs among them.
    fn make(&mut self) -> Vec<VoucherCode> {
        let left = self.heads.as_slice();
        let mut taken = left.len().min(RUN);
        while taken > 0 && taken < left.len() && self.maker.tie(left[taken - 1], left[taken]) {
            taken += 1;
        }
        let heads = &left[..taken];
        let mut codes = self.maker.codes(heads);
        if heads.windows(2).any(|pair| self.maker.tie(pair[0], pair[1])) {
            codes.sort_unstable();
        }
        self.heads.by_ref().take(taken).for_each(drop);
        codes
    }
}

impl Iterator for Codes {
    type Item = VoucherCode;

    fn next(&mut self) -> Option<VoucherCode> {
        if self.made.len() == 0 {
            self.made = self.make().into_iter();
        }
        self.made.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.heads.len() + self.made.len();
        (left, Some(left))
    }
}

impl ExactSizeIterator for Codes {}

impl fmt::Debug for Codes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Codes").field("left", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_came_before_is_passed_over() {
        assert_eq!(distinct_sorted(4, |index| u128::from(9 - index / 3)), [6, 7, 8, 9]);
        assert!(distinct_sorted(0, u128::from).is_empty());
    }
}

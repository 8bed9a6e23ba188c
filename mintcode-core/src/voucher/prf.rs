//! HMAC-SHA256 with everything absorbed that does not change from code to code.
//!
//! Made of bare SHA-256 compressions: the `hmac` crate's buffered states cost half as much again as the two
//! compressions a code's message takes, and a batch has three such messages a code. A test holds it to that crate.

use sha2::block_api::compress256;
use sha2::{Digest, Sha256};

/// Bytes of a SHA-256 block.
const BLOCK: usize = 64;

/// Bytes at the end of the last block that hold the message's length in bits.
const LENGTH: usize = 8;

/// The state of SHA-256 before the first block (FIPS 180-4, 5.3.3).
const START: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// `END[n]` is a block with SHA-256's end mark behind `n` bytes.
static END: [[u8; BLOCK]; BLOCK] = {
    let mut blocks = [[0; BLOCK]; BLOCK];
    let mut length = 0;
    while length < BLOCK {
        blocks[length][length] = 0x80;
        length += 1;
    }
    blocks
};

/// HMAC-SHA256 under one secret.
#[derive(Clone)]
pub(super) struct Keyed {
    inner: [u32; 8],
    outer: [u32; 8],
}

/// A function of short messages: a secret, bound to one domain and one context.
#[derive(Clone)]
pub(super) struct Prf {
    inner: [u32; 8],
    outer: [u32; 8],
    /// Bytes that `inner` has absorbed: whole blocks.
    absorbed: usize,
}

impl Keyed {
    pub(super) fn new(secret: &[u8]) -> Self {
        let mut key = [0; BLOCK];
        if secret.len() > BLOCK {
            key[..32].copy_from_slice(&Sha256::digest(secret));
        } else {
            key[..secret.len()].copy_from_slice(secret);
        }
        let padded = |pad: u8| {
            let mut state = START;
            compress256(&mut state, &[key.map(|byte| byte ^ pad)]);
            state
        };
        Self { inner: padded(0x36), outer: padded(0x5c) }
    }

    /// Absorbs domain and context, each framed by its length and the whole padded to full blocks.
    ///
    /// So no two (domain, context, message) are ever the same bytes, and a message of up to 55 bytes costs two
    /// compressions, however long the context is.
    pub(super) fn bind(&self, domain: &str, context: &[u8]) -> Prf {
        let mut prefix = Vec::with_capacity(4 * BLOCK);
        for part in [domain.as_bytes(), context] {
            prefix.extend_from_slice(&(part.len() as u64).to_be_bytes());
            prefix.extend_from_slice(part);
        }
        prefix.resize(prefix.len().next_multiple_of(BLOCK), 0);
        let mut inner = self.inner;
        compress256(&mut inner, prefix.as_chunks().0);
        Prf { inner, outer: self.outer, absorbed: BLOCK + prefix.len() }
    }
}

impl Prf {
    /// The value for a message of any length.
    pub(super) fn of(&self, message: &[u8]) -> [u8; 32] {
        let (mut state, mut absorbed) = (self.inner, self.absorbed);
        let (whole, rest) = message.as_chunks::<BLOCK>();
        compress256(&mut state, whole);
        absorbed += whole.len() * BLOCK;
        let mut last = [0; BLOCK];
        last[..rest.len()].copy_from_slice(rest);
        self.outer(finish(state, absorbed, &last, rest.len()))
    }

    /// The value for the first `length` bytes of `message`, which is zero behind them: the fast way.
    #[inline]
    pub(super) fn of_short(&self, message: &[u8; BLOCK], length: usize) -> [u8; 32] {
        if length == BLOCK {
            return self.of(message);
        }
        self.outer(finish(self.inner, self.absorbed, message, length))
    }

    #[inline]
    fn outer(&self, inner: [u8; 32]) -> [u8; 32] {
        let mut message = [0; BLOCK];
        message[..32].copy_from_slice(&inner);
        finish(self.outer, BLOCK, &message, 32)
    }
}

/// The digest of what `state` has absorbed, `absorbed` bytes in whole blocks, and the first `length` bytes of `last`
/// behind it, at most 63; `last` is zero behind them.
#[inline]
fn finish(mut state: [u32; 8], absorbed: usize, last: &[u8; BLOCK], length: usize) -> [u8; 32] {
    // Whole blocks are merged at once: a block put together from pieces and then read whole makes the processor wait.
    let mut block = END[length];
    for (byte, message) in block.iter_mut().zip(last) {
        *byte |= message;
    }
    if length >= BLOCK - LENGTH {
        compress256(&mut state, &[block]);
        block = [0; BLOCK];
    }
    let bits = (absorbed + length) as u64 * 8;
    block[BLOCK - LENGTH..].copy_from_slice(&bits.to_be_bytes());
    compress256(&mut state, &[block]);

    let mut digest = [0; 32];
    for (bytes, word) in digest.as_chunks_mut().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    digest
}

/// The first `N` bytes, at most 32.
pub(super) fn first<const N: usize>(digest: [u8; 32]) -> [u8; N] {
    std::array::from_fn(|index| digest[index])
}

#[cfg(test)]
mod tests {
    use hmac::{Hmac, KeyInit, Mac};
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_the_hmac_of_the_framed_and_padded_parts(
            secret in vec(any::<u8>(), 0..150),
            domain in "[a-z ]{0,70}",
            context in vec(any::<u8>(), 0..150),
            message in vec(any::<u8>(), 0..140),
        ) {
            let mut framed = (domain.len() as u64).to_be_bytes().to_vec();
            framed.extend_from_slice(domain.as_bytes());
            framed.extend_from_slice(&(context.len() as u64).to_be_bytes());
            framed.extend_from_slice(&context);
            framed.resize(framed.len().div_ceil(64) * 64, 0);

            let mut mac = Hmac::<Sha256>::new_from_slice(&secret).unwrap();
            mac.update(&framed);
            mac.update(&message);
            let expected: [u8; 32] = mac.finalize().into_bytes().into();
            let prf = Keyed::new(&secret).bind(&domain, &context);
            prop_assert_eq!(prf.of(&message), expected);
            if message.len() <= BLOCK {
                let mut block = [0; BLOCK];
                block[..message.len()].copy_from_slice(&message);
                prop_assert_eq!(prf.of_short(&block, message.len()), expected);
            }
        }
    }
}

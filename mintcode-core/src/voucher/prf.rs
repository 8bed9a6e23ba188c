//! HMAC-SHA256 with everything absorbed that does not change from code to code.
//!
//! Made of bare SHA-256 compressions: the `hmac` crate's buffered states cost half as much again as the two
//! compressions a code's message takes, and a batch has three such messages a code. A test holds it to that crate.

use sha2::block_api::compress256;
use sha2::{Digest, Sha256};

/// Bytes of a SHA-256 block.
const BLOCK: usize = 64;

/// The state of SHA-256 before the first block (FIPS 180-4, 5.3.3).
const START: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// The longest message whose end mark and length still fit into its block.
const SHORT: usize = 55;

/// `END[n]` ends a message of `n` bytes: SHA-256's end mark behind them, their number of bits at the end.
static END: [[u8; BLOCK]; SHORT + 1] = {
    let mut blocks = [[0; BLOCK]; SHORT + 1];
    let mut length = 0;
    while length <= SHORT {
        blocks[length] = bits(length);
        blocks[length][length] = 0x80;
        length += 1;
    }
    blocks
};

/// Zeros, and the number of bits of `bytes` bytes at the end.
const fn bits(bytes: usize) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let count = (bytes as u64 * 8).to_be_bytes();
    let mut index = 0;
    while index < 8 {
        block[BLOCK - 8 + index] = count[index];
        index += 1;
    }
    block
}

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
    /// The number of their bits, where the last block has it.
    absorbed_bits: [u8; BLOCK],
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
        let absorbed = BLOCK + prefix.len();
        Prf { inner, outer: self.outer, absorbed, absorbed_bits: bits(absorbed) }
    }
}

impl Prf {
    /// The first `N` bytes, at most 32, of the value for a message of any length.
    pub(super) fn of<const N: usize>(&self, message: &[u8]) -> [u8; N] {
        let (whole, rest) = message.as_chunks::<BLOCK>();
        let mut state = self.inner;
        compress256(&mut state, whole);

        let mut last = [0; BLOCK];
        last[..rest.len()].copy_from_slice(rest);
        last[rest.len()] = 0x80;
        if rest.len() > SHORT {
            compress256(&mut state, &[last]);
            last = [0; BLOCK];
        }
        merge(&mut last, &bits(self.absorbed + message.len()));
        compress256(&mut state, &[last]);
        self.finish(state)
    }

    /// The same for the first `length` bytes of `message`, which is zero behind them: the fast way.
    #[expect(
        clippy::inline_always,
        reason = "7 % of a minted code's time: a message just made need not wait in memory"
    )]
    #[inline(always)]
    pub(super) fn of_short<const N: usize>(&self, message: &[u8; BLOCK], length: usize) -> [u8; N] {
        let Some(end) = END.get(length) else { return self.of(&message[..length]) };
        // Merged from whole blocks: reading at once what was just written in pieces makes the processor wait.
        // What was absorbed is whole blocks, so that the two numbers of bits share no digit and need no adding.
        let mut block = *end;
        merge(&mut block, message);
        merge(&mut block, &self.absorbed_bits);
        let mut state = self.inner;
        compress256(&mut state, &[block]);
        self.finish(state)
    }

    /// Hashes the inner digest behind the outer pad.
    #[inline]
    fn finish<const N: usize>(&self, inner: [u32; 8]) -> [u8; N] {
        const OUTER: [u8; BLOCK] = {
            let mut block = bits(BLOCK + 32);
            block[32] = 0x80;
            block
        };
        let mut block = OUTER;
        block[..32].copy_from_slice(&bytes(inner));
        let mut state = self.outer;
        compress256(&mut state, &[block]);
        *bytes(state).first_chunk().expect("a digest has 32 bytes, and nobody asks for more")
    }
}

fn merge(block: &mut [u8; BLOCK], other: &[u8; BLOCK]) {
    for (byte, other) in block.iter_mut().zip(other) {
        *byte |= other;
    }
}

fn bytes(state: [u32; 8]) -> [u8; 32] {
    let mut digest = [0; 32];
    for (bytes, word) in digest.as_chunks_mut().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    digest
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
            prop_assert_eq!(prf.of::<32>(&message), expected);
            if message.len() <= BLOCK {
                let mut block = [0; BLOCK];
                block[..message.len()].copy_from_slice(&message);
                prop_assert_eq!(prf.of_short::<32>(&block, message.len()), expected);
                prop_assert_eq!(&prf.of_short::<10>(&block, message.len())[..], &expected[..10]);
            }
        }
    }
}

//! The operator's secrets and what they key: fingerprints, lookup hashes and tags.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretSlice};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use super::alphabet;
use super::code::VoucherCode;
use super::hex::{self, BadHex};
use super::label::Label;
use super::prf::{Keyed, Prf};
use super::shape::{MAX_LENGTH, Shape};

/// The fewest bytes of a secret.
const MIN_SECRET: usize = 32;

/// The operator's voucher secret: whoever has it can forge tags and find out what a stored hash stands for.
///
/// ```
/// # use mintcode_core::voucher::VoucherSecret;
/// let secret = VoucherSecret::new("correct horse battery staple mint")?;
/// assert!(!format!("{secret:?}").contains("horse"));
/// # Ok::<(), mintcode_core::voucher::WeakSecret>(())
/// ```
#[derive(Clone)]
pub struct VoucherSecret(SecretSlice<u8>);

impl VoucherSecret {
    /// The UTF-8 bytes of `text` exactly as given, of which there must be at least 32.
    pub fn new(text: &str) -> Result<Self, WeakSecret> {
        if text.len() < MIN_SECRET {
            return Err(WeakSecret { bytes: text.len() });
        }
        Ok(Self(text.as_bytes().to_vec().into()))
    }

    /// The secret's fingerprint.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        KeyId(Keyed::new(self.0.expose_secret()).bind("mintcode key id 1", &[]).of(&[]))
    }
}

impl fmt::Debug for VoucherSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VoucherSecret(…)")
    }
}

/// A secret too short to be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the voucher secret has {bytes} bytes, it needs at least {MIN_SECRET}")]
pub struct WeakSecret {
    /// Bytes given.
    bytes: usize,
}

/// Which secret something was keyed with: a fingerprint that tells nothing else about it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct KeyId(#[serde(with = "hex")] [u8; 4]);

/// What storage knows a voucher by: the first 16 bytes of an HMAC-SHA256 of its code.
///
/// Keyed, so that a stolen database is no list to try codes against; it may be logged.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct VoucherHash(#[serde(with = "hex")] [u8; 16]);

/// Gives a newtype of bytes its text form, the same in `Display`, `Debug` and `FromStr`.
macro_rules! hex_text {
    ($name:ident, $bytes:literal) => {
        impl $name {
            /// From the bytes that [`to_bytes`](Self::to_bytes) gave.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; $bytes]) -> Self {
                Self(bytes)
            }

            /// The bytes, as storage keeps them.
            #[must_use]
            pub const fn to_bytes(self) -> [u8; $bytes] {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                hex::write(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                hex::write(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = BadHex;

            fn from_str(text: &str) -> Result<Self, BadHex> {
                hex::read(text).map(Self)
            }
        }
    };
}

hex_text!(KeyId, 4);
hex_text!(VoucherHash, 16);

/// Everything one secret keys.
pub(super) struct Key {
    pub(super) id: KeyId,
    pub(super) keyed: Keyed,
    lookup: Prf,
}

impl Key {
    fn new(secret: &VoucherSecret) -> Self {
        let keyed = Keyed::new(secret.0.expose_secret());
        Self { id: secret.key_id(), lookup: keyed.bind("mintcode lookup 1", &[]), keyed }
    }

    fn lookup_hash(&self, code: &VoucherCode) -> VoucherHash {
        VoucherHash(self.lookup.of_short(code.padded(), code.shape().length()))
    }

    pub(super) fn tag_of(&self, label: &Label) -> Prf {
        self.keyed.bind("mintcode tag 1", label.as_str().as_bytes())
    }
}

/// The current secret and those before it, ready for use. Cheap to clone.
#[derive(Clone)]
pub struct VoucherKeys(Arc<Inner>);

struct Inner {
    current: Key,
    previous: Vec<Key>,
}

impl VoucherKeys {
    /// Mints and hashes with `current`; still knows what was made with `previous`.
    #[must_use]
    pub fn new(current: &VoucherSecret, previous: &[VoucherSecret]) -> Self {
        let current = Key::new(current);
        let mut known = vec![current.id];
        let mut older = Vec::new();
        for key in previous.iter().map(Key::new) {
            if !known.contains(&key.id) {
                known.push(key.id);
                older.push(key);
            }
        }
        Self(Arc::new(Inner { current, previous: older }))
    }

    /// The fingerprint of the current secret.
    #[must_use]
    pub fn current_id(&self) -> KeyId {
        self.0.current.id
    }

    /// The fingerprints of all secrets, the current one first.
    #[must_use]
    pub fn ids(&self) -> Vec<KeyId> {
        self.all().map(|key| key.id).collect()
    }

    /// What `code` is stored under when minted now.
    #[must_use]
    pub fn lookup_hash(&self, code: &VoucherCode) -> VoucherHash {
        self.0.current.lookup_hash(code)
    }

    /// What `code` may be stored under: a hash per secret, the current one first.
    #[must_use]
    pub fn lookup_hashes(&self, code: &VoucherCode) -> Vec<(KeyId, VoucherHash)> {
        self.all().map(|key| (key.id, key.lookup_hash(code))).collect()
    }

    /// The keys of `label`'s tags; make them once per label and keep them.
    #[must_use]
    pub fn label(&self, label: &Label) -> LabelKeys {
        let tag = |key: &Key| (key.id, key.tag_of(label));
        LabelKeys {
            label: label.clone(),
            current: tag(&self.0.current),
            previous: self.0.previous.iter().map(tag).collect(),
        }
    }

    /// HMAC-SHA256 of `data` under the current secret, for `domain` only: no two domains share a value, and
    /// none shares one with tags, hashes and batches.
    #[must_use]
    pub fn hmac(&self, domain: &str, data: &[u8]) -> [u8; 32] {
        self.0.current.keyed.bind("mintcode use 1", domain.as_bytes()).of(data)
    }

    /// As [`hmac`](Self::hmac), under the secret with that fingerprint; `None` where it is not known.
    #[must_use]
    pub fn hmac_under(&self, secret: KeyId, domain: &str, data: &[u8]) -> Option<[u8; 32]> {
        let key = self.all().find(|key| key.id == secret)?;
        Some(key.keyed.bind("mintcode use 1", domain.as_bytes()).of(data))
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.0.current).chain(&self.0.previous)
    }
}

impl fmt::Debug for VoucherKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VoucherKeys").field(&self.ids()).finish()
    }
}

/// The keys of one label's tags, under the current and each previous secret.
#[derive(Clone)]
pub struct LabelKeys {
    label: Label,
    current: (KeyId, Prf),
    previous: Vec<(KeyId, Prf)>,
}

impl LabelKeys {
    /// The label.
    #[must_use]
    pub fn label(&self) -> &Label {
        &self.label
    }

    /// The secret under which `code` carries this label, if it does.
    ///
    /// Takes the same time whatever the tag and whichever secret it is.
    #[must_use]
    pub fn matches(&self, code: &VoucherCode) -> Option<KeyId> {
        let random = code.random();
        let mut found = None;
        for (id, prf) in std::iter::once(&self.current).chain(&self.previous) {
            let tag = Tag::of(&random, code.shape(), prf);
            if bool::from(tag.symbols().ct_eq(code.tag())) {
                found = found.or(Some(*id));
            }
        }
        found
    }

    /// Mints one code, under the current secret, from bytes that `random` fills unpredictably.
    pub fn mint(&self, shape: Shape, mut random: impl FnMut(&mut [u8])) -> VoucherCode {
        let mut bytes = [0; 40];
        random(&mut bytes);
        let mut symbols: [u8; MAX_LENGTH] = alphabet::cut(&bytes);
        symbols[shape.random_symbols()..].fill(0);
        let tag = Tag::of(&symbols, shape, &self.current.1);
        let mut code = VoucherCode::begin(shape, symbols);
        code.put_tag(tag.symbols());
        code.put_check();
        code
    }
}

impl fmt::Debug for LabelKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LabelKeys").field(&self.label).finish()
    }
}

/// The keyed symbols that prove who minted a code.
pub(super) struct Tag {
    /// More than the longest tag has.
    symbols: [u8; 16],
    length: usize,
}

impl Tag {
    /// The tag of the random symbols that `random` begins with; it is zero behind them.
    pub(super) fn of(random: &[u8; MAX_LENGTH], shape: Shape, prf: &Prf) -> Self {
        let bytes: [u8; 10] = prf.of_short(random, shape.random_symbols());
        Self { symbols: alphabet::cut(&bytes), length: shape.label_length() }
    }

    pub(super) fn symbols(&self) -> &[u8] {
        &self.symbols[..self.length]
    }
}

/// Which of `labels` the code carries, and under which secret.
///
/// Asks all of them, so that the time taken does not tell which it was.
#[must_use]
pub fn identify<'a>(code: &VoucherCode, labels: &'a [LabelKeys]) -> Option<(&'a Label, KeyId)> {
    let mut found = None;
    for keys in labels {
        let matched = keys.matches(code);
        found = found.or(matched.map(|id| (keys.label(), id)));
    }
    found
}

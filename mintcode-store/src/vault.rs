//! Documents that may hold a number or a message are sealed before they are stored.
//!
//! One random data key seals them all. It is stored in the database, itself sealed with a key that is derived from the
//! operator's voucher secret, so that the file alone opens nothing and a new secret changes one row. What is sealed is
//! bound to its table, row and column: moved elsewhere, it does not open.

use std::fmt;
use std::sync::Arc;

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{KeyInit, Tag, XChaCha20Poly1305, XNonce};
use mintcode_core::ports::{Entropy, StorageError};
use mintcode_core::voucher::{KeyId, VoucherKeys};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::rows::{Row, json};

/// The data key's number. Every sealed document names it, so that there can be a second one some day.
const DATA_KEY: u32 = 1;

/// What the wrapping key is derived for.
const WRAPPING: &str = "mintcode data key 1";

const KEY_BYTES: usize = 32;
const NUMBER_BYTES: usize = 4;
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;

/// What opens and seals documents: the operator's voucher secrets, and randomness for keys and nonces.
#[derive(Clone)]
pub struct Secrets {
    keys: VoucherKeys,
    entropy: Arc<dyn Entropy>,
}

impl Secrets {
    /// `entropy` must be cryptographically strong.
    #[must_use]
    pub fn new(keys: VoucherKeys, entropy: Arc<dyn Entropy>) -> Self {
        Self { keys, entropy }
    }

    fn nonce(&self) -> [u8; NONCE_BYTES] {
        draw(&*self.entropy)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Secrets").field(&self.keys.ids()).finish()
    }
}

fn draw<const N: usize>(entropy: &dyn Entropy) -> [u8; N] {
    let mut bytes = [0; N];
    entropy.fill(&mut bytes);
    bytes
}

/// The data key as the database has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WrappedKey {
    pub(crate) number: u32,
    pub(crate) wrapped: Vec<u8>,
    /// The fingerprint of the secret that it is wrapped with.
    pub(crate) secret: KeyId,
}

/// Why the data key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VaultError {
    /// The secret with this fingerprint is not among the given ones.
    MissingSecret(KeyId),
    /// The secret is there, and the stored key does not open with it.
    Damaged,
}

/// Seals and opens documents. Its `Debug` shows no key.
pub(crate) struct Vault(Option<Unlocked>);

struct Unlocked {
    number: u32,
    cipher: XChaCha20Poly1305,
    entropy: Arc<dyn Entropy>,
}

/// Why a document can be neither read nor written: the store was opened without the voucher secret.
#[derive(Debug, thiserror::Error)]
#[error("redemptions are sealed; give the voucher secret to read or change them")]
struct Locked;

impl Vault {
    /// A vault that opens and seals nothing.
    pub(crate) fn locked() -> Self {
        Self(None)
    }

    /// A vault with a new data key, and that key as it is to be stored.
    pub(crate) fn make(secrets: &Secrets) -> (Self, WrappedKey) {
        let key = Zeroizing::new(draw::<KEY_BYTES>(&*secrets.entropy));
        let wrapped = wrap(secrets, DATA_KEY, &key);
        (Self::with(secrets, DATA_KEY, &key), wrapped)
    }

    /// The vault of a stored data key.
    pub(crate) fn unlock(secrets: &Secrets, stored: &WrappedKey) -> Result<Self, VaultError> {
        let key = unwrap(secrets, stored)?;
        Ok(Self::with(secrets, stored.number, &key))
    }

    /// The same data key wrapped with the current secret; `None` where it is so already.
    pub(crate) fn rewrap(secrets: &Secrets, stored: &WrappedKey) -> Result<Option<WrappedKey>, VaultError> {
        if stored.secret == secrets.keys.current_id() {
            return Ok(None);
        }
        let key = unwrap(secrets, stored)?;
        Ok(Some(wrap(secrets, stored.number, &key)))
    }

    fn with(secrets: &Secrets, number: u32, key: &[u8; KEY_BYTES]) -> Self {
        let cipher = XChaCha20Poly1305::new(key.into());
        Self(Some(Unlocked { number, cipher, entropy: Arc::clone(&secrets.entropy) }))
    }

    /// Seals `document` for one column of one row.
    pub(crate) fn seal(
        &self,
        row: &Row,
        column: &str,
        document: &impl Serialize,
    ) -> Result<Vec<u8>, StorageError> {
        self.seal_text(row, column, &json(document))
    }

    /// Seals what is JSON already.
    pub(crate) fn seal_text(&self, row: &Row, column: &str, text: &str) -> Result<Vec<u8>, StorageError> {
        let Unlocked { number, cipher, entropy } = self.unlocked()?;
        let mut sealed = Vec::with_capacity(NUMBER_BYTES + NONCE_BYTES + text.len() + TAG_BYTES);
        sealed.extend(number.to_be_bytes());
        seal_into(cipher, &draw(&**entropy), &place(row, column, *number), text.as_bytes(), &mut sealed);
        Ok(sealed)
    }

    /// Opens what was sealed for that column of that row; [`StorageError::Corrupt`] where it was changed, comes from
    /// elsewhere, or fits no value.
    pub(crate) fn open<T: DeserializeOwned>(
        &self,
        row: &Row,
        column: &str,
        sealed: &[u8],
    ) -> Result<T, StorageError> {
        let Unlocked { number, cipher, .. } = self.unlocked()?;
        let rest = sealed.strip_prefix(&number.to_be_bytes()).ok_or_else(|| row.corrupt())?;
        let text = open_from(cipher, &place(row, column, *number), rest).ok_or_else(|| row.corrupt())?;
        serde_json::from_slice(&text).map_err(|_| row.corrupt())
    }

    fn unlocked(&self) -> Result<&Unlocked, StorageError> {
        self.0.as_ref().ok_or_else(|| StorageError::Unavailable(Box::new(Locked)))
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Vault(unlocked)" } else { "Vault(locked)" })
    }
}

/// What a document is bound to, each part framed by its length so that no two places are the same bytes.
fn place(row: &Row, column: &str, number: u32) -> Vec<u8> {
    let (table, key) = row.parts();
    let mut place = Vec::with_capacity(64);
    for part in [table, key, column] {
        place.extend((part.len() as u64).to_be_bytes());
        place.extend(part.as_bytes());
    }
    place.extend(number.to_be_bytes());
    place
}

/// What the wrapped data key is bound to.
fn key_place(number: u32, secret: KeyId) -> Vec<u8> {
    place(&Row::of("data_key", &secret), "wrapped", number)
}

fn wrapping(secrets: &Secrets, secret: KeyId) -> Result<XChaCha20Poly1305, VaultError> {
    let key = secrets.keys.hmac_under(secret, WRAPPING, &[]).ok_or(VaultError::MissingSecret(secret))?;
    Ok(XChaCha20Poly1305::new((&*Zeroizing::new(key)).into()))
}

fn wrap(secrets: &Secrets, number: u32, key: &[u8; KEY_BYTES]) -> WrappedKey {
    let secret = secrets.keys.current_id();
    let cipher = wrapping(secrets, secret).unwrap_or_else(|_| unreachable!("the current secret is known"));
    let mut wrapped = Vec::new();
    seal_into(&cipher, &secrets.nonce(), &key_place(number, secret), key, &mut wrapped);
    WrappedKey { number, wrapped, secret }
}

fn unwrap(secrets: &Secrets, stored: &WrappedKey) -> Result<Zeroizing<[u8; KEY_BYTES]>, VaultError> {
    let cipher = wrapping(secrets, stored.secret)?;
    let place = key_place(stored.number, stored.secret);
    let key = open_from(&cipher, &place, &stored.wrapped).ok_or(VaultError::Damaged)?;
    key.as_slice().try_into().map(Zeroizing::new).map_err(|_| VaultError::Damaged)
}

/// Appends nonce, sealed text and tag to `sealed`.
fn seal_into(
    cipher: &XChaCha20Poly1305,
    nonce: &[u8; NONCE_BYTES],
    place: &[u8],
    text: &[u8],
    sealed: &mut Vec<u8>,
) {
    sealed.extend(nonce);
    let start = sealed.len();
    sealed.extend(text);
    let tag = cipher
        .encrypt_inout_detached(nonce.into(), place, sealed[start..].as_mut().into())
        .expect("the cipher takes up to 256 GiB, and no document is that long");
    sealed.extend(tag);
}

/// What was sealed, or `None` where it does not open.
fn open_from(cipher: &XChaCha20Poly1305, place: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, rest) = sealed.split_first_chunk::<NONCE_BYTES>()?;
    let (text, tag) = rest.split_last_chunk::<TAG_BYTES>()?;
    let mut text = Zeroizing::new(text.to_vec());
    let (nonce, tag): (&XNonce, &Tag) = (nonce.into(), tag.into());
    cipher.decrypt_inout_detached(nonce, place, text.as_mut_slice().into(), tag).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use mintcode_core::testing::SeededEntropy;
    use mintcode_core::voucher::VoucherSecret;

    use super::*;

    const OLD: &str = "an old secret of this test, 32 bytes or more";
    const NEW: &str = "a new secret of this test, 32 bytes or more";

    fn secrets(current: &str, previous: &[&str]) -> Secrets {
        let secret = |text: &str| VoucherSecret::new(text).unwrap();
        let previous: Vec<_> = previous.iter().map(|text| secret(text)).collect();
        Secrets::new(VoucherKeys::new(&secret(current), &previous), Arc::new(SeededEntropy::new(7)))
    }

    fn row(key: &str) -> Row {
        Row::of("redemption", key)
    }

    fn opened(vault: &Vault, row: &Row, column: &str, sealed: &[u8]) -> Option<String> {
        match vault.open(row, column, sealed) {
            Ok(text) => Some(text),
            Err(StorageError::Corrupt { .. }) => None,
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_sealed_opens_where_it_was_sealed_and_nowhere_else() {
        let (vault, _) = Vault::make(&secrets(OLD, &[]));
        let sealed = vault.seal(&row("1"), "state", &"+15550001122").unwrap();
        assert!(!sealed.windows(5).any(|bytes| b"+15550001122".windows(5).any(|part| part == bytes)));
        assert_eq!(opened(&vault, &row("1"), "state", &sealed).as_deref(), Some("+15550001122"));
        for (row, column) in [(row("2"), "state"), (row("1"), "item"), (Row::of("orphan", "1"), "state")] {
            assert_eq!(opened(&vault, &row, column, &sealed), None, "{row:?} {column}");
        }
        let (other, _) =
            Vault::make(&Secrets { entropy: Arc::new(SeededEntropy::new(8)), ..secrets(OLD, &[]) });
        assert_eq!(opened(&other, &row("1"), "state", &sealed), None, "another data key");
    }

    #[test]
    fn every_changed_bit_and_every_cut_shows() {
        let (vault, _) = Vault::make(&secrets(OLD, &[]));
        let sealed = vault.seal(&row("1"), "state", &"text").unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(opened(&vault, &row("1"), "state", &changed), None, "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert_eq!(opened(&vault, &row("1"), "state", &sealed[..length]), None, "{length} bytes");
        }
    }

    #[test]
    fn equal_documents_are_sealed_differently() {
        let (vault, _) = Vault::make(&secrets(OLD, &[]));
        let seal = || vault.seal(&row("1"), "state", &"text").unwrap();
        assert_ne!(seal(), seal());
    }

    #[test]
    fn a_new_secret_takes_over_the_data_key() {
        let (vault, stored) = Vault::make(&secrets(OLD, &[]));
        let sealed = vault.seal(&row("1"), "state", &"text").unwrap();
        let both = secrets(NEW, &[OLD]);
        let again = Vault::rewrap(&both, &stored).unwrap().unwrap();
        assert_eq!((again.secret, again.number), (both.keys.current_id(), stored.number));
        assert_eq!(Vault::rewrap(&both, &again).unwrap(), None);
        let vault = Vault::unlock(&secrets(NEW, &[]), &again).unwrap();
        assert_eq!(opened(&vault, &row("1"), "state", &sealed).as_deref(), Some("text"));

        let missing = Vault::unlock(&secrets(NEW, &[]), &stored).unwrap_err();
        assert_eq!(missing, VaultError::MissingSecret(stored.secret));
        let swapped = WrappedKey { secret: stored.secret, ..again };
        assert_eq!(Vault::unlock(&both, &swapped).unwrap_err(), VaultError::Damaged);
    }

    #[test]
    fn without_the_secret_nothing_is_sealed_and_nothing_opened() {
        let (vault, _) = Vault::make(&secrets(OLD, &[]));
        let sealed = vault.seal(&row("1"), "state", &"text").unwrap();
        let locked = Vault::locked();
        assert!(matches!(locked.seal(&row("1"), "state", &"text"), Err(StorageError::Unavailable(_))));
        assert!(matches!(
            locked.open::<String>(&row("1"), "state", &sealed),
            Err(StorageError::Unavailable(_))
        ));
    }

    #[test]
    fn no_key_shows_in_debug_output() {
        let secrets = secrets(OLD, &[NEW]);
        let shown = format!("{secrets:?} {:?} {:?}", Vault::make(&secrets).0, Vault::locked());
        let [old, new] = [0, 1].map(|index| secrets.keys.ids()[index]);
        assert_eq!(shown, format!("Secrets([{old}, {new}]) Vault(unlocked) Vault(locked)"));
    }
}

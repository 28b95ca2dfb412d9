//! Encryption of single database fields, and keyed hashes to find them by.
//!
//! A value is sealed with AES-256-GCM under a random nonce and bound to its row:
//! moved to another row it does not open. The key's id stands in the value, so
//! that several keys can be in use while one replaces the other. Equal values are
//! found by a blind index: HMAC-SHA-256 under a key of its own, derived by HKDF.

use std::{collections::BTreeMap, fmt, sync::Arc};

use aes_gcm::{
    Aes256Gcm, KeyInit as _,
    aead::{Aead as _, Payload},
};
use aws_lc_rs::{hkdf, hmac};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

use crate::Env;

const NONCE: usize = 12;

/// What can go wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CryptoError {
    /// Not in our form.
    #[error("the value is no sealed field")]
    Malformed,
    /// Sealed with a key that is not configured.
    #[error("the value was sealed with key {0:?}, which is not among FIELD_ENCRYPTION_KEYS")]
    UnknownKey(String),
    /// Changed, or moved from another row.
    #[error("the value does not open: it was changed, or belongs to another row")]
    Refused,
    /// A key of the wrong length or coding.
    #[error("field key {0:?} must be 32 bytes in base64")]
    BadKey(String),
    /// No key at all.
    #[error("there is no field key: set FIELD_ENCRYPTION_KEYS=id:base64 of 32 bytes")]
    NoKey,
}

/// The configured keys; the first seals, all open.
#[derive(Clone)]
pub struct FieldKeys {
    first: String,
    keys: BTreeMap<String, [u8; 32]>,
    /// The blind index must not change when keys rotate: it hangs on the oldest.
    index: [u8; 32],
}

impl fmt::Debug for FieldKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.keys.keys()).finish()
    }
}

impl FieldKeys {
    /// Reads `FIELD_ENCRYPTION_KEYS`, or a lone `FIELD_ENCRYPTION_KEY`; in lab
    /// mode a fixed key stands in. Problems are left in `env`.
    pub fn read(env: &mut Env) -> Self {
        let list = env.text("FIELD_ENCRYPTION_KEYS");
        let lone = env
            .text("FIELD_ENCRYPTION_KEY")
            .map(|key| format!("default:{key}"));
        let text = match list.or(lone) {
            Some(text) => text,
            None if env.lab_mode() => Self::LAB.to_owned(),
            None => env.required("FIELD_ENCRYPTION_KEYS"),
        };
        Self::parse(&text).unwrap_or_else(|error| {
            if !text.is_empty() {
                env.problem(format!("FIELD_ENCRYPTION_KEYS: {error}"));
            }
            Self::for_test()
        })
    }

    /// The fixed key of lab mode, as `FIELD_ENCRYPTION_KEYS` takes it: no secret.
    pub const LAB: &'static str = "lab:bGFiLW1vZGUtZmllbGQta2V5LW5vdC1hLXNlY3JldC4=";

    /// The fixed key of lab mode and of tests.
    pub fn for_test() -> Self {
        Self::parse(Self::LAB).unwrap_or_else(|_| unreachable!("a key of ours"))
    }

    /// From `id:base64,id:base64,…`; the first seals, the last carries the blind
    /// index.
    ///
    /// # Errors
    /// [`CryptoError::BadKey`], [`CryptoError::NoKey`].
    pub fn parse(text: &str) -> Result<Self, CryptoError> {
        let mut keys = BTreeMap::new();
        let mut order = Vec::new();
        for item in text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
        {
            let (id, key) = item
                .split_once(':')
                .ok_or_else(|| CryptoError::BadKey(item.chars().take(8).collect()))?;
            let bad = || CryptoError::BadKey(id.to_owned());
            let key: [u8; 32] = BASE64
                .decode(key)
                .map_err(|_| bad())?
                .try_into()
                .map_err(|_| bad())?;
            if id.is_empty() || id.contains(['.', ':']) {
                return Err(bad());
            }
            keys.insert(id.to_owned(), key);
            order.push(id.to_owned());
        }
        let first = order.first().cloned().ok_or(CryptoError::NoKey)?;
        let index = order
            .last()
            .and_then(|id| keys.get(id))
            .copied()
            .ok_or(CryptoError::NoKey)?;
        Ok(Self { first, keys, index })
    }
}

/// Seals and opens fields, and makes blind indexes.
#[derive(Clone)]
pub struct FieldCipher {
    first: String,
    ciphers: Arc<BTreeMap<String, Aes256Gcm>>,
    index: hmac::Key,
}

impl FieldCipher {
    /// Over the configured keys.
    pub fn new(keys: &FieldKeys) -> Self {
        let ciphers = keys
            .keys
            .iter()
            .map(|(id, key)| (id.clone(), Aes256Gcm::new(key.into())));
        Self {
            first: keys.first.clone(),
            ciphers: Arc::new(ciphers.collect()),
            index: hmac::Key::new(hmac::HMAC_SHA256, &derive(&keys.index, b"blind index")),
        }
    }

    /// Seals a value for the row named by `bound_to`: `v1.<key id>.<base64>`.
    ///
    /// # Panics
    /// For values of more than 64 GiB.
    pub fn seal(&self, plain: &[u8], bound_to: &str) -> String {
        let nonce: [u8; NONCE] = random_bytes();
        let payload = Payload {
            msg: plain,
            aad: bound_to.as_bytes(),
        };
        let cipher = &self.ciphers[&self.first];
        let sealed = cipher
            .encrypt(&nonce.into(), payload)
            .expect("AES-GCM refuses values of more than 64 GiB alone");
        let mut bytes = nonce.to_vec();
        bytes.extend(sealed);
        format!("v1.{}.{}", self.first, BASE64.encode(bytes))
    }

    /// Opens what was sealed for the same row.
    ///
    /// # Errors
    /// [`CryptoError`].
    pub fn open(&self, sealed: &str, bound_to: &str) -> Result<Vec<u8>, CryptoError> {
        let rest = sealed.strip_prefix("v1.").ok_or(CryptoError::Malformed)?;
        let (id, body) = rest.split_once('.').ok_or(CryptoError::Malformed)?;
        let cipher = self
            .ciphers
            .get(id)
            .ok_or_else(|| CryptoError::UnknownKey(id.to_owned()))?;
        let bytes = BASE64.decode(body).map_err(|_| CryptoError::Malformed)?;
        let (nonce, body) = bytes
            .split_first_chunk::<NONCE>()
            .ok_or(CryptoError::Malformed)?;
        let payload = Payload {
            msg: body,
            aad: bound_to.as_bytes(),
        };
        cipher
            .decrypt(nonce.into(), payload)
            .map_err(|_| CryptoError::Refused)
    }

    /// The id of the key that new values are sealed with.
    pub fn current(&self) -> &str {
        &self.first
    }

    /// How every value that [`FieldCipher::seal`] makes now begins; one that begins otherwise is
    /// due for rotation.
    pub fn current_prefix(&self) -> String {
        format!("v1.{}.", self.first)
    }

    /// Seals anew, with the first key, what was sealed for the same row with any.
    ///
    /// # Errors
    /// As [`FieldCipher::open`].
    pub fn reseal(&self, sealed: &str, bound_to: &str) -> Result<String, CryptoError> {
        let plain = self.open(sealed, bound_to)?;
        Ok(self.seal(&plain, bound_to))
    }

    /// A keyed hash by which equal values of one kind are found (hex).
    pub fn blind_index(&self, label: &str, value: &str) -> String {
        let mut context = hmac::Context::with_key(&self.index);
        context.update(label.as_bytes());
        context.update(&[0]);
        context.update(value.as_bytes());
        data_encoding::HEXLOWER.encode(context.sign().as_ref())
    }
}

fn derive(key: &[u8; 32], purpose: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"faultline");
    let pseudo = salt.extract(key);
    let info = [purpose];
    let filled = pseudo
        .expand(&info, hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(&mut out));
    debug_assert!(filled.is_ok(), "HKDF gives 32 bytes");
    out
}

/// Random bytes of the system's source.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    rand::random()
}

/// `N` random bytes as lower-case hex.
pub fn random_token<const N: usize>() -> String {
    data_encoding::HEXLOWER.encode(&random_bytes::<N>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cipher() -> FieldCipher {
        FieldCipher::new(&FieldKeys::for_test())
    }

    proptest! {
        // attack(swapped ciphertext): any sealed value at another row -> refused
        #[test]
        fn what_is_sealed_opens_for_its_row_alone(plain in proptest::collection::vec(any::<u8>(), 0..200), row in "[a-z0-9]{1,20}") {
            let sealed = cipher().seal(&plain, &row);
            prop_assert_eq!(cipher().open(&sealed, &row).unwrap(), plain);
            prop_assert_eq!(cipher().open(&sealed, "another"), Err(CryptoError::Refused));
        }

        // attack: any text where a sealed value or the keys belong -> refused or read, without a panic
        #[test]
        fn nothing_panics_on_any_text(text in "\\PC{0,80}") {
            let _ = cipher().open(&text, "row");
            let _ = FieldKeys::parse(&text);
        }
    }

    // attack(unknown key): a value sealed with a key that is not there -> refused, the key is named
    #[test]
    fn keys_rotate_and_the_index_stays() {
        let key = |b: u8| BASE64.encode([b; 32]);
        let old = FieldCipher::new(&FieldKeys::parse(&format!("a:{}", key(1))).unwrap());
        let both =
            FieldCipher::new(&FieldKeys::parse(&format!("b:{},a:{}", key(2), key(1))).unwrap());
        let sealed = old.seal(b"42", "row");
        assert_eq!(both.open(&sealed, "row").unwrap(), b"42");
        assert!(both.seal(b"42", "row").starts_with("v1.b."));
        assert_eq!(
            old.blind_index("user", "42"),
            both.blind_index("user", "42")
        );
        assert_eq!(
            old.open(&both.seal(b"42", "row"), "row"),
            Err(CryptoError::UnknownKey("b".into()))
        );
        assert_ne!(sealed, old.seal(b"42", "row"), "a nonce of its own");
    }

    #[test]
    fn a_short_key_is_named() {
        assert_eq!(
            FieldKeys::parse("k1:c2hvcnQ=").unwrap_err(),
            CryptoError::BadKey("k1".into())
        );
    }
}

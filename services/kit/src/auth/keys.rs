use std::collections::HashMap;

use jsonwebtoken::{DecodingKey, jwk::JwkSet};

/// Public keys by key id.
#[derive(Clone, Default)]
pub struct KeySet {
    keys: HashMap<String, DecodingKey>,
}

/// Why a key can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The key itself.
    #[error("key {kid:?} can't be used: {source}")]
    Unusable {
        /// Its id.
        kid: String,
        /// What is wrong with it.
        source: jsonwebtoken::errors::Error,
    },
    /// The document.
    #[error("the key set can't be read: {0}")]
    Document(#[from] serde_json::Error),
}

impl KeySet {
    /// One key, from its public PEM (SubjectPublicKeyInfo).
    ///
    /// # Errors
    /// [`KeyError`] when it is no RSA key.
    pub fn from_pem(kid: &str, pem: &str) -> Result<Self, KeyError> {
        let mut set = Self::default();
        set.insert_pem(kid, pem)?;
        Ok(set)
    }

    /// Adds a key.
    ///
    /// # Errors
    /// [`KeyError`] when it is no RSA key.
    pub fn insert_pem(&mut self, kid: &str, pem: &str) -> Result<(), KeyError> {
        let key =
            DecodingKey::from_rsa_pem(pem.as_bytes()).map_err(|source| KeyError::Unusable {
                kid: kid.to_owned(),
                source,
            })?;
        self.keys.insert(kid.to_owned(), key);
        Ok(())
    }

    /// From a JWKS document (RFC 7517); keys without an id or of another kind
    /// than RSA are left out.
    ///
    /// # Errors
    /// [`KeyError::Document`] when it is none.
    pub fn from_jwks(document: &[u8]) -> Result<Self, KeyError> {
        let jwks: JwkSet = serde_json::from_slice(document)?;
        let keys = jwks.keys.iter().filter_map(|jwk| {
            let kid = jwk.common.key_id.clone()?;
            matches!(
                jwk.algorithm,
                jsonwebtoken::jwk::AlgorithmParameters::RSA(_)
            )
            .then_some(())?;
            DecodingKey::from_jwk(jwk).ok().map(|key| (kid, key))
        });
        Ok(Self {
            keys: keys.collect(),
        })
    }

    /// The key of that id.
    pub fn get(&self, kid: &str) -> Option<&DecodingKey> {
        self.keys.get(kid)
    }

    /// The ids of all keys.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(String::as_str)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.keys.keys()).finish()
    }
}

//! The key pair that signs tokens: made at first start, kept in a file that only
//! this service reads. The `rsa` crate makes and encodes it; signing is aws-lc's
//! (RUSTSEC-2023-0071: `rsa` signs in a time that depends on the key).

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{RSA_PKCS1_SHA256, RsaKeyPair},
};
use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::{
    Algorithm, EncodingKey, Header,
    jwk::{Jwk, KeyAlgorithm, PublicKeyUse, ThumbprintHash},
};
use kit::auth::Claims;
use rsa::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, EncodePublicKey as _, LineEnding};

/// Bits of a key's modulus.
const BITS: usize = 4096;
/// Characters of a key id.
const KID_LENGTH: usize = 16;

/// Why there is no key to sign with.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file can't be read or written.
    #[error("the signing key {path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file holds no key that can be used.
    #[error("the signing key can't be used: {0}")]
    Unusable(String),
}

/// A key pair ready to sign.
pub struct SigningKey {
    kid: String,
    /// SubjectPublicKeyInfo.
    public_pem: String,
    jwk: Jwk,
    /// Parsed once: jsonwebtoken would parse it for each token.
    pair: RsaKeyPair,
    /// The encoded JOSE header, the same for each token.
    header: String,
}

impl SigningKey {
    /// The key in a file, which is made first if it isn't there. Takes seconds
    /// then, and blocks.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn load_or_make(path: &Path) -> Result<Self, KeyError> {
        if !path
            .try_exists()
            .map_err(|source| file_error(path, source))?
        {
            tracing::info!(path = %path.display(), bits = BITS, "making the signing key");
            write_new(path, &make_pem()?).map_err(|source| file_error(path, source))?;
        }
        Self::load(path)
    }

    /// The key in a file.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let pem = fs::read_to_string(path).map_err(|source| file_error(path, source))?;
        warn_if_others_can_read(path);
        Self::from_pem(&pem)
    }

    /// The key in a PKCS#8 PEM text.
    ///
    /// # Errors
    /// [`KeyError::Unusable`].
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let private = rsa::PrivateKey::from_pkcs8_pem(pem).map_err(unusable)?;
        let public_pem = rsa::PublicKey::from(&private)
            .to_public_key_pem(LineEnding::LF)
            .map_err(unusable)?;
        let encoding = EncodingKey::from_rsa_pem(pem.as_bytes()).map_err(unusable)?;
        let pair = RsaKeyPair::from_der(encoding.as_bytes()).map_err(unusable)?;
        let mut jwk = Jwk::from_encoding_key(&encoding, Algorithm::RS256).map_err(unusable)?;
        let mut kid = jwk.thumbprint(ThumbprintHash::SHA256).map_err(unusable)?;
        kid.truncate(KID_LENGTH);
        jwk.common.key_id = Some(kid.clone());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        jwk.common.key_algorithm = Some(KeyAlgorithm::RS256);
        let mut header = Header::new(Algorithm::RS256);
        header.kid = Some(kid.clone());
        let header = encode_json(&header).map_err(unusable)?;
        Ok(Self {
            kid,
            public_pem,
            jwk,
            pair,
            header,
        })
    }

    /// The key's id: the start of its RFC 7638 thumbprint.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The public half as PEM.
    pub fn public_pem(&self) -> &str {
        &self.public_pem
    }

    /// The public half as a JSON web key.
    pub fn jwk(&self) -> &Jwk {
        &self.jwk
    }

    /// A signed token (RFC 7515 compact form); a few milliseconds of work. The
    /// same claims give the same token.
    ///
    /// # Errors
    /// [`KeyError::Unusable`] when the key can't sign.
    pub fn sign(&self, claims: &Claims) -> Result<String, KeyError> {
        let message = format!("{}.{}", self.header, encode_json(claims).map_err(unusable)?);
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                message.as_bytes(),
                &mut signature,
            )
            .map_err(unusable)?;
        Ok(format!("{message}.{}", BASE64URL_NOPAD.encode(&signature)))
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

fn encode_json(value: &impl serde::Serialize) -> serde_json::Result<String> {
    Ok(BASE64URL_NOPAD.encode(&serde_json::to_vec(value)?))
}

pub(crate) fn make_pem() -> Result<String, KeyError> {
    let key = rsa::PrivateKey::new(&mut rand::rng(), BITS).map_err(unusable)?;
    Ok(key
        .to_pkcs8_pem(LineEnding::LF)
        .map_err(unusable)?
        .to_string())
}

/// Puts a whole file in place, readable by its owner alone, unless one is there:
/// of two processes that start at once, both go on with the first one's key. Says
/// whether it is this one.
pub(crate) fn write_new(path: &Path, text: &str) -> io::Result<bool> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    folder.map(fs::create_dir_all).transpose()?;
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}.draft", kit::crypto::random_token::<8>()));
    let draft = PathBuf::from(draft);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all());
    // A link, other than a rename, never replaces what is there.
    let linked = written.and_then(|()| fs::hard_link(&draft, path));
    fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        other => other.map(|()| true),
    }
}

fn warn_if_others_can_read(path: &Path) {
    let Ok(data) = fs::metadata(path) else { return };
    let mode = data.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        tracing::warn!(
            path = %path.display(), mode = format!("{mode:o}"),
            "others can read the signing key: set its mode to 600"
        );
    }
}

pub(crate) fn file_error(path: &Path, source: io::Error) -> KeyError {
    KeyError::File {
        path: path.to_owned(),
        source,
    }
}

fn unusable(error: impl std::fmt::Display) -> KeyError {
    KeyError::Unusable(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_private_and_the_first_one_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/key.pem");
        assert!(write_new(&path, "first").unwrap());
        assert!(!write_new(&path, "second").unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "first");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(
            fs::read_dir(path.parent().unwrap()).unwrap().count(),
            1,
            "no draft is left"
        );
    }

    #[test]
    fn a_file_that_holds_no_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        fs::write(&path, "no key").unwrap();
        assert!(matches!(
            SigningKey::load_or_make(&path),
            Err(KeyError::Unusable(_))
        ));
    }
}

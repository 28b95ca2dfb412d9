//! The secrets of a lab, made once a data directory.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// What the parts authenticate and encrypt with.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub struct Secrets {
    /// Bearer token of the control API.
    pub lab_token: String,
    /// Shared secret of the gRPC calls between services.
    pub service_secret: String,
    /// Keys of encrypted columns, `id:base64`.
    pub field_encryption_keys: String,
}

impl Secrets {
    /// Fresh ones, 256 random bits each.
    fn random() -> Self {
        Self {
            lab_token: hex(&rand::random()),
            service_secret: hex(&rand::random()),
            field_encryption_keys: format!("lab1:{}", STANDARD.encode(rand::random::<[u8; 32]>())),
        }
    }

    /// Reads the file, or makes it (mode 0600).
    ///
    /// # Errors
    /// When the file can't be read, understood or written.
    pub fn load_or_create(path: &Path) -> Result<Self> {
        if path.exists() {
            return Self::load(path);
        }
        let secrets = Self::random();
        let text = toml::to_string(&secrets).context("secrets as TOML")?;
        std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(secrets)
    }

    /// Reads the file of a lab that has run.
    ///
    /// # Errors
    /// When it is missing or damaged.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        toml::from_str(&text).with_context(|| {
            format!(
                "{} is damaged; `lab clean` removes it together with the databases that its key encrypts",
                path.display()
            )
        })
    }
}

fn hex(bytes: &[u8; 32]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn made_once_and_read_by_the_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secrets.toml");
        let first = Secrets::load_or_create(&path).unwrap();
        let again = Secrets::load_or_create(&path).unwrap();
        assert_eq!(first.lab_token, again.lab_token);
        assert_ne!(first.lab_token, first.service_secret);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let key = first.field_encryption_keys.strip_prefix("lab1:").unwrap();
        assert_eq!(STANDARD.decode(key).unwrap().len(), 32);
    }

    #[test]
    fn a_damaged_file_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secrets.toml");
        std::fs::write(&path, "LAB_TOKEN = 3").unwrap();
        assert!(Secrets::load_or_create(&path).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "LAB_TOKEN = 3");
    }
}

//! All signing keys of the service, in one folder that its replicas share.
//!
//! Beside the first key, `jwt-private.pem`, stands one file for each rotation, named after the
//! time from which on its key signs: `jwt-private.1790000000000.pem`. So the folder alone says
//! which key signs when, for every replica alike, and a new key is published a while before it
//! signs anything. A token is signed with the key of the time it was issued at: made again within
//! the grace of its refresh, it is the same byte for byte.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use kit::auth::{KeySet, LEEWAY_S};

use crate::{
    domain::session::REFRESH_LIFE_S,
    keys::{KeyError, SigningKey, file_error, make_pem, write_new},
};

/// How long a new key is published before it signs, unless said otherwise, in seconds. Verifiers
/// of ours know it within five; others may keep the key set for as long as its `Cache-Control`
/// says, which is not longer than this.
pub const LEAD_S: i64 = 30;
/// A key stays published until the last token signed with it has expired, and for a minute more,
/// in milliseconds.
const KEPT_MS: i64 = (REFRESH_LIFE_S + LEEWAY_S as i64 + 60) * 1000;

/// One key and from when on it signs.
#[derive(Debug)]
struct Held {
    key: Arc<SigningKey>,
    from_ms: i64,
}

/// The keys of a folder, oldest first.
#[derive(Debug)]
pub struct Keyring {
    path: PathBuf,
    keys: ArcSwap<Vec<Arc<Held>>>,
}

impl Keyring {
    /// The keys beside `path`, the file of the first one, which is made if there is none at all.
    /// Takes seconds then, and blocks.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn open(path: &Path) -> Result<Self, KeyError> {
        let ring = Self {
            path: path.to_owned(),
            keys: ArcSwap::default(),
        };
        if files(path)?.is_empty() {
            SigningKey::load_or_make(path)?;
        }
        ring.reload()?;
        if ring.keys.load().is_empty() {
            return Err(KeyError::Unusable("no key file can be read".into()));
        }
        Ok(ring)
    }

    /// Takes in what was added to the folder, and forgets what was removed; says whether anything
    /// changed. Blocks.
    ///
    /// # Errors
    /// [`KeyError`]; the keys at hand stay.
    pub fn reload(&self) -> Result<bool, KeyError> {
        let files = files(&self.path)?;
        let known = self.keys.load();
        if files.is_empty()
            || files
                .iter()
                .map(|(from_ms, _)| from_ms)
                .eq(known.iter().map(|held| &held.from_ms))
        {
            return Ok(false);
        }
        let mut keys = Vec::with_capacity(files.len());
        for (from_ms, path) in files {
            let held = match known.iter().find(|held| held.from_ms == from_ms) {
                Some(held) => Arc::clone(held),
                None => Arc::new(Held {
                    key: Arc::new(SigningKey::load(&path)?),
                    from_ms,
                }),
            };
            keys.push(held);
        }
        self.keys.store(Arc::new(keys));
        Ok(true)
    }

    /// The key that signs what is issued at that time.
    pub fn signing(&self, issued_ms: i64) -> Arc<SigningKey> {
        let keys = self.keys.load();
        let of_its_time = keys.iter().rev().find(|held| held.from_ms <= issued_ms);
        // `open` takes no empty folder, and `reload` no emptied one.
        Arc::clone(&of_its_time.unwrap_or(&keys[0]).key)
    }

    /// All keys that tokens of that time may be signed with, or soon will be, newest first.
    pub fn published(&self, now_ms: i64) -> Vec<Arc<SigningKey>> {
        let keys = self.keys.load();
        let successors = keys.iter().skip(1).map(|held| Some(held.from_ms));
        let published = keys
            .iter()
            .zip(successors.chain([None]))
            .filter(|(_, successor)| !retired(*successor, now_ms))
            .map(|(held, _)| Arc::clone(&held.key));
        let mut published: Vec<_> = published.collect();
        published.reverse();
        published
    }

    /// The same, to check tokens with.
    ///
    /// # Errors
    /// [`kit::auth::KeyError`] when one is no RSA key.
    pub fn key_set(&self, now_ms: i64) -> Result<KeySet, kit::auth::KeyError> {
        let mut set = KeySet::default();
        for key in self.published(now_ms) {
            set.insert_pem(key.kid(), key.public_pem())?;
        }
        Ok(set)
    }
}

/// A rotation that has been carried out.
#[derive(Debug)]
pub struct Rotated {
    /// The new key's id.
    pub kid: String,
    /// From when on it signs, UTC epoch milliseconds.
    pub from_ms: i64,
    /// Files of keys that no living token was signed with; they are gone.
    pub removed: Vec<PathBuf>,
}

/// Makes a key that signs from `lead_ms` after `now_ms` on, and removes the keys that nothing
/// needs any more. Takes seconds, and blocks.
///
/// # Errors
/// [`KeyError`].
pub fn rotate(path: &Path, now_ms: i64, lead_ms: i64) -> Result<Rotated, KeyError> {
    if files(path)?.is_empty() {
        SigningKey::load_or_make(path)?;
    }
    let pem = make_pem()?;
    let kid = SigningKey::from_pem(&pem)?.kid().to_owned();
    // After the newest one, whoever else rotates just now.
    let mut from_ms = now_ms + lead_ms;
    let newest = files(path)?.last().map_or(0, |(from_ms, _)| *from_ms);
    from_ms = from_ms.max(newest + 1);
    loop {
        let file = beside(path, from_ms);
        if write_new(&file, &pem).map_err(|source| file_error(&file, source))? {
            break;
        }
        from_ms += 1;
    }
    let removed = prune(path, now_ms)?;
    Ok(Rotated {
        kid,
        from_ms,
        removed,
    })
}

fn prune(path: &Path, now_ms: i64) -> Result<Vec<PathBuf>, KeyError> {
    let files = files(path)?;
    let mut removed = Vec::new();
    for pair in files.windows(2) {
        let ((_, file), (successor, _)) = (&pair[0], &pair[1]);
        if retired(Some(*successor), now_ms) {
            fs::remove_file(file).map_err(|source| file_error(file, source))?;
            removed.push(file.clone());
        }
    }
    Ok(removed)
}

fn retired(successor_from_ms: Option<i64>, now_ms: i64) -> bool {
    successor_from_ms.is_some_and(|from_ms| from_ms.saturating_add(KEPT_MS) <= now_ms)
}

/// The key files beside the first one, by the time from which on they sign; the first one from
/// the beginning.
fn files(path: &Path) -> Result<Vec<(i64, PathBuf)>, KeyError> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(file_error(folder, error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let file = entry.map_err(|error| file_error(folder, error))?.path();
        if let Some(from_ms) = from_of(path, &file) {
            files.push((from_ms, file));
        }
    }
    files.sort();
    Ok(files)
}

/// From when on the key in `file` signs, if it is one that belongs to `path`.
fn from_of(path: &Path, file: &Path) -> Option<i64> {
    let name = file.file_name()?.to_str()?;
    let (stem, suffix) = name_of(path)?;
    if name == path.file_name()?.to_str()? {
        return Some(0);
    }
    let middle = name.strip_prefix(&stem)?.strip_suffix(&suffix)?;
    let digits = middle.strip_prefix('.')?;
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

fn beside(path: &Path, from_ms: i64) -> PathBuf {
    let (stem, suffix) = name_of(path).unwrap_or_default();
    path.with_file_name(format!("{stem}.{from_ms}{suffix}"))
}

/// `jwt-private` and `.pem`.
fn name_of(path: &Path) -> Option<(String, String)> {
    let stem = path.file_stem()?.to_str()?.to_owned();
    let suffix = path.extension().and_then(|suffix| suffix.to_str());
    Some((
        stem,
        suffix.map_or_else(String::new, |suffix| format!(".{suffix}")),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small key would do, but none is made here: names alone decide.
    #[test]
    fn names_say_from_when_a_key_signs() {
        let path = Path::new("keys/jwt-private.pem");
        assert_eq!(beside(path, 17), Path::new("keys/jwt-private.17.pem"));
        for (name, from_ms) in [
            ("jwt-private.pem", Some(0)),
            ("jwt-private.17.pem", Some(17)),
            ("jwt-private..pem", None),
            ("jwt-private.-1.pem", None),
            ("jwt-private.+1.pem", None),
            ("jwt-private.1.2.pem", None),
            ("jwt-private.99999999999999999999.pem", None),
            ("jwt-private.17.pem.0011.draft", None),
            ("other.17.pem", None),
        ] {
            assert_eq!(
                from_of(path, &Path::new("keys").join(name)),
                from_ms,
                "{name}"
            );
        }
        let bare = Path::new("key");
        assert_eq!(from_of(bare, &beside(bare, 5)), Some(5));
    }

    #[test]
    fn an_old_key_is_kept_for_a_day_after_its_successor_began() {
        assert!(!retired(None, i64::MAX));
        assert!(!retired(Some(1_000), 1_000 + KEPT_MS - 1));
        assert!(retired(Some(1_000), 1_000 + KEPT_MS));
        const { assert!(KEPT_MS > REFRESH_LIFE_S * 1000) };
    }

    #[test]
    fn only_keys_that_nothing_needs_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k.pem");
        let second = beside(&path, 1_000);
        let third = beside(&path, 500 + KEPT_MS);
        for file in [&path, &second, &third] {
            fs::write(file, "").unwrap();
        }
        assert!(prune(&path, 1_000 + KEPT_MS - 1).unwrap().is_empty());
        let removed = prune(&path, 1_000 + KEPT_MS).unwrap();
        assert_eq!(removed, std::slice::from_ref(&path));
        assert!(second.exists() && third.exists());
    }
}

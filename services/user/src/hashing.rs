//! Password hashing: argon2id with 19 MiB, 2 passes and 1 lane (OWASP Password
//! Storage Cheat Sheet), on a bounded pool.

use argon2::{
    Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version,
    password_hash::phc::PasswordHash,
};

use crate::{
    error::{Error, Result},
    pool::{Place, Pool, Urgency, cores},
};

/// Hashes that may wait: about two seconds' worth on two cores.
const QUEUE: usize = 64;

/// Makes and checks password hashes.
#[derive(Debug)]
pub struct Hasher {
    pool: Pool,
    /// What an unknown user's password is checked against, so that the answer
    /// takes as long as a known one's.
    decoy: String,
}

impl Hasher {
    /// With a worker less than there are cores (but one), of low priority: whoever browses while
    /// log-ins flood in has a core, and goes first on the others.
    ///
    /// # Errors
    /// [`Error::Crypto`] when hashing is not possible at all.
    pub async fn new() -> Result<Self> {
        let pool = Pool::new(cores().saturating_sub(1).max(1), QUEUE, Urgency::Low);
        let secret = kit::crypto::random_token::<16>();
        let decoy = pool.run(move || hash(&secret)).await??;
        Ok(Self { pool, decoy })
    }

    /// A place for one hash, taken before there is other work for it.
    ///
    /// # Errors
    /// [`Error::Busy`] when too many wait.
    pub fn place(&self) -> Result<Place> {
        self.pool.place()
    }

    /// A PHC string with a salt of its own.
    ///
    /// # Errors
    /// [`Error::Busy`] when too many wait, [`Error::Crypto`].
    pub async fn hash(&self, password: &str) -> Result<String> {
        let password = password.to_owned();
        self.pool.run(move || hash(&password)).await?
    }

    /// Whether a password fits a hash; without one, false after the same time.
    ///
    /// # Errors
    /// [`Error::Busy`] when too many wait, [`Error::Crypto`] when the stored
    /// hash is none.
    pub async fn verify(&self, password: &str, stored: Option<&str>) -> Result<bool> {
        self.verify_in(self.place()?, password, stored).await
    }

    /// [`Hasher::verify`] in a place that was taken before.
    ///
    /// # Errors
    /// [`Error::Crypto`] when the stored hash is none.
    pub async fn verify_in(
        &self,
        place: Place,
        password: &str,
        stored: Option<&str>,
    ) -> Result<bool> {
        let password = password.to_owned();
        let known = stored.is_some();
        let stored = stored.unwrap_or(&self.decoy).to_owned();
        let check = move || verify(&password, &stored);
        let fits = self.pool.run_in(place, check).await??;
        Ok(known && fits)
    }
}

fn argon2() -> Result<Argon2<'static>> {
    let params = Params::new(19 * 1024, 2, 1, None).map_err(crypto)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hash(password: &str) -> Result<String> {
    Ok(argon2()?
        .hash_password(password.as_bytes())
        .map_err(crypto)?
        .to_string())
}

fn verify(password: &str, stored: &str) -> Result<bool> {
    let stored = PasswordHash::new(stored).map_err(crypto)?;
    match argon2()?.verify_password(password.as_bytes(), &stored) {
        Ok(()) => Ok(true),
        Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
        Err(error) => Err(crypto(error)),
    }
}

fn crypto(error: impl std::fmt::Display) -> Error {
    Error::Crypto(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_fits() {
        let hasher = Hasher::new().await.unwrap();
        let stored = hasher.hash("correct horse").await.unwrap();
        assert!(
            stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{stored}"
        );
        assert!(hasher.verify("correct horse", Some(&stored)).await.unwrap());
        assert!(!hasher.verify("Correct horse", Some(&stored)).await.unwrap());
        assert!(!hasher.verify("correct horse", None).await.unwrap());
        assert_ne!(
            stored,
            hasher.hash("correct horse").await.unwrap(),
            "salted"
        );
    }

    // attack: telling unknown names from wrong passwords by the work -> a decoy of the same parameters is checked
    #[tokio::test]
    async fn an_unknown_user_costs_as_much_as_a_known_one() {
        let hasher = Hasher::new().await.unwrap();
        let stored = hasher.hash("correct horse").await.unwrap();
        let parameters = |phc: &str| phc.rsplitn(3, '$').last().map(str::to_owned);
        assert_eq!(parameters(&hasher.decoy), parameters(&stored));
        assert_eq!(hasher.decoy.len(), stored.len());
    }

    #[tokio::test]
    async fn a_broken_stored_hash_is_an_error_and_not_a_wrong_password() {
        let hasher = Hasher::new().await.unwrap();
        assert!(matches!(
            hasher.verify("x", Some("plain")).await,
            Err(Error::Crypto(_))
        ));
    }
}

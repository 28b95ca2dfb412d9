//! Logging in, staying logged in, logging out.

use kit::{
    auth::{TokenError, TokenType},
    crypto::random_token,
};

use crate::{
    core::{Core, Session, Tokens},
    domain::{
        Account,
        account::unique_key,
        session::{Ended, Grant, PairIds},
        two_factor::PENDING_LIFE_MS,
    },
    error::{Error, Result},
    seed,
    store::Rotation,
};

/// How a right password ends.
pub enum Login {
    /// The session has begun.
    Done(Box<Session>),
    /// The second factor is asked for.
    SecondFactor {
        /// Proof of the password step, for a cookie.
        pending_id: String,
        /// As the owner wrote it.
        username: String,
    },
}

impl Core {
    /// The password step.
    ///
    /// # Errors
    /// [`Error::BadCredentials`] for unknown, wrong and inactive, after the same
    /// time; [`Error::Busy`].
    pub async fn login(&self, username: &str, password: &str) -> Result<Login> {
        let found = self.store.credentials(&unique_key(username)).await?;
        let stored = found.as_ref().map(|known| known.password_hash.as_str());
        let fits = self.hasher.verify(password, stored).await?;
        // A database that came from a lab: its sample accounts open nothing here.
        let fits = fits && (self.sample_accounts || password != seed::PASSWORD);
        let known = found.filter(|known| fits && known.account.is_active);
        let known = known.ok_or(Error::BadCredentials)?;
        if known.second_factor {
            let pending_id = random_token::<16>();
            let expires_ms = self.clock.now_ms() + PENDING_LIFE_MS;
            let hash = self.pending_hash(&pending_id);
            if !self.store.add_pending(&hash, &known, expires_ms).await? {
                return Err(Error::BadCredentials);
            }
            return Ok(Login::SecondFactor {
                pending_id,
                username: known.account.username,
            });
        }
        let grant = self.new_grant(&known.account);
        let opened = self
            .store
            .open_sessions(std::slice::from_ref(&grant), Some(&known.password_hash))
            .await?;
        if opened != [true] {
            // Changed or deactivated while its password was being checked.
            return Err(Error::BadCredentials);
        }
        let tokens = self.sign(&grant).await?;
        Ok(Login::Done(Box::new(Session {
            account: known.account,
            tokens,
        })))
    }

    /// The next pair for a refresh token.
    ///
    /// # Errors
    /// [`Error::Refresh`], [`Error::ActorInactive`].
    pub async fn refresh(&self, token: &str) -> Result<Tokens> {
        let claims = self
            .verifier
            .claims(token, TokenType::Refresh)
            .map_err(|error| Error::Refresh(why(&error)))?;
        match self
            .store
            .rotate(&claims.jti, new_ids(), self.clock.now_ms())
            .await?
        {
            Rotation::Pair(grant) => self.sign(&grant).await,
            Rotation::FamilyEnded => {
                tracing::warn!(
                    user_id = claims.user_id,
                    sid = claims.sid,
                    "a spent refresh token came back: its family is revoked"
                );
                Err(Error::Refresh(
                    "Token was used before; its session has been ended",
                ))
            }
            Rotation::Refused => Err(Error::Refresh("Token is no longer valid")),
            Rotation::Inactive => Err(Error::ActorInactive),
        }
    }

    /// Ends the session of a refresh token; one that is not valid ends nothing.
    pub async fn logout(&self, token: &str) -> Result<()> {
        let Ok(claims) = self.verifier.claims(token, TokenType::Refresh) else {
            return Ok(());
        };
        self.store
            .end_session(&claims.sid, Ended::LoggedOut, self.clock.now_ms())
            .await
    }

    /// Removes what has expired from the database.
    pub async fn sweep(&self) -> Result<u64> {
        // Verifiers allow clocks to differ; so must what is kept.
        let leeway_ms = i64::try_from(kit::auth::LEEWAY_S).unwrap_or(0) * 1000;
        self.store.sweep(self.clock.now_ms() - leeway_ms).await
    }

    /// The first pair of a new family.
    pub(crate) fn new_grant(&self, account: &Account) -> Grant {
        let now_ms = self.clock.now_ms();
        Grant::new(
            account.id,
            random_token::<16>(),
            account.roles,
            new_ids(),
            now_ms,
        )
    }

    /// Under what a pending login is stored: who reads the database can't
    /// complete it.
    pub(crate) fn pending_hash(&self, pending_id: &str) -> String {
        self.cipher.blind_index("pending_login", pending_id)
    }
}

fn new_ids() -> PairIds {
    PairIds {
        refresh_jti: random_token::<16>(),
        access_jti: random_token::<16>(),
    }
}

fn why(error: &TokenError) -> &'static str {
    match error {
        TokenError::Expired => "Token is expired",
        TokenError::WrongType => "Token has wrong type",
        _ => "Token is invalid",
    }
}

//! Logging in, staying logged in, logging out.

use kit::{
    auth::{TokenError, TokenType},
    crypto::random_token,
};

use crate::{
    audit::{Event, Kind, Source},
    core::{Core, Session, Tokens},
    domain::{
        Account,
        account::unique_key,
        session::{Ended, Grant, PairIds},
        two_factor::PENDING_LIFE_MS,
    },
    error::{Error, Result},
    pool::Place,
    seed,
    store::{Credentials, Rotation},
};

/// How long security events are kept, in milliseconds.
const EVENTS_KEPT_MS: i64 = 90 * 24 * 60 * 60 * 1000;

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

/// Who wants to log in.
pub struct Attempt<'a> {
    /// As typed.
    pub username: &'a str,
    /// Plain.
    pub password: &'a str,
    /// The cookie of a known device, if there is one.
    pub device: Option<&'a str>,
    /// Where the request came from.
    pub source: &'a Source,
}

impl Core {
    /// The password step.
    ///
    /// # Errors
    /// [`Error::BadCredentials`] for unknown, wrong and inactive, after the same
    /// time; [`Error::Slowed`] after too many of them, for accounts that do not
    /// exist too; [`Error::Busy`].
    pub async fn login(&self, attempt: Attempt<'_>) -> Result<Login> {
        let Attempt {
            username,
            device,
            source,
            ..
        } = attempt;
        // First: of a flood, what can't be checked costs no look at the database.
        let place = self.hasher.place()?;
        let counted = self.count_login(username, device, &source.address).await?;
        let waits = counted.waits;
        let known = self.store.credentials(&unique_key(username)).await;
        let (user_id, outcome) = match known {
            Ok(known) => {
                let user_id = known.as_ref().map(|known| known.account.id);
                (
                    user_id,
                    self.password_step(place, known, attempt.password).await,
                )
            }
            Err(error) => (None, Err(error)),
        };
        self.settle(counted, &outcome).await?;
        match &outcome {
            Ok(Login::Done(_)) => self.record_login(Kind::LoggedIn, source, username, user_id),
            Ok(Login::SecondFactor { .. }) => {
                self.record_login(Kind::SecondFactorAsked, source, username, user_id);
            }
            Err(Error::BadCredentials) => {
                self.record_login(Kind::LoginRefused, source, username, user_id);
                if waits {
                    self.record_login(Kind::LoginSlowed, source, username, user_id);
                }
            }
            Err(_) => {}
        }
        outcome
    }

    async fn password_step(
        &self,
        place: Place,
        found: Option<Credentials>,
        password: &str,
    ) -> Result<Login> {
        let stored = found.as_ref().map(|known| known.password_hash.as_str());
        let fits = self.hasher.verify_in(place, password, stored).await?;
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
        // Changed or deactivated while its password was being checked.
        let grant = opened.first().ok_or(Error::BadCredentials)?;
        let tokens = self.sign(grant).await?;
        Ok(Login::Done(Box::new(Session {
            account: known.account,
            tokens,
        })))
    }

    /// An event of a log-in. The name is not in it: people type passwords there.
    fn record_login(&self, kind: Kind, source: &Source, username: &str, user_id: Option<i64>) {
        let mut event = Event::new(kind, source, self.clock.now_ms());
        event.user_id = user_id;
        let mark = self.account_mark(username);
        self.audit.record(event.detail(format!("account {mark}")));
    }

    /// The next pair for a refresh token.
    ///
    /// # Errors
    /// [`Error::Refresh`], [`Error::ActorInactive`].
    pub async fn refresh(&self, token: &str, source: &Source) -> Result<Tokens> {
        let claims = self
            .verifier
            .claims(token, TokenType::Refresh)
            .map_err(|error| Error::Refresh(why(&error)))?;
        let now_ms = self.clock.now_ms();
        match self.store.rotate(&claims.jti, new_ids(), now_ms).await? {
            Rotation::Pair(grant) => self.sign(&grant).await,
            Rotation::FamilyEnded => {
                let event = Event::new(Kind::RefreshReused, source, now_ms);
                let event = event.of(claims.user_id).detail(claims.sid);
                self.audit.record(event);
                Err(Error::Refresh(
                    "Token was used before; its session has been ended",
                ))
            }
            Rotation::Refused => Err(Error::Refresh("Token is no longer valid")),
            Rotation::Inactive => Err(Error::ActorInactive),
        }
    }

    /// Ends the session of a refresh token; one that is not valid ends nothing.
    pub async fn logout(&self, token: &str, source: &Source) -> Result<()> {
        let Ok(claims) = self.verifier.claims(token, TokenType::Refresh) else {
            return Ok(());
        };
        let now_ms = self.clock.now_ms();
        let ended = self
            .store
            .end_session(&claims.sid, Ended::LoggedOut, now_ms)
            .await?;
        if ended {
            let event = Event::new(Kind::LoggedOut, source, now_ms);
            self.audit.record(event.of(claims.user_id));
        }
        Ok(())
    }

    /// Removes what has expired from the database.
    pub async fn sweep(&self) -> Result<u64> {
        // Verifiers allow clocks to differ; so must what is kept.
        let leeway_ms = i64::try_from(kit::auth::LEEWAY_S).unwrap_or(0) * 1000;
        let now_ms = self.clock.now_ms();
        let events = self.store.sweep_events(now_ms - EVENTS_KEPT_MS).await?;
        Ok(events + self.store.sweep(now_ms - leeway_ms).await?)
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

//! What the service does, free of the wire: the use cases of `accounts.rs`,
//! `sessions.rs` and `second_factor.rs` are methods of [`Core`].

use std::sync::Arc;

use kit::{
    auth::{TokenType, Verifier},
    crypto::FieldCipher,
};

use crate::{
    audit::Audit,
    clock::Clock,
    domain::{Account, session::Grant},
    error::Result,
    hashing::Hasher,
    keyring::Keyring,
    keys::KeyError,
    pool::{Pool, Urgency, cores},
    store::Store,
};

/// Signatures that may wait; each takes milliseconds.
const SIGNING_QUEUE: usize = 512;

/// All parts the use cases need.
pub struct Core {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) hasher: Hasher,
    pub(crate) keys: Arc<Keyring>,
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) cipher: FieldCipher,
    pub(crate) clock: Clock,
    pub(crate) signing: Pool,
    pub(crate) audit: Audit,
    /// Whether the sample password is good for anything.
    pub(crate) sample_accounts: bool,
}

/// Where tokens are signed: as many at once as there are cores.
pub fn signing_pool() -> Pool {
    Pool::new(cores(), SIGNING_QUEUE, Urgency::Usual)
}

/// A started or continued session as its owner gets it.
#[derive(Clone)]
pub struct Session {
    /// Whose it is.
    pub account: Account,
    /// The signed pair.
    pub tokens: Tokens,
}

/// A signed pair of tokens.
#[derive(Clone)]
pub struct Tokens {
    /// For each request.
    pub access: String,
    /// For the next pair.
    pub refresh: String,
}

impl Core {
    /// The keys that sign.
    pub fn keys(&self) -> &Keyring {
        &self.keys
    }

    /// UTC epoch milliseconds.
    pub fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Looks for keys that were added to the folder, and forgets those that have
    /// been retired.
    ///
    /// # Errors
    /// The keys at hand stay.
    pub async fn reload_keys(&self) -> anyhow::Result<()> {
        let keys = Arc::clone(&self.keys);
        if tokio::task::spawn_blocking(move || keys.reload()).await?? {
            let now_ms = self.now_ms();
            let published: Vec<String> = self
                .keys
                .published(now_ms)
                .iter()
                .map(|key| key.kid().to_owned())
                .collect();
            tracing::info!(?published, "the signing keys have changed");
        }
        self.verifier.set_keys(self.keys.key_set(self.now_ms())?);
        Ok(())
    }

    pub(crate) async fn sign(&self, grant: &Grant) -> Result<Tokens> {
        let key = self.keys.signing(grant.issued_ms);
        let claims = [TokenType::Access, TokenType::Refresh].map(|kind| grant.claims(kind));
        let sign = move || Ok::<_, KeyError>((key.sign(&claims[0])?, key.sign(&claims[1])?));
        let (access, refresh) = self.signing.run(sign).await??;
        Ok(Tokens { access, refresh })
    }

    /// Access tokens alone, for fixtures: each core signs its share.
    pub(crate) async fn sign_access(&self, grants: &[Grant]) -> Result<Vec<String>> {
        let share = grants.len().div_ceil(cores()).max(1);
        let jobs = grants.chunks(share).map(|part| {
            let key = self.keys.signing(self.now_ms());
            let claims: Vec<_> = part.iter().map(|g| g.claims(TokenType::Access)).collect();
            let sign = move || {
                claims
                    .iter()
                    .map(|c| key.sign(c))
                    .collect::<Result<Vec<_>, _>>()
            };
            self.signing.run(sign)
        });
        let mut tokens = Vec::with_capacity(grants.len());
        for signed in futures_util::future::try_join_all(jobs).await? {
            tokens.extend(signed?);
        }
        Ok(tokens)
    }
}

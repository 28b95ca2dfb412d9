use std::sync::Arc;

use arc_swap::ArcSwap;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use secrecy::SecretString;

use super::{
    AUDIENCE, Claims, ISSUER, KeySet, LEEWAY_S, Principal, TokenType, remote::Fetcher,
    revoked::Revoked,
};
use crate::ApiError;

/// Longest token that is looked at, in bytes; ours have about 1 200.
const LONGEST: usize = 8 * 1024;

/// Checks tokens against keys of this process, or fetched from the user service,
/// and against what the user service has revoked.
#[derive(Debug)]
pub struct Verifier {
    keys: ArcSwap<KeySet>,
    revoked: Revoked,
    fetcher: Option<Fetcher>,
}

/// Why a token is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// No JWT, wrong signature, wrong algorithm, missing or malformed claims.
    #[error("Token is invalid")]
    Invalid,
    /// Past its time.
    #[error("Token is expired")]
    Expired,
    /// A refresh token where an access token belongs, or the other way round.
    #[error("Token has wrong type")]
    WrongType,
    /// Ended before its time: a log-out, another password, another role, no account.
    #[error("Token has been revoked")]
    Revoked,
    /// Signed with a key that is not known here (yet).
    #[error("Token was signed with an unknown key")]
    UnknownKey,
    /// No keys have arrived yet.
    #[error("No keys yet")]
    NoKeys,
}

impl TokenError {
    /// As the contract's 401; without any keys a 503, since nobody can be told
    /// from anybody.
    pub fn into_response(self, expected: TokenType) -> ApiError {
        if self == Self::NoKeys {
            return ApiError::unavailable(None)
                .source("no verification keys have been fetched yet");
        }
        let class = match expected {
            TokenType::Access => "AccessToken",
            TokenType::Refresh => "RefreshToken",
        };
        ApiError::token_not_valid(class, expected.as_str(), self.to_string())
    }
}

impl Verifier {
    /// With keys of this process.
    pub fn local(keys: KeySet) -> Arc<Self> {
        Arc::new(Self {
            keys: ArcSwap::from_pointee(keys),
            revoked: Revoked::default(),
            fetcher: None,
        })
    }

    /// With keys that are fetched from the user service at `url` (its base, or those of its
    /// replicas with commas between) once a [`crate::Server`] has it, and again when an unknown
    /// key id appears (at most every 30 s). Likewise it follows the feed of revocations there;
    /// while nobody answers it goes on with what it knows.
    pub fn remote(url: &str) -> Arc<Self> {
        Arc::new(Self {
            keys: ArcSwap::default(),
            revoked: Revoked::default(),
            fetcher: Some(Fetcher::new(url)),
        })
    }

    /// Puts other keys in place.
    pub fn set_keys(&self, keys: KeySet) {
        self.keys.store(Arc::new(keys));
    }

    /// Whether there are keys to check with.
    pub fn is_ready(&self) -> bool {
        !self.keys.load().is_empty()
    }

    /// Keeps keys and revocations current until it is dropped, the latter with the service's
    /// secret; returns at once for local keys.
    pub(crate) async fn follow(&self, secret: &SecretString) {
        let Some(fetcher) = &self.fetcher else {
            return;
        };
        let known = || self.keys.load().ids().map(str::to_owned).collect();
        let keys = fetcher.follow_keys(|keys| self.set_keys(keys));
        let feed = fetcher.follow_feed(secret, known, |page| self.revoked.merge(page));
        tokio::join!(keys, feed);
    }

    /// Who an access token speaks for.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn verify(&self, token: &str) -> Result<Principal, TokenError> {
        self.claims(token, TokenType::Access).map(Principal::from)
    }

    /// A token's claims, if it is of that type.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn claims(&self, token: &str, expected: TokenType) -> Result<Claims, TokenError> {
        if token.len() > LONGEST {
            return Err(TokenError::Invalid);
        }
        let header = decode_header(token).map_err(|_| TokenError::Invalid)?;
        if header.alg != Algorithm::RS256 {
            return Err(TokenError::Invalid);
        }
        let keys = self.keys.load();
        if keys.is_empty() {
            return Err(TokenError::NoKeys);
        }
        let kid = header.kid.ok_or(TokenError::Invalid)?;
        let Some(key) = keys.get(&kid) else {
            self.fetcher.iter().for_each(Fetcher::unknown_key);
            return Err(TokenError::UnknownKey);
        };
        let claims = decode::<Claims>(token, key, &validation())
            .map_err(kind)?
            .claims;
        if claims.token_type != expected {
            return Err(TokenError::WrongType);
        }
        if self.revoked.contains(&claims) {
            return Err(TokenError::Revoked);
        }
        Ok(claims)
    }
}

fn kind(error: jsonwebtoken::errors::Error) -> TokenError {
    match error.kind() {
        jsonwebtoken::errors::ErrorKind::ExpiredSignature => TokenError::Expired,
        _ => TokenError::Invalid,
    }
}

fn validation() -> Validation {
    let mut validation = Validation::new(Algorithm::RS256);
    validation.leeway = LEEWAY_S;
    validation.validate_nbf = true;
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[AUDIENCE]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation
}

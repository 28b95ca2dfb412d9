//! Who is calling: tokens, keys, and the extractors that guard handlers.
//!
//! Verification needs no call to the user service: keys are fetched once (and
//! again when an unknown key id appears) and tokens are checked locally. Only
//! RS256 is taken, and of a token's header only `kid` is looked at. What ends a
//! token before its time (a log-out, another password, another role) comes by
//! the user service's feed, which every verifier follows.

mod claims;
mod extract;
pub mod feed;
mod internal;
mod keys;
mod layer;
mod remote;
mod revoked;
mod verifier;

pub use claims::{ACCESS_LIFE_S, AUDIENCE, Claims, ISSUER, LEEWAY_S, Principal, Roles, TokenType};
pub use extract::{Admin, MaybeUser, Staff, User};
pub(crate) use internal::behind_secret;
pub use keys::{KeyError, KeySet};
pub(crate) use layer::authenticate;
pub use verifier::{TokenError, Verifier};

/// The `WWW-Authenticate` header of every 401.
pub const CHALLENGE: &str = "Bearer realm=\"api\"";

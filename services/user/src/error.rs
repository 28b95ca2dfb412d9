//! What can go wrong in this service, each kind once; `rest/error.rs` maps it to
//! the wire.

/// A value of an account that must be unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unique {
    /// The username.
    Username,
    /// The e-mail address.
    Email,
}

/// Everything that can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another account has it, whatever the case.
    #[error("the {0:?} is taken")]
    Taken(Unique),
    /// Unknown name, wrong password or inactive account: one answer.
    #[error("no active account has these credentials")]
    BadCredentials,
    /// The password of a logged-in account is wrong.
    #[error("the password is wrong")]
    WrongPassword,
    /// A new password breaks the rules.
    #[error("the password is refused: {0:?}")]
    WeakPassword(Vec<&'static str>),
    /// No account of that id.
    #[error("no such account")]
    NoAccount,
    /// The account behind a valid token is gone.
    #[error("the token's account is gone")]
    ActorGone,
    /// The account behind a valid token is deactivated.
    #[error("the token's account is inactive")]
    ActorInactive,
    /// The family of a valid access token has ended.
    #[error("the token's session has ended")]
    SessionEnded,
    /// A refresh token that can't be taken.
    #[error("the refresh token can't be taken: {0}")]
    Refresh(&'static str),
    /// The second step of a login failed, for whatever reason.
    #[error("the second factor was not accepted")]
    SecondFactor,
    /// Too many wrong codes; the time until the next try, in milliseconds.
    #[error("too many wrong codes, next try in {wait_ms} ms")]
    TooManyCodes {
        /// Milliseconds until the next try.
        wait_ms: i64,
    },
    /// Too many wrong passwords; the time until the next try, in milliseconds.
    #[error("too many wrong passwords, next try in {wait_ms} ms")]
    Slowed {
        /// Milliseconds until the next try.
        wait_ms: i64,
    },
    /// 2FA is on already.
    #[error("two-factor authentication is on already")]
    TwoFactorOn,
    /// 2FA is not on.
    #[error("two-factor authentication is not on")]
    TwoFactorOff,
    /// The code that was to confirm a device is wrong, or the device is.
    #[error("the code does not confirm the device")]
    NotConfirmed,
    /// Too much hashing or signing waits already.
    #[error("too much cryptographic work waits")]
    Busy,
    /// A fixture request that can't be carried out.
    #[error("{0}")]
    Fixture(String),
    /// The database.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// Encryption at rest.
    #[error("a sealed value can't be used: {0}")]
    Sealed(#[from] kit::crypto::CryptoError),
    /// The signing key.
    #[error(transparent)]
    Key(#[from] crate::keys::KeyError),
    /// Hashes and codes: never the caller's fault.
    #[error("cryptography failed: {0}")]
    Crypto(String),
}

/// What the use cases return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

//! All of this service's SQL, behind traits, so that another store can take its
//! place. Statements run on SQLite and PostgreSQL alike.

mod accounts;
mod sessions;
mod sql;
mod two_factor;

use async_trait::async_trait;

use crate::{
    domain::{
        Account, NewAccount,
        session::{Ended, Grant, PairIds},
        two_factor::Device,
    },
    error::Result,
};

pub use sql::SqlStore;

/// An account with what proves its owner.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The account.
    pub account: Account,
    /// PHC string.
    pub password_hash: String,
    /// Whether a confirmed second factor is asked for.
    pub second_factor: bool,
}

/// The account behind an access token.
#[derive(Clone, Debug)]
pub struct ActorRow {
    /// The account.
    pub account: Account,
    /// Whether the token's family has ended.
    pub session_ended: bool,
}

/// Accounts and passwords.
#[async_trait]
pub trait AccountStore: Send + Sync {
    /// Whether a username or an e-mail address (as unique keys) is taken.
    async fn taken(&self, username_key: &str, email_key: &str) -> Result<(bool, bool)>;
    /// Adds accounts, all or none; their ids come back in the same order.
    async fn add_accounts(&self, new: &[NewAccount]) -> Result<Vec<i64>>;
    /// One account.
    async fn account(&self, id: i64) -> Result<Option<Account>>;
    /// One account with its password, by username key.
    async fn credentials(&self, username_key: &str) -> Result<Option<Credentials>>;
    /// One account with its password.
    async fn credentials_of(&self, id: i64) -> Result<Option<Credentials>>;
    /// How many accounts contain `search` in any case; all when empty.
    async fn count_accounts(&self, search: &str) -> Result<i64>;
    /// Those accounts by id.
    async fn list_accounts(&self, search: &str, offset: i64, limit: i64) -> Result<Vec<Account>>;
    /// Writes an account's e-mail address and names.
    async fn write_profile(&self, account: &Account) -> Result<()>;
    /// Changes a password, ends every other session and all pending logins.
    async fn write_password(&self, id: i64, hash: &str, keep_sid: &str, now_ms: i64) -> Result<()>;
    /// Deactivates an account, ends its sessions and pending logins.
    async fn deactivate(&self, id: i64, now_ms: i64) -> Result<()>;
}

/// What a presented refresh token led to.
#[derive(Clone, Debug)]
pub enum Rotation {
    /// The pair that follows: new, or once more the same within the grace.
    Pair(Grant),
    /// The family is ended now.
    FamilyEnded,
    /// Unknown, expired, or of an ended family.
    Refused,
    /// The account is deactivated.
    Inactive,
}

/// Token families and logins that wait for the second factor.
#[async_trait]
pub trait SessionStore: Send + Sync {
    /// Starts families. Each only while its account is active and, if given,
    /// still has that password hash; says for each whether it did.
    async fn open_sessions(
        &self,
        grants: &[Grant],
        password_hash: Option<&str>,
    ) -> Result<Vec<bool>>;
    /// Spends a refresh token and gives it a successor, or what the rule of
    /// [`crate::domain::session::Presented::verdict`] says.
    async fn rotate(&self, jti: &str, ids: PairIds, now_ms: i64) -> Result<Rotation>;
    /// Ends a family; an ended or unknown one stays as it is.
    async fn end_session(&self, sid: &str, why: Ended, now_ms: i64) -> Result<()>;
    /// The account behind an access token.
    async fn actor(&self, user_id: i64, sid: &str) -> Result<Option<ActorRow>>;
    /// Remembers a password step, if the account still has that password hash.
    async fn add_pending(
        &self,
        id_hash: &str,
        proof: &Credentials,
        expires_ms: i64,
    ) -> Result<bool>;
    /// Removes what has expired.
    async fn sweep(&self, now_ms: i64) -> Result<u64>;
}

/// What a counted guess led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guess {
    /// It may be checked; forgotten again by its id if it is right.
    Counted(i64),
    /// There are too many; the oldest is forgotten at that time.
    Refused {
        /// UTC epoch milliseconds.
        until_ms: i64,
    },
}

/// What is used up when a second factor is accepted.
#[derive(Clone, Debug)]
pub enum Proof {
    /// A time step.
    Step(i64),
    /// A backup token's hash.
    Backup(String),
}

/// A second factor about to be accepted.
#[derive(Clone, Debug)]
pub struct Acceptance<'a> {
    /// The login it completes.
    pub pending_hash: &'a str,
    /// The guess it turned out not to be.
    pub guess: i64,
    /// What it uses up.
    pub proof: Proof,
    /// The session it starts.
    pub grant: &'a Grant,
}

/// Second factors.
#[async_trait]
pub trait TwoFactorStore: Send + Sync {
    /// An account's device, confirmed or not.
    async fn device(&self, user_id: i64) -> Result<Option<Device>>;
    /// Puts an unconfirmed device and its backup tokens in the place of an
    /// unconfirmed one; `None` when a confirmed one is there.
    async fn add_device(
        &self,
        user_id: i64,
        sealed_secret: &str,
        token_hashes: &[String],
        now_ms: i64,
    ) -> Result<Option<i64>>;
    /// Confirms a device with the code of a step; false when there is none to confirm.
    async fn confirm_device(&self, user_id: i64, device_id: i64, step: i64) -> Result<bool>;
    /// Removes the device and all backup tokens.
    async fn remove_device(&self, user_id: i64) -> Result<()>;
    /// Puts other backup tokens in place; false without a confirmed device.
    async fn replace_backup_tokens(&self, user_id: i64, hashes: &[String]) -> Result<bool>;
    /// Backup tokens that still work.
    async fn backup_tokens_left(&self, user_id: i64) -> Result<i64>;
    /// The account and confirmed device of a login that waits for its second step.
    async fn pending(&self, id_hash: &str, now_ms: i64) -> Result<Option<(Account, Device)>>;
    /// Counts a guess *before* it is checked, so that none is checked uncounted
    /// however many come at once.
    async fn count_guess(&self, user_id: i64, now_ms: i64) -> Result<Guess>;
    /// Uses up the proof and the pending login and starts the session, all or
    /// nothing; false when either was used up already.
    async fn accept(&self, acceptance: Acceptance<'_>, now_ms: i64) -> Result<bool>;
}

/// Everything this service stores.
pub trait Store: AccountStore + SessionStore + TwoFactorStore {}
impl<T: AccountStore + SessionStore + TwoFactorStore> Store for T {}

//! All of this service's SQL, behind traits, so that another store can take its
//! place. Statements run on SQLite and PostgreSQL alike.

mod accounts;
mod audit;
mod security;
mod sessions;
mod sql;
mod two_factor;

use async_trait::async_trait;
use kit::auth::{
    Roles,
    feed::{Cursor, EndedFamily, NotBefore},
};

use crate::{
    audit::Event,
    domain::{
        Account, NewAccount,
        session::{Ended, Grant, PairIds},
        slowdown::Rule,
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
    /// Changes a password, ends every other session, their access tokens and all
    /// pending logins.
    async fn write_password(&self, id: i64, hash: &str, keep_sid: &str, now_ms: i64) -> Result<()>;
    /// Deactivates an account, ends its sessions, access tokens and pending logins.
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
    /// still has that password hash. What comes back has begun; none is issued
    /// before the time at which its account's older tokens ended.
    async fn open_sessions(
        &self,
        grants: &[Grant],
        password_hash: Option<&str>,
    ) -> Result<Vec<Grant>>;
    /// Spends a refresh token and gives it a successor, or what the rule of
    /// [`crate::domain::session::Presented::verdict`] says.
    async fn rotate(&self, jti: &str, ids: PairIds, now_ms: i64) -> Result<Rotation>;
    /// Ends a family; false when it has ended already or is unknown.
    async fn end_session(&self, sid: &str, why: Ended, now_ms: i64) -> Result<bool>;
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
    /// nothing; `None` when either was used up already, else the pair as issued.
    async fn accept(&self, acceptance: Acceptance<'_>, now_ms: i64) -> Result<Option<Grant>>;
}

/// What has ended, in the order of time.
#[derive(Clone, Debug, Default)]
pub struct Revocations {
    /// Families.
    pub families: Vec<EndedFamily>,
    /// Accounts some of whose tokens have ended.
    pub users: Vec<NotBefore>,
}

/// A place where failed log-ins are counted.
#[derive(Clone, Debug)]
pub struct Bucket {
    /// A keyed hash.
    pub key: String,
    /// How failures slow down there.
    pub rule: Rule,
    /// Whether a success forgets all failures there, not just its own count.
    pub cleared: bool,
}

/// What counting an attempt led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempted {
    /// It may be checked. If it fails, the next one `waits`.
    Counted {
        /// Whether failures have become so many.
        waits: bool,
    },
    /// Too many have failed.
    Wait {
        /// UTC epoch milliseconds.
        until_ms: i64,
    },
}

/// Revocations, roles, failed log-ins, and sealed secrets.
#[async_trait]
pub trait SecurityStore: Send + Sync {
    /// What has ended after a point, at most a page of each kind.
    async fn revocations(&self, from: &Cursor) -> Result<Revocations>;
    /// Gives an account other roles; tokens that tell of the old ones end.
    async fn write_roles(&self, id: i64, roles: Roles, now_ms: i64) -> Result<()>;
    /// Counts an attempt as failed in all buckets, or, when one of them must wait, in none.
    async fn count_attempt(&self, buckets: &[Bucket], now_ms: i64) -> Result<Attempted>;
    /// Takes a counted attempt back, which did not fail.
    async fn forgive_attempt(&self, buckets: &[Bucket]) -> Result<()>;
    /// Sealed second-factor secrets: device, owner and secret, by device, from after
    /// `after` on.
    async fn sealed_secrets(&self, after: i64, limit: i64) -> Result<Vec<(i64, i64, String)>>;
    /// Puts a secret in another's place; false when that is not there any more.
    async fn replace_secret(&self, device_id: i64, old: &str, new: &str) -> Result<bool>;
}

/// Which security events are asked for.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// About that account; 0 for all.
    pub user_id: i64,
    /// Of that kind; empty for all.
    pub event: String,
}

/// Security events.
#[async_trait]
pub trait AuditStore: Send + Sync {
    /// Adds them.
    async fn add_events(&self, events: &[Event]) -> Result<()>;
    /// How many there are.
    async fn count_events(&self, filter: &AuditFilter) -> Result<i64>;
    /// Those, newest first, with their ids.
    async fn list_events(
        &self,
        filter: &AuditFilter,
        offset: i64,
        limit: i64,
    ) -> Result<Vec<(i64, Event)>>;
    /// Removes those before a time, and the oldest when there are too many.
    async fn sweep_events(&self, before_ms: i64) -> Result<u64>;
}

/// Everything this service stores.
pub trait Store: AccountStore + SessionStore + TwoFactorStore + SecurityStore + AuditStore {}
impl<T: AccountStore + SessionStore + TwoFactorStore + SecurityStore + AuditStore> Store for T {}

//! The user service's feed of revocations: what ends access tokens before their time.
//!
//! Every verifier asks for it once a second, at any replica of the user service: they share one
//! database. The answers are pages in the order of time; an entry that comes twice does no harm.

use serde::{Deserialize, Serialize};

use super::{ACCESS_LIFE_S, LEEWAY_S};

/// Where the feed is, on the user service's HTTP port. It is for other services alone: they show
/// the service secret.
pub const FEED_PATH: &str = "/internal/revocations/";

/// Most entries of a kind on a page.
pub const FEED_PAGE: i64 = 5_000;

/// How long an entry is of use, in milliseconds: until the last access token that it ends has
/// expired by itself, and a minute for clocks that differ.
pub const FEED_LIFE_MS: i64 = (ACCESS_LIFE_S + LEEWAY_S as i64 + 60) * 1000;

/// Up to where a reader has read; the default is the beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Families that ended before, in milliseconds, have been read,
    #[serde(default)]
    pub family_ms: i64,
    /// and of those that ended at that time the ones up to this.
    #[serde(default)]
    pub sid: String,
    /// Accounts whose tokens were ended before, in milliseconds, have been read,
    #[serde(default)]
    pub user_ms: i64,
    /// and of those at that time the ones up to this.
    #[serde(default)]
    pub user_id: i64,
}

/// A refresh family that has ended: a log-out, or a spent token that came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedFamily {
    /// The claim `sid` of its tokens.
    pub sid: String,
    /// When, UTC epoch milliseconds.
    pub at_ms: i64,
}

/// An account some of whose tokens have ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotBefore {
    /// Whose.
    pub user_id: i64,
    /// Tokens issued before are refused (deactivation, another role), UTC epoch milliseconds.
    pub all_ms: i64,
    /// Tokens issued before are refused but for one family's (another password), UTC epoch
    /// milliseconds.
    pub others_ms: i64,
    /// That family: the session that changed the password.
    pub kept_sid: String,
}

/// One answer of the feed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedPage {
    /// The user service's time, UTC epoch milliseconds.
    pub now_ms: i64,
    /// Ids of all keys that tokens may be signed with, or soon will be.
    pub keys: Vec<String>,
    /// In the order of time.
    pub families: Vec<EndedFamily>,
    /// In the order of time.
    pub users: Vec<NotBefore>,
    /// From where to read on.
    pub next: Cursor,
    /// Whether there is more already.
    pub more: bool,
}

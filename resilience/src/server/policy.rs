//! A server's policy as data.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::limit::LimitConfig;
use crate::policy::{PolicyError, wire};
use crate::priority::Priority;

use super::read;

/// Everything a server's door applies to what comes in.
///
/// ```
/// use resilience::server::{self, ServerPolicy};
///
/// let policy: ServerPolicy = serde_json::from_str(r#"{
///     "preset": "static", "limit": {"kind": "static", "max": 64},
///     "queue": {"max_waiting": 64, "max_wait": "100ms", "codel": "off"}, "shed": "off"
/// }"#)?;
/// assert_eq!(policy, server::preset::fixed());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "serde_json::Value")]
pub struct ServerPolicy {
    /// The preset it is, or began as.
    pub preset: String,
    /// How much may be worked on at once; without it, everything is let in.
    #[serde(serialize_with = "wire::or_off")]
    pub limit: Option<LimitConfig>,
    /// Where to wait when the limit is reached; without it, the rest is refused at once.
    #[serde(serialize_with = "wire::or_off")]
    pub queue: Option<QueueConfig>,
    /// What of the limit and of the queue is open to which level; without it, all to all.
    #[serde(serialize_with = "wire::or_off")]
    pub shed: Option<ShedConfig>,
}

/// The bounds of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct QueueConfig {
    /// How many may wait.
    pub max_waiting: u32,
    /// How long each may wait.
    #[serde(serialize_with = "wire::duration")]
    pub max_wait: Duration,
    /// A shorter time while the queue stands.
    #[serde(serialize_with = "wire::or_off")]
    pub codel: Option<CodelConfig>,
}

/// A shorter limit on waiting while the queue stands, that is, doesn't get empty.
///
/// A queue is there for bursts, and a burst drains. One that has not been empty for `interval` is
/// a standing one: it serves nobody any sooner and only makes every answer older. Then newcomers
/// wait for `target` at most, which drains it, and the wait of those who are served stays short.
///
/// Source: B. Maurer, "Fail at Scale", ACM Queue 13(8), 2015 (5 ms and 100 ms), after K. Nichols
/// and V. Jacobson, "Controlling Queue Delay", ACM Queue 10(5), 2012. The network's control law
/// (drops ever closer together until the sender slows down) is left out, since independent
/// requests are no sender that could.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CodelConfig {
    /// The longest wait while the queue stands.
    #[serde(serialize_with = "wire::duration")]
    pub target: Duration,
    /// A queue that has not been empty for so long stands.
    #[serde(serialize_with = "wire::duration")]
    pub interval: Duration,
}

/// The share of the limit, and of the queue, that is open to each level, 0 to 1.
///
/// A level is let in while all that is under way fills less than its share, so what lies between
/// its share and the next is kept free for those above. A level never gets less than one below it:
/// shares out of order are taken as the greatest below. A share of zero shuts a level out. Without
/// a limit there is nothing to share, and everybody is let in.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ShedConfig {
    /// For [`Priority::CriticalPlus`].
    pub critical_plus: f64,
    /// For [`Priority::Critical`].
    pub critical: f64,
    /// For [`Priority::SheddablePlus`].
    pub sheddable_plus: f64,
    /// For [`Priority::Sheddable`].
    pub sheddable: f64,
}

impl ShedConfig {
    /// The share of `level` as it is written.
    pub fn share(&self, level: Priority) -> f64 {
        match level {
            Priority::Sheddable => self.sheddable,
            Priority::SheddablePlus => self.sheddable_plus,
            Priority::Critical => self.critical,
            Priority::CriticalPlus => self.critical_plus,
        }
    }
}

impl TryFrom<serde_json::Value> for ServerPolicy {
    type Error = PolicyError;

    fn try_from(value: serde_json::Value) -> Result<Self, PolicyError> {
        read::policy(&value)
    }
}

//! A policy as data: read, checked, written, compared.
//!
//! The written form is one map, in JSON or TOML alike; an optional part that is absent is written
//! `"off"`, and a duration as people write it (`"250ms"`):
//!
//! ```
//! let policy: resilience::Policy = serde_json::from_str(r#"{
//!     "preset": "fast", "deadline": "1s", "attempt_timeout": "250ms", "propagate_deadline": true,
//!     "retry": {"max_attempts": 3, "base": "50ms", "multiplier": 2.0, "cap": "1s", "jitter": "full"},
//!     "budget": {"kind": "ratio", "ratio": 0.2, "ttl": "10s", "min_per_second": 1.0},
//!     "hedge": "off", "throttle": "off", "breaker": "off", "breaker_around": "attempt",
//!     "bulkhead": {"max_concurrent": 100, "max_waiting": 0, "max_wait": "0s"}
//! }"#)?;
//! assert_eq!(policy.retry, resilience::preset::fast().retry);
//! # Ok::<(), serde_json::Error>(())
//! ```
//!
//! What people write is rather a [`PolicySpec`]: a preset's name, or a preset with changes; and for
//! a slot a [`SlotSpec`]: one of those, or several with weights.

pub(crate) mod fields;
mod read;
pub(crate) mod spec;
mod split;
pub(crate) mod validate;
pub(crate) mod wire;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::breaker::BreakerConfig;
use crate::budget::BudgetConfig;
use crate::bulkhead::BulkheadConfig;
use crate::hedge::HedgeConfig;
use crate::retry::RetryConfig;
use crate::throttle::ThrottleConfig;

pub use spec::PolicySpec;
pub use split::{SlotSpec, Weighted};

/// The longest duration a policy may hold: a year. Longer is a mistake, and would overflow clocks.
pub const MAX_DURATION: Duration = Duration::from_secs(365 * 24 * 3_600);

/// The largest `max_attempts`.
pub const MAX_ATTEMPTS: u32 = 100;

/// Everything a slot applies to its calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "serde_json::Value")]
pub struct Policy {
    /// The preset it is, or began as: its name in metrics and events.
    pub preset: String,
    /// The longest a call may take, all its attempts and waits included.
    #[serde(serialize_with = "wire::or_off_duration")]
    pub deadline: Option<Duration>,
    /// The longest one attempt may take.
    #[serde(serialize_with = "wire::or_off_duration")]
    pub attempt_timeout: Option<Duration>,
    /// Whether the time left travels with each attempt, so that the dependency can stop working for
    /// a caller that has gone. When not, the limits hold here alone, and the dependency learns of
    /// their end only by the attempt being dropped.
    pub propagate_deadline: bool,
    /// Further attempts.
    #[serde(serialize_with = "wire::or_off")]
    pub retry: Option<RetryConfig>,
    /// What bounds further attempts, hedges included, over all calls.
    #[serde(serialize_with = "wire::or_off")]
    pub budget: Option<BudgetConfig>,
    /// A second copy of a slow call.
    #[serde(serialize_with = "wire::or_off")]
    pub hedge: Option<HedgeConfig>,
    /// Adaptive throttling at the caller.
    #[serde(serialize_with = "wire::or_off")]
    pub throttle: Option<ThrottleConfig>,
    /// The circuit breaker.
    #[serde(serialize_with = "wire::or_off")]
    pub breaker: Option<BreakerConfig>,
    /// What the breaker sees: attempts, or whole calls.
    pub breaker_around: BreakerAround,
    /// How many calls may be under way at once.
    #[serde(serialize_with = "wire::or_off")]
    pub bulkhead: Option<BulkheadConfig>,
}

/// On which side of the retry the breaker stands.
///
/// People argue about it. Around each *attempt* (the default here and in resilience4j) it learns
/// fastest and stops retries of a call that has begun; around the *call* it sees only what retries
/// could not mend, so it opens later and spares callers nothing while it learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerAround {
    /// Inside the retry.
    Attempt,
    /// Outside of it.
    Call,
}

/// Why a policy can't be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// There is no preset of that name.
    #[error("unknown preset `{name}`{}; there are: {}", did_you_mean(.suggestion.as_deref()), .known.join(", "))]
    UnknownPreset {
        /// The name asked for.
        name: String,
        /// The nearest one there is.
        suggestion: Option<String>,
        /// All there are.
        known: Vec<&'static str>,
    },
    /// There is such a preset, but for the other end of a link.
    #[error("preset `{name}` is {belongs}; {here} are: {}", .known.join(", "))]
    OtherEnd {
        /// The name asked for.
        name: String,
        /// Whose it is: `a server's` or `a caller's`.
        belongs: &'static str,
        /// Whose were asked for: `a server's presets` or `a caller's presets`.
        here: &'static str,
        /// All there are of those.
        known: Vec<&'static str>,
    },
    /// There is no field of that name.
    #[error("unknown field `{path}`{}; expected: {}", did_you_mean(.suggestion.as_deref()), .known.join(", "))]
    UnknownField {
        /// The field, with the way to it: `retry.max_atempts`.
        path: String,
        /// The nearest one there is.
        suggestion: Option<String>,
        /// All there are in that place.
        known: Vec<&'static str>,
    },
    /// A field is not there.
    #[error("`{path}` is missing")]
    Missing {
        /// The field.
        path: String,
    },
    /// A field can't have that value.
    #[error("`{path}`: {problem}")]
    Invalid {
        /// The field.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
}

fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion
        .map(|name| format!(", did you mean `{name}`?"))
        .unwrap_or_default()
}

impl PolicyError {
    pub(crate) fn invalid(path: &str, problem: impl Into<String>) -> Self {
        Self::Invalid {
            path: path.to_owned(),
            problem: problem.into(),
        }
    }

    /// The field it is about (`preset` for an unknown preset).
    pub fn path(&self) -> &str {
        match self {
            Self::UnknownPreset { .. } | Self::OtherEnd { .. } => "preset",
            Self::UnknownField { path, .. }
            | Self::Missing { path }
            | Self::Invalid { path, .. } => path,
        }
    }
}

impl TryFrom<serde_json::Value> for Policy {
    type Error = PolicyError;

    fn try_from(value: serde_json::Value) -> Result<Self, PolicyError> {
        read::policy(&value)
    }
}

#[cfg(test)]
mod tests;

//! A policy as data: read, checked, written, compared.
//!
//! The written form is one map, in JSON or TOML alike; an optional part that is absent is written
//! `"off"`, and a duration as people write it (`"250ms"`):
//!
//! ```
//! let policy: resilience::Policy = serde_json::from_str(r#"{
//!     "preset": "fast", "deadline": "1s", "attempt_timeout": "250ms",
//!     "retry": {"max_attempts": 3, "base": "50ms", "multiplier": 2.0, "cap": "1s", "jitter": "full"},
//!     "breaker": {"kind": "consecutive", "failures": 5, "reset": "5s", "trials": 1, "successes": 1}
//! }"#)?;
//! assert_eq!(policy, resilience::preset::get("fast").unwrap());
//! # Ok::<(), serde_json::Error>(())
//! ```
//!
//! What people write is rather a [`PolicySpec`]: a preset's name, or a preset with changes.

mod read;
mod spec;
pub(crate) mod wire;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::backoff::Jitter;
use crate::breaker::BreakerConfig;
use crate::retry::RetryConfig;

pub use spec::PolicySpec;

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
    /// Further attempts.
    #[serde(serialize_with = "wire::or_off")]
    pub retry: Option<RetryConfig>,
    /// The circuit breaker.
    #[serde(serialize_with = "wire::or_off")]
    pub breaker: Option<BreakerConfig>,
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
    fn invalid(path: &str, problem: impl Into<String>) -> Self {
        Self::Invalid {
            path: path.to_owned(),
            problem: problem.into(),
        }
    }

    /// The field it is about (`preset` for an unknown preset).
    pub fn path(&self) -> &str {
        match self {
            Self::UnknownPreset { .. } => "preset",
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

impl Policy {
    /// Checks every field. A policy that was read is valid already; one put together or changed by
    /// hand may not be.
    ///
    /// # Errors
    /// [`PolicyError::Invalid`], naming the first field that is wrong.
    pub fn validate(&self) -> Result<(), PolicyError> {
        if let Some(deadline) = self.deadline {
            positive("deadline", deadline)?;
        }
        if let Some(limit) = self.attempt_timeout {
            positive("attempt_timeout", limit)?;
        }
        self.retry.as_ref().map_or(Ok(()), validate_retry)?;
        self.breaker.as_ref().map_or(Ok(()), validate_breaker)
    }
}

fn validate_retry(retry: &RetryConfig) -> Result<(), PolicyError> {
    if !(1..=MAX_ATTEMPTS).contains(&retry.max_attempts) {
        let problem = format!("must be 1 to {MAX_ATTEMPTS}, is {}", retry.max_attempts);
        return Err(PolicyError::invalid("retry.max_attempts", problem));
    }
    at_most_a_year("retry.base", retry.base)?;
    at_most_a_year("retry.cap", retry.cap)?;
    if !(retry.multiplier >= 1.0 && retry.multiplier.is_finite()) {
        let problem = format!("must be at least 1, is {}", retry.multiplier);
        return Err(PolicyError::invalid("retry.multiplier", problem));
    }
    if retry.cap < retry.base {
        let base = humantime::format_duration(retry.base);
        let problem = format!("must be at least `retry.base` ({base})");
        return Err(PolicyError::invalid("retry.cap", problem));
    }
    match retry.jitter {
        Jitter::Proportional(r) if !(0.0..=1.0).contains(&r) => Err(PolicyError::invalid(
            "retry.jitter.proportional",
            format!("must be 0 to 1, is {r}"),
        )),
        _ => Ok(()),
    }
}

fn validate_breaker(breaker: &BreakerConfig) -> Result<(), PolicyError> {
    let BreakerConfig::Consecutive {
        failures,
        reset,
        trials,
        successes,
    } = *breaker;
    positive("breaker.reset", reset)?;
    at_least_one("breaker.failures", failures)?;
    at_least_one("breaker.trials", trials)?;
    at_least_one("breaker.successes", successes)
}

fn at_least_one(path: &str, count: u32) -> Result<(), PolicyError> {
    if count == 0 {
        return Err(PolicyError::invalid(path, "must be at least 1"));
    }
    Ok(())
}

fn positive(path: &str, duration: Duration) -> Result<(), PolicyError> {
    if duration.is_zero() {
        return Err(PolicyError::invalid(path, "must be longer than zero"));
    }
    at_most_a_year(path, duration)
}

fn at_most_a_year(path: &str, duration: Duration) -> Result<(), PolicyError> {
    if duration > MAX_DURATION {
        return Err(PolicyError::invalid(
            path,
            "must not be longer than 365 days",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;

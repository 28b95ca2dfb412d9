//! Policies with a name, each with its source. Every field is listed in each, so that nothing
//! depends on a default elsewhere.
//!
//! # Made to be compared
//!
//! `none`, `naive` and `fast` are arms of one experiment, so what isn't the experiment is equal in
//! them: the deadline of a call is 1 s in all three, and `naive` and `fast` have the same attempt
//! time-out, so that against a dependency that hangs both can make all their attempts. What differs
//! is retry, back-off and breaker. `none` has no attempt time-out, because with one attempt the
//! deadline is one. To compare with `shop`, give the others its deadline
//! (`{"preset": "naive", "deadline": "10s", "attempt_timeout": "2s"}`).

use std::time::Duration;

use crate::backoff::Jitter;
use crate::breaker::BreakerConfig;
use crate::policy::Policy;
use crate::retry::RetryConfig;

const MS: fn(u64) -> Duration = Duration::from_millis;
const S: fn(u64) -> Duration = Duration::from_secs;

const NAMES: &[&str] = &["none", "naive", "shop", "fast"];

/// The names of all presets.
pub fn names() -> &'static [&'static str] {
    NAMES
}

/// The preset of that name.
pub fn get(name: &str) -> Option<Policy> {
    match name {
        "none" => Some(none()),
        "naive" => Some(naive()),
        "shop" => Some(shop()),
        "fast" => Some(fast()),
        _ => None,
    }
}

/// `none`: one attempt, and 1 s for it.
///
/// Source: the control arm of the lab's scenarios.
pub fn none() -> Policy {
    Policy {
        preset: "none".to_owned(),
        deadline: Some(S(1)),
        attempt_timeout: None,
        retry: None,
        breaker: None,
    }
}

/// `naive`: three attempts, at once one after the other; no back-off, no breaker.
///
/// Source: what "Site Reliability Engineering", chapter 22, warns of; its limits are those of
/// `fast`.
pub fn naive() -> Policy {
    Policy {
        preset: "naive".to_owned(),
        deadline: Some(S(1)),
        attempt_timeout: Some(MS(250)),
        retry: Some(RetryConfig {
            max_attempts: 3,
            base: Duration::ZERO,
            multiplier: 1.0,
            cap: Duration::ZERO,
            jitter: Jitter::None,
        }),
        breaker: None,
    }
}

/// `shop`: the shop's production default.
///
/// Source: the reference shop's settings (tenacity: 3 attempts, wait 1 s doubled up to 10 s;
/// pybreaker: 5 failures, 30 s), with full jitter, attempt time-out and deadline added.
pub fn shop() -> Policy {
    Policy {
        preset: "shop".to_owned(),
        deadline: Some(S(10)),
        attempt_timeout: Some(S(2)),
        retry: Some(RetryConfig {
            max_attempts: 3,
            base: S(1),
            multiplier: 2.0,
            cap: S(10),
            jitter: Jitter::Full,
        }),
        breaker: Some(BreakerConfig::Consecutive {
            failures: 5,
            reset: S(30),
            trials: 1,
            successes: 1,
        }),
    }
}

/// `fast`: the shape of `shop`, quick enough to watch; `default` in a scenario means this.
///
/// Source: made for the lab's scenarios.
pub fn fast() -> Policy {
    Policy {
        preset: "fast".to_owned(),
        deadline: Some(S(1)),
        attempt_timeout: Some(MS(250)),
        retry: Some(RetryConfig {
            max_attempts: 3,
            base: MS(50),
            multiplier: 2.0,
            cap: S(1),
            jitter: Jitter::Full,
        }),
        breaker: Some(BreakerConfig::Consecutive {
            failures: 5,
            reset: S(5),
            trials: 1,
            successes: 1,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_a_valid_policy_of_that_name() {
        for name in names() {
            let policy = get(name).unwrap();
            assert_eq!(policy.preset, *name);
            policy.validate().unwrap();
        }
        assert_eq!(get("nope"), None);
    }

    #[test]
    fn figures_are_the_specifications() {
        let written = |name| serde_json::to_value(get(name).unwrap()).unwrap();
        assert_eq!(
            written("shop"),
            serde_json::json!({
                "preset": "shop", "deadline": "10s", "attempt_timeout": "2s",
                "retry": {"max_attempts": 3, "base": "1s", "multiplier": 2.0, "cap": "10s", "jitter": "full"},
                "breaker": {"kind": "consecutive", "failures": 5, "reset": "30s", "trials": 1, "successes": 1},
            })
        );
        assert_eq!(
            written("fast"),
            serde_json::json!({
                "preset": "fast", "deadline": "1s", "attempt_timeout": "250ms",
                "retry": {"max_attempts": 3, "base": "50ms", "multiplier": 2.0, "cap": "1s", "jitter": "full"},
                "breaker": {"kind": "consecutive", "failures": 5, "reset": "5s", "trials": 1, "successes": 1},
            })
        );
        assert_eq!(written("none")["retry"], "off");
        assert_eq!(written("naive")["retry"]["max_attempts"], 3);
        assert_eq!(written("naive")["breaker"], "off");
    }
}

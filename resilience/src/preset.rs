//! Callers' policies with a name, each with its source. Every field is listed in each, so that
//! nothing depends on a default elsewhere.
//!
//! # Made to be compared
//!
//! `none`, `naive` and `fast` are arms of one experiment, so what isn't the experiment is equal in
//! them: the deadline of a call is 1 s in all three, and `naive` and `fast` have the same attempt
//! time-out, so that against a dependency that hangs both can make all their attempts. What differs
//! is retry, back-off and breaker. `none` has no attempt time-out, because with one attempt the
//! deadline is one.
//!
//! The others (`grpc-a6`, `aws`, `finagle`, `envoy`, `resilience4j`) are what those projects do
//! when nobody configures them, time-outs included, where they have any. To compare them with
//! `fast`, give them its limits:
//! `{"preset": "grpc-a6", "deadline": "1s", "attempt_timeout": "250ms"}`.
//!
//! The presets of servers are in [`server::preset`](crate::server::preset).

use std::time::Duration;

use crate::backoff::Jitter;
use crate::breaker::{BreakerConfig, FailureSet, Rule};
use crate::budget::BudgetConfig;
use crate::policy::{BreakerAround, Policy};
use crate::retry::RetryConfig;

const MS: fn(u64) -> Duration = Duration::from_millis;
const S: fn(u64) -> Duration = Duration::from_secs;

type Preset = (&'static str, fn() -> Policy);

const ALL: [Preset; 9] = [
    ("none", none),
    ("naive", naive),
    ("shop", shop),
    ("fast", fast),
    ("grpc-a6", grpc_a6),
    ("aws", aws),
    ("finagle", finagle),
    ("envoy", envoy),
    ("resilience4j", resilience4j),
];

const NAMES: [&str; ALL.len()] = {
    let mut names = [""; ALL.len()];
    let mut i = 0;
    while i < ALL.len() {
        names[i] = ALL[i].0;
        i += 1;
    }
    names
};

/// The names of all presets.
pub fn names() -> &'static [&'static str] {
    &NAMES
}

/// The preset of that name.
pub fn get(name: &str) -> Option<Policy> {
    let (_, make) = ALL.iter().find(|(known, _)| *known == name)?;
    Some(make())
}

/// `none`: one attempt, and 1 s for it.
///
/// Source: the control arm of the lab's scenarios.
pub fn none() -> Policy {
    Policy {
        preset: "none".to_owned(),
        deadline: Some(S(1)),
        attempt_timeout: None,
        propagate_deadline: true,
        retry: None,
        budget: None,
        hedge: None,
        throttle: None,
        breaker: None,
        breaker_around: BreakerAround::Attempt,
        bulkhead: None,
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
        propagate_deadline: true,
        retry: Some(RetryConfig {
            max_attempts: 3,
            base: Duration::ZERO,
            multiplier: 1.0,
            cap: Duration::ZERO,
            jitter: Jitter::None,
            obey_pushback: true,
        }),
        budget: None,
        hedge: None,
        throttle: None,
        breaker: None,
        breaker_around: BreakerAround::Attempt,
        bulkhead: None,
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
        propagate_deadline: true,
        retry: Some(RetryConfig {
            max_attempts: 3,
            base: S(1),
            multiplier: 2.0,
            cap: S(10),
            jitter: Jitter::Full,
            obey_pushback: true,
        }),
        budget: None,
        hedge: None,
        throttle: None,
        breaker: Some(BreakerConfig::consecutive(5, S(30))),
        breaker_around: BreakerAround::Attempt,
        bulkhead: None,
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
        propagate_deadline: true,
        retry: Some(RetryConfig {
            max_attempts: 3,
            base: MS(50),
            multiplier: 2.0,
            cap: S(1),
            jitter: Jitter::Full,
            obey_pushback: true,
        }),
        budget: None,
        hedge: None,
        throttle: None,
        breaker: Some(BreakerConfig::consecutive(5, S(5))),
        breaker_around: BreakerAround::Attempt,
        bulkhead: None,
    }
}

/// `grpc-a6`: gRPC's transparent configuration by service config, with its retry throttling. gRPC
/// sets no deadline by itself, so there is none.
///
/// Source: gRFC A6, its example service config (`maxAttempts` 4, `initialBackoff` 0.1 s,
/// `maxBackoff` 1 s, `backoffMultiplier` 2; `maxTokens` 10, `tokenRatio` 0.1), with the ±20 %
/// jitter of its later revision.
pub fn grpc_a6() -> Policy {
    Policy {
        preset: "grpc-a6".to_owned(),
        deadline: None,
        attempt_timeout: None,
        propagate_deadline: true,
        retry: Some(RetryConfig {
            max_attempts: 4,
            base: MS(100),
            multiplier: 2.0,
            cap: S(1),
            jitter: Jitter::Proportional(0.2),
            obey_pushback: true,
        }),
        budget: Some(BudgetConfig::Throttle {
            max_tokens: 10.0,
            token_ratio: 0.1,
        }),
        hedge: None,
        throttle: None,
        breaker: None,
        breaker_around: BreakerAround::Attempt,
        bulkhead: None,
    }
}

/// `aws`: the AWS SDKs' standard retry mode. An attempt may take 60 s, their usual read time-out.
///
/// Source: AWS SDKs and Tools Reference Guide, "Retry behavior": three attempts, waits of
/// `random(0, 1) · 2^n` seconds up to 20 s, a bucket of 500 from which a retry takes 5 and one
/// after a time-out 10, given back when the retry succeeds; a first success puts 1 back.
pub fn aws() -> Policy {
    Policy {
        preset: "aws".to_owned(),
        deadline: None,
        attempt_timeout: Some(S(60)),
        propagate_deadline: true,
        retry: Some(RetryConfig {
            max_attempts: 3,
            base: S(1),
            multiplier: 2.0,
            cap: S(20),
            jitter: Jitter::Full,
            obey_pushback: true,
        }),
        budget: Some(BudgetConfig::Bucket {
            capacity: 500.0,
            retry_cost: 5.0,
            timeout_cost: 10.0,
            deposit: 1.0,
            refund: true,
        }),
        hedge: None,
        throttle: None,
        breaker: None,
        breaker_around: BreakerAround::Attempt,
        bulkhead: None,
    }
}

/// `finagle`: retries at once, as many as the budget grants.
///
/// Source: Finagle's `RetryBudget` (20 % of the calls of the last 10 s, and 10 a second at least)
/// and `RetryPolicy.tries` (25 attempts, no wait). Its clients have no time-out by themselves.
pub fn finagle() -> Policy {
    Policy {
        preset: "finagle".to_owned(),
        deadline: None,
        attempt_timeout: None,
        propagate_deadline: true,
        retry: Some(RetryConfig {
            max_attempts: 25,
            base: Duration::ZERO,
            multiplier: 1.0,
            cap: Duration::ZERO,
            jitter: Jitter::None,
            obey_pushback: true,
        }),
        budget: Some(BudgetConfig::Ratio {
            ratio: 0.2,
            ttl: S(10),
            min_per_second: 10.0,
        }),
        hedge: None,
        throttle: None,
        breaker: None,
        breaker_around: BreakerAround::Attempt,
        bulkhead: None,
    }
}

/// `envoy`: one retry, for at most a fifth of what is under way.
///
/// Source: Envoy's route `retry_policy` (one retry, 25 ms to 250 ms with full jitter), its
/// `retry_budget` (20 %, at least 3) and the route's time-out of 15 s.
pub fn envoy() -> Policy {
    Policy {
        preset: "envoy".to_owned(),
        deadline: Some(S(15)),
        attempt_timeout: None,
        propagate_deadline: true,
        retry: Some(RetryConfig {
            max_attempts: 2,
            base: MS(25),
            multiplier: 2.0,
            cap: MS(250),
            jitter: Jitter::Full,
            obey_pushback: true,
        }),
        budget: Some(BudgetConfig::Active { share: 0.2, min: 3 }),
        hedge: None,
        throttle: None,
        breaker: None,
        breaker_around: BreakerAround::Attempt,
        bulkhead: None,
    }
}

/// `resilience4j`: a window breaker and fixed waits. Here the half-open state needs ten successes
/// in ten trials and a failure opens it again; resilience4j judges the ten by the failure rate.
///
/// Source: resilience4j's defaults: window of 100 calls, at least 100 of them, 50 % failures or
/// 100 % slower than 60 s, open for 60 s, 10 calls half-open; three attempts 500 ms apart; its
/// `TimeLimiter` of 1 s for an attempt.
pub fn resilience4j() -> Policy {
    Policy {
        preset: "resilience4j".to_owned(),
        deadline: None,
        attempt_timeout: Some(S(1)),
        propagate_deadline: true,
        retry: Some(RetryConfig {
            max_attempts: 3,
            base: MS(500),
            multiplier: 1.0,
            cap: MS(500),
            jitter: Jitter::None,
            obey_pushback: true,
        }),
        budget: None,
        hedge: None,
        throttle: None,
        breaker: Some(BreakerConfig {
            rule: Rule::CountWindow {
                calls: 100,
                min_calls: 100,
                failure_rate: 0.5,
                slow_rate: 1.0,
                slow_after: S(60),
            },
            reset: S(60),
            growth: 1.0,
            max_reset: S(60),
            trials: 10,
            successes: 10,
            counts: FailureSet::default(),
        }),
        breaker_around: BreakerAround::Attempt,
        bulkhead: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn each_name_has_a_valid_policy_of_that_name() {
        for name in names() {
            let policy = get(name).unwrap();
            assert_eq!(policy.preset, *name);
            policy.validate().unwrap();
        }
        assert_eq!(get("nope"), None);
    }

    /// The parts of a preset, as written.
    fn written(name: &str, part: &str) -> Value {
        serde_json::to_value(get(name).unwrap()).unwrap()[part].take()
    }

    #[test]
    fn figures_are_the_specifications() {
        let full = |base: &str, cap: &str| json!({"max_attempts": 3, "base": base, "multiplier": 2.0, "cap": cap, "jitter": "full", "obey_pushback": true});
        assert_eq!(written("shop", "retry"), full("1s", "10s"));
        assert_eq!(written("fast", "retry"), full("50ms", "1s"));
        assert_eq!(written("aws", "retry"), full("1s", "20s"));
        for (name, deadline, attempt) in [
            ("none", "1s", "off"),
            ("naive", "1s", "250ms"),
            ("shop", "10s", "2s"),
            ("fast", "1s", "250ms"),
            ("grpc-a6", "off", "off"),
            ("aws", "off", "1m"),
            ("finagle", "off", "off"),
            ("envoy", "15s", "off"),
            ("resilience4j", "off", "1s"),
        ] {
            assert_eq!(written(name, "deadline"), deadline, "{name}");
            assert_eq!(written(name, "attempt_timeout"), attempt, "{name}");
        }
        assert_eq!(written("none", "retry"), "off");
        assert_eq!(written("naive", "retry")["max_attempts"], 3);
    }

    #[test]
    fn budgets_are_their_sources() {
        assert_eq!(
            written("grpc-a6", "budget"),
            json!({"kind": "throttle", "max_tokens": 10.0, "token_ratio": 0.1})
        );
        assert_eq!(
            written("grpc-a6", "retry")["jitter"],
            json!({"proportional": 0.2})
        );
        assert_eq!(
            written("aws", "budget"),
            json!({"kind": "bucket", "capacity": 500.0, "retry_cost": 5.0, "timeout_cost": 10.0, "deposit": 1.0, "refund": true})
        );
        assert_eq!(
            written("finagle", "budget"),
            json!({"kind": "ratio", "ratio": 0.2, "ttl": "10s", "min_per_second": 10.0})
        );
        assert_eq!(
            written("envoy", "budget"),
            json!({"kind": "active", "share": 0.2, "min": 3})
        );
    }

    #[test]
    fn breakers_are_their_sources() {
        for (name, reset) in [("shop", "30s"), ("fast", "5s")] {
            let breaker = written(name, "breaker");
            assert_eq!(breaker["kind"], "consecutive", "{name}");
            assert_eq!(breaker["failures"], 5, "{name}");
            assert_eq!(breaker["reset"], reset, "{name}");
            assert_eq!(breaker["trials"], 1, "{name}");
            assert_eq!(breaker["successes"], 1, "{name}");
        }
        let window = written("resilience4j", "breaker");
        assert_eq!(window["kind"], "count_window");
        assert_eq!(window["calls"], 100);
        assert_eq!(window["failure_rate"], 0.5);
        assert_eq!(window["slow_after"], "1m");
        assert_eq!(window["trials"], 10);
        for name in ["none", "naive", "grpc-a6", "aws", "finagle", "envoy"] {
            assert_eq!(written(name, "breaker"), "off", "{name}");
        }
    }
}

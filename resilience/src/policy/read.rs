//! Reads a caller's policy from a value. Every field must be there: a policy that depends on a
//! default elsewhere can't be read by itself. Two are the exception, each with the one value that is
//! right unless an experiment says otherwise: `propagate_deadline` and `retry.obey_pushback` are
//! true where they are absent.

use serde_json::Value;

use super::fields::{Fields, duration, join, unknown_value};
use super::{BreakerAround, Policy, PolicyError};
use crate::backoff::Jitter;
use crate::breaker::{BreakerConfig, FailureSet, Rule};
use crate::budget::BudgetConfig;
use crate::bulkhead::BulkheadConfig;
use crate::failure::FailureKind;
use crate::hedge::HedgeConfig;
use crate::retry::RetryConfig;
use crate::throttle::ThrottleConfig;

const POLICY: &[&str] = &[
    "preset",
    "deadline",
    "attempt_timeout",
    "propagate_deadline",
    "retry",
    "budget",
    "hedge",
    "throttle",
    "breaker",
    "breaker_around",
    "bulkhead",
];
const RETRY: &[&str] = &[
    "max_attempts",
    "base",
    "multiplier",
    "cap",
    "jitter",
    "obey_pushback",
];
const JITTERS: &[&str] = &["none", "full", "equal", "decorrelated"];
const PROPORTIONAL: &[&str] = &["proportional"];
const AROUND: &[&str] = &["attempt", "call"];
const BULKHEAD: &[&str] = &["max_concurrent", "max_waiting", "max_wait"];
const THROTTLE: &[&str] = &["k", "window"];
const BUDGETS: &[(&str, &[&str])] = &[
    ("throttle", &["max_tokens", "token_ratio"]),
    ("ratio", &["ratio", "ttl", "min_per_second"]),
    (
        "bucket",
        &[
            "capacity",
            "retry_cost",
            "timeout_cost",
            "deposit",
            "refund",
        ],
    ),
    ("active", &["share", "min"]),
];
const HEDGES: &[(&str, &[&str])] = &[
    ("fixed", &["delay"]),
    ("percentile", &["percentile", "min_samples", "floor"]),
];
const RATES: [&str; 3] = ["failure_rate", "slow_rate", "slow_after"];
const BREAKERS: &[(&str, &[&str])] = &[
    ("consecutive", &["failures"]),
    (
        "count_window",
        &["calls", "min_calls", RATES[0], RATES[1], RATES[2]],
    ),
    (
        "time_window",
        &["window", "min_calls", RATES[0], RATES[1], RATES[2]],
    ),
];
const ANY_BREAKER: &[&str] = &[
    "reset",
    "growth",
    "max_reset",
    "trials",
    "successes",
    "counts",
];

/// What a breaker can count: everything but a cancellation, which says nothing.
pub(super) const COUNTABLE: [FailureKind; 9] = [
    FailureKind::NotProcessed,
    FailureKind::Unavailable,
    FailureKind::Timeout,
    FailureKind::Aborted,
    FailureKind::Exhausted,
    FailureKind::Internal,
    FailureKind::Unknown,
    FailureKind::DataLoss,
    FailureKind::Caller,
];

pub(super) fn policy(value: &Value) -> Result<Policy, PolicyError> {
    let fields = Fields::new("", value, POLICY)?;
    let policy = Policy {
        preset: fields.text("preset")?.to_owned(),
        deadline: fields.or_off("deadline", duration)?,
        attempt_timeout: fields.or_off("attempt_timeout", duration)?,
        propagate_deadline: fields.flag_or("propagate_deadline", true)?,
        retry: fields.or_off("retry", retry)?,
        budget: fields.or_off("budget", budget)?,
        hedge: fields.or_off("hedge", hedge)?,
        throttle: fields.or_off("throttle", throttle)?,
        breaker: fields.or_off("breaker", breaker)?,
        breaker_around: around(fields.text("breaker_around")?)?,
        bulkhead: fields.or_off("bulkhead", bulkhead)?,
    };
    policy.validate()?;
    Ok(policy)
}

fn retry(path: &str, value: &Value) -> Result<RetryConfig, PolicyError> {
    let fields = Fields::new(path, value, RETRY)?;
    Ok(RetryConfig {
        max_attempts: fields.count("max_attempts")?,
        base: fields.duration("base")?,
        multiplier: fields.number("multiplier")?,
        cap: fields.duration("cap")?,
        jitter: fields.with("jitter", jitter)?,
        obey_pushback: fields.flag_or("obey_pushback", true)?,
    })
}

fn jitter(path: &str, value: &Value) -> Result<Jitter, PolicyError> {
    match value {
        Value::String(name) => match name.as_str() {
            "none" => Ok(Jitter::None),
            "full" => Ok(Jitter::Full),
            "equal" => Ok(Jitter::Equal),
            "decorrelated" => Ok(Jitter::Decorrelated),
            other => Err(unknown_value(
                path,
                other,
                JITTERS,
                " or {\"proportional\": r}",
            )),
        },
        _ => {
            let fields = Fields::new(path, value, PROPORTIONAL)?;
            fields.number("proportional").map(Jitter::Proportional)
        }
    }
}

fn budget(path: &str, value: &Value) -> Result<BudgetConfig, PolicyError> {
    let (kind, fields) = Fields::of_kind(path, value, BUDGETS, &[])?;
    Ok(match kind {
        "throttle" => BudgetConfig::Throttle {
            max_tokens: fields.number("max_tokens")?,
            token_ratio: fields.number("token_ratio")?,
        },
        "ratio" => BudgetConfig::Ratio {
            ratio: fields.number("ratio")?,
            ttl: fields.duration("ttl")?,
            min_per_second: fields.number("min_per_second")?,
        },
        "bucket" => BudgetConfig::Bucket {
            capacity: fields.number("capacity")?,
            retry_cost: fields.number("retry_cost")?,
            timeout_cost: fields.number("timeout_cost")?,
            deposit: fields.number("deposit")?,
            refund: fields.flag("refund")?,
        },
        _ => BudgetConfig::Active {
            share: fields.number("share")?,
            min: fields.count("min")?,
        },
    })
}

fn hedge(path: &str, value: &Value) -> Result<HedgeConfig, PolicyError> {
    let (kind, fields) = Fields::of_kind(path, value, HEDGES, &[])?;
    Ok(match kind {
        "fixed" => HedgeConfig::Fixed {
            delay: fields.duration("delay")?,
        },
        _ => HedgeConfig::Percentile {
            percentile: fields.number("percentile")?,
            min_samples: fields.count("min_samples")?,
            floor: fields.duration("floor")?,
        },
    })
}

fn throttle(path: &str, value: &Value) -> Result<ThrottleConfig, PolicyError> {
    let fields = Fields::new(path, value, THROTTLE)?;
    Ok(ThrottleConfig {
        k: fields.number("k")?,
        window: fields.duration("window")?,
    })
}

fn breaker(path: &str, value: &Value) -> Result<BreakerConfig, PolicyError> {
    let (kind, fields) = Fields::of_kind(path, value, BREAKERS, ANY_BREAKER)?;
    Ok(BreakerConfig {
        rule: rule(kind, &fields)?,
        reset: fields.duration("reset")?,
        growth: fields.number("growth")?,
        max_reset: fields.duration("max_reset")?,
        trials: fields.count("trials")?,
        successes: fields.count("successes")?,
        counts: fields.with("counts", counts)?,
    })
}

fn rule(kind: &str, fields: &Fields<'_>) -> Result<Rule, PolicyError> {
    if kind == "consecutive" {
        return Ok(Rule::Consecutive {
            failures: fields.count("failures")?,
        });
    }
    let min_calls = fields.count("min_calls")?;
    let failure_rate = fields.number("failure_rate")?;
    let slow_rate = fields.number("slow_rate")?;
    let slow_after = fields.duration("slow_after")?;
    Ok(if kind == "count_window" {
        Rule::CountWindow {
            calls: fields.count("calls")?,
            min_calls,
            failure_rate,
            slow_rate,
            slow_after,
        }
    } else {
        Rule::TimeWindow {
            window: fields.duration("window")?,
            min_calls,
            failure_rate,
            slow_rate,
            slow_after,
        }
    })
}

fn counts(path: &str, value: &Value) -> Result<FailureSet, PolicyError> {
    let names = COUNTABLE.map(FailureKind::as_str);
    let Value::Array(wanted) = value else {
        let problem = format!("expected a list of {}, found {value}", names.join(", "));
        return Err(PolicyError::invalid(path, problem));
    };
    let mut set = FailureSet::EMPTY;
    for (i, name) in wanted.iter().enumerate() {
        let found = name.as_str().unwrap_or_default();
        let kind = COUNTABLE.into_iter().find(|kind| kind.as_str() == found);
        match kind {
            Some(kind) => set.insert(kind),
            None => return Err(unknown_value(&format!("{path}[{i}]"), found, &names, "")),
        }
    }
    Ok(set)
}

fn around(name: &str) -> Result<BreakerAround, PolicyError> {
    match name {
        "attempt" => Ok(BreakerAround::Attempt),
        "call" => Ok(BreakerAround::Call),
        other => Err(unknown_value(
            &join("", "breaker_around"),
            other,
            AROUND,
            "",
        )),
    }
}

fn bulkhead(path: &str, value: &Value) -> Result<BulkheadConfig, PolicyError> {
    let fields = Fields::new(path, value, BULKHEAD)?;
    Ok(BulkheadConfig {
        max_concurrent: fields.count("max_concurrent")?,
        max_waiting: fields.count("max_waiting")?,
        max_wait: fields.duration("max_wait")?,
    })
}

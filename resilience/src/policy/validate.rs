//! What the fields of a policy may be.

use std::time::Duration;

use super::{MAX_ATTEMPTS, MAX_DURATION, Policy, PolicyError};
use crate::backoff::Jitter;
use crate::breaker::{BreakerConfig, FailureSet, Rule};
use crate::budget::BudgetConfig;
use crate::bulkhead::BulkheadConfig;
use crate::hedge::HedgeConfig;
use crate::retry::RetryConfig;
use crate::throttle::ThrottleConfig;

pub(crate) type Checked = Result<(), PolicyError>;

/// The largest count of tokens, calls or places: more is a mistake, and would be kept in memory.
const MAX_COUNT: u32 = 1_000_000;

impl Policy {
    /// Checks every field. A policy that was read is valid already; one put together or changed by
    /// hand may not be.
    ///
    /// # Errors
    /// [`PolicyError::Invalid`], naming the first field that is wrong.
    pub fn validate(&self) -> Checked {
        if let Some(deadline) = self.deadline {
            positive("deadline", deadline)?;
        }
        if let Some(limit) = self.attempt_timeout {
            positive("attempt_timeout", limit)?;
        }
        self.retry.as_ref().map_or(Ok(()), retry)?;
        self.budget.as_ref().map_or(Ok(()), budget)?;
        self.hedge.as_ref().map_or(Ok(()), hedge)?;
        self.throttle.as_ref().map_or(Ok(()), throttle)?;
        self.breaker.as_ref().map_or(Ok(()), breaker)?;
        self.bulkhead.as_ref().map_or(Ok(()), bulkhead)
    }
}

fn retry(retry: &RetryConfig) -> Checked {
    if !(1..=MAX_ATTEMPTS).contains(&retry.max_attempts) {
        let problem = format!("must be 1 to {MAX_ATTEMPTS}, is {}", retry.max_attempts);
        return Err(PolicyError::invalid("retry.max_attempts", problem));
    }
    at_most_a_year("retry.base", retry.base)?;
    at_most_a_year("retry.cap", retry.cap)?;
    at_least("retry.multiplier", retry.multiplier, 1.0)?;
    if retry.cap < retry.base {
        let base = humantime::format_duration(retry.base);
        let problem = format!("must be at least `retry.base` ({base})");
        return Err(PolicyError::invalid("retry.cap", problem));
    }
    match retry.jitter {
        Jitter::Proportional(r) => share("retry.jitter.proportional", r),
        _ => Ok(()),
    }
}

fn budget(budget: &BudgetConfig) -> Checked {
    match *budget {
        BudgetConfig::Throttle {
            max_tokens,
            token_ratio,
        } => {
            above_zero("budget.max_tokens", max_tokens)?;
            above_zero("budget.token_ratio", token_ratio)
        }
        BudgetConfig::Ratio {
            ratio,
            ttl,
            min_per_second,
        } => {
            count_or_share("budget.ratio", ratio)?;
            positive("budget.ttl", ttl)?;
            count_or_share("budget.min_per_second", min_per_second)
        }
        BudgetConfig::Bucket {
            capacity,
            retry_cost,
            timeout_cost,
            deposit,
            refund: _,
        } => {
            above_zero("budget.capacity", capacity)?;
            above_zero("budget.retry_cost", retry_cost)?;
            above_zero("budget.timeout_cost", timeout_cost)?;
            count_or_share("budget.deposit", deposit)
        }
        BudgetConfig::Active { share, min } => {
            count_or_share("budget.share", share)?;
            at_most("budget.min", min)
        }
    }
}

fn hedge(hedge: &HedgeConfig) -> Checked {
    match *hedge {
        HedgeConfig::Fixed { delay } => positive("hedge.delay", delay),
        HedgeConfig::Percentile {
            percentile,
            min_samples,
            floor,
        } => {
            if !(percentile > 0.0 && percentile < 1.0) {
                let problem = format!("must be between 0 and 1, is {percentile}");
                return Err(PolicyError::invalid("hedge.percentile", problem));
            }
            count("hedge.min_samples", min_samples)?;
            at_most_a_year("hedge.floor", floor)
        }
    }
}

fn throttle(throttle: &ThrottleConfig) -> Checked {
    at_least("throttle.k", throttle.k, 1.0)?;
    positive("throttle.window", throttle.window)
}

fn breaker(breaker: &BreakerConfig) -> Checked {
    rule(&breaker.rule)?;
    positive("breaker.reset", breaker.reset)?;
    at_least("breaker.growth", breaker.growth, 1.0)?;
    at_most_a_year("breaker.max_reset", breaker.max_reset)?;
    // Without growth nothing is ever compared to it.
    if breaker.growth > 1.0 && breaker.max_reset < breaker.reset {
        let reset = humantime::format_duration(breaker.reset);
        let problem = format!("must be at least `breaker.reset` ({reset})");
        return Err(PolicyError::invalid("breaker.max_reset", problem));
    }
    at_least_one("breaker.trials", breaker.trials)?;
    at_least_one("breaker.successes", breaker.successes)?;
    if breaker.counts == FailureSet::EMPTY {
        let problem = "must name at least one kind of failure, or nothing ever opens the breaker";
        return Err(PolicyError::invalid("breaker.counts", problem));
    }
    Ok(())
}

fn rule(rule: &Rule) -> Checked {
    let (min_calls, failure_rate, slow_rate, slow_after) = match *rule {
        Rule::Consecutive { failures } => return at_least_one("breaker.failures", failures),
        Rule::CountWindow {
            calls,
            min_calls,
            failure_rate,
            slow_rate,
            slow_after,
        } => {
            count("breaker.calls", calls)?;
            if min_calls > calls {
                let problem = format!("must not be more than `breaker.calls` ({calls})");
                return Err(PolicyError::invalid("breaker.min_calls", problem));
            }
            (min_calls, failure_rate, slow_rate, slow_after)
        }
        Rule::TimeWindow {
            window,
            min_calls,
            failure_rate,
            slow_rate,
            slow_after,
        } => {
            positive("breaker.window", window)?;
            (min_calls, failure_rate, slow_rate, slow_after)
        }
    };
    count("breaker.min_calls", min_calls)?;
    rate("breaker.failure_rate", failure_rate)?;
    rate("breaker.slow_rate", slow_rate)?;
    positive("breaker.slow_after", slow_after)
}

fn bulkhead(bulkhead: &BulkheadConfig) -> Checked {
    count("bulkhead.max_concurrent", bulkhead.max_concurrent)?;
    at_most("bulkhead.max_waiting", bulkhead.max_waiting)?;
    at_most_a_year("bulkhead.max_wait", bulkhead.max_wait)
}

pub(crate) fn at_least_one(path: &str, count: u32) -> Checked {
    if count == 0 {
        return Err(PolicyError::invalid(path, "must be at least 1"));
    }
    Ok(())
}

fn at_most(path: &str, count: u32) -> Checked {
    if count > MAX_COUNT {
        let problem = format!("must not be more than {MAX_COUNT}, is {count}");
        return Err(PolicyError::invalid(path, problem));
    }
    Ok(())
}

/// From 1 to a million.
pub(crate) fn count(path: &str, count: u32) -> Checked {
    at_least_one(path, count)?;
    at_most(path, count)
}

pub(crate) fn at_least(path: &str, value: f64, least: f64) -> Checked {
    if value >= least && value.is_finite() {
        return Ok(());
    }
    let problem = format!("must be at least {least}, is {value}");
    Err(PolicyError::invalid(path, problem))
}

/// A share: 0 to 1, both included.
pub(crate) fn share(path: &str, value: f64) -> Checked {
    if (0.0..=1.0).contains(&value) {
        return Ok(());
    }
    let problem = format!("must be 0 to 1, is {value}");
    Err(PolicyError::invalid(path, problem))
}

/// A threshold of a share: above 0, since a rate of 0 is always reached, and up to 1.
fn rate(path: &str, value: f64) -> Checked {
    if value > 0.0 && value <= 1.0 {
        return Ok(());
    }
    let problem = format!("must be above 0 and at most 1, is {value}");
    Err(PolicyError::invalid(path, problem))
}

fn above_zero(path: &str, value: f64) -> Checked {
    if value > 0.0 && value <= f64::from(MAX_COUNT) {
        return Ok(());
    }
    let problem = format!("must be above 0 and at most {MAX_COUNT}, is {value}");
    Err(PolicyError::invalid(path, problem))
}

fn count_or_share(path: &str, value: f64) -> Checked {
    if (0.0..=f64::from(MAX_COUNT)).contains(&value) {
        return Ok(());
    }
    let problem = format!("must be 0 to {MAX_COUNT}, is {value}");
    Err(PolicyError::invalid(path, problem))
}

pub(crate) fn positive(path: &str, duration: Duration) -> Checked {
    if duration.is_zero() {
        return Err(PolicyError::invalid(path, "must be longer than zero"));
    }
    at_most_a_year(path, duration)
}

pub(crate) fn at_most_a_year(path: &str, duration: Duration) -> Checked {
    if duration > MAX_DURATION {
        return Err(PolicyError::invalid(
            path,
            "must not be longer than 365 days",
        ));
    }
    Ok(())
}

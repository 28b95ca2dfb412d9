//! Model time and the runtime's time.
//!
//! tokio's timers tick in milliseconds and round up, far too coarse for waits of a few
//! milliseconds. So the runtime's clock runs [`FACTOR`] times as fast as the model's: a model
//! microsecond is one tick of the runtime. Every duration that crosses over is changed here and
//! nowhere else: [`up`] on the way into the runtime, [`down`] on the way out, and [`policy`] for
//! the durations (and rates) inside a policy, which reads the runtime's clock itself.

use std::time::Duration;

use resilience::breaker::{BreakerConfig, Rule};
use resilience::budget::BudgetConfig;
use resilience::bulkhead::BulkheadConfig;
use resilience::hedge::HedgeConfig;
use resilience::limit::LimitConfig;
use resilience::retry::RetryConfig;
use resilience::server::{CodelConfig, QueueConfig};
use resilience::throttle::ThrottleConfig;
use resilience::{Policy, ServerPolicy};

/// Runtime time for each unit of model time.
pub const FACTOR: u32 = 1_000;

/// The finest model time there is; shorter differences are lost.
pub const RESOLUTION: Duration = Duration::from_micros(1);

/// Model time as the runtime's. Saturates.
pub fn up(model: Duration) -> Duration {
    model.saturating_mul(FACTOR)
}

/// The runtime's time as the model's.
pub fn down(runtime: Duration) -> Duration {
    runtime / FACTOR
}

/// A policy whose durations are the runtime's, so that it acts in model time as it says.
///
/// Each structure is taken apart field by field, so that a field added to a policy can't be
/// forgotten here: the compiler asks for it.
#[must_use]
pub fn policy(policy: Policy) -> Policy {
    let Policy {
        preset,
        deadline,
        attempt_timeout,
        propagate_deadline,
        retry,
        budget,
        hedge,
        throttle,
        breaker,
        breaker_around,
        bulkhead,
    } = policy;
    Policy {
        preset,
        deadline: deadline.map(up),
        attempt_timeout: attempt_timeout.map(up),
        propagate_deadline,
        retry: retry.map(retry_config),
        budget: budget.map(budget_config),
        hedge: hedge.map(hedge_config),
        throttle: throttle.map(|ThrottleConfig { k, window }| ThrottleConfig {
            k,
            window: up(window),
        }),
        breaker: breaker.map(breaker_config),
        breaker_around,
        bulkhead: bulkhead.map(bulkhead_config),
    }
}

/// The same for a server's policy.
#[must_use]
pub fn server_policy(policy: ServerPolicy) -> ServerPolicy {
    let ServerPolicy {
        preset,
        limit,
        queue,
        shed,
    } = policy;
    ServerPolicy {
        preset,
        limit: limit.map(limit_config),
        queue: queue.map(queue_config),
        shed,
    }
}

fn retry_config(config: RetryConfig) -> RetryConfig {
    let RetryConfig {
        max_attempts,
        base,
        multiplier,
        cap,
        jitter,
        obey_pushback,
    } = config;
    RetryConfig {
        max_attempts,
        base: up(base),
        multiplier,
        cap: up(cap),
        jitter,
        obey_pushback,
    }
}

fn budget_config(config: BudgetConfig) -> BudgetConfig {
    match config {
        BudgetConfig::Ratio {
            ratio,
            ttl,
            min_per_second,
        } => BudgetConfig::Ratio {
            ratio,
            ttl: up(ttl),
            // A rate: a second of the runtime is a thousandth of the model's.
            min_per_second: min_per_second / f64::from(FACTOR),
        },
        timeless @ (BudgetConfig::Throttle { .. }
        | BudgetConfig::Bucket { .. }
        | BudgetConfig::Active { .. }) => timeless,
    }
}

fn hedge_config(config: HedgeConfig) -> HedgeConfig {
    match config {
        HedgeConfig::Fixed { delay } => HedgeConfig::Fixed { delay: up(delay) },
        HedgeConfig::Percentile {
            percentile,
            min_samples,
            floor,
        } => HedgeConfig::Percentile {
            percentile,
            min_samples,
            floor: up(floor),
        },
    }
}

fn breaker_config(config: BreakerConfig) -> BreakerConfig {
    let BreakerConfig {
        rule,
        reset,
        growth,
        max_reset,
        trials,
        successes,
        counts,
    } = config;
    BreakerConfig {
        rule: breaker_rule(rule),
        reset: up(reset),
        growth,
        max_reset: up(max_reset),
        trials,
        successes,
        counts,
    }
}

fn breaker_rule(rule: Rule) -> Rule {
    match rule {
        Rule::Consecutive { failures } => Rule::Consecutive { failures },
        Rule::CountWindow {
            calls,
            min_calls,
            failure_rate,
            slow_rate,
            slow_after,
        } => Rule::CountWindow {
            calls,
            min_calls,
            failure_rate,
            slow_rate,
            slow_after: up(slow_after),
        },
        Rule::TimeWindow {
            window,
            min_calls,
            failure_rate,
            slow_rate,
            slow_after,
        } => Rule::TimeWindow {
            window: up(window),
            min_calls,
            failure_rate,
            slow_rate,
            slow_after: up(slow_after),
        },
    }
}

fn bulkhead_config(config: BulkheadConfig) -> BulkheadConfig {
    let BulkheadConfig {
        max_concurrent,
        max_waiting,
        max_wait,
    } = config;
    BulkheadConfig {
        max_concurrent,
        max_waiting,
        max_wait: up(max_wait),
    }
}

fn limit_config(config: LimitConfig) -> LimitConfig {
    match config {
        LimitConfig::Fixed { max } => LimitConfig::Fixed { max },
        LimitConfig::Aimd {
            initial,
            min,
            max,
            backoff,
            slow_after,
            window,
        } => LimitConfig::Aimd {
            initial,
            min,
            max,
            backoff,
            slow_after: up(slow_after),
            window: up(window),
        },
        LimitConfig::Gradient2 {
            initial,
            min,
            max,
            tolerance,
            queue,
            smoothing,
            long_window,
            window,
        } => LimitConfig::Gradient2 {
            initial,
            min,
            max,
            tolerance,
            queue,
            smoothing,
            long_window,
            window: up(window),
        },
        LimitConfig::Vegas {
            initial,
            min,
            max,
            smoothing,
            window,
        } => LimitConfig::Vegas {
            initial,
            min,
            max,
            smoothing,
            window: up(window),
        },
    }
}

fn queue_config(config: QueueConfig) -> QueueConfig {
    let QueueConfig {
        max_waiting,
        max_wait,
        codel,
    } = config;
    let codel = codel.map(|CodelConfig { target, interval }| CodelConfig {
        target: up(target),
        interval: up(interval),
    });
    QueueConfig {
        max_waiting,
        max_wait: up(max_wait),
        codel,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_microsecond_is_one_tick() {
        assert_eq!(up(RESOLUTION), Duration::from_millis(1));
        assert_eq!(down(up(RESOLUTION)), RESOLUTION);
        assert_eq!(up(Duration::MAX), Duration::MAX);
    }

    #[test]
    fn a_policy_keeps_its_counts_and_stretches_its_times() {
        let scaled = policy(resilience::preset::fast());
        assert_eq!(scaled.deadline, Some(Duration::from_secs(1_000)));
        assert_eq!(scaled.attempt_timeout, Some(Duration::from_secs(250)));
        let retry = scaled.retry.unwrap();
        assert_eq!((retry.max_attempts, retry.multiplier), (3, 2.0));
        assert_eq!(
            (retry.base, retry.cap),
            (Duration::from_secs(50), Duration::from_secs(1_000))
        );
        let breaker = serde_json::to_value(scaled.breaker).unwrap();
        assert_eq!(breaker["failures"], 5);
        assert_eq!(breaker["reset"], "1h 23m 20s", "5 s, a thousand times");
    }
}

//! What a breaker is told: when to open, for how long, and what closes it again.

use std::time::Duration;

use serde::Serialize;

use super::FailureSet;

/// The largest count window. A window is allocated whole with its breaker, a byte for each call.
pub const MAX_WINDOW_CALLS: u32 = 1_000_000;

/// When to open, for how long, and what closes again.
///
/// It is written flat, the rule's fields beside the others:
///
/// ```
/// # use std::time::Duration;
/// # use resilience::breaker::BreakerConfig;
/// let written = serde_json::to_value(BreakerConfig::consecutive(5, Duration::from_secs(30)))?;
/// assert_eq!(written["kind"], "consecutive");
/// assert_eq!(written["reset"], "30s");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BreakerConfig {
    /// What opens it.
    #[serde(flatten)]
    pub rule: Rule,
    /// How long it stays open before a trial is let through.
    #[serde(serialize_with = "crate::policy::wire::duration")]
    pub reset: Duration,
    /// Each re-opening in a row multiplies the open time by this; 1 and less never grow it.
    pub growth: f64,
    /// The longest open time that growth leads to, at least `reset`.
    #[serde(serialize_with = "crate::policy::wire::duration")]
    pub max_reset: Duration,
    /// Trial calls at once while half-open, at least 1.
    pub trials: u32,
    /// Successful trials that close it, at least 1.
    pub successes: u32,
    /// The failures that speak against the dependency.
    pub counts: FailureSet,
}

/// What opens a breaker.
///
/// The two windows share their thresholds: shares of the calls in the window, 0 to 1, of which
/// reaching one is enough (resilience4j's rule), once the window holds `min_calls`. A threshold
/// above 1 is never reached; one of 0 is reached by the first failure (or slow call). A call is
/// slow when it took longer than `slow_after`, however it ended, so a slow failure counts as both.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Rule {
    /// A number of failures in a row; any success starts the count again.
    Consecutive {
        /// Failures in a row that open it, at least 1.
        failures: u32,
    },
    /// A share of the last calls.
    CountWindow {
        /// How many, 1 to [`MAX_WINDOW_CALLS`].
        calls: u32,
        /// Calls before the shares mean anything, 1 to `calls`.
        min_calls: u32,
        /// The share of failures that opens it.
        failure_rate: f64,
        /// The share of slow calls that opens it.
        slow_rate: f64,
        /// A call that takes longer is slow.
        #[serde(serialize_with = "crate::policy::wire::duration")]
        slow_after: Duration,
    },
    /// A share of the calls that ended within the last while.
    TimeWindow {
        /// How long a while. Calls are forgotten a twentieth of it at a time: each is remembered
        /// for 95 to 100 % of the window.
        #[serde(serialize_with = "crate::policy::wire::duration")]
        window: Duration,
        /// Calls before the shares mean anything, at least 1.
        min_calls: u32,
        /// The share of failures that opens it.
        failure_rate: f64,
        /// The share of slow calls that opens it.
        slow_rate: f64,
        /// A call that takes longer is slow.
        #[serde(serialize_with = "crate::policy::wire::duration")]
        slow_after: Duration,
    },
}

/// resilience4j's defaults for what the helpers below don't ask for.
mod resilience4j {
    use std::time::Duration;

    pub(super) const MIN_CALLS: u32 = 100;
    pub(super) const SLOW_RATE: f64 = 1.0;
    pub(super) const SLOW_AFTER: Duration = Duration::from_secs(60);
    pub(super) const HALF_OPEN: u32 = 10;
}

impl BreakerConfig {
    /// `failures` in a row open it for `reset`; one trial at a time, one success closes it.
    pub fn consecutive(failures: u32, reset: Duration) -> Self {
        Self::with_rule(Rule::Consecutive { failures }, reset, 1)
    }

    /// `failure_rate` of the last `calls` opens it for `reset`, once there were that many.
    ///
    /// The rest is like resilience4j's defaults: it also opens when every call is slower than
    /// 60 s, and it asks for ten trials, at once if they come at once. Those ten must *all*
    /// succeed here, where resilience4j asks the rule again of the ten; at a failure share p they
    /// do with (1 − p)¹⁰, so lower `successes` where a few failures are normal.
    pub fn count_window(calls: u32, failure_rate: f64, reset: Duration) -> Self {
        let rule = Rule::CountWindow {
            calls,
            min_calls: calls,
            failure_rate,
            slow_rate: resilience4j::SLOW_RATE,
            slow_after: resilience4j::SLOW_AFTER,
        };
        Self::with_rule(rule, reset, resilience4j::HALF_OPEN)
    }

    /// `failure_rate` of the calls within the last `window` opens it for `reset`, if they are at
    /// least 100. The rest is as in [`count_window`](Self::count_window).
    pub fn time_window(window: Duration, failure_rate: f64, reset: Duration) -> Self {
        let rule = Rule::TimeWindow {
            window,
            min_calls: resilience4j::MIN_CALLS,
            failure_rate,
            slow_rate: resilience4j::SLOW_RATE,
            slow_after: resilience4j::SLOW_AFTER,
        };
        Self::with_rule(rule, reset, resilience4j::HALF_OPEN)
    }

    fn with_rule(rule: Rule, reset: Duration, half_open: u32) -> Self {
        Self {
            rule,
            reset,
            growth: 1.0,
            max_reset: reset,
            trials: half_open,
            successes: half_open,
            counts: FailureSet::default(),
        }
    }

    /// The open time of the `reopened`-th re-opening in a row, 0 for the first opening.
    pub(super) fn open_time(&self, reopened: u32) -> Duration {
        let longest = self.max_reset.max(self.reset);
        if reopened == 0 || self.growth <= 1.0 || self.growth.is_nan() {
            return self.reset;
        }
        let times = self
            .growth
            .powi(i32::try_from(reopened).unwrap_or(i32::MAX));
        // Zero times infinity is no number either, and zero grows to zero; what is too long for a
        // duration is longer than the longest.
        let grown = match self.reset.as_secs_f64() * times {
            seconds if seconds.is_nan() => Ok(Duration::ZERO),
            seconds => Duration::try_from_secs_f64(seconds),
        };
        grown.map_or(longest, |grown| grown.min(longest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    fn growing(reset: Duration, growth: f64, max_reset: Duration) -> BreakerConfig {
        BreakerConfig {
            growth,
            max_reset,
            ..BreakerConfig::consecutive(1, reset)
        }
    }

    #[test]
    fn the_open_time_grows_up_to_its_limit() {
        let config = growing(S(2), 3.0, S(50));
        let times: Vec<_> = (0..5).map(|k| config.open_time(k)).collect();
        assert_eq!(times, [2, 6, 18, 50, 50].map(S));
        assert_eq!(config.open_time(u32::MAX), S(50));
    }

    #[test]
    fn senseless_growth_is_none() {
        for growth in [1.0, 0.5, 0.0, -3.0, f64::NAN, f64::NEG_INFINITY] {
            assert_eq!(growing(S(2), growth, S(50)).open_time(9), S(2), "{growth}");
        }
        let longest_too_short = growing(S(2), 4.0, S(1));
        assert_eq!(longest_too_short.open_time(3), S(2));
        assert_eq!(growing(S(2), f64::INFINITY, S(9)).open_time(1), S(9));
        let zero = growing(Duration::ZERO, f64::INFINITY, S(9));
        assert_eq!(zero.open_time(1), Duration::ZERO);
        let endless = growing(Duration::MAX, 2.0, Duration::MAX);
        assert_eq!(endless.open_time(1), Duration::MAX);
    }

    #[test]
    fn it_is_written_flat_with_every_field() {
        let written = serde_json::to_value(BreakerConfig::consecutive(5, S(30))).unwrap();
        let counts = [
            "not_processed",
            "unavailable",
            "timeout",
            "internal",
            "unknown",
            "data_loss",
        ];
        let expected = serde_json::json!({
            "kind": "consecutive", "failures": 5, "reset": "30s", "growth": 1.0,
            "max_reset": "30s", "trials": 1, "successes": 1, "counts": counts,
        });
        assert_eq!(written, expected);
        let written = serde_json::to_value(BreakerConfig::count_window(100, 0.5, S(60))).unwrap();
        let expected = serde_json::json!({
            "kind": "count_window", "calls": 100, "min_calls": 100, "failure_rate": 0.5,
            "slow_rate": 1.0, "slow_after": "1m", "reset": "1m", "growth": 1.0,
            "max_reset": "1m", "trials": 10, "successes": 10, "counts": counts,
        });
        assert_eq!(written, expected);
        let written = serde_json::to_value(BreakerConfig::time_window(S(10), 0.5, S(5))).unwrap();
        assert_eq!(written["kind"], "time_window");
        assert_eq!(
            (&written["window"], &written["min_calls"]),
            (&"10s".into(), &100.into())
        );
    }
}

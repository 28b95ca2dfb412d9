//! Server policies with a name, each with its source. Every field is listed in each, as with the
//! callers' ([`crate::preset`]); no name is in both lists.
//!
//! # Made to be compared
//!
//! They are arms of one experiment: all but `unlimited` have the same queue, so that between
//! `static`, `aimd`, `gradient2` and `vegas` only the limit differs, and between `static` and
//! `shed` only what keeps the queue short and orders it. A window is 100 ms (Netflix: 1 s), since
//! the lab's faults last seconds and a limit that moves once a second would hardly answer them;
//! the least limit is 4 (Netflix: 20), since the lab's servers are small.

use std::time::Duration;

use super::policy::{CodelConfig, QueueConfig, ServerPolicy, ShedConfig};
use crate::limit::LimitConfig;

const MS: fn(u64) -> Duration = Duration::from_millis;
const MS_100: Duration = Duration::from_millis(100);

const NAMES: &[&str] = &["unlimited", "static", "aimd", "gradient2", "vegas", "shed"];

/// One limit's worth of requests, for a tenth of a second: room for a burst, and less than people
/// notice.
const QUEUE: QueueConfig = QueueConfig {
    max_waiting: 64,
    max_wait: MS_100,
    codel: None,
};

/// The static limit: at 10 ms an answer, 64 at once are 6 400 answers a second, more than a
/// service of the lab can give on two cores; and 64 held up at a dependency for a second hold no
/// more memory than a server has to spare.
const FIXED: LimitConfig = LimitConfig::Fixed { max: 64 };

/// The names of all presets of servers.
pub fn names() -> &'static [&'static str] {
    NAMES
}

/// The preset of that name.
pub fn get(name: &str) -> Option<ServerPolicy> {
    match name {
        "unlimited" => Some(unlimited()),
        "static" => Some(fixed()),
        "aimd" => Some(aimd()),
        "gradient2" => Some(gradient2()),
        "vegas" => Some(vegas()),
        "shed" => Some(shed()),
        _ => None,
    }
}

/// `unlimited`: everything is let in at once.
///
/// Source: what a server does that was told nothing; the control arm.
pub fn unlimited() -> ServerPolicy {
    ServerPolicy {
        preset: "unlimited".to_owned(),
        limit: None,
        queue: None,
        shed: None,
    }
}

/// `static`: 64 at once, 64 more for 100 ms.
///
/// Source: made for the lab; Envoy's and nginx's limits are of this kind.
pub fn fixed() -> ServerPolicy {
    limited("static", FIXED)
}

/// `aimd`: from 20, between 4 and 200, × 0.9 on a failure or above 250 ms (the attempt time-out of
/// the callers' `fast`: a slower answer is thrown away).
///
/// Source: Chiu and Jain 1989; initial, greatest limit and 0.9 are those of Netflix's `AIMDLimit`.
pub fn aimd() -> ServerPolicy {
    limited(
        "aimd",
        LimitConfig::Aimd {
            initial: 20,
            min: 4,
            max: 200,
            backoff: 0.9,
            slow_after: MS(250),
            window: MS_100,
        },
    )
}

/// `gradient2`: from 20, between 4 and 200, tolerance 1.5, queue 4, smoothing 0.2, long window
/// 600.
///
/// Source: Netflix, concurrency-limits, `Gradient2Limit`; see above for the least limit and the
/// window.
pub fn gradient2() -> ServerPolicy {
    limited(
        "gradient2",
        LimitConfig::Gradient2 {
            initial: 20,
            min: 4,
            max: 200,
            tolerance: 1.5,
            queue: 4,
            smoothing: 0.2,
            long_window: 600,
            window: MS_100,
        },
    )
}

/// `vegas`: from 20, between 4 and 1 000, unsmoothed.
///
/// Source: Netflix, concurrency-limits, `VegasLimit`; Brakmo and Peterson 1994; see above for the
/// least limit and the window.
pub fn vegas() -> ServerPolicy {
    limited(
        "vegas",
        LimitConfig::Vegas {
            initial: 20,
            min: 4,
            max: 1_000,
            smoothing: 1.0,
            window: MS_100,
        },
    )
}

/// `shed`: `static`, and a queue that is cut to 5 ms while it stands, and a quarter and a half of
/// everything kept from the two sheddable levels.
///
/// Critical requests, which are those that name no level, may use all: a share kept for
/// critical-plus alone would lie idle for most of the time, and critical-plus comes first in the
/// queue and displaces others from it as it is.
///
/// Source: 5 ms after 100 ms: "Fail at Scale", ACM Queue 2015; the levels: "Site Reliability
/// Engineering", chapter 21, which gives no shares: these are the lab's.
pub fn shed() -> ServerPolicy {
    ServerPolicy {
        preset: "shed".to_owned(),
        limit: Some(FIXED),
        queue: Some(QueueConfig {
            codel: Some(CodelConfig {
                target: MS(5),
                interval: MS_100,
            }),
            ..QUEUE
        }),
        shed: Some(ShedConfig {
            critical_plus: 1.0,
            critical: 1.0,
            sheddable_plus: 0.75,
            sheddable: 0.5,
        }),
    }
}

fn limited(preset: &str, limit: LimitConfig) -> ServerPolicy {
    ServerPolicy {
        preset: preset.to_owned(),
        limit: Some(limit),
        queue: Some(QUEUE),
        shed: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preset as callers;

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
    fn no_name_is_a_callers_too() {
        assert!(names().iter().all(|name| callers::get(name).is_none()));
        assert!(callers::names().iter().all(|name| get(name).is_none()));
    }

    #[test]
    fn figures_are_the_sources() {
        let written = |name| serde_json::to_value(get(name).unwrap()).unwrap();
        assert_eq!(
            written("gradient2")["limit"],
            serde_json::json!({
                "kind": "gradient2", "initial": 20, "min": 4, "max": 200, "tolerance": 1.5,
                "queue": 4, "smoothing": 0.2, "long_window": 600, "window": "100ms",
            })
        );
        assert_eq!(
            written("shed"),
            serde_json::json!({
                "preset": "shed",
                "limit": {"kind": "static", "max": 64},
                "queue": {
                    "max_waiting": 64, "max_wait": "100ms",
                    "codel": {"target": "5ms", "interval": "100ms"},
                },
                "shed": {
                    "critical_plus": 1.0, "critical": 1.0,
                    "sheddable_plus": 0.75, "sheddable": 0.5,
                },
            })
        );
        assert_eq!(
            written("unlimited"),
            serde_json::json!({
                "preset": "unlimited", "limit": "off", "queue": "off", "shed": "off",
            })
        );
    }
}

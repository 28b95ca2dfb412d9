//! How much work at once is right for a server, found out by watching it.
//!
//! By Little's law a server that answers `r` requests a second in `t` seconds each has `r·t` of
//! them under way. Beyond the number it can really work on at once, more of them make nothing
//! faster: they wait inside, the time grows, and at last everybody's caller has left. A limit on
//! concurrent work keeps the server at the knee; what is beyond waits at the door or is refused,
//! which costs next to nothing. It is a limit on *concurrency*, not on rate: it needs no
//! knowledge of how long a request takes, so it holds when that changes.
//!
//! | limit | steers by | harms when |
//! |---|---|---|
//! | static | nothing: the number you measured | the server changes (another machine, a slower database): too low wastes it, too high protects nothing |
//! | AIMD | failures, and answers slower than a set time | that time is wrong; it always probes beyond the knee, in a saw-tooth |
//! | Gradient2 | the recent time against the long-run mean | overload outlasts the long window: the slow time becomes the normal one, and the limit drifts up to `max` |
//! | Vegas | the recent time against the best one seen | it began under load, or probes under load: it takes a loaded time for the unloaded one |
//!
//! All three adaptive ones take *one* time for the normal time. Against a server whose answers are
//! bimodal (cache hits and misses, reads and writes in one door) a change of the mix looks like
//! overload or hides it: give such kinds a door each. And a limit alone refuses blindly, health
//! checks with the rest: use it with priorities ([`crate::server`]).
//!
//! # Windows
//!
//! A single answer says little, and at a thousand a second a law that moves with each forgets
//! within a second what it learnt. So answers are gathered over a `window` of time, at least ten
//! of them, and a law moves once a window, by their mean time and the greatest number that was
//! under way (as Netflix's `WindowedLimit` does). A window of zero is each answer by itself.
//!
//! Two rules hold for all: a limit doesn't grow while less than half of it is used, since an idle
//! server says nothing about its limit; and answers refused for overload (by this server's own
//! dependencies) never make it grow.
//!
//! The laws are plain machines: time comes in as an argument, and nothing here locks or waits.
//!
//! Sources: Netflix, concurrency-limits, <https://github.com/Netflix/concurrency-limits> (the
//! algorithms' names and constants); D.-M. Chiu, R. Jain, "Analysis of the Increase and Decrease
//! Algorithms for Congestion Avoidance in Computer Networks", 1989 (AIMD); L. Brakmo, L. Peterson
//! et al., "TCP Vegas: New Techniques for Congestion Detection and Avoidance", SIGCOMM 1994.

mod aimd;
mod gradient2;
mod vegas;
mod window;

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use aimd::Aimd;
use gradient2::Gradient2;
use vegas::Vegas;
use window::Window;

/// The law of a limit and its constants.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum LimitConfig {
    /// Always the same.
    #[serde(rename = "static")]
    Fixed {
        /// Requests at once, at least 1.
        max: u32,
    },
    /// Additive increase, multiplicative decrease: one more for each good window, a share less for
    /// a bad one.
    Aimd {
        /// Where it begins.
        initial: u32,
        /// The least it may be, at least 1.
        min: u32,
        /// The most it may be.
        max: u32,
        /// What a bad window multiplies it with, below 1.
        backoff: f64,
        /// A window whose mean time is above this is a bad one.
        #[serde(serialize_with = "crate::policy::wire::duration")]
        slow_after: Duration,
        /// How long answers are gathered.
        #[serde(serialize_with = "crate::policy::wire::duration")]
        window: Duration,
    },
    /// Netflix's Gradient2: shrinks with the ratio of the long-run to the recent time.
    Gradient2 {
        /// Where it begins.
        initial: u32,
        /// The least it may be, at least 1.
        min: u32,
        /// The most it may be.
        max: u32,
        /// How many times the long-run time the recent one may be before the limit shrinks, at
        /// least 1.
        tolerance: f64,
        /// The queue it allows itself: what each window adds before smoothing.
        queue: u32,
        /// The weight of a new limit against the old one, above 0 to 1.
        smoothing: f64,
        /// Over how many windows the long-run time is averaged, exponentially.
        long_window: u32,
        /// How long answers are gathered.
        #[serde(serialize_with = "crate::policy::wire::duration")]
        window: Duration,
    },
    /// Vegas: estimates the queue inside the server from the best time seen, and keeps it between
    /// 3 and 6 times the limit's logarithm.
    Vegas {
        /// Where it begins.
        initial: u32,
        /// The least it may be, at least 1.
        min: u32,
        /// The most it may be.
        max: u32,
        /// The weight of a new limit against the old one, above 0 to 1.
        smoothing: f64,
        /// How long answers are gathered.
        #[serde(serialize_with = "crate::policy::wire::duration")]
        window: Duration,
    },
}

/// What one ended request, or a window of them, tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// How long it was under way, waiting at the door not included.
    pub rtt: Duration,
    /// How many were under way when it ended, itself included.
    pub inflight: u32,
    /// Whether overload ended it: refused further in, or cut short by its deadline.
    pub dropped: bool,
}

/// A limit at work. Not shared: whoever owns it locks.
#[derive(Clone, Debug)]
pub struct Limiter {
    window: Window,
    law: Law,
}

#[derive(Clone, Debug)]
enum Law {
    Fixed(u32),
    Aimd(Aimd),
    Gradient2(Gradient2),
    Vegas(Vegas),
}

impl Limiter {
    /// A limit where `config` lets it begin. What makes no sense is taken as the nearest that does:
    /// a limit is at least 1, `max` at least `min`, shares are within their bounds.
    pub fn new(config: &LimitConfig) -> Self {
        let (law, window) = law(*config);
        Self {
            window: Window::new(window),
            law,
        }
    }

    /// How many requests may be under way at once, at least 1.
    pub fn limit(&self) -> u32 {
        match &self.law {
            Law::Fixed(max) => *max,
            Law::Aimd(law) => whole(law.limit()),
            Law::Gradient2(law) => whole(law.limit()),
            Law::Vegas(law) => whole(law.limit()),
        }
    }

    /// A request ended at `now`. Moves the limit when that closes a window.
    pub fn sample(&mut self, sample: Sample, now: Instant) {
        if matches!(self.law, Law::Fixed(_)) {
            return;
        }
        let Some(window) = self.window.add(sample, now) else {
            return;
        };
        match &mut self.law {
            Law::Fixed(_) => {}
            Law::Aimd(law) => law.step(window),
            Law::Gradient2(law) => law.step(window),
            Law::Vegas(law) => law.step(window),
        }
    }
}

/// The law of a config, and its window.
fn law(config: LimitConfig) -> (Law, Duration) {
    match config {
        LimitConfig::Fixed { max } => (Law::Fixed(max.max(1)), Duration::ZERO),
        LimitConfig::Aimd {
            initial,
            min,
            max,
            backoff,
            slow_after,
            window,
        } => {
            let aimd = Aimd::new(initial, Bounds::new(min, max), backoff, slow_after);
            (Law::Aimd(aimd), window)
        }
        LimitConfig::Gradient2 {
            initial,
            min,
            max,
            tolerance,
            queue,
            smoothing,
            long_window,
            window,
        } => {
            let constants = gradient2::Constants {
                tolerance,
                queue,
                smoothing,
                long_window,
            };
            let gradient2 = Gradient2::new(initial, Bounds::new(min, max), constants);
            (Law::Gradient2(gradient2), window)
        }
        LimitConfig::Vegas {
            initial,
            min,
            max,
            smoothing,
            window,
        } => {
            let vegas = Vegas::new(initial, Bounds::new(min, max), smoothing);
            (Law::Vegas(vegas), window)
        }
    }
}

/// Between what a limit may move.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    min: f64,
    max: f64,
}

impl Bounds {
    fn new(min: u32, max: u32) -> Self {
        let min = min.max(1);
        Self {
            min: f64::from(min),
            max: f64::from(max.max(min)),
        }
    }

    fn clamp(self, limit: f64) -> f64 {
        limit.clamp(self.min, self.max)
    }
}

/// Whether less than half of `limit` is used.
fn idle(inflight: u32, limit: f64) -> bool {
    f64::from(inflight) < limit / 2.0
}

/// `value` within its bounds; what is no number is taken as `otherwise`.
fn sane(value: f64, min: f64, max: f64, otherwise: f64) -> f64 {
    if value.is_nan() {
        otherwise
    } else {
        value.clamp(min, max)
    }
}

/// The whole requests in a limit. It lies within bounds that were whole and at least 1.
fn whole(limit: f64) -> u32 {
    limit as u32
}

#[cfg(test)]
mod tests;

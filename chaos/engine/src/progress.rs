//! What a run tells while it is made.

use crate::latency::Latency;
use crate::runlog::{BreakerState, Frame, Outcomes, Phase};

/// Where a trial is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Faults cleared, breakers fresh, policies set.
    Settling,
    /// Customers and products are made.
    Preparing,
    /// Load that is not counted.
    WarmUp,
    /// Load that is.
    Load,
    /// The last answers and events come in.
    Draining,
    /// Orders and stock are counted.
    Counting,
}

impl Stage {
    /// For people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Settling => "settling",
            Self::Preparing => "making customers and products",
            Self::WarmUp => "warming up",
            Self::Load => "under load",
            Self::Draining => "waiting for the last answers",
            Self::Counting => "counting orders and stock",
        }
    }
}

/// One piece of news.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// The run begins.
    Started {
        /// The scenario.
        scenario: String,
        /// The seed, to run the same again.
        seed: u64,
        /// The arms.
        arms: Vec<String>,
        /// How often each is run.
        repeats: u32,
        /// How many seconds of load a trial has, warm-up included.
        trial_s: u64,
    },
    /// A trial begins.
    Trial {
        /// The arm.
        arm: String,
        /// The repeat, from 1.
        repeat: u32,
        /// How many trials count so far; void tries don't move it.
        done: u32,
        /// How many there are in all.
        of: u32,
        /// Which try at this repeat, from 1.
        go: u32,
    },
    /// A trial has come to a stage.
    Stage(Stage),
    /// A phase begins.
    Phase {
        /// Which.
        phase: Phase,
        /// When, in seconds from the start of load.
        at_s: f64,
    },
    /// One second of load.
    Second {
        /// The second, from the start of load; negative in the warm-up.
        second: i64,
        /// Requests that ended in it.
        requests: u64,
        /// Share of them that was not answered well; `None` without requests.
        error_share: Option<f64>,
        /// Their 99th percentile in milliseconds (of however many there are).
        p99_ms: Option<f64>,
        /// Breakers that are not closed.
        breakers: Vec<(String, BreakerState)>,
    },
    /// A trial does not count.
    Void {
        /// Why.
        why: String,
        /// Whether it is tried again.
        again: bool,
    },
    /// A trial has ended and counts.
    Counted,
}

impl Update {
    /// What a frame tells.
    pub(crate) fn second(frame: &Frame) -> Self {
        let mut outcomes = Outcomes::default();
        frame.cells.iter().for_each(|c| outcomes.add(c.outcomes));
        let latencies: Vec<Latency> = frame
            .cells
            .iter()
            .filter_map(|c| Latency::from_base64(&c.hdr))
            .collect();
        let (requests, served) = (outcomes.total(), outcomes.success());
        let not_closed = frame
            .breakers
            .iter()
            .filter(|(_, s)| **s != BreakerState::Closed);
        Self::Second {
            second: frame.second,
            requests,
            error_share: (requests > 0).then(|| 1.0 - served as f64 / requests as f64),
            p99_ms: Latency::sum(&latencies).quantile(0.99).map(|s| s * 1e3),
            breakers: not_closed
                .map(|(link, state)| (link.clone(), *state))
                .collect(),
        }
    }
}

/// Takes the news of a run.
pub trait Progress: Send + Sync {
    /// Something has happened. Must return quickly.
    fn on(&self, update: &Update);
}

/// Nobody watches.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn on(&self, _update: &Update) {}
}

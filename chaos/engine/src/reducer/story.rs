//! What the reducer is told and what it remembers of it.

use loadtest::{Op, Outcome};

use crate::runlog::Phase;

/// What a trial is to the reducer.
#[derive(Clone, Debug)]
pub struct TrialSpec {
    /// Its number.
    pub trial: u32,
    /// Second 0, `CLOCK_MONOTONIC` nanoseconds.
    pub t0_ns: u64,
    /// Load before that.
    pub warm_up_ns: u64,
    /// How long `recovering` lasts: the arm's reset + 2 s.
    pub recovering_ns: u64,
    /// The faults that will be injected: name and link.
    pub faults: Vec<(String, String)>,
    /// The conditions in force: name and link.
    pub conditions: Vec<(String, String)>,
    /// The windows of the scenario: name, begin and end in microseconds from second 0.
    pub marks: Vec<(String, i64, i64)>,
}

impl TrialSpec {
    /// Microseconds from second 0.
    #[must_use]
    pub fn t_us(&self, ns: u64) -> i64 {
        let (late, early) = (ns.saturating_sub(self.t0_ns), self.t0_ns.saturating_sub(ns));
        i64::try_from(late / 1_000).unwrap_or(i64::MAX) - i64::try_from(early / 1_000).unwrap_or(0)
    }

    pub(super) fn second(&self, ns: u64) -> i64 {
        self.t_us(ns).div_euclid(1_000_000)
    }
}

/// An ended attempt.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub(super) link: String,
    pub(super) number: u32,
    pub(super) started_ns: u64,
    pub(super) ended_ns: u64,
    pub(super) failed: bool,
}

/// An ended call.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) link: String,
    pub(super) outcome: String,
    pub(super) tried: bool,
    pub(super) started_ns: u64,
    pub(super) ended_ns: u64,
}

impl Call {
    /// Whether the attempt was made for this call.
    pub(super) fn made(&self, attempt: &Attempt) -> bool {
        self.link == attempt.link
            && self.started_ns <= attempt.started_ns
            && attempt.ended_ns <= self.ended_ns
    }
}

/// What is known of one request.
#[derive(Clone, Debug, Default)]
pub(super) struct Story {
    pub(super) attempts: Vec<Attempt>,
    pub(super) calls: Vec<Call>,
    pub(super) refused: Vec<String>,
    pub(super) refused_first: bool,
}

/// A request that has ended.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    pub(super) request_id: String,
    pub(super) op: Op,
    pub(super) scheduled_ns: u64,
    pub(super) ended_ns: u64,
    pub(super) outcome: Outcome,
}

/// Where a request was counted.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) second: i64,
    pub(super) phase: Phase,
    pub(super) faults: Vec<String>,
}

/// What can make a trial void.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Requests due in the two seconds before second 0.
    pub steady: u64,
    /// Those of them that were not answered well.
    pub unsteady: u64,
    /// Requests that met a rate limit (429).
    pub rate_limited: u64,
    /// Whether events were lost.
    pub gap: bool,
    /// Requests that have ended.
    pub ended: u64,
}

//! One second of a trial.

use std::collections::BTreeMap;

use loadtest::Op;
use serde::{Deserialize, Serialize};

use super::{BreakerState, Phase};

/// What ended in one second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Frame {
    /// The trial.
    pub trial: u32,
    /// The second, from the start of load; negative in the warm-up.
    pub second: i64,
    /// Requests, by phase and operation.
    pub cells: Vec<Cell>,
    /// Calls and attempts of those requests, by link and phase.
    pub links: Vec<LinkCell>,
    /// Breaker states at the second's end.
    pub breakers: BTreeMap<String, BreakerState>,
    /// Requests of the load as they came and went.
    #[serde(default, skip_serializing_if = "Flow::is_empty")]
    pub flow: Flow,
    /// Attempts that began, by link.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub begun: BTreeMap<String, Tenths>,
    /// On how many requests each fault of the services acted.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub acted: BTreeMap<String, u64>,
}

/// Counts in each tenth of a second, for peaks.
pub type Tenths = [u32; 10];

/// Requests that began and ended in each tenth of a second: what had begun by then less
/// what had ended is what was under way. Counts, so that what comes late adds up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// Sent.
    pub begun: Tenths,
    /// Answered, or given up.
    pub ended: Tenths,
}

impl Flow {
    /// Whether nothing came or went.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Waits before the attempts of one number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waits {
    /// The number of the attempt that came after.
    pub attempt: u32,
    /// How many.
    pub n: u64,
    /// All of them together.
    pub sum_us: u64,
    /// The longest.
    pub max_us: u64,
    /// Their lengths, as a histogram.
    pub hdr: String,
}

/// Requests of one kind in one second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Their phase.
    pub phase: Phase,
    /// The faults they overlap.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
    /// What they did.
    pub op: Op,
    /// Whether their call on a faulted link was refused at its first attempt.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub refused: bool,
    /// The stream of the load that they are of.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stream: String,
    /// The priority that they were sent with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<String>,
    /// Those without success that were told when to come back.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retry_after: u64,
    /// Outcomes.
    #[serde(flatten)]
    pub outcomes: Outcomes,
    /// Their latencies, load to answer.
    pub hdr: String,
}

/// How requests or calls ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcomes {
    /// Answered.
    pub ok: u64,
    /// Answered by a fallback.
    pub degraded: u64,
    /// Refused.
    pub rejected: u64,
    /// The rest.
    pub failed: u64,
}

impl Outcomes {
    /// How many in all.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.ok + self.degraded + self.rejected + self.failed
    }

    /// ok + degraded.
    #[must_use]
    pub const fn success(&self) -> u64 {
        self.ok + self.degraded
    }

    /// Adds others.
    pub const fn add(&mut self, other: Self) {
        self.ok += other.ok;
        self.degraded += other.degraded;
        self.rejected += other.rejected;
        self.failed += other.failed;
    }
}

/// Calls over one link by the requests that ended in one second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinkCell {
    /// The link.
    pub link: String,
    /// The phase of the requests.
    pub phase: Phase,
    /// The faults the requests overlap.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
    /// Counts.
    #[serde(flatten)]
    pub counts: LinkCounts,
    /// Outcomes of the calls.
    #[serde(flatten)]
    pub outcomes: Outcomes,
    /// Durations of the calls, all attempts and waits included.
    pub hdr: String,
    /// Waits, by the number of the attempt that came after; of the first retries only
    /// ([`WAITS_KEPT`]).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits: Vec<Waits>,
}

/// Waits before later attempts than this one are not kept apart: a customer who tries until
/// served would fill the log with them.
pub const WAITS_KEPT: u32 = 5;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// Calls and attempts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkCounts {
    /// Logical calls, those refused at once included.
    pub calls: u64,
    /// Calls that made at least one attempt.
    pub tried: u64,
    /// Attempts.
    pub attempts: u64,
    /// Attempts that failed.
    pub attempts_failed: u64,
    /// Attempts after a call's first.
    pub retries: u64,
    /// Attempts not made because a policy refused.
    pub refused: u64,
    /// Calls whose caller left.
    pub cancelled: u64,
    /// Second copies of slow attempts; they are among `retries`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub hedges: u64,
    /// Those that answered first.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub hedges_won: u64,
    /// Requests that a server turned away at its door (the link is the door).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub shed: u64,
    /// Work for nobody, where it was done.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub wasted_us: u64,
}

impl LinkCounts {
    /// Adds others.
    pub const fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.tried += other.tried;
        self.attempts += other.attempts;
        self.attempts_failed += other.attempts_failed;
        self.retries += other.retries;
        self.refused += other.refused;
        self.cancelled += other.cancelled;
        self.hedges += other.hedges;
        self.hedges_won += other.hedges_won;
        self.shed += other.shed;
        self.wasted_us += other.wasted_us;
    }
}

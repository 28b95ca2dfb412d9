//! The lines of a run log.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Frame, Judged};
use crate::diagnostics::Diagnostics;
use crate::scenario::Scenario;
use crate::scenario::map::Point;

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Entry {
    /// The first line.
    Run(Box<Header>),
    /// The links whose attempts somebody tells of, on a target where that isn't all.
    Tells {
        /// The links.
        links: Vec<String>,
    },
    /// A trial begins.
    Trial(TrialStart),
    /// A phase begins.
    Phase {
        /// The trial.
        trial: u32,
        /// When.
        t_us: i64,
        /// Which.
        phase: Phase,
    },
    /// A fault is being injected, from `t_us` until `done_us`.
    Inject {
        /// The trial.
        trial: u32,
        /// When it was begun.
        t_us: i64,
        /// When the injector confirmed it.
        done_us: i64,
        /// The fault's name.
        fault: String,
        /// The link.
        link: String,
    },
    /// A fault is being cleared.
    Clear {
        /// The trial.
        trial: u32,
        /// When it was begun.
        t_us: i64,
        /// When the injector confirmed it.
        done_us: i64,
        /// The fault's name.
        fault: String,
        /// The link.
        link: String,
    },
    /// A breaker changed its state.
    Breaker {
        /// The trial.
        trial: u32,
        /// When.
        t_us: i64,
        /// The breaker's link.
        link: String,
        /// Before.
        from: BreakerState,
        /// After.
        to: BreakerState,
        /// Failed attempts in a row up to then, counted from the attempt events.
        failed_in_a_row: u64,
        /// Attempts on the link since the first injection of each fault that has begun.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        attempts_since: BTreeMap<String, u64>,
    },
    /// What went through a breaker between two transitions, at the end of the trial;
    /// nothing is written of the stretches in which it was closed.
    Stretch {
        /// The trial.
        trial: u32,
        /// The breaker's link.
        link: String,
        /// When the stretch began.
        t_us: i64,
        /// Its state.
        state: BreakerState,
        /// Attempts begun in it.
        attempts: u64,
    },
    /// A stretch of time that checks can name, told when the trial begins.
    Window {
        /// The trial.
        trial: u32,
        /// Its name.
        name: String,
        /// From when.
        from_us: i64,
        /// Until when, this moment not included.
        to_us: i64,
    },
    /// A condition that is in force throughout, told when the trial begins.
    Condition {
        /// The trial.
        trial: u32,
        /// Its name.
        name: String,
        /// Its link.
        link: String,
    },
    /// Events were lost: the trial is void.
    Gap {
        /// The trial.
        trial: u32,
        /// When it was noticed.
        t_us: i64,
        /// Whose events.
        service: String,
        /// What happened.
        why: String,
    },
    /// One second.
    Frame(Frame),
    /// What a fault was seen to do, at the end of the trial.
    Seen {
        /// The trial.
        trial: u32,
        /// The fault.
        fault: String,
        /// What the attempts on its link say.
        #[serde(flatten)]
        seen: Seen,
    },
    /// What an injector counted of a fault or condition, when it was cleared or the trial
    /// ended. Several of one fault (one a process, one an injection) add up.
    Acted {
        /// The trial.
        trial: u32,
        /// The fault or condition.
        fault: String,
        /// Who counted: `l7` (a service), `proxy` (a fault proxy) or `process` (the lab).
        by: String,
        /// What came under its eyes: requests that it was for; `None` where that isn't counted.
        matched: Option<u64>,
        /// What it acted on: requests, connections, processes.
        acted: u64,
    },
    /// What the generator and the parts used.
    Usage(Usage),
    /// What was counted after the trial.
    Facts {
        /// The trial.
        trial: u32,
        /// The counts.
        #[serde(flatten)]
        facts: Facts,
    },
    /// What the integrity checker says of the trial's history.
    Judged {
        /// The trial.
        trial: u32,
        /// What it says.
        #[serde(flatten)]
        judged: Box<Judged>,
    },
    /// The trial has ended.
    TrialEnd {
        /// The trial.
        trial: u32,
        /// Why it doesn't count, if it doesn't.
        void: Option<String>,
        /// The preconditions that it doesn't meet, if that is why.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        preconditions: Vec<String>,
    },
    /// The last line.
    End {
        /// Why the run ended early, if it did.
        stopped: Option<String>,
    },
}

/// What was run, where.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// The format's version.
    pub schema_version: u32,
    /// The scenario's name.
    pub scenario: String,
    /// The scenario file's name.
    pub file: String,
    /// The scenario file's text.
    pub source: String,
    /// The seed of the whole run.
    pub seed: u64,
    /// Whether `[quick]` was used.
    pub quick: bool,
    /// Whether `[negative_control]` was used.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub negative_control: bool,
    /// Seeded defects that the shop had, beside those of the negative control.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub defects: Vec<String>,
    /// The point of `[map]` that was run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point: Option<Point>,
    /// How often each arm is run.
    pub repeats: u32,
    /// The arms that are run, in order.
    pub arms: Vec<String>,
    /// Where.
    pub environment: Environment,
}

impl Header {
    /// The scenario that was run: the file's, what its negative control makes of it, or what it is
    /// at a point of its map.
    ///
    /// # Errors
    /// Its problems, when this version can't read it.
    pub fn scenario(&self) -> Result<Scenario, Diagnostics> {
        let scenario = Scenario::parse(&self.source, &self.file)?;
        let changed = match &self.point {
            Some(point) => scenario.at(point),
            None if self.negative_control => scenario.without_protection(),
            None => Some(scenario.with_defects(&self.defects)),
        };
        Ok(changed.unwrap_or(scenario))
    }
}

/// The machine and the target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// The engine's version.
    pub version: String,
    /// `embedded`, `real`, …: what the target is made of.
    pub kind: String,
    /// Operating system and architecture.
    pub os: String,
    /// Cores this process may use.
    pub cores: usize,
    /// Memory, in bytes; `None` where the system doesn't tell.
    pub memory_bytes: Option<u64>,
    /// RFC 3339, UTC.
    pub started_at: String,
}

/// A trial's beginning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialStart {
    /// Its number, from 0.
    pub trial: u32,
    /// The arm.
    pub arm: String,
    /// The repeat, from 1.
    pub repeat: u32,
    /// Which try at this repeat, from 1.
    pub go: u32,
    /// The seed of the repeat, the same for every arm.
    pub seed: u64,
    /// The breaker reset that decides how long `recovering` lasts.
    pub reset_us: i64,
    /// Policies as the services hold them, by slot.
    pub policies: BTreeMap<String, serde_json::Value>,
}

/// A part of a repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Before second 0; counts for nothing.
    WarmUp,
    /// Requests that ended before any fault was being injected.
    Before,
    /// Requests whose life overlaps the fault.
    During,
    /// Requests due from the clearing until reset + 2 s.
    Recovering,
    /// Requests due later than that.
    After,
}

impl Phase {
    /// The phases that are counted.
    pub const COUNTED: [Self; 4] = [Self::Before, Self::During, Self::Recovering, Self::After];

    /// Its name, as in `result.json`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WarmUp => "warm_up",
            Self::Before => "before",
            Self::During => "during",
            Self::Recovering => "recovering",
            Self::After => "after",
        }
    }
}

/// A breaker's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// Lets calls through.
    Closed,
    /// Refuses them.
    Open,
    /// Tries a few.
    HalfOpen,
}

/// What the attempts on a fault's link say about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Attempts inside the window.
    pub attempts: u64,
    /// Those that failed.
    pub failed: u64,
    /// Those that took longer than the 99th percentile before.
    pub slow: u64,
    /// Attempts before.
    pub attempts_before: u64,
    /// Those that failed before.
    pub failed_before: u64,
}

/// What a trial used of the machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// The trial.
    pub trial: u32,
    /// How long was measured.
    pub wall_us: u64,
    /// CPU time of the generator's process.
    pub generator_us: u64,
    /// CPU time of each part, where the system tells.
    pub parts_us: BTreeMap<String, u64>,
    /// Lateness of the generator at its 99th percentile.
    pub late_p99_us: u64,
    /// Requests that were due.
    pub planned: u64,
    /// Requests that were sent.
    pub sent: u64,
}

/// What was counted in the shop after a trial.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Orders acknowledged to the load.
    pub acknowledged: u64,
    /// Orders whose fate the load doesn't know.
    pub indeterminate: u64,
    /// Orders of the trial's customers in the shop.
    pub listed: u64,
    /// Acknowledged orders that the shop doesn't list.
    pub lost_orders: u64,
    /// Listed orders that no request explains.
    pub duplicate_orders: u64,
    /// Units by which stock and orders disagree, or more was sold than there was.
    pub oversold: u64,
    /// How often a rule of the integrity checker was broken; `None` when nobody wrote a history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub violations: Option<u64>,
}

//! What the reducer is told and what it remembers of it.

use std::collections::BTreeMap;

use loadtest::{Op, Outcome, Record};

use crate::runlog::Phase;

/// What a trial is to the reducer.
#[derive(Clone, Debug, Default)]
pub struct TrialSpec {
    /// Its number.
    pub trial: u32,
    /// Second 0, `CLOCK_MONOTONIC` nanoseconds.
    pub t0_ns: u64,
    /// Load before that.
    pub warm_up_ns: u64,
    /// How long `recovering` lasts: the arm's reset + 2 s.
    pub recovering_ns: u64,
    /// The faults that will be injected: name and link (or the part, for a process).
    pub faults: Vec<(String, String)>,
    /// How often each fault will be injected, if not once.
    pub injections: BTreeMap<String, u32>,
    /// What is in force throughout: name and link. No fault, so it makes no phase.
    pub conditions: Vec<(String, String)>,
    /// Stretches of time that checks can name: from and until, in microseconds from
    /// second 0.
    pub marks: Vec<(String, i64, i64)>,
    /// Whether every counted request is handed out, see [`Reducer::counted`](super::Reducer::counted).
    pub rows: bool,
}

impl TrialSpec {
    /// Microseconds from second 0.
    #[must_use]
    pub fn t_us(&self, ns: u64) -> i64 {
        super::t_us(self.t0_ns, ns)
    }

    pub(super) fn second(&self, ns: u64) -> i64 {
        self.t_us(ns).div_euclid(1_000_000)
    }

    /// The second and the tenth of it.
    pub(super) fn tenth(&self, ns: u64) -> (i64, usize) {
        let us = self.t_us(ns);
        let tenth = us.rem_euclid(1_000_000) / 100_000;
        (
            us.div_euclid(1_000_000),
            usize::try_from(tenth).unwrap_or(0),
        )
    }

    /// Whether any fault breaks this link.
    pub(super) fn faulted(&self, link: &str) -> bool {
        self.faults.iter().any(|(_, broken)| breaks(broken, link))
    }
}

/// Whether a fault on `broken` shows in the attempts over `link`. A fault on a part
/// (`user-service`) breaks every link to it.
pub(super) fn breaks(broken: &str, link: &str) -> bool {
    use crate::event::plain_link;
    let broken = plain_link(broken);
    if broken == link {
        return true;
    }
    let to = link.split_once('-').map(|(_, to)| to);
    broken
        .strip_suffix("-service")
        .is_some_and(|part| to == Some(part))
}

/// A request that has been counted: what `requests.csv.zst` says of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Counted {
    /// The request, as the load saw it.
    pub record: Record,
    /// When it was due, in microseconds from second 0.
    pub scheduled_us: i64,
    /// When it was sent.
    pub started_us: i64,
    /// When its answer had been read.
    pub ended_us: i64,
    /// Its phase.
    pub phase: Phase,
    /// The faults it overlaps and the windows it was due in.
    pub faults: Vec<String>,
    /// Whether its call on a faulted link was refused at its first attempt.
    pub refused: bool,
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
    /// Whether it was under way then, over this link.
    fn spans(&self, link: &str, from_ns: u64, to_ns: u64) -> bool {
        self.link == link && self.started_ns <= from_ns && to_ns <= self.ended_ns
    }
}

/// A decision of a policy on a request's way.
#[derive(Clone, Debug)]
pub(super) struct Deed {
    pub(super) link: String,
    pub(super) at_ns: u64,
    pub(super) what: Did,
}

/// What it decided.
#[derive(Clone, Copy, Debug)]
pub(super) enum Did {
    /// Wait so long before the attempt of that number.
    Wait(u32, u64),
    /// Refuse an attempt.
    Refuse,
    /// Send a second copy.
    Hedge,
    /// Take the second copy's answer.
    HedgeWon,
    /// Turn the request away at the door.
    Shed,
    /// Nothing: work of so many microseconds was for nobody.
    Waste(u64),
}

/// What is known of one request.
#[derive(Clone, Debug, Default)]
pub(super) struct Story {
    pub(super) attempts: Vec<Attempt>,
    pub(super) calls: Vec<Call>,
    pub(super) deeds: Vec<Deed>,
    pub(super) refused_first: bool,
}

impl Story {
    /// The life of the call that something belongs to, else the something's own.
    pub(super) fn life(&self, link: &str, from_ns: u64, to_ns: u64) -> (u64, u64) {
        let call = self.calls.iter().find(|c| c.spans(link, from_ns, to_ns));
        call.map_or((from_ns, to_ns), |c| (c.started_ns, c.ended_ns))
    }
}

/// A request that has ended and waits for its events.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    pub(super) request_id: String,
    pub(super) op: Op,
    pub(super) stream: String,
    pub(super) priority: Option<String>,
    pub(super) scheduled_ns: u64,
    pub(super) ended_ns: u64,
    pub(super) outcome: Outcome,
    pub(super) retry_after: bool,
    /// The whole of it, where rows are wanted.
    pub(super) record: Option<Box<Record>>,
}

impl Ended {
    pub(super) fn of(record: &Record, rows: bool) -> Self {
        Self {
            request_id: record.request_id.clone(),
            op: record.op,
            stream: record.stream.clone(),
            priority: record.priority.clone(),
            scheduled_ns: record.scheduled_ns,
            ended_ns: record.ended_ns,
            outcome: record.outcome,
            retry_after: record.retry_after,
            record: rows.then(|| Box::new(record.clone())),
        }
    }
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

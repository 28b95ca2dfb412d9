//! `decisions.jsonl`, sorted by trial and request.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use crate::decisions::{self, Decision, On, What};
use crate::error::EngineError;
use crate::runlog::BreakerState;

/// What was told of one trial. Times are microseconds from its second 0.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) arm: String,
    pub(super) repeat: u32,
    pub(super) duration_us: i64,
    pub(super) recovering_us: i64,
    /// Whether it ended, and not void.
    pub(super) counts: bool,
    pub(super) injected: Vec<Mark>,
    pub(super) cleared: Vec<Mark>,
    pub(super) conditions: Vec<String>,
    /// On what each fault acted: the lines of those in the services, the injector's own count
    /// of the others.
    pub(super) acted: BTreeMap<String, u64>,
    /// The faults whose injectors told a count.
    pub(super) told_acted: BTreeSet<String>,
    pub(super) moves: Vec<Move>,
    pub(super) requests: HashMap<String, Request>,
}

/// A fault's injection or clearing.
#[derive(Debug)]
pub(super) struct Mark {
    pub(super) fault: String,
    pub(super) link: String,
    pub(super) begun_us: i64,
    pub(super) done_us: i64,
}

/// A breaker's transition.
#[derive(Debug)]
pub(super) struct Move {
    pub(super) at_us: i64,
    pub(super) link: String,
    pub(super) to: BreakerState,
}

/// What was told of one request.
#[derive(Debug, Default)]
pub(super) struct Request {
    pub(super) attempts: Vec<Attempt>,
    pub(super) calls: Vec<Call>,
    pub(super) deeds: Vec<Deed>,
}

/// An attempt.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) link: String,
    pub(super) number: u32,
    pub(super) life: (i64, i64),
    pub(super) failed: bool,
}

/// A logical call.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) link: String,
    pub(super) life: (i64, i64),
}

/// A moment on a request's way.
#[derive(Debug)]
pub(super) struct Deed {
    pub(super) link: String,
    pub(super) at_us: i64,
    pub(super) what: Did,
}

/// What counts of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Did {
    Hedge,
    Shed,
    Waste(u64),
    /// Nothing but that the link was used.
    Else,
}

/// The trials of a file, in order.
pub(super) fn read(path: &Path) -> Result<BTreeMap<u32, Told>, EngineError> {
    let mut trials: BTreeMap<u32, Told> = BTreeMap::new();
    for decision in decisions::read(path)? {
        let decision = decision?;
        trials.entry(decision.trial).or_default().add(decision);
    }
    Ok(trials)
}

impl Told {
    fn add(&mut self, decision: Decision) {
        let at_us = decision.t_us.unwrap_or_default();
        match decision.what {
            What::Trial {
                arm,
                repeat,
                duration_us,
                recovering_us,
            } => {
                (self.arm, self.repeat) = (arm, repeat);
                (self.duration_us, self.recovering_us) = (duration_us, recovering_us);
            }
            What::TrialEnd { void } => self.counts = void.is_none(),
            What::Inject {
                fault,
                link,
                done_us,
            } => self.injected.push(mark(fault, link, (at_us, done_us))),
            What::Clear {
                fault,
                link,
                done_us,
            } => self.cleared.push(mark(fault, link, (at_us, done_us))),
            What::Condition { fault, .. } => self.conditions.push(fault),
            What::Fault { fault, .. } => *self.acted.entry(fault).or_default() += 1,
            What::Acted { fault, by, acted } => {
                let also = if by == "l7" { 0 } else { acted };
                *self.acted.entry(fault.clone()).or_default() += also;
                self.told_acted.insert(fault);
            }
            What::Breaker { link, to, .. } => self.moves.push(Move { at_us, link, to }),
            what => self.of_a_request(at_us, what),
        }
    }

    fn of_a_request(&mut self, at_us: i64, what: What) {
        match what {
            What::Attempt {
                call,
                attempt,
                started_us,
                ok,
                failure,
                cancelled,
                ..
            } => {
                // The caller's own faults don't speak against the dependency.
                let own = matches!(failure.as_deref(), Some("caller" | "cancelled"));
                self.request(&call).attempts.push(Attempt {
                    link: call.link,
                    number: attempt,
                    life: (started_us, at_us),
                    failed: !ok && !cancelled && !own,
                });
            }
            What::Call {
                call, started_us, ..
            } => self.request(&call).calls.push(Call {
                link: call.link,
                life: (started_us, at_us),
            }),
            What::Wasted { call, took_us } => self.deed(call, at_us, Did::Waste(took_us)),
            What::Hedge { call, .. } => self.deed(call, at_us, Did::Hedge),
            What::Shed { call, .. } => self.deed(call, at_us, Did::Shed),
            What::Wait { call, .. } | What::Refused { call, .. } | What::HedgeWon { call, .. } => {
                self.deed(call, at_us, Did::Else);
            }
            _ => {}
        }
    }

    fn request(&mut self, call: &On) -> &mut Request {
        self.requests.entry(call.request_id.clone()).or_default()
    }

    fn deed(&mut self, call: On, at_us: i64, what: Did) {
        let request = self.request(&call);
        let link = call.link;
        request.deeds.push(Deed { link, at_us, what });
    }
}

fn mark(fault: String, link: String, (begun_us, done_us): (i64, i64)) -> Mark {
    Mark {
        fault,
        link,
        begun_us,
        done_us,
    }
}

impl Request {
    /// The life of the call over `link` that something of this life belongs to, else its own.
    pub(super) fn life(&self, link: &str, (from, to): (i64, i64)) -> (i64, i64) {
        let spans = |c: &&Call| c.link == link && c.life.0 <= from && to <= c.life.1;
        let call = self.calls.iter().find(spans);
        call.map_or((from, to), |c| c.life)
    }
}

//! What a run measured, read back from its log: the trials with their seconds,
//! marks and facts, and the quantities that follow from them.

mod after;
mod cells;
mod peaks;
mod read;
mod spans;
mod tally;

use std::collections::BTreeMap;

pub use after::BreakerLife;
pub use cells::{CellData, LinkData};
pub use spans::Lengths;
pub use tally::{Tally, Waited};

use crate::checks::{Selector, Window};
use crate::runlog::{
    BreakerState, Entry, Facts, Flow, Header, Judged, Seen, Tenths, TrialStart, Usage,
};

/// A run.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// What was run.
    pub header: Header,
    /// The links whose attempts somebody tells of; `None` for all.
    pub tells: Option<Vec<String>>,
    /// Every trial, the void ones too, in order.
    pub trials: Vec<Trial>,
    /// Why it ended early, if it did.
    pub stopped: Option<String>,
    /// Whether the log has its last line.
    pub complete: bool,
}

/// One trial.
#[derive(Clone, Debug)]
pub struct Trial {
    /// Its beginning.
    pub start: TrialStart,
    /// Requests by second.
    pub cells: Vec<(i64, CellData)>,
    /// Calls and attempts by second.
    pub links: Vec<(i64, LinkData)>,
    /// Injections.
    pub injected: Vec<Mark>,
    /// Clearings.
    pub cleared: Vec<Mark>,
    /// Breaker transitions.
    pub moves: Vec<Move>,
    /// What went through breakers that were not closed.
    pub stretches: Vec<Stretch>,
    /// The stretches of time that have a name.
    pub windows: Vec<Named>,
    /// What was in force throughout: name and link.
    pub conditions: Vec<(String, String)>,
    /// What each fault was seen to do.
    pub seen: BTreeMap<String, Seen>,
    /// What injectors counted of each fault and condition.
    pub acted: BTreeMap<String, Acted>,
    /// Requests coming and going, by second.
    pub flow: BTreeMap<i64, Flow>,
    /// Attempts begun, by link and second.
    pub begun: BTreeMap<String, BTreeMap<i64, Tenths>>,
    /// Requests that the services' faults acted on, by fault and second.
    pub hits: BTreeMap<String, BTreeMap<i64, u64>>,
    /// What was used.
    pub usage: Option<Usage>,
    /// What was counted.
    pub facts: Option<Facts>,
    /// What the integrity checker says of its history.
    pub judged: Option<Judged>,
    /// Whether it came to its end.
    pub ended: bool,
    /// Why it doesn't count.
    pub void: Option<String>,
    /// The preconditions that it doesn't meet, if that is why.
    pub preconditions: Vec<String>,
}

/// A fault's injection or clearing.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// The fault.
    pub fault: String,
    /// Its link.
    pub link: String,
    /// When it was begun, in seconds.
    pub begin_s: f64,
    /// When it was confirmed, in seconds.
    pub done_s: f64,
}

/// A breaker's transition.
#[derive(Clone, Debug, PartialEq)]
pub struct Move {
    /// When, in seconds.
    pub t_s: f64,
    /// The breaker's link.
    pub link: String,
    /// The new state.
    pub to: BreakerState,
    /// Failed attempts in a row up to then.
    pub failed_in_a_row: u64,
    /// Attempts since the first injection of each fault that had begun.
    pub attempts_since: BTreeMap<String, u64>,
}

/// What went through a breaker from one transition to the next.
#[derive(Clone, Debug, PartialEq)]
pub struct Stretch {
    /// When it began, in seconds.
    pub t_s: f64,
    /// The breaker's link.
    pub link: String,
    /// Its state.
    pub state: BreakerState,
    /// Attempts begun in it.
    pub attempts: u64,
}

/// A stretch of time that has a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// From when, in seconds.
    pub from_s: f64,
    /// Until when.
    pub to_s: f64,
}

/// What injectors counted of one fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Acted {
    /// What came under their eyes, where that is counted.
    pub matched: Option<u64>,
    /// What they acted on.
    pub acted: u64,
    /// Whether the count misses nothing: a proxy can't count the connections that it
    /// refused.
    pub exact: bool,
}

/// What matches in any of these trials, together.
#[must_use]
pub fn pooled(trials: &[&Trial], window: &Window, selector: &Selector) -> Tally {
    let parts: Vec<Tally> = trials.iter().map(|t| t.tally(window, selector)).collect();
    Tally::sum(&parts)
}

impl Run {
    /// Reads a run from the lines of its log; `None` if the first is no header.
    #[must_use]
    pub fn from_entries(entries: &[Entry]) -> Option<Self> {
        let (Entry::Run(header), rest) = entries.split_first()? else {
            return None;
        };
        let mut run = Self {
            header: (**header).clone(),
            tells: None,
            trials: Vec::new(),
            stopped: None,
            complete: false,
        };
        for entry in rest {
            run.feed(entry);
        }
        Some(run)
    }

    fn feed(&mut self, entry: &Entry) {
        match entry {
            Entry::Trial(start) => self.trials.push(Trial::new(start.clone())),
            Entry::Tells { links } => self.tells = Some(links.clone()),
            Entry::End { stopped } => {
                self.complete = true;
                self.stopped.clone_from(stopped);
            }
            // Every other line belongs to the trial that is open.
            _ => {
                if let Some(trial) = self.trials.last_mut() {
                    trial.feed(entry);
                }
            }
        }
    }

    /// The trials that count for an arm, by repeat: of the tries at each, the first
    /// that isn't void.
    #[must_use]
    pub fn counted(&self, arm: &str) -> Vec<&Trial> {
        let counts = |t: &&Trial| t.start.arm == arm && t.ended && t.void.is_none();
        let mut found: Vec<&Trial> = self.trials.iter().filter(counts).collect();
        // Stable, so that tries stay in their order.
        found.sort_by_key(|t| t.start.repeat);
        found.dedup_by_key(|t| t.start.repeat);
        found
    }
}

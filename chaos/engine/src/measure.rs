//! What a run measured, read back from its log: the trials with their seconds,
//! marks and facts, and the quantities that follow from them.

mod after;
mod tally;

use std::collections::BTreeMap;

use loadtest::Op;

pub use after::BreakerLife;
pub use tally::Tally;

use crate::checks::{Selector, Window};
use crate::latency::Latency;
use crate::runlog::{
    BreakerState, Entry, Facts, Header, LinkCounts, Outcomes, Phase, Seen, TrialStart, Usage,
};

/// A run.
#[derive(Clone, Debug)]
pub struct Run {
    /// What was run.
    pub header: Header,
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
    /// What each fault was seen to do.
    pub seen: BTreeMap<String, Seen>,
    /// What was used.
    pub usage: Option<Usage>,
    /// What was counted.
    pub facts: Option<Facts>,
    /// Whether it came to its end.
    pub ended: bool,
    /// Why it doesn't count.
    pub void: Option<String>,
    /// The preconditions that it doesn't meet, if that is why.
    pub preconditions: Vec<String>,
}

/// Requests of one kind.
#[derive(Clone, Debug)]
pub struct CellData {
    phase: Phase,
    faults: Vec<String>,
    op: Op,
    refused: bool,
    outcomes: Outcomes,
    latency: Latency,
}

/// Calls over one link.
#[derive(Clone, Debug)]
pub struct LinkData {
    link: String,
    phase: Phase,
    faults: Vec<String>,
    counts: LinkCounts,
    outcomes: Outcomes,
    latency: Latency,
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

fn seconds(us: i64) -> f64 {
    us as f64 / 1e6
}

impl Trial {
    fn new(start: TrialStart) -> Self {
        Self {
            start,
            cells: Vec::new(),
            links: Vec::new(),
            injected: Vec::new(),
            cleared: Vec::new(),
            moves: Vec::new(),
            seen: BTreeMap::new(),
            usage: None,
            facts: None,
            ended: false,
            void: None,
            preconditions: Vec::new(),
        }
    }

    /// A trial from its own lines, the first of which begins it.
    pub(crate) fn from_entries(entries: &[Entry]) -> Option<Self> {
        let (Entry::Trial(start), rest) = entries.split_first()? else {
            return None;
        };
        let mut trial = Self::new(start.clone());
        rest.iter().for_each(|entry| trial.feed(entry));
        Some(trial)
    }

    fn feed(&mut self, entry: &Entry) {
        let mark = |t_us: i64, done_us: i64, fault: &String, link: &String| Mark {
            fault: fault.clone(),
            link: link.clone(),
            begin_s: seconds(t_us),
            done_s: seconds(done_us),
        };
        match entry {
            Entry::Frame(frame) => self.frame(frame),
            Entry::Inject {
                t_us,
                done_us,
                fault,
                link,
                ..
            } => {
                self.injected.push(mark(*t_us, *done_us, fault, link));
            }
            Entry::Clear {
                t_us,
                done_us,
                fault,
                link,
                ..
            } => {
                self.cleared.push(mark(*t_us, *done_us, fault, link));
            }
            Entry::Breaker {
                t_us,
                link,
                to,
                failed_in_a_row,
                ..
            } => self.moves.push(Move {
                t_s: seconds(*t_us),
                link: link.clone(),
                to: *to,
                failed_in_a_row: *failed_in_a_row,
            }),
            Entry::Seen { fault, seen, .. } => {
                self.seen.insert(fault.clone(), *seen);
            }
            Entry::Usage(usage) => self.usage = Some(usage.clone()),
            Entry::Facts { facts, .. } => self.facts = Some(*facts),
            Entry::TrialEnd {
                void,
                preconditions,
                ..
            } => {
                self.ended = true;
                self.void.clone_from(void);
                self.preconditions.clone_from(preconditions);
            }
            _ => {}
        }
    }

    fn frame(&mut self, frame: &crate::runlog::Frame) {
        for cell in frame.cells.iter().filter(|c| c.phase != Phase::WarmUp) {
            let data = CellData {
                phase: cell.phase,
                faults: cell.faults.clone(),
                op: cell.op,
                refused: cell.refused,
                outcomes: cell.outcomes,
                latency: Latency::from_base64(&cell.hdr).unwrap_or_default(),
            };
            self.cells.push((frame.second, data));
        }
        for cell in frame.links.iter().filter(|c| c.phase != Phase::WarmUp) {
            let data = LinkData {
                link: cell.link.clone(),
                phase: cell.phase,
                faults: cell.faults.clone(),
                counts: cell.counts,
                outcomes: cell.outcomes,
                latency: Latency::from_base64(&cell.hdr).unwrap_or_default(),
            };
            self.links.push((frame.second, data));
        }
    }

    /// The links that any call went over.
    #[must_use]
    pub fn links_seen(&self) -> Vec<String> {
        let mut names: Vec<String> = self.links.iter().map(|(_, l)| l.link.clone()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// What matches, by the second in which it ended.
    #[must_use]
    pub fn tallies(&self, window: &Window, selector: &Selector) -> BTreeMap<i64, Tally> {
        let mut by_second: BTreeMap<i64, Vec<Tally>> = BTreeMap::new();
        match selector {
            Selector::Link(link) => {
                for (second, l) in self.links.iter().filter(|(_, l)| l.link == *link) {
                    if inside(window, l.phase, &l.faults) {
                        by_second.entry(*second).or_default().push(l.tally());
                    }
                }
            }
            _ => {
                for (second, c) in self.cells.iter().filter(|(_, c)| c.matches(selector)) {
                    if inside(window, c.phase, &c.faults) {
                        by_second.entry(*second).or_default().push(c.tally());
                    }
                }
            }
        }
        by_second
            .into_iter()
            .map(|(s, parts)| (s, Tally::sum(parts.iter())))
            .collect()
    }

    /// What matches, in all.
    #[must_use]
    pub fn tally(&self, window: &Window, selector: &Selector) -> Tally {
        Tally::sum(self.tallies(window, selector).values())
    }

    /// When the first fault began.
    #[must_use]
    pub fn injected_at(&self) -> Option<f64> {
        self.injected
            .iter()
            .map(|m| m.begin_s)
            .min_by(f64::total_cmp)
    }

    /// When the last fault was confirmed cleared.
    #[must_use]
    pub fn cleared_at(&self) -> Option<f64> {
        self.cleared.iter().map(|m| m.done_s).max_by(f64::total_cmp)
    }

    /// How long a window is, in seconds.
    #[must_use]
    pub fn length(&self, window: &Window, duration_s: f64, recovering_s: f64) -> Option<f64> {
        let recovered = || Some((self.cleared_at()? + recovering_s).min(duration_s));
        Some(match window {
            Window::Whole => duration_s,
            Window::Before => self.injected_at().unwrap_or(duration_s),
            Window::During => self.cleared_at()? - self.injected_at()?,
            Window::DuringFault(name) => {
                let of = |marks: &[Mark]| marks.iter().find(|m| m.fault == *name).cloned();
                of(&self.cleared)?.done_s - of(&self.injected)?.begin_s
            }
            Window::Recovering => recovered()? - self.cleared_at()?,
            Window::After => duration_s - recovered()?,
        })
    }
}

fn inside(window: &Window, phase: Phase, faults: &[String]) -> bool {
    match window {
        Window::Whole => true,
        Window::Before => phase == Phase::Before,
        Window::During => phase == Phase::During,
        Window::DuringFault(name) => faults.contains(name),
        Window::Recovering => phase == Phase::Recovering,
        Window::After => phase == Phase::After,
    }
}

impl CellData {
    fn matches(&self, selector: &Selector) -> bool {
        match selector {
            Selector::Op(op) => self.op == *op,
            Selector::Refused => self.refused,
            Selector::All | Selector::Link(_) => true,
        }
    }

    fn tally(&self) -> Tally {
        Tally {
            outcomes: self.outcomes,
            counts: LinkCounts::default(),
            latency: self.latency.clone(),
        }
    }
}

impl LinkData {
    fn tally(&self) -> Tally {
        Tally {
            outcomes: self.outcomes,
            counts: self.counts,
            latency: self.latency.clone(),
        }
    }
}

//! The cells of a trial, and what is selected of them.

use std::collections::BTreeMap;

use loadtest::Op;

use super::{Tally, Trial, Waited};
use crate::checks::{Selector, Window};
use crate::latency::Latency;
use crate::runlog::{Cell, LinkCell, LinkCounts, Outcomes, Phase, Waits};

/// Requests of one kind.
#[derive(Clone, Debug)]
pub struct CellData {
    phase: Phase,
    faults: Vec<String>,
    op: Op,
    refused: bool,
    stream: String,
    priority: Option<String>,
    retry_after: u64,
    outcomes: Outcomes,
    latency: Latency,
}

/// Calls over one link.
#[derive(Clone, Debug)]
pub struct LinkData {
    pub(super) link: String,
    phase: Phase,
    faults: Vec<String>,
    counts: LinkCounts,
    outcomes: Outcomes,
    latency: Latency,
    waits: BTreeMap<u32, Waited>,
}

impl CellData {
    pub(super) fn of(cell: &Cell) -> Self {
        Self {
            phase: cell.phase,
            faults: cell.faults.clone(),
            op: cell.op,
            refused: cell.refused,
            stream: cell.stream.clone(),
            priority: cell.priority.clone(),
            retry_after: cell.retry_after,
            outcomes: cell.outcomes,
            latency: Latency::from_base64(&cell.hdr).unwrap_or_default(),
        }
    }

    fn matches(&self, selector: &Selector) -> bool {
        match selector {
            Selector::Op(op) => self.op == *op,
            Selector::Refused => self.refused,
            Selector::Stream(name) => self.stream == *name,
            Selector::Priority(name) => self.priority.as_deref() == Some(name),
            Selector::All | Selector::Fault(_) => true,
            Selector::Link(_) | Selector::AnyLink => false,
        }
    }

    fn tally(&self) -> Tally {
        Tally {
            outcomes: self.outcomes,
            retry_after: self.retry_after,
            latency: self.latency.clone(),
            ..Tally::default()
        }
    }
}

impl LinkData {
    pub(super) fn of(cell: &LinkCell) -> Self {
        let waited = |w: &Waits| {
            let waited = Waited {
                n: w.n,
                sum_us: w.sum_us,
                max_us: w.max_us,
            };
            (w.attempt, waited)
        };
        Self {
            link: cell.link.clone(),
            phase: cell.phase,
            faults: cell.faults.clone(),
            counts: cell.counts,
            outcomes: cell.outcomes,
            latency: Latency::from_base64(&cell.hdr).unwrap_or_default(),
            waits: cell.waits.iter().map(waited).collect(),
        }
    }

    fn matches(&self, selector: &Selector) -> bool {
        match selector {
            Selector::Link(link) => self.link == *link,
            Selector::AnyLink => true,
            _ => false,
        }
    }

    fn tally(&self) -> Tally {
        Tally {
            outcomes: self.outcomes,
            counts: self.counts,
            latency: self.latency.clone(),
            waits: self.waits.clone(),
            retry_after: 0,
        }
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

impl Trial {
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
        self.selected(selector, |_, phase, faults| inside(window, phase, faults))
    }

    /// What matches among what ended in these seconds, whatever its phase.
    pub(crate) fn ended_in(
        &self,
        seconds: &std::ops::Range<i64>,
        selector: &Selector,
    ) -> BTreeMap<i64, Tally> {
        self.selected(selector, |second, _, _| seconds.contains(&second))
    }

    fn selected(
        &self,
        selector: &Selector,
        wanted: impl Fn(i64, Phase, &[String]) -> bool,
    ) -> BTreeMap<i64, Tally> {
        let cells = self
            .cells
            .iter()
            .filter(|(s, c)| c.matches(selector) && wanted(*s, c.phase, &c.faults))
            .map(|(s, c)| (*s, c.tally()));
        let links = self
            .links
            .iter()
            .filter(|(s, l)| l.matches(selector) && wanted(*s, l.phase, &l.faults))
            .map(|(s, l)| (*s, l.tally()));
        let mut by_second: BTreeMap<i64, Vec<Tally>> = BTreeMap::new();
        for (second, tally) in cells.chain(links) {
            by_second.entry(second).or_default().push(tally);
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
}

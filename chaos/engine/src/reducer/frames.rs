//! Counts by second, until the second is over and becomes a frame.

use std::collections::BTreeMap;

use loadtest::Op;

use super::breakers::Breakers;
use super::{Attempt, Call, Counts, HOLD_NS, Place, TrialSpec};
use crate::latency::Recorder;
use crate::runlog::{Cell, Entry, Frame, LinkCell, LinkCounts, Outcomes, Phase};

/// How long after the hold of its last request a second is closed.
const SLACK_NS: u64 = 200_000_000;

const SECOND_NS: u64 = 1_000_000_000;

#[derive(Debug, Default)]
struct Second {
    cells: Counts<CellKey, (Outcomes, Recorder)>,
    links: Counts<LinkKey, (LinkCounts, Outcomes, Recorder)>,
}

type CellKey = (Phase, Vec<String>, Op, bool);
type LinkKey = (String, Phase, Vec<String>);

#[derive(Debug)]
pub(super) struct Frames {
    trial: u32,
    t0_ns: u64,
    seconds: BTreeMap<i64, Second>,
    next: i64,
}

impl Frames {
    pub(super) fn new(spec: &TrialSpec) -> Self {
        let begin = spec.t0_ns.saturating_sub(spec.warm_up_ns);
        let next = spec.second(begin);
        Self {
            trial: spec.trial,
            t0_ns: spec.t0_ns,
            seconds: BTreeMap::new(),
            next,
        }
    }

    pub(super) fn request(
        &mut self,
        place: &Place,
        op: Op,
        refused: bool,
        outcomes: Outcomes,
        latency_ns: u64,
    ) {
        let key = (place.phase, place.faults.clone(), op, refused);
        let second = self.seconds.entry(place.second).or_default();
        let (sum, latencies) = second.cells.entry(key).or_default();
        sum.add(outcomes);
        latencies.record_ns(latency_ns);
    }

    fn link(&mut self, place: &Place, link: &str) -> &mut (LinkCounts, Outcomes, Recorder) {
        let key = (link.to_owned(), place.phase, place.faults.clone());
        self.seconds
            .entry(place.second)
            .or_default()
            .links
            .entry(key)
            .or_default()
    }

    pub(super) fn attempt(&mut self, place: &Place, attempt: &Attempt) {
        let (counts, ..) = self.link(place, &attempt.link);
        counts.attempts += 1;
        counts.retries += u64::from(attempt.number > 1);
        counts.attempts_failed += u64::from(attempt.failed);
    }

    pub(super) fn refused(&mut self, place: &Place, link: &str) {
        self.link(place, link).0.refused += 1;
    }

    pub(super) fn call(&mut self, place: &Place, call: &Call) {
        let (counts, outcomes, took) = self.link(place, &call.link);
        counts.calls += 1;
        counts.tried += u64::from(call.tried);
        // A call whose caller left took no time that means anything.
        if call.outcome != "cancelled" {
            took.record_ns(call.ended_ns.saturating_sub(call.started_ns));
        }
        match call.outcome.as_str() {
            "ok" => outcomes.ok += 1,
            "degraded" => outcomes.degraded += 1,
            "rejected" => outcomes.rejected += 1,
            "cancelled" => counts.cancelled += 1,
            _ => outcomes.failed += 1,
        }
    }

    /// The seconds that are over, in order, empty ones included.
    pub(super) fn ready(&mut self, now_ns: u64, breakers: &Breakers) -> Vec<Entry> {
        let mut out = Vec::new();
        // What came late for a second that is out already.
        while let Some(entry) = self.seconds.first_entry().filter(|e| *e.key() < self.next) {
            let (second, counts) = entry.remove_entry();
            out.push(self.frame(second, counts, breakers));
        }
        while self.end_ns(self.next) + HOLD_NS + SLACK_NS <= now_ns {
            let counts = self.seconds.remove(&self.next).unwrap_or_default();
            out.push(self.frame(self.next, counts, breakers));
            self.next += 1;
        }
        out
    }

    /// Everything that is left.
    pub(super) fn rest(&mut self, breakers: &Breakers) -> Vec<Entry> {
        let seconds = std::mem::take(&mut self.seconds);
        seconds
            .into_iter()
            .map(|(s, counts)| self.frame(s, counts, breakers))
            .collect()
    }

    fn end_ns(&self, second: i64) -> u64 {
        let after = u64::try_from(second + 1).unwrap_or(0) * SECOND_NS;
        let before = u64::try_from(-(second + 1)).unwrap_or(0) * SECOND_NS;
        (self.t0_ns + after).saturating_sub(before)
    }

    fn frame(&self, second: i64, counts: Second, breakers: &Breakers) -> Entry {
        let cells = counts
            .cells
            .into_iter()
            .map(|((phase, faults, op, refused), (o, l))| Cell {
                phase,
                faults,
                op,
                refused,
                outcomes: o,
                hdr: l.to_base64(),
            });
        let links = counts
            .links
            .into_iter()
            .map(|((link, phase, faults), (c, o, l))| LinkCell {
                link,
                phase,
                faults,
                counts: c,
                outcomes: o,
                hdr: l.to_base64(),
            });
        Entry::Frame(Frame {
            trial: self.trial,
            second,
            cells: cells.collect(),
            links: links.collect(),
            breakers: breakers.at(self.end_ns(second)),
        })
    }
}

//! Counts by second, until the second is over and becomes a frame.

use std::collections::BTreeMap;

use loadtest::{Op, Record};

use super::breakers::Breakers;
use super::story::{Deed, Did, Ended};
use super::{Attempt, Call, HOLD_NS, Place, TrialSpec, outcome};
use crate::latency::Recorder;
use crate::runlog::{
    Cell, Entry, Flow, Frame, LinkCell, LinkCounts, Outcomes, Phase, Tenths, WAITS_KEPT, Waits,
};

/// How long after the hold of its last request a second is closed.
const SLACK_NS: u64 = 200_000_000;

const SECOND_NS: u64 = 1_000_000_000;

/// What ended in a second.
#[derive(Debug, Default)]
struct Second {
    cells: BTreeMap<CellKey, Requests>,
    links: BTreeMap<LinkKey, Calls>,
}

/// What came and went in a second. It may be known long after, of a request that hung.
#[derive(Debug, Default)]
struct Traffic {
    flow: Flow,
    begun: BTreeMap<String, Tenths>,
    acted: BTreeMap<String, u64>,
}

type CellKey = (Phase, Vec<String>, Op, bool, String, Option<String>);
type LinkKey = (String, Phase, Vec<String>);

#[derive(Debug, Default)]
struct Requests {
    outcomes: Outcomes,
    retry_after: u64,
    took: Recorder,
}

#[derive(Debug, Default)]
struct Calls {
    counts: LinkCounts,
    outcomes: Outcomes,
    took: Recorder,
    waits: BTreeMap<u32, Recorder>,
}

#[derive(Debug)]
pub(super) struct Frames {
    spec: TrialSpec,
    seconds: BTreeMap<i64, Second>,
    traffic: BTreeMap<i64, Traffic>,
    next: i64,
}

impl Frames {
    pub(super) fn new(spec: &TrialSpec) -> Self {
        let begin = spec.t0_ns.saturating_sub(spec.warm_up_ns);
        Self {
            seconds: BTreeMap::new(),
            traffic: BTreeMap::new(),
            next: spec.second(begin),
            spec: spec.clone(),
        }
    }

    /// A request came and went.
    pub(super) fn flow(&mut self, record: &Record) {
        let (second, tenth) = self.spec.tenth(record.started_ns);
        self.traffic.entry(second).or_default().flow.begun[tenth] += 1;
        let (second, tenth) = self.spec.tenth(record.ended_ns);
        self.traffic.entry(second).or_default().flow.ended[tenth] += 1;
    }

    /// An attempt began then.
    pub(super) fn begun(&mut self, link: &str, ns: u64) {
        let (second, tenth) = self.spec.tenth(ns);
        let begun = &mut self.traffic.entry(second).or_default().begun;
        match begun.get_mut(link) {
            Some(tenths) => tenths[tenth] += 1,
            None => begun.entry(link.to_owned()).or_default()[tenth] += 1,
        }
    }

    /// A fault acted on a request.
    pub(super) fn acted(&mut self, fault: &str, ns: u64) {
        let second = self.spec.second(ns);
        let acted = &mut self.traffic.entry(second).or_default().acted;
        *acted.entry(fault.to_owned()).or_default() += 1;
    }

    pub(super) fn request(&mut self, place: &Place, ended: &Ended, refused: bool) {
        let key = (
            place.phase,
            place.faults.clone(),
            ended.op,
            refused,
            ended.stream.clone(),
            ended.priority.clone(),
        );
        let second = self.seconds.entry(place.second).or_default();
        let cell = second.cells.entry(key).or_default();
        cell.outcomes.add(outcome(ended.outcome));
        let told = ended.retry_after && !ended.outcome.is_success();
        cell.retry_after += u64::from(told);
        cell.took
            .record_ns(ended.ended_ns.saturating_sub(ended.scheduled_ns));
    }

    fn link(&mut self, place: &Place, link: &str) -> &mut Calls {
        let key = (link.to_owned(), place.phase, place.faults.clone());
        let second = self.seconds.entry(place.second).or_default();
        second.links.entry(key).or_default()
    }

    pub(super) fn attempt(&mut self, place: &Place, attempt: &Attempt) {
        let counts = &mut self.link(place, &attempt.link).counts;
        counts.attempts += 1;
        counts.retries += u64::from(attempt.number > 1);
        counts.attempts_failed += u64::from(attempt.failed);
    }

    pub(super) fn deed(&mut self, place: &Place, deed: &Deed) {
        let calls = self.link(place, &deed.link);
        match deed.what {
            Did::Wait(attempt, us) => {
                if attempt <= WAITS_KEPT {
                    calls.waits.entry(attempt).or_default().record_us(us);
                }
            }
            Did::Refuse => calls.counts.refused += 1,
            Did::Hedge => calls.counts.hedges += 1,
            Did::HedgeWon => calls.counts.hedges_won += 1,
            Did::Shed => calls.counts.shed += 1,
            Did::Waste(us) => calls.counts.wasted_us += us,
        }
    }

    pub(super) fn call(&mut self, place: &Place, call: &Call) {
        let calls = self.link(place, &call.link);
        calls.counts.calls += 1;
        calls.counts.tried += u64::from(call.tried);
        // A call whose caller left took no time that means anything.
        if call.outcome != "cancelled" {
            let took_ns = call.ended_ns.saturating_sub(call.started_ns);
            calls.took.record_ns(took_ns);
        }
        match call.outcome.as_str() {
            "ok" => calls.outcomes.ok += 1,
            "degraded" => calls.outcomes.degraded += 1,
            "rejected" => calls.outcomes.rejected += 1,
            "cancelled" => calls.counts.cancelled += 1,
            _ => calls.outcomes.failed += 1,
        }
    }

    /// The seconds that are over, in order, empty ones included.
    pub(super) fn ready(&mut self, now_ns: u64, breakers: &Breakers) -> Vec<Entry> {
        let mut out = Vec::new();
        // What came late for a second that is out already.
        while let Some(entry) = self.seconds.first_entry().filter(|e| *e.key() < self.next) {
            let (second, counts) = entry.remove_entry();
            let traffic = self.traffic.remove(&second).unwrap_or_default();
            out.push(self.frame(second, counts, traffic, breakers));
        }
        let first = self.next;
        while self.end_ns(self.next) + HOLD_NS + SLACK_NS <= now_ns {
            let counts = self.seconds.remove(&self.next).unwrap_or_default();
            let traffic = self.traffic.remove(&self.next).unwrap_or_default();
            out.push(self.frame(self.next, counts, traffic, breakers));
            self.next += 1;
        }
        // The traffic of old seconds comes in drops while requests hang: once a second
        // is often enough.
        if self.next > first {
            out.extend(self.late_traffic(first, breakers));
        }
        out
    }

    fn late_traffic(&mut self, before: i64, breakers: &Breakers) -> Vec<Entry> {
        let kept = self.traffic.split_off(&before);
        let late = std::mem::replace(&mut self.traffic, kept);
        late.into_iter()
            .map(|(s, traffic)| self.frame(s, Second::default(), traffic, breakers))
            .collect()
    }

    /// Everything that is left.
    pub(super) fn rest(&mut self, breakers: &Breakers) -> Vec<Entry> {
        let mut seconds = std::mem::take(&mut self.seconds);
        let mut traffic = std::mem::take(&mut self.traffic);
        let mut all: Vec<i64> = seconds.keys().chain(traffic.keys()).copied().collect();
        all.sort_unstable();
        all.dedup();
        all.into_iter()
            .map(|s| {
                let counts = seconds.remove(&s).unwrap_or_default();
                let traffic = traffic.remove(&s).unwrap_or_default();
                self.frame(s, counts, traffic, breakers)
            })
            .collect()
    }

    fn end_ns(&self, second: i64) -> u64 {
        let after = u64::try_from(second + 1).unwrap_or(0) * SECOND_NS;
        let before = u64::try_from(-(second + 1)).unwrap_or(0) * SECOND_NS;
        (self.spec.t0_ns + after).saturating_sub(before)
    }

    fn frame(&self, second: i64, counts: Second, traffic: Traffic, b: &Breakers) -> Entry {
        Entry::Frame(Frame {
            trial: self.spec.trial,
            second,
            cells: counts.cells.into_iter().map(cell).collect(),
            links: counts.links.into_iter().map(link_cell).collect(),
            breakers: b.at(self.end_ns(second)),
            flow: traffic.flow,
            begun: traffic.begun,
            acted: traffic.acted,
        })
    }
}

fn cell(((phase, faults, op, refused, stream, priority), r): (CellKey, Requests)) -> Cell {
    Cell {
        phase,
        faults,
        op,
        refused,
        stream,
        priority,
        retry_after: r.retry_after,
        outcomes: r.outcomes,
        hdr: r.took.to_base64(),
    }
}

fn link_cell(((link, phase, faults), c): (LinkKey, Calls)) -> LinkCell {
    let waits = |(attempt, r): (u32, Recorder)| Waits {
        attempt,
        n: r.len(),
        sum_us: r.sum_us(),
        max_us: r.max_us(),
        hdr: r.to_base64(),
    };
    LinkCell {
        link,
        phase,
        faults,
        counts: c.counts,
        outcomes: c.outcomes,
        hdr: c.took.to_base64(),
        waits: c.waits.into_iter().map(waits).collect(),
    }
}

//! When each fault was on, and what phase follows from that.

use super::TrialSpec;
use crate::runlog::Phase;

#[derive(Debug)]
struct Window {
    fault: String,
    begin: Option<u64>,
    end: Option<u64>,
}

/// The windows of a trial's faults.
#[derive(Debug)]
pub(super) struct Windows {
    faults: Vec<Window>,
    t0_ns: u64,
    recovering_ns: u64,
}

impl Windows {
    pub(super) fn new(spec: &TrialSpec) -> Self {
        let window = |(fault, _): &(String, String)| Window {
            fault: fault.clone(),
            begin: None,
            end: None,
        };
        let faults = spec.faults.iter().map(window).collect();
        Self {
            faults,
            t0_ns: spec.t0_ns,
            recovering_ns: spec.recovering_ns,
        }
    }

    pub(super) fn begin(&mut self, fault: &str, ns: u64) {
        if let Some(w) = self.faults.iter_mut().find(|w| w.fault == fault) {
            w.begin = Some(ns);
        }
    }

    pub(super) fn end(&mut self, fault: &str, ns: u64) {
        if let Some(w) = self.faults.iter_mut().find(|w| w.fault == fault) {
            w.end = Some(ns);
        }
    }

    /// When the last fault was cleared, once all have been.
    pub(super) fn over(&self) -> Option<u64> {
        let ends: Option<Vec<u64>> = self.faults.iter().map(|w| w.end).collect();
        ends?.into_iter().max()
    }

    /// The phase of a request, and the faults that its life overlaps.
    pub(super) fn of(&self, scheduled_ns: u64, ended_ns: u64) -> (Phase, Vec<String>) {
        if scheduled_ns < self.t0_ns {
            return (Phase::WarmUp, Vec::new());
        }
        let overlaps = |w: &&Window| {
            w.begin.is_some_and(|b| ended_ns >= b) && w.end.is_none_or(|e| scheduled_ns <= e)
        };
        let faults = self
            .faults
            .iter()
            .filter(overlaps)
            .map(|w| w.fault.clone())
            .collect();
        let first = self.faults.iter().filter_map(|w| w.begin).min();
        let phase = match (first, self.over()) {
            (None, _) => Phase::Before,
            (Some(begin), _) if ended_ns < begin => Phase::Before,
            (_, None) => Phase::During,
            (_, Some(end)) if scheduled_ns <= end => Phase::During,
            (_, Some(end)) if scheduled_ns < end + self.recovering_ns => Phase::Recovering,
            _ => Phase::After,
        };
        (phase, faults)
    }
}

//! When each fault was on, and what phase follows from that.

use super::TrialSpec;
use crate::runlog::Phase;

/// A fault's injections, the last of which may be on still.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) fault: String,
    /// How many injections there will be.
    of: u32,
    on: Vec<(u64, Option<u64>)>,
}

impl Window {
    pub(super) fn new(spec: &TrialSpec, fault: &str) -> Self {
        Self {
            fault: fault.to_owned(),
            of: spec.injections.get(fault).copied().unwrap_or(1),
            on: Vec::new(),
        }
    }

    pub(super) fn begin(&mut self, ns: u64) {
        self.on.push((ns, None));
    }

    pub(super) fn end(&mut self, ns: u64) {
        if let Some(last) = self.on.last_mut() {
            last.1 = Some(ns);
        }
    }

    /// When it began for the first time.
    pub(super) fn first(&self) -> Option<u64> {
        self.on.first().map(|on| on.0)
    }

    /// When it was cleared for good.
    fn over(&self) -> Option<u64> {
        let all = self.on.len() >= self.of as usize;
        self.on.last().filter(|_| all)?.1
    }

    /// Whether it was on at any moment of a life.
    pub(super) fn overlaps(&self, from_ns: u64, to_ns: u64) -> bool {
        let on = |&(begin, end): &(u64, Option<u64>)| {
            to_ns >= begin && end.is_none_or(|end| from_ns <= end)
        };
        self.on.iter().any(on)
    }
}

/// The windows of a trial's faults, and the stretches that have a name.
#[derive(Debug)]
pub(super) struct Windows {
    faults: Vec<Window>,
    /// Name, from, until (not included).
    marks: Vec<(String, i64, i64)>,
    spec: TrialSpec,
}

impl Windows {
    pub(super) fn new(spec: &TrialSpec) -> Self {
        let window = |(fault, _): &(String, String)| Window::new(spec, fault);
        Self {
            faults: spec.faults.iter().map(window).collect(),
            marks: spec.marks.clone(),
            spec: spec.clone(),
        }
    }

    fn find(&mut self, fault: &str) -> Option<&mut Window> {
        self.faults.iter_mut().find(|w| w.fault == fault)
    }

    pub(super) fn begin(&mut self, fault: &str, ns: u64) {
        if let Some(w) = self.find(fault) {
            w.begin(ns);
        }
    }

    pub(super) fn end(&mut self, fault: &str, ns: u64) {
        if let Some(w) = self.find(fault) {
            w.end(ns);
        }
    }

    /// When the last fault was cleared, once all have been.
    pub(super) fn over(&self) -> Option<u64> {
        let ends: Option<Vec<u64>> = self.faults.iter().map(Window::over).collect();
        ends?.into_iter().max()
    }

    /// The faults that have begun, and when.
    pub(super) fn begun(&self) -> impl Iterator<Item = (&str, u64)> {
        self.faults
            .iter()
            .filter_map(|w| Some((w.fault.as_str(), w.first()?)))
    }

    /// The phase of a request, and the faults that its life overlaps and the named
    /// stretches that it was due in.
    pub(super) fn of(&self, scheduled_ns: u64, ended_ns: u64) -> (Phase, Vec<String>) {
        if scheduled_ns < self.spec.t0_ns {
            return (Phase::WarmUp, Vec::new());
        }
        let on = self
            .faults
            .iter()
            .filter(|w| w.overlaps(scheduled_ns, ended_ns))
            .map(|w| w.fault.clone());
        let due = self.spec.t_us(scheduled_ns);
        let marked = self
            .marks
            .iter()
            .filter(|(_, from, to)| (*from..*to).contains(&due))
            .map(|(name, ..)| name.clone());
        let names = on.chain(marked).collect();
        let first = self.faults.iter().filter_map(Window::first).min();
        let phase = match (first, self.over()) {
            (None, _) => Phase::Before,
            (Some(begin), _) if ended_ns < begin => Phase::Before,
            (_, None) => Phase::During,
            (_, Some(end)) if scheduled_ns <= end => Phase::During,
            (_, Some(end)) if scheduled_ns < end + self.spec.recovering_ns => Phase::Recovering,
            _ => Phase::After,
        };
        (phase, names)
    }
}

//! What the attempts on a fault's link say about whether it acted.

use std::collections::HashMap;

use super::story::breaks;
use super::window::Window;
use super::{Attempt, TrialSpec};
use crate::runlog::{Entry, Phase, Seen};

#[derive(Debug)]
struct Fault {
    link: String,
    window: Window,
    seen: Seen,
}

/// What is normal on a link.
#[derive(Debug, Default)]
struct Normal {
    took_us: Vec<i64>,
    failed: u64,
    p99_us: Option<i64>,
}

#[derive(Debug)]
pub(super) struct SeenBy {
    faults: Vec<Fault>,
    t0_ns: u64,
    normal: HashMap<String, Normal>,
}

impl SeenBy {
    pub(super) fn new(spec: &TrialSpec) -> Self {
        let fault = |(name, link): &(String, String)| Fault {
            link: link.clone(),
            window: Window::new(spec, name),
            seen: Seen::default(),
        };
        Self {
            faults: spec.faults.iter().map(fault).collect(),
            t0_ns: spec.t0_ns,
            normal: HashMap::new(),
        }
    }

    fn find(&mut self, fault: &str) -> Option<&mut Window> {
        let found = self.faults.iter_mut().find(|f| f.window.fault == fault);
        found.map(|f| &mut f.window)
    }

    pub(super) fn begins(&mut self, fault: &str, ns: u64) {
        if let Some(window) = self.find(fault) {
            window.begin(ns);
        }
    }

    pub(super) fn ends(&mut self, fault: &str, ns: u64) {
        if let Some(window) = self.find(fault) {
            window.end(ns);
        }
    }

    pub(super) fn attempt(&mut self, attempt: &Attempt, phase: Phase) {
        // In the microseconds that `decisions.jsonl` keeps, so that it comes to the same.
        let at = |ns| super::t_us(self.t0_ns, ns);
        let took_us = at(attempt.ended_ns) - at(attempt.started_ns);
        if phase == Phase::Before {
            let normal = self.normal.entry(attempt.link.clone()).or_default();
            normal.took_us.push(took_us);
            normal.failed += u64::from(attempt.failed);
            normal.p99_us = None;
        }
        let normal = &mut self.normal;
        let hit = |f: &&mut Fault| {
            breaks(&f.link, &attempt.link)
                && f.window.overlaps(attempt.started_ns, attempt.ended_ns)
        };
        for fault in self.faults.iter_mut().filter(hit) {
            fault.seen.attempts += 1;
            if attempt.failed {
                fault.seen.failed += 1;
            } else if normal
                .get_mut(&attempt.link)
                .is_some_and(|n| took_us > n.p99())
            {
                fault.seen.slow += 1;
            }
        }
    }

    pub(super) fn entries(&self, trial: u32) -> Vec<Entry> {
        let entry = |f: &Fault| {
            let mut seen = f.seen;
            for (_, n) in self.normal.iter().filter(|(l, _)| breaks(&f.link, l)) {
                seen.attempts_before += n.took_us.len() as u64;
                seen.failed_before += n.failed;
            }
            Entry::Seen {
                trial,
                fault: f.window.fault.clone(),
                seen,
            }
        };
        // A fault that never began has been seen by nobody.
        self.faults
            .iter()
            .filter(|f| f.window.first().is_some())
            .map(entry)
            .collect()
    }
}

impl Normal {
    /// The 99th percentile of the attempts before the fault.
    fn p99(&mut self) -> i64 {
        if self.took_us.is_empty() {
            return i64::MAX;
        }
        if let Some(known) = self.p99_us {
            return known;
        }
        let rank = (self.took_us.len() * 99).div_ceil(100) - 1;
        let p99 = *self.took_us.select_nth_unstable(rank).1;
        self.p99_us = Some(p99);
        p99
    }
}

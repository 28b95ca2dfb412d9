//! What the attempts on the faults' links say of whether they acted.

use std::collections::{BTreeMap, HashMap};

use super::told::{Attempt, Mark, Told};
use crate::event::plain_link;
use crate::runlog::Phase;

/// Attempts of each fault that failed, or took longer than 99 of 100 did before.
pub(super) struct Seen<'a> {
    told: &'a Told,
    pub(super) by_fault: BTreeMap<String, u64>,
    /// How long the attempts over each link took before the fault, in order.
    before: HashMap<String, Vec<i64>>,
}

impl<'a> Seen<'a> {
    pub(super) fn new(told: &'a Told) -> Self {
        let faults = told.injected.iter().map(|m| (m.fault.clone(), 0));
        Self {
            told,
            by_fault: faults.collect(),
            before: HashMap::new(),
        }
    }

    pub(super) fn attempt(&mut self, attempt: &Attempt, phase: Phase) {
        let took = attempt.life.1 - attempt.life.0;
        if phase == Phase::Before {
            let before = self.before.entry(attempt.link.clone()).or_default();
            before.insert(before.partition_point(|t| *t <= took), took);
        }
        let before = self.before.get(&attempt.link);
        let slow = || before.is_some_and(|all| took > all[(all.len() * 99).div_ceil(100) - 1]);
        if !attempt.failed && !slow() {
            return;
        }
        for (fault, n) in &mut self.by_fault {
            *n += u64::from(met(self.told, fault, attempt));
        }
    }
}

/// Whether the fault breaks the attempt's link and was on at any moment of its life.
fn met(told: &Told, fault: &str, attempt: &Attempt) -> bool {
    let of = |marks: &[Mark]| -> Vec<(i64, i64)> {
        let of_it = marks.iter().filter(|m| m.fault == fault);
        of_it.map(|m| (m.begun_us, m.done_us)).collect()
    };
    let (begun, ended) = (of(&told.injected), of(&told.cleared));
    let on = |(i, (begin, _)): (usize, &(i64, i64))| {
        let (from, to) = attempt.life;
        to >= *begin && ended.get(i).is_none_or(|(_, end)| from <= *end)
    };
    let link = told.injected.iter().find(|m| m.fault == fault);
    link.is_some_and(|m| breaks(&m.link, &attempt.link)) && begun.iter().enumerate().any(on)
}

/// A fault on a part (`user-service`) shows on every link to it.
fn breaks(broken: &str, link: &str) -> bool {
    let broken = plain_link(broken);
    let part = broken.strip_suffix("-service");
    broken == link
        || part.is_some_and(|part| link.split_once('-').is_some_and(|(_, to)| to == part))
}

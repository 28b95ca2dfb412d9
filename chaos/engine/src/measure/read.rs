//! A trial from its lines.

use super::{Acted, CellData, LinkData, Mark, Move, Named, Stretch, Trial};
use crate::runlog::{Entry, Frame, Phase, TrialStart};

fn seconds(us: i64) -> f64 {
    us as f64 / 1e6
}

fn mark(t_us: i64, done_us: i64, fault: &str, link: &str) -> Mark {
    Mark {
        fault: fault.to_owned(),
        link: link.to_owned(),
        begin_s: seconds(t_us),
        done_s: seconds(done_us),
    }
}

impl Trial {
    pub(super) fn new(start: TrialStart) -> Self {
        Self {
            start,
            cells: Vec::new(),
            links: Vec::new(),
            injected: Vec::new(),
            cleared: Vec::new(),
            moves: Vec::new(),
            stretches: Vec::new(),
            windows: Vec::new(),
            conditions: Vec::new(),
            seen: Default::default(),
            acted: Default::default(),
            flow: Default::default(),
            begun: Default::default(),
            hits: Default::default(),
            usage: None,
            facts: None,
            judged: None,
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

    pub(super) fn feed(&mut self, entry: &Entry) {
        match entry {
            Entry::Frame(frame) => self.frame(frame),
            Entry::Inject {
                t_us,
                done_us,
                fault,
                link,
                ..
            } => self.injected.push(mark(*t_us, *done_us, fault, link)),
            Entry::Clear {
                t_us,
                done_us,
                fault,
                link,
                ..
            } => self.cleared.push(mark(*t_us, *done_us, fault, link)),
            Entry::Breaker {
                t_us,
                link,
                to,
                failed_in_a_row,
                attempts_since,
                ..
            } => self.moves.push(Move {
                t_s: seconds(*t_us),
                link: link.clone(),
                to: *to,
                failed_in_a_row: *failed_in_a_row,
                attempts_since: attempts_since.clone(),
            }),
            _ => self.told(entry),
        }
    }

    fn told(&mut self, entry: &Entry) {
        match entry {
            Entry::Stretch {
                link,
                t_us,
                state,
                attempts,
                ..
            } => self.stretches.push(Stretch {
                t_s: seconds(*t_us),
                link: link.clone(),
                state: *state,
                attempts: *attempts,
            }),
            Entry::Window {
                name,
                from_us,
                to_us,
                ..
            } => self.windows.push(Named {
                name: name.clone(),
                from_s: seconds(*from_us),
                to_s: seconds(*to_us),
            }),
            Entry::Condition { name, link, .. } => {
                self.conditions.push((name.clone(), link.clone()));
            }
            Entry::Acted {
                fault,
                by,
                matched,
                acted,
                ..
            } => self
                .acted
                .entry(fault.clone())
                .or_default()
                .add(by, *matched, *acted),
            Entry::Seen { fault, seen, .. } => {
                self.seen.insert(fault.clone(), *seen);
            }
            Entry::Usage(usage) => self.usage = Some(usage.clone()),
            Entry::Facts { facts, .. } => self.facts = Some(*facts),
            Entry::Judged { judged, .. } => self.judged = Some((**judged).clone()),
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

    fn frame(&mut self, frame: &Frame) {
        for cell in frame.cells.iter().filter(|c| c.phase != Phase::WarmUp) {
            self.cells.push((frame.second, CellData::of(cell)));
        }
        for cell in frame.links.iter().filter(|c| c.phase != Phase::WarmUp) {
            self.links.push((frame.second, LinkData::of(cell)));
        }
        let flow = self.flow.entry(frame.second).or_default();
        add(&mut flow.begun, &frame.flow.begun);
        add(&mut flow.ended, &frame.flow.ended);
        for (link, tenths) in &frame.begun {
            let by_second = self.begun.entry(link.clone()).or_default();
            add(by_second.entry(frame.second).or_default(), tenths);
        }
        for (fault, n) in &frame.acted {
            let by_second = self.hits.entry(fault.clone()).or_default();
            *by_second.entry(frame.second).or_default() += n;
        }
    }
}

fn add(to: &mut [u32; 10], more: &[u32; 10]) {
    to.iter_mut().zip(more).for_each(|(a, b)| *a += b);
}

impl Acted {
    fn add(&mut self, by: &str, matched: Option<u64>, acted: u64) {
        self.acted += acted;
        if let Some(n) = matched {
            *self.matched.get_or_insert(0) += n;
        }
        self.exact |= by != "proxy";
    }
}

//! Breaker states; failures in a row, and attempts let through, counted from the attempts
//! themselves, so that a breaker's own word is not taken for it.

use std::collections::{BTreeMap, VecDeque};

use super::{HOLD_NS, TrialSpec};
use crate::runlog::{BreakerState, Entry};

/// An attempt that was let through just before the breaker moved begins just after: that
/// little is allowed for.
const LET_THROUGH_NS: u64 = 5_000_000;

#[derive(Debug, Default)]
pub(super) struct Breakers {
    links: BTreeMap<String, Link>,
    /// Begun attempts that wait for transitions which are still under way: when they
    /// ended, when they began.
    waiting: VecDeque<(u64, u64, String)>,
}

#[derive(Debug, Default)]
struct Link {
    failed_in_a_row: u64,
    since: BTreeMap<String, u64>,
    moves: Vec<Stretch>,
}

/// From one transition to the next.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    begin_ns: u64,
    state: BreakerState,
    attempts: u64,
}

/// What a transition came after.
pub(super) struct Led {
    pub(super) failed_in_a_row: u64,
    pub(super) since: BTreeMap<String, u64>,
}

impl Breakers {
    /// An attempt has ended: `Some(true)` well, `Some(false)` not, `None` nothing
    /// was learnt. A lost race or a full quota is an answer of a working
    /// dependency, as it is to the breaker (`resilience::FailureKind::verdict`).
    pub(super) fn attempt(&mut self, link: &str, well: Option<bool>, failure: Option<&str>) {
        let Some(well) = well else { return };
        let answered = matches!(failure, Some("aborted" | "exhausted"));
        let link = self.links.entry(link.to_owned()).or_default();
        if well || answered {
            link.failed_in_a_row = 0;
        } else {
            link.failed_in_a_row += 1;
        }
    }

    /// An attempt over the link has ended; `faults` have begun, each at its time.
    pub(super) fn begun<'a>(
        &mut self,
        name: &str,
        (started_ns, ended_ns): (u64, u64),
        faults: impl Iterator<Item = (&'a str, u64)>,
    ) {
        let link = self.links.entry(name.to_owned()).or_default();
        for (fault, _) in faults.filter(|(_, since)| *since <= started_ns) {
            match link.since.get_mut(fault) {
                Some(n) => *n += 1,
                None => {
                    link.since.insert(fault.to_owned(), 1);
                }
            }
        }
        self.waiting
            .push_back((ended_ns, started_ns, name.to_owned()));
    }

    /// A breaker has moved; returns what led to it.
    pub(super) fn moved(&mut self, link: &str, ns: u64, to: BreakerState) -> Led {
        let link = self.links.entry(link.to_owned()).or_default();
        let stretch = Stretch {
            begin_ns: ns,
            state: to,
            attempts: 0,
        };
        // Replicas tell their breakers apart, by streams of their own.
        let at = link.moves.partition_point(|s| s.begin_ns <= ns);
        link.moves.insert(at, stretch);
        Led {
            failed_in_a_row: link.failed_in_a_row,
            since: link.since.clone(),
        }
    }

    /// Counts the attempts whose transitions must have been told by now.
    pub(super) fn settle(&mut self, now_ns: u64) {
        while let Some((_, started_ns, link)) =
            self.waiting.pop_front_if(|w| w.0 + HOLD_NS <= now_ns)
        {
            if let Some(link) = self.links.get_mut(&link) {
                link.let_through(started_ns);
            }
        }
    }

    /// What went through the breakers while they were not closed.
    pub(super) fn stretches(&self, spec: &TrialSpec) -> Vec<Entry> {
        let entry = |link: &str, s: &Stretch| Entry::Stretch {
            trial: spec.trial,
            link: link.to_owned(),
            t_us: spec.t_us(s.begin_ns),
            state: s.state,
            attempts: s.attempts,
        };
        let of = |(name, link): (&String, &Link)| -> Vec<Entry> {
            let not_closed = link
                .moves
                .iter()
                .filter(|s| s.state != BreakerState::Closed);
            not_closed.map(|s| entry(name, s)).collect()
        };
        self.links.iter().flat_map(of).collect()
    }

    /// The states at a moment.
    pub(super) fn at(&self, ns: u64) -> BTreeMap<String, BreakerState> {
        let state = |link: &Link| {
            let last = link.moves.iter().rev().find(|s| s.begin_ns <= ns);
            (!link.moves.is_empty()).then(|| last.map_or(BreakerState::Closed, |s| s.state))
        };
        self.links
            .iter()
            .filter_map(|(name, l)| Some((name.clone(), state(l)?)))
            .collect()
    }
}

impl Link {
    /// Finds the stretch in which an attempt began. Just after an opening it was let
    /// through before, and just before a half-open stretch it is the trial itself.
    fn let_through(&mut self, ns: u64) {
        let begun = |s: &Stretch| match s.state {
            BreakerState::Open => s.begin_ns + LET_THROUGH_NS <= ns,
            BreakerState::HalfOpen => s.begin_ns <= ns + LET_THROUGH_NS,
            BreakerState::Closed => s.begin_ns <= ns,
        };
        if let Some(stretch) = self.moves.iter_mut().rev().find(|s| begun(s)) {
            stretch.attempts += 1;
        }
    }
}

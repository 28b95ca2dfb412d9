//! Breaker states, and failures in a row counted from the attempts themselves,
//! so that a breaker's own word is not taken for it.

use std::collections::BTreeMap;

use crate::runlog::BreakerState;

#[derive(Debug, Default)]
pub(super) struct Breakers {
    links: BTreeMap<String, Link>,
}

#[derive(Debug, Default)]
struct Link {
    failed_in_a_row: u64,
    moves: Vec<(u64, BreakerState)>,
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

    /// A breaker has moved; returns the failures in a row that led to it.
    pub(super) fn moved(&mut self, link: &str, ns: u64, to: BreakerState) -> u64 {
        let link = self.links.entry(link.to_owned()).or_default();
        link.moves.push((ns, to));
        link.failed_in_a_row
    }

    /// The states at a moment.
    pub(super) fn at(&self, ns: u64) -> BTreeMap<String, BreakerState> {
        let state = |link: &Link| {
            let last = link.moves.iter().rev().find(|(t, _)| *t <= ns);
            (!link.moves.is_empty()).then(|| last.map_or(BreakerState::Closed, |m| m.1))
        };
        self.links
            .iter()
            .filter_map(|(name, l)| Some((name.clone(), state(l)?)))
            .collect()
    }
}

//! The checker: each invariant of orders and stock is a function from a history to its violations,
//! by joins and sorts, in O(n log n).

mod bounds;
mod healing;
mod keys;
mod once;
mod orders;
mod outbox;
mod prices;
#[cfg(test)]
mod properties;
mod reads;
mod rules;
mod sagas;
mod status;
mod stock;
#[cfg(test)]
pub(crate) mod tests_support;

pub use healing::{Steady, steady};
pub use rules::{Judged, Rule, Subject, Violation};

use std::collections::BTreeSet;

use crate::history::History;
use crate::workload::Limits;

/// What a history comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Findings {
    /// Each rule with what was found, in the order of their numbers.
    pub judged: Vec<(Rule, Judged)>,
}

impl Findings {
    /// All violations, rule by rule.
    pub fn violations(&self) -> impl Iterator<Item = &Violation> {
        self.judged
            .iter()
            .flat_map(|(_, judged)| judged.violations())
    }

    /// Rules that were broken.
    #[must_use]
    pub fn broken(&self) -> BTreeSet<Rule> {
        self.violations().map(|violation| violation.rule).collect()
    }
}

/// Judges a history by every rule.
#[must_use]
pub fn check(history: &History, limits: &Limits) -> Findings {
    let judged = Rule::ALL.into_iter();
    Findings {
        judged: judged
            .map(|rule| (rule, judge(rule, history, limits)))
            .collect(),
    }
}

/// Judges a history by one rule.
#[must_use]
pub fn judge(rule: Rule, history: &History, limits: &Limits) -> Judged {
    let broken = match rule {
        Rule::AcknowledgedOrdersExist => orders::acknowledged_orders_exist(history),
        Rule::OneOrderPerKey => keys::one_order_per_key(history),
        Rule::RefusedLeavesNothing => orders::refused_leaves_nothing(history),
        Rule::UnitsAddUp => stock::units_add_up(history),
        Rule::LiveOrdersAreCommitted => bounds::live_orders_are_committed(history),
        Rule::ReservationsEndOnce => stock::reservations_end_once(history),
        Rule::CommitOrExpiry => once::commit_or_expiry(history),
        Rule::SagasEnd => sagas::sagas_end(history, limits),
        Rule::EffectsOnce => outbox::effects_once(history),
        Rule::OwnWritesAreRead => reads::own_writes_are_read(history),
        Rule::PricesWereValid => prices::prices_were_valid(history),
        Rule::SuccessComesBack => healing::success_comes_back(history, limits),
    };
    match broken {
        Ok(violations) => Judged::of(violations),
        Err(why) => Judged::Not(why),
    }
}

/// Violations, or why the rule can't be judged from this history.
type Checked = Result<Vec<Violation>, &'static str>;

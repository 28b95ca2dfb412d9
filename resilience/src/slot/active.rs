//! The policies in force in a slot, each with its running state.

use crate::breaker::Breaker;
use crate::budget::Budget;
use crate::bulkhead::Bulkhead;
use crate::hedge::Hedge;
use crate::policy::Policy;
use crate::throttle::Throttle;

use std::sync::Arc;

/// A policy and its running state. Each call holds on to the one it began with.
pub(crate) struct Active {
    /// The policy's name in events and metrics: its preset, told apart from an equal one beside it.
    pub(crate) label: String,
    pub(crate) policy: Policy,
    pub(crate) breaker: Option<Breaker>,
    pub(crate) budget: Option<Budget>,
    pub(crate) hedge: Option<Hedge>,
    pub(crate) throttle: Option<Throttle>,
    pub(crate) bulkhead: Option<Bulkhead>,
}

impl Active {
    fn new(label: String, policy: Policy) -> Self {
        Self {
            label,
            breaker: policy.breaker.map(Breaker::new),
            budget: policy.budget.map(Budget::new),
            hedge: policy.hedge.map(Hedge::new),
            throttle: policy.throttle.map(Throttle::new),
            bulkhead: policy.bulkhead.map(Bulkhead::new),
            policy,
        }
    }
}

/// One policy, or several that share the requests by weight.
pub(crate) struct Alternatives {
    /// Each with the sum of the weights up to and including its own.
    all: Vec<(u64, Arc<Active>)>,
}

impl Alternatives {
    pub(crate) fn one(policy: Policy) -> Self {
        Self::new(vec![(1, policy)])
    }

    /// Alternatives by weight; those without any are left out. `policies` must not be empty; if
    /// all weights are zero the first policy gets everything.
    pub(crate) fn new(policies: Vec<(u32, Policy)>) -> Self {
        let weighted = policies.iter().any(|(weight, _)| *weight > 0);
        let mut upto = 0;
        let mut all: Vec<(u64, Arc<Active>)> = Vec::with_capacity(policies.len());
        for (i, (weight, policy)) in policies.into_iter().enumerate() {
            let weight = if weighted { weight } else { u32::from(i == 0) };
            if weight == 0 {
                continue;
            }
            upto += u64::from(weight);
            let label = label(&policy.preset, &all);
            all.push((upto, Arc::new(Active::new(label, policy))));
        }
        Self { all }
    }

    /// The one that this request gets.
    pub(crate) fn of(&self, request_id: &str) -> &Arc<Active> {
        let (first, rest) = (&self.all[0], &self.all[1..]);
        if rest.is_empty() {
            return &first.1;
        }
        let total = self.all[self.all.len() - 1].0;
        let point = hash(request_id) % total;
        let found = self.all.iter().find(|(upto, _)| point < *upto);
        &found.unwrap_or(first).1
    }

    pub(crate) fn first(&self) -> &Arc<Active> {
        &self.all[0].1
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Active>> {
        self.all.iter().map(|(_, active)| active)
    }

    pub(crate) fn weighted(&self) -> impl Iterator<Item = (u32, &Arc<Active>)> {
        let mut before = 0;
        self.all.iter().map(move |(upto, active)| {
            let weight = u32::try_from(upto - before).unwrap_or(u32::MAX);
            before = *upto;
            (weight, active)
        })
    }

    pub(crate) fn contains(&self, active: &Arc<Active>) -> bool {
        self.iter().any(|one| Arc::ptr_eq(one, active))
    }
}

fn label(preset: &str, before: &[(u64, Arc<Active>)]) -> String {
    let same = before
        .iter()
        .filter(|(_, other)| other.policy.preset == preset)
        .count();
    if same == 0 {
        preset.to_owned()
    } else {
        format!("{preset}.{}", same + 1)
    }
}

/// FNV-1a, with SplitMix64's finaliser because FNV's high bits are weak on short ids. The same on
/// every machine and in every build, unlike the standard library's.
fn hash(text: &str) -> u64 {
    let fnv = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    crate::rng::mix(fnv)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preset;

    fn share_of_first(weights: [u32; 2]) -> f64 {
        let set = Alternatives::new(vec![
            (weights[0], preset::none()),
            (weights[1], preset::fast()),
        ]);
        let hits = (0..20_000)
            .filter(|i| set.of(&format!("r-{i}")).label == "none")
            .count();
        hits as f64 / 20_000.0
    }

    /// Four standard errors of 20 000 draws are 0.014 at most.
    #[test]
    fn requests_are_shared_by_weight() {
        assert!((share_of_first([1, 1]) - 0.5).abs() < 0.015);
        assert!((share_of_first([1, 9]) - 0.1).abs() < 0.01);
        assert_eq!(share_of_first([0, 3]), 0.0);
        assert_eq!(share_of_first([0, 0]), 1.0, "someone must serve them");
    }

    #[test]
    fn a_request_always_gets_the_same_one() {
        let set = Alternatives::new(vec![(1, preset::none()), (1, preset::fast())]);
        for i in 0..100 {
            let id = format!("r-{i}");
            assert!(Arc::ptr_eq(set.of(&id), set.of(&id)));
        }
    }

    #[test]
    fn equal_presets_have_labels_of_their_own() {
        let set = Alternatives::new(vec![(1, preset::fast()), (2, preset::fast())]);
        let labels: Vec<_> = set.iter().map(|active| active.label.as_str()).collect();
        assert_eq!(labels, ["fast", "fast.2"]);
        let weights: Vec<_> = set.weighted().map(|(weight, _)| weight).collect();
        assert_eq!(weights, [1, 2]);
    }
}

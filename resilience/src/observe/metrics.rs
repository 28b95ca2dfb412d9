//! Counts every decision through the `metrics` facade.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use ::metrics::{Counter, Gauge, Unit, counter, describe_counter, describe_gauge, gauge};
use parking_lot::RwLock;

use super::server::{self, ServerMetrics};
use super::{CallId, Event, Observer};
use crate::breaker::{BreakerState, Transition};
use crate::call::{Outcome, Reason};
use crate::slot::SlotName;

/// The `resilience_*` metrics.
///
/// | metric | labels |
/// |---|---|
/// | `resilience_calls_total` | `service, dependency, policy, method, outcome` |
/// | `resilience_attempts_total`, `resilience_retries_total`, `resilience_hedges_total` | `service, dependency, policy, method` |
/// | `resilience_rejected_total` | `service, dependency, policy, reason` |
/// | `resilience_breaker_state` (0 closed, 1 half-open, 2 open) | `service, dependency, policy` |
/// | `resilience_breaker_transitions_total` | `service, dependency, policy, from, to` |
/// | `resilience_budget_tokens`, what the retry budget would grant | `service, dependency, policy` |
/// | `resilience_inflight`, attempts under way; at a server, requests | `service, dependency` |
/// | `resilience_concurrency_limit` (+Inf without one), at a server | `service, dependency` |
/// | `resilience_wasted_work_seconds_total`, at a server | `service` |
///
/// `policy` is the preset's name, so that alternatives of a split slot can be told apart. The state
/// of a policy that was replaced is set to 0 and stays there.
///
/// An attempt counts when it begins, so one that was cancelled has counted; a call counts when it
/// ends, with outcome `cancelled` if it was dropped. Slots of one service and dependency add up in
/// the counters, but share the state's gauge: give each link a dependency name of its own.
///
/// It keeps the handles it got from the recorder, so install the recorder first and use one
/// observer for all slots of a process.
#[derive(Default)]
pub struct MetricsObserver {
    slots: RwLock<HashMap<SlotName, Arc<SlotMetrics>>>,
    servers: RwLock<HashMap<SlotName, Arc<ServerMetrics>>>,
}

struct SlotMetrics {
    inflight: Gauge,
    policies: RwLock<HashMap<String, Arc<PolicyMetrics>>>,
}

struct PolicyMetrics {
    labels: Labels,
    breaker_state: Gauge,
    budget_tokens: Gauge,
    rejected: [Counter; Reason::ALL.len()],
    methods: RwLock<HashMap<String, Arc<MethodMetrics>>>,
}

struct MethodMetrics {
    attempts: Counter,
    retries: Counter,
    hedges: Counter,
    calls: [Counter; Outcome::ALL.len()],
}

/// Names and values of a metric's labels.
type Labels = Vec<(&'static str, String)>;

impl MetricsObserver {
    /// Describes the metrics to the recorder that is installed.
    pub fn new() -> Self {
        describe();
        Self::default()
    }

    fn slot(&self, name: &SlotName) -> Arc<SlotMetrics> {
        find_or_insert(&self.slots, name, || SlotMetrics {
            inflight: gauge!("resilience_inflight", &slot_labels(name)),
            policies: RwLock::default(),
        })
    }

    fn policy(&self, name: &SlotName, policy: &str) -> Arc<PolicyMetrics> {
        let slot = self.slot(name);
        find_or_insert(&slot.policies, policy, || PolicyMetrics::new(name, policy))
    }

    fn method(&self, name: &SlotName, call: CallId<'_>) -> Arc<MethodMetrics> {
        let policy = self.policy(name, call.policy);
        let make = || MethodMetrics::new(&policy.labels, call.method);
        find_or_insert(&policy.methods, call.method, make)
    }
}

impl Observer for MetricsObserver {
    fn on(&self, event: &Event<'_>) {
        let name = event.slot();
        match *event {
            Event::AttemptStarted {
                call,
                attempt,
                hedge,
                ..
            } => {
                self.slot(name).inflight.increment(1);
                let method = self.method(name, call);
                method.attempts.increment(1);
                if attempt > 1 && !hedge {
                    method.retries.increment(1);
                }
            }
            Event::Attempt { .. } => self.slot(name).inflight.decrement(1),
            Event::Hedge { call, .. } => self.method(name, call).hedges.increment(1),
            Event::Refused { call, reason, .. } => {
                self.policy(name, call.policy).rejected[reason as usize].increment(1);
            }
            Event::Call { call, outcome, .. } => {
                self.method(name, call).calls[outcome as usize].increment(1);
            }
            Event::Budget { policy, left, .. } => self.policy(name, policy).budget_tokens.set(left),
            Event::Breaker {
                policy, transition, ..
            } => self.policy(name, policy).transition(transition),
            Event::Policy { policy, .. } => {
                let state = state_value(BreakerState::Closed);
                self.policy(name, policy).breaker_state.set(state);
            }
            Event::PolicyGone { policy, .. } => {
                let gone = self.policy(name, policy);
                gone.breaker_state.set(state_value(BreakerState::Closed));
                gone.budget_tokens.set(0);
            }
            Event::ServerPolicy { .. }
            | Event::Admitted { .. }
            | Event::Shed { .. }
            | Event::Finished { .. } => {
                find_or_insert(&self.servers, name, || ServerMetrics::new(name)).on(event);
            }
            Event::Wait { .. } | Event::Routed { .. } | Event::HedgeWon { .. } => {}
        }
    }
}

fn slot_labels(name: &SlotName) -> Labels {
    vec![
        ("service", name.service.clone()),
        ("dependency", name.dependency.clone()),
    ]
}

fn and(labels: &Labels, more: &[(&'static str, &str)]) -> Labels {
    let more = more
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()));
    labels.iter().cloned().chain(more).collect()
}

impl PolicyMetrics {
    fn new(name: &SlotName, policy: &str) -> Self {
        let labels = and(&slot_labels(name), &[("policy", policy)]);
        Self {
            breaker_state: gauge!("resilience_breaker_state", &labels),
            budget_tokens: gauge!("resilience_budget_tokens", &labels),
            rejected: Reason::ALL.map(|reason| {
                let labels = and(&labels, &[("reason", reason.as_str())]);
                counter!("resilience_rejected_total", &labels)
            }),
            methods: RwLock::default(),
            labels,
        }
    }

    fn transition(&self, transition: Transition) {
        self.breaker_state.set(state_value(transition.to));
        let (from, to) = (transition.from.as_str(), transition.to.as_str());
        let labels = and(&self.labels, &[("from", from), ("to", to)]);
        counter!("resilience_breaker_transitions_total", &labels).increment(1);
    }
}

impl MethodMetrics {
    fn new(labels: &Labels, method: &str) -> Self {
        let labels = and(labels, &[("method", method)]);
        Self {
            attempts: counter!("resilience_attempts_total", &labels),
            retries: counter!("resilience_retries_total", &labels),
            hedges: counter!("resilience_hedges_total", &labels),
            calls: Outcome::ALL.map(|outcome| {
                let labels = and(&labels, &[("outcome", outcome.as_str())]);
                counter!("resilience_calls_total", &labels)
            }),
        }
    }
}

fn state_value(state: BreakerState) -> f64 {
    match state {
        BreakerState::Closed => 0.0,
        BreakerState::HalfOpen => 1.0,
        BreakerState::Open => 2.0,
    }
}

/// Readers share the lock; a value is made once, the first time it is asked for.
fn find_or_insert<Q, K, V>(
    map: &RwLock<HashMap<K, Arc<V>>>,
    key: &Q,
    make: impl FnOnce() -> V,
) -> Arc<V>
where
    Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    K: Hash + Eq + std::borrow::Borrow<Q>,
{
    if let Some(found) = map.read().get(key) {
        return found.clone();
    }
    map.write()
        .entry(key.to_owned())
        .or_insert_with(|| Arc::new(make()))
        .clone()
}

fn describe() {
    describe_counter!(
        "resilience_calls_total",
        Unit::Count,
        "Logical calls, by how they ended."
    );
    describe_counter!("resilience_attempts_total", Unit::Count, "Attempts begun.");
    describe_counter!(
        "resilience_retries_total",
        Unit::Count,
        "Attempts begun after the first, hedges left out."
    );
    describe_counter!(
        "resilience_hedges_total",
        Unit::Count,
        "Second copies sent of attempts that were slow."
    );
    describe_gauge!(
        "resilience_budget_tokens",
        Unit::Count,
        "What is left in the retry budget."
    );
    describe_counter!(
        "resilience_rejected_total",
        Unit::Count,
        "Attempts refused by the caller's own policy, by what refused them."
    );
    describe_gauge!(
        "resilience_breaker_state",
        Unit::Count,
        "The circuit breaker: 0 closed, 1 half-open, 2 open."
    );
    describe_counter!(
        "resilience_breaker_transitions_total",
        Unit::Count,
        "Changes of the circuit breaker's state."
    );
    describe_gauge!(
        "resilience_inflight",
        Unit::Count,
        "Attempts under way; at a server, requests."
    );
    server::describe();
}

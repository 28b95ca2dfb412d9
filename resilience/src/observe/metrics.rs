//! Counts every decision through the `metrics` facade.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use ::metrics::{Counter, Gauge, Unit, counter, describe_counter, describe_gauge, gauge};
use parking_lot::RwLock;

use super::{Event, Observer};
use crate::breaker::{BreakerState, Transition};
use crate::call::{Outcome, Reason};
use crate::slot::SlotName;

/// The `resilience_*` metrics.
///
/// | metric | labels |
/// |---|---|
/// | `resilience_calls_total` | `service, dependency, method, outcome` |
/// | `resilience_attempts_total`, `resilience_retries_total` | `service, dependency, method` |
/// | `resilience_rejected_total` | `service, dependency, reason` |
/// | `resilience_breaker_state` (0 closed, 1 half-open, 2 open) | `service, dependency` |
/// | `resilience_breaker_transitions_total` | `service, dependency, from, to` |
/// | `resilience_inflight`, attempts under way | `service, dependency` |
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
}

struct SlotMetrics {
    breaker_state: Gauge,
    inflight: Gauge,
    rejected: [Counter; Reason::ALL.len()],
    methods: RwLock<HashMap<String, Arc<MethodMetrics>>>,
}

struct MethodMetrics {
    attempts: Counter,
    retries: Counter,
    calls: [Counter; Outcome::ALL.len()],
}

impl MetricsObserver {
    /// Describes the metrics to the recorder that is installed.
    pub fn new() -> Self {
        describe();
        Self::default()
    }

    fn slot(&self, name: &SlotName) -> Arc<SlotMetrics> {
        find_or_insert(&self.slots, name, || SlotMetrics::new(name))
    }

    fn method(&self, name: &SlotName, method: &str) -> Arc<MethodMetrics> {
        let slot = self.slot(name);
        find_or_insert(&slot.methods, method, || MethodMetrics::new(name, method))
    }
}

impl Observer for MetricsObserver {
    fn on(&self, event: &Event<'_>) {
        let name = event.slot();
        match *event {
            Event::AttemptStarted { call, attempt, .. } => {
                self.slot(name).inflight.increment(1);
                let method = self.method(name, call.method);
                method.attempts.increment(1);
                if attempt > 1 {
                    method.retries.increment(1);
                }
            }
            Event::Attempt { .. } => self.slot(name).inflight.decrement(1),
            Event::Refused { reason, .. } => {
                self.slot(name).rejected[reason as usize].increment(1);
            }
            Event::Call { call, outcome, .. } => {
                self.method(name, call.method).calls[outcome as usize].increment(1);
            }
            Event::Breaker { transition, .. } => {
                self.slot(name)
                    .breaker_state
                    .set(state_value(transition.to));
                count_transition(name, transition);
            }
            Event::Policy { .. } => {
                self.slot(name)
                    .breaker_state
                    .set(state_value(BreakerState::Closed));
            }
            Event::Wait { .. } => {}
        }
    }
}

impl SlotMetrics {
    fn new(name: &SlotName) -> Self {
        let (service, dependency) = (name.service.clone(), name.dependency.clone());
        let labels = [("service", service), ("dependency", dependency)];
        Self {
            breaker_state: gauge!("resilience_breaker_state", &labels),
            inflight: gauge!("resilience_inflight", &labels),
            rejected: Reason::ALL.map(|reason| {
                let [service, dependency] = labels.clone();
                let labels = [service, dependency, ("reason", reason.as_str().to_owned())];
                counter!("resilience_rejected_total", &labels)
            }),
            methods: RwLock::default(),
        }
    }
}

impl MethodMetrics {
    fn new(name: &SlotName, method: &str) -> Self {
        let labels = [
            ("service", name.service.clone()),
            ("dependency", name.dependency.clone()),
            ("method", method.to_owned()),
        ];
        Self {
            attempts: counter!("resilience_attempts_total", &labels),
            retries: counter!("resilience_retries_total", &labels),
            calls: Outcome::ALL.map(|outcome| {
                let [service, dependency, method] = labels.clone();
                let labels = [
                    service,
                    dependency,
                    method,
                    ("outcome", outcome.as_str().to_owned()),
                ];
                counter!("resilience_calls_total", &labels)
            }),
        }
    }
}

fn count_transition(name: &SlotName, transition: Transition) {
    counter!(
        "resilience_breaker_transitions_total",
        "service" => name.service.clone(),
        "dependency" => name.dependency.clone(),
        "from" => transition.from.as_str(),
        "to" => transition.to.as_str(),
    )
    .increment(1);
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
        "Attempts begun after the first."
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
    describe_gauge!("resilience_inflight", Unit::Count, "Attempts under way.");
}

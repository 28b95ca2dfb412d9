//! Where a policy sits: the caller's end of one link.
//!
//! A slot keeps a policy and its running state (breaker, budget, …) and applies them to every call
//! that goes through it. [`Slot::set`] swaps the policy: calls in flight end under the one they
//! began with, calls that begin later get the new one with fresh state. Nothing is lost and nothing
//! waits.
//!
//! It may hold several policies with weights ([`Slot::set_split`]). Which one a request meets is
//! decided by a hash of its id, so that two policies can be compared on live traffic; each has its
//! own state and its own `policy` label on the metrics.

mod active;

use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::breaker::{Breaker, Forced, Transition};
use crate::budget::Budget;
use crate::call::{Attempt, Call, CallError};
use crate::failure::Classify;
use crate::observe::{Event, Observer};
use crate::path;
use crate::policy::Policy;
use crate::rng::Streams;

pub(crate) use active::Active;
use active::Alternatives;

pub use crate::breaker::BreakerView;

/// What a slot is called, and the labels its metrics carry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SlotName {
    /// The link's id, such as `order-product`.
    pub link: String,
    /// Who calls, such as `order`.
    pub service: String,
    /// Who is called, such as `product`.
    pub dependency: String,
}

impl SlotName {
    /// The three names of a slot.
    pub fn new(
        link: impl Into<String>,
        service: impl Into<String>,
        dependency: impl Into<String>,
    ) -> Self {
        Self {
            link: link.into(),
            service: service.into(),
            dependency: dependency.into(),
        }
    }
}

/// The place of one policy. Clones are the same slot.
#[derive(Clone)]
pub struct Slot(Arc<Inner>);

struct Inner {
    name: SlotName,
    active: ArcSwap<Alternatives>,
    observer: Arc<dyn Observer>,
    streams: Streams,
    /// Held while a breaker's state and the telling of it must stay together; see
    /// [`Slot::in_order`].
    order: Mutex<()>,
}

/// Where one of a slot's policies stands.
#[derive(Clone, Debug, PartialEq)]
pub struct AlternativeView {
    /// Its name in events and metrics.
    pub label: String,
    /// Its share of the requests is this over the sum of all weights.
    pub weight: u32,
    /// What it is.
    pub policy: Policy,
    /// Its breaker, if it has one.
    pub breaker: Option<BreakerView>,
    /// What is left in its budget, if it has one.
    pub budget_left: Option<f64>,
}

impl Slot {
    /// A slot with its first policy. `seed` decides the jitter of its calls.
    pub fn new(name: SlotName, policy: Policy, observer: Arc<dyn Observer>, seed: u64) -> Self {
        let slot = Self(Arc::new(Inner {
            name,
            active: ArcSwap::from_pointee(Alternatives::one(policy)),
            observer,
            streams: Streams::new(seed),
            order: Mutex::new(()),
        }));
        slot.tell_policies(&slot.0.active.load());
        slot
    }

    /// The link's id.
    pub fn name(&self) -> &str {
        &self.0.name.link
    }

    /// All of the slot's names.
    pub fn names(&self) -> &SlotName {
        &self.0.name
    }

    /// The policy that calls beginning now get; of a split, the first alternative.
    pub fn policy(&self) -> Policy {
        self.0.active.load().first().policy.clone()
    }

    /// All policies with where they stand: one, or the alternatives of a split.
    pub fn alternatives(&self) -> Vec<AlternativeView> {
        let active = self.0.active.load();
        let view = |(weight, one): (u32, &Arc<Active>)| AlternativeView {
            label: one.label.clone(),
            weight,
            policy: one.policy.clone(),
            breaker: one.breaker.as_ref().map(Breaker::view),
            budget_left: one.budget.as_ref().map(Budget::left),
        };
        active.weighted().map(view).collect()
    }

    /// Swaps the policy. Calls in flight keep theirs; the new one starts with fresh state.
    pub fn set(&self, policy: Policy) {
        self.replace(|_| Alternatives::one(policy));
    }

    /// Swaps in several policies that share the requests by weight. With all weights zero the first
    /// gets everything; an empty list changes nothing.
    pub fn set_split(&self, policies: Vec<(u32, Policy)>) {
        if !policies.is_empty() {
            self.replace(|_| Alternatives::new(policies));
        }
    }

    /// The same policies with fresh state: breakers closed and nothing forced, budgets as at first.
    pub fn reset(&self) {
        self.replace(|active| {
            let same = active.weighted();
            Alternatives::new(same.map(|(w, one)| (w, one.policy.clone())).collect())
        });
    }

    /// Where the breaker stands (of a split, the first alternative's); `None` when the policy has
    /// none.
    pub fn breaker_state(&self) -> Option<BreakerView> {
        let active = self.0.active.load();
        active.first().breaker.as_ref().map(Breaker::view)
    }

    /// Forces the breakers of the slot by hand, until `until` or for good; `None` lets go. A swap
    /// or a reset lets go too. Returns whether there was a breaker to force.
    pub fn force(&self, forced: Option<Forced>, until: Option<Instant>) -> bool {
        let active = self.0.active.load_full();
        let mut any = false;
        for one in active.iter() {
            let Some(breaker) = &one.breaker else {
                continue;
            };
            any = true;
            self.in_order(one, || {
                if let Some(transition) = breaker.force(forced, until) {
                    self.tell_transition(one, transition);
                }
            });
        }
        any
    }

    /// Makes a call under the slot's policy; `op` makes one attempt.
    ///
    /// Dropping the future cancels the call: what it holds is released, the attempt under way
    /// counts as nothing, and both are told as cancelled.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call<T, E, F, Fut>(&self, call: Call<'_>, op: F) -> Result<T, CallError<E>>
    where
        E: Classify,
        F: FnMut(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let no_fallback = |error| async { Err(error) };
        self.call_or_else(call, op, no_fallback).await
    }

    /// The same with a fallback, the outermost layer: when the call has no answer, `fallback` may
    /// give one (from a cache, a default) instead of the error. The call then counts as degraded.
    ///
    /// The fallback runs after the deadline has passed as well; it must be quick and must not need
    /// what just failed.
    ///
    /// # Errors
    /// The fallback's, which is given the call's.
    pub async fn call_or_else<T, E, F, Fut, B, BFut>(
        &self,
        call: Call<'_>,
        op: F,
        fallback: B,
    ) -> Result<T, CallError<E>>
    where
        E: Classify,
        F: FnMut(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        B: FnOnce(CallError<E>) -> BFut,
        BFut: Future<Output = Result<T, CallError<E>>>,
    {
        let active = self.0.active.load().of(call.request_id).clone();
        path::run(self, &active, call, op, fallback).await
    }

    /// Tells which replica this attempt of `call` goes to, for the events and on the attempt's span,
    /// which must be the current one. For those who spread a slot's attempts over several.
    pub fn routed(&self, call: &Call<'_>, attempt: u32, replica: u32) {
        tracing::Span::current().record("attempt.replica", i64::from(replica));
        self.tell(&Event::Routed {
            slot: &self.0.name,
            method: call.method,
            request_id: call.request_id,
            attempt,
            replica,
        });
    }

    fn replace(&self, next: impl FnOnce(&Alternatives) -> Alternatives) {
        let _order = self.0.order.lock();
        let before = self.0.active.load_full();
        let active = Arc::new(next(&before));
        self.0.active.store(active.clone());
        for gone in before.iter() {
            self.tell(&Event::PolicyGone {
                slot: &self.0.name,
                policy: &gone.label,
            });
        }
        self.tell_policies(&active);
    }

    fn tell_policies(&self, active: &Alternatives) {
        for one in active.iter() {
            self.tell(&Event::Policy {
                slot: &self.0.name,
                policy: &one.label,
            });
        }
    }

    pub(crate) fn tell(&self, event: &Event<'_>) {
        self.0.observer.on(event);
    }

    pub(crate) fn streams(&self) -> &Streams {
        &self.0.streams
    }

    /// Runs a step of a breaker together with the events that tell of it, so that observers hear
    /// attempts and transitions in the order in which the breaker saw them, whatever the threads
    /// do.
    pub(crate) fn in_order<T>(&self, active: &Active, step: impl FnOnce() -> T) -> T {
        let _order = active.breaker.is_some().then(|| self.0.order.lock());
        step()
    }

    /// Tells a transition, unless the breaker belongs to a policy already replaced: to the outside
    /// the slot's breakers are the new ones. Call it within [`in_order`](Self::in_order).
    pub(crate) fn tell_transition(&self, active: &Arc<Active>, transition: Transition) {
        if !self.0.active.load().contains(active) {
            return;
        }
        tracing::info!(
            link = self.0.name.link,
            policy = active.label,
            from = transition.from.as_str(),
            to = transition.to.as_str(),
            failures_in_a_row = transition.failures_in_a_row,
            "breaker transition",
        );
        self.tell(&Event::Breaker {
            slot: &self.0.name,
            policy: &active.label,
            transition,
        });
    }
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slot")
            .field("name", &self.0.name)
            .field("policy", &self.policy())
            .finish_non_exhaustive()
    }
}

//! The faults that a process holds, each with its counters and its lease.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst},
};

use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock};
use serde_json::{Map, Value, json};
use tokio::time::{Duration, Instant, sleep_until};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    action::{Action, Deed},
    draw::Draw,
    fields::Read,
    plan::Plan,
    queue::Queue,
    seen::Seen,
    spec::{self, Served, Spec},
};
use crate::{lab::events::EventBus, telemetry::names};

/// All faults of a process; there are some in lab mode alone.
#[derive(Clone)]
pub(crate) struct Faults(Arc<Inner>);

struct Inner {
    service: &'static str,
    bus: EventBus,
    /// In the order in which they were added.
    held: ArcSwap<Vec<Arc<Fault>>>,
    any: AtomicBool,
    /// One change at a time.
    changing: Mutex<()>,
    clients: RwLock<Vec<String>>,
    /// Leases, and work that outlives its request.
    tasks: TaskTracker,
    over: CancellationToken,
}

/// One fault that is held.
pub(super) struct Fault {
    pub(super) spec: Spec,
    matched: AtomicU64,
    acted: AtomicU64,
    /// How many a `first N of all` has been asked about.
    asked: AtomicU64,
    until: Mutex<Instant>,
    /// Of a capacity fault.
    pub(super) queue: Option<Arc<Queue>>,
    /// Cancelled when it is held no longer.
    pub(super) gone: CancellationToken,
    counter: metrics::Counter,
}

impl Faults {
    pub(crate) fn new(service: &'static str, bus: EventBus) -> Self {
        Self(Arc::new(Inner {
            service,
            bus,
            held: ArcSwap::default(),
            any: AtomicBool::new(false),
            changing: Mutex::new(()),
            clients: RwLock::default(),
            tasks: TaskTracker::new(),
            over: CancellationToken::new(),
        }))
    }

    /// Whether any fault is held. While none is, this is all that a request pays.
    pub(crate) fn any(&self) -> bool {
        self.0.any.load(Relaxed)
    }

    pub(crate) fn service(&self) -> &'static str {
        self.0.service
    }

    /// The part has a cache or database behind that link.
    pub(super) fn serve_client(&self, link: &str) {
        self.0.clients.write().push(link.to_owned());
    }

    /// Work that goes on without its request.
    pub(super) fn tasks(&self) -> &TaskTracker {
        &self.0.tasks
    }

    /// Cancelled when the process ends: whatever is held up then goes on at once.
    pub(super) fn over(&self) -> &CancellationToken {
        &self.0.over
    }

    /// Reads and holds a fault; one of the same id is replaced.
    ///
    /// # Errors
    /// What is wrong with the body.
    pub(super) fn add(&self, body: &[u8]) -> Read<Value> {
        let clients = self.0.clients.read().clone();
        let served = Served {
            service: self.0.service,
            clients: &clients,
        };
        let fault = Arc::new(Fault::new(Spec::read(body, &served)?, self.0.service));
        let id = fault.spec.id.clone();
        self.change(|held| {
            let old = take(held, |other| other.spec.id == id);
            held.push(Arc::clone(&fault));
            old
        });
        tracing::info!(fault = %id, link = fault.spec.link(), action = fault.spec.action.name(), "fault added");
        let shown = fault.show();
        self.0.tasks.spawn(self.clone().watch(fault));
        Ok(shown)
    }

    /// # Errors
    /// What is wrong with the body. `None` when no such fault is held.
    pub(super) fn renew(&self, id: &str, body: &[u8]) -> Read<Option<Value>> {
        let lease = spec::renewal(body)?;
        // Not while a lease that is over is being dealt with.
        let _changing = self.0.changing.lock();
        let held = self.0.held.load();
        let fault = held.iter().find(|fault| fault.spec.id == id);
        Ok(fault.map(|fault| {
            *fault.until.lock() = Instant::now() + lease;
            fault.show()
        }))
    }

    pub(super) fn all(&self) -> Vec<Value> {
        self.0
            .held
            .load()
            .iter()
            .map(|fault| fault.show())
            .collect()
    }

    pub(super) fn one(&self, id: &str) -> Option<Value> {
        let held = self.0.held.load();
        let fault = held.iter().find(|fault| fault.spec.id == id);
        fault.map(|fault| fault.show())
    }

    pub(super) fn ids(&self) -> Vec<String> {
        let held = self.0.held.load();
        held.iter().map(|fault| fault.spec.id.clone()).collect()
    }

    /// Lets go of one; its last state.
    pub(super) fn remove(&self, id: &str) -> Option<Value> {
        let gone = self.change(|held| take(held, |fault| fault.spec.id == id));
        log_removed(&gone);
        gone.first().map(|fault| fault.show())
    }

    /// Lets go of all; their last states.
    pub(super) fn clear(&self) -> Vec<Value> {
        let gone = self.change(std::mem::take);
        log_removed(&gone);
        gone.iter().map(|fault| fault.show()).collect()
    }

    /// Lets everything go and waits for what still works.
    pub(crate) async fn end(&self) {
        self.0.over.cancel();
        self.clear();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    /// Changes what is held; those that `change` took out are over.
    fn change(
        &self,
        change: impl FnOnce(&mut Vec<Arc<Fault>>) -> Vec<Arc<Fault>>,
    ) -> Vec<Arc<Fault>> {
        let _changing = self.0.changing.lock();
        let mut held = Vec::clone(&self.0.held.load());
        let gone = change(&mut held);
        self.0.any.store(!held.is_empty(), SeqCst);
        self.0.held.store(Arc::new(held));
        // After they have left the list, so that who waited for one finds the next.
        gone.iter().for_each(|fault| fault.end());
        gone
    }

    /// Until the fault is held no longer, by its lease or otherwise.
    async fn watch(self, fault: Arc<Fault>) {
        loop {
            let until = *fault.until.lock();
            tokio::select! {
                () = sleep_until(until) => {}
                () = fault.gone.cancelled() => return,
            }
            let expired = self.change(|held| {
                let late = *fault.until.lock() <= Instant::now();
                take(held, |other| late && Arc::ptr_eq(other, &fault))
            });
            if !expired.is_empty() {
                let (id, link) = (&fault.spec.id, fault.spec.link());
                tracing::warn!(fault = %id, link, "the fault's lease is over: it is gone");
                self.0.bus.send("fault_expired", || {
                    object(json!({ "fault": id, "link": link, "acted": fault.acted.load(Relaxed) }))
                });
            }
        }
    }

    /// What becomes of a request under all faults that are held.
    pub(super) fn decide(&self, seen: &Seen) -> Plan {
        let mut plan = Plan::default();
        for fault in self.0.held.load().iter() {
            if !fault.spec.matches(seen) {
                continue;
            }
            fault.matched.fetch_add(1, Relaxed);
            if plan.open_to(&fault.spec.action)
                && let Some(deed) = fault.decide(seen)
            {
                plan.add(fault, deed);
            }
        }
        for (fault, deed) in plan.acted() {
            self.tell(seen, fault, *deed);
        }
        plan
    }

    /// The capacity fault that a request falls to when the one whose queue it was in has gone.
    pub(super) fn next_queue(&self, seen: &Seen) -> Option<(Arc<Fault>, Duration)> {
        let held = self.0.held.load();
        let mut capacities = held.iter().rev().filter(|fault| fault.queue.is_some());
        let fault = capacities.find(|fault| fault.spec.matches(seen))?;
        let deed = fault.decide(seen)?;
        self.tell(seen, fault, deed);
        let Deed::Serve(time) = deed else { return None };
        Some((Arc::clone(fault), time))
    }

    fn tell(&self, seen: &Seen, fault: &Fault, deed: Deed) {
        fault.acted.fetch_add(1, Relaxed);
        fault.counter.increment(1);
        let delay = match deed {
            Deed::Delay(time) | Deed::Work(time) | Deed::Serve(time) => Some(micros(time)),
            Deed::Fail(_) | Deed::Hang | Deed::LoseReply => None,
        };
        self.0.bus.send("fault", || {
            object(json!({
                "fault": fault.spec.id, "link": seen.link, "method": seen.method,
                "request_id": &*seen.request_id, "attempt": seen.attempt,
                "action": fault.spec.action.name(), "delay_us": delay,
            }))
        });
    }

    /// Work was done for nobody.
    pub(super) fn wasted(&self, seen: &Seen, took: Duration) {
        metrics::gauge!(names::WASTED_WORK, "service" => self.0.service)
            .increment(took.as_secs_f64());
        self.0.bus.send("wasted", || {
            object(json!({
                "link": seen.link, "method": seen.method, "request_id": &*seen.request_id,
                "attempt": seen.attempt, "took_us": micros(took),
            }))
        });
    }
}

impl std::fmt::Debug for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Faults").field(&self.ids()).finish()
    }
}

impl Fault {
    fn new(spec: Spec, service: &'static str) -> Self {
        let queue = match spec.action {
            Action::Capacity(capacity) => {
                Some(Arc::new(Queue::new(capacity.at_once, capacity.queue)))
            }
            _ => None,
        };
        let counter = metrics::counter!(
            names::FAULT_ACTED, "service" => service, "fault" => spec.id.clone()
        );
        Self {
            matched: AtomicU64::new(0),
            acted: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            until: Mutex::new(Instant::now() + spec.lease),
            queue,
            gone: CancellationToken::new(),
            counter,
            spec,
        }
    }

    fn decide(&self, seen: &Seen) -> Option<Deed> {
        let draw = Draw::new(seen.of(self.spec.seed, &self.spec.id));
        let asked = || self.asked.fetch_add(1, Relaxed);
        self.spec.action.decide(draw, seen.attempt, asked)
    }

    fn show(&self) -> Value {
        let left = self.until.lock().saturating_duration_since(Instant::now());
        let mut shown = object(self.spec.show());
        shown.insert("matched".into(), json!(self.matched.load(Relaxed)));
        shown.insert("acted".into(), json!(self.acted.load(Relaxed)));
        let left = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        shown.insert("expires_in_ms".into(), json!(left));
        Value::Object(shown)
    }

    fn end(&self) {
        self.gone.cancel();
        if let Some(queue) = &self.queue {
            queue.close();
        }
    }
}

/// Takes out what fits.
fn take(held: &mut Vec<Arc<Fault>>, fits: impl Fn(&Arc<Fault>) -> bool) -> Vec<Arc<Fault>> {
    let (gone, kept) = std::mem::take(held).into_iter().partition(fits);
    *held = kept;
    gone
}

fn log_removed(gone: &[Arc<Fault>]) {
    for fault in gone {
        tracing::info!(fault = %fault.spec.id, acted = fault.acted.load(Relaxed), "fault removed");
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;

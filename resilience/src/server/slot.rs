//! Where a server's policy sits, and what it gives to those it lets in.

use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::time::{Duration, Instant};

use super::door::{Door, Lease};
use super::policy::ServerPolicy;
use super::{Arrival, End, ServerView, Shed};
use crate::deadline::Deadline;
use crate::observe::{CallId, Event, Observer};
use crate::slot::SlotName;

/// A caller's own clock runs out about when ours does, and its goodbye may overtake our timer:
/// whoever leaves so near to the deadline left because of it.
const TIMER_SLACK: Duration = Duration::from_millis(2);

/// The door of a server. Clones are the same door.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()
/// # .unwrap().block_on(async {
/// use std::sync::Arc;
/// use resilience::server::{self, Arrival, End, ServerSlot, ShedReason};
/// use resilience::{Deadline, Priority, SlotName, observe::Fanout};
///
/// let spec = server::ServerSpec::try_from(serde_json::json!({
///     "preset": "static", "limit": {"max": 1}, "queue": "off",
/// })).unwrap();
/// let name = SlotName::new("product.server", "product", "server");
/// let door = ServerSlot::new(name, spec.resolve().unwrap(), Arc::new(Fanout::default()));
///
/// let arrival = Arrival {
///     method: "GetProducts",
///     request_id: "r-1",
///     priority: Priority::Critical,
///     deadline: Deadline::NONE,
/// };
/// let first = door.admit(arrival).await.unwrap();
/// assert_eq!(door.admit(arrival).await.unwrap_err().reason, ShedReason::Full);
/// first.finish(End::Ok);
/// assert!(door.admit(arrival).await.is_ok());
/// # });
/// ```
#[derive(Clone)]
pub struct ServerSlot(Arc<Inner>);

struct Inner {
    name: SlotName,
    door: ArcSwap<Door>,
    observer: Arc<dyn Observer>,
    /// Held over a swap and the telling of it, so that two swaps are told in their order.
    order: Mutex<()>,
}

impl ServerSlot {
    /// A door with its first policy.
    pub fn new(name: SlotName, policy: ServerPolicy, observer: Arc<dyn Observer>) -> Self {
        let slot = Self(Arc::new(Inner {
            name,
            door: ArcSwap::from_pointee(Door::new(policy)),
            observer,
            order: Mutex::new(()),
        }));
        slot.tell_policy(&slot.0.door.load());
        slot
    }

    /// The slot's id, such as `product.server`.
    pub fn name(&self) -> &str {
        &self.0.name.link
    }

    /// All of the slot's names.
    pub fn names(&self) -> &SlotName {
        &self.0.name
    }

    /// The policy for what arrives now.
    pub fn policy(&self) -> ServerPolicy {
        self.0.door.load().policy.clone()
    }

    /// Swaps the policy. What was let in ends, and who waits goes on waiting, under the one they
    /// met; the new one starts with fresh state and nothing under way. So for the time of one
    /// request more may be under way than either limit allows.
    pub fn set(&self, policy: ServerPolicy) {
        self.replace(|_| policy);
    }

    /// The same policy with fresh state: the limit where it begins, nobody waiting.
    pub fn reset(&self) {
        self.replace(ServerPolicy::clone);
    }

    /// How the current policy's door stands. What an earlier one let in isn't counted.
    pub fn view(&self) -> ServerView {
        self.0.door.load().view()
    }

    /// Asks to be let in, and waits for as long as the policy and the deadline allow.
    ///
    /// Dropping the future gives the place in the queue up at once, and is told to nobody. Work on
    /// what was let in should race its deadline and be dropped when the caller goes, and the
    /// [`Admission`] with it.
    ///
    /// # Errors
    /// [`Shed`], with the reason and an estimate of when to come back.
    pub async fn admit(&self, arrival: Arrival<'_>) -> Result<Admission, Shed> {
        let arrived = Instant::now();
        let door = self.0.door.load_full();
        match door.enter(arrival.priority, arrival.deadline).await {
            Ok(lease) => Ok(self.admitted(&door, lease, arrival, arrived)),
            Err(shed) => {
                self.tell_shed(&door, arrival, shed);
                Err(shed)
            }
        }
    }

    fn admitted(
        &self,
        door: &Arc<Door>,
        lease: Lease,
        arrival: Arrival<'_>,
        arrived: Instant,
    ) -> Admission {
        self.tell(&Event::Admitted {
            slot: &self.0.name,
            call: arrival.id(&door.policy.preset),
            waited: lease.since.saturating_duration_since(arrived),
            priority: arrival.priority,
            inflight: lease.seen.inflight,
            limit: self.limit_now(door, lease.seen),
        });
        Admission {
            slot: self.clone(),
            door: door.clone(),
            lease: Some(lease),
            call: OwnedId::new(arrival.id(&door.policy.preset)),
            deadline: arrival.deadline,
        }
    }

    fn replace(&self, next: impl FnOnce(&ServerPolicy) -> ServerPolicy) {
        let _order = self.0.order.lock();
        let door = Arc::new(Door::new(next(&self.0.door.load().policy)));
        self.0.door.store(door.clone());
        self.tell_policy(&door);
    }

    /// The slot's limit: that of the current door, whichever door `seen` was seen at.
    fn limit_now(&self, door: &Arc<Door>, seen: ServerView) -> Option<u32> {
        let current = self.0.door.load();
        if Arc::ptr_eq(&current, door) {
            seen.limit
        } else {
            current.view().limit
        }
    }

    fn tell_policy(&self, door: &Door) {
        self.tell(&Event::ServerPolicy {
            slot: &self.0.name,
            policy: &door.policy.preset,
            limit: door.view().limit,
        });
    }

    fn tell_shed(&self, door: &Door, arrival: Arrival<'_>, shed: Shed) {
        tracing::debug!(
            link = self.0.name.link,
            priority = arrival.priority.as_str(),
            reason = shed.reason.as_str(),
            retry_after_ms = shed.retry_after.as_secs_f64() * 1_000.0,
            "shed",
        );
        self.tell(&Event::Shed {
            slot: &self.0.name,
            call: arrival.id(&door.policy.preset),
            priority: arrival.priority,
            reason: shed.reason,
            retry_after: shed.retry_after,
        });
    }

    fn tell(&self, event: &Event<'_>) {
        self.0.observer.on(event);
    }
}

impl std::fmt::Debug for ServerSlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerSlot")
            .field("name", &self.0.name)
            .field("policy", &self.0.door.load().policy)
            .finish_non_exhaustive()
    }
}

impl<'a> Arrival<'a> {
    fn id(&self, policy: &'a str) -> CallId<'a> {
        CallId {
            method: self.method,
            request_id: self.request_id,
            policy,
        }
    }
}

/// Leave to work on one request. Say how it ended; dropping it instead says that the caller has
/// gone: the slot is given back, and the time counts as wasted.
///
/// Dropped at its deadline (or when the deadline is as good as there), it counts for the limit as
/// dropped by overload: otherwise an adaptive limit would see the quick ones only. Dropped
/// earlier, as the loser of a hedge or by a user who went, it tells the limit nothing.
#[must_use = "an admission dropped at once counts as a caller who has gone"]
pub struct Admission {
    slot: ServerSlot,
    door: Arc<Door>,
    /// Taken when it ends.
    lease: Option<Lease>,
    call: OwnedId,
    deadline: Deadline,
}

impl Admission {
    /// The work has ended. An answer after the deadline reaches nobody: its time counts as wasted
    /// too.
    pub fn finish(mut self, end: End) {
        let wasted = self.deadline.expired();
        self.conclude(end.dropped(), wasted);
    }

    /// As [`finish`](Self::finish), or as dropping it without an end, where whoever did the work
    /// counts what was wasted of it: here it counts as none.
    pub fn settle(mut self, end: Option<End>) {
        let dropped = end.map_or_else(|| self.cut_short(), End::dropped);
        self.conclude(dropped, false);
    }

    /// What it tells the limit to be dropped now.
    fn cut_short(&self) -> Option<bool> {
        self.deadline.ends_within(TIMER_SLACK).then_some(true)
    }

    fn conclude(&mut self, dropped: Option<bool>, wasted: bool) {
        let Some(lease) = self.lease.take() else {
            return;
        };
        let took = lease.since.elapsed();
        let left = lease.end(took, dropped);
        let slot = &self.slot;
        if wasted {
            let took_ms = took.as_secs_f64() * 1_000.0;
            tracing::debug!(link = slot.name(), took_ms, "wasted work");
        }
        slot.tell(&Event::Finished {
            slot: slot.names(),
            call: self.call.id(&self.door.policy.preset),
            took,
            wasted,
            inflight: left.inflight,
            limit: slot.limit_now(&self.door, left),
        });
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.conclude(self.cut_short(), true);
    }
}

impl std::fmt::Debug for Admission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admission")
            .field("slot", &self.slot.name())
            .field("call", &self.call.id(&self.door.policy.preset))
            .finish_non_exhaustive()
    }
}

/// A [`CallId`] of its own, in one allocation: an admission outlives the request's head.
struct OwnedId {
    text: Box<str>,
    method: usize,
}

impl OwnedId {
    fn new(call: CallId<'_>) -> Self {
        let mut text = String::with_capacity(call.method.len() + call.request_id.len());
        text.push_str(call.method);
        text.push_str(call.request_id);
        Self {
            text: text.into_boxed_str(),
            method: call.method.len(),
        }
    }

    fn id<'a>(&'a self, policy: &'a str) -> CallId<'a> {
        let (method, request_id) = self.text.split_at(self.method);
        CallId {
            method,
            request_id,
            policy,
        }
    }
}

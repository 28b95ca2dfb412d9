//! Failpoints: named places in the code where the lab can end the process, at a chosen visit.
//!
//! They stand before and after each commit, before each reply, in recovery and in sweeps. A run
//! that broke a rule is repeated by arming the same point with the same number of visits ("the
//! third visit of `order.placed` kills"). Outside of lab mode there is no table, and a visit is
//! one comparison; in lab mode, while nothing is armed, it is one atomic load more.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use rustix::process::{Signal, getpid, kill_process};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{sync::Notify, time::Instant};

use super::{
    events::EventBus,
    lease::{Lease, left_ms},
};

/// The failpoints of a process; a clone is the same.
#[derive(Clone, Default)]
pub struct Failpoints {
    inner: Option<Arc<Inner>>,
}

struct Inner {
    bus: EventBus,
    armed: AtomicUsize,
    table: Mutex<Table>,
    reached: Notify,
}

#[derive(Default)]
struct Table {
    known: Vec<&'static str>,
    armed: BTreeMap<&'static str, Armed>,
    /// Points that have acted, in order.
    acted: Vec<&'static str>,
}

struct Armed {
    action: Action,
    /// The visit that acts, from 1.
    hit: u64,
    hits: u64,
    until: Instant,
}

/// What the chosen visit does.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Ends the process as `kill -9` does.
    Kill,
    /// Never comes back: the visiting task stops there, as if the process had died for it. A test
    /// then drops the service.
    Hang,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    #[serde(default = "kill")]
    action: Action,
    #[serde(default = "first")]
    hit: u64,
    #[serde(default)]
    lease: Lease,
}

fn kill() -> Action {
    Action::Kill
}

fn first() -> u64 {
    1
}

impl Failpoints {
    /// Without a table: every visit passes, and nothing can be armed.
    #[must_use]
    pub fn off() -> Self {
        Self::default()
    }

    pub(crate) fn new(bus: EventBus) -> Self {
        Self {
            inner: Some(Arc::new(Inner {
                bus,
                armed: AtomicUsize::new(0),
                table: Mutex::default(),
                reached: Notify::new(),
            })),
        }
    }

    /// Says which points the process has; only these can be armed.
    pub fn declare(&self, points: &[&'static str]) {
        if let Some(inner) = &self.inner {
            inner.table.lock().known.extend(points);
        }
    }

    /// Visits a point: goes on, or acts when the lab has armed this visit.
    pub async fn hit(&self, point: &'static str) {
        let Some(inner) = &self.inner else { return };
        if inner.armed.load(Ordering::Relaxed) == 0 {
            return;
        }
        match inner.visit(point) {
            None => {}
            Some(Action::Kill) => {
                // Nothing of ours runs after that: no flush, no rollback, no reply.
                let _ = kill_process(getpid(), Signal::KILL);
                std::future::pending::<()>().await;
            }
            Some(Action::Hang) => std::future::pending::<()>().await,
        }
    }

    /// Waits until a point has acted (with [`Action::Hang`]); says which.
    pub async fn reached(&self) -> &'static str {
        let Some(inner) = &self.inner else {
            return std::future::pending().await;
        };
        loop {
            let next = inner.reached.notified();
            if let Some(point) = inner.table.lock().acted.pop() {
                return point;
            }
            next.await;
        }
    }

    /// Arms a point: `{"action": "kill", "hit": 3, "lease": "15s"}`. The same wish again renews
    /// the lease and keeps the count of visits.
    ///
    /// # Errors
    /// What is wrong with the wish; an unknown point, with those there are.
    pub fn arm(&self, point: &str, wish: &[u8]) -> Result<Value, String> {
        let inner = self.inner.as_ref().ok_or("not in lab mode")?;
        let wish = if wish.is_empty() { b"{}" } else { wish };
        let wish: Wish = serde_json::from_slice(wish)
            .map_err(|error| format!("the body can't be read: {error}"))?;
        if wish.hit == 0 {
            return Err("`hit` counts from 1".to_owned());
        }
        let mut table = inner.table.lock();
        let known = table.known.iter().find(|known| **known == point);
        let point = *known.ok_or_else(|| {
            format!(
                "no failpoint {point:?} here; there are: {}",
                table.known.join(", ")
            )
        })?;
        let same = table.armed.get(point);
        let same = same.filter(|a| (a.action, a.hit) == (wish.action, wish.hit));
        let hits = same.map_or(0, |armed| armed.hits);
        let armed = Armed {
            action: wish.action,
            hit: wish.hit,
            hits,
            until: wish.lease.until(),
        };
        let shown = armed.show(point);
        table.armed.insert(point, armed);
        inner.count(&table);
        Ok(shown)
    }

    /// Takes off what is armed: one point, or all.
    pub fn disarm(&self, point: Option<&str>) -> Value {
        let Some(inner) = &self.inner else {
            return json!({ "removed": [] });
        };
        let mut table = inner.table.lock();
        let mut removed = Vec::new();
        table.armed.retain(|name, armed| {
            let goes = point.is_none_or(|point| point == *name);
            if goes {
                removed.push(armed.show(name));
            }
            !goes
        });
        inner.count(&table);
        json!({ "removed": removed })
    }

    /// All points, and those that are armed.
    pub fn show(&self) -> Value {
        let Some(inner) = &self.inner else {
            return json!({ "known": [], "armed": [] });
        };
        let mut table = inner.table.lock();
        table.expire();
        inner.count(&table);
        let armed: Vec<Value> = table.armed.iter().map(|(name, a)| a.show(name)).collect();
        json!({ "known": table.known, "armed": armed })
    }
}

impl Inner {
    fn visit(&self, point: &'static str) -> Option<Action> {
        let action = {
            let mut table = self.table.lock();
            table.expire();
            self.count(&table);
            let armed = table.armed.get_mut(point)?;
            armed.hits += 1;
            if armed.hits < armed.hit {
                return None;
            }
            let action = armed.action;
            table.armed.remove(point);
            table.acted.push(point);
            self.count(&table);
            action
        };
        self.bus.send("failpoint", || {
            let fields = json!({ "point": point, "action": action });
            fields.as_object().cloned().unwrap_or_default()
        });
        self.reached.notify_waiters();
        Some(action)
    }

    fn count(&self, table: &Table) {
        self.armed.store(table.armed.len(), Ordering::Relaxed);
    }
}

impl Table {
    fn expire(&mut self) {
        let now = Instant::now();
        self.armed.retain(|_, armed| armed.until > now);
    }
}

impl Armed {
    fn show(&self, point: &str) -> Value {
        json!({
            "point": point, "action": self.action, "hit": self.hit, "hits": self.hits,
            "expires_in_ms": left_ms(self.until),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt as _;

    use super::*;

    fn points() -> Failpoints {
        let points = Failpoints::new(EventBus::new("order"));
        points.declare(&["a", "b"]);
        points
    }

    #[tokio::test]
    async fn the_third_visit_acts_and_once_alone() {
        let points = points();
        points.arm("a", br#"{"action":"hang","hit":3}"#).unwrap();
        points.hit("b").await;
        points.hit("a").await;
        points.hit("a").await;
        assert!(points.hit("a").now_or_never().is_none());
        assert_eq!(points.reached().await, "a");
        points.hit("a").await;
    }

    #[tokio::test]
    async fn a_renewal_keeps_the_count_and_another_wish_does_not() {
        let points = points();
        let wish = br#"{"action":"hang","hit":2}"#;
        points.arm("a", wish).unwrap();
        points.hit("a").await;
        assert_eq!(points.arm("a", wish).unwrap()["hits"], 1);
        assert_eq!(points.arm("a", br#"{"hit":5}"#).unwrap()["hits"], 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_point_whose_owner_died_lets_go() {
        let points = points();
        points
            .arm("a", br#"{"action":"hang","lease":"2s"}"#)
            .unwrap();
        tokio::time::advance(Duration::from_secs(3)).await;
        points.hit("a").await;
        assert_eq!(points.show()["armed"], json!([]));
    }

    #[tokio::test]
    async fn what_is_not_there_can_not_be_armed() {
        let refused = points().arm("c", b"").unwrap_err();
        assert!(refused.contains("a, b"), "{refused}");
        assert!(points().arm("a", br#"{"hit":0}"#).is_err());
        assert!(points().arm("a", br#"{"lease":"1h"}"#).is_err());
        assert!(Failpoints::off().arm("a", b"").is_err());
        Failpoints::off().hit("a").await;
    }
}

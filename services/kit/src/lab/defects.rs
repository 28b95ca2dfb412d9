//! Seeded defects: bugs that are in the code on purpose, each behind a switch of its own, to see
//! whether the checker finds them. docs/INTEGRITY.md lists them.
//!
//! The switches are thrown by the control API, so they exist in lab mode alone; each holds a lease
//! that its owner renews. Outside of lab mode asking one is a comparison that says no.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::lease::{Lease, left_ms};

/// The switches of a process; a clone is the same.
#[derive(Clone, Default)]
pub struct Defects {
    inner: Option<Arc<Inner>>,
}

#[derive(Default)]
struct Inner {
    on: AtomicUsize,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    known: Vec<&'static str>,
    on: BTreeMap<&'static str, On>,
}

struct On {
    until: Instant,
    /// How often the code went the wrong way.
    acted: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    #[serde(default)]
    lease: Lease,
}

impl Defects {
    /// Without switches: the code is right.
    #[must_use]
    pub fn off() -> Self {
        Self::default()
    }

    pub(crate) fn in_lab() -> Self {
        Self {
            inner: Some(Arc::default()),
        }
    }

    /// Switches for a test or a simulation, where no control API is.
    #[must_use]
    pub fn for_test(known: &[&'static str]) -> Self {
        let defects = Self::in_lab();
        defects.declare(known);
        defects
    }

    /// With one of them on for good, for a simulation.
    ///
    /// # Panics
    /// When the list does not name it.
    #[must_use]
    pub fn always(known: &[&'static str], defect: &str) -> Self {
        let defects = Self::for_test(known);
        defects.set(defect, b"").expect("a known defect");
        if let Some(inner) = &defects.inner {
            let far = Instant::now() + std::time::Duration::from_secs(1 << 30);
            inner
                .table
                .lock()
                .on
                .values_mut()
                .for_each(|on| on.until = far);
        }
        defects
    }

    /// Says which defects the process has.
    pub fn declare(&self, defects: &[&'static str]) {
        if let Some(inner) = &self.inner {
            inner.table.lock().known.extend(defects);
        }
    }

    /// Whether the code is to go wrong here; counts that it did.
    #[must_use]
    pub fn on(&self, defect: &'static str) -> bool {
        let Some(inner) = &self.inner else {
            return false;
        };
        if inner.on.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let mut table = inner.table.lock();
        table.expire(inner);
        let Some(on) = table.on.get_mut(defect) else {
            return false;
        };
        on.acted += 1;
        true
    }

    /// Throws a switch: `{"lease": "15s"}`; again to renew it.
    ///
    /// # Errors
    /// What is wrong with the wish; an unknown defect, with those there are.
    pub fn set(&self, defect: &str, wish: &[u8]) -> Result<Value, String> {
        let inner = self.inner.as_ref().ok_or("not in lab mode")?;
        let wish = if wish.is_empty() { b"{}" } else { wish };
        let wish: Wish = serde_json::from_slice(wish)
            .map_err(|error| format!("the body can't be read: {error}"))?;
        let mut table = inner.table.lock();
        let known = table.known.iter().find(|known| **known == defect);
        let defect = *known.ok_or_else(|| {
            format!(
                "no defect {defect:?} here; there are: {}",
                table.known.join(", ")
            )
        })?;
        let acted = table.on.get(defect).map_or(0, |on| on.acted);
        let on = On {
            until: wish.lease.until(),
            acted,
        };
        let shown = on.show(defect);
        table.on.insert(defect, on);
        inner.on.store(table.on.len(), Ordering::Relaxed);
        Ok(shown)
    }

    /// Mends the code: one defect, or all.
    pub fn clear(&self, defect: Option<&str>) -> Value {
        let Some(inner) = &self.inner else {
            return json!({ "removed": [] });
        };
        let mut table = inner.table.lock();
        let mut removed = Vec::new();
        table.on.retain(|name, on| {
            let goes = defect.is_none_or(|defect| defect == *name);
            if goes {
                removed.push(on.show(name));
            }
            !goes
        });
        inner.on.store(table.on.len(), Ordering::Relaxed);
        json!({ "removed": removed })
    }

    /// All defects, and those that are on.
    pub fn show(&self) -> Value {
        let Some(inner) = &self.inner else {
            return json!({ "known": [], "on": [] });
        };
        let mut table = inner.table.lock();
        table.expire(inner);
        let on: Vec<Value> = table.on.iter().map(|(name, on)| on.show(name)).collect();
        json!({ "known": table.known, "on": on })
    }
}

impl Table {
    fn expire(&mut self, inner: &Inner) {
        let now = Instant::now();
        self.on.retain(|_, on| on.until > now);
        inner.on.store(self.on.len(), Ordering::Relaxed);
    }
}

impl On {
    fn show(&self, defect: &str) -> Value {
        json!({ "defect": defect, "acted": self.acted, "expires_in_ms": left_ms(self.until) })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_switch_is_on_until_its_lease_is_over_and_counts() {
        let defects = Defects::for_test(&["late_key"]);
        assert!(!defects.on("late_key"));
        defects.set("late_key", br#"{"lease":"5s"}"#).unwrap();
        assert!(defects.on("late_key"));
        assert!(!defects.on("other"));
        assert_eq!(defects.show()["on"][0]["acted"], 1);
        tokio::time::advance(Duration::from_secs(6)).await;
        assert!(!defects.on("late_key"));
    }

    #[tokio::test]
    async fn outside_of_the_lab_there_is_none() {
        assert!(Defects::off().set("late_key", b"").is_err());
        assert!(!Defects::off().on("late_key"));
        assert!(
            Defects::for_test(&["a"])
                .set("b", b"")
                .unwrap_err()
                .contains('a')
        );
    }
}

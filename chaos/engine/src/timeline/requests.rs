//! What the services of a target do to themselves, in every replica: faults per request, by their
//! fault layer, and seeded defects.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::{Count, Injector, LEASE, Order};
use crate::control::Control;
use crate::error::EngineError;
use crate::scenario::{Action, known};
use crate::target::same;

/// The fault layers of a target's services.
pub struct RequestInjector {
    controls: Vec<Control>,
    seed: AtomicU64,
    /// What is in force: by name, with the link.
    on: Mutex<BTreeMap<String, (String, Value)>>,
    /// How often defects acted in processes that were killed since.
    died: Mutex<BTreeMap<String, u64>>,
    /// Parts whose process is stopped: they can't be reached, and that is planned.
    away: Mutex<BTreeSet<String>>,
}

impl RequestInjector {
    /// The fault layers behind these controls.
    #[must_use]
    pub fn new(controls: Vec<Control>) -> Self {
        Self {
            controls,
            seed: AtomicU64::new(0),
            on: Mutex::default(),
            died: Mutex::default(),
            away: Mutex::default(),
        }
    }

    /// The controls that a fault on a link goes to: every replica of the service, or
    /// the one that the link names.
    ///
    /// # Errors
    /// [`EngineError::Missing`] when there is none.
    pub fn of(&self, link: &str) -> Result<Vec<&Control>, EngineError> {
        let layer = known::fault_layer(link);
        let wanted = match known::replica(link) {
            Some(number) => format!("{layer}.{number}"),
            None => layer.to_owned(),
        };
        let of = self.controls.iter().filter(|c| same(c.part(), &wanted));
        let found: Vec<_> = of.collect();
        if found.is_empty() {
            return Err(EngineError::Missing {
                what: "control API",
                part: wanted,
            });
        }
        Ok(found)
    }

    /// What the draws of a repeat come from: paired arms meet the same fate.
    pub fn seed(&self, seed: u64) {
        self.seed.store(seed, Ordering::Relaxed);
    }

    /// A part is about to be stopped.
    pub fn leaves(&self, part: &str) {
        self.away.lock().insert(part.to_owned());
    }

    /// A part's process is about to end: what its defects did is read before it is lost. They stay
    /// on, since some show at the very end alone.
    pub async fn dies(&self, part: &str) {
        for (name, link, defect) in self.defects() {
            let of = self.of(&link).unwrap_or_default();
            for control in of.into_iter().filter(|control| control.part() == part) {
                if let Ok(acted) = control.defect_acted(&defect).await {
                    *self.died.lock().entry(name.clone()).or_default() += acted;
                }
            }
        }
    }

    fn defects(&self) -> Vec<(String, String, String)> {
        let on = self.on.lock();
        let defect = |(name, (link, body)): (&String, &(String, Value))| {
            let defect = body["defect"].as_str()?;
            Some((name.clone(), link.clone(), defect.to_owned()))
        };
        on.iter().filter_map(defect).collect()
    }

    /// A part is there again. One that was started anew has lost its faults.
    ///
    /// # Errors
    /// [`EngineError::Http`].
    pub async fn is_back(&self, part: &str) -> Result<(), EngineError> {
        self.away.lock().remove(part);
        let on: Vec<(String, Value)> = self.on.lock().values().cloned().collect();
        for (link, body) in on {
            for control in self.of(&link)? {
                if control.part() == part && !renewed(control, &body).await? {
                    add(control, &body).await?;
                }
            }
        }
        Ok(())
    }

    fn is_away(&self, control: &Control) -> bool {
        self.away.lock().contains(control.part())
    }

    fn body(&self, order: Order<'_>) -> Value {
        let mut body = json!({
            "id": order.name,
            "seed": self.seed.load(Ordering::Relaxed),
            "link": known::base(order.link),
            "lease": lease(),
        });
        if let Action::Defect(defect) = order.action {
            body["defect"] = json!(defect);
        }
        // A fault is plain data, which always serialises, to an object.
        if let (Action::Request(fault), Value::Object(body)) = (order.action, &mut body)
            && let Ok(Value::Object(fault)) = serde_json::to_value(fault)
        {
            body.extend(fault);
        }
        body
    }
}

fn lease() -> String {
    humantime::format_duration(LEASE).to_string()
}

async fn add(control: &Control, body: &Value) -> Result<(), EngineError> {
    match body["defect"].as_str() {
        Some(defect) => control.put_defect(defect, &lease()).await,
        None => control.add_fault(body).await,
    }
}

/// Whether it was still there.
async fn renewed(control: &Control, body: &Value) -> Result<bool, EngineError> {
    match body["defect"].as_str() {
        // Renewing a defect is switching it on.
        Some(defect) => control.put_defect(defect, &lease()).await.map(|()| true),
        None => {
            let id = body["id"].as_str().unwrap_or_default();
            control.renew_fault(id, &lease()).await
        }
    }
}

#[async_trait::async_trait]
impl Injector for RequestInjector {
    async fn inject(&self, order: Order<'_>) -> Result<(), EngineError> {
        let body = self.body(order);
        let held = (order.link.to_owned(), body.clone());
        self.on.lock().insert(order.name.to_owned(), held);
        for control in self.of(order.link)? {
            // A part that is away gets it when it is back.
            if !self.is_away(control) {
                add(control, &body).await?;
            }
        }
        Ok(())
    }

    async fn renew(&self, order: Order<'_>) -> Result<(), EngineError> {
        let body = self.body(order);
        for control in self.of(order.link)? {
            if !self.is_away(control) && !renewed(control, &body).await? {
                return Err(EngineError::http(
                    format!("renewing the fault `{}` on {}", order.name, control.part()),
                    "it is gone: its lease was over, or somebody has removed it",
                ));
            }
        }
        Ok(())
    }

    async fn clear(&self, order: Order<'_>) -> Result<Count, EngineError> {
        self.on.lock().remove(order.name);
        let mut count = Count {
            matched: (!matches!(order.action, Action::Defect(_))).then_some(0),
            acted: Some(self.died.lock().remove(order.name).unwrap_or(0)),
        };
        for control in self.of(order.link)? {
            if self.is_away(control) {
                continue;
            }
            if let Action::Defect(defect) = order.action {
                let acted = control.remove_defect(defect).await?;
                count = count.plus(Count {
                    matched: None,
                    acted: Some(acted),
                });
                continue;
            }
            if let Some(of) = control.remove_fault(order.name).await? {
                count = count.plus(Count {
                    matched: Some(of.matched),
                    acted: Some(of.acted),
                });
            }
        }
        Ok(count)
    }

    async fn clear_all(&self) -> Result<(), EngineError> {
        let defects = self.defects();
        self.on.lock().clear();
        self.died.lock().clear();
        let mut cleared = Ok(());
        for (_, link, defect) in defects {
            for control in self.of(&link)? {
                if !self.is_away(control) {
                    cleared = control.remove_defect(&defect).await.map(drop).and(cleared);
                }
            }
        }
        for control in &self.controls {
            if !self.is_away(control) {
                cleared = control.remove_faults().await.and(cleared);
            }
        }
        cleared
    }
}

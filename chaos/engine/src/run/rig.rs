//! The target with its controls in hand: settling before a trial, cleaning up
//! after anything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use loadtest::fixtures::{Catalogue, FixtureSpec, Fixtures};
use reqwest::Client;
use serde_json::Value;
use tokio::sync::mpsc;

use super::plan::Plan;
use crate::control::{Control, Events, Told};
use crate::diagnostics::list;
use crate::error::EngineError;
use crate::proxy::Proxies;
use crate::scenario::Arm;
use crate::target::{Target, http_client};

/// Customers of a trial: enough that no rate limit meets honest load.
const CUSTOMERS: usize = 50;
/// Products of a trial, and units of each: more than a trial can sell.
const PRODUCTS: usize = 20;
const UNITS: u64 = 1_000_000;

/// How often the clean-up is tried.
const CLEAN_TRIES: u32 = 5;

pub(super) struct Rig {
    pub target: Target,
    pub client: Client,
    pub proxies: Proxies,
    controls: Vec<Control>,
    fixtures: Fixtures,
    /// Which control has which slot.
    slots: BTreeMap<String, usize>,
    /// Whether a fault may be on.
    armed: AtomicBool,
}

impl Rig {
    /// Finds everything that the plan needs, and cleans up what an earlier run
    /// may have left.
    pub(super) async fn new(target: &Target, plan: &Plan) -> Result<Self, EngineError> {
        let client = http_client()?;
        let controls = Control::all(&client, target);
        let mut slots = BTreeMap::new();
        for (i, control) in controls.iter().enumerate() {
            for slot in control.policies().await?.into_keys() {
                slots.insert(slot, i);
            }
        }
        let (user, product) = (target.control_of("user")?, target.control_of("product")?);
        let fixtures = Fixtures::new(user.clone(), product.clone(), &target.lab_token)
            .map_err(|e| EngineError::Load(e.to_string()))?;
        let rig = Self {
            proxies: Proxies::new(client.clone(), target.proxy_api.clone()),
            target: target.clone(),
            client,
            controls,
            fixtures,
            slots,
            armed: AtomicBool::new(false),
        };
        rig.has_slots(plan)?;
        rig.has_links(plan).await?;
        rig.clean().await?;
        rig.armed.store(true, Ordering::Relaxed);
        Ok(rig)
    }

    fn has_slots(&self, plan: &Plan) -> Result<(), EngineError> {
        let wanted: BTreeSet<&String> = plan.arms.iter().flat_map(|a| a.specs.keys()).collect();
        match wanted
            .into_iter()
            .find(|slot| !self.slots.contains_key(*slot))
        {
            None => Ok(()),
            Some(slot) => {
                let known = list(&self.slots.keys().collect::<Vec<_>>());
                Err(EngineError::UnknownSlot {
                    slot: slot.clone(),
                    known,
                })
            }
        }
    }

    async fn has_links(&self, plan: &Plan) -> Result<(), EngineError> {
        let proxies = self.proxies.list().await?;
        match plan
            .schedule
            .faulted_links()
            .find(|link| !proxies.contains_key(*link))
        {
            None => Ok(()),
            Some(link) => Err(EngineError::Missing {
                what: "fault proxy",
                part: link.to_owned(),
            }),
        }
    }

    /// No faults, fresh state everywhere, the arm's policies in every slot.
    /// Returns the policies in effect.
    pub(super) async fn settle(&self, arm: &Arm) -> Result<BTreeMap<String, Value>, EngineError> {
        self.proxies.reset().await?;
        let mut effective = BTreeMap::new();
        for (slot, spec) in &arm.specs {
            let control = &self.controls[self.slots[slot]];
            effective.insert(slot.clone(), control.put_policy(slot, spec).await?);
        }
        self.reset_parts().await?;
        Ok(effective)
    }

    /// Fresh breakers, budgets, limiters and caches in every part.
    pub(super) async fn reset_parts(&self) -> Result<(), EngineError> {
        for control in &self.controls {
            control.reset().await?;
        }
        Ok(())
    }

    /// Customers and products that no other trial touches.
    pub(super) async fn catalogue(&self, run: &str) -> Result<Catalogue, EngineError> {
        let spec = FixtureSpec {
            customers: CUSTOMERS,
            staff: 0,
            products: PRODUCTS,
            units: UNITS,
            run: run.to_owned(),
        };
        self.fixtures
            .prepare(&spec)
            .await
            .map_err(|e| EngineError::Load(e.to_string()))
    }

    /// Opens the event streams of every part; each has said hello on return.
    pub(super) async fn events(
        &self,
        sink: &mpsc::Sender<Told>,
    ) -> Result<Vec<Events>, EngineError> {
        let mut open = Vec::new();
        for control in &self.controls {
            open.push(control.events(sink.clone()).await?);
        }
        Ok(open)
    }

    /// Clears every fault, however often it takes.
    pub(super) async fn clean(&self) -> Result<(), EngineError> {
        let mut tried = 1;
        loop {
            match self.proxies.reset().await {
                Err(_) if tried < CLEAN_TRIES => {
                    tokio::time::sleep(Duration::from_millis(200) * tried).await;
                    tried += 1;
                }
                outcome => return outcome,
            }
        }
    }
}

impl Rig {
    /// The run is over and its faults are cleared.
    pub(super) fn disarm(&self) {
        self.armed.store(false, Ordering::Relaxed);
    }
}

/// Dropped in the middle (a panic, an abort), the rig still clears its faults as
/// long as there is a runtime to do it on.
impl Drop for Rig {
    fn drop(&mut self) {
        if !self.armed.load(Ordering::Relaxed) {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let proxies = self.proxies.clone();
            runtime.spawn(async move {
                // Nobody is left to tell; the next start clears faults too.
                let _ = proxies.reset().await;
            });
        }
    }
}

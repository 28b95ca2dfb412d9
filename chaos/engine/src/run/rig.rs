//! The target with its controls in hand: settling before a trial, cleaning up
//! after anything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use loadtest::Customer;
use loadtest::fixtures::{Catalogue, FixtureSpec, Fixtures};
use reqwest::Client;
use serde_json::Value;
use tokio::sync::mpsc;

use super::clean::Cleaner;
use super::plan::Plan;
use crate::control::{Control, Events, Told};
use crate::diagnostics::list;
use crate::error::EngineError;
use crate::scenario::{Action, Arm, ProcessAction, known};
use crate::target::{Target, http_client, same};
use crate::timeline::{Injector as _, Injectors};

pub(super) struct Rig {
    pub target: Target,
    pub client: Client,
    pub injectors: Arc<Injectors>,
    controls: Vec<Control>,
    /// `None` when the target isn't the shop.
    fixtures: Option<Fixtures>,
    /// Which controls have which slot: those of every replica.
    slots: BTreeMap<String, Vec<usize>>,
    cleaner: Cleaner,
}

impl Rig {
    /// Finds everything that the plan needs, and cleans up what an earlier run
    /// may have left.
    pub(super) async fn new(target: &Target, plan: &Plan) -> Result<Self, EngineError> {
        let client = http_client()?;
        let controls = Control::all(&client, target);
        let mut slots: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        let mut before = Vec::new();
        for (i, control) in controls.iter().enumerate() {
            for (slot, policy) in control.policies().await? {
                slots.entry(slot.clone()).or_default().push(i);
                before.push((control.clone(), slot, policy));
            }
        }
        let injectors = Arc::new(Injectors::new(&client, target, &controls).await?);
        let rig = Self {
            fixtures: fixtures(target)?,
            target: target.clone(),
            client,
            cleaner: Cleaner::new(Arc::clone(&injectors), before),
            injectors,
            controls,
            slots,
        };
        rig.has_slots(plan)?;
        rig.has_replicas(plan)?;
        rig.can_break(plan)?;
        rig.clean().await?;
        rig.cleaner.arm();
        Ok(rig)
    }

    /// The shop has every slot; of another target only those count that an arm names.
    fn has_slots(&self, plan: &Plan) -> Result<(), EngineError> {
        let wanted = plan.arms.iter().flat_map(|arm| {
            let named = &arm.named;
            let specs = arm.specs.keys();
            specs.filter(|slot| self.target.is_shop() || named.contains(*slot))
        });
        let mut wanted: BTreeSet<&String> = wanted.collect();
        wanted.retain(|slot| *slot != known::LOAD && !self.slots.contains_key(*slot));
        match wanted.first() {
            None => Ok(()),
            Some(slot) => {
                let known = list(&self.slots.keys().collect::<Vec<_>>());
                Err(EngineError::UnknownSlot {
                    slot: (*slot).clone(),
                    known,
                })
            }
        }
    }

    fn has_replicas(&self, plan: &Plan) -> Result<(), EngineError> {
        for (part, wanted) in &plan.replicas {
            let name = part.trim_end_matches("-service");
            let there = self.target.control.keys().filter(|c| same(c, name)).count();
            if self.target.is_shop() && there < *wanted as usize {
                return Err(EngineError::Missing {
                    what: "replica",
                    part: format!("{part}.{}", there + 1),
                });
            }
        }
        Ok(())
    }

    fn can_break(&self, plan: &Plan) -> Result<(), EngineError> {
        let s = &plan.schedule;
        let orders = s.faults.iter().map(|f| f.order());
        let orders = orders.chain(s.conditions.iter().map(|c| c.order()));
        orders
            .into_iter()
            .try_for_each(|order| self.injectors.can(order))
    }

    /// No faults, fresh state everywhere, the arm's policies in every slot, the
    /// repeat's seed in every injector. Returns the policies in effect.
    pub(super) async fn settle(
        &self,
        arm: &Arm,
        seed: u64,
    ) -> Result<BTreeMap<String, Value>, EngineError> {
        self.injectors.clear_all().await?;
        self.injectors.seed(seed).await?;
        self.injectors.policies(&arm.specs);
        let mut effective = BTreeMap::new();
        for (slot, spec) in &arm.specs {
            for i in self.slots.get(slot).into_iter().flatten() {
                let policy = self.controls[*i].put_policy(slot, spec).await?;
                effective.insert(slot.clone(), policy);
            }
        }
        if arm.named.contains(known::LOAD) {
            effective.insert(known::LOAD.to_owned(), arm.specs[known::LOAD].clone());
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

    /// Customers and products that no other trial touches; nothing when the target
    /// isn't the shop.
    pub(super) async fn catalogue(
        &self,
        plan: &Plan,
        run: &str,
    ) -> Result<Option<Catalogue>, EngineError> {
        let Some(fixtures) = &self.fixtures else {
            return Ok(None);
        };
        let wanted = plan.schedule.fixtures;
        let spec = FixtureSpec {
            customers: wanted.customers,
            staff: 0,
            products: wanted.products,
            units: wanted.units,
            run: run.to_owned(),
        };
        let made = fixtures.prepare(&spec).await;
        made.map(Some).map_err(|e| EngineError::Load(e.to_string()))
    }

    /// One of the staff and one admin, for a run in which they have work to do.
    pub(super) async fn keepers(&self, run: &str) -> Result<(Customer, Customer), EngineError> {
        let Some(fixtures) = &self.fixtures else {
            return Err(EngineError::NotAllowed(
                "[load.history] needs the shop: the target has no accounts to make".to_owned(),
            ));
        };
        let made = fixtures.keepers(run).await;
        made.map_err(|e| EngineError::Load(e.to_string()))
    }

    /// Opens the event streams of every part; each has said hello on return.
    pub(super) async fn events(
        &self,
        plan: &Plan,
        sink: &mpsc::Sender<Told>,
    ) -> Result<Vec<Events>, EngineError> {
        let mut open = Vec::new();
        for control in &self.controls {
            let ends = is_stopped(plan, control.part());
            open.push(control.events(sink.clone(), ends).await?);
        }
        Ok(open)
    }

    /// Clears every fault, however often it takes.
    pub(super) async fn clean(&self) -> Result<(), EngineError> {
        self.cleaner.clean().await
    }

    /// The run is over: its faults are cleared and the slots are as it found them.
    pub(super) async fn leave(&self) -> Result<(), EngineError> {
        self.cleaner.leave().await
    }
}

/// Whether a fault ends the process of a part.
fn is_stopped(plan: &Plan, part: &str) -> bool {
    plan.schedule.injected().any(|fault| {
        let ends = matches!(
            fault.action,
            Action::Process(ProcessAction::Kill | ProcessAction::Restart)
        );
        ends && same(part, &fault.link.replacen("-service", "", 1))
    })
}

fn fixtures(target: &Target) -> Result<Option<Fixtures>, EngineError> {
    if !target.is_shop() {
        return Ok(None);
    }
    let (user, product) = (target.control_of("user")?, target.control_of("product")?);
    Fixtures::new(user.clone(), product.clone(), &target.lab_token)
        .map(Some)
        .map_err(|e| EngineError::Load(e.to_string()))
}

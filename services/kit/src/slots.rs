use std::{collections::BTreeMap, sync::Arc};

use parking_lot::RwLock;
use resilience::{
    observe::{Fanout, MetricsObserver, Observer},
    policy::Policy,
    slot::{Slot, SlotName},
};

use crate::{Common, lab::events::EventBus};

/// All places of a process where a policy sits, by name.
#[derive(Clone)]
pub struct Slots {
    service: &'static str,
    policy: Policy,
    observer: Arc<dyn Observer>,
    bus: EventBus,
    slots: Arc<RwLock<BTreeMap<String, Slot>>>,
}

impl Slots {
    /// Without any slot yet; new ones start with the configured policy.
    pub fn new(common: &Common) -> Self {
        let bus = EventBus::new(common.name);
        let observer = Fanout(vec![
            Arc::new(MetricsObserver::new()),
            Arc::new(bus.clone()),
        ]);
        Self {
            service: common.name,
            policy: common.policy.clone(),
            observer: Arc::new(observer),
            bus,
            slots: Arc::default(),
        }
    }

    /// Makes the slot of a link's caller: `order-product` towards `product`.
    pub fn client(&self, link: &str, dependency: &str) -> Slot {
        self.with_policy(link, dependency, self.policy.clone())
    }

    /// The same with a policy of its own to start with.
    pub fn with_policy(&self, link: &str, dependency: &str, policy: Policy) -> Slot {
        let name = SlotName::new(link, self.service, dependency);
        let slot = Slot::new(name, policy, Arc::clone(&self.observer), rand::random());
        self.slots.write().insert(link.to_owned(), slot.clone());
        slot
    }

    /// A slot by name.
    pub fn get(&self, link: &str) -> Option<Slot> {
        self.slots.read().get(link).cloned()
    }

    /// All slots.
    pub fn all(&self) -> Vec<(String, Slot)> {
        self.slots
            .read()
            .iter()
            .map(|(name, slot)| (name.clone(), slot.clone()))
            .collect()
    }

    /// Where events go.
    pub fn bus(&self) -> &EventBus {
        &self.bus
    }
}

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::RwLock;
use resilience::{
    observe::{Fanout, MetricsObserver, Observer},
    policy::Policy,
    server::{ServerPolicy, ServerSlot},
    slot::{Slot, SlotName},
};

use crate::{
    Common,
    cache::Cache,
    db::Db,
    lab::{
        Defects, Failpoints,
        events::EventBus,
        faults::{ClientFaults, Faults, FaultyCache},
    },
};

/// All places of a process where a policy sits, by name; in lab mode also its faults.
#[derive(Clone)]
pub struct Slots {
    service: &'static str,
    policy: Policy,
    door: ServerPolicy,
    observer: Arc<dyn Observer>,
    bus: EventBus,
    faults: Option<Faults>,
    failpoints: Failpoints,
    defects: Defects,
    places: Arc<RwLock<BTreeMap<String, Place>>>,
}

/// One place where a policy sits.
#[derive(Clone)]
pub enum Place {
    /// The caller's end of a link.
    Caller(Slot),
    /// The door of this service.
    Server(ServerSlot),
}

impl Slots {
    /// Without any slot yet; new ones start with the configured policies.
    pub fn new(common: &Common) -> Self {
        let bus = EventBus::new(common.name);
        let observer = Fanout(vec![
            Arc::new(MetricsObserver::new()),
            Arc::new(bus.clone()),
        ]);
        let faults = common
            .lab
            .as_ref()
            .map(|_| Faults::new(common.name, bus.clone()));
        let (failpoints, defects) = match &common.lab {
            Some(_) => (Failpoints::new(bus.clone()), Defects::in_lab()),
            None => (Failpoints::off(), Defects::off()),
        };
        Self {
            failpoints,
            defects,
            service: common.name,
            policy: common.policy.clone(),
            door: common.server_policy.clone(),
            observer: Arc::new(observer),
            bus,
            faults,
            places: Arc::default(),
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
        self.put(link.to_owned(), Place::Caller(slot.clone()));
        slot
    }

    /// The slot at this service's door, `product.server`: made the first time it is asked for.
    pub fn server(&self) -> ServerSlot {
        let link = format!("{}.server", self.service);
        if let Some(Place::Server(slot)) = self.get(&link) {
            return slot;
        }
        let name = SlotName::new(link.as_str(), self.service, "server");
        let slot = ServerSlot::new(name, self.door.clone(), Arc::clone(&self.observer));
        self.put(link, Place::Server(slot.clone()));
        slot
    }

    fn put(&self, name: String, place: Place) {
        self.places.write().insert(name, place);
    }

    /// A place by name.
    pub fn get(&self, name: &str) -> Option<Place> {
        self.places.read().get(name).cloned()
    }

    /// All places, by name.
    pub fn all(&self) -> Vec<(String, Place)> {
        self.places
            .read()
            .iter()
            .map(|(name, place)| (name.clone(), place.clone()))
            .collect()
    }

    /// The service's database as the lab can break it, over the link `product-database`; outside of
    /// lab mode as it is.
    pub fn database(&self, db: Db) -> Db {
        match &self.faults {
            Some(faults) => db.with_faults(ClientFaults::new(faults, "database")),
            None => db,
        }
    }

    /// The service's cache as the lab can break it, over the link `product-cache`; outside of lab
    /// mode as it is.
    pub fn cache(&self, cache: Arc<dyn Cache>) -> Arc<dyn Cache> {
        match &self.faults {
            Some(faults) => Arc::new(FaultyCache {
                inner: cache,
                faults: ClientFaults::new(faults, "cache"),
            }),
            None => cache,
        }
    }

    /// The faults of this process; none outside of lab mode.
    pub(crate) fn faults(&self) -> Option<&Faults> {
        self.faults.as_ref()
    }

    /// Where the lab can end this process; none outside of lab mode.
    pub fn failpoints(&self) -> Failpoints {
        self.failpoints.clone()
    }

    /// The bugs that the lab can switch on; none outside of lab mode.
    pub fn defects(&self) -> Defects {
        self.defects.clone()
    }

    /// Where events go.
    pub fn bus(&self) -> &EventBus {
        &self.bus
    }
}

impl Place {
    /// Fresh state, the same policies.
    pub fn reset(&self) {
        match self {
            Self::Caller(slot) => slot.reset(),
            Self::Server(slot) => slot.reset(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lab_mode_has_faults() {
        let lab = Common::for_test("order");
        assert!(Slots::new(&lab).faults().is_some());
        let plain = Common { lab: None, ..lab };
        let plain = Slots::new(&plain);
        assert!(plain.faults().is_none());
        plain.failpoints().declare(&["a"]);
        plain.defects().declare(&["a"]);
        assert!(plain.failpoints().arm("a", b"").is_err());
        assert!(plain.defects().set("a", b"").is_err());
    }
}

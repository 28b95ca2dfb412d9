//! Operations that belong together: all about one key and the orders that came of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::check::{Subject, Violation};
use crate::history::{Call, History, Op};
use crate::types::{Basket, OrderId, UserId};

/// What one key of one user led to.
#[derive(Clone, Debug, Default)]
pub(super) struct Thread {
    pub(super) user: UserId,
    pub(super) key: String,
    pub(super) ops: BTreeSet<u64>,
    pub(super) baskets: BTreeSet<Basket>,
    pub(super) orders: BTreeSet<OrderId>,
    pub(super) order_keys: BTreeSet<String>,
}

pub(super) struct Threads {
    pub(super) all: Vec<Thread>,
}

impl Thread {
    /// Whether the violation names one of its operations as context.
    pub(super) fn is_needed_by(&self, violation: &Violation) -> bool {
        violation.context.iter().any(|op| self.ops.contains(op))
    }

    fn is_about(&self, subject: &Subject) -> bool {
        match subject {
            Subject::Key { user, key } => self.user == *user && self.key == *key,
            Subject::Order(order) => self.orders.contains(order),
            Subject::Product(product) => self.baskets.iter().any(|b| b.units_of(*product) > 0),
            Subject::OrderKey(key) => self.order_keys.contains(key),
            Subject::Run => false,
        }
    }
}

impl Threads {
    pub(super) fn of(history: &History) -> Self {
        let mut by_key: BTreeMap<(UserId, String), Thread> = BTreeMap::new();
        for op in &history.ops {
            let Some((user, key, basket)) = op.place() else {
                continue;
            };
            let thread = by_key.entry((user, key.to_owned())).or_default();
            (thread.user, thread.key) = (user, key.to_owned());
            thread.ops.insert(op.id);
            thread.baskets.insert(basket.clone());
            thread.orders.extend(op.placed().map(|(order, _)| order.id));
        }
        let mut all: Vec<Thread> = by_key.into_values().collect();
        find_at_rest(history, &mut all);
        let by_order: HashMap<OrderId, usize> = all
            .iter()
            .enumerate()
            .flat_map(|(at, thread)| thread.orders.iter().map(move |order| (*order, at)))
            .collect();
        for op in &history.ops {
            if let Some(at) = op.call.order().and_then(|order| by_order.get(&order)) {
                all[*at].ops.insert(op.id);
            }
        }
        Self { all }
    }

    /// The numbers of the operations that a violation is about.
    pub(super) fn about(&self, history: &History, violation: &Violation) -> BTreeSet<u64> {
        let named = violation.ops.iter().chain(&violation.context);
        let mut about: BTreeSet<u64> = named.copied().collect();
        for thread in self
            .all
            .iter()
            .filter(|thread| thread.is_about(&violation.subject))
        {
            about.extend(&thread.ops);
        }
        if let Subject::Order(order) = violation.subject {
            let of_it =
                |op: &&Op| op.call.order() == Some(order) && !matches!(op.call, Call::Place { .. });
            about.extend(history.ops.iter().filter(of_it).map(|op| op.id));
        }
        about
    }
}

/// Joins what was found at rest to the threads, by basket and by key.
fn find_at_rest(history: &History, all: &mut [Thread]) {
    let Some(last) = &history.last else { return };
    let mut by_basket: HashMap<(UserId, Basket), usize> = HashMap::new();
    let mut anyones: HashMap<Basket, usize> = HashMap::new();
    for (at, thread) in all.iter().enumerate() {
        for basket in &thread.baskets {
            by_basket.insert((thread.user, basket.clone()), at);
            anyones.insert(basket.clone(), at);
        }
    }
    for order in &last.orders {
        if let Some(at) = by_basket.get(&(order.user, order.basket())) {
            all[*at].orders.insert(order.id);
        }
    }
    let mut by_order: HashMap<OrderId, usize> = HashMap::new();
    for (at, thread) in all.iter().enumerate() {
        by_order.extend(thread.orders.iter().map(|order| (*order, at)));
    }
    for key in last.shop.iter().flat_map(|shop| &shop.keys) {
        if let Some(at) = by_order.get(&key.order) {
            all[*at].order_keys.insert(key.order_key.clone());
        }
    }
    let reservations = last
        .stock
        .iter()
        .filter_map(|stock| stock.reservations.as_ref());
    for row in reservations.flatten() {
        if let Some(at) = anyones.get(&row.lines) {
            all[*at].order_keys.insert(row.order_key.clone());
        }
    }
}

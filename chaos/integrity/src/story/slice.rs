//! Parts of a history that are histories themselves.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::threads::Thread;
use crate::check::{Subject, Violation};
use crate::history::History;
use crate::snapshot::{ReservationRow, ReservationState, Snapshot, Stock};
use crate::types::{Order, OrderId, ProductId};

/// The operations given, and the whole of what was found at rest; for a single order, key or
/// reservation the books' sums are left out, which would not add up without the others.
pub(super) fn keeping(history: &History, ops: &BTreeSet<u64>, violation: &Violation) -> History {
    let mut part = history.clone();
    part.ops.retain(|op| ops.contains(&op.id));
    if let (Some(last), Subject::Product(product)) = (&mut part.last, &violation.subject) {
        if let Some(stock) = &mut last.stock {
            stock.stock.retain(|row| row.product == *product);
        }
        last.orders
            .retain(|order| order.basket().units_of(*product) > 0);
    } else if let Some(last) = &mut part.last {
        let about = about(history, ops, violation);
        last.orders.retain(|order| about.contains(&order.id));
        keep_books(last, &about, &violation.subject);
    }
    part
}

/// Only what the violation names.
pub(super) fn named(history: &History, violation: &Violation) -> History {
    let named = violation.ops.iter().chain(&violation.context);
    let named: HashSet<u64> = named.copied().collect();
    let mut part = history.clone();
    part.ops.retain(|op| named.contains(&op.id));
    part.last = None;
    part
}

/// The orders that the operations and the violation speak of, one by one.
fn about(history: &History, ops: &BTreeSet<u64>, violation: &Violation) -> BTreeSet<OrderId> {
    let mut about = BTreeSet::new();
    let mut baskets = HashSet::new();
    for op in history.ops.iter().filter(|op| ops.contains(&op.id)) {
        about.extend(op.placed().map(|(order, _)| order.id));
        about.extend(op.call.order());
        baskets.extend(op.place().map(|(user, _, basket)| (user, basket)));
    }
    if let Subject::Order(order) = violation.subject {
        about.insert(order);
    }
    let at_rest = history.last.iter().flat_map(|last| &last.orders);
    let asked = |order: &&Order| baskets.contains(&(order.user, &order.basket()));
    about.extend(at_rest.filter(asked).map(|order| order.id));
    about
}

fn keep_books(last: &mut Snapshot, about: &BTreeSet<OrderId>, subject: &Subject) {
    let mut keys: HashSet<String> = HashSet::new();
    if let Subject::OrderKey(key) = subject {
        keys.insert(key.clone());
    }
    if let Some(shop) = &mut last.shop {
        let of_key = |order_key: &String| keys.contains(order_key);
        shop.keys
            .retain(|key| about.contains(&key.order) || of_key(&key.order_key));
        shop.outbox
            .effects
            .retain(|effect| about.contains(&effect.order));
        shop.open
            .sagas
            .retain(|saga| keys.contains(&saga.order_key));
        keys.extend(shop.keys.iter().map(|key| key.order_key.clone()));
    }
    if let Some(stock) = &mut last.stock {
        stock.stock.clear();
        let rows = stock.reservations.iter_mut();
        rows.for_each(|rows| rows.retain(|row| keys.contains(&row.order_key)));
    }
    if let Some(payments) = &mut last.payments {
        payments
            .payments
            .retain(|payment| keys.contains(&payment.order_key));
    }
}

/// Without these threads, as if they had never been: what they left in the books goes with them.
pub(super) fn without(history: &History, gone: &[&Thread]) -> History {
    let ops: HashSet<u64> = gone.iter().flat_map(|t| t.ops.iter().copied()).collect();
    let orders: HashSet<OrderId> = gone.iter().flat_map(|t| t.orders.iter().copied()).collect();
    let keys: HashSet<&String> = gone.iter().flat_map(|t| &t.order_keys).collect();
    let mut part = history.clone();
    part.ops.retain(|op| !ops.contains(&op.id));
    let Some(last) = &mut part.last else {
        return part;
    };
    let (gone, stay): (Vec<Order>, Vec<Order>) = std::mem::take(&mut last.orders)
        .into_iter()
        .partition(|o| orders.contains(&o.id));
    last.orders = stay;
    if let Some(stock) = &mut last.stock {
        take_out(stock, &gone, &keys);
    }
    if let Some(shop) = &mut last.shop {
        shop.keys.retain(|key| !keys.contains(&key.order_key));
        shop.outbox
            .effects
            .retain(|effect| !orders.contains(&effect.order));
        shop.open
            .sagas
            .retain(|saga| !keys.contains(&saga.order_key));
    }
    if let Some(payments) = &mut last.payments {
        payments
            .payments
            .retain(|payment| !keys.contains(&payment.order_key));
    }
    part
}

/// How a product's row would be without something: changes of available, reserved and committed.
type Changes = BTreeMap<ProductId, (i64, i64, i64)>;

fn take_out(stock: &mut Stock, orders: &[Order], keys: &HashSet<&String>) {
    let mut changes = Changes::new();
    match &mut stock.reservations {
        Some(rows) => rows.retain(|row| {
            let goes = keys.contains(&row.order_key);
            if goes {
                without_reservation(&mut changes, row);
            }
            !goes
        }),
        None => {
            for line in orders.iter().filter(|o| o.is_live()).flat_map(|o| &o.lines) {
                let change = changes.entry(line.product).or_default();
                change.0 += line.quantity;
                change.2 -= line.quantity;
            }
        }
    }
    for row in &mut stock.stock {
        let (available, reserved, committed) =
            changes.get(&row.product).copied().unwrap_or_default();
        row.available += available;
        row.ledger_sum += available;
        row.reserved += reserved;
        row.committed += committed;
    }
}

/// By what the ledger says of it, and by where it stands, which should agree.
fn without_reservation(changes: &mut Changes, row: &ReservationRow) {
    let all: i64 = row.lines.lines().iter().map(|line| line.quantity).sum();
    if all == 0 {
        return;
    }
    let kept = (row.taken - row.returned) / all;
    for line in row.lines.lines() {
        let change = changes.entry(line.product).or_default();
        change.0 += kept * line.quantity;
        match row.state {
            ReservationState::Held => change.1 -= line.quantity,
            ReservationState::Committed => change.2 -= line.quantity,
            _ => {}
        }
    }
}

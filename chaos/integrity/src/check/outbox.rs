//! Rule 9: events and payments take place once.

use std::collections::{BTreeMap, HashMap};

use super::{Checked, Rule, Subject, Violation, orders::NO_REST};
use crate::history::History;
use crate::snapshot::{Effect, Outbox, Payment, Snapshot};
use crate::types::{Order, OrderId, Status};

/// 9: an outbox event if and only if its transition, its effect once; a payment is taken once for
/// a live order, and not at all in the end where there is none.
pub(super) fn effects_once(history: &History) -> Checked {
    let last = history.last.as_ref().ok_or(NO_REST)?;
    let shop = last
        .shop
        .as_ref()
        .ok_or("the order service told of no outbox")?;
    let orders: BTreeMap<OrderId, &Order> = last.orders.iter().map(|o| (o.id, o)).collect();
    let mut broken = Vec::new();
    let mut events: BTreeMap<(OrderId, Status), Vec<&Effect>> = BTreeMap::new();
    // Orders from before the run are of no concern; those that can't be found have no number.
    let first = orders.keys().next().copied().unwrap_or(OrderId::MAX);
    for effect in shop
        .outbox
        .effects
        .iter()
        .filter(|effect| effect.order >= first || effect.order < 0)
    {
        events
            .entry((effect.order, effect.kind))
            .or_default()
            .push(effect);
        if effect.delivered != 1 {
            let what = format!(
                "event {} ({} of order {}) took effect {} times",
                effect.event,
                effect.kind.name(),
                effect.order,
                effect.delivered
            );
            let code = if effect.delivered == 0 {
                "undelivered"
            } else {
                "effect_twice"
            };
            broken.push(violation(code, Subject::Order(effect.order), what));
        }
    }
    broken.extend(events.iter().filter_map(|((order, kind), events)| {
        unwanted(*order, *kind, events.len(), orders.get(order).copied())
    }));
    broken.extend(missing(&orders, &shop.outbox, &events));
    broken.extend(payments(last));
    Ok(broken)
}

fn violation(code: &'static str, subject: Subject, what: String) -> Violation {
    Violation::new(Rule::EffectsOnce, code, subject, what)
}

fn unwanted(id: OrderId, kind: Status, count: usize, order: Option<&Order>) -> Option<Violation> {
    let subject = Subject::Order(id);
    let Some(order) = order else {
        let what = format!(
            "an event tells of order {id} being {}, and there is no such order",
            kind.name()
        );
        return Some(violation("event_without_order", subject, what));
    };
    if !kind.leads_to(order.status) {
        let what = format!(
            "an event tells of order {id} being {}, and it is {}",
            kind.name(),
            order.status.name()
        );
        return Some(violation("event_without_transition", subject, what));
    }
    let what = format!("{count} events tell of order {id} being {}", kind.name());
    (count > 1).then(|| violation("event_twice", subject, what))
}

/// Transitions that surely took place and have no event.
fn missing(
    orders: &BTreeMap<OrderId, &Order>,
    outbox: &Outbox,
    events: &BTreeMap<(OrderId, Status), Vec<&Effect>>,
) -> Vec<Violation> {
    let mut broken = Vec::new();
    for order in orders.values() {
        let surely = |kind: &&Status| went_through(order.status, **kind);
        for kind in outbox.kinds.iter().filter(surely) {
            if !events.contains_key(&(order.id, *kind)) {
                let what = format!(
                    "order {} was {}, and no event tells of it",
                    order.id,
                    kind.name()
                );
                broken.push(violation("event_missing", Subject::Order(order.id), what));
            }
        }
    }
    broken
}

/// Whether an order that ended in `at` was surely once in `kind`: one that was called off may have
/// been confirmed before.
fn went_through(at: Status, kind: Status) -> bool {
    match at {
        Status::Cancelled => matches!(kind, Status::Pending | Status::Cancelled),
        _ => kind.leads_to(at),
    }
}

fn payments(last: &Snapshot) -> Vec<Violation> {
    let (Some(shop), Some(payments)) = (&last.shop, &last.payments) else {
        return Vec::new();
    };
    let orders: HashMap<OrderId, &Order> = last.orders.iter().map(|o| (o.id, o)).collect();
    let keys: HashMap<&str, OrderId> = shop
        .keys
        .iter()
        .map(|key| (key.order_key.as_str(), key.order))
        .collect();
    let mut broken = Vec::new();
    for payment in &payments.payments {
        match keys.get(payment.order_key.as_str()) {
            // An order of somebody else, or from before the run.
            Some(id) if !orders.contains_key(id) => {}
            Some(id) => broken.extend(wrong_sum(payment, orders.get(id).copied())),
            None => broken.extend(wrong_sum(payment, None)),
        }
    }
    broken
}

fn wrong_sum(payment: &Payment, order: Option<&Order>) -> Option<Violation> {
    let owed = order
        .filter(|order| order.is_live())
        .map_or(0, |order| order.total);
    let kept = payment.captured - payment.refunded;
    let twice = payment.captured > payment.amount;
    if kept == owed && !twice {
        return None;
    }
    let of = order.map_or_else(
        || "no order".to_owned(),
        |order| format!("order {}", order.id),
    );
    let what = format!(
        "payment {} of {of}: {} cents taken and {} given back, where {owed} are owed",
        payment.order_key, payment.captured, payment.refunded
    );
    let code = if twice { "captured_twice" } else { "wrong_sum" };
    let subject = Subject::OrderKey(payment.order_key.clone());
    Some(violation(code, subject, what).by(kept - owed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests_support::healthy;

    fn codes(history: &History) -> Vec<&'static str> {
        effects_once(history)
            .unwrap()
            .into_iter()
            .map(|broken| broken.code)
            .collect()
    }

    fn changed(change: impl FnOnce(&mut Snapshot)) -> Vec<&'static str> {
        let mut history = healthy(9, 300);
        change(history.last.as_mut().unwrap());
        codes(&history)
    }

    #[test]
    fn an_event_of_an_order_that_is_not_there_is_found() {
        let broken = changed(|last| {
            let shop = last.shop.as_mut().unwrap();
            shop.outbox.effects[0].order = -1;
        });
        assert!(
            broken.contains(&"event_without_order") && broken.contains(&"event_missing"),
            "{broken:?}"
        );
    }

    #[test]
    fn transitions_that_the_service_writes_no_events_for_need_none() {
        let broken = changed(|last| {
            let outbox = &mut last.shop.as_mut().unwrap().outbox;
            outbox.kinds = vec![Status::Pending];
            outbox
                .effects
                .retain(|effect| effect.kind == Status::Pending);
        });
        assert!(broken.is_empty(), "{broken:?}");
    }

    #[test]
    fn one_that_was_called_off_may_have_been_confirmed_before() {
        assert!(went_through(Status::Cancelled, Status::Pending));
        assert!(!went_through(Status::Cancelled, Status::Confirmed));
        assert!(Status::Confirmed.leads_to(Status::Cancelled));
        assert!(went_through(Status::Shipped, Status::Confirmed));
    }

    #[test]
    fn a_payment_kept_for_no_order_is_found() {
        let broken = changed(|last| {
            let payments = &mut last.payments.as_mut().unwrap().payments;
            let kept = payments.iter_mut().find(|payment| payment.refunded == 0);
            kept.unwrap().order_key = "ok-x".to_owned();
        });
        assert_eq!(broken, ["wrong_sum"]);
    }
}

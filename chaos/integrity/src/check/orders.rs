//! Rules 1 and 3: acknowledged orders exist, refused ones leave nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::{
    Checked, Rule, Subject, Violation,
    keys::{self, Attempts},
};
use crate::history::{Call, History, Op};
use crate::snapshot::{ReservationState, Snapshot};
use crate::types::{Basket, Order, OrderId, Status, UserId};

/// 1: an acknowledged order exists, unchanged: same owner, lines, prices and sum at rest and in
/// every answer; and it was what the client asked for; and nobody called it off unasked.
pub(super) fn acknowledged_orders_exist(history: &History) -> Checked {
    let last = history.last.as_ref().ok_or(NO_REST)?;
    let there: HashMap<OrderId, &Order> = last.orders.iter().map(|o| (o.id, o)).collect();
    let acknowledged = history.acknowledged();
    let cancels = cancels(history);
    let changed = changed_in_answers(history, &acknowledged);
    let asked: HashSet<Asked<'_>> = history.ops.iter().filter_map(Op::place).collect();
    let none = Vec::new();
    let mut broken = Vec::new();
    for (id, (op, order)) in &acknowledged {
        let found = there.get(id).copied();
        let cancels = cancels.get(id).unwrap_or(&none);
        broken.extend(against_request(&asked, op, order));
        broken.extend(at_rest(op, order, found, cancels));
        broken.extend(changed.get(id).cloned());
    }
    Ok(broken)
}

pub(super) const NO_REST: &str = "the log ends before the shop was read at rest";

fn broken(code: &'static str, order: &Order, what: String) -> Violation {
    Violation::new(
        Rule::AcknowledgedOrdersExist,
        code,
        Subject::Order(order.id),
        what,
    )
}

/// Another basket than asked; where the key has two, rule 2 says it.
fn against_request(asked: &HashSet<Asked<'_>>, op: &Op, order: &Order) -> Option<Violation> {
    let (user, key, _) = op.place()?;
    if order.user == user && asked.contains(&(user, key, &order.basket())) {
        return None;
    }
    let what = format!("order {} is not what its client asked for", order.id);
    Some(broken("not_as_asked", order, what).shown_by([op.id]))
}

/// User, key and basket of a request.
type Asked<'a> = (UserId, &'a str, &'a Basket);

fn at_rest(op: &Op, order: &Order, found: Option<&Order>, cancels: &[&Op]) -> Option<Violation> {
    let Some(found) = found else {
        let what = format!(
            "order {} was acknowledged and is not there at rest",
            order.id
        );
        return Some(broken("lost", order, what).shown_by([op.id]));
    };
    if !order.is_same_as(found) {
        let what = format!(
            "order {} is another at rest than when acknowledged",
            order.id
        );
        return Some(broken("changed", order, what).shown_by([op.id]));
    }
    let asked = cancels.iter().any(|op| !op.is_fail());
    if found.status == Status::Cancelled && order.status != Status::Cancelled && !asked {
        let what = format!(
            "order {} was called off, and nobody's wish to do so was granted",
            order.id
        );
        let refused = cancels.iter().map(|op| op.id);
        return Some(
            broken("cancelled_unasked", order, what)
                .shown_by([op.id])
                .given(refused),
        );
    }
    None
}

/// All wishes to call an order off.
fn cancels(history: &History) -> BTreeMap<OrderId, Vec<&Op>> {
    let mut by_order: BTreeMap<OrderId, Vec<&Op>> = BTreeMap::new();
    for op in &history.ops {
        if let Call::Cancel { order, .. }
        | Call::Advance {
            order,
            to: Status::Cancelled,
        } = op.call
        {
            by_order.entry(order).or_default().push(op);
        }
    }
    by_order
}

/// The first answer to each order that shows it otherwise than acknowledged.
fn changed_in_answers(
    history: &History,
    acknowledged: &BTreeMap<OrderId, (&Op, &Order)>,
) -> BTreeMap<OrderId, Violation> {
    let mut changed = BTreeMap::new();
    for op in &history.ops {
        for seen in op.sightings() {
            let Some((first, order)) = acknowledged.get(&seen.id) else {
                continue;
            };
            if !order.is_same_as(seen) {
                let what = format!("order {} looks otherwise than when acknowledged", order.id);
                changed.entry(seen.id).or_insert_with(|| {
                    broken("changed_in_answer", order, what).shown_by([first.id, op.id])
                });
            }
        }
    }
    changed
}

/// 3: a 4xx leaves nothing behind: no order whose every request was refused, no order that nobody
/// asked for, and no units under a refused request.
pub(super) fn refused_leaves_nothing(history: &History) -> Checked {
    let last = history.last.as_ref().ok_or(NO_REST)?;
    let attempts = keys::attempts(history);
    let mut by_basket: HashMap<&Basket, Vec<&Attempts<'_>>> = HashMap::new();
    for attempts in &attempts {
        for basket in attempts.baskets() {
            by_basket.entry(basket).or_default().push(attempts);
        }
    }
    let mut broken: Vec<Violation> = last
        .orders
        .iter()
        .filter_map(|order| left_order(order, &by_basket))
        .collect();
    broken.extend(left_units(last, &by_basket));
    Ok(broken)
}

type ByBasket<'a> = HashMap<&'a Basket, Vec<&'a Attempts<'a>>>;

fn left_order(order: &Order, by_basket: &ByBasket<'_>) -> Option<Violation> {
    let rule = Rule::RefusedLeavesNothing;
    let subject = Subject::Order(order.id);
    let basket = order.basket();
    let asked = by_basket.get(&basket).into_iter().flatten();
    let mut asked = asked
        .filter(|attempts| attempts.user == order.user)
        .peekable();
    if asked.peek().is_none() {
        let what = format!(
            "order {} of user {} is there, and nobody asked for it",
            order.id, order.user
        );
        return Some(Violation::new(rule, "unasked", subject, what));
    }
    let mut refused = Vec::new();
    for attempts in asked {
        let of_it: Vec<&&Op> = attempts.asking_for(&basket).collect();
        if of_it.iter().any(|op| !op.is_fail()) {
            return None;
        }
        refused.extend(of_it.iter().map(|op| op.id));
    }
    let what = format!(
        "every request for order {} was refused, and it is there",
        order.id
    );
    Some(Violation::new(rule, "left_order", subject, what).given(refused))
}

/// Units held or sold at rest under a basket whose every request was refused.
fn left_units(last: &Snapshot, by_basket: &ByBasket<'_>) -> Vec<Violation> {
    let Some(reservations) = last.stock.as_ref().and_then(|s| s.reservations.as_ref()) else {
        return Vec::new();
    };
    let ordered: BTreeSet<&str> = last
        .shop
        .iter()
        .flat_map(|shop| &shop.keys)
        .map(|key| key.order_key.as_str())
        .collect();
    let mut broken = Vec::new();
    for row in reservations {
        let keeps = matches!(
            row.state,
            ReservationState::Held | ReservationState::Committed
        ) || (row.state == ReservationState::Refused && row.taken != row.returned);
        let Some(asked) = by_basket.get(&row.lines).filter(|_| keeps) else {
            continue;
        };
        let refused =
            |attempts: &&&Attempts<'_>| attempts.asking_for(&row.lines).all(|op| op.is_fail());
        if ordered.contains(row.order_key.as_str()) || !asked.iter().all(|a| refused(&a)) {
            continue;
        }
        let ops = asked
            .iter()
            .flat_map(|a| a.asking_for(&row.lines))
            .map(|op| op.id);
        let what = format!(
            "a refused request keeps {} units under order key {}",
            row.taken - row.returned,
            row.order_key
        );
        let subject = Subject::OrderKey(row.order_key.clone());
        broken.push(
            Violation::new(Rule::RefusedLeavesNothing, "left_units", subject, what)
                .by(row.taken - row.returned)
                .given(ops),
        );
    }
    broken
}

//! Rule 2, and the attempts under each key that others need too.

use std::collections::{BTreeMap, BTreeSet};

use super::{Checked, Rule, Subject, Violation, orders::NO_REST};
use crate::history::{History, Op};
use crate::types::{Basket, Order, OrderId, UserId};

/// All requests to place an order under one key of one user, by the time of their call.
pub(super) struct Attempts<'a> {
    pub(super) user: UserId,
    pub(super) key: &'a str,
    pub(super) ops: Vec<&'a Op>,
}

impl<'a> Attempts<'a> {
    /// The baskets that were asked for: one, unless the client tried another under the key.
    pub(super) fn baskets(&self) -> BTreeSet<&'a Basket> {
        let baskets = self.ops.iter().filter_map(|op| op.place());
        baskets.map(|(_, _, basket)| basket).collect()
    }

    pub(super) fn asking_for<'b>(&'b self, basket: &'b Basket) -> impl Iterator<Item = &'b &'a Op> {
        let asks = move |op: &&&Op| op.place().is_some_and(|(_, _, asked)| asked == basket);
        self.ops.iter().filter(asks)
    }

    fn subject(&self) -> Subject {
        Subject::Key {
            user: self.user,
            key: self.key.to_owned(),
        }
    }

    fn broken(&self, code: &'static str, what: String) -> Violation {
        let what = format!("user {}, key {}: {what}", self.user, self.key);
        Violation::new(Rule::OneOrderPerKey, code, self.subject(), what)
    }
}

/// The places of a history, by user and key.
pub(super) fn attempts(history: &History) -> Vec<Attempts<'_>> {
    let mut by_key: BTreeMap<(UserId, &str), Vec<&Op>> = BTreeMap::new();
    for op in &history.ops {
        if let Some((user, key, _)) = op.place() {
            by_key.entry((user, key)).or_default().push(op);
        }
    }
    let attempts = by_key.into_iter();
    attempts
        .map(|((user, key), ops)| Attempts { user, key, ops })
        .collect()
}

/// 2: at most one order per (user, key); repeats get equal bodies.
pub(super) fn one_order_per_key(history: &History) -> Checked {
    let last = history.last.as_ref().ok_or(NO_REST)?;
    let mut at_rest: BTreeMap<(UserId, Basket), Vec<&Order>> = BTreeMap::new();
    for order in &last.orders {
        at_rest
            .entry((order.user, order.basket()))
            .or_default()
            .push(order);
    }
    let mut broken = Vec::new();
    for attempts in attempts(history) {
        broken.extend(answers_differ(&attempts));
        let mut made: BTreeSet<OrderId> = BTreeSet::new();
        for basket in attempts.baskets() {
            let orders = at_rest.get(&(attempts.user, basket.clone()));
            made.extend(orders.into_iter().flatten().map(|order| order.id));
        }
        if made.len() > 1 {
            let what = format!("{} orders at rest: {}", made.len(), listed(&made));
            broken.push(
                attempts
                    .broken("duplicate", what)
                    .shown_by(acknowledging(&attempts)),
            );
        }
    }
    Ok(broken)
}

fn acknowledging(attempts: &Attempts<'_>) -> Vec<u64> {
    let ok = attempts.ops.iter().filter(|op| op.is_ok());
    ok.map(|op| op.id).collect()
}

fn answers_differ(attempts: &Attempts<'_>) -> Vec<Violation> {
    let mut first: Option<(&Op, &Order, u64)> = None;
    let mut broken = Vec::new();
    for op in &attempts.ops {
        let Some((order, digest)) = op.placed() else {
            continue;
        };
        let Some((first_op, first_order, first_digest)) = first else {
            first = Some((op, order, digest));
            continue;
        };
        let ops = [first_op.id, op.id];
        if order.id != first_order.id {
            let what = format!(
                "answered with order {} and with order {}",
                first_order.id, order.id
            );
            broken.push(attempts.broken("two_answers", what).shown_by(ops));
        } else if digest != first_digest {
            let what = format!("two answers tell of order {} in different bodies", order.id);
            broken.push(attempts.broken("unequal_bodies", what).shown_by(ops));
        } else if op.place().map(|p| p.2) != first_op.place().map(|p| p.2) {
            let what = "another basket under the key was answered with the first order";
            broken.push(attempts.broken("other_body", what.to_owned()).shown_by(ops));
        } else {
            continue;
        }
        break;
    }
    broken
}

fn listed(orders: &BTreeSet<OrderId>) -> String {
    let ids: Vec<String> = orders.iter().map(ToString::to_string).collect();
    ids.join(", ")
}

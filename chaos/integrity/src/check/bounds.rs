//! Rule 5: what is sold is what live orders hold.

use std::collections::{BTreeMap, HashMap};

use super::{Checked, Rule, Subject, Violation, keys, orders::NO_REST};
use crate::history::{Answer, Call, History, Op};
use crate::snapshot::{ReservationState, StockRow};
use crate::types::{Basket, OrderId, ProductId, Status};

/// 5: at rest live orders = committed; in flight acknowledged ≤ committed ≤ acknowledged +
/// indeterminate. Of the run's own products, which nobody else buys.
pub(super) fn live_orders_are_committed(history: &History) -> Checked {
    let mut broken = in_flight(history);
    let last = history.last.as_ref().ok_or(NO_REST)?;
    let stock = last
        .stock
        .as_ref()
        .ok_or("the product service told of no stock")?;
    let mut live: HashMap<ProductId, i64> = HashMap::new();
    for order in last.orders.iter().filter(|order| order.is_live()) {
        for line in &order.lines {
            *live.entry(line.product).or_default() += line.quantity;
        }
    }
    for row in stock
        .stock
        .iter()
        .filter(|row| history.prices.contains_key(&row.product))
    {
        let held = live.get(&row.product).copied().unwrap_or(0);
        if held != row.committed {
            let what = format!(
                "product {}: live orders hold {held} units at rest, {} are committed",
                row.product, row.committed
            );
            let subject = Subject::Product(row.product);
            broken.push(
                Violation::new(Rule::LiveOrdersAreCommitted, "at_rest", subject, what)
                    .by(row.committed - held),
            );
        }
    }
    broken.extend(by_key(history));
    Ok(broken)
}

/// At rest, order by order, where the services tell keys and reservations: this finds what sums
/// hide, and names it.
fn by_key(history: &History) -> Vec<Violation> {
    let Some(last) = &history.last else {
        return Vec::new();
    };
    let reservations = last
        .stock
        .as_ref()
        .and_then(|stock| stock.reservations.as_ref());
    let (Some(shop), Some(reservations)) = (&last.shop, reservations) else {
        return Vec::new();
    };
    let orders: HashMap<OrderId, _> = last.orders.iter().map(|o| (o.id, o)).collect();
    let keys: HashMap<&str, OrderId> = shop
        .keys
        .iter()
        .map(|key| (key.order_key.as_str(), key.order))
        .collect();
    let mut broken = Vec::new();
    for row in reservations
        .iter()
        .filter(|row| row.state == ReservationState::Committed)
    {
        let of_the_run = |line: &crate::types::Line| history.prices.contains_key(&line.product);
        if !row.lines.lines().iter().all(of_the_run) {
            continue;
        }
        let order = keys.get(row.order_key.as_str());
        let why = match order.map(|id| orders.get(id)) {
            Some(Some(order)) if order.is_live() => continue,
            Some(Some(order)) => format!("order {} was called off", order.id),
            Some(None) => "its order is not there".to_owned(),
            None => "there is no order".to_owned(),
        };
        let what = format!(
            "reservation {} keeps {} units sold, and {why}",
            row.order_key, row.taken
        );
        let subject = Subject::OrderKey(row.order_key.clone());
        broken.push(
            Violation::new(
                Rule::LiveOrdersAreCommitted,
                "sold_to_nobody",
                subject,
                what,
            )
            .by(row.taken),
        );
    }
    broken
}

/// Amounts that count from a moment on; sums up to a moment by binary search.
#[derive(Default)]
struct Steps(Vec<(u64, i64)>);

impl Steps {
    fn ready(mut self) -> Self {
        self.0.sort_unstable_by_key(|(t, _)| *t);
        let mut sum = 0;
        for (_, amount) in &mut self.0 {
            sum += *amount;
            *amount = sum;
        }
        self
    }

    /// What counts before `t`.
    fn before(&self, t: u64) -> i64 {
        let count = self.0.partition_point(|(at, _)| *at < t);
        count.checked_sub(1).map_or(0, |last| self.0[last].1)
    }
}

/// Of one product: who may hold units, by the moments at which that is known.
#[derive(Default)]
struct Bounds {
    /// Acknowledged, from the answer on.
    acknowledged: Steps,
    /// Perhaps called off, from the wish on.
    leaving: Steps,
    /// Perhaps placed: from the call of an attempt on.
    asked: Steps,
    /// Known to be less than that: from an answer on.
    settled: Steps,
}

fn in_flight(history: &History) -> Vec<Violation> {
    let bounds = all_bounds(history);
    let mut broken: BTreeMap<(ProductId, &str), Violation> = BTreeMap::new();
    for op in &history.ops {
        let Some(Answer::Audited { stock, .. }) = op.answer() else {
            continue;
        };
        for row in stock {
            let Some(bounds) = bounds.get(&row.product) else {
                continue;
            };
            if let Some(violation) = outside(op, row, bounds) {
                broken
                    .entry((row.product, violation.code))
                    .or_insert(violation);
            }
        }
    }
    broken.into_values().collect()
}

fn outside(op: &Op, row: &StockRow, bounds: &Bounds) -> Option<Violation> {
    // What begins at the very moment that the look ends may be in it.
    let end = op.ended.saturating_add(1);
    let least = bounds.acknowledged.before(op.invoked) - bounds.leaving.before(end);
    let most = bounds.asked.before(end) - bounds.settled.before(op.invoked);
    let (code, amount, words) = if row.committed < least {
        let off = row.committed - least;
        (
            "too_few",
            off,
            format!("orders for {least} are acknowledged"),
        )
    } else if row.committed > most {
        (
            "too_many",
            row.committed - most,
            format!("orders for {most} at most can be there"),
        )
    } else {
        return None;
    };
    let what = format!(
        "product {}: {} units are committed while {words}",
        row.product, row.committed
    );
    let subject = Subject::Product(row.product);
    Some(
        Violation::new(Rule::LiveOrdersAreCommitted, code, subject, what)
            .by(amount)
            .shown_by([op.id]),
    )
}

fn all_bounds(history: &History) -> HashMap<ProductId, Bounds> {
    let mut all: HashMap<ProductId, Bounds> = HashMap::new();
    for product in history.prices.keys() {
        all.entry(*product).or_default();
    }
    let leaving = first_wishes(history);
    for attempts in keys::attempts(history) {
        let first_ok = attempts
            .ops
            .iter()
            .filter(|op| op.is_ok())
            .min_by_key(|op| op.ended);
        if let Some((op, order)) = first_ok.and_then(|op| Some((op, op.placed()?.0))) {
            add(&mut all, &order.basket(), |b| &mut b.acknowledged, op.ended);
            if let Some(wish) = leaving.get(&order.id) {
                add(&mut all, &order.basket(), |b| &mut b.leaving, *wish);
            }
        }
        let known = first_ok.map_or(u64::MAX, |op| op.ended);
        for op in &attempts.ops {
            let is_the_order = first_ok.is_some_and(|first| first.id == op.id);
            // Later attempts are repeats of what is acknowledged. The first may take no time.
            let counts = is_the_order || op.invoked < known;
            let Some((_, _, basket)) = op.place().filter(|_| counts) else {
                continue;
            };
            add(&mut all, basket, |b| &mut b.asked, op.invoked);
            // An attempt that failed is known to hold nothing; once one is acknowledged, all of
            // them together hold one order.
            let ended = if op.is_fail() {
                op.ended.min(known)
            } else {
                known
            };
            if ended != u64::MAX && !is_the_order {
                add(&mut all, basket, |b| &mut b.settled, ended);
            }
        }
    }
    let ready = |bounds: Bounds| Bounds {
        acknowledged: bounds.acknowledged.ready(),
        leaving: bounds.leaving.ready(),
        asked: bounds.asked.ready(),
        settled: bounds.settled.ready(),
    };
    all.into_iter()
        .map(|(product, bounds)| (product, ready(bounds)))
        .collect()
}

fn add(
    all: &mut HashMap<ProductId, Bounds>,
    basket: &Basket,
    which: impl Fn(&mut Bounds) -> &mut Steps,
    t: u64,
) {
    for line in basket.lines() {
        if let Some(bounds) = all.get_mut(&line.product) {
            which(bounds).0.push((t, line.quantity));
        }
    }
}

/// When somebody first wished an order to be called off, unless it was refused.
fn first_wishes(history: &History) -> HashMap<OrderId, u64> {
    let mut first = HashMap::new();
    for op in history.ops.iter().filter(|op| !op.is_fail()) {
        if let Call::Cancel { order, .. }
        | Call::Advance {
            order,
            to: Status::Cancelled,
        } = op.call
        {
            first.entry(order).or_insert(op.invoked);
        }
    }
    first
}

#[cfg(test)]
mod tests;

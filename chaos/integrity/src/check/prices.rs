//! Rule 11: prices that were valid.

use std::collections::HashMap;

use super::{Checked, Rule, Subject, Violation, keys};
use crate::history::{Call, History, Op};
use crate::types::{Cents, OrderId, ProductId, Sold};

/// A price that was set, perhaps.
#[derive(Clone, Copy)]
struct Set {
    price: Cents,
    from: u64,
    /// When it was surely set; never, of one of unknown fate.
    surely: u64,
}

/// The prices of a product, by the time of the call.
#[derive(Default)]
struct Prices {
    sets: Vec<Set>,
    by_price: HashMap<Cents, Vec<usize>>,
    /// From each set on: the earliest time by which it, or a later one, was surely done.
    replaced: Vec<u64>,
}

impl Prices {
    fn push(&mut self, set: Set) {
        self.by_price
            .entry(set.price)
            .or_default()
            .push(self.sets.len());
        self.sets.push(set);
    }

    fn ready(&mut self) {
        let mut earliest = u64::MAX;
        self.replaced = vec![u64::MAX; self.sets.len()];
        for (at, set) in self.sets.iter().enumerate().rev() {
            earliest = earliest.min(set.surely);
            self.replaced[at] = earliest;
        }
    }

    /// Whether the price may have been in force at some moment from `from` to `to`: it was called
    /// for before the end, and not surely replaced before the beginning. One that was called for
    /// only after it was surely set replaces it.
    fn may_hold(&self, price: Cents, from: u64, to: u64) -> bool {
        let sets = self.by_price.get(&price).into_iter().flatten();
        sets.map(|at| self.sets[*at]).any(|set| {
            if set.from > to {
                return false;
            }
            if set.surely == u64::MAX {
                return true;
            }
            let next = self.sets.partition_point(|other| other.from <= set.surely);
            self.replaced
                .get(next)
                .is_none_or(|replaced| *replaced >= from)
        })
    }
}

/// 11: each line's price was valid at some moment between call and answer, and lines add up to the
/// sum. The first attempt under a key counts as the call, since repeats get its answer.
pub(super) fn prices_were_valid(history: &History) -> Checked {
    let prices = all_prices(history);
    let mut broken = Vec::new();
    for attempts in keys::attempts(history) {
        let first = attempts
            .ops
            .iter()
            .filter(|op| op.is_ok())
            .min_by_key(|op| op.ended);
        let Some((op, order)) = first.and_then(|op| Some((*op, op.placed()?.0))) else {
            continue;
        };
        let sum: Cents = order
            .lines
            .iter()
            .map(|line| line.price * line.quantity)
            .sum();
        if sum != order.total {
            let what = format!(
                "order {} says {} cents, its lines add up to {sum}",
                order.id, order.total
            );
            broken.push(violation("sum", order.id, what, op).by(order.total - sum));
        }
        let called = attempts
            .ops
            .first()
            .map_or(op.invoked, |first| first.invoked);
        let wrong = |line: &&Sold| {
            let known = prices.get(&line.product);
            known.is_some_and(|known| !known.may_hold(line.price, called, op.ended))
        };
        if let Some(line) = order.lines.iter().find(wrong) {
            let what = format!(
                "order {} has product {} for {} cents, which was no price between call and answer",
                order.id, line.product, line.price
            );
            let around = around(history, line.product, called, op.ended);
            broken.push(violation("price", order.id, what, op).given(around));
        }
    }
    Ok(broken)
}

fn violation(code: &'static str, order: OrderId, what: String, op: &Op) -> Violation {
    Violation::new(Rule::PricesWereValid, code, Subject::Order(order), what).shown_by([op.id])
}

fn all_prices(history: &History) -> HashMap<ProductId, Prices> {
    let mut all: HashMap<ProductId, Prices> = HashMap::new();
    for (product, price) in &history.prices {
        all.entry(*product).or_default().push(Set {
            price: *price,
            from: 0,
            surely: 0,
        });
    }
    for op in history.ops.iter().filter(|op| !op.is_fail()) {
        if let Call::Reprice { product, price } = op.call {
            all.entry(product).or_default().push(Set {
                price,
                from: op.invoked,
                surely: if op.is_ok() { op.ended } else { u64::MAX },
            });
        }
    }
    all.values_mut().for_each(Prices::ready);
    all
}

/// The changes of a price that overlap a time, and the last one before it.
fn around(history: &History, product: ProductId, from: u64, to: u64) -> Vec<u64> {
    let of_it = |op: &&Op| matches!(op.call, Call::Reprice { product: p, .. } if p == product);
    let changes: Vec<&Op> = history.ops.iter().filter(of_it).collect();
    let before = changes
        .iter()
        .rposition(|op| op.is_ok() && op.ended < from)
        .unwrap_or(0);
    let around = changes
        .into_iter()
        .skip(before)
        .take_while(|op| op.invoked <= to);
    around.map(|op| op.id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prices(sets: &[(Cents, u64, u64)]) -> Prices {
        let mut prices = Prices::default();
        for (price, from, surely) in sets {
            prices.push(Set {
                price: *price,
                from: *from,
                surely: *surely,
            });
        }
        prices.ready();
        prices
    }

    #[test]
    fn a_price_holds_from_its_call_until_another_is_surely_set() {
        let prices = prices(&[(1, 0, 0), (2, 10, 20), (3, 30, 40)]);
        let holds = |price, from, to| prices.may_hold(price, from, to);
        assert!(holds(1, 0, 5) && holds(1, 20, 25) && !holds(1, 21, 25));
        assert!(!holds(2, 0, 9) && holds(2, 0, 10) && holds(2, 40, 50) && !holds(2, 41, 50));
        assert!(holds(3, 35, 100) && !holds(3, 0, 29) && !holds(9, 0, 100));
    }

    #[test]
    fn of_two_changes_at_once_either_may_be_last() {
        let prices = prices(&[(1, 0, 0), (2, 10, 30), (3, 20, 25)]);
        assert!(prices.may_hold(2, 1_000, 1_001) && prices.may_hold(3, 1_000, 1_001));
    }

    #[test]
    fn a_change_of_unknown_fate_may_hold_for_ever_and_replaces_nothing() {
        let prices = prices(&[(1, 0, 0), (2, 10, u64::MAX)]);
        assert!(prices.may_hold(1, 1_000, 1_001) && prices.may_hold(2, 1_000, 1_001));
        assert!(!prices.may_hold(2, 1, 9));
    }
}

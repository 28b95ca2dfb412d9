//! Single corruptions of a healthy history, each with the rule that it breaks.

use super::Corruption;
use crate::check::Rule;
use crate::history::{Answer, Call, History, Op, Outcome};
use crate::snapshot::{Effect, ReservationState, Saga, Snapshot};
use crate::types::{Order, Status};

/// Spoils a history; `pick` says where. None where the history has no such place.
pub(crate) fn corrupt(history: &History, how: Corruption, pick: usize) -> Option<(History, Rule)> {
    let mut spoilt = history.clone();
    let rule = on_orders(&mut spoilt, how, pick)
        .or_else(|| on_books(&mut spoilt, how, pick))
        .or_else(|| on_answers(&mut spoilt, how, pick))?;
    Some((spoilt, rule))
}

fn nth<T>(items: Vec<T>, pick: usize) -> Option<T> {
    let at = pick.checked_rem(items.len())?;
    items.into_iter().nth(at)
}

fn acknowledged(history: &History) -> Vec<Order> {
    history
        .acknowledged()
        .values()
        .map(|(_, order)| (*order).clone())
        .collect()
}

fn last(history: &mut History) -> Option<&mut Snapshot> {
    history.last.as_mut()
}

fn at_rest(history: &mut History, id: i64) -> Option<&mut Order> {
    last(history)?
        .orders
        .iter_mut()
        .find(|order| order.id == id)
}

fn on_orders(history: &mut History, how: Corruption, pick: usize) -> Option<Rule> {
    match how {
        Corruption::Lost => {
            let id = nth(acknowledged(history), pick)?.id;
            last(history)?.orders.retain(|order| order.id != id);
            Some(Rule::AcknowledgedOrdersExist)
        }
        Corruption::Changed => {
            let id = nth(acknowledged(history), pick)?.id;
            at_rest(history, id)?.lines[0].quantity += 1;
            Some(Rule::AcknowledgedOrdersExist)
        }
        Corruption::CancelledUnasked => {
            let wished: Vec<i64> = cancels(history);
            let mut quiet = acknowledged(history);
            quiet.retain(|order| !wished.contains(&order.id));
            let id = nth(quiet, pick)?.id;
            at_rest(history, id)?.status = Status::Cancelled;
            Some(Rule::AcknowledgedOrdersExist)
        }
        Corruption::Duplicate => {
            let order = nth(acknowledged(history), pick)?;
            let mut twin = at_rest(history, order.id)?.clone();
            twin.id = 1_000_000;
            last(history)?.orders.push(twin);
            Some(Rule::OneOrderPerKey)
        }
        Corruption::RefusedOrder | Corruption::Unasked => {
            let places = history
                .ops
                .iter()
                .filter(|op| op.is_fail())
                .filter_map(Op::place);
            let (user, _, basket) = nth(places.collect(), pick)?;
            let mut order = history.last.as_ref()?.orders.first()?.clone();
            (order.id, order.user) = (1_000_001, user);
            let lines = basket.lines().iter().map(|line| crate::types::Sold {
                product: line.product,
                quantity: line.quantity,
                price: 1,
            });
            order.lines = lines.collect();
            if how == Corruption::Unasked {
                order.lines[0].quantity += 1_000_000;
            }
            last(history)?.orders.push(order);
            Some(Rule::RefusedLeavesNothing)
        }
        _ => None,
    }
}

fn cancels(history: &History) -> Vec<i64> {
    let cancels = history.ops.iter().filter_map(|op| match op.call {
        Call::Cancel { order, .. } if !op.is_fail() => Some(order),
        _ => None,
    });
    cancels.collect()
}

fn on_books(history: &mut History, how: Corruption, pick: usize) -> Option<Rule> {
    let orders = acknowledged(history);
    let last = last(history)?;
    let stock = last.stock.as_mut()?;
    let rows = stock.stock.len();
    let row = &mut stock.stock[pick % rows];
    let reservations = stock.reservations.as_mut()?;
    let count = reservations.len();
    let reservation = reservations.get_mut(pick.checked_rem(count)?)?;
    let shop = last.shop.as_mut()?;
    match how {
        Corruption::Unbalanced => row.reserved += 1,
        Corruption::BelowZero => row.available = -1,
        Corruption::Ledger => row.ledger_sum -= 1,
        Corruption::ReturnedTwice => reservation.returned = 2 * reservation.taken,
        Corruption::Both => {
            let sold = reservations.iter_mut();
            let row = sold
                .filter(|r| r.state == ReservationState::Committed)
                .nth(pick % 3)?;
            (row.returned, row.expired) = (row.taken, row.taken);
        }
        Corruption::SoldToNobody => {
            let back = reservations.iter_mut();
            let row = back
                .filter(|r| r.state == ReservationState::Returned)
                .nth(pick % 2)?;
            (row.state, row.returned) = (ReservationState::Committed, 0);
        }
        Corruption::Orphan => {
            reservation.state = ReservationState::Held;
            reservation.order_key = "ok-orphan".to_owned();
        }
        Corruption::Overdue => shop.open.sagas.push(Saga {
            order_key: "ok-late".to_owned(),
            state: "open".to_owned(),
            age_ms: 90_000,
            ttl_ms: 60_000,
        }),
        Corruption::EventMissing => {
            let at = pick % shop.outbox.effects.len();
            let kept = |effect: &Effect| !matches!(effect.kind, Status::Confirmed);
            let at = (at..shop.outbox.effects.len()).find(|at| kept(&shop.outbox.effects[*at]))?;
            shop.outbox.effects.remove(at);
        }
        Corruption::EffectTwice => {
            let at = pick % shop.outbox.effects.len();
            shop.outbox.effects[at].delivered = 2;
        }
        Corruption::EventWithoutTransition => {
            let order = last
                .orders
                .iter()
                .find(|order| order.status != Status::Delivered)?;
            shop.outbox.effects.push(Effect {
                event: "ev-false".to_owned(),
                order: order.id,
                kind: Status::Delivered,
                delivered: 1,
            });
        }
        Corruption::CapturedTwice => {
            let key = format!("ok-{}", nth(orders, pick)?.id);
            let payments = &mut last.payments.as_mut()?.payments;
            let payment = payments
                .iter_mut()
                .find(|payment| payment.order_key == key)?;
            payment.captured *= 2;
        }
        _ => return None,
    }
    Some(match how {
        Corruption::Unbalanced | Corruption::BelowZero => Rule::UnitsAddUp,
        Corruption::Ledger | Corruption::ReturnedTwice => Rule::ReservationsEndOnce,
        Corruption::Both => Rule::CommitOrExpiry,
        Corruption::SoldToNobody => Rule::LiveOrdersAreCommitted,
        Corruption::Orphan | Corruption::Overdue => Rule::SagasEnd,
        _ => Rule::EffectsOnce,
    })
}

fn on_answers(history: &mut History, how: Corruption, pick: usize) -> Option<Rule> {
    let acknowledged: Vec<(i64, u64)> = history
        .acknowledged()
        .iter()
        .map(|(id, (op, _))| (*id, op.ended))
        .collect();
    let known_before = |id: i64, t: u64| acknowledged.iter().any(|(o, at)| *o == id && *at < t);
    match how {
        Corruption::UnequalBody => {
            let mut seen = std::collections::HashSet::new();
            let repeats = history
                .ops
                .iter_mut()
                .filter(|op| op.placed().is_some_and(|(order, _)| !seen.insert(order.id)));
            let op = nth(repeats.collect(), pick)?;
            let Outcome::Ok(Answer::Placed { digest, .. }) = &mut op.outcome else {
                return None;
            };
            *digest += 1;
            Some(Rule::OneOrderPerKey)
        }
        Corruption::NotRead => {
            let reads = history.ops.iter_mut().filter(|op| match op.call {
                Call::Read { order, .. } => known_before(order, op.invoked),
                _ => false,
            });
            nth(reads.collect(), pick)?.outcome = Outcome::Fail {
                status: 404,
                error: "not_found".to_owned(),
            };
            Some(Rule::OwnWritesAreRead)
        }
        Corruption::NotListed => {
            let mut lists = Vec::new();
            for op in &mut history.ops {
                let t = op.invoked;
                let Outcome::Ok(Answer::Listed { orders, .. }) = &mut op.outcome else {
                    continue;
                };
                // The oldest shown may be missing where the list is not complete.
                let known = orders.iter().take(orders.len().saturating_sub(1));
                if let Some(at) = known.clone().position(|order| known_before(order.id, t)) {
                    lists.push((orders, at));
                }
            }
            let (orders, at) = nth(lists, pick)?;
            orders.remove(at);
            Some(Rule::OwnWritesAreRead)
        }
        Corruption::Backwards => {
            let order = history
                .last
                .as_ref()?
                .orders
                .iter()
                .find(|o| o.status == Status::Delivered)?;
            let (mut order, at) = (order.clone(), history.stopped);
            for (id, status) in [
                (1_000_000, Status::Delivered),
                (1_000_001, Status::Confirmed),
            ] {
                order.status = status;
                let call = Call::Read {
                    user: order.user,
                    order: order.id,
                };
                let answer = Answer::Seen {
                    order: order.clone(),
                    stale: false,
                };
                let invoked = at + (id - 1_000_000) * 10;
                history.ops.push(Op {
                    id,
                    call,
                    invoked,
                    ended: invoked + 5,
                    outcome: Outcome::Ok(answer),
                });
            }
            Some(Rule::OwnWritesAreRead)
        }
        Corruption::Skipped => {
            let order = history
                .last
                .as_ref()?
                .orders
                .iter()
                .find(|o| o.status == Status::Shipped)?
                .id;
            history.ops.retain(|op| {
                !matches!(op.call, Call::Advance { order: o, to: Status::Processing } if o == order)
            });
            Some(Rule::OwnWritesAreRead)
        }
        Corruption::Price | Corruption::Sum => {
            let id = acknowledged.get(pick.checked_rem(acknowledged.len())?)?.0;
            for op in &mut history.ops {
                let Outcome::Ok(Answer::Placed { order, .. }) = &mut op.outcome else {
                    continue;
                };
                if order.id == id {
                    order.total += order.lines[0].quantity;
                    order.lines[0].price += i64::from(how == Corruption::Price);
                }
            }
            Some(Rule::PricesWereValid)
        }
        Corruption::TooFew | Corruption::TooMany => {
            let audits = history
                .ops
                .iter_mut()
                .rev()
                .find_map(|op| match &mut op.outcome {
                    Outcome::Ok(Answer::Audited { stock, .. }) => Some(stock),
                    _ => None,
                });
            for row in audits? {
                let off = if how == Corruption::TooFew {
                    -row.committed
                } else {
                    1_000_000
                };
                row.committed += off;
                row.available -= off;
                row.ledger_sum -= off;
            }
            Some(Rule::LiveOrdersAreCommitted)
        }
        _ => None,
    }
}

//! Rule 10, first half: own writes are read back.

use std::collections::{BTreeMap, BTreeSet};

use super::{Checked, Rule, Subject, Violation, status};
use crate::history::{Answer, Call, History, Op, Outcome};
use crate::types::{Order, OrderId, UserId};

/// 10: a customer finds an acknowledged order from then on, alone and in the list; and each order
/// moves along allowed edges only, never back, each step asked for.
pub(super) fn own_writes_are_read(history: &History) -> Checked {
    let acknowledged = history.acknowledged();
    let mut by_answer: Vec<(&Op, &Order)> = acknowledged.into_values().collect();
    by_answer.sort_by_key(|(op, _)| op.ended);
    let mut by_answer = by_answer.into_iter().peekable();
    // What each customer knows of, at the time of the call that is looked at.
    let mut known: BTreeMap<UserId, Own<'_>> = BTreeMap::new();
    let mut told: BTreeSet<OrderId> = BTreeSet::new();
    let mut broken = Vec::new();
    for op in &history.ops {
        while let Some((placed, order)) = by_answer.next_if(|(placed, _)| placed.ended < op.invoked)
        {
            let own = known.entry(order.user).or_default();
            own.insert(order.id, placed);
        }
        let missing = match &op.call {
            Call::Read { user, order } => not_read(op, known.get(user), *order),
            Call::List { user } => not_listed(op, known.get(user)),
            _ => None,
        };
        broken.extend(missing.filter(|v| match &v.subject {
            Subject::Order(order) => told.insert(*order),
            _ => true,
        }));
    }
    broken.extend(status::moves_along_edges(history));
    Ok(broken)
}

/// A customer's acknowledged orders, with the operations that placed them.
type Own<'a> = BTreeMap<OrderId, &'a Op>;

fn not_read(op: &Op, own: Option<&Own<'_>>, order: OrderId) -> Option<Violation> {
    let placed = own?.get(&order)?;
    let gone = matches!(op.outcome, Outcome::Fail { status: 404, .. });
    gone.then(|| {
        let what = format!("order {order} was acknowledged, and its owner read that there is none");
        violation("not_read_back", order, what, [placed.id, op.id])
    })
}

/// A list shows the newest orders; one that is newer than the oldest shown must be among them. So
/// the search ends after as many as are shown.
fn not_listed(op: &Op, own: Option<&Own<'_>>) -> Option<Violation> {
    let Some(Answer::Listed {
        orders,
        complete,
        stale: false,
    }) = op.answer()
    else {
        return None;
    };
    let oldest = orders.iter().map(|order: &Order| order.id).min();
    let from = if *complete { OrderId::MIN } else { oldest? };
    let shown: BTreeSet<OrderId> = orders.iter().map(|order| order.id).collect();
    let (order, placed) = own?.range(from..).find(|(id, _)| !shown.contains(id))?;
    let what = format!("order {order} was acknowledged, and its owner's list does not have it");
    Some(violation("not_listed", *order, what, [placed.id, op.id]))
}

fn violation(code: &'static str, order: OrderId, what: String, ops: [u64; 2]) -> Violation {
    Violation::new(Rule::OwnWritesAreRead, code, Subject::Order(order), what).shown_by(ops)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Status;

    fn order(id: OrderId) -> Order {
        Order {
            id,
            user: 1,
            status: Status::Pending,
            total: 0,
            lines: Vec::new(),
        }
    }

    fn placed(id: OrderId, ended: u64) -> Op {
        let call = Call::Place {
            user: 1,
            key: format!("k{id}"),
            basket: Vec::new().into(),
        };
        let answer = Answer::Placed {
            order: order(id),
            digest: 0,
        };
        Op {
            id: id as u64,
            call,
            invoked: ended - 1,
            ended,
            outcome: Outcome::Ok(answer),
        }
    }

    fn list(invoked: u64, shown: &[OrderId], complete: bool, stale: bool) -> Op {
        let orders = shown.iter().map(|id| order(*id)).collect();
        let answer = Answer::Listed {
            orders,
            complete,
            stale,
        };
        Op {
            id: 90,
            call: Call::List { user: 1 },
            invoked,
            ended: invoked + 1,
            outcome: Outcome::Ok(answer),
        }
    }

    fn none(invoked: u64) -> Op {
        let outcome = Outcome::Fail {
            status: 404,
            error: String::new(),
        };
        Op {
            id: 91,
            call: Call::Read { user: 1, order: 5 },
            invoked,
            ended: invoked + 1,
            outcome,
        }
    }

    fn codes(ops: Vec<Op>) -> Vec<&'static str> {
        let history = History {
            ops,
            ..History::default()
        };
        own_writes_are_read(&history)
            .unwrap()
            .into_iter()
            .map(|broken| broken.code)
            .collect()
    }

    #[test]
    fn an_order_is_found_from_its_answer_on() {
        assert_eq!(codes(vec![placed(5, 10), none(11)]), ["not_read_back"]);
        // Asked before the answer was there: either will do.
        assert!(codes(vec![placed(5, 10), none(9)]).is_empty());
    }

    #[test]
    fn a_list_has_what_is_newer_than_its_oldest() {
        let placed = || vec![placed(4, 5), placed(5, 10)];
        let with = |op| placed().into_iter().chain([op]).collect::<Vec<_>>();
        assert_eq!(codes(with(list(11, &[4], false, false))), ["not_listed"]);
        assert!(
            codes(with(list(11, &[5], false, false))).is_empty(),
            "4 is on the next page"
        );
        assert_eq!(codes(with(list(11, &[5], true, false))), ["not_listed"]);
        assert!(codes(with(list(11, &[4], false, true))).is_empty(), "stale");
        assert!(
            codes(with(list(9, &[4], true, false))).is_empty(),
            "5 was not known"
        );
    }
}

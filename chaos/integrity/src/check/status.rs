//! Rule 10, second half: statuses move along allowed edges.

use std::collections::BTreeMap;

use super::{Rule, Subject, Violation};
use crate::history::{Call, History, Op};
use crate::types::{OrderId, Status};

/// An answer that shows an order's status at some moment between call and answer.
#[derive(Clone, Copy)]
struct Sighting {
    op: u64,
    from: u64,
    to: u64,
    status: Status,
}

/// Every answer shows a status that the ones before it lead to, and each step past confirmed was
/// asked for.
pub(super) fn moves_along_edges(history: &History) -> Vec<Violation> {
    let mut sightings: BTreeMap<OrderId, Vec<Sighting>> = BTreeMap::new();
    for op in &history.ops {
        for order in op.sightings() {
            sightings.entry(order.id).or_default().push(Sighting {
                op: op.id,
                from: op.invoked,
                to: op.ended,
                status: order.status,
            });
        }
    }
    let at_rest = history.last.iter().flat_map(|last| &last.orders);
    for order in at_rest {
        sightings.entry(order.id).or_default().push(Sighting {
            op: REST,
            from: u64::MAX - 1,
            to: u64::MAX,
            status: order.status,
        });
    }
    let steps = steps(history);
    let none = Vec::new();
    let broken = sightings.into_iter().filter_map(|(order, sightings)| {
        let steps = steps.get(&order).unwrap_or(&none);
        backwards(order, &sightings).or_else(|| unasked(order, &sightings, steps))
    });
    broken.collect()
}

/// Stands for the reading at rest.
const REST: u64 = u64::MAX;

/// The staff's wishes for each order.
fn steps(history: &History) -> BTreeMap<OrderId, Vec<&Op>> {
    let mut steps: BTreeMap<OrderId, Vec<&Op>> = BTreeMap::new();
    for op in &history.ops {
        if let Call::Advance { order, .. } = op.call {
            steps.entry(order).or_default().push(op);
        }
    }
    steps
}

fn violation(code: &'static str, order: OrderId, what: String, ops: &[u64]) -> Violation {
    let ops = ops.iter().copied().filter(|op| *op != REST);
    Violation::new(Rule::OwnWritesAreRead, code, Subject::Order(order), what).shown_by(ops)
}

/// A status after one that doesn't lead to it. Answers that overlap may come in either order.
/// Of the earlier ones the furthest along its life decides, or that the order was called off.
fn backwards(order: OrderId, sightings: &[Sighting]) -> Option<Violation> {
    let mut by_call = sightings.to_vec();
    by_call.sort_by_key(|sighting| (sighting.from, sighting.op));
    let mut by_answer = sightings.to_vec();
    by_answer.sort_by_key(|sighting| (sighting.to, sighting.op));
    let mut earlier = by_answer.iter().peekable();
    let (mut furthest, mut called_off): (Option<Sighting>, Option<Sighting>) = (None, None);
    for now in by_call {
        while let Some(before) = earlier.next_if(|before| before.to < now.from) {
            let slot = match before.status {
                Status::Cancelled => &mut called_off,
                _ => &mut furthest,
            };
            if slot.is_none_or(|kept| kept.status < before.status) {
                *slot = Some(*before);
            }
        }
        for before in [furthest, called_off].into_iter().flatten() {
            if !before.status.leads_to(now.status) {
                let what = format!(
                    "order {order} was {}, and later {}",
                    before.status.name(),
                    now.status.name()
                );
                return Some(violation("backwards", order, what, &[before.op, now.op]));
            }
        }
    }
    None
}

/// A step that nobody had asked for when it was first seen: processing, shipped and delivered are
/// reached one after the other and by request alone.
fn unasked(order: OrderId, sightings: &[Sighting], steps: &[&Op]) -> Option<Violation> {
    for step in [Status::Processing, Status::Shipped, Status::Delivered] {
        let reached = |seen: &&Sighting| seen.status != Status::Cancelled && seen.status >= step;
        let seen = sightings.iter().filter(reached).min_by_key(|s| s.to)?;
        let asked = |op: &&Op| {
            let to_it = matches!(op.call, Call::Advance { to, .. } if to == step);
            to_it && !op.is_fail() && op.invoked <= seen.to
        };
        if !steps.iter().any(asked) {
            let what = format!(
                "order {order} is {}, and nobody took it to {}",
                seen.status.name(),
                step.name()
            );
            let context = steps.iter().map(|op| op.id);
            return Some(violation("step_skipped", order, what, &[seen.op]).given(context));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Answer, Outcome};
    use crate::types::Order;

    fn order(status: Status) -> Order {
        Order {
            id: 1,
            user: 1,
            status,
            total: 0,
            lines: Vec::new(),
        }
    }

    fn read(id: u64, invoked: u64, ended: u64, status: Status) -> Op {
        let answer = Answer::Seen {
            order: order(status),
            stale: false,
        };
        Op {
            id,
            call: Call::Read { user: 1, order: 1 },
            invoked,
            ended,
            outcome: Outcome::Ok(answer),
        }
    }

    fn wish(id: u64, invoked: u64, to: Status, granted: bool) -> Op {
        let outcome = match granted {
            true => Outcome::Ok(Answer::Seen {
                order: order(to),
                stale: false,
            }),
            false => Outcome::Fail {
                status: 400,
                error: String::new(),
            },
        };
        Op {
            id,
            call: Call::Advance { order: 1, to },
            invoked,
            ended: invoked + 5,
            outcome,
        }
    }

    fn codes(ops: Vec<Op>) -> Vec<&'static str> {
        let history = History {
            ops,
            ..History::default()
        };
        moves_along_edges(&history)
            .into_iter()
            .map(|broken| broken.code)
            .collect()
    }

    #[test]
    fn later_answers_never_go_back() {
        use Status::{Cancelled, Confirmed, Pending};
        assert_eq!(
            codes(vec![read(0, 1, 2, Confirmed), read(1, 3, 4, Pending)]),
            ["backwards"]
        );
        assert_eq!(
            codes(vec![read(0, 1, 2, Cancelled), read(1, 3, 4, Confirmed)]),
            ["backwards"]
        );
        assert!(codes(vec![read(0, 1, 2, Pending), read(1, 3, 4, Confirmed)]).is_empty());
        assert!(codes(vec![read(0, 1, 2, Confirmed), read(1, 3, 4, Cancelled)]).is_empty());
    }

    #[test]
    fn answers_that_overlap_may_come_in_either_order() {
        use Status::{Confirmed, Pending};
        assert!(codes(vec![read(0, 1, 10, Confirmed), read(1, 5, 20, Pending)]).is_empty());
    }

    #[test]
    fn what_is_packed_is_not_called_off() {
        use Status::{Cancelled, Confirmed, Processing};
        let ops = vec![
            wish(0, 1, Confirmed, true),
            wish(1, 10, Processing, true),
            read(2, 20, 21, Cancelled),
        ];
        assert_eq!(codes(ops), ["backwards"]);
    }

    #[test]
    fn each_step_from_processing_on_was_asked_for_and_not_refused() {
        use Status::{Processing, Shipped};
        assert_eq!(codes(vec![wish(0, 1, Shipped, true)]), ["step_skipped"]);
        assert_eq!(
            codes(vec![
                wish(0, 1, Processing, false),
                wish(1, 10, Shipped, true)
            ]),
            ["step_skipped"]
        );
        assert!(
            codes(vec![
                wish(0, 1, Processing, true),
                wish(1, 10, Shipped, true)
            ])
            .is_empty()
        );
        // Asked for after it was seen is too late.
        let late = vec![read(0, 1, 2, Processing), wish(1, 3, Processing, true)];
        assert_eq!(codes(late), ["step_skipped"]);
    }
}

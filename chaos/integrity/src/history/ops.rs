//! Records joined to operations.

use std::collections::{BTreeMap, HashMap};

use super::{Answer, Call, FaultPhase, Record};
use crate::snapshot::Snapshot;
use crate::types::{Basket, Cents, Order, OrderId, ProductId};

/// What came of an operation.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It was done.
    Ok(Answer),
    /// It was refused: nothing was done.
    Fail {
        /// The status; 0 when the request was never sent.
        status: u16,
        /// The shop's word for it.
        error: String,
    },
    /// Nobody knows.
    Info {
        /// How it looked.
        why: String,
    },
}

/// An operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Op {
    /// Its number.
    pub id: u64,
    /// What was asked.
    pub call: Call,
    /// When it was about to be sent, nanoseconds.
    pub invoked: u64,
    /// When its outcome was known to the client; `u64::MAX` without one.
    pub ended: u64,
    /// What came of it.
    pub outcome: Outcome,
}

impl Op {
    /// Whether it was done.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        matches!(self.outcome, Outcome::Ok(_))
    }

    /// Whether it was surely not done.
    #[must_use]
    pub fn is_fail(&self) -> bool {
        matches!(self.outcome, Outcome::Fail { .. })
    }

    /// Whether nobody knows what came of it.
    #[must_use]
    pub fn is_info(&self) -> bool {
        matches!(self.outcome, Outcome::Info { .. })
    }

    /// The answer, if it was done.
    #[must_use]
    pub fn answer(&self) -> Option<&Answer> {
        match &self.outcome {
            Outcome::Ok(answer) => Some(answer),
            _ => None,
        }
    }

    /// The order that it placed, if it did.
    #[must_use]
    pub fn placed(&self) -> Option<(&Order, u64)> {
        match self.answer() {
            Some(Answer::Placed { order, digest }) => Some((order, *digest)),
            _ => None,
        }
    }

    /// The orders that its answer shows, as they stood between call and answer. Stale answers show
    /// none; neither does a repeated place, which gets the first answer again.
    pub fn sightings(&self) -> impl Iterator<Item = &Order> {
        let (one, many) = match self.answer() {
            Some(Answer::Seen {
                order,
                stale: false,
            }) => (Some(order), &[][..]),
            Some(Answer::Listed {
                orders,
                stale: false,
                ..
            }) => (None, orders.as_slice()),
            _ => (None, &[][..]),
        };
        one.into_iter().chain(many)
    }

    /// User, key and basket of a place.
    #[must_use]
    pub fn place(&self) -> Option<(i64, &str, &Basket)> {
        match &self.call {
            Call::Place { user, key, basket } => Some((*user, key, basket)),
            _ => None,
        }
    }
}

/// A fault and when it was on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its name.
    pub name: String,
    /// For people.
    pub what: String,
    /// From when, nanoseconds.
    pub on: u64,
    /// Until when; `u64::MAX` when it never went.
    pub off: u64,
}

/// A run, ready to be judged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// The run's name.
    pub run: String,
    /// Its seed.
    pub seed: u64,
    /// When it began, nanoseconds.
    pub began: u64,
    /// When the customers stopped; the last record's time if the log ends before that.
    pub stopped: u64,
    /// What products cost at the beginning.
    pub prices: BTreeMap<ProductId, Cents>,
    /// All operations, by the time of their call.
    pub ops: Vec<Op>,
    /// All faults, by their beginning.
    pub faults: Vec<Fault>,
    /// What was found at rest; none if the log ends before that.
    pub last: Option<Snapshot>,
}

impl History {
    /// Joins records to operations. An operation without an outcome is info.
    #[must_use]
    pub fn of(records: impl IntoIterator<Item = Record>) -> Self {
        let mut history = Self::default();
        let mut at: HashMap<u64, usize> = HashMap::new();
        let (mut last_t, mut stopped) = (0, None);
        for record in records {
            last_t = record.t().max(last_t);
            match record {
                Record::Begin {
                    t,
                    run,
                    seed,
                    prices,
                    ..
                } => {
                    (history.began, history.run, history.seed) = (t, run, seed);
                    history.prices = prices.into_iter().collect();
                }
                Record::Invoke { t, op, call } => {
                    at.insert(op, history.ops.len());
                    history.ops.push(Op {
                        id: op,
                        call,
                        invoked: t,
                        ended: u64::MAX,
                        outcome: Outcome::Info {
                            why: "no outcome in the log".to_owned(),
                        },
                    });
                }
                Record::Ok { t, op, answer } => {
                    history.end(&at, op, t, Outcome::Ok(answer));
                }
                Record::Fail {
                    t,
                    op,
                    status,
                    error,
                } => {
                    history.end(&at, op, t, Outcome::Fail { status, error });
                }
                Record::Info { t, op, why } => history.end(&at, op, t, Outcome::Info { why }),
                Record::Fault { t, note } => history.fault(t, note),
                Record::Stopped { t } => stopped = Some(t),
                Record::Final { snapshot, .. } => history.last = Some(*snapshot),
            }
        }
        history.stopped = stopped.unwrap_or(last_t);
        history.ops.sort_by_key(|op| (op.invoked, op.id));
        history
    }

    fn end(&mut self, at: &HashMap<u64, usize>, op: u64, t: u64, outcome: Outcome) {
        if let Some(op) = at.get(&op).and_then(|at| self.ops.get_mut(*at)) {
            op.ended = t;
            op.outcome = outcome;
        }
    }

    fn fault(&mut self, t: u64, note: super::FaultNote) {
        let (on, off) = match note.phase {
            FaultPhase::On => (t, u64::MAX),
            FaultPhase::Struck => (t, t),
            FaultPhase::Off => {
                let open = self.faults.iter_mut().rev();
                let mut open = open.filter(|f| f.name == note.fault && f.off == u64::MAX);
                if let Some(fault) = open.next() {
                    fault.off = t;
                }
                return;
            }
        };
        self.faults.push(Fault {
            name: note.fault,
            what: note.what,
            on,
            off,
        });
    }

    /// The orders of all answers to places, first answer first, by id.
    #[must_use]
    pub fn acknowledged(&self) -> BTreeMap<OrderId, (&Op, &Order)> {
        let mut by_id: BTreeMap<OrderId, (&Op, &Order)> = BTreeMap::new();
        for op in &self.ops {
            let Some((order, _)) = op.placed() else {
                continue;
            };
            let first = by_id.entry(order.id).or_insert((op, order));
            if op.ended < first.0.ended {
                *first = (op, order);
            }
        }
        by_id
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::FaultNote;

    #[test]
    fn an_operation_without_an_outcome_is_info() {
        let history = History::of([
            Record::Invoke {
                t: 5,
                op: 1,
                call: Call::Audit,
            },
            Record::Invoke {
                t: 3,
                op: 0,
                call: Call::List { user: 1 },
            },
            Record::Fail {
                t: 9,
                op: 0,
                status: 404,
                error: "not_found".into(),
            },
        ]);
        assert_eq!(history.ops.len(), 2);
        assert!(history.ops[0].is_fail() && history.ops[0].ended == 9);
        assert!(history.ops[1].is_info() && history.ops[1].ended == u64::MAX);
        assert_eq!(history.stopped, 9);
    }

    #[test]
    fn faults_come_go_and_come_again() {
        let note = |phase| FaultNote::new("cut", phase, "order-product");
        let history = History::of([
            Record::Fault {
                t: 1,
                note: note(FaultPhase::On),
            },
            Record::Fault {
                t: 4,
                note: note(FaultPhase::Off),
            },
            Record::Fault {
                t: 6,
                note: note(FaultPhase::On),
            },
            Record::Fault {
                t: 7,
                note: FaultNote::new("kill", FaultPhase::Struck, ""),
            },
        ]);
        let spans: Vec<(u64, u64)> = history.faults.iter().map(|f| (f.on, f.off)).collect();
        assert_eq!(spans, [(1, 4), (6, u64::MAX), (7, 7)]);
    }
}

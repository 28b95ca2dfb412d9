//! Rule 8: sagas end.

use std::collections::BTreeMap;

use super::{Checked, Rule, Subject, Violation, orders::NO_REST};
use crate::history::{Answer, History};
use crate::snapshot::{ReservationState, Saga, Snapshot};
use crate::workload::Limits;

const NS_PER_MS: u64 = 1_000_000;

/// 8: every saga ends within its time to live + 5 s, counted from the healing of a fault that was
/// on then; and where no saga is open, no units are held.
pub(super) fn sagas_end(history: &History, limits: &Limits) -> Checked {
    let last = history.last.as_ref().ok_or(NO_REST)?;
    let shop = last
        .shop
        .as_ref()
        .ok_or("the order service told of no sagas")?;
    let mut broken = overdue_in_flight(history, limits);
    for saga in &shop.open.sagas {
        let known = Subject::OrderKey(saga.order_key.clone());
        let slack = limits.saga_slack.as_millis() as i64;
        if saga.age_ms > saga.ttl_ms + slack && !broken.contains_key(&saga.order_key) {
            let what = format!(
                "saga {} is still {} at rest, {} ms old",
                saga.order_key, saga.state, saga.age_ms
            );
            let violation = Violation::new(Rule::SagasEnd, "overdue", known, what);
            broken.insert(
                saga.order_key.clone(),
                violation.by(saga.age_ms - saga.ttl_ms),
            );
        }
    }
    let mut broken: Vec<Violation> = broken.into_values().collect();
    if shop.open.sagas.is_empty() {
        broken.extend(orphans(last));
    } else if broken.is_empty() {
        return Err("sagas were open when the shop was read, and may be");
    }
    Ok(broken)
}

fn overdue_in_flight(history: &History, limits: &Limits) -> BTreeMap<String, Violation> {
    let healed = Healed::of(history);
    let slack = limits.saga_slack.as_nanos() as u64;
    let mut broken = BTreeMap::new();
    for op in &history.ops {
        let Some(Answer::Audited { sagas, .. }) = op.answer() else {
            continue;
        };
        for saga in sagas {
            let began = op.ended.saturating_sub(ns(saga.age_ms));
            let due = began + ns(saga.ttl_ms);
            let Some(healed) = healed.before(op.invoked) else {
                continue;
            };
            if op.invoked > due.max(healed) + slack {
                broken
                    .entry(saga.order_key.clone())
                    .or_insert_with(|| overdue(op.id, saga));
            }
        }
    }
    broken
}

fn overdue(op: u64, saga: &Saga) -> Violation {
    let what = format!(
        "saga {} is {} and {} ms old, with {} ms to live",
        saga.order_key, saga.state, saga.age_ms, saga.ttl_ms
    );
    let subject = Subject::OrderKey(saga.order_key.clone());
    Violation::new(Rule::SagasEnd, "overdue", subject, what)
        .by(saga.age_ms - saga.ttl_ms)
        .shown_by([op])
}

/// When the last fault before a moment went.
pub(super) struct Healed {
    /// Times at which the number of faults changes, with the number from then on.
    changes: Vec<(u64, i64)>,
}

impl Healed {
    pub(super) fn of(history: &History) -> Self {
        let mut changes: Vec<(u64, i64)> = Vec::new();
        for fault in &history.faults {
            changes.push((fault.on, 1));
            if fault.off != u64::MAX {
                changes.push((fault.off, -1));
            }
        }
        // On before off: one that only strikes is on for no time, and heals at that time.
        changes.sort_by_key(|(t, change)| (*t, -*change));
        let mut on = 0;
        for (_, change) in &mut changes {
            on += *change;
            *change = on;
        }
        Self { changes }
    }

    /// The healing of the last fault before `t`, 0 if there was none before; none while one is on.
    pub(super) fn before(&self, t: u64) -> Option<u64> {
        let count = self.changes.partition_point(|(at, _)| *at <= t);
        match count.checked_sub(1).map(|last| self.changes[last]) {
            None => Some(0),
            Some((at, 0)) => Some(at),
            Some(_) => None,
        }
    }

    /// Times without any fault, from `from` to `until`.
    pub(super) fn calm(&self, from: u64, until: u64) -> Vec<(u64, u64)> {
        let mut calm = Vec::new();
        let mut since = Some(from);
        for (t, on) in &self.changes {
            let t = (*t).clamp(from, until);
            match (since, *on) {
                (Some(begin), 1..) => {
                    calm.push((begin, t));
                    since = None;
                }
                (None, 0) => since = Some(t),
                _ => {}
            }
        }
        calm.extend(since.map(|begin| (begin, until)));
        calm.retain(|(begin, end)| begin < end);
        calm
    }
}

fn ns(ms: i64) -> u64 {
    ms.max(0).unsigned_abs() * NS_PER_MS
}

/// Units that are held where no saga is open: in nobody's charge.
fn orphans(last: &Snapshot) -> Vec<Violation> {
    let Some(stock) = &last.stock else {
        return Vec::new();
    };
    if let Some(reservations) = &stock.reservations {
        let held = reservations
            .iter()
            .filter(|row| row.state == ReservationState::Held);
        return held
            .map(|row| {
                let what = format!(
                    "reservation {} holds {} units, and no saga is open",
                    row.order_key, row.taken
                );
                orphan(Subject::OrderKey(row.order_key.clone()), row.taken, what)
            })
            .collect();
    }
    let held = stock.stock.iter().filter(|row| row.reserved != 0);
    held.map(|row| {
        let what = format!(
            "product {}: {} units are held, and no saga is open",
            row.product, row.reserved
        );
        orphan(Subject::Product(row.product), row.reserved, what)
    })
    .collect()
}

fn orphan(subject: Subject, units: i64, what: String) -> Violation {
    Violation::new(Rule::SagasEnd, "orphan", subject, what).by(units)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Call, Fault, Op, Outcome};
    use crate::snapshot::{Orders, Stock, StockRow};

    const SECOND: u64 = 1_000_000_000;

    fn saga(age_ms: i64) -> Saga {
        Saga {
            order_key: "k".to_owned(),
            state: "open".to_owned(),
            age_ms,
            ttl_ms: 10_000,
        }
    }

    /// A look at 100 s that finds a saga of that age, after a fault until `healed`.
    fn history(age_ms: i64, healed: u64) -> History {
        let answer = Answer::Audited {
            stock: Vec::new(),
            sagas: vec![saga(age_ms)],
        };
        let look = Op {
            id: 0,
            call: Call::Audit,
            invoked: 100 * SECOND,
            ended: 100 * SECOND,
            outcome: Outcome::Ok(answer),
        };
        let fault = Fault {
            name: "f".to_owned(),
            what: String::new(),
            on: SECOND,
            off: healed,
        };
        let last = Snapshot {
            shop: Some(Orders::default()),
            ..Snapshot::default()
        };
        History {
            ops: vec![look],
            faults: vec![fault],
            last: Some(last),
            ..History::default()
        }
    }

    fn broken(history: &History) -> usize {
        sagas_end(history, &Limits::default()).map_or(0, |broken| broken.len())
    }

    #[test]
    fn a_saga_has_its_time_to_live_and_five_seconds_more() {
        assert_eq!(broken(&history(15_000, 2 * SECOND)), 0);
        assert_eq!(broken(&history(15_001, 2 * SECOND)), 1);
    }

    #[test]
    fn a_fault_gives_it_until_five_seconds_after_healing() {
        assert_eq!(broken(&history(90_000, 95 * SECOND)), 0);
        assert_eq!(broken(&history(90_000, 94 * SECOND)), 1);
        // And as long as the fault is on.
        assert_eq!(broken(&history(90_000, u64::MAX)), 0);
    }

    #[test]
    fn one_that_is_open_at_rest_and_young_can_not_be_judged() {
        let mut history = history(1, 2 * SECOND);
        let shop = Orders {
            open: crate::snapshot::Open {
                sagas: vec![saga(1)],
                undelivered: 0,
            },
            ..Orders::default()
        };
        history.last = Some(Snapshot {
            shop: Some(shop),
            ..Snapshot::default()
        });
        assert!(sagas_end(&history, &Limits::default()).is_err());
    }

    #[test]
    fn units_held_by_nobody_are_orphans() {
        let mut history = history(1, 2 * SECOND);
        let row = StockRow {
            product: 3,
            reserved: 2,
            ..StockRow::default()
        };
        let stock = Stock {
            stock: vec![row],
            reservations: None,
        };
        history.last = Some(Snapshot {
            shop: Some(Orders::default()),
            stock: Some(stock),
            ..Snapshot::default()
        });
        let broken = sagas_end(&history, &Limits::default()).unwrap();
        assert_eq!(
            (broken[0].code, &broken[0].subject),
            ("orphan", &Subject::Product(3))
        );
    }

    #[test]
    fn calm_is_what_lies_between_faults_that_may_overlap() {
        let fault = |on, off| Fault {
            name: String::new(),
            what: String::new(),
            on,
            off,
        };
        let history = History {
            faults: vec![
                fault(10, 20),
                fault(15, 30),
                fault(40, 40),
                fault(50, u64::MAX),
            ],
            ..History::default()
        };
        let healed = Healed::of(&history);
        assert_eq!(healed.calm(0, 60), [(0, 10), (30, 40), (40, 50)]);
        assert_eq!(
            [5, 25, 35, 45, 55].map(|t| healed.before(t)),
            [Some(0), None, Some(30), Some(40), None]
        );
    }
}

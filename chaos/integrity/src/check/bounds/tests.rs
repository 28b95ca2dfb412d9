use super::*;
use crate::history::Outcome;
use crate::types::{Line, Order, Sold};

fn basket() -> Basket {
    let line = Line {
        product: 1,
        quantity: 5,
    };
    vec![line].into()
}

fn place(id: u64, key: &str, invoked: u64, ended: u64, outcome: Option<bool>) -> Op {
    let order = Order {
        id: 1,
        user: 1,
        status: Status::Pending,
        total: 0,
        lines: vec![Sold {
            product: 1,
            quantity: 5,
            price: 0,
        }],
    };
    let outcome = match outcome {
        Some(true) => Outcome::Ok(Answer::Placed { order, digest: 0 }),
        Some(false) => Outcome::Fail {
            status: 400,
            error: String::new(),
        },
        None => Outcome::Info { why: String::new() },
    };
    let call = Call::Place {
        user: 1,
        key: key.to_owned(),
        basket: basket(),
    };
    Op {
        id,
        call,
        invoked,
        ended,
        outcome,
    }
}

/// What is said of a look from 100 to 110 that finds so many units committed.
fn look(committed: i64, mut ops: Vec<Op>) -> Vec<&'static str> {
    let row = StockRow {
        product: 1,
        committed,
        ..StockRow::default()
    };
    let answer = Answer::Audited {
        stock: vec![row],
        sagas: Vec::new(),
    };
    ops.push(Op {
        id: 99,
        call: Call::Audit,
        invoked: 100,
        ended: 110,
        outcome: Outcome::Ok(answer),
    });
    ops.sort_by_key(|op| op.invoked);
    let history = History {
        ops,
        prices: [(1, 0)].into(),
        ..History::default()
    };
    in_flight(&history)
        .into_iter()
        .map(|broken| broken.code)
        .collect()
}

#[test]
fn an_acknowledged_order_is_committed_exactly_once() {
    let ops = || vec![place(0, "a", 10, 90, Some(true))];
    assert_eq!(look(0, ops()), ["too_few"]);
    assert!(look(5, ops()).is_empty());
    assert_eq!(look(10, ops()), ["too_many"]);
}

#[test]
fn one_that_is_under_way_may_be_committed_or_not() {
    for ops in [
        vec![place(0, "a", 10, 105, Some(true))],
        vec![place(0, "a", 10, 20, None)],
    ] {
        assert!(look(0, ops.clone()).is_empty() && look(5, ops.clone()).is_empty());
        assert_eq!(look(10, ops), ["too_many"]);
    }
    // One that is called for after the look can't be in it.
    assert_eq!(
        look(5, vec![place(0, "a", 111, 120, Some(true))]),
        ["too_many"]
    );
}

#[test]
fn a_refused_one_holds_nothing_once_that_is_known() {
    assert!(look(5, vec![place(0, "a", 10, 105, Some(false))]).is_empty());
    assert_eq!(
        look(5, vec![place(0, "a", 10, 90, Some(false))]),
        ["too_many"]
    );
}

#[test]
fn attempts_under_one_key_come_to_one_order() {
    let ops = vec![
        place(0, "a", 10, 20, None),
        place(1, "a", 30, 90, Some(true)),
    ];
    assert!(look(5, ops.clone()).is_empty());
    assert_eq!(look(10, ops), ["too_many"]);
    // Until one is acknowledged, each may be one.
    let ops = vec![place(0, "a", 10, 20, None), place(1, "a", 30, 40, None)];
    assert!(look(10, ops).is_empty());
}

#[test]
fn one_that_may_have_been_called_off_need_not_be_committed() {
    let cancel = Op {
        id: 5,
        call: Call::Cancel { user: 1, order: 1 },
        invoked: 95,
        ended: 200,
        outcome: Outcome::Info { why: String::new() },
    };
    let ops = vec![place(0, "a", 10, 90, Some(true)), cancel];
    assert!(look(0, ops.clone()).is_empty() && look(5, ops).is_empty());
}

#[test]
fn an_answer_in_no_time_counts_too() {
    let ops = vec![
        place(0, "a", 10, 20, None),
        place(1, "a", 90, 90, Some(true)),
    ];
    assert!(look(5, ops.clone()).is_empty());
    assert_eq!(look(0, ops), ["too_few"]);
}

//! Stories for people.

use std::collections::BTreeSet;

use crate::check::{Subject, Violation};
use crate::history::{Answer, Call, Fault, History, Op, Outcome};
use crate::snapshot::Snapshot;
use crate::types::{Basket, Order, ProductId};

/// The most lines of one kind.
const MOST: usize = 30;

/// Operations and faults by time, then what was found at rest.
pub(super) fn lines(
    history: &History,
    short: &History,
    suspects: &[u64],
    violation: &Violation,
) -> Vec<String> {
    let mut timed: Vec<(u64, String)> = Vec::new();
    for op in &short.ops {
        timed.push((op.invoked, operation(history, op, short)));
    }
    for op in history.ops.iter().filter(|op| suspects.contains(&op.id)) {
        timed.push((
            op.invoked,
            operation(history, op, short) + "  (may be to blame)",
        ));
    }
    for fault in relevant(history, &short.ops) {
        timed.push((fault.on, told(history, fault)));
    }
    timed.sort();
    let more = timed.len().saturating_sub(MOST);
    let mut lines: Vec<String> = timed.into_iter().take(MOST).map(|(_, line)| line).collect();
    if more > 0 {
        lines.push(format!("… and {more} more"));
    }
    if let Some(last) = &short.last {
        lines.extend(at_rest(last, violation).into_iter().take(MOST));
    }
    lines
}

/// Faults that were on while one of the operations was under way.
fn relevant<'a>(history: &'a History, ops: &[Op]) -> Vec<&'a Fault> {
    let during = |fault: &Fault| {
        ops.iter().any(|op| {
            !matches!(op.call, Call::Audit) && fault.on <= op.ended && op.invoked <= fault.off
        })
    };
    history
        .faults
        .iter()
        .filter(|fault| during(fault))
        .take(MOST)
        .collect()
}

fn span(history: &History, from: u64, to: u64) -> String {
    let seconds = |t: u64| t.saturating_sub(history.began) as f64 / 1e9;
    if to == u64::MAX {
        return format!("[{:9.3} –     ?     s]", seconds(from));
    }
    format!("[{:9.3} – {:9.3} s]", seconds(from), seconds(to))
}

fn told(history: &History, fault: &Fault) -> String {
    let span = span(history, fault.on, fault.off);
    format!("{span} fault {}: {}", fault.name, fault.what)
}

fn operation(history: &History, op: &Op, short: &History) -> String {
    let span = span(history, op.invoked, op.ended);
    format!(
        "{span} #{} {} → {}",
        op.id,
        asked(&op.call),
        answered(op, short)
    )
}

fn asked(call: &Call) -> String {
    match call {
        Call::Place { user, key, basket } => {
            format!("user {user} places {} under {key}", wanted(basket))
        }
        Call::Cancel { user, order } => format!("user {user} calls off order {order}"),
        Call::Read { user, order } => format!("user {user} reads order {order}"),
        Call::List { user } => format!("user {user} lists their orders"),
        Call::Advance { order, to } => format!("staff takes order {order} to {}", to.name()),
        Call::Reprice { product, price } => format!("product {product} is to cost {price} cents"),
        Call::Audit => "a look at the books".to_owned(),
    }
}

fn wanted(basket: &Basket) -> String {
    let lines = basket.lines().iter();
    let lines: Vec<String> = lines
        .map(|l| format!("{} × product {}", l.quantity, l.product))
        .collect();
    lines.join(", ")
}

fn answered(op: &Op, short: &History) -> String {
    match &op.outcome {
        Outcome::Ok(Answer::Placed { order, .. }) => shown(order),
        Outcome::Ok(Answer::Seen { order, stale }) => {
            format!("{}{}", shown(order), if *stale { ", stale" } else { "" })
        }
        Outcome::Ok(Answer::Listed {
            orders, complete, ..
        }) => {
            let about: BTreeSet<i64> = short
                .ops
                .iter()
                .filter_map(|op| op.placed())
                .map(|(o, _)| o.id)
                .collect();
            let found: Vec<String> = orders
                .iter()
                .filter(|o| about.contains(&o.id))
                .map(shown)
                .collect();
            let all = if *complete { "all" } else { "newest" };
            format!(
                "{} orders ({all}); of these: [{}]",
                orders.len(),
                found.join("; ")
            )
        }
        Outcome::Ok(Answer::Audited { stock, sagas }) => {
            format!("{} products, {} open sagas", stock.len(), sagas.len())
        }
        Outcome::Ok(Answer::Done) => "done".to_owned(),
        Outcome::Fail { status, error } => format!("refused: {status} {error}"),
        Outcome::Info { why } => format!("unknown: {why}"),
    }
}

fn shown(order: &Order) -> String {
    format!(
        "order {} ({}, {} cents)",
        order.id,
        order.status.name(),
        order.total
    )
}

fn at_rest(last: &Snapshot, violation: &Violation) -> Vec<String> {
    let orders = last.orders.iter().map(|order| {
        let what = wanted(&order.basket());
        format!("{} of user {}: {what}", shown(order), order.user)
    });
    let found = orders
        .chain(stock(last, violation))
        .chain(sagas_and_events(last, violation))
        .chain(payments(last, violation));
    found.map(|line| format!("at rest: {line}")).collect()
}

/// The product's row, and reservations of what the violation is about.
fn stock(last: &Snapshot, violation: &Violation) -> Vec<String> {
    let Some(stock) = &last.stock else {
        return Vec::new();
    };
    let product: Option<ProductId> = match violation.subject {
        Subject::Product(product) => Some(product),
        _ => None,
    };
    let rows = stock.stock.iter();
    let rows = rows.filter(|row| product == Some(row.product)).map(|row| {
        format!(
            "product {}: {} available, {} reserved, {} committed, ledger {}",
            row.product, row.available, row.reserved, row.committed, row.ledger_sum
        )
    });
    let concerns = |lines: &Basket| product.is_none_or(|product| lines.units_of(product) > 0);
    let reservations = stock.reservations.iter().flatten();
    let reservations = reservations.filter(|row| concerns(&row.lines)).map(|row| {
        format!(
            "reservation {} {:?}: {} units taken, {} returned, {} of them expired",
            row.order_key, row.state, row.taken, row.returned, row.expired
        )
    });
    rows.chain(reservations).collect()
}

fn sagas_and_events(last: &Snapshot, violation: &Violation) -> Vec<String> {
    let Some(shop) = &last.shop else {
        return Vec::new();
    };
    let sagas = shop.open.sagas.iter().map(|saga| {
        format!(
            "saga {} is {}, {} ms old, with {} ms to live",
            saga.order_key, saga.state, saga.age_ms, saga.ttl_ms
        )
    });
    let effects = shop.outbox.effects.iter();
    let effects = effects.filter(|effect| violation.subject == Subject::Order(effect.order));
    let effects = effects.map(|effect| {
        format!(
            "event {} of order {} being {}: took effect {} times",
            effect.event,
            effect.order,
            effect.kind.name(),
            effect.delivered
        )
    });
    sagas.chain(effects).collect()
}

fn payments(last: &Snapshot, violation: &Violation) -> Vec<String> {
    let of_it = |key: &String| matches!(&violation.subject, Subject::OrderKey(of) if of == key);
    let payments = last.payments.iter().flat_map(|payments| &payments.payments);
    let payments = payments.filter(|payment| of_it(&payment.order_key));
    payments
        .map(|payment| {
            format!(
                "payment {}: {} cents authorised, {} taken, {} given back",
                payment.order_key, payment.amount, payment.captured, payment.refunded
            )
        })
        .collect()
}

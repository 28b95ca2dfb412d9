//! Rules 4 and 6: units add up, and return at most once.

use std::collections::BTreeSet;

use super::{Checked, Rule, Subject, Violation};
use crate::history::{Answer, History};
use crate::snapshot::{ReservationRow, ReservationState, StockRow};
use crate::types::ProductId;

const NO_STOCK: &str = "no look at the stock is in the log";

/// Every look at the stock, by time; with the operation, or none for the one at rest.
pub(super) fn looks(history: &History) -> impl Iterator<Item = (Option<u64>, &[StockRow])> {
    let audits = history.ops.iter().filter_map(|op| match op.answer() {
        Some(Answer::Audited { stock, .. }) => Some((Some(op.id), stock.as_slice())),
        _ => None,
    });
    let rest = history.last.iter().filter_map(|last| last.stock.as_ref());
    audits.chain(rest.map(|stock| (None, stock.stock.as_slice())))
}

/// 4: available + reserved + committed = initial + restocked at every snapshot; available ≥ 0.
pub(super) fn units_add_up(history: &History) -> Checked {
    first_of_each(
        history,
        |row| {
            let there = row.available + row.reserved + row.committed;
            let made = row.initial + row.restocked;
            if row.available < 0 {
                let what = format!(
                    "product {} has {} units to sell",
                    row.product, row.available
                );
                return Some(("below_zero", row.available, what));
            }
            let what = format!(
                "product {}: {} available + {} reserved + {} committed are not {} initial + {} restocked",
                row.product, row.available, row.reserved, row.committed, row.initial, row.restocked
            );
            (there != made).then_some(("unbalanced", there - made, what))
        },
        Rule::UnitsAddUp,
    )
}

type Fault = (&'static str, i64, String);

/// The first look at each product that shows something wrong; later ones show the same again.
fn first_of_each(
    history: &History,
    wrong: impl Fn(&StockRow) -> Option<Fault>,
    rule: Rule,
) -> Checked {
    let mut seen = false;
    let mut known: BTreeSet<ProductId> = BTreeSet::new();
    let mut broken = Vec::new();
    for (op, rows) in looks(history) {
        seen = true;
        for row in rows {
            let Some((code, amount, what)) = wrong(row) else {
                continue;
            };
            if known.insert(row.product) {
                let subject = Subject::Product(row.product);
                broken.push(
                    Violation::new(rule, code, subject, what)
                        .by(amount)
                        .shown_by(op),
                );
            }
        }
    }
    if seen { Ok(broken) } else { Err(NO_STOCK) }
}

/// 6: a reservation goes from held to exactly one end, its units return at most once, and the
/// ledger replays to the row.
pub(super) fn reservations_end_once(history: &History) -> Checked {
    let mut broken = first_of_each(
        history,
        |row| {
            let what = format!(
                "product {}: the ledger adds up to {}, the row has {} available",
                row.product, row.ledger_sum, row.available
            );
            let off = row.available - row.ledger_sum;
            (off != 0).then_some(("ledger", off, what))
        },
        Rule::ReservationsEndOnce,
    )?;
    let stock = history.last.as_ref().and_then(|last| last.stock.as_ref());
    let rows = stock.and_then(|stock| stock.reservations.as_ref());
    broken.extend(rows.into_iter().flatten().filter_map(ends_once));
    Ok(broken)
}

fn ends_once(row: &ReservationRow) -> Option<Violation> {
    let kept = row.taken - row.returned;
    let (code, words) = match row.state {
        _ if kept < 0 => ("returned_twice", "more came back than was taken"),
        ReservationState::Held | ReservationState::Committed if row.returned != 0 => {
            ("returned_and_kept", "units came back, and it keeps them")
        }
        ReservationState::Released | ReservationState::Expired | ReservationState::Returned
            if kept != 0 =>
        {
            ("not_returned", "it is over, and units did not come back")
        }
        _ => return None,
    };
    let what = format!(
        "reservation {} is {:?} with {} units taken and {} returned: {words}",
        row.order_key, row.state, row.taken, row.returned
    );
    let subject = Subject::OrderKey(row.order_key.clone());
    Some(Violation::new(Rule::ReservationsEndOnce, code, subject, what).by(kept))
}

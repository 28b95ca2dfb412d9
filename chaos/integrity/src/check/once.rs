//! Rule 7: committed or expired, never both.

use std::collections::HashMap;

use super::{Checked, Rule, Subject, Violation, orders::NO_REST};
use crate::history::History;
use crate::snapshot::{ReservationRow, ReservationState};
use crate::types::{Order, OrderId};

/// 7: commit against expiry is decided once: no committed reservation has expired units, and no
/// live order lives on one that is over.
pub(super) fn commit_or_expiry(history: &History) -> Checked {
    let last = history.last.as_ref().ok_or(NO_REST)?;
    let stock = last.stock.as_ref();
    let rows = stock.and_then(|stock| stock.reservations.as_ref());
    let rows = rows.ok_or("the product service told of no reservations")?;
    let orders: HashMap<OrderId, &Order> = last.orders.iter().map(|o| (o.id, o)).collect();
    let keys = last.shop.iter().flat_map(|shop| &shop.keys);
    let by_key: HashMap<&str, &Order> = keys
        .filter_map(|key| Some((key.order_key.as_str(), *orders.get(&key.order)?)))
        .collect();
    let broken = rows
        .iter()
        .filter_map(|row| both(row, by_key.get(row.order_key.as_str()).copied()));
    Ok(broken.collect())
}

fn both(row: &ReservationRow, order: Option<&Order>) -> Option<Violation> {
    let committed = matches!(
        row.state,
        ReservationState::Committed | ReservationState::Returned
    );
    let over = matches!(
        row.state,
        ReservationState::Expired | ReservationState::Released
    );
    let subject = Subject::OrderKey(row.order_key.clone());
    let key = &row.order_key;
    if committed && row.expired > 0 {
        let what = format!(
            "reservation {key} was committed, and {} units came back at its expiry",
            row.expired
        );
        return Some(Violation::new(Rule::CommitOrExpiry, "both", subject, what).by(row.expired));
    }
    let order = order.filter(|order| over && order.is_live())?;
    let what = format!(
        "order {} is live, and its reservation {key} is {:?}",
        order.id, row.state
    );
    Some(Violation::new(
        Rule::CommitOrExpiry,
        "sold_after_its_end",
        subject,
        what,
    ))
}

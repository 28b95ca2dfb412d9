//! The invariants of orders and stock, over a run's whole state.

use std::collections::{BTreeMap, BTreeSet};

use order_service::saga::memory::HeldState;

use crate::shop::{Outcome, PRODUCTS, World};

/// What holds at every moment.
pub fn snapshot(world: &World) -> Vec<String> {
    let mut broken = Vec::new();
    let available = world.stock.available();
    if available != world.stock.replayed() {
        broken.push("6: the ledger does not replay to the rows".to_owned());
    }
    for id in 1..=PRODUCTS {
        let of = |state| world.stock.units(id, state);
        let sum = available[&id] + of(HeldState::Held) + of(HeldState::Committed);
        if sum != world.extent.units || available[&id] < 0 {
            broken.push(format!(
                "4: product {id} adds up to {sum} of {}",
                world.extent.units
            ));
        }
    }
    broken
}

/// What holds when the faults are over and every saga's time is up.
pub fn at_rest(world: &World) -> Vec<String> {
    let mut broken = Vec::new();
    let orders = world.journal.orders();
    for (key, state, deadline, _) in world.journal.sagas() {
        if !state.is_over() {
            broken.push(format!(
                "8: {key} is {state} still, its deadline was {deadline}"
            ));
        }
    }
    let hidden = orders.values().filter(|row| !row.shown).count();
    if hidden > 0 {
        broken.push(format!("8: {hidden} orders are orphans"));
    }
    broken.extend(stock_and_payments(world));
    let mails: BTreeSet<String> = world.journal.mails().into_iter().collect();
    let wanted = orders.keys().map(|key| format!("{key}.pending")).collect();
    if mails != wanted || mails.len() != world.journal.mails().len() {
        broken.push("9: mails and orders differ".to_owned());
    }
    broken.extend(clients(world));
    broken
}

fn stock_and_payments(world: &World) -> Vec<String> {
    let mut broken = Vec::new();
    let orders = world.journal.orders();
    let paid = world.payments.paid();
    let states = world.stock.states();
    for (key, row) in &orders {
        if states.get(key) != Some(&HeldState::Committed) {
            broken.push(format!(
                "5: {key} has no committed stock: {:?}",
                states.get(key)
            ));
        }
        if paid.get(key) != Some(&row.order.total.0) {
            broken.push(format!("5: {key} has paid {:?}", paid.get(key)));
        }
    }
    for (key, state) in &states {
        let sold = *state == HeldState::Committed;
        if *state == HeldState::Held || sold != orders.contains_key(key) {
            broken.push(format!("5: stock of {key} is {state:?}"));
        }
    }
    let kept = paid
        .iter()
        .filter(|(key, n)| **n != 0 && !orders.contains_key(*key));
    broken.extend(kept.map(|(key, n)| format!("5: {key} has paid {n} for nothing")));
    let open = world.payments.set_aside();
    broken.extend(
        open.iter()
            .map(|key| format!("8: {key}'s payment is set aside still")),
    );
    broken
}

/// What the clients were told against what there is.
fn clients(world: &World) -> Vec<String> {
    let mut broken = Vec::new();
    let orders = world.journal.orders();
    let mut answers: BTreeMap<(i64, String), BTreeSet<String>> = BTreeMap::new();
    let mut info: BTreeSet<(i64, String)> = BTreeSet::new();
    for attempt in world.attempts.lock().iter() {
        let who = (attempt.user, attempt.key.clone());
        match &attempt.outcome {
            Outcome::Ok(answer) => {
                let stands = orders.values().any(|row| {
                    let order = &row.order;
                    let same = format!("{} {} {}", order.id, order.order_key, order.total);
                    same == *answer && order.total.0 == attempt.units * 100
                });
                if !stands {
                    broken.push(format!(
                        "1: {who:?} was told {answer:?}, which is not there"
                    ));
                }
                answers.entry(who).or_default().insert(answer.clone());
            }
            Outcome::Info => {
                info.insert(who);
            }
            Outcome::Refused => {}
        }
    }
    for (who, told) in &answers {
        if told.len() > 1 {
            broken.push(format!("2: {who:?} was told {told:?}"));
        }
    }
    let mut of_user: BTreeMap<i64, usize> = BTreeMap::new();
    for row in orders.values() {
        *of_user.entry(row.order.user_id).or_default() += 1;
    }
    for (user, count) in of_user {
        let own = answers.keys().filter(|(u, _)| *u == user).count();
        let open = info
            .iter()
            .filter(|who| who.0 == user && !answers.contains_key(*who));
        let most = own + open.count();
        if count > most {
            broken.push(format!("2: user {user} has {count} orders for {most} keys"));
        }
    }
    broken
}

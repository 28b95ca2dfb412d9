//! Reading `[arms]`: which policy every slot has in each arm.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use loadtest::{LoadError, Orders};
use resilience::{SlotSpec, policy::PolicyError, server::ServerSpec};
use serde_json::Value;
use toml::Spanned;
use toml::de::DeValue;

use super::Arm;
use super::known::{LOAD, SLOTS, is_server};
use super::read::{At, Table, to_json};
use crate::diagnostics::{Collector, list};

/// The key of an arm that is no slot.
const ORDERS: &str = "orders";

/// Reads every arm; an arm with a problem is left out, its problem reported.
pub(super) fn read(c: &mut Collector<'_>, table: &Table<'_, '_>) -> Vec<Arm> {
    let mut arms = Vec::new();
    for (name, value) in table.entries() {
        if !is_name(&name.value) {
            c.error(
                name.span.clone(),
                "an arm's name has letters, digits, underscores and inner hyphens only, and begins with a letter",
            );
        }
        match value.get_ref().as_table() {
            Some(t) => {
                let slots = Table::new(t, value.span(), "arm");
                arms.push(arm(c, name.value, &slots));
            }
            None => c.error(
                value.span(),
                "an arm is a table of slots and their policies",
            ),
        }
    }
    if arms.is_empty() {
        c.error(table.span(), "a scenario needs at least one arm");
    }
    arms
}

fn arm(c: &mut Collector<'_>, name: String, slots: &Table<'_, '_>) -> Arm {
    let mut arm = Arm {
        name,
        specs: BTreeMap::new(),
        named: BTreeSet::new(),
        orders: Orders::Once,
        resets: BTreeMap::new(),
    };
    for (slot, preset) in SLOTS {
        arm.specs.insert(slot.to_owned(), unnamed(slot, preset));
    }
    for (slot, value) in slots.entries() {
        if slot.value == ORDERS {
            arm.orders = orders(c, value);
        } else if SLOTS.iter().any(|(known, _)| *known == slot.value) {
            arm.specs
                .insert(slot.value.clone(), to_json(value.get_ref()));
            arm.named.insert(slot.value.clone());
            check(c, &slot, value);
        } else {
            c.unknown(
                slot.span,
                "policy slot",
                &slot.value,
                SLOTS.iter().map(|(s, _)| *s).chain([ORDERS]),
            );
        }
    }
    if arm.orders == Orders::Repeated && !arm.named.contains(LOAD) {
        let message = "`orders = \"repeated\"` repeats nothing without a policy in the slot `load`";
        c.error(slots.span(), message);
    }
    let resets = |(slot, spec): (&String, &Value)| Some((slot.clone(), reset(slot, spec)?));
    arm.resets = arm.specs.iter().filter_map(resets).collect();
    arm
}

/// How the load of this arm sends orders.
fn orders(c: &mut Collector<'_>, value: &Spanned<DeValue<'_>>) -> Orders {
    let read = match value.get_ref().as_str() {
        Some(name) => name.parse().map_err(|e: LoadError| e.to_string()),
        None => Err("`orders` is a string".to_owned()),
    };
    read.unwrap_or_else(|why| {
        c.error(value.span(), why);
        Orders::Once
    })
}

/// The policy of a slot that the arm doesn't name.
fn unnamed(slot: &str, preset: &str) -> Value {
    // A write that is cut short leaves it open whether it was done: towards a database there is no
    // deadline unless an arm says so.
    if slot.ends_with("-database") {
        serde_json::json!({ "preset": preset, "deadline": "off" })
    } else {
        Value::from(preset)
    }
}

fn check(c: &mut Collector<'_>, slot: &At<String>, value: &Spanned<DeValue<'_>>) {
    if let Err(why) = resolves(&slot.value, to_json(value.get_ref())) {
        c.error(
            value.span(),
            format!("the policy of `{}`: {why}", slot.value),
        );
    }
}

/// Whether the services would take it.
fn resolves(slot: &str, spec: Value) -> Result<(), PolicyError> {
    if is_server(slot) {
        ServerSpec::try_from(spec)?.resolve().map(drop)
    } else {
        SlotSpec::try_from(spec)?.resolve().map(drop)
    }
}

/// How long the slot's breaker stays open: of several alternatives, the longest.
fn reset(slot: &str, spec: &Value) -> Option<Duration> {
    if is_server(slot) {
        return None;
    }
    let policies = SlotSpec::try_from(spec.clone()).ok()?.resolve().ok()?;
    let resets = policies.iter().filter_map(|(_, policy)| policy.breaker);
    resets.map(|breaker| breaker.reset).max()
}

/// Whether a name can stand in a check: words of letters, digits and
/// underscores, joined by hyphens, the first of them not beginning with a digit.
pub(super) fn is_name(name: &str) -> bool {
    let word = |w: &str| !w.is_empty() && w.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    name.split('-').all(word) && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// The names of arms, for messages.
pub(crate) fn names(arms: &[Arm]) -> String {
    list(&arms.iter().map(|a| a.name.as_str()).collect::<Vec<_>>())
}

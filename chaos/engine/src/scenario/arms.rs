//! Reading `[arms]`: which policy every slot has in each arm.

use std::collections::BTreeMap;
use std::time::Duration;

use resilience::PolicySpec;
use serde_json::Value;
use toml::Spanned;
use toml::de::DeValue;

use super::Arm;
use super::known::SLOTS;
use super::read::{At, Table, to_json};
use crate::diagnostics::{Collector, list};

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
        resets: BTreeMap::new(),
    };
    for (slot, preset) in SLOTS {
        arm.specs.insert(slot.to_owned(), Value::from(preset));
    }
    for (slot, value) in slots.entries() {
        if SLOTS.iter().any(|(known, _)| *known == slot.value) {
            arm.specs
                .insert(slot.value.clone(), to_json(value.get_ref()));
            check(c, &slot, value);
        } else {
            c.unknown(
                slot.span,
                "policy slot",
                &slot.value,
                SLOTS.iter().map(|(s, _)| *s),
            );
        }
    }
    let resets = |(slot, spec): (&String, &Value)| Some((slot.clone(), reset(spec)?));
    arm.resets = arm.specs.iter().filter_map(resets).collect();
    arm
}

fn check(c: &mut Collector<'_>, slot: &At<String>, value: &Spanned<DeValue<'_>>) {
    if let Err(why) = effective(&to_json(value.get_ref())) {
        c.error(
            value.span(),
            format!("the policy of `{}`: {why}", slot.value),
        );
    }
}

/// The policy with all its fields, as the services would hold it.
pub(crate) fn effective(spec: &Value) -> Result<Value, String> {
    let spec: PolicySpec = serde_json::from_value(spec.clone()).map_err(|e| e.to_string())?;
    let policy = spec.resolve().map_err(|e| e.to_string())?;
    serde_json::to_value(policy).map_err(|e| e.to_string())
}

fn reset(spec: &Value) -> Option<Duration> {
    let policy = effective(spec).ok()?;
    humantime::parse_duration(policy.get("breaker")?.get("reset")?.as_str()?).ok()
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

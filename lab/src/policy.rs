//! `lab policy show` and `set`: the policies of a running lab, by hand.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use chaos_engine::control::Control;
use serde_json::{Map, Value, json};

use crate::cli::{PolicyCommand, SetPolicyArgs, ShowPolicyArgs};
use crate::controls::Controls;
use crate::exit::Exit;
use crate::place::Place;
use crate::text;

/// Runs one of the two.
///
/// # Errors
/// When no lab runs, there is no such slot, or the policy can't be had.
pub async fn run(place: &Place, command: &PolicyCommand) -> Result<Exit> {
    let controls = Controls::of_running(place)?;
    match command {
        PolicyCommand::Show(args) => show(&controls, args).await?,
        PolicyCommand::Set(args) => set(&controls, args).await?,
    }
    Ok(Exit::Held)
}

async fn show(controls: &Controls, args: &ShowPolicyArgs) -> Result<()> {
    let slots = slots(controls).await?;
    if let Some(name) = &args.slot {
        let slot = find(&slots, name)?;
        let state = slot.first().state(name).await?;
        return print(&json!({ "slot": name, "policy": slot.policy, "state": state }));
    }
    if args.json {
        let all: Map<String, Value> = slots.into_iter().map(|(n, s)| (n, s.policy)).collect();
        return print(&all.into());
    }
    let mut rows = vec![text::row(["slot", "policy", "state"])];
    for (name, slot) in &slots {
        for control in &slot.controls {
            let label = match slot.controls.len() {
                1 => name.clone(),
                _ => format!("{name} ({})", control.part()),
            };
            let state = control.state(name).await?;
            rows.push(vec![label, policy_text(&slot.policy), state_text(&state)]);
        }
    }
    print!("{}", text::table(&rows));
    println!("\n`lab policy show SLOT` shows one with all its fields");
    Ok(())
}

async fn set(controls: &Controls, args: &SetPolicyArgs) -> Result<()> {
    let slots = slots(controls).await?;
    let slot = find(&slots, &args.slot)?;
    let spec = spec(&args.policy, &args.changes)?;
    let mut policy = Value::Null;
    for control in &slot.controls {
        policy = control.put_policy(&args.slot, &spec).await?;
    }
    println!(
        "{}: {} from now on; calls under way end under the policy they began with",
        args.slot,
        policy_text(&policy)
    );
    Ok(())
}

fn print(value: &Value) -> Result<()> {
    println!("{}", serde_json::to_string_pretty(value).context("JSON")?);
    Ok(())
}

/// What the command line asks for: a preset's name or JSON, and changes `a.b=value` on top.
fn spec(policy: &str, changes: &[String]) -> Result<Value> {
    let begins_as_json = policy.trim_start().starts_with(['{', '[', '"']);
    let mut spec = if begins_as_json {
        serde_json::from_str(policy).with_context(|| format!("{policy} is no JSON"))?
    } else {
        Value::from(policy)
    };
    if changes.is_empty() {
        return Ok(spec);
    }
    if let Value::String(preset) = spec {
        spec = json!({ "preset": preset });
    }
    if !spec.is_object() {
        bail!("changes go with one policy; write several with weights as JSON alone");
    }
    for change in changes {
        let (field, value) = change
            .split_once('=')
            .with_context(|| format!("{change:?} is no change: write FIELD=VALUE, as in breaker=off or retry.max_attempts=4"))?;
        put_in(&mut spec, field, parsed(value))?;
    }
    Ok(spec)
}

/// Numbers, lists, maps, true and false as JSON has them; everything else is text.
fn parsed(value: &str) -> Value {
    serde_json::from_str(value).unwrap_or_else(|_| Value::from(value))
}

fn put_in(spec: &mut Value, field: &str, value: Value) -> Result<()> {
    let mut place = spec;
    for part in field.split('.') {
        let map = match place {
            Value::Null => {
                *place = json!({});
                place.as_object_mut()
            }
            other => other.as_object_mut(),
        };
        let Some(map) = map else {
            bail!("{field:?}: one part of it is no map");
        };
        place = map.entry(part).or_insert(Value::Null);
    }
    *place = value;
    Ok(())
}

fn policy_text(policy: &Value) -> String {
    match policy {
        Value::Array(all) => {
            let one = |a: &Value| format!("{}× {}", a["weight"], policy_text(&a["policy"]));
            all.iter().map(one).collect::<Vec<_>>().join(", ")
        }
        one => one["preset"].as_str().unwrap_or("?").to_owned(),
    }
}

fn state_text(state: &Value) -> String {
    let Some(all) = state["alternatives"].as_array() else {
        let limit = match &state["limit"] {
            Value::Null => "no limit".to_owned(),
            limit => format!("limit {limit}"),
        };
        return format!(
            "{limit}, {} inside, {} waiting",
            state["inflight"], state["waiting"]
        );
    };
    let one = |a: &Value| {
        let breaker = &a["breaker"];
        let mut parts = Vec::new();
        if let Some(state) = breaker["state"].as_str() {
            parts.push(format!("breaker {}", state.replace('_', "-")));
        }
        if let Some(forced) = breaker["forced"].as_str() {
            parts.push(format!("forced {forced}"));
        }
        if let Some(left) = a["budget_left"].as_f64() {
            parts.push(format!("budget {left:.1}"));
        }
        if parts.is_empty() {
            "-".to_owned()
        } else {
            parts.join(", ")
        }
    };
    all.iter().map(one).collect::<Vec<_>>().join(" · ")
}

/// A slot of some part.
struct SlotAt {
    /// One for each replica of the part.
    controls: Vec<Control>,
    policy: Value,
}

impl SlotAt {
    fn first(&self) -> &Control {
        &self.controls[0]
    }
}

async fn slots(controls: &Controls) -> Result<BTreeMap<String, SlotAt>> {
    let mut all = BTreeMap::new();
    for control in &controls.parts {
        for (name, policy) in control.policies().await? {
            let slot = all.entry(name).or_insert_with(|| SlotAt {
                controls: Vec::new(),
                policy,
            });
            slot.controls.push(control.clone());
        }
    }
    Ok(all)
}

fn find<'s>(slots: &'s BTreeMap<String, SlotAt>, name: &str) -> Result<&'s SlotAt> {
    slots.get(name).with_context(|| {
        let known = slots.keys().map(String::as_str);
        let suggestion = text::suggest(name, known);
        let known: Vec<&str> = slots.keys().map(String::as_str).collect();
        format!(
            "no slot {name:?}{suggestion}; there are: {}",
            known.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(list: &[&str]) -> Vec<String> {
        list.iter().map(|c| (*c).to_owned()).collect()
    }

    #[test]
    fn a_name_json_and_changes_make_a_spec() {
        assert_eq!(spec("fast", &[]).unwrap(), json!("fast"));
        let with = spec(
            "fast",
            &changes(&["breaker=off", "retry.max_attempts=4", "retry.base=20ms"]),
        );
        assert_eq!(
            with.unwrap(),
            json!({"preset": "fast", "breaker": "off", "retry": {"max_attempts": 4, "base": "20ms"}})
        );
        let json_alone = spec(r#"[{"weight": 1, "policy": "fast"}]"#, &[]).unwrap();
        assert!(json_alone.is_array());
    }

    #[test]
    fn what_is_no_change_is_told() {
        let told =
            |policy: &str, list: &[&str]| spec(policy, &changes(list)).unwrap_err().to_string();
        assert!(told("fast", &["breaker"]).contains("FIELD=VALUE"));
        assert!(told("fast", &["preset.x=1"]).contains("no map"));
        assert!(told("[1]", &["a=1"]).contains("one policy"));
        assert!(told("{", &[]).contains("no JSON"));
    }

    #[test]
    fn states_are_told_in_words() {
        let closed = json!({"alternatives": [
            {"policy": "fast", "weight": 1, "budget_left": 7.5,
             "breaker": {"state": "half_open", "forced": "open"}},
            {"policy": "none", "weight": 1, "budget_left": null, "breaker": null},
        ]});
        assert_eq!(
            state_text(&closed),
            "breaker half-open, forced open, budget 7.5 · -"
        );
        let server = json!({"limit": 64, "inflight": 3, "waiting": 0});
        assert_eq!(state_text(&server), "limit 64, 3 inside, 0 waiting");
    }
}

//! A preset, or a preset with changes: what people write.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::fields::nearest;
use super::read;
use super::{Policy, PolicyError};
use crate::{preset, server};

/// A policy as written in scenario files and sent to the control API: `"fast"`, or
/// `{"preset": "fast", "breaker": "off", "retry": {"max_attempts": 4}}`.
///
/// Changes are merged field by field: a map changes the fields it names of the preset's map,
/// anything else takes the place of what was there. A part that the preset has off, and a breaker
/// of another kind, must be given whole.
///
/// ```
/// use resilience::PolicySpec;
///
/// let spec: PolicySpec = serde_json::from_str(r#"{"preset": "fast", "retry": {"max_attempts": 4}}"#)?;
/// assert_eq!(spec.resolve()?.retry.unwrap().max_attempts, 4);
///
/// let wrong: PolicySpec = serde_json::from_str(r#"{"preset": "fast", "retry": {"max_atempts": 4}}"#)?;
/// assert!(wrong.resolve().unwrap_err().to_string().contains("did you mean `max_attempts`?"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub struct PolicySpec {
    preset: String,
    changes: Map<String, Value>,
}

impl PolicySpec {
    /// A preset as it is. Whether there is one of that name, [`resolve`](Self::resolve) says.
    pub fn preset(name: impl Into<String>) -> Self {
        Self {
            preset: name.into(),
            changes: Map::new(),
        }
    }

    /// The preset's name.
    pub fn preset_name(&self) -> &str {
        &self.preset
    }

    /// Whether anything is changed.
    pub fn is_plain(&self) -> bool {
        self.changes.is_empty()
    }

    /// The policy this comes to.
    ///
    /// # Errors
    /// An unknown preset or field, with the name that was probably meant, or a value that a field
    /// can't have, with the way to the field.
    pub fn resolve(&self) -> Result<Policy, PolicyError> {
        let preset = preset::get(&self.preset).ok_or_else(|| self.unknown())?;
        if self.is_plain() {
            return Ok(preset);
        }
        read::policy(&changed(&preset, &self.changes)?)
    }

    fn unknown(&self) -> PolicyError {
        let known = preset::names().to_vec();
        if server::preset::names().contains(&self.preset.as_str()) {
            return PolicyError::OtherEnd {
                name: self.preset.clone(),
                belongs: "a server's",
                here: "a caller's presets",
                known,
            };
        }
        PolicyError::UnknownPreset {
            name: self.preset.clone(),
            suggestion: nearest(&self.preset, &known),
            known,
        }
    }
}

impl From<&str> for PolicySpec {
    fn from(name: &str) -> Self {
        Self::preset(name)
    }
}

impl From<&Policy> for PolicySpec {
    /// The spec that lists every field of `policy`.
    fn from(policy: &Policy) -> Self {
        Self {
            preset: policy.preset.clone(),
            changes: fields_of(policy),
        }
    }
}

impl TryFrom<Value> for PolicySpec {
    type Error = PolicyError;

    fn try_from(value: Value) -> Result<Self, PolicyError> {
        let (preset, changes) = parse(value)?;
        Ok(Self { preset, changes })
    }
}

impl From<PolicySpec> for Value {
    fn from(spec: PolicySpec) -> Self {
        write(spec.preset, spec.changes)
    }
}

/// A spec's two parts: the preset's name, and the changes to it.
pub(crate) fn parse(value: Value) -> Result<(String, Map<String, Value>), PolicyError> {
    let mut changes = match value {
        Value::String(name) => return Ok((name, Map::new())),
        Value::Object(fields) => fields,
        other => {
            let problem = format!("expected a preset's name or a map, found {other}");
            return Err(PolicyError::invalid("policy", problem));
        }
    };
    match changes.remove("preset") {
        Some(Value::String(preset)) => Ok((preset, changes)),
        Some(other) => Err(PolicyError::invalid(
            "preset",
            format!("expected a name, found {other}"),
        )),
        None => Err(PolicyError::Missing {
            path: "preset".to_owned(),
        }),
    }
}

/// The reverse of [`parse`]: a name alone when nothing is changed.
pub(crate) fn write(preset: String, changes: Map<String, Value>) -> Value {
    if changes.is_empty() {
        return Value::String(preset);
    }
    let mut fields = changes;
    fields.insert("preset".to_owned(), Value::String(preset));
    Value::Object(fields)
}

/// The fields of a whole policy as changes to its preset.
pub(crate) fn fields_of(policy: &impl Serialize) -> Map<String, Value> {
    let mut fields = match serde_json::to_value(policy) {
        Ok(Value::Object(fields)) => fields,
        // A policy is always a map: its writer has no other case.
        _ => Map::new(),
    };
    fields.remove("preset");
    fields
}

/// `preset` as written, with `changes` merged in field by field.
pub(crate) fn changed(
    preset: &impl Serialize,
    changes: &Map<String, Value>,
) -> Result<Value, PolicyError> {
    let mut value =
        serde_json::to_value(preset).map_err(|e| PolicyError::invalid("preset", e.to_string()))?;
    merge(&mut value, &Value::Object(changes.clone()));
    Ok(value)
}

fn merge(base: &mut Value, change: &Value) {
    match (base, change) {
        (Value::Object(base), Value::Object(change)) if !other_kind(base, change) => {
            for (field, value) in change {
                merge(base.entry(field.clone()).or_insert(Value::Null), value);
            }
        }
        (base, change) => *base = change.clone(),
    }
}

/// Whether two maps name different kinds of thing (a breaker's rule, a budget), so that the fields
/// of one mean nothing to the other and must be given whole.
fn other_kind(base: &Map<String, Value>, change: &Map<String, Value>) -> bool {
    change
        .get("kind")
        .is_some_and(|kind| base.get("kind") != Some(kind))
}

//! A preset, or a preset with changes: what people write.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::read::{self, nearest};
use super::{Policy, PolicyError};
use crate::preset;

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
        let preset = preset::get(&self.preset).ok_or_else(|| PolicyError::UnknownPreset {
            name: self.preset.clone(),
            suggestion: nearest(&self.preset, preset::names()),
            known: preset::names().to_vec(),
        })?;
        if self.is_plain() {
            return Ok(preset);
        }
        let mut value = serde_json::to_value(&preset)
            .map_err(|e| PolicyError::invalid("preset", e.to_string()))?;
        merge(&mut value, &Value::Object(self.changes.clone()));
        read::policy(&value)
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
        let mut changes = match serde_json::to_value(policy) {
            Ok(Value::Object(fields)) => fields,
            // A policy is always a map: its writer has no other case.
            _ => Map::new(),
        };
        changes.remove("preset");
        Self {
            preset: policy.preset.clone(),
            changes,
        }
    }
}

impl TryFrom<Value> for PolicySpec {
    type Error = PolicyError;

    fn try_from(value: Value) -> Result<Self, PolicyError> {
        let mut changes = match value {
            Value::String(name) => return Ok(Self::preset(name)),
            Value::Object(fields) => fields,
            other => {
                let problem = format!("expected a preset's name or a map, found {other}");
                return Err(PolicyError::invalid("policy", problem));
            }
        };
        match changes.remove("preset") {
            Some(Value::String(preset)) => Ok(Self { preset, changes }),
            Some(other) => Err(PolicyError::invalid(
                "preset",
                format!("expected a name, found {other}"),
            )),
            None => Err(PolicyError::Missing {
                path: "preset".to_owned(),
            }),
        }
    }
}

impl From<PolicySpec> for Value {
    fn from(spec: PolicySpec) -> Self {
        if spec.changes.is_empty() {
            return Self::String(spec.preset);
        }
        let mut fields = spec.changes;
        fields.insert("preset".to_owned(), Self::String(spec.preset));
        Self::Object(fields)
    }
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

/// Whether two maps name different kinds of thing, so that the fields of one mean nothing to the
/// other.
fn other_kind(base: &Map<String, Value>, change: &Map<String, Value>) -> bool {
    change
        .get("kind")
        .is_some_and(|kind| base.get("kind") != Some(kind))
}

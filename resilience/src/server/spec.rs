//! A server's preset, or a preset with changes.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::policy::ServerPolicy;
use super::{preset, read};
use crate::policy::PolicyError;
use crate::policy::fields::nearest;
use crate::policy::spec::{changed, fields_of, parse, write};

/// A server's policy as written in scenario files and sent to the control API: `"shed"`, or
/// `{"preset": "shed", "limit": {"max": 16}, "queue": "off"}`. Changes are merged as in a
/// [`PolicySpec`](crate::PolicySpec).
///
/// ```
/// use resilience::server::ServerSpec;
///
/// let spec: ServerSpec = serde_json::from_str(r#"{"preset": "shed", "queue": {"codel": "off"}}"#)?;
/// assert_eq!(spec.resolve()?.queue.unwrap().codel, None);
///
/// let wrong: ServerSpec = serde_json::from_str(r#""naive""#)?;
/// assert!(wrong.resolve().unwrap_err().to_string().contains("a caller's"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub struct ServerSpec {
    preset: String,
    changes: Map<String, Value>,
}

impl ServerSpec {
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
    /// An unknown preset or field, with the name that was probably meant; a caller's preset; or a
    /// value that a field can't have, with the way to the field.
    pub fn resolve(&self) -> Result<ServerPolicy, PolicyError> {
        let preset = preset::get(&self.preset).ok_or_else(|| self.unknown())?;
        if self.is_plain() {
            return Ok(preset);
        }
        read::policy(&changed(&preset, &self.changes)?)
    }

    fn unknown(&self) -> PolicyError {
        let name = self.preset.clone();
        let known = preset::names().to_vec();
        if crate::preset::names().contains(&name.as_str()) {
            return PolicyError::OtherEnd {
                name,
                belongs: "a caller's",
                here: "a server's presets",
                known,
            };
        }
        PolicyError::UnknownPreset {
            suggestion: nearest(&name, &known),
            name,
            known,
        }
    }
}

impl From<&str> for ServerSpec {
    fn from(name: &str) -> Self {
        Self::preset(name)
    }
}

impl From<&ServerPolicy> for ServerSpec {
    /// The spec that lists every field of `policy`.
    fn from(policy: &ServerPolicy) -> Self {
        Self {
            preset: policy.preset.clone(),
            changes: fields_of(policy),
        }
    }
}

impl TryFrom<Value> for ServerSpec {
    type Error = PolicyError;

    fn try_from(value: Value) -> Result<Self, PolicyError> {
        let (preset, changes) = parse(value)?;
        Ok(Self { preset, changes })
    }
}

impl From<ServerSpec> for Value {
    fn from(spec: ServerSpec) -> Self {
        write(spec.preset, spec.changes)
    }
}

//! Several policies in one slot, each for its share of the requests.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fields::Fields;
use super::{Policy, PolicyError, PolicySpec};

const WEIGHTED: &[&str] = &["weight", "policy"];

/// The most alternatives a slot holds.
const MAX_ALTERNATIVES: usize = 8;

/// What a slot is given: one policy for all its requests, or several with weights.
///
/// Which of several a request gets is decided by a hash of its id, so all calls of one request
/// through a slot meet the same policy, and a repeated run makes the same choice.
///
/// ```
/// use resilience::policy::SlotSpec;
///
/// let one: SlotSpec = serde_json::from_str(r#""fast""#)?;
/// let two: SlotSpec = serde_json::from_str(r#"[
///     {"weight": 9, "policy": "fast"},
///     {"weight": 1, "policy": {"preset": "fast", "breaker": "off"}}
/// ]"#)?;
/// assert_eq!(one.resolve()?.len(), 1);
/// assert_eq!(two.resolve()?[1].0, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub enum SlotSpec {
    /// One policy for all.
    One(PolicySpec),
    /// Each alternative gets its weight's share of the requests.
    Split(Vec<Weighted>),
}

/// One alternative of a split.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Weighted {
    /// Its share is this over the sum of all weights; at least 1.
    pub weight: u32,
    /// The policy.
    pub policy: PolicySpec,
}

impl SlotSpec {
    /// The policies with their weights, ready for
    /// [`Slot::set_split`](crate::Slot::set_split).
    ///
    /// # Errors
    /// As [`PolicySpec::resolve`].
    pub fn resolve(&self) -> Result<Vec<(u32, Policy)>, PolicyError> {
        match self {
            Self::One(spec) => Ok(vec![(1, spec.resolve()?)]),
            Self::Split(all) => all
                .iter()
                .map(|one| Ok((one.weight, one.policy.resolve()?)))
                .collect(),
        }
    }
}

impl TryFrom<Value> for SlotSpec {
    type Error = PolicyError;

    fn try_from(value: Value) -> Result<Self, PolicyError> {
        let Value::Array(alternatives) = value else {
            return PolicySpec::try_from(value).map(Self::One);
        };
        if !(1..=MAX_ALTERNATIVES).contains(&alternatives.len()) {
            let found = alternatives.len();
            let problem = format!("expected 1 to {MAX_ALTERNATIVES} alternatives, found {found}");
            return Err(PolicyError::invalid("policy", problem));
        }
        let read = alternatives.iter().enumerate();
        read.map(|(i, value)| weighted(&format!("[{i}]"), value))
            .collect::<Result<_, _>>()
            .map(Self::Split)
    }
}

fn weighted(path: &str, value: &Value) -> Result<Weighted, PolicyError> {
    let fields = Fields::new(path, value, WEIGHTED)?;
    let weight = fields.count("weight")?;
    super::validate::count(&format!("{path}.weight"), weight)?;
    let policy = fields.with("policy", |_, value| PolicySpec::try_from(value.clone()))?;
    Ok(Weighted { weight, policy })
}

impl From<SlotSpec> for Value {
    fn from(spec: SlotSpec) -> Self {
        match spec {
            SlotSpec::One(policy) => policy.into(),
            SlotSpec::Split(all) => all
                .into_iter()
                .map(|one| serde_json::json!({"weight": one.weight, "policy": Self::from(one.policy)}))
                .collect(),
        }
    }
}

//! Reads a policy from a value, by hand: a derived reader can name neither the way to a field nor
//! the name that was probably meant.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{Policy, PolicyError, wire::OFF};
use crate::backoff::Jitter;
use crate::breaker::BreakerConfig;
use crate::retry::RetryConfig;

const POLICY: &[&str] = &["preset", "deadline", "attempt_timeout", "retry", "breaker"];
const RETRY: &[&str] = &["max_attempts", "base", "multiplier", "cap", "jitter"];
const CONSECUTIVE: &[&str] = &["kind", "failures", "reset", "trials", "successes"];
const KINDS: &[&str] = &["consecutive"];
const JITTERS: &[&str] = &["none", "full", "equal", "decorrelated"];
const PROPORTIONAL: &[&str] = &["proportional"];

pub(super) fn policy(value: &Value) -> Result<Policy, PolicyError> {
    let fields = Fields::new("", value, POLICY)?;
    let policy = Policy {
        preset: fields.text("preset")?.to_owned(),
        deadline: fields.or_off("deadline", duration)?,
        attempt_timeout: fields.or_off("attempt_timeout", duration)?,
        retry: fields.or_off("retry", retry)?,
        breaker: fields.or_off("breaker", breaker)?,
    };
    policy.validate()?;
    Ok(policy)
}

fn retry(path: &str, value: &Value) -> Result<RetryConfig, PolicyError> {
    let fields = Fields::new(path, value, RETRY)?;
    Ok(RetryConfig {
        max_attempts: fields.count("max_attempts")?,
        base: fields.with("base", duration)?,
        multiplier: fields.with("multiplier", number)?,
        cap: fields.with("cap", duration)?,
        jitter: fields.with("jitter", jitter)?,
    })
}

fn jitter(path: &str, value: &Value) -> Result<Jitter, PolicyError> {
    match value {
        Value::String(name) => match name.as_str() {
            "none" => Ok(Jitter::None),
            "full" => Ok(Jitter::Full),
            "equal" => Ok(Jitter::Equal),
            "decorrelated" => Ok(Jitter::Decorrelated),
            other => Err(unknown_value(
                path,
                other,
                JITTERS,
                " or {\"proportional\": r}",
            )),
        },
        _ => {
            let fields = Fields::new(path, value, PROPORTIONAL)?;
            fields
                .with("proportional", number)
                .map(Jitter::Proportional)
        }
    }
}

fn breaker(path: &str, value: &Value) -> Result<BreakerConfig, PolicyError> {
    let kind = Fields::new(path, value, CONSECUTIVE)?;
    match kind.text("kind")? {
        "consecutive" => Ok(BreakerConfig::Consecutive {
            failures: kind.count("failures")?,
            reset: kind.with("reset", duration)?,
            trials: kind.count("trials")?,
            successes: kind.count("successes")?,
        }),
        other => Err(unknown_value(&join(path, "kind"), other, KINDS, "")),
    }
}

fn duration(path: &str, value: &Value) -> Result<Duration, PolicyError> {
    let expected = "expected a duration such as \"250ms\"";
    let Value::String(text) = value else {
        return Err(PolicyError::invalid(
            path,
            format!("{expected}, found {value}"),
        ));
    };
    humantime::parse_duration(text)
        .map_err(|e| PolicyError::invalid(path, format!("{expected}, found \"{text}\" ({e})")))
}

fn number(path: &str, value: &Value) -> Result<f64, PolicyError> {
    value
        .as_f64()
        .ok_or_else(|| PolicyError::invalid(path, format!("expected a number, found {value}")))
}

fn unknown_value(path: &str, found: &str, known: &[&str], more: &str) -> PolicyError {
    let suggestion = nearest(found, known)
        .map(|n| format!(", did you mean \"{n}\"?"))
        .unwrap_or_default();
    let problem = format!(
        "unknown value \"{found}\"{suggestion}; expected: {}{more}",
        known.join(", ")
    );
    PolicyError::invalid(path, problem)
}

/// A map whose fields are all known ones.
struct Fields<'a> {
    path: &'a str,
    map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    fn new(
        path: &'a str,
        value: &'a Value,
        known: &'static [&'static str],
    ) -> Result<Self, PolicyError> {
        let Value::Object(map) = value else {
            let path = if path.is_empty() { "policy" } else { path };
            return Err(PolicyError::invalid(
                path,
                format!("expected a map, found {value}"),
            ));
        };
        for field in map.keys() {
            if !known.contains(&field.as_str()) {
                return Err(PolicyError::UnknownField {
                    path: join(path, field),
                    suggestion: nearest(field, known),
                    known: known.to_vec(),
                });
            }
        }
        Ok(Self { path, map })
    }

    fn with<T>(
        &self,
        field: &str,
        read: impl FnOnce(&str, &Value) -> Result<T, PolicyError>,
    ) -> Result<T, PolicyError> {
        let path = join(self.path, field);
        match self.map.get(field) {
            Some(value) => read(&path, value),
            None => Err(PolicyError::Missing { path }),
        }
    }

    fn or_off<T>(
        &self,
        field: &str,
        read: impl FnOnce(&str, &Value) -> Result<T, PolicyError>,
    ) -> Result<Option<T>, PolicyError> {
        self.with(field, |path, value| match value {
            Value::String(word) if word == OFF => Ok(None),
            value => read(path, value).map(Some),
        })
    }

    fn text(&self, field: &str) -> Result<&'a str, PolicyError> {
        match self.map.get(field) {
            Some(Value::String(text)) => Ok(text),
            Some(other) => {
                let problem = format!("expected text, found {other}");
                Err(PolicyError::invalid(&join(self.path, field), problem))
            }
            None => Err(PolicyError::Missing {
                path: join(self.path, field),
            }),
        }
    }

    fn count(&self, field: &str) -> Result<u32, PolicyError> {
        self.with(field, |path, value| {
            value
                .as_u64()
                .and_then(|n| u32::try_from(n).ok())
                .ok_or_else(|| {
                    PolicyError::invalid(path, format!("expected a whole number, found {value}"))
                })
        })
    }
}

fn join(path: &str, field: &str) -> String {
    if path.is_empty() {
        field.to_owned()
    } else {
        format!("{path}.{field}")
    }
}

/// The known name that was probably meant, if any is near enough.
pub(super) fn nearest(found: &str, known: &[&str]) -> Option<String> {
    let found = found.to_ascii_lowercase();
    known
        .iter()
        .map(|name| (strsim::jaro_winkler(&found, name), *name))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name.to_owned())
}

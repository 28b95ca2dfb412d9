//! Reads the fields of a map by hand: a derived reader can name neither the way to a field nor the
//! name that was probably meant.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{PolicyError, wire::OFF};

/// A map whose fields are all known ones.
pub(crate) struct Fields<'a> {
    path: &'a str,
    map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(
        path: &'a str,
        value: &'a Value,
        known: &[&'static str],
    ) -> Result<Self, PolicyError> {
        let fields = Self::any(path, value)?;
        for field in fields.map.keys() {
            if !known.contains(&field.as_str()) {
                return Err(PolicyError::UnknownField {
                    path: join(path, field),
                    suggestion: nearest(field, known),
                    known: known.to_vec(),
                });
            }
        }
        Ok(fields)
    }

    /// A map of one of several kinds, each with fields of its own: the `kind` is read first, so
    /// that a field of another kind is told as unknown in this one. Every kind has the fields
    /// `common` too.
    pub(crate) fn of_kind(
        path: &'a str,
        value: &'a Value,
        kinds: &[(&'static str, &[&'static str])],
        common: &[&'static str],
    ) -> Result<(&'a str, Self), PolicyError> {
        let kind = Self::any(path, value)?.text("kind")?;
        let Some((_, own)) = kinds.iter().find(|(name, _)| *name == kind) else {
            let names: Vec<&str> = kinds.iter().map(|(name, _)| *name).collect();
            return Err(unknown_value(&join(path, "kind"), kind, &names, ""));
        };
        let known: Vec<&'static str> = ["kind"]
            .into_iter()
            .chain(own.iter().copied())
            .chain(common.iter().copied())
            .collect();
        Ok((kind, Self::new(path, value, &known)?))
    }

    fn any(path: &'a str, value: &'a Value) -> Result<Self, PolicyError> {
        match value {
            Value::Object(map) => Ok(Self { path, map }),
            other => {
                let path = if path.is_empty() { "policy" } else { path };
                let problem = format!("expected a map, found {other}");
                Err(PolicyError::invalid(path, problem))
            }
        }
    }

    pub(crate) fn with<T>(
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

    pub(crate) fn or_off<T>(
        &self,
        field: &str,
        read: impl FnOnce(&str, &Value) -> Result<T, PolicyError>,
    ) -> Result<Option<T>, PolicyError> {
        self.with(field, |path, value| match value {
            Value::String(word) if word == OFF => Ok(None),
            value => read(path, value).map(Some),
        })
    }

    pub(crate) fn text(&self, field: &str) -> Result<&'a str, PolicyError> {
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

    pub(crate) fn count(&self, field: &str) -> Result<u32, PolicyError> {
        self.with(field, |path, value| {
            value
                .as_u64()
                .and_then(|n| u32::try_from(n).ok())
                .ok_or_else(|| {
                    PolicyError::invalid(path, format!("expected a whole number, found {value}"))
                })
        })
    }

    pub(crate) fn number(&self, field: &str) -> Result<f64, PolicyError> {
        self.with(field, number)
    }

    pub(crate) fn duration(&self, field: &str) -> Result<Duration, PolicyError> {
        self.with(field, duration)
    }

    pub(crate) fn flag(&self, field: &str) -> Result<bool, PolicyError> {
        self.with(field, |path, value| {
            value.as_bool().ok_or_else(|| {
                PolicyError::invalid(path, format!("expected true or false, found {value}"))
            })
        })
    }

    /// [`Fields::flag`], or that value where the field is absent.
    pub(crate) fn flag_or(&self, field: &str, absent: bool) -> Result<bool, PolicyError> {
        if self.map.contains_key(field) {
            self.flag(field)
        } else {
            Ok(absent)
        }
    }
}

pub(crate) fn duration(path: &str, value: &Value) -> Result<Duration, PolicyError> {
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

pub(crate) fn number(path: &str, value: &Value) -> Result<f64, PolicyError> {
    value
        .as_f64()
        .ok_or_else(|| PolicyError::invalid(path, format!("expected a number, found {value}")))
}

pub(crate) fn unknown_value(path: &str, found: &str, known: &[&str], more: &str) -> PolicyError {
    let suggestion = nearest(found, known)
        .map(|n| format!(", did you mean \"{n}\"?"))
        .unwrap_or_default();
    let problem = format!(
        "unknown value \"{found}\"{suggestion}; expected: {}{more}",
        known.join(", ")
    );
    PolicyError::invalid(path, problem)
}

pub(crate) fn join(path: &str, field: &str) -> String {
    if path.is_empty() {
        field.to_owned()
    } else {
        format!("{path}.{field}")
    }
}

/// The known name that was probably meant, if any is near enough.
pub(crate) fn nearest(found: &str, known: &[&str]) -> Option<String> {
    let found = found.to_ascii_lowercase();
    known
        .iter()
        .map(|name| (strsim::jaro_winkler(&found, name), *name))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name.to_owned())
}

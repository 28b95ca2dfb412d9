//! Reads a JSON object field by field. Every complaint names the field and, where one is close
//! enough, what was probably meant.

use std::time::Duration;

use serde_json::{Map, Value};

pub(super) type Read<T> = Result<T, String>;

/// An object all of whose fields are known.
pub(super) struct Fields<'a> {
    path: String,
    map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    /// `path` is where the object stands in the body; empty at the top.
    pub(super) fn new(path: &str, value: &'a Value, known: &[&str]) -> Read<Self> {
        let Some(map) = value.as_object() else {
            let what = if path.is_empty() { "the body" } else { path };
            return Err(format!("`{what}` must be an object, not {value}"));
        };
        if let Some(unknown) = map.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(mistaken("field", &join(path, unknown), unknown, known));
        }
        Ok(Self {
            path: path.to_owned(),
            map,
        })
    }

    /// A field that may be missing; `null` is missing too.
    pub(super) fn optional<T>(
        &self,
        name: &str,
        read: impl FnOnce(&str, &'a Value) -> Read<T>,
    ) -> Read<Option<T>> {
        match self.map.get(name).filter(|value| !value.is_null()) {
            Some(value) => read(&join(&self.path, name), value).map(Some),
            None => Ok(None),
        }
    }

    pub(super) fn required<T>(
        &self,
        name: &str,
        read: impl FnOnce(&str, &'a Value) -> Read<T>,
    ) -> Read<T> {
        self.optional(name, read)?
            .ok_or_else(|| format!("`{}` is missing", join(&self.path, name)))
    }
}

pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

/// What is wrong with a name that is none of the known ones.
pub(super) fn mistaken(what: &str, path: &str, given: &str, known: &[&str]) -> String {
    let likely = known
        .iter()
        .map(|name| (strsim::jaro_winkler(given, name), name))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(likeness, _)| *likeness > 0.8);
    match likely {
        Some((_, name)) => format!("unknown {what} `{path}`: did you mean `{name}`?"),
        None => format!("unknown {what} `{path}`; there are: {}", known.join(", ")),
    }
}

pub(super) fn text(path: &str, value: &Value) -> Read<String> {
    let text = value.as_str().filter(|text| !text.is_empty());
    text.map(str::to_owned)
        .ok_or_else(|| format!("`{path}` must be a text, not {value}"))
}

pub(super) fn natural(path: &str, value: &Value) -> Read<u64> {
    value
        .as_u64()
        .ok_or_else(|| format!("`{path}` must be a natural number, not {value}"))
}

/// At least 1, and small enough to count with.
pub(super) fn count(path: &str, value: &Value) -> Read<u32> {
    let number = natural(path, value)?;
    u32::try_from(number)
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(|| format!("`{path}` must be from 1 to {}, not {number}", u32::MAX))
}

pub(super) fn share(path: &str, value: &Value) -> Read<f64> {
    value
        .as_f64()
        .filter(|share| *share > 0.0 && *share <= 1.0)
        .ok_or_else(|| format!("`{path}` must be more than 0 and at most 1, not {value}"))
}

pub(super) fn duration(path: &str, value: &Value) -> Read<Duration> {
    let text = value
        .as_str()
        .ok_or_else(|| format!("`{path}` must be a time such as \"800ms\", not {value}"))?;
    humantime::parse_duration(text)
        .map_err(|error| format!("`{path}` must be a time such as \"800ms\": {text:?}: {error}"))
}

/// A list that is not empty.
pub(super) fn list<T>(
    path: &str,
    value: &Value,
    read: impl Fn(&str, &Value) -> Read<T>,
) -> Read<Vec<T>> {
    let items = value.as_array().filter(|items| !items.is_empty());
    let items = items.ok_or_else(|| format!("`{path}` must be a list with something in it"))?;
    let numbered = items.iter().enumerate();
    numbered
        .map(|(n, item)| read(&format!("{path}[{n}]"), item))
        .collect()
}

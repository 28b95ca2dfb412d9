//! How parts of a policy are written.

use std::time::Duration;

use serde::{Serialize, Serializer};

/// The word for an optional part that isn't there.
pub(crate) const OFF: &str = "off";

pub(crate) fn duration<S: Serializer>(value: &Duration, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(&humantime::format_duration(*value))
}

pub(crate) fn or_off<T: Serialize, S: Serializer>(
    value: &Option<T>,
    s: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => value.serialize(s),
        None => s.serialize_str(OFF),
    }
}

pub(crate) fn or_off_duration<S: Serializer>(
    value: &Option<Duration>,
    s: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => duration(value, s),
        None => s.serialize_str(OFF),
    }
}

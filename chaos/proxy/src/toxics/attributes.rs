//! A toxic's attributes: whole numbers under fixed names.

use std::time::Duration;

use serde::Serialize;

use crate::decode::Fields;
use crate::error::Result;

/// No delay is longer than this, whatever was asked for: adding it to any
/// instant must not overflow.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Values by name, in the order of the type's declaration. Unset ones are 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attributes(Vec<(&'static str, i64)>);

impl Attributes {
    /// All zero.
    pub(crate) fn zero(names: &'static [&'static str]) -> Self {
        Self(names.iter().map(|name| (*name, 0)).collect())
    }

    /// These, changed by what the API's object sets. Unknown names are ignored,
    /// as Toxiproxy ignores them.
    pub(crate) fn changed_by(&self, object: Option<&Fields>) -> Result<Self> {
        let Some(object) = object else {
            return Ok(self.clone());
        };
        let changed = self.0.iter().map(|(name, old)| {
            let value = object.integer(name)?.unwrap_or(*old);
            Ok((*name, value))
        });
        changed.collect::<Result<_>>().map(Self)
    }

    /// The value of that name; 0 when the type has none such.
    pub(crate) fn get(&self, name: &str) -> i64 {
        self.0
            .iter()
            .find(|(n, _)| *n == name)
            .map_or(0, |(_, value)| *value)
    }

    /// The value as milliseconds; below zero counts as zero.
    pub(crate) fn millis(&self, name: &str) -> Duration {
        Duration::from_millis(self.count(name)).min(LONGEST)
    }

    /// The value as microseconds; below zero counts as zero.
    pub(crate) fn micros(&self, name: &str) -> Duration {
        Duration::from_micros(self.count(name)).min(LONGEST)
    }

    /// The value, but 0 if it is below.
    pub(crate) fn count(&self, name: &str) -> u64 {
        u64::try_from(self.get(name)).unwrap_or(0)
    }
}

impl Serialize for Attributes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: &[&str] = &["latency", "jitter"];

    #[test]
    fn a_change_keeps_what_it_does_not_name() {
        let body = Fields::of_body(br#"{"Jitter": 5, "other": "x"}"#, "attributes").unwrap();
        let set = Attributes::zero(NAMES).changed_by(Some(&body)).unwrap();
        assert_eq!((set.get("latency"), set.get("jitter")), (0, 5));
        assert_eq!(
            serde_json::to_string(&set).unwrap(),
            r#"{"latency":0,"jitter":5}"#
        );
    }

    #[test]
    fn the_largest_and_the_negative_are_still_durations() {
        for (given, expected) in [(i64::MAX, LONGEST), (i64::MIN, Duration::ZERO)] {
            let body = format!(r#"{{"latency": {given}}}"#);
            let body = Fields::of_body(body.as_bytes(), "attributes").unwrap();
            let set = Attributes::zero(NAMES).changed_by(Some(&body)).unwrap();
            assert_eq!(set.millis("latency"), expected);
        }
    }
}

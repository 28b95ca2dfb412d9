//! How much a request matters, for the moment when not all can be served.
//!
//! Four levels, as in the SRE book. The caller knows the level, so it travels with the call (header
//! `x-request-priority`) and each service hands it on unchanged.
//!
//! **Use it** wherever load is shed: without levels, a server under overload refuses its health
//! checks and payments with the same probability as its prefetches. **It harms** when everybody
//! declares himself critical: then it orders nothing. Let few, well-known places set it (the
//! gateway, by route), and never trust it from outside.
//!
//! Source: Google, "Site Reliability Engineering", chapter 21, "Handling Overload", section
//! "Criticality".

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The header, and the gRPC metadata key, that carries the level.
pub const HEADER: &str = "x-request-priority";

/// How much a request matters. Greater matters more.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Priority {
    /// May fail for a while and often: prefetches, crawlers, what is retried later anyway.
    Sheddable,
    /// Partial failure is expected now and then: batch work, reports.
    SheddablePlus,
    /// What a person waits for. The level of a request that names none.
    #[default]
    Critical,
    /// What makes the most trouble when refused: payments, health checks.
    CriticalPlus,
}

impl Priority {
    /// Every level, least first.
    pub const ALL: [Self; 4] = [
        Self::Sheddable,
        Self::SheddablePlus,
        Self::Critical,
        Self::CriticalPlus,
    ];

    /// The name on the wire, in events, metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sheddable => "sheddable",
            Self::SheddablePlus => "sheddable-plus",
            Self::Critical => "critical",
            Self::CriticalPlus => "critical-plus",
        }
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// That is no level.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown priority `{0}`; expected: critical-plus, critical, sheddable-plus or sheddable")]
pub struct UnknownPriority(String);

impl FromStr for Priority {
    type Err = UnknownPriority;

    fn from_str(name: &str) -> Result<Self, UnknownPriority> {
        Self::ALL
            .into_iter()
            .find(|level| level.as_str() == name)
            .ok_or_else(|| UnknownPriority(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_wires_and_read_back() {
        for level in Priority::ALL {
            assert_eq!(serde_json::to_value(level).unwrap(), level.as_str());
            assert_eq!(level.as_str().parse(), Ok(level));
            let read: Priority = serde_json::from_value(level.as_str().into()).unwrap();
            assert_eq!(read, level);
        }
    }

    #[test]
    fn levels_are_ordered_and_the_default_is_critical() {
        assert!(Priority::ALL.is_sorted());
        assert_eq!(
            Priority::ALL.into_iter().max(),
            Some(Priority::CriticalPlus)
        );
        assert_eq!(Priority::default(), Priority::Critical);
    }

    #[test]
    fn what_is_no_level_is_told_with_all_four() {
        let error = "Critical".parse::<Priority>().unwrap_err().to_string();
        assert!(error.contains("`Critical`"), "{error}");
        for level in Priority::ALL {
            assert!(error.contains(level.as_str()), "{error}");
        }
    }
}

//! Which failures speak against the dependency.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::failure::{FailureKind, Verdict};

/// A set of failure kinds: those that a breaker counts as failures.
///
/// A kind outside it counts as a success, for the dependency answered. A cancellation is neither
/// and can't be put in: who gives up early says nothing about whom he asked.
///
/// The default are the kinds whose [`FailureKind::verdict`] is a failure: transport errors,
/// UNAVAILABLE, DEADLINE_EXCEEDED, INTERNAL, UNKNOWN, DATA_LOSS. It is written as the list of its
/// kinds' names.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FailureSet(u16);

impl FailureSet {
    /// No kind at all: every call that isn't cancelled is a success.
    pub const EMPTY: Self = Self(0);

    /// Whether `kind` is in it.
    pub fn contains(self, kind: FailureKind) -> bool {
        self.0 & bit(kind) != 0
    }

    /// Puts `kind` in; [`FailureKind::Cancelled`] stays out.
    pub fn insert(&mut self, kind: FailureKind) {
        if kind != FailureKind::Cancelled {
            self.0 |= bit(kind);
        }
    }

    /// Takes `kind` out.
    pub fn remove(&mut self, kind: FailureKind) {
        self.0 &= !bit(kind);
    }

    /// Its kinds, in the order of their declaration.
    pub fn iter(self) -> impl Iterator<Item = FailureKind> {
        FailureKind::ALL
            .into_iter()
            .filter(move |kind| self.contains(*kind))
    }

    /// What a breaker that counts this set makes of a failed attempt.
    pub fn verdict(self, kind: FailureKind) -> Verdict {
        match kind {
            FailureKind::Cancelled => Verdict::Nothing,
            kind if self.contains(kind) => Verdict::Failure,
            _ => Verdict::Success,
        }
    }
}

fn bit(kind: FailureKind) -> u16 {
    1 << kind as u16
}

impl Default for FailureSet {
    fn default() -> Self {
        FailureKind::ALL
            .into_iter()
            .filter(|kind| kind.verdict() == Verdict::Failure)
            .collect()
    }
}

impl FromIterator<FailureKind> for FailureSet {
    fn from_iter<I: IntoIterator<Item = FailureKind>>(kinds: I) -> Self {
        let mut set = Self::EMPTY;
        kinds.into_iter().for_each(|kind| set.insert(kind));
        set
    }
}

impl Serialize for FailureSet {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(self.iter())
    }
}

impl fmt::Debug for FailureSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_bit_of_its_own() {
        for kind in FailureKind::ALL {
            let mut set = FailureSet::EMPTY;
            set.insert(kind);
            let expected: &[FailureKind] = match kind {
                FailureKind::Cancelled => &[],
                _ => &[kind],
            };
            assert_eq!(set.iter().collect::<Vec<_>>(), expected);
            set.remove(kind);
            assert_eq!(set, FailureSet::EMPTY);
        }
        assert!(FailureKind::ALL.len() <= u16::BITS as usize);
    }

    #[test]
    fn the_default_agrees_with_the_kinds_own_verdicts() {
        for kind in FailureKind::ALL {
            assert_eq!(
                FailureSet::default().verdict(kind),
                kind.verdict(),
                "{kind:?}"
            );
        }
    }

    #[test]
    fn a_set_of_ones_own_decides_but_for_cancellations() {
        let set: FailureSet = [FailureKind::Exhausted, FailureKind::Cancelled]
            .into_iter()
            .collect();
        assert_eq!(set.verdict(FailureKind::Exhausted), Verdict::Failure);
        assert_eq!(set.verdict(FailureKind::Unavailable), Verdict::Success);
        assert_eq!(set.verdict(FailureKind::Cancelled), Verdict::Nothing);
    }

    #[test]
    fn it_is_written_as_names_in_the_order_of_declaration() {
        let set: FailureSet = [FailureKind::DataLoss, FailureKind::Timeout]
            .into_iter()
            .collect();
        assert_eq!(
            serde_json::to_string(&set).unwrap(),
            r#"["timeout","data_loss"]"#
        );
        assert_eq!(format!("{set:?}"), "{Timeout, DataLoss}");
    }
}

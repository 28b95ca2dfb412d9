//! What a client does about an order whose answer does not come.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{LoadError, nearest};
use crate::mix::Op;

/// How orders are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Orders {
    /// Once: the load's own policy repeats one only if it surely never left.
    #[default]
    Once,
    /// Repeated by that policy as a read is, with nothing to tell a repeat by. What a shop makes of
    /// it is up to chance: such a client buys twice.
    Repeated,
    /// The same, with an `Idempotency-Key` that all attempts of a request share
    /// (draft-ietf-httpapi-idempotency-key-header).
    Keyed,
}

impl Orders {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Once, Self::Repeated, Self::Keyed];

    /// Its name in scenario files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Once => "once",
            Self::Repeated => "repeated",
            Self::Keyed => "keyed",
        }
    }

    /// Whether the load's policy may repeat a request of this kind after an unknown outcome.
    #[must_use]
    pub(crate) fn may_repeat(self, op: Op) -> bool {
        op.is_idempotent() || (op == Op::Order && self != Self::Once)
    }
}

impl FromStr for Orders {
    type Err = LoadError;

    fn from_str(name: &str) -> Result<Self, LoadError> {
        let found = Self::ALL.into_iter().find(|way| way.as_str() == name);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str);
            let meant = nearest(name, names).map(|near| format!("; did you mean `{near}`?"));
            let message = format!(
                "`{name}` is none of {}{}",
                names.join(", "),
                meant.unwrap_or_default()
            );
            LoadError::invalid("orders", message)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_a_slip_gets_a_suggestion() {
        for way in Orders::ALL {
            assert_eq!(way.as_str().parse::<Orders>().unwrap(), way);
            assert_eq!(serde_json::to_value(way).unwrap(), way.as_str());
        }
        let slip = "keydd".parse::<Orders>().unwrap_err().to_string();
        assert!(slip.contains("did you mean `keyed`?"), "{slip}");
    }

    #[test]
    fn only_orders_are_repeated_beside_the_reads() {
        assert!(!Orders::Once.may_repeat(Op::Order));
        assert!(Orders::Keyed.may_repeat(Op::Order));
        assert!(!Orders::Repeated.may_repeat(Op::Login));
        assert!(Orders::Once.may_repeat(Op::View));
    }
}

//! Operations of the shop, and the mixes of them that customers make.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{LoadError, nearest};

/// One kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Op {
    /// A page of the catalogue.
    Browse,
    /// A large page of the catalogue, of 100 products: the answer of many packets.
    Page,
    /// A search in the catalogue.
    Search,
    /// One product.
    View,
    /// A log-in with name and password.
    Login,
    /// An order of one or two products.
    Order,
    /// The customer's own orders.
    History,
    /// A quote, the read that crosses services.
    Quote,
}

impl Op {
    /// Every operation, in the order of reports.
    pub const ALL: [Self; 8] = [
        Self::Browse,
        Self::Page,
        Self::Search,
        Self::View,
        Self::Login,
        Self::Order,
        Self::History,
        Self::Quote,
    ];

    /// Its name, as in scenario files and reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Browse => "browse",
            Self::Page => "page",
            Self::Search => "search",
            Self::View => "view",
            Self::Login => "login",
            Self::Order => "order",
            Self::History => "history",
            Self::Quote => "quote",
        }
    }

    /// Whether a request of this kind is made on behalf of an account.
    #[must_use]
    pub const fn needs_customer(self) -> bool {
        matches!(
            self,
            Self::Login | Self::Order | Self::History | Self::Quote
        )
    }

    /// Whether sending it twice does no harm, so that the load's own policy may repeat it: the reads.
    #[must_use]
    pub const fn is_idempotent(self) -> bool {
        !matches!(self, Self::Login | Self::Order)
    }

    /// Whether a request of this kind names products.
    #[must_use]
    pub const fn needs_products(self) -> bool {
        matches!(self, Self::View | Self::Order | Self::Quote)
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Op {
    type Err = LoadError;

    fn from_str(name: &str) -> Result<Self, LoadError> {
        Self::ALL
            .into_iter()
            .find(|op| op.as_str() == name)
            .ok_or_else(|| LoadError::UnknownOp {
                name: name.to_owned(),
                suggestion: nearest(name, Self::ALL.iter().map(|op| op.as_str())),
            })
    }
}

impl Serialize for Op {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Op {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        name.parse().map_err(de::Error::custom)
    }
}

/// Mixes with a name that is not just an operation's (so `browsing`, because `browse` is one). Their
/// weights are judgements, not measurements of anybody's shop; docs/LOAD.md argues them.
const NAMED: [(&str, &[(Op, f64)]); 5] = [
    (
        // Visitors without an account, who only look.
        "browsing",
        &[(Op::Browse, 0.45), (Op::Search, 0.20), (Op::View, 0.35)],
    ),
    (
        // Customers who come back: they log in, look after their orders, and look round a little.
        "returning",
        &[
            (Op::Login, 0.15),
            (Op::History, 0.35),
            (Op::View, 0.30),
            (Op::Browse, 0.20),
        ],
    ),
    (
        // Everybody logs in at once, as after an outage that ended all sessions.
        "login-storm",
        &[(Op::Login, 0.85), (Op::History, 0.10), (Op::Browse, 0.05)],
    ),
    (
        // A visitor's day: mostly looking, now and then an order.
        "shopping",
        &[
            (Op::Browse, 0.32),
            (Op::Search, 0.14),
            (Op::View, 0.30),
            (Op::Login, 0.02),
            (Op::Order, 0.12),
            (Op::History, 0.07),
            (Op::Quote, 0.03),
        ],
    ),
    (
        // Customers who have made up their minds; no log-in, they hold a token already.
        "checkout",
        &[
            (Op::View, 0.35),
            (Op::Quote, 0.25),
            (Op::Order, 0.30),
            (Op::History, 0.10),
        ],
    ),
];

/// Operations with their weights. In a file either a name (`"browse"`, `"shopping"`, …) or a table
/// of weights (`{ browse = 3, order = 1 }`); weights are relative and need not sum to one.
#[derive(Clone, Debug, PartialEq)]
pub struct Mix(Vec<(Op, f64)>);

impl Mix {
    /// The mix of this name: an operation's (that operation alone), or one of `browsing`,
    /// `returning`, `login-storm`, `shopping` and `checkout`.
    ///
    /// # Errors
    /// [`LoadError::UnknownMix`], with the nearest name there is.
    pub fn named(name: &str) -> Result<Self, LoadError> {
        if let Some((_, weights)) = NAMED.iter().find(|(known, _)| *known == name) {
            return Ok(Self(weights.to_vec()));
        }
        if let Some(op) = Op::ALL.into_iter().find(|op| op.as_str() == name) {
            return Ok(Self::only(op));
        }
        let suggestion = nearest(name, Self::names());
        Err(LoadError::UnknownMix {
            name: name.to_owned(),
            suggestion,
        })
    }

    /// One operation alone.
    #[must_use]
    pub fn only(op: Op) -> Self {
        Self(vec![(op, 1.0)])
    }

    /// A mix of these weights; the weights of an operation that comes twice add up.
    ///
    /// # Errors
    /// [`LoadError::Invalid`] if a weight is negative or no number, or if all are zero.
    pub fn weighted(weights: impl IntoIterator<Item = (Op, f64)>) -> Result<Self, LoadError> {
        let mut mix: Vec<(Op, f64)> = Vec::new();
        for (op, weight) in weights {
            if !weight.is_finite() || weight < 0.0 {
                let message = format!("{weight} is not a weight: a number of at least 0");
                return Err(LoadError::invalid(format!("mix.{op}"), message));
            }
            match mix.iter_mut().find(|(known, _)| *known == op) {
                Some((_, sum)) => *sum += weight,
                None if weight > 0.0 => mix.push((op, weight)),
                None => {}
            }
        }
        if mix.is_empty() {
            return Err(LoadError::invalid(
                "mix",
                "no operation has a weight above 0",
            ));
        }
        Ok(Self(mix))
    }

    /// Every name [`Mix::named`] takes.
    #[must_use]
    pub fn names() -> Vec<&'static str> {
        let named = NAMED.iter().map(|(name, _)| *name);
        named.chain(Op::ALL.into_iter().map(Op::as_str)).collect()
    }

    /// This mix's name, if it is one of the named.
    #[must_use]
    pub fn name(&self) -> Option<&'static str> {
        match self.0.as_slice() {
            [(op, _)] => Some(op.as_str()),
            weights => NAMED
                .iter()
                .find(|(_, named)| *named == weights)
                .map(|(name, _)| *name),
        }
    }

    /// Operations and their weights, as given.
    #[must_use]
    pub fn weights(&self) -> &[(Op, f64)] {
        &self.0
    }

    /// Its operations.
    pub fn ops(&self) -> impl Iterator<Item = Op> + '_ {
        self.0.iter().map(|(op, _)| *op)
    }

    /// The operation at `unit`, uniform in [0, 1).
    pub(crate) fn pick(&self, unit: f64) -> Op {
        let mut left = unit * self.0.iter().map(|(_, weight)| weight).sum::<f64>();
        for (op, weight) in &self.0 {
            left -= weight;
            if left < 0.0 {
                return *op;
            }
        }
        // Rounding can leave a crumb after the last weight; a mix is never empty.
        self.0.last().map_or(Op::Browse, |(op, _)| *op)
    }
}

impl FromStr for Mix {
    type Err = LoadError;

    fn from_str(name: &str) -> Result<Self, LoadError> {
        Self::named(name)
    }
}

impl Serialize for Mix {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(name) = self.name() {
            return serializer.serialize_str(name);
        }
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (op, weight) in &self.0 {
            map.serialize_entry(op, weight)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Mix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MixVisitor)
    }
}

struct MixVisitor;

impl<'de> Visitor<'de> for MixVisitor {
    type Value = Mix;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a mix, or a table of operations and weights")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Mix, E> {
        Mix::named(name).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Mix, A::Error> {
        let mut weights = Vec::new();
        while let Some((op, weight)) = map.next_entry::<Op, f64>()? {
            weights.push((op, weight));
        }
        Mix::weighted(weights).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::{Draws, Purpose};

    #[test]
    fn every_name_is_known_and_written_as_itself() {
        for name in Mix::names() {
            let mix = Mix::named(name).unwrap();
            assert_eq!(mix.name(), Some(name));
            assert_eq!(serde_json::to_string(&mix).unwrap(), format!("\"{name}\""));
            assert_eq!(
                serde_json::from_str::<Mix>(&format!("\"{name}\"")).unwrap(),
                mix
            );
        }
    }

    #[test]
    fn a_slip_gets_a_suggestion() {
        let slip = |name: &str| Mix::named(name).unwrap_err().to_string();
        assert!(
            slip("broswe").contains("did you mean `browse`?"),
            "{}",
            slip("broswe")
        );
        assert!(slip("check-out").contains("did you mean `checkout`?"));
        assert!(!slip("zebra").contains("did you mean"));
        assert!(slip("zebra").contains("shopping"), "names what there is");
        let op = "histroy".parse::<Op>().unwrap_err();
        assert!(matches!(&op, LoadError::UnknownOp { suggestion: Some(s), .. } if s == "history"));
        let nested = serde_json::from_str::<Mix>(r#"{"ordr": 1}"#)
            .unwrap_err()
            .to_string();
        assert!(nested.contains("did you mean `order`?"), "{nested}");
    }

    #[test]
    fn weights_are_checked_and_round_trip() {
        let mix: Mix = serde_json::from_str(r#"{"browse": 3, "order": 1, "view": 0}"#).unwrap();
        assert_eq!(mix.weights(), [(Op::Browse, 3.0), (Op::Order, 1.0)]);
        let text = serde_json::to_string(&mix).unwrap();
        assert_eq!(serde_json::from_str::<Mix>(&text).unwrap(), mix);
        for bad in [
            r#"{"browse": -1}"#,
            r#"{"browse": 0}"#,
            "{}",
            "7",
            r#"{"browse": "x"}"#,
        ] {
            assert!(serde_json::from_str::<Mix>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn operations_come_in_their_shares() {
        let mix = Mix::named("shopping").unwrap();
        let mut draws = Draws::new(1, Purpose::Arrivals, 0);
        let n = 200_000;
        let mut seen = std::collections::BTreeMap::<Op, f64>::new();
        for _ in 0..n {
            *seen.entry(mix.pick(draws.unit())).or_default() += 1.0;
        }
        for (op, share) in mix.weights() {
            let sigma = (f64::from(n) * share * (1.0 - share)).sqrt();
            let expected = f64::from(n) * share;
            assert!(
                (seen[op] - expected).abs() < 4.0 * sigma,
                "{op}: {} not {expected}",
                seen[op]
            );
        }
        assert_eq!(mix.pick(0.0), Op::Browse);
        assert_eq!(mix.pick(1.0), Op::Quote, "a crumb of rounding is the last");
    }
}

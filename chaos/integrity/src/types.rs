//! Orders as the checker sees them, free of the wire's spellings.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A user's id.
pub type UserId = i64;
/// An order's id.
pub type OrderId = i64;
/// A product's id.
pub type ProductId = i64;
/// Money in whole cents.
pub type Cents = i64;

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// New.
    Pending,
    /// Accepted.
    Confirmed,
    /// Being packed; can't be cancelled any more.
    Processing,
    /// On its way.
    Shipped,
    /// There.
    Delivered,
    /// Called off; its units went back.
    Cancelled,
}

impl Status {
    /// All of them, in the order of an order's life.
    pub const ALL: [Self; 6] = [
        Self::Pending,
        Self::Confirmed,
        Self::Processing,
        Self::Shipped,
        Self::Delivered,
        Self::Cancelled,
    ];

    /// Its name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Confirmed => "confirmed",
            Self::Processing => "processing",
            Self::Shipped => "shipped",
            Self::Delivered => "delivered",
            Self::Cancelled => "cancelled",
        }
    }

    /// The step after this one, as long as the order isn't called off.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        match self {
            Self::Pending => Some(Self::Confirmed),
            Self::Confirmed => Some(Self::Processing),
            Self::Processing => Some(Self::Shipped),
            Self::Shipped => Some(Self::Delivered),
            Self::Delivered | Self::Cancelled => None,
        }
    }

    /// Whether an order in this status may be called off.
    #[must_use]
    pub fn may_be_cancelled(self) -> bool {
        matches!(self, Self::Pending | Self::Confirmed)
    }

    /// Whether one step leads from here to `to` (contract.md: pending → confirmed → processing →
    /// shipped → delivered, cancelled from the first two).
    #[must_use]
    pub fn steps_to(self, to: Self) -> bool {
        self.next() == Some(to) || (to == Self::Cancelled && self.may_be_cancelled())
    }

    /// Whether steps, none included, lead from here to `later`.
    #[must_use]
    pub fn leads_to(self, later: Self) -> bool {
        if later == Self::Cancelled {
            return self == Self::Cancelled || self.may_be_cancelled();
        }
        self != Self::Cancelled && self <= later
    }
}

/// So many units of one product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Line {
    /// Which.
    pub product: ProductId,
    /// Units, 1 or more.
    pub quantity: i64,
}

/// What an order asks for: lines sorted by product, one a product.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "Vec<Line>")]
pub struct Basket(Vec<Line>);

impl Basket {
    /// Its lines.
    #[must_use]
    pub fn lines(&self) -> &[Line] {
        &self.0
    }

    /// Units of one product.
    #[must_use]
    pub fn units_of(&self, product: ProductId) -> i64 {
        let line = self.0.iter().find(|line| line.product == product);
        line.map_or(0, |line| line.quantity)
    }
}

impl From<Vec<Line>> for Basket {
    /// Merges lines of one product, as the shop does.
    fn from(lines: Vec<Line>) -> Self {
        let mut units: BTreeMap<ProductId, i64> = BTreeMap::new();
        for line in lines {
            *units.entry(line.product).or_default() += line.quantity;
        }
        Self(
            units
                .into_iter()
                .map(|(product, quantity)| Line { product, quantity })
                .collect(),
        )
    }
}

/// A line of an order that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sold {
    /// Which product.
    pub product: ProductId,
    /// Units.
    pub quantity: i64,
    /// What one cost.
    pub price: Cents,
}

/// An order as the shop shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Its number.
    pub id: OrderId,
    /// The owner.
    pub user: UserId,
    /// Where it stands.
    pub status: Status,
    /// The sum that it says.
    pub total: Cents,
    /// Its lines, sorted by product.
    pub lines: Vec<Sold>,
}

impl Order {
    /// What it is for.
    #[must_use]
    pub fn basket(&self) -> Basket {
        let line = |sold: &Sold| Line {
            product: sold.product,
            quantity: sold.quantity,
        };
        self.lines.iter().map(line).collect::<Vec<_>>().into()
    }

    /// Whether its units are sold.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.status != Status::Cancelled
    }

    /// Whether nothing but the status differs.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        (self.id, self.user, self.total) == (other.id, other.user, other.total)
            && self.lines == other.lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_contracts_steps_are_steps() {
        let steps: Vec<(Status, Status)> = Status::ALL
            .into_iter()
            .flat_map(|from| Status::ALL.map(|to| (from, to)))
            .filter(|(from, to)| from.steps_to(*to))
            .collect();
        use Status::{Cancelled, Confirmed, Delivered, Pending, Processing, Shipped};
        assert_eq!(
            steps,
            [
                (Pending, Confirmed),
                (Pending, Cancelled),
                (Confirmed, Processing),
                (Confirmed, Cancelled),
                (Processing, Shipped),
                (Shipped, Delivered),
            ]
        );
    }

    #[test]
    fn leading_to_is_the_closure_of_stepping_to() {
        for from in Status::ALL {
            let mut reached = vec![from];
            while let Some(new) = Status::ALL.into_iter().find(|to| {
                !reached.contains(to) && reached.iter().any(|status| status.steps_to(*to))
            }) {
                reached.push(new);
            }
            for to in Status::ALL {
                assert_eq!(from.leads_to(to), reached.contains(&to), "{from:?} {to:?}");
            }
        }
    }

    #[test]
    fn baskets_are_merged_and_sorted() {
        let line = |product, quantity| Line { product, quantity };
        let basket = Basket::from(vec![line(2, 1), line(1, 3), line(2, 4)]);
        assert_eq!(basket.lines(), [line(1, 3), line(2, 5)]);
        assert_eq!((basket.units_of(2), basket.units_of(9)), (5, 0));
    }
}

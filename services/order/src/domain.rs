//! Orders: types and rules, no I/O.

use std::{collections::BTreeMap, fmt, str::FromStr};

use kit::Cents;

/// The most lines that one order may have.
pub const MAX_LINES: usize = 100;

/// What somebody wants: so many units of one product, both at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Catalogue id, 1 or more.
    pub product_id: i32,
    /// Units, 1 or more.
    pub quantity: i32,
}

/// A product as the catalogue has it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Product {
    /// Catalogue id.
    pub id: i32,
    /// Name.
    pub name: String,
    /// Price of one unit.
    pub price: Cents,
    /// Units that can be sold now.
    pub stock: i32,
}

/// Too few units of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// Catalogue id.
    pub product_id: i32,
    /// Units that can be sold now.
    pub left: i32,
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "product {} has {} left", self.product_id, self.left)
    }
}

/// How far an order has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// New.
    Pending,
    /// Accepted by the staff.
    Confirmed,
    /// Being packed.
    Processing,
    /// On its way.
    Shipped,
    /// With its owner.
    Delivered,
    /// Called off; its stock went back.
    Cancelled,
}

impl Status {
    /// Every status, in the order in which an order goes through them.
    pub const ALL: [Self; 6] = [
        Self::Pending,
        Self::Confirmed,
        Self::Processing,
        Self::Shipped,
        Self::Delivered,
        Self::Cancelled,
    ];

    /// The word on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Confirmed => "confirmed",
            Self::Processing => "processing",
            Self::Shipped => "shipped",
            Self::Delivered => "delivered",
            Self::Cancelled => "cancelled",
        }
    }
}

impl Status {
    /// Whether an order may go from here to there: one step forward, or off while nothing is
    /// packed.
    pub fn may_become(self, to: Self) -> bool {
        matches!(
            (self, to),
            (Self::Pending, Self::Confirmed)
                | (Self::Confirmed, Self::Processing)
                | (Self::Processing, Self::Shipped)
                | (Self::Shipped, Self::Delivered)
                | (Self::Pending | Self::Confirmed, Self::Cancelled)
        )
    }
}

/// A word that is no status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a valid choice.")]
pub struct NoStatus(String);

impl FromStr for Status {
    type Err = NoStatus;

    fn from_str(text: &str) -> Result<Self, NoStatus> {
        let found = Self::ALL.into_iter().find(|status| status.as_str() == text);
        found.ok_or_else(|| NoStatus(text.to_owned()))
    }
}

/// What the order's side knows of the stock behind an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reservation {
    /// There is none: the order was cancelled.
    None,
    /// Taken, not final yet.
    Held,
    /// Final.
    Committed,
}

impl Reservation {
    /// The word in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Held => "held",
            Self::Committed => "committed",
        }
    }
}

/// One line of an order, as it was bought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The line's own id; 0 before it is stored.
    pub id: i64,
    /// Catalogue id.
    pub product_id: i64,
    /// The product's name when it was bought.
    pub product_name: String,
    /// Units.
    pub quantity: i64,
    /// Price of one unit when it was bought.
    pub price: Cents,
}

impl Item {
    /// Price × quantity. [`Basket::price`] saw that it fits.
    pub fn subtotal(&self) -> Cents {
        self.price
            .checked_mul(self.quantity)
            .unwrap_or(Cents(i64::MAX))
    }
}

/// An order to be stored.
#[derive(Clone, Debug)]
pub struct NewOrder {
    /// Names the order and its reservation; made anew for each order.
    pub order_key: String,
    /// The owner.
    pub user_id: i64,
    /// Where mails about it go, if anywhere.
    pub contact: Option<String>,
    /// Where it starts.
    pub status: Status,
    /// What is known of its stock.
    pub reservation: Reservation,
    /// What was bought.
    pub basket: Basket,
    /// When, in ms since the epoch.
    pub created_ms: i64,
}

/// An order as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Its number.
    pub id: i64,
    /// Names the order and its reservation.
    pub order_key: String,
    /// The owner.
    pub user_id: i64,
    /// How far it has come.
    pub status: Status,
    /// Sum of all lines.
    pub total: Cents,
    /// What was bought, in the order asked for.
    pub items: Vec<Item>,
    /// When it was made, in ms since the epoch.
    pub created_ms: i64,
    /// When it last changed, in ms since the epoch.
    pub updated_ms: i64,
}

/// Why lines can't become a basket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BasketError {
    /// The lines of one product ask for more units than can be counted.
    #[error("Too many units of product {0}.")]
    TooManyUnits(i32),
    /// The sum does not fit.
    #[error("The total is too large.")]
    TooDear,
    /// The catalogue does not have these.
    #[error("unknown products {0:?}")]
    Unknown(Vec<i32>),
}

/// Puts the lines of one product together, at the place of the first.
///
/// # Errors
/// [`BasketError::TooManyUnits`] when a sum leaves `i32`.
pub fn merge(lines: &[Line]) -> Result<Vec<Line>, BasketError> {
    let mut merged: Vec<Line> = Vec::with_capacity(lines.len());
    let mut places = BTreeMap::new();
    for line in lines {
        let place = *places.entry(line.product_id).or_insert(merged.len());
        let Some(known) = merged.get_mut(place) else {
            merged.push(*line);
            continue;
        };
        known.quantity = known
            .quantity
            .checked_add(line.quantity)
            .ok_or(BasketError::TooManyUnits(line.product_id))?;
    }
    Ok(merged)
}

/// Lines with names and prices from the catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Basket {
    /// The lines; their ids are 0.
    pub items: Vec<Item>,
    /// Their sum.
    pub total: Cents,
}

impl Basket {
    /// Sums lines up that have their prices already.
    ///
    /// # Errors
    /// [`BasketError::TooDear`] when a product or the sum does not fit.
    pub fn new(items: Vec<Item>) -> Result<Self, BasketError> {
        let total = items.iter().try_fold(Cents(0), |sum, item| {
            sum.checked_add(item.price.checked_mul(item.quantity)?)
        });
        Ok(Self {
            items,
            total: total.ok_or(BasketError::TooDear)?,
        })
    }

    /// Prices merged lines.
    ///
    /// # Errors
    /// [`BasketError::Unknown`] with every product that the catalogue does not
    /// have, else [`BasketError::TooDear`].
    pub fn price(lines: &[Line], catalogue: &[Product]) -> Result<Self, BasketError> {
        let by_id: BTreeMap<i32, &Product> = catalogue.iter().map(|p| (p.id, p)).collect();
        let unknown: Vec<i32> = lines
            .iter()
            .map(|l| l.product_id)
            .filter(|id| !by_id.contains_key(id))
            .collect();
        if !unknown.is_empty() {
            return Err(BasketError::Unknown(unknown));
        }
        let items = lines.iter().filter_map(|line| {
            let product = by_id.get(&line.product_id)?;
            Some(Item {
                id: 0,
                product_id: i64::from(line.product_id),
                product_name: product.name.clone(),
                quantity: i64::from(line.quantity),
                price: product.price,
            })
        });
        Self::new(items.collect())
    }
}

/// What the catalogue has too little of for these (merged) lines.
pub fn shortages(lines: &[Line], catalogue: &[Product]) -> Vec<Shortage> {
    let stock: BTreeMap<i32, i32> = catalogue.iter().map(|p| (p.id, p.stock)).collect();
    lines
        .iter()
        .filter_map(|line| {
            let left = stock.get(&line.product_id).copied().unwrap_or(0);
            (line.quantity > left).then_some(Shortage {
                product_id: line.product_id,
                left,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(product_id: i32, quantity: i32) -> Line {
        Line {
            product_id,
            quantity,
        }
    }

    fn product(id: i32, price: i64, stock: i32) -> Product {
        Product {
            id,
            name: format!("Thing {id}"),
            price: Cents(price),
            stock,
        }
    }

    #[test]
    fn lines_of_one_product_are_merged_at_the_first_place() {
        let merged = merge(&[line(7, 1), line(3, 2), line(7, 4)]).unwrap();
        assert_eq!(merged, [line(7, 5), line(3, 2)]);
    }

    #[test]
    fn a_merged_quantity_stays_countable() {
        assert_eq!(
            merge(&[line(7, i32::MAX), line(7, 1)]),
            Err(BasketError::TooManyUnits(7))
        );
        assert_eq!(
            merge(&[line(7, i32::MAX - 1), line(7, 1)]).unwrap(),
            [line(7, i32::MAX)]
        );
    }

    #[test]
    fn every_unknown_product_is_named() {
        let refused = Basket::price(&[line(1, 1), line(8, 1), line(9, 1)], &[product(1, 100, 5)]);
        assert_eq!(refused, Err(BasketError::Unknown(vec![8, 9])));
    }

    #[test]
    fn a_sum_beyond_64_bits_is_refused() {
        let catalogue = [product(1, i64::MAX / 2, 9), product(2, i64::MAX / 2, 9)];
        assert_eq!(
            Basket::price(&[line(1, 3)], &catalogue),
            Err(BasketError::TooDear)
        );
        assert_eq!(
            Basket::price(&[line(1, 1), line(2, 2)], &catalogue),
            Err(BasketError::TooDear)
        );
    }

    #[test]
    fn a_shortage_says_what_is_left() {
        let catalogue = [product(1, 100, 5), product(2, 100, 0)];
        let found = shortages(&[line(1, 5), line(2, 1)], &catalogue);
        assert_eq!(
            found,
            [Shortage {
                product_id: 2,
                left: 0
            }]
        );
    }

    #[test]
    fn statuses_read_what_they_write() {
        for status in Status::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
        }
        assert!("Pending".parse::<Status>().is_err());
    }

    #[test]
    fn an_order_goes_forward_step_by_step_or_off_while_nothing_is_packed() {
        let allowed = Status::ALL.map(|from| {
            let to = Status::ALL.into_iter().filter(|to| from.may_become(*to));
            to.map(Status::as_str).collect::<Vec<_>>().join(" ")
        });
        let expected = [
            "confirmed cancelled",
            "processing cancelled",
            "shipped",
            "delivered",
            "",
            "",
        ];
        assert_eq!(allowed, expected);
    }

    proptest! {
        #[test]
        fn merging_keeps_units_and_leaves_no_twins(
            wanted in prop::collection::vec((1..20_i32, 1..1000_i32), 1..100)
        ) {
            let lines: Vec<Line> = wanted.iter().map(|&(id, n)| line(id, n)).collect();
            let merged = merge(&lines).unwrap();
            for id in 1..20 {
                let asked: i32 = lines.iter().filter(|l| l.product_id == id).map(|l| l.quantity).sum();
                let kept: Vec<i32> =
                    merged.iter().filter(|l| l.product_id == id).map(|l| l.quantity).collect();
                prop_assert!(kept.len() <= 1);
                prop_assert_eq!(kept.iter().sum::<i32>(), asked);
            }
        }

        #[test]
        fn a_basket_adds_up(wanted in prop::collection::vec((1..1000_i32, 1..10_000_i64), 1..50)) {
            let lines: Vec<Line> = (1..).zip(&wanted).map(|(id, &(n, _))| line(id, n)).collect();
            let catalogue: Vec<Product> =
                (1..).zip(&wanted).map(|(id, &(_, cents))| product(id, cents, 1)).collect();
            let basket = Basket::price(&lines, &catalogue).unwrap();
            let sum: i64 = wanted.iter().map(|&(n, cents)| i64::from(n) * cents).sum();
            prop_assert_eq!(basket.total, Cents(sum));
            prop_assert_eq!(basket.items.iter().map(|i| i.subtotal().0).sum::<i64>(), sum);
        }
    }
}

//! Products, what may be asked of the catalogue, and the rules of reservations.
//! No I/O.

use std::collections::BTreeMap;

use kit::Cents;

/// Longest name of a product, in characters.
pub const MAX_NAME: usize = 200;
/// Longest category, in characters.
pub const MAX_CATEGORY: usize = 100;
/// Longest description, in characters.
pub const MAX_DESCRIPTION: usize = 10_000;
/// Units that a product is made with when the request names none.
pub const DEFAULT_INVENTORY: i64 = 10;
/// The lowest price.
pub const MIN_PRICE: Cents = Cents(1);
/// The highest price: ten digits, two of them behind the point.
pub const MAX_PRICE: Cents = Cents(9_999_999_999);
/// The most units that may be set or asked for: the wire's int32.
pub const MAX_UNITS: i64 = i32::MAX as i64;
/// The most lines in one reservation.
pub const MAX_LINES: usize = 100;
/// The most ids in one `GetProducts`.
pub const MAX_IDS: usize = 200;
/// The longest order key, in bytes.
pub const MAX_ORDER_KEY: usize = 64;
/// The longest time to live of a reservation: a day, in ms.
pub const MAX_TTL_MS: i64 = 86_400_000;

/// A product that can be seen (deleted ones can't).
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Product {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Free text; may be empty.
    pub description: String,
    /// Price of one unit.
    pub price: Cents,
    /// Units that can be sold now; reserved ones are not in it.
    pub available: i64,
    /// Category, where it has one.
    pub category: Option<String>,
    /// Path of a picture, where it has one.
    pub image: Option<String>,
    /// Mean rating; none without reviews.
    pub rating: Option<f64>,
    /// Number of reviews.
    pub review_count: i64,
    /// Made at, epoch milliseconds.
    pub created_ms: i64,
    /// Last changed by an admin at, epoch milliseconds.
    pub updated_ms: i64,
}

/// A product to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct NewProduct {
    /// Its name.
    pub name: String,
    /// Free text.
    pub description: String,
    /// Price of one unit.
    pub price: Cents,
    /// Units in stock.
    pub units: i64,
    /// Category.
    pub category: Option<String>,
}

/// What an admin changes of a product; `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// The new name.
    pub name: Option<String>,
    /// The new text.
    pub description: Option<String>,
    /// The new price.
    pub price: Option<Cents>,
    /// The new number of units that can be sold: booked as a restock.
    pub units: Option<i64>,
    /// The new category, or none.
    pub category: Option<Option<String>>,
}

/// What a list is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SortKey {
    /// The name, whatever its case.
    Name,
    /// The price.
    Price,
    /// When it was made.
    CreatedAt,
    /// The mean rating; products without one count as 0.
    Rating,
}

/// The order of a list; products that compare equal are ordered by id, the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ordering {
    /// What is compared.
    pub key: SortKey,
    /// Greatest first.
    pub descending: bool,
}

impl Ordering {
    /// Newest first.
    pub const NEWEST: Self = Self {
        key: SortKey::CreatedAt,
        descending: true,
    };

    /// Reads the wire's `ordering`: a name of [`SortKey`], `-` before it for descending.
    pub fn parse(text: &str) -> Option<Self> {
        let (descending, name) = text
            .strip_prefix('-')
            .map_or((false, text), |rest| (true, rest));
        let key = match name {
            "name" => SortKey::Name,
            "price" => SortKey::Price,
            "created_at" => SortKey::CreatedAt,
            "rating" => SortKey::Rating,
            _ => return None,
        };
        Some(Self { key, descending })
    }
}

/// Which products a list shows, and in which order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Query {
    /// Every one of these words begins a word of name or description.
    pub words: Vec<String>,
    /// None: best match first when there are words, else newest first.
    pub ordering: Option<Ordering>,
    /// Of this category.
    pub category: Option<String>,
    /// Costs no less.
    pub min_price: Option<Cents>,
    /// Costs no more.
    pub max_price: Option<Cents>,
    /// In stock, or out of it.
    pub in_stock: Option<bool>,
}

/// Splits what was typed into words: at white space, and at control characters,
/// since no text of ours holds any. The same word twice counts once.
pub fn words(search: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in search.split(|c: char| c.is_whitespace() || c.is_control()) {
        if !word.is_empty() && !words.iter().any(|known| known == word) {
            words.push(word.to_owned());
        }
    }
    words
}

/// What a reservation asks for: an order key and units by product id.
///
/// The lines are in the order of ids, so that two transactions lock rows in the
/// same order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    /// The order's key: makes the call idempotent.
    pub order_key: String,
    /// Units by product id.
    pub lines: BTreeMap<i64, i64>,
    /// Milliseconds until it expires unless it is committed; none never does.
    pub ttl_ms: Option<i64>,
}

/// Why a demand, or the key of one, is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DemandError {
    /// The key is empty, or too long.
    #[error("order_key must have 1 to {MAX_ORDER_KEY} characters")]
    OrderKey,
    /// There is no line.
    #[error("lines must not be empty")]
    Empty,
    /// There are too many lines.
    #[error("{0} lines are too many: {MAX_LINES} at most")]
    TooManyLines(usize),
    /// A line asks for nothing.
    #[error("quantity of product {product_id} must be at least 1, not {quantity}")]
    Quantity {
        /// The line's product.
        product_id: i64,
        /// What it asked for.
        quantity: i64,
    },
    /// It would expire before it begins, or far too late.
    #[error("ttl_ms must be 0 to {MAX_TTL_MS}, not {0}")]
    Ttl(i64),
    /// Two lines are of one product.
    #[error("product {0} stands in two lines: merge them")]
    Twice(i64),
}

/// An order key that can be one.
///
/// # Errors
/// [`DemandError::OrderKey`].
pub fn order_key(text: String) -> Result<String, DemandError> {
    let fits = (1..=MAX_ORDER_KEY).contains(&text.len()) && !text.contains('\0');
    if fits {
        Ok(text)
    } else {
        Err(DemandError::OrderKey)
    }
}

impl Demand {
    /// Checks a demand.
    ///
    /// # Errors
    /// [`DemandError`], naming the line.
    pub fn new(key: String, lines: &[(i64, i64)]) -> Result<Self, DemandError> {
        let order_key = order_key(key)?;
        if lines.is_empty() {
            return Err(DemandError::Empty);
        }
        if lines.len() > MAX_LINES {
            return Err(DemandError::TooManyLines(lines.len()));
        }
        let mut units = BTreeMap::new();
        for &(product_id, quantity) in lines {
            if !(1..=MAX_UNITS).contains(&quantity) {
                return Err(DemandError::Quantity {
                    product_id,
                    quantity,
                });
            }
            if units.insert(product_id, quantity).is_some() {
                return Err(DemandError::Twice(product_id));
            }
        }
        Ok(Self {
            order_key,
            lines: units,
            ttl_ms: None,
        })
    }

    /// The same, to expire after so many milliseconds; 0 is never.
    ///
    /// # Errors
    /// [`DemandError::Ttl`].
    pub fn with_ttl(self, ttl_ms: i64) -> Result<Self, DemandError> {
        match ttl_ms {
            0 => Ok(self),
            1..=MAX_TTL_MS => Ok(Self {
                ttl_ms: Some(ttl_ms),
                ..self
            }),
            _ => Err(DemandError::Ttl(ttl_ms)),
        }
    }
}

/// Where a reservation stands. It goes from held to exactly one of committed,
/// released, expired; refused is one that never was held. A committed one whose
/// order was cancelled is returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its units are taken, for now.
    Held,
    /// Its units are sold.
    Committed,
    /// Its units went back, or a release came before it.
    Released,
    /// Its time ran out and its units went back.
    Expired,
    /// There was too little.
    Refused,
    /// It was committed, and its units came back.
    Returned,
}

impl State {
    /// The name that the database holds (a returned one is kept as committed, with the moment
    /// of its return).
    pub fn name(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Committed => "committed",
            Self::Released => "released",
            Self::Expired => "expired",
            Self::Refused => "refused",
            Self::Returned => "returned",
        }
    }

    /// The state of that [`State::name`].
    pub fn from_name(name: &str) -> Option<Self> {
        [
            Self::Held,
            Self::Committed,
            Self::Released,
            Self::Expired,
            Self::Refused,
            Self::Returned,
        ]
        .into_iter()
        .find(|state| state.name() == name)
    }
}

/// A line that stood in a reservation's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// The line's product.
    pub product_id: i64,
    /// Whether there is such a product.
    pub exists: bool,
    /// Units that could be sold at that moment.
    pub available: i64,
}

/// What became of a reserve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reserved {
    /// All units are taken (now, or by the first call of this key).
    Yes {
        /// True for the call that took them, false for a repeat.
        first: bool,
    },
    /// Nothing was taken: there was too little of these.
    Short(Vec<Shortage>),
    /// Nothing is taken: the key's reservation is over.
    Over(State),
    /// Nothing was taken: the key belongs to a reservation of other lines.
    OtherLines,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordering_takes_its_four_names_and_a_sign() {
        let parsed = Ordering::parse("-price").unwrap();
        assert_eq!(
            parsed,
            Ordering {
                key: SortKey::Price,
                descending: true
            }
        );
        assert_eq!(Ordering::parse("-created_at"), Some(Ordering::NEWEST));
        for wrong in ["", "-", "--price", "Price", "id", "price,name"] {
            assert_eq!(Ordering::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn words_are_split_at_white_space_and_controls_and_kept_once() {
        assert_eq!(
            words(" red\tred \0 mouse\u{a0}pad "),
            ["red", "mouse", "pad"]
        );
        assert!(words(" \n ").is_empty());
    }

    #[test]
    fn a_demand_is_checked_line_by_line() {
        let key = || "k".to_owned();
        let demand = Demand::new(key(), &[(7, 2), (3, 1)]).unwrap();
        assert_eq!(
            demand.lines.into_iter().collect::<Vec<_>>(),
            [(3, 1), (7, 2)]
        );
        assert_eq!(Demand::new(key(), &[]), Err(DemandError::Empty));
        assert_eq!(
            Demand::new(key(), &[(1, 1), (1, 2)]),
            Err(DemandError::Twice(1))
        );
        for quantity in [0, -1, MAX_UNITS + 1] {
            let wrong = Demand::new(key(), &[(1, quantity)]);
            assert_eq!(
                wrong,
                Err(DemandError::Quantity {
                    product_id: 1,
                    quantity
                })
            );
        }
        let many: Vec<_> = (0..101).map(|id| (id, 1)).collect();
        assert_eq!(
            Demand::new(key(), &many),
            Err(DemandError::TooManyLines(101))
        );
        assert!(Demand::new(key(), &many[..100]).is_ok());
    }

    #[test]
    fn an_order_key_has_one_to_sixty_four_characters() {
        for wrong in [String::new(), "x".repeat(65), "a\0b".into()] {
            assert_eq!(order_key(wrong), Err(DemandError::OrderKey));
        }
        assert!(order_key("x".repeat(64)).is_ok());
    }

    #[test]
    fn states_have_names_of_their_own() {
        for state in [
            State::Held,
            State::Committed,
            State::Released,
            State::Expired,
            State::Refused,
        ] {
            assert_eq!(State::from_name(state.name()), Some(state));
        }
        assert_eq!(State::from_name("HELD"), None);
    }
}

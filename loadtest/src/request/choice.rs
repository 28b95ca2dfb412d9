//! Who asks for what: customer, page, word, products and quantities of an arrival.

use serde::{Deserialize, Serialize};

use crate::draw::{Draws, Purpose};
use crate::mix::Op;

/// What people search for: words of the sample catalogue, beginnings of words, and one that finds
/// nothing.
const WORDS: [&str; 8] = [
    "laptop", "pro", "gaming", "wireless", "mouse", "key", "stand", "zeppelin",
];
/// Products on a page of the catalogue, as the contract says.
const PAGE_SIZE: usize = 20;
/// Products on a large page, the most that the contract allows.
pub(super) const LARGE_PAGE: usize = 100;
/// How far people leaf through the catalogue.
const PAGES_READ: usize = 5;

/// A line of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Line {
    /// The product.
    pub product_id: i64,
    /// Units of it.
    pub quantity: u32,
}

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// A page of the catalogue, from 1.
    Browse(usize),
    /// A large page of the catalogue, from 1.
    Page(usize),
    /// A search for a word.
    Search(&'static str),
    /// The product with this id.
    View(i64),
    /// A log-in of the customer.
    Login,
    /// An order.
    Order(Vec<Line>),
    /// The customer's orders.
    History,
    /// A quote.
    Quote(Vec<Line>),
}

/// A request, chosen but not yet made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The customer's place in the target's list; none if the list is empty.
    pub customer: Option<usize>,
    /// What is asked for.
    pub action: Action,
}

/// The request of arrival `index`: customer, page, word, products and quantities. It depends on
/// nothing but the arguments, so that the same seed asks the same again.
///
/// # Panics
/// If `op` needs products and there are none ([`LoadTarget::validate`](crate::LoadTarget::validate) sees to it).
#[must_use]
pub fn choose(seed: u64, index: u64, op: Op, customers: usize, products: &[i64]) -> Choice {
    let mut draws = Draws::new(seed, Purpose::Request, index);
    let customer = draws.below(customers);
    let action = match op {
        Op::Browse => Action::Browse(page(&mut draws, products.len(), PAGE_SIZE)),
        Op::Page => Action::Page(page(&mut draws, products.len(), LARGE_PAGE)),
        Op::Search => Action::Search(WORDS[draws.below(WORDS.len())]),
        Op::View => Action::View(products[draws.below(products.len())]),
        Op::Login => Action::Login,
        Op::Order => Action::Order(basket(&mut draws, products)),
        Op::History => Action::History,
        Op::Quote => Action::Quote(basket(&mut draws, products)),
    };
    Choice {
        customer: (customers > 0).then_some(customer),
        action,
    }
}

/// One of the pages that people read of so many products.
fn page(draws: &mut Draws, products: usize, size: usize) -> usize {
    1 + draws.below(products.div_ceil(size).clamp(1, PAGES_READ))
}

/// One or two different products, one to three units of each.
fn basket(draws: &mut Draws, products: &[i64]) -> Vec<Line> {
    let n = products.len();
    let first = draws.below(n);
    let mut places = vec![first];
    if n > 1 && draws.below(2) == 1 {
        // A step from the first that never comes back to it.
        places.push((first + 1 + draws.below(n - 1)) % n);
    }
    let line = |place| Line {
        product_id: products[place],
        quantity: 1 + draws.below(3) as u32,
    };
    places.into_iter().map(line).collect()
}

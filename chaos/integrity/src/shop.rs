//! What a run asks of a shop, and how it answers.

use async_trait::async_trait;

use crate::snapshot::{Open, Orders, Payments, Stock};
use crate::types::{Basket, Cents, Order, OrderId, ProductId, Status, UserId};

/// How a request ended, as far as its client can know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply<T> {
    /// It was done.
    Done(T),
    /// It was refused, so nothing was done: a 4xx, or it was never sent (status 0).
    Refused {
        /// The HTTP status; 0 when no connection could be made.
        status: u16,
        /// The shop's stable word for it (`code`).
        error: String,
    },
    /// Nobody knows: a time-out, a reset, a 5xx after sending, an answer that can't be read.
    Unknown(String),
}

impl<T> Reply<T> {
    /// What was done.
    pub fn done(self) -> Option<T> {
        match self {
            Self::Done(done) => Some(done),
            _ => None,
        }
    }

    /// The same with another answer.
    pub fn map<U>(self, with: impl FnOnce(T) -> U) -> Reply<U> {
        match self {
            Self::Done(done) => Reply::Done(with(done)),
            Self::Refused { status, error } => Reply::Refused { status, error },
            Self::Unknown(why) => Reply::Unknown(why),
        }
    }
}

/// The answer to a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The order.
    pub order: Order,
    /// A hash of the body; equal bodies have equal ones.
    pub digest: u64,
}

/// An order as an answer shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The order.
    pub order: Order,
    /// Whether the answer calls itself stale.
    pub stale: bool,
}

/// A page of one's orders, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The orders.
    pub orders: Vec<Order>,
    /// Whether it is the last page.
    pub last: bool,
    /// Whether the answer calls itself stale.
    pub stale: bool,
}

/// Why a service could not be asked about itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {why}")]
pub struct ShopError {
    /// What was asked.
    pub what: &'static str,
    /// What happened.
    pub why: String,
}

/// A shop. Every method is one request: it is not repeated, so that the history holds what was
/// sent. The run puts a time-out around each.
#[async_trait]
pub trait Shop: Send + Sync {
    /// Places an order under an idempotency key.
    async fn place(&self, user: UserId, key: &str, basket: &Basket) -> Reply<Placed>;
    /// Calls an order off.
    async fn cancel(&self, user: UserId, order: OrderId) -> Reply<Seen>;
    /// Reads an order.
    async fn read(&self, user: UserId, order: OrderId) -> Reply<Seen>;
    /// Reads a page, from 1, of a user's orders, newest first.
    async fn list(&self, user: UserId, page: u32) -> Reply<Page>;
    /// As staff: takes an order to another status.
    async fn advance(&self, order: OrderId, to: Status) -> Reply<Seen>;
    /// As admin: changes a price.
    async fn reprice(&self, product: ProductId, price: Cents) -> Reply<()>;

    /// The stock; with every reservation if `whole`.
    ///
    /// # Errors
    /// [`ShopError`] when the product service can't be asked.
    async fn stock(&self, whole: bool) -> Result<Stock, ShopError>;
    /// What the order service has open.
    ///
    /// # Errors
    /// [`ShopError`] when it can't be asked.
    async fn open(&self) -> Result<Open, ShopError>;
    /// Everything that the order service tells.
    ///
    /// # Errors
    /// [`ShopError`] when it can't be asked.
    async fn orders(&self) -> Result<Orders, ShopError>;
    /// What the payment service tells; none when there is none, or it can't be asked by design.
    ///
    /// # Errors
    /// [`ShopError`] when it should answer and does not.
    async fn payments(&self) -> Result<Option<Payments>, ShopError>;
}

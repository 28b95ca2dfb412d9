//! Where orders are kept: the seam, behind which stands all SQL.

pub mod guarded;
mod sql;

use async_trait::async_trait;

pub use guarded::Guarded;
pub use sql::{MIGRATIONS, SqlStore};

use crate::{
    domain::{NewOrder, Order, Status},
    error::Result,
};

/// Which orders a listing shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// This owner's alone.
    pub owner: Option<i64>,
    /// Those in this status alone.
    pub status: Option<Status>,
}

impl Filter {
    /// All orders of one user.
    pub fn of(owner: i64) -> Self {
        Self {
            owner: Some(owner),
            status: None,
        }
    }
}

/// Keeps orders. Owners are encrypted before they are kept, and found by a keyed
/// index.
#[async_trait]
pub trait OrderStore: Send + Sync {
    /// Keeps an order and its lines, both or neither.
    async fn insert(&self, order: &NewOrder) -> Result<Order>;

    /// Notes that the stock of an order is final.
    async fn mark_committed(&self, order_key: &str) -> Result<()>;

    /// Keys of orders whose stock is not final yet, oldest first.
    async fn unfinished(&self, limit: i64) -> Result<Vec<String>>;

    /// One order.
    async fn find(&self, id: i64) -> Result<Option<Order>>;

    /// The order of that key.
    async fn find_by_key(&self, order_key: &str) -> Result<Option<Order>>;

    /// How many orders a listing has.
    async fn count(&self, filter: Filter) -> Result<i64>;

    /// A stretch of a listing, newest first, with all lines.
    async fn list(&self, filter: Filter, offset: i64, limit: i64) -> Result<Vec<Order>>;
}

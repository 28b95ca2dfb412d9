//! What the service keeps: a trait, and all SQL behind it.

mod audit;
mod books;
mod clock;
mod ends;
mod list;
mod products;
mod schema;
mod search;
mod sql;
mod stock;

use std::collections::HashMap;

use async_trait::async_trait;
use kit::lab::{Defects, Failpoints};

use crate::domain::{Changes, Demand, NewProduct, Product, Query, Reserved, State};
use crate::seed::Sample;

pub use audit::Audit;
pub use books::{Books, LineRow, ReservationRow, StockRow};
pub use schema::migrate;
pub use sql::SqlStore;

/// What can go wrong with the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database failed, or could not be reached.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// There is no text index for this database.
    #[error("there is no text search for {0:?} databases")]
    NoSearch(kit::db::Backend),
    /// A row holds what no code of ours writes.
    #[error("reservation {order_key:?} is in the unknown state {state:?}")]
    UnknownState {
        /// The row's key.
        order_key: String,
        /// What it holds.
        state: String,
    },
}

/// Where the lab can end the process, and the bugs it can switch on; neither outside of lab mode.
#[derive(Clone, Default)]
pub struct Lab {
    /// Visited before and after each commit, and before each reply.
    pub points: Failpoints,
    /// Asked where a defect is seeded.
    pub defects: Defects,
}

/// The failpoints of this service.
pub const FAILPOINTS: &[&str] = &[
    "product.reserve.before_commit",
    "product.reserve.after_commit",
    "product.reserve.before_reply",
    "product.commit.before_commit",
    "product.commit.after_commit",
    "product.commit.before_reply",
    "product.release.before_commit",
    "product.release.after_commit",
    "product.release.before_reply",
    "product.return.before_commit",
    "product.return.after_commit",
    "product.return.before_reply",
    "product.sweep.before_commit",
    "product.sweep.after_commit",
];

/// The seeded defects of this service: docs/INTEGRITY.md.
pub const DEFECTS: &[&str] = &["double_release", "expiry_race", "commit_after_expiry"];

/// What became of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Released {
    /// Where the reservation stands now.
    pub state: State,
    /// The products whose units went back by this very call.
    pub returned: Vec<i64>,
}

/// Units in stock of one product, or of all that have no label of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Units {
    /// The product; none stands for the rest.
    pub product_id: Option<i64>,
    /// Units that can be sold.
    pub available: i64,
}

/// The catalogue, the stock and the reservations. `at` is always the moment of
/// the call in epoch milliseconds. Deleted products are never answered.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// How many products a query matches.
    async fn count(&self, query: &Query) -> Result<i64, StoreError>;
    /// The products of a query, in its order.
    async fn list(
        &self,
        query: &Query,
        offset: i64,
        limit: i64,
    ) -> Result<Vec<Product>, StoreError>;
    /// One product.
    async fn find(&self, id: i64) -> Result<Option<Product>, StoreError>;
    /// Those of these ids that exist, in one query.
    async fn find_many(&self, ids: &[i64]) -> Result<HashMap<i64, Product>, StoreError>;

    /// Makes a product; its units are booked as initial.
    async fn create(&self, product: NewProduct, at: i64) -> Result<Product, StoreError>;
    /// Makes products whose units are booked as restocked; all or none.
    async fn create_restocked(
        &self,
        products: Vec<NewProduct>,
        at: i64,
    ) -> Result<Vec<Product>, StoreError>;
    /// Changes a product; none if it does not exist.
    async fn change(
        &self,
        id: i64,
        changes: Changes,
        at: i64,
    ) -> Result<Option<Product>, StoreError>;
    /// Hides a product for good, its history stays. False if it does not exist.
    async fn delete(&self, id: i64, at: i64) -> Result<bool, StoreError>;
    /// Makes those samples whose ids are free; how many that were.
    async fn seed(&self, samples: &[Sample]) -> Result<usize, StoreError>;

    /// Takes stock for all lines or for none; a repeat of the key gets the first answer.
    async fn reserve(&self, demand: &Demand, at: i64) -> Result<Reserved, StoreError>;
    /// Makes a held reservation final, unless its time is over; where it stands then, none without one.
    async fn commit(&self, order_key: &str, at: i64) -> Result<Option<State>, StoreError>;
    /// Puts the units of a committed reservation back, once; a held one is released.
    async fn give_up(&self, order_key: &str, at: i64) -> Result<Released, StoreError>;
    /// Ends up to so many reservations whose time is over by the database's clock; the products
    /// whose units came back.
    async fn expire_due(&self, limit: i64, at: i64) -> Result<Vec<i64>, StoreError>;
    /// Units by which the rows differ from what the ledger adds up to.
    async fn mismatch(&self, audit: &mut Audit) -> Result<i64, StoreError>;
    /// What is stored of stock and, if asked for, reservations, at one moment.
    async fn books(&self, reservations: bool) -> Result<Books, StoreError>;
    /// Puts the units of a held reservation back. An unknown key is remembered
    /// as released, so that a reserve that comes late is refused.
    async fn release(&self, order_key: &str, at: i64) -> Result<Released, StoreError>;

    /// Units of the products up to an id, one by one, and the sum of the rest.
    async fn units(&self, up_to_id: i64) -> Result<Vec<Units>, StoreError>;
}

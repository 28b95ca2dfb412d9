//! Where orders are kept: the seam, behind which stands all SQL.

mod books;
pub mod guarded;
mod guarded_journal;
mod life;
mod outbox;
mod rotate;
mod sagas;
mod sql;

use async_trait::async_trait;

pub use books::{BookStore, Everything, OpenSaga, OpenWork, ShownOrder, Written};
pub use guarded::Guarded;
pub use guarded_journal::GuardedJournal;
pub use sql::{MIGRATIONS, SqlStore};

use crate::{
    domain::{NewOrder, Order, Status},
    error::Result,
    saga::{Hold, Lease},
};

/// The failpoints of this service.
pub const FAILPOINTS: &[&str] = &[
    "order.begin.before_commit",
    "order.begin.after_commit",
    "order.place.before_commit",
    "order.place.after_commit",
    "order.stock_committed",
    "order.advance.before_commit",
    "order.advance.after_commit",
    "order.payment_captured",
    "order.create.before_reply",
    "order.refuse.before_reply",
    "order.status.before_commit",
    "order.status.after_commit",
    "order.status.before_reply",
    "order.recovery.taken",
    "order.recovery.before_step",
    "order.outbox.claimed",
    "order.outbox.delivered",
    "order.outbox.noted",
];

/// The seeded defects of this service: docs/INTEGRITY.md.
pub const DEFECTS: &[&str] = &[
    "lost_compensation",
    "key_after_effect",
    "outbox_after_commit",
    "stale_price",
    "status_edge_skipped",
    "early_reply",
];

/// A step of an order's life.
#[derive(Clone, Debug)]
pub struct Change {
    /// Which order.
    pub order_id: i64,
    /// Where it is to go.
    pub to: Status,
    /// Set when only its owner may do it.
    pub owner: Option<i64>,
    /// When, in ms since the epoch.
    pub now_ms: i64,
    /// Until when a cancelled order's stock and payment are to be back.
    pub deadline_ms: i64,
    /// Who sees to that first.
    pub lease: Lease,
}

/// What became of a [`Change`].
#[derive(Clone, Debug)]
pub enum Changed {
    /// Done; a cancelled order comes with the saga that puts its stock back.
    Yes(Order, Option<Hold>),
    /// There is no such order, or it is another's.
    NoOrder,
    /// It can't go there from here.
    NotAllowed(Status),
}

/// A mail to be delivered, claimed by a holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its row.
    pub id: i64,
    /// The same in every delivery.
    pub event_id: String,
    /// The number of its holder.
    pub fence: i64,
    /// How often it was tried.
    pub attempts: i64,
    /// The order's number.
    pub order_id: i64,
    /// What the order has become.
    pub status: Status,
    /// The order's sum.
    pub total: kit::Cents,
    /// Where the mail goes, if anywhere.
    pub contact: Option<String>,
    /// When the order became that.
    pub at_ms: i64,
}

/// Keeps mails until they are delivered.
#[async_trait]
pub trait OutboxStore: Send + Sync {
    /// Takes mails that are due, for so long.
    async fn claim(&self, now_ms: i64, lease_ms: i64, limit: i64) -> Result<Vec<Event>>;
    /// Notes a delivery; false when another holder has the mail by now.
    async fn delivered(&self, event: &Event, now_ms: i64) -> Result<bool>;
    /// Lets go of a mail until then; not when another holder has it by now.
    async fn postpone(&self, event: &Event, next_ms: i64) -> Result<()>;
}

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

    /// Takes an order a step further, with its mail in the same transaction.
    async fn change_status(&self, change: &Change) -> Result<Changed>;

    /// A stretch of a listing, newest first, with all lines.
    async fn list(&self, filter: Filter, offset: i64, limit: i64) -> Result<Vec<Order>>;
}

//! The history of a run: what was asked, what came of it, and which faults were on.
//!
//! One write-ahead record an operation: `invoke` is written before the request is sent, then one of
//! `ok`, `fail` or `info`. **Info** is the outcome that nobody knows: a time-out, a reset, a 5xx
//! after sending. It stays so for ever; an operation without an outcome (the lab died) is info too.
//! All times are nanoseconds of one monotonic clock, faults stand in the same log.

mod log;
mod ops;
mod read;

pub use log::{Clock, Recorder};
pub use ops::{Fault, History, Op, Outcome};
pub use read::{ReadError, Tail, read};

use serde::{Deserialize, Serialize};

use crate::snapshot::{Saga, Snapshot, StockRow};
use crate::types::{Basket, Cents, Order, OrderId, ProductId, Status, UserId};

/// The version of the format that [`Record::Begin`] carries.
pub const FORMAT: u32 = 1;

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Record {
    /// The first line.
    Begin {
        /// When, nanoseconds.
        t: u64,
        /// [`FORMAT`].
        format: u32,
        /// The run's name.
        run: String,
        /// Where its chance comes from.
        seed: u64,
        /// What products cost when it began.
        prices: Vec<(ProductId, Cents)>,
    },
    /// An operation is about to be sent.
    Invoke {
        /// When, nanoseconds.
        t: u64,
        /// Its number.
        op: u64,
        /// What is asked.
        call: Call,
    },
    /// It was done.
    Ok {
        /// When, nanoseconds.
        t: u64,
        /// Which.
        op: u64,
        /// What the shop said.
        answer: Answer,
    },
    /// It was refused (a 4xx) and leaves nothing behind.
    Fail {
        /// When, nanoseconds.
        t: u64,
        /// Which.
        op: u64,
        /// The status; 0 when the request was never sent.
        status: u16,
        /// The shop's stable word for it.
        error: String,
    },
    /// Nobody knows.
    Info {
        /// When, nanoseconds.
        t: u64,
        /// Which.
        op: u64,
        /// How it looked: `timeout`, `reset`, `503 …`.
        why: String,
    },
    /// A fault came, went or struck.
    Fault {
        /// When, nanoseconds.
        t: u64,
        /// Which.
        #[serde(flatten)]
        note: FaultNote,
    },
    /// Customers have stopped.
    Stopped {
        /// When, nanoseconds.
        t: u64,
    },
    /// The last line: everything, at rest.
    Final {
        /// When it was begun to be read, nanoseconds.
        t: u64,
        /// What was found.
        snapshot: Box<Snapshot>,
    },
}

impl Record {
    /// When it was written.
    #[must_use]
    pub fn t(&self) -> u64 {
        match self {
            Self::Begin { t, .. }
            | Self::Invoke { t, .. }
            | Self::Ok { t, .. }
            | Self::Fail { t, .. }
            | Self::Info { t, .. }
            | Self::Fault { t, .. }
            | Self::Stopped { t }
            | Self::Final { t, .. } => *t,
        }
    }
}

/// What is asked of the shop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// Place an order.
    Place {
        /// Who.
        user: UserId,
        /// The `Idempotency-Key`.
        key: String,
        /// What, distinguishable from every other key's of the run.
        basket: Basket,
    },
    /// Call an order off.
    Cancel {
        /// Who.
        user: UserId,
        /// Which.
        order: OrderId,
    },
    /// Read one order.
    Read {
        /// Who.
        user: UserId,
        /// Which.
        order: OrderId,
    },
    /// Read one's newest orders.
    List {
        /// Who.
        user: UserId,
    },
    /// Staff: take an order a step on.
    Advance {
        /// Which.
        order: OrderId,
        /// To where.
        to: Status,
    },
    /// Admin: change a price.
    Reprice {
        /// Which.
        product: ProductId,
        /// To what; never the same twice for a product.
        price: Cents,
    },
    /// The auditor: read stock and open sagas.
    Audit,
}

impl Call {
    /// Its name in tables.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Place { .. } => "place",
            Self::Cancel { .. } => "cancel",
            Self::Read { .. } => "read",
            Self::List { .. } => "list",
            Self::Advance { .. } => "advance",
            Self::Reprice { .. } => "reprice",
            Self::Audit => "audit",
        }
    }

    /// The customer who asks.
    #[must_use]
    pub fn user(&self) -> Option<UserId> {
        match self {
            Self::Place { user, .. }
            | Self::Cancel { user, .. }
            | Self::Read { user, .. }
            | Self::List { user } => Some(*user),
            Self::Advance { .. } | Self::Reprice { .. } | Self::Audit => None,
        }
    }

    /// The order that it is about.
    #[must_use]
    pub fn order(&self) -> Option<OrderId> {
        match self {
            Self::Cancel { order, .. } | Self::Read { order, .. } | Self::Advance { order, .. } => {
                Some(*order)
            }
            _ => None,
        }
    }
}

/// What the shop says of something that it did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To a place.
    Placed {
        /// The order.
        order: Order,
        /// A hash of the whole body, to compare repeats by.
        digest: u64,
    },
    /// To a cancel, a read, an advance.
    Seen {
        /// The order.
        order: Order,
        /// Whether the answer calls itself stale (`x-degraded`): then it proves nothing.
        stale: bool,
    },
    /// To a list.
    Listed {
        /// The newest orders.
        orders: Vec<Order>,
        /// Whether these are all.
        complete: bool,
        /// Whether the answer calls itself stale.
        stale: bool,
    },
    /// To an audit.
    Audited {
        /// Each product's stock.
        stock: Vec<StockRow>,
        /// Sagas that have not ended.
        sagas: Vec<Saga>,
    },
    /// To a reprice.
    Done,
}

/// Whether a fault comes, goes, or is over as soon as it has struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultPhase {
    /// It is on from now.
    On,
    /// It is off from now: healed.
    Off,
    /// It struck.
    Struck,
}

/// What the log says of a fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultNote {
    /// Tells it from others; [`FaultPhase::On`] and [`FaultPhase::Off`] meet by it.
    pub fault: String,
    /// Whether it comes or goes.
    pub phase: FaultPhase,
    /// For people: what it does, and to whom.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub what: String,
}

impl FaultNote {
    /// A note of a fault.
    pub fn new(fault: impl Into<String>, phase: FaultPhase, what: impl Into<String>) -> Self {
        Self {
            fault: fault.into(),
            phase,
            what: what.into(),
        }
    }
}

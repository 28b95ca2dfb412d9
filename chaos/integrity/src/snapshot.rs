//! What the services say of themselves: the JSON of `GET /lab/integrity`.
//!
//! docs/INTEGRITY_CHECKER.md says precisely what each field counts. Fields that are lists of
//! options may be missing; the rules that need them are then told as not judged.

use serde::{Deserialize, Serialize};

use crate::types::{Basket, Cents, Order, OrderId, ProductId, Status};

/// A product's stock, read in one transaction with all others'.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockRow {
    /// Which product.
    pub product: ProductId,
    /// Units that it was made with.
    pub initial: i64,
    /// Units that were added since, less those taken away by hand.
    pub restocked: i64,
    /// Units that can be sold.
    pub available: i64,
    /// Units in held reservations.
    pub reserved: i64,
    /// Units in committed reservations that were not returned.
    pub committed: i64,
    /// The sum of all deltas in the stock ledger, which should be `available`.
    pub ledger_sum: i64,
}

/// Where a reservation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReservationState {
    /// Units are set aside.
    Held,
    /// Units are sold.
    Committed,
    /// Units went back before they were sold.
    Released,
    /// Its time was over.
    Expired,
    /// Units went back after they had been sold.
    Returned,
    /// There were too few units.
    Refused,
}

/// A reservation with what the ledger says of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReservationRow {
    /// Under which key the order service made it.
    pub order_key: String,
    /// Where it stands.
    pub state: ReservationState,
    /// What it is for; empty for a release that came before its reserve.
    pub lines: Basket,
    /// Units that the ledger has leaving the stock under this key.
    pub taken: i64,
    /// Units that the ledger has coming back: released, expired or returned.
    pub returned: i64,
    /// Of these, units that came back because its time was over.
    pub expired: i64,
}

/// What the product service tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stock {
    /// Each product.
    pub stock: Vec<StockRow>,
    /// Each reservation; left out with `?only=stock`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reservations: Option<Vec<ReservationRow>>,
}

/// A saga that has not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saga {
    /// Whose.
    pub order_key: String,
    /// How far it is, in the service's words.
    pub state: String,
    /// Milliseconds since it began.
    pub age_ms: i64,
    /// Its time to live, milliseconds.
    pub ttl_ms: i64,
}

/// What the order service has open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// Sagas that have not ended.
    pub sagas: Vec<Saga>,
    /// Events of the outbox that were not delivered yet.
    pub undelivered: u64,
}

/// An event of the outbox and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// The event's id.
    pub event: String,
    /// The order.
    pub order: OrderId,
    /// The transition that it tells of: the status that the order got.
    pub kind: Status,
    /// How many times its effect took place (a repeat that the receiver threw away doesn't count).
    pub delivered: u32,
}

/// The outbox.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outbox {
    /// Transitions that events are written for; of others none is expected.
    pub kinds: Vec<Status>,
    /// All events.
    pub effects: Vec<Effect>,
}

/// Under which key an order's stock and payment are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderKey {
    /// The order.
    pub order: OrderId,
    /// Its key.
    pub order_key: String,
}

/// What the order service tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orders {
    /// What is open.
    #[serde(flatten)]
    pub open: Open,
    /// The outbox.
    pub outbox: Outbox,
    /// The keys of all orders.
    pub keys: Vec<OrderKey>,
}

/// A payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// Under which key.
    pub order_key: String,
    /// What was authorised.
    pub amount: Cents,
    /// What was taken, all captures together.
    pub captured: Cents,
    /// What was given back.
    pub refunded: Cents,
}

/// What the payment service tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payments {
    /// All payments.
    pub payments: Vec<Payment>,
}

/// Everything, read when nothing was going on any more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The orders of all customers of the run, as each of them sees them.
    pub orders: Vec<Order>,
    /// The product service's; none when the lab can't ask it.
    pub stock: Option<Stock>,
    /// The order service's.
    pub shop: Option<Orders>,
    /// The payment service's.
    pub payments: Option<Payments>,
}

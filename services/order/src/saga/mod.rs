//! How an order is made, undone and cancelled across services, so that a crash at any moment is
//! finished or undone afterwards.
//!
//! Making one: claim the key and open the saga → reserve the stock → authorise the payment →
//! store the order, the answer to its key and its mail in one transaction → make the stock final →
//! show the order and answer → capture the payment. Every step towards another service may be
//! repeated (it is known there by the order key); every step in our own database is one
//! transaction that names the state it leaves and the holder's fence. Where an outcome is unknown,
//! the step is asked again, never done anew.
//!
//! The code here knows neither SQL nor gRPC: it runs over the traits below, in virtual time too
//! ([`memory`]).
//!
//! Sources: Garcia-Molina and Salem, Sagas (1987), for compensation; Kleppmann, Designing
//! Data-Intensive Applications, ch. 8, for leases with fencing.

mod drive;
pub mod memory;
mod recover;
mod settings;
mod types;

use async_trait::async_trait;
use kit::Ctx;

pub use drive::Saga;
pub use recover::{Recovery, tidy};
pub use settings::{Draft, Reply, Settings};
pub use types::{Begin, Begun, Claim, Hold, Lease, SagaState};

use crate::{
    clients::{Authorized, Committed, Reserved},
    domain::{Line, NewOrder, Order},
    error::Result,
};

/// Turns a stored order into the answer that its client gets, and gets again.
pub type Render = fn(&Order) -> String;

/// Keeps sagas, and with them orders and keys: each method is one transaction.
#[async_trait]
pub trait Journal: Send + Sync {
    /// What is known of a key; none when it is free.
    async fn look(&self, ctx: &Ctx, user_id: i64, claim: &Claim) -> Result<Option<Begun>>;

    /// Opens a saga and claims its key, both or neither.
    async fn begin(&self, ctx: &Ctx, begin: &Begin) -> Result<Begun>;

    /// Stores order, answer and mail, open → placed; none when the saga is no longer the
    /// holder's, or no longer open.
    async fn place(
        &self,
        ctx: &Ctx,
        hold: &mut Hold,
        order: &NewOrder,
        claim: Option<&Claim>,
        render: Render,
    ) -> Result<Option<String>>;

    /// For a seeded defect alone: keeps a key with its answer, after the order.
    async fn remember_late(
        &self,
        ctx: &Ctx,
        hold: &Hold,
        user_id: i64,
        claim: &Claim,
        answer: &str,
    ) -> Result<()>;

    /// Takes a saga to another state; false, and nothing done, when it is no longer the
    /// holder's. Into undoing and undone it frees the key; from placed that also removes the
    /// order that nobody has seen; from placed to committed or done it shows the order.
    async fn advance(&self, ctx: &Ctx, hold: &mut Hold, to: SagaState, now_ms: i64)
    -> Result<bool>;

    /// Where a saga stands, whoever holds it.
    async fn state(&self, ctx: &Ctx, order_key: &str) -> Result<Option<SagaState>>;

    /// The answer that [`Journal::place`] stored.
    async fn answer(&self, ctx: &Ctx, order_key: &str, render: Render) -> Result<Option<String>>;

    /// Takes over sagas that nobody holds, and open ones past their deadline.
    async fn take_over(&self, lease: &Lease, now_ms: i64, limit: i64) -> Result<Vec<Hold>>;

    /// Lets go of a saga until then.
    async fn defer(&self, hold: &Hold, next_ms: i64) -> Result<()>;

    /// How many sagas are in each state that is not over.
    async fn open(&self) -> Result<Vec<(SagaState, i64)>>;

    /// Forgets what ended before then, up to so many rows of each kind; how many it was.
    async fn forget(&self, sagas_before: i64, keys_before: i64, limit: i64) -> Result<u64>;
}

/// The product service, as a saga needs it. Everything may be repeated.
#[async_trait]
pub trait Stock: Send + Sync {
    /// Takes the stock of all lines or none, for so long.
    async fn reserve(
        &self,
        ctx: &Ctx,
        order_key: &str,
        lines: &[Line],
        ttl_ms: i64,
    ) -> Result<Reserved>;

    /// Makes it final, unless its time is over.
    async fn commit(&self, ctx: &Ctx, order_key: &str) -> Result<Committed>;

    /// Puts back what is held, and keeps a late reserve out.
    async fn release(&self, ctx: &Ctx, order_key: &str) -> Result<()>;

    /// Puts back what was final.
    async fn give_back(&self, ctx: &Ctx, order_key: &str) -> Result<()>;
}

/// The payment service, as a saga needs it. Everything may be repeated.
#[async_trait]
pub trait Payments: Send + Sync {
    /// Sets the amount aside.
    async fn authorize(&self, ctx: &Ctx, order_key: &str, cents: i64) -> Result<Authorized>;

    /// Takes what is set aside; whether it is taken now.
    async fn capture(&self, ctx: &Ctx, order_key: &str) -> Result<bool>;

    /// Lets go, or gives back, and keeps a late authorise out.
    async fn void(&self, ctx: &Ctx, order_key: &str) -> Result<()>;

    /// Whether it is taken already: for a caller that doesn't know how its capture ended.
    async fn is_captured(&self, ctx: &Ctx, order_key: &str) -> Result<bool>;
}

/// The time of leases and deadlines.
pub trait Clock: Send + Sync {
    /// Milliseconds since the epoch.
    fn now_ms(&self) -> i64;
}

/// This machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        kit::time::now_ms()
    }
}

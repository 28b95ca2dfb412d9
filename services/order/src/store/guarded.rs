//! The store behind the policy of the slot `order-database`: a slow database then takes as many of
//! this service's places as the policy lets it, and no more.
//!
//! What only reads may be repeated and is given up with its request. What writes is sent once and
//! has no deadline but the policy's own: an order that is being stored belongs to the service and no
//! longer to the request.

use std::sync::Arc;

use async_trait::async_trait;
use kit::{Ctx, lab::faults};
use resilience::{Call, CallError, Classify, Deadline, FailureKind, Policy, Slot, preset};

use super::{Change, Changed, Filter, OrderStore};
use crate::{
    domain::{NewOrder, Order},
    error::{OrderError, Result},
};

/// The slot's name, which is the link's too.
pub const LINK: &str = "order-database";
/// Who is called, in events and metrics.
pub const DEPENDENCY: &str = "database";

/// What the slot starts with: nothing. The database's client has time limits of its own, and a
/// write that is cut short leaves a doubt that one awaited doesn't.
pub fn no_policy() -> Policy {
    Policy {
        deadline: None,
        ..preset::none()
    }
}

/// A store whose every operation goes through a slot.
#[derive(Clone)]
pub struct Guarded {
    store: Arc<dyn OrderStore>,
    slot: Slot,
}

/// The operations of one request.
pub struct Operations<'a> {
    guarded: &'a Guarded,
    ctx: &'a Ctx,
}

impl Guarded {
    /// That store, behind that slot.
    pub fn new(store: Arc<dyn OrderStore>, slot: Slot) -> Self {
        Self { store, slot }
    }

    /// The store, for a request.
    pub fn of<'a>(&'a self, ctx: &'a Ctx) -> Operations<'a> {
        Operations { guarded: self, ctx }
    }
}

/// What an operation does, and so what its policy may do with it.
#[derive(Clone, Copy)]
enum Access {
    /// It may be repeated, and is given up with its request.
    Reads,
    /// It is sent once, and goes on without its request.
    Writes,
}

impl Operations<'_> {
    async fn call<T, F>(
        &self,
        access: Access,
        method: &'static str,
        operation: impl Fn(Arc<dyn OrderStore>) -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let (idempotent, deadline) = match access {
            Access::Reads => (true, self.ctx.deadline),
            Access::Writes => (false, Deadline::NONE),
        };
        let call = Call {
            method,
            request_id: &self.ctx.request_id,
            idempotent,
            deadline,
        };
        let Guarded { store, slot } = self.guarded;
        let answer = slot.call(call, |attempt| {
            // Else every attempt would meet the fate of the first.
            faults::attempt(attempt.number, operation(Arc::clone(store)))
        });
        let answer = answer.await;
        answer.map_err(told)
    }
}

/// The store's own error where there is one; else how the policy ended the call.
pub(super) fn told(error: CallError<OrderError>) -> OrderError {
    let error = match error {
        CallError::Failed { error, .. } => return error,
        CallError::TimedOut { attempts } => CallError::TimedOut { attempts },
        CallError::Rejected {
            reason,
            retry_after,
            attempts,
            ..
        } => CallError::Rejected {
            reason,
            retry_after,
            attempts,
            last: None,
        },
    };
    OrderError::Call {
        dependency: DEPENDENCY,
        error,
    }
}

/// What an error of the store says of the database. None promises that nothing was done, so a write
/// is never repeated.
impl Classify for OrderError {
    fn failure(&self) -> FailureKind {
        match self {
            Self::Database(
                sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_),
            ) => FailureKind::Unavailable,
            Self::Database(_) => FailureKind::Internal,
            // The database answered; what it answered is for the caller to judge.
            _ => FailureKind::Caller,
        }
    }

    fn code(&self) -> &str {
        match self.failure() {
            FailureKind::Unavailable => "UNAVAILABLE",
            FailureKind::Internal => "INTERNAL",
            _ => "ANSWERED",
        }
    }
}

#[async_trait]
impl OrderStore for Operations<'_> {
    async fn insert(&self, order: &NewOrder) -> Result<Order> {
        self.call(Access::Writes, "insert", |store| async move {
            store.insert(order).await
        })
        .await
    }

    async fn mark_committed(&self, order_key: &str) -> Result<()> {
        self.call(Access::Writes, "mark_committed", |store| async move {
            store.mark_committed(order_key).await
        })
        .await
    }

    async fn unfinished(&self, limit: i64) -> Result<Vec<String>> {
        self.call(Access::Reads, "unfinished", |store| async move {
            store.unfinished(limit).await
        })
        .await
    }

    async fn change_status(&self, change: &Change) -> Result<Changed> {
        self.call(Access::Writes, "change_status", |store| async move {
            store.change_status(change).await
        })
        .await
    }

    async fn find(&self, id: i64) -> Result<Option<Order>> {
        self.call(Access::Reads, "find", |store| async move {
            store.find(id).await
        })
        .await
    }

    async fn find_by_key(&self, order_key: &str) -> Result<Option<Order>> {
        self.call(Access::Reads, "find_by_key", |store| async move {
            store.find_by_key(order_key).await
        })
        .await
    }

    async fn count(&self, filter: Filter) -> Result<i64> {
        self.call(Access::Reads, "count", |store| async move {
            store.count(filter).await
        })
        .await
    }

    async fn list(&self, filter: Filter, offset: i64, limit: i64) -> Result<Vec<Order>> {
        self.call(Access::Reads, "list", |store| async move {
            store.list(filter, offset, limit).await
        })
        .await
    }
}

#[cfg(test)]
#[path = "guarded_tests.rs"]
mod tests;

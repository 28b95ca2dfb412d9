//! The journal behind the policy of the slot `order-database`, as [`super::guarded`] has it for
//! orders: reads may be repeated and end with their request, writes are sent once and end with the
//! policy's own deadline alone.

use std::sync::Arc;

use async_trait::async_trait;
use kit::{Ctx, lab::faults};
use resilience::{Call, Deadline, Slot};

use super::guarded::told;
use crate::{
    domain::NewOrder,
    error::Result,
    saga::{Begin, Begun, Claim, Hold, Journal, Lease, Render, SagaState},
};

/// A journal whose every operation for a request goes through a slot. Recovery's do not: it must
/// not wait for a breaker.
pub struct GuardedJournal {
    journal: Arc<dyn Journal>,
    slot: Slot,
}

impl GuardedJournal {
    /// That journal, behind that slot.
    pub fn new(journal: Arc<dyn Journal>, slot: Slot) -> Self {
        Self { journal, slot }
    }

    async fn call<T, F>(
        &self,
        ctx: &Ctx,
        (method, idempotent): (&'static str, bool),
        operation: impl Fn(Arc<dyn Journal>) -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let call = Call {
            method,
            request_id: &ctx.request_id,
            idempotent,
            deadline: if idempotent {
                ctx.deadline
            } else {
                Deadline::NONE
            },
        };
        let answer = self.slot.call(call, |attempt| {
            faults::attempt(attempt.number, operation(Arc::clone(&self.journal)))
        });
        answer.await.map_err(told)
    }
}

#[async_trait]
impl Journal for GuardedJournal {
    async fn look(&self, ctx: &Ctx, user_id: i64, claim: &Claim) -> Result<Option<Begun>> {
        self.call(ctx, ("look", true), |journal| async move {
            journal.look(ctx, user_id, claim).await
        })
        .await
    }

    async fn begin(&self, ctx: &Ctx, begin: &Begin) -> Result<Begun> {
        self.call(ctx, ("begin", false), |journal| async move {
            journal.begin(ctx, begin).await
        })
        .await
    }

    async fn place(
        &self,
        ctx: &Ctx,
        hold: &mut Hold,
        order: &NewOrder,
        claim: Option<&Claim>,
        render: Render,
    ) -> Result<Option<String>> {
        let before = &*hold;
        let placed = self.call(ctx, ("place", false), |journal| async move {
            let mut after = before.clone();
            let answer = journal.place(ctx, &mut after, order, claim, render).await?;
            Ok((after, answer))
        });
        let (after, answer) = placed.await?;
        *hold = after;
        Ok(answer)
    }

    async fn remember_late(
        &self,
        ctx: &Ctx,
        hold: &Hold,
        user_id: i64,
        claim: &Claim,
        answer: &str,
    ) -> Result<()> {
        let journal = &self.journal;
        journal
            .remember_late(ctx, hold, user_id, claim, answer)
            .await
    }

    async fn advance(
        &self,
        ctx: &Ctx,
        hold: &mut Hold,
        to: SagaState,
        now_ms: i64,
    ) -> Result<bool> {
        let before = &*hold;
        let advanced = self.call(ctx, ("advance", false), |journal| async move {
            let mut after = before.clone();
            let ours = journal.advance(ctx, &mut after, to, now_ms).await?;
            Ok((after, ours))
        });
        let (after, ours) = advanced.await?;
        *hold = after;
        Ok(ours)
    }

    async fn state(&self, ctx: &Ctx, order_key: &str) -> Result<Option<SagaState>> {
        self.call(ctx, ("state", true), |journal| async move {
            journal.state(ctx, order_key).await
        })
        .await
    }

    async fn answer(&self, ctx: &Ctx, order_key: &str, render: Render) -> Result<Option<String>> {
        self.call(ctx, ("answer", true), |journal| async move {
            journal.answer(ctx, order_key, render).await
        })
        .await
    }

    async fn take_over(&self, lease: &Lease, now_ms: i64, limit: i64) -> Result<Vec<Hold>> {
        self.journal.take_over(lease, now_ms, limit).await
    }

    async fn defer(&self, hold: &Hold, next_ms: i64) -> Result<()> {
        self.journal.defer(hold, next_ms).await
    }

    async fn open(&self) -> Result<Vec<(SagaState, i64)>> {
        self.journal.open().await
    }

    async fn forget(&self, sagas_before: i64, keys_before: i64, limit: i64) -> Result<u64> {
        self.journal.forget(sagas_before, keys_before, limit).await
    }
}

//! What lies between a process and the others: messages that take their time, get lost on the way
//! there or back, and links that are cut.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use kit::Ctx;
use order_service::{
    clients::{Authorized, Committed, Reserved},
    domain::{Line, NewOrder},
    error::{OrderError, Result},
    saga::{
        Begin, Begun, Claim, Hold, Journal, Lease, Payments, Render, SagaState, Stock,
        memory::{MemoryJournal, MemoryPayments, MemoryStock},
    },
};
use parking_lot::Mutex;
use rand::{Rng as _, RngExt as _, SeedableRng as _, rngs::StdRng};
use resilience::CallError;
use tokio::time::sleep;

/// How long a caller waits for an answer that does not come.
const PATIENCE: Duration = Duration::from_millis(800);

/// The dice, and which links are cut.
pub struct Net {
    dice: Mutex<StdRng>,
    cut: Mutex<BTreeSet<&'static str>>,
    lossy: Mutex<bool>,
}

impl Net {
    pub fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self {
            dice: Mutex::new(StdRng::seed_from_u64(seed)),
            cut: Mutex::default(),
            lossy: Mutex::new(true),
        })
    }

    /// A number from 0 to `below`, exclusive.
    pub fn roll(&self, below: u64) -> u64 {
        self.dice.lock().next_u64() % below
    }

    pub fn millis(&self, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.dice.lock().random_range(from..to))
    }

    pub fn cut(&self, link: &'static str) {
        self.cut.lock().insert(link);
    }

    pub fn mend(&self, link: &'static str) {
        self.cut.lock().remove(link);
    }

    /// No more faults.
    pub fn heal(&self) {
        self.cut.lock().clear();
        *self.lossy.lock() = false;
    }

    fn lost(&self, link: &'static str) -> bool {
        let lossy = *self.lossy.lock();
        self.cut.lock().contains(link) || (lossy && self.roll(50) == 0)
    }

    /// A call whose request or answer may get lost.
    async fn call<T>(
        &self,
        link: &'static str,
        call: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        sleep(self.millis(1, 20)).await;
        if self.lost(link) {
            return timed_out(link).await;
        }
        let answer = call.await;
        sleep(self.millis(1, 20)).await;
        if self.lost(link) {
            return timed_out(link).await;
        }
        answer
    }

    /// A transaction: a crash may come before it or after it, never in the middle.
    async fn disk<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        sleep(self.millis(0, 4)).await;
        let done = work.await;
        sleep(self.millis(0, 4)).await;
        if *self.lossy.lock() && self.roll(200) == 0 {
            // Whether it was stored is for the caller to find out.
            return timed_out("database").await;
        }
        done
    }
}

async fn timed_out<T>(dependency: &'static str) -> Result<T> {
    sleep(PATIENCE).await;
    Err(OrderError::Call {
        dependency,
        error: CallError::TimedOut { attempts: 1 },
    })
}

pub struct FarStock(pub Arc<Net>, pub Arc<MemoryStock>);
pub struct FarPayments(pub Arc<Net>, pub Arc<MemoryPayments>);
pub struct Disk(pub Arc<Net>, pub Arc<MemoryJournal>);

#[async_trait]
impl Stock for FarStock {
    async fn reserve(&self, c: &Ctx, key: &str, lines: &[Line], ttl: i64) -> Result<Reserved> {
        self.0
            .call("product", self.1.reserve(c, key, lines, ttl))
            .await
    }
    async fn commit(&self, c: &Ctx, key: &str) -> Result<Committed> {
        self.0.call("product", self.1.commit(c, key)).await
    }
    async fn release(&self, c: &Ctx, key: &str) -> Result<()> {
        self.0.call("product", self.1.release(c, key)).await
    }
    async fn give_back(&self, c: &Ctx, key: &str) -> Result<()> {
        self.0.call("product", self.1.give_back(c, key)).await
    }
}

#[async_trait]
impl Payments for FarPayments {
    async fn authorize(&self, c: &Ctx, key: &str, cents: i64) -> Result<Authorized> {
        self.0
            .call("payment", self.1.authorize(c, key, cents))
            .await
    }
    async fn capture(&self, c: &Ctx, key: &str) -> Result<bool> {
        self.0.call("payment", self.1.capture(c, key)).await
    }
    async fn void(&self, c: &Ctx, key: &str) -> Result<()> {
        self.0.call("payment", self.1.void(c, key)).await
    }
    async fn is_captured(&self, c: &Ctx, key: &str) -> Result<bool> {
        self.0.call("payment", self.1.is_captured(c, key)).await
    }
}

#[async_trait]
impl Journal for Disk {
    async fn look(&self, c: &Ctx, user: i64, claim: &Claim) -> Result<Option<Begun>> {
        self.0.disk(self.1.look(c, user, claim)).await
    }
    async fn begin(&self, c: &Ctx, begin: &Begin) -> Result<Begun> {
        self.0.disk(self.1.begin(c, begin)).await
    }
    async fn place(
        &self,
        c: &Ctx,
        hold: &mut Hold,
        order: &NewOrder,
        claim: Option<&Claim>,
        render: Render,
    ) -> Result<Option<String>> {
        let mut after = hold.clone();
        let work = self.1.place(c, &mut after, order, claim, render);
        let answer = self.0.disk(work).await?;
        *hold = after;
        Ok(answer)
    }
    async fn remember_late(
        &self,
        c: &Ctx,
        hold: &Hold,
        user: i64,
        claim: &Claim,
        answer: &str,
    ) -> Result<()> {
        let work = self.1.remember_late(c, hold, user, claim, answer);
        self.0.disk(work).await
    }
    async fn advance(&self, c: &Ctx, hold: &mut Hold, to: SagaState, now: i64) -> Result<bool> {
        let mut after = hold.clone();
        let ours = self.0.disk(self.1.advance(c, &mut after, to, now)).await?;
        *hold = after;
        Ok(ours)
    }
    async fn state(&self, c: &Ctx, key: &str) -> Result<Option<SagaState>> {
        self.0.disk(self.1.state(c, key)).await
    }
    async fn answer(&self, c: &Ctx, key: &str, render: Render) -> Result<Option<String>> {
        self.0.disk(self.1.answer(c, key, render)).await
    }
    async fn take_over(&self, lease: &Lease, now: i64, limit: i64) -> Result<Vec<Hold>> {
        self.0.disk(self.1.take_over(lease, now, limit)).await
    }
    async fn defer(&self, hold: &Hold, next: i64) -> Result<()> {
        self.0.disk(self.1.defer(hold, next)).await
    }
    async fn open(&self) -> Result<Vec<(SagaState, i64)>> {
        self.1.open().await
    }
    async fn forget(&self, a: i64, b: i64, c: i64) -> Result<u64> {
        self.1.forget(a, b, c).await
    }
}

use std::collections::BTreeMap;

use async_trait::async_trait;
use kit::Ctx;
use parking_lot::Mutex;

use crate::{
    domain::{NewOrder, Order},
    error::Result,
    saga::{Begin, Begun, Claim, Hold, Journal, Lease, Render, SagaState},
};

/// Sagas, orders, keys and mails in memory; each method is one transaction, as in the database.
#[derive(Default)]
pub struct MemoryJournal {
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    sagas: BTreeMap<String, Row>,
    orders: BTreeMap<String, StoredOrder>,
    keys: BTreeMap<(i64, String), Key>,
    mails: Vec<String>,
    last_id: i64,
}

struct Row {
    state: SagaState,
    fence: i64,
    lease_until_ms: i64,
    deadline_ms: i64,
    next_ms: i64,
    attempts: i64,
    updated_ms: i64,
}

struct Key {
    body: String,
    order_key: String,
    answer: Option<String>,
}

/// An order, and whether its owner can see it.
#[derive(Clone, Debug)]
pub struct StoredOrder {
    /// The order.
    pub order: Order,
    /// Whether its stock is final.
    pub shown: bool,
}

impl MemoryJournal {
    /// Empty.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Every order, by its key.
    pub fn orders(&self) -> BTreeMap<String, StoredOrder> {
        self.book.lock().orders.clone()
    }

    /// Where each saga stands, its deadline, and when it came there.
    pub fn sagas(&self) -> Vec<(String, SagaState, i64, i64)> {
        let book = self.book.lock();
        let rows = book.sagas.iter();
        rows.map(|(key, row)| (key.clone(), row.state, row.deadline_ms, row.updated_ms))
            .collect()
    }

    /// The ids of all mails.
    pub fn mails(&self) -> Vec<String> {
        self.book.lock().mails.clone()
    }
}

impl Book {
    fn known(&self, user_id: i64, claim: &Claim) -> Option<Begun> {
        let key = self.keys.get(&(user_id, claim.key.clone()))?;
        if key.body != claim.body {
            return Some(Begun::OtherBody);
        }
        let placed = self.sagas.get(&key.order_key);
        let placed = placed.is_some_and(|row| row.state == SagaState::Placed);
        Some(match &key.answer {
            Some(answer) if !placed => Begun::Answered(answer.clone()),
            _ => Begun::InFlight,
        })
    }

    /// The one way from state to state.
    fn step(&mut self, hold: &Hold, to: SagaState, now_ms: i64) -> bool {
        let Some(row) = self.sagas.get_mut(&hold.order_key) else {
            return false;
        };
        if (row.fence, row.state) != (hold.fence, hold.state) {
            return false;
        }
        (row.state, row.updated_ms) = (to, now_ms);
        true
    }

    fn free_key(&mut self, order_key: &str) {
        self.keys.retain(|_, key| key.order_key != order_key);
    }
}

fn stored(book: &mut Book, order: &NewOrder) -> Order {
    book.last_id += 1;
    Order {
        id: book.last_id,
        order_key: order.order_key.clone(),
        user_id: order.user_id,
        status: order.status,
        total: order.basket.total,
        items: order.basket.items.clone(),
        created_ms: order.created_ms,
        updated_ms: order.created_ms,
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    async fn look(&self, _: &Ctx, user_id: i64, claim: &Claim) -> Result<Option<Begun>> {
        Ok(self.book.lock().known(user_id, claim))
    }

    async fn begin(&self, _: &Ctx, begin: &Begin) -> Result<Begun> {
        let mut book = self.book.lock();
        if let Some(claim) = &begin.claim {
            if let Some(known) = book.known(begin.user_id, claim) {
                return Ok(known);
            }
            let key = Key {
                body: claim.body.clone(),
                order_key: begin.order_key.clone(),
                answer: None,
            };
            book.keys.insert((begin.user_id, claim.key.clone()), key);
        }
        let row = Row {
            state: SagaState::Open,
            fence: 1,
            lease_until_ms: begin.lease.until_ms,
            deadline_ms: begin.deadline_ms,
            next_ms: begin.now_ms,
            attempts: 0,
            updated_ms: begin.now_ms,
        };
        book.sagas.insert(begin.order_key.clone(), row);
        Ok(Begun::Yes(Hold {
            order_key: begin.order_key.clone(),
            fence: 1,
            state: SagaState::Open,
            attempts: 0,
        }))
    }

    async fn place(
        &self,
        _: &Ctx,
        hold: &mut Hold,
        order: &NewOrder,
        claim: Option<&Claim>,
        render: Render,
    ) -> Result<Option<String>> {
        let mut book = self.book.lock();
        if !book.step(hold, SagaState::Placed, order.created_ms) {
            return Ok(None);
        }
        let order = stored(&mut book, order);
        let answer = render(&order);
        if claim.is_some() {
            let key = book.keys.values_mut();
            for key in key.filter(|key| key.order_key == hold.order_key) {
                key.answer = Some(answer.clone());
            }
        }
        book.mails
            .push(format!("{}.{}", order.order_key, order.status.as_str()));
        let row = StoredOrder {
            order,
            shown: false,
        };
        book.orders.insert(hold.order_key.clone(), row);
        hold.state = SagaState::Placed;
        Ok(Some(answer))
    }

    async fn remember_late(
        &self,
        _: &Ctx,
        hold: &Hold,
        user_id: i64,
        claim: &Claim,
        answer: &str,
    ) -> Result<()> {
        let mut book = self.book.lock();
        let key = Key {
            body: claim.body.clone(),
            order_key: hold.order_key.clone(),
            answer: Some(answer.to_owned()),
        };
        book.keys.entry((user_id, claim.key.clone())).or_insert(key);
        Ok(())
    }

    async fn advance(&self, _: &Ctx, hold: &mut Hold, to: SagaState, now_ms: i64) -> Result<bool> {
        let mut book = self.book.lock();
        if !book.step(hold, to, now_ms) {
            return Ok(false);
        }
        let key = &hold.order_key;
        match (hold.state, to) {
            (SagaState::Open, SagaState::Undoing | SagaState::Undone) => book.free_key(key),
            (SagaState::Placed, SagaState::Undoing) => {
                book.free_key(key);
                book.orders.remove(key);
                book.mails.retain(|mail| !mail.starts_with(key.as_str()));
            }
            (SagaState::Placed, _) => {
                if let Some(row) = book.orders.get_mut(key) {
                    row.shown = true;
                }
            }
            _ => {}
        }
        hold.state = to;
        Ok(true)
    }

    async fn state(&self, _: &Ctx, order_key: &str) -> Result<Option<SagaState>> {
        Ok(self.book.lock().sagas.get(order_key).map(|row| row.state))
    }

    async fn answer(&self, _: &Ctx, order_key: &str, render: Render) -> Result<Option<String>> {
        let book = self.book.lock();
        Ok(book.orders.get(order_key).map(|row| render(&row.order)))
    }

    async fn take_over(&self, lease: &Lease, now_ms: i64, limit: i64) -> Result<Vec<Hold>> {
        let mut book = self.book.lock();
        let due = book.sagas.iter_mut().filter(|(_, row)| {
            let late = row.state == SagaState::Open && row.deadline_ms <= now_ms;
            let free = row.lease_until_ms <= now_ms || late;
            !row.state.is_over() && row.next_ms <= now_ms && free
        });
        let taken = due
            .take(usize::try_from(limit).unwrap_or(0))
            .map(|(key, row)| {
                row.fence += 1;
                row.attempts += 1;
                row.lease_until_ms = lease.until_ms;
                Hold {
                    order_key: key.clone(),
                    fence: row.fence,
                    state: row.state,
                    attempts: row.attempts,
                }
            });
        Ok(taken.collect())
    }

    async fn defer(&self, hold: &Hold, next_ms: i64) -> Result<()> {
        let mut book = self.book.lock();
        if let Some(row) = book.sagas.get_mut(&hold.order_key)
            && row.fence == hold.fence
        {
            (row.lease_until_ms, row.next_ms) = (0, next_ms);
        }
        Ok(())
    }

    async fn open(&self) -> Result<Vec<(SagaState, i64)>> {
        let mut counts = BTreeMap::new();
        let book = self.book.lock();
        for row in book.sagas.values().filter(|row| !row.state.is_over()) {
            *counts.entry(row.state).or_insert(0) += 1;
        }
        Ok(counts.into_iter().collect())
    }

    async fn forget(&self, _: i64, _: i64, _: i64) -> Result<u64> {
        Ok(0)
    }
}

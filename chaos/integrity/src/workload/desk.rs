//! What customers, staff and auditor share: the shop behind a time-out and the log.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::baskets::Baskets;
use crate::history::{Answer, Call, Recorder};
use crate::shop::{Page, Placed, Reply, Seen, Shop};
use crate::types::{Basket, Cents, OrderId, ProductId, Status, UserId};

/// Sends operations: writes each down, sends it, writes down what came of it.
pub(super) struct Desk<'a> {
    pub(super) shop: &'a dyn Shop,
    pub(super) recorder: &'a Recorder,
    pub(super) timeout: Duration,
    pub(super) run: &'a str,
    baskets: Baskets,
    next_basket: AtomicU64,
    /// Orders that the staff may work on.
    placed: Mutex<Vec<OrderId>>,
    stop: watch::Receiver<bool>,
}

impl<'a> Desk<'a> {
    pub(super) fn new(
        shop: &'a dyn Shop,
        recorder: &'a Recorder,
        config: &'a super::Config,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let products: Vec<ProductId> = config.products.iter().map(|(id, _)| *id).collect();
        Self {
            shop,
            recorder,
            timeout: config.timeout,
            run: &config.run,
            baskets: Baskets::new(&products),
            next_basket: AtomicU64::new(0),
            placed: Mutex::default(),
            stop,
        }
    }

    /// A basket that no other key of the run has.
    pub(super) fn fresh_basket(&self) -> Basket {
        let number = self.next_basket.fetch_add(1, Ordering::Relaxed);
        self.baskets.nth(number)
    }

    pub(super) fn stopped(&self) -> bool {
        *self.stop.borrow()
    }

    /// Waits, but not beyond the end of the run.
    pub(super) async fn pause(&self, wait: Duration) {
        let mut stop = self.stop.clone();
        // An end that can't be heard of any more is one.
        let ended = async { stop.wait_for(|stop| *stop).await.map(drop) };
        let _ = tokio::time::timeout(wait, ended).await;
    }

    pub(super) fn some_order(&self, pick: impl FnOnce(usize) -> usize) -> Option<OrderId> {
        let placed = self.placed.lock();
        if placed.is_empty() {
            return None;
        }
        placed.get(pick(placed.len())).copied()
    }

    async fn send<T>(
        &self,
        call: Call,
        request: impl Future<Output = Reply<T>>,
        answer: impl FnOnce(&T) -> Answer,
    ) -> Reply<T> {
        let op = self.recorder.invoke(call);
        let reply = match tokio::time::timeout(self.timeout, request).await {
            Ok(reply) => reply,
            Err(_) => Reply::Unknown("timeout".to_owned()),
        };
        self.recorder.end(op, &reply, answer);
        reply
    }

    pub(super) async fn place(&self, user: UserId, key: &str, basket: &Basket) -> Reply<Placed> {
        let call = Call::Place {
            user,
            key: key.to_owned(),
            basket: basket.clone(),
        };
        let answer = |placed: &Placed| Answer::Placed {
            order: placed.order.clone(),
            digest: placed.digest,
        };
        let reply = self
            .send(call, self.shop.place(user, key, basket), answer)
            .await;
        if let Reply::Done(placed) = &reply {
            self.placed.lock().push(placed.order.id);
        }
        reply
    }

    pub(super) async fn cancel(&self, user: UserId, order: OrderId) -> Reply<Seen> {
        let call = Call::Cancel { user, order };
        self.send(call, self.shop.cancel(user, order), seen).await
    }

    pub(super) async fn read(&self, user: UserId, order: OrderId) -> Reply<Seen> {
        let call = Call::Read { user, order };
        self.send(call, self.shop.read(user, order), seen).await
    }

    pub(super) async fn list(&self, user: UserId) -> Reply<Page> {
        let answer = |page: &Page| Answer::Listed {
            orders: page.orders.clone(),
            complete: page.last,
            stale: page.stale,
        };
        self.send(Call::List { user }, self.shop.list(user, 1), answer)
            .await
    }

    pub(super) async fn advance(&self, order: OrderId, to: Status) -> Reply<Seen> {
        let call = Call::Advance { order, to };
        self.send(call, self.shop.advance(order, to), seen).await
    }

    pub(super) async fn reprice(&self, product: ProductId, price: Cents) -> Reply<()> {
        let call = Call::Reprice { product, price };
        let request = self.shop.reprice(product, price);
        self.send(call, request, |()| Answer::Done).await
    }

    /// Looks at stock and sagas, the one in one snapshot, the other after it.
    pub(super) async fn audit(&self) {
        let look = async {
            let both = async {
                let stock = self.shop.stock(false).await?;
                Ok::<_, crate::shop::ShopError>((stock, self.shop.open().await?))
            };
            match both.await {
                Ok(both) => Reply::Done(both),
                Err(error) => Reply::Unknown(error.to_string()),
            }
        };
        let answer =
            |(stock, open): &(crate::snapshot::Stock, crate::snapshot::Open)| Answer::Audited {
                stock: stock.stock.clone(),
                sagas: open.sagas.clone(),
            };
        self.send(Call::Audit, look, answer).await;
    }
}

fn seen(seen: &Seen) -> Answer {
    Answer::Seen {
        order: seen.order.clone(),
        stale: seen.stale,
    }
}

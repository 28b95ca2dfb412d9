//! How the model makes, undoes and calls off orders. Every step towards another service may be
//! repeated; every step in the own books is one transaction.

use tokio::sync::oneshot;

use super::Defect;
use super::books::{Ask, KeyRow, SagaRow, Stage};
use super::service::{Died, Service};
use crate::shop::{Placed, Reply};
use crate::snapshot::ReservationState;
use crate::types::{Basket, Order, OrderId, Sold, Status, UserId};

/// Where the answer goes, as soon as it is known.
pub(super) type Answer = oneshot::Sender<Reply<Placed>>;

/// What a request finds out about its key.
enum Begun {
    New(String),
    Known(Reply<Placed>),
}

impl Service {
    /// Places an order. An answer that never comes is a connection that broke.
    pub(super) async fn make(self, user: UserId, key: String, basket: Basket, answer: Answer) {
        // Dead: the answer goes with the process.
        let _ = self.try_make(user, key, basket, answer).await;
    }

    async fn try_make(
        self,
        user: UserId,
        key: String,
        basket: Basket,
        answer: Answer,
    ) -> Result<(), Died> {
        self.work(0, 2).await?;
        let order_key = match self.begin(user, &key, &basket) {
            Begun::Known(reply) => return told(answer, reply),
            Begun::New(order_key) => order_key,
        };
        let error = self.take(&order_key, &basket).await?.err();
        let error = match error {
            None if self.has(Defect::LostAcknowledged) => {
                return self.answer_first(&order_key, answer).await;
            }
            None => match self.finish(&order_key).await? {
                Ok(placed) => return told(answer, Reply::Done(placed)),
                Err(error) => error,
            },
            Some(error) => error,
        };
        self.to_undo(&order_key);
        // First undone, then told: a refused request holds nothing.
        self.undo(&order_key).await?;
        told(answer, error)
    }

    /// From here on there will be no order.
    pub(super) fn to_undo(&self, order_key: &str) {
        if let Some(saga) = self.books().sagas.get_mut(order_key) {
            saga.stage = Stage::Undoing;
        }
    }

    /// Claims the key and opens the saga in one transaction, or finds the first answer.
    fn begin(&self, user: UserId, key: &str, basket: &Basket) -> Begun {
        let overlooks = self.has(Defect::DuplicateOrder) && self.happens(0.3);
        let now = self.now();
        let mut books = self.books();
        let known = books
            .keys
            .get(&(user, key.to_owned()))
            .filter(|_| !overlooks);
        if let Some(known) = known {
            return Begun::Known(match &known.answer {
                _ if known.basket != *basket => refused(422, "idempotency_key_reused"),
                Some(answer) => Reply::Done(answer.clone()),
                None => refused(409, "idempotency_key_in_flight"),
            });
        }
        let mut lines = Vec::new();
        for line in basket.lines() {
            let Some(product) = books.products.get(&line.product) else {
                return Begun::Known(refused(400, "product_unknown"));
            };
            lines.push(Sold {
                product: line.product,
                quantity: line.quantity,
                price: product.price,
            });
        }
        books.last_key += 1;
        books.last_order += 1;
        let order_key = format!("ok-{:06}", books.last_key);
        let draft = Order {
            id: books.last_order,
            user,
            status: Status::Pending,
            total: lines.iter().map(|line| line.price * line.quantity).sum(),
            lines,
        };
        let saga = SagaRow {
            user,
            key: Some(key.to_owned()),
            draft,
            stage: Stage::Making,
            began: now,
        };
        books.sagas.insert(order_key.clone(), saga);
        if !self.has(Defect::KeyAfterEffect) {
            let row = KeyRow {
                basket: basket.clone(),
                order_key: order_key.clone(),
                answer: None,
            };
            books.keys.insert((user, key.to_owned()), row);
        }
        Begun::New(order_key)
    }

    /// Stock and payment, up to the commit.
    async fn take(
        &self,
        order_key: &str,
        basket: &Basket,
    ) -> Result<Result<(), Reply<Placed>>, Died> {
        let ttl = self.inner.settings.ttl_ms;
        let reserve = Ask::Reserve {
            basket: basket.clone(),
            ttl,
        };
        match self.ask(order_key, &reserve, 3).await? {
            Some(ReservationState::Held) => {}
            Some(ReservationState::Refused) => {
                return Ok(Err(refused(400, "insufficient_inventory")));
            }
            _ => return Ok(Err(unavailable())),
        }
        match self.weather().slow && self.happens(0.3) {
            // As long as the reservation lives, a little less or more.
            true => self.work(ttl - 70, ttl + 20).await?,
            false => self.work(1, 5).await?,
        }
        if self.happens(0.02) {
            return Ok(Err(refused(400, "payment_declined")));
        }
        let total = self
            .books()
            .sagas
            .get(order_key)
            .map_or(0, |saga| saga.draft.total);
        self.books().authorize(order_key, total);
        if self.has(Defect::ExpiryRace) && self.race(order_key).await? {
            return Ok(Ok(()));
        }
        Ok(match self.ask(order_key, &Ask::Commit, 4).await? {
            Some(ReservationState::Committed) => Ok(()),
            _ => Err(unavailable()),
        })
    }

    /// The defect: looks, and writes later.
    async fn race(&self, order_key: &str) -> Result<bool, Died> {
        let now = self.now();
        if !self.books().is_held(order_key, now) {
            return Ok(false);
        }
        self.work(20, 50).await?;
        self.books().force_commit(order_key);
        Ok(true)
    }

    /// Takes the payment and stores order, answer and event in one transaction.
    pub(super) async fn finish(
        &self,
        order_key: &str,
    ) -> Result<Result<Placed, Reply<Placed>>, Died> {
        if self.happens(0.01) {
            self.work(1, 3).await?;
            return Ok(Err(refused(400, "payment_failed")));
        }
        self.capture(order_key).await?;
        let Some((placed, key)) = self.store(order_key) else {
            return Ok(Err(unavailable()));
        };
        if self.has(Defect::OutboxAfterCommit) {
            self.work(20, 40).await?;
            self.books().tell(placed.order.id, Status::Pending);
        }
        if self.has(Defect::KeyAfterEffect) {
            self.work(20, 40).await?;
            self.late_key(order_key, key, &placed);
        }
        Ok(Ok(placed))
    }

    async fn capture(&self, order_key: &str) -> Result<(), Died> {
        loop {
            self.work(1, 4).await?;
            self.books().capture(order_key, self.defect());
            // The payment's reply gets lost too; asking again is harmless.
            if !self.happens(0.03 + self.weather().flaky / 2.0) {
                return Ok(());
            }
            self.work(10, 20).await?;
        }
    }

    /// The order, and its key.
    fn store(&self, order_key: &str) -> Option<(Placed, Option<String>)> {
        let now = self.now();
        let mut books = self.books();
        let saga = books.sagas.remove(order_key)?;
        let order = saga.draft;
        let placed = Placed {
            digest: digest(&order),
            order: order.clone(),
        };
        let id = order.id;
        books.set(order, order_key.to_owned(), now);
        if !self.has(Defect::OutboxAfterCommit) {
            books.tell(id, Status::Pending);
        }
        let key = saga.key.clone().map(|key| (saga.user, key));
        if let Some(row) = key.and_then(|key| books.keys.get_mut(&key)) {
            row.answer = Some(placed.clone());
        }
        Some((placed, saga.key))
    }

    fn late_key(&self, order_key: &str, key: Option<String>, placed: &Placed) {
        let order = &placed.order;
        let row = KeyRow {
            basket: order.basket(),
            order_key: order_key.to_owned(),
            answer: Some(placed.clone()),
        };
        if let Some(key) = key {
            self.books().keys.insert((order.user, key), row);
        }
    }

    /// The defect: answers, forgets the saga, and stores the order later.
    async fn answer_first(&self, order_key: &str, answer: Answer) -> Result<(), Died> {
        self.capture(order_key).await?;
        let Some(saga) = self.books().sagas.get(order_key).cloned() else {
            return Ok(());
        };
        let placed = Placed {
            digest: digest(&saga.draft),
            order: saga.draft.clone(),
        };
        self.books().sagas.remove(order_key);
        let _ = answer.send(Reply::Done(placed));
        self.work(20, 40).await?;
        self.books().sagas.insert(order_key.to_owned(), saga);
        self.store(order_key);
        Ok(())
    }

    /// Gives back stock and payment, ends the saga, frees the key.
    pub(super) async fn undo(&self, order_key: &str) -> Result<(), Died> {
        if !self.has(Defect::LostCompensation) {
            while self.ask(order_key, &Ask::GiveBack, 3).await?.is_none() {}
            self.work(1, 3).await?;
            self.books().void(order_key);
        }
        self.work(0, 2).await?;
        let mut books = self.books();
        if let Some(saga) = books.sagas.remove(order_key)
            && let Some(key) = saga.key
        {
            let key = (saga.user, key);
            if books
                .keys
                .get(&key)
                .is_some_and(|row| row.order_key == order_key)
            {
                books.keys.remove(&key);
            }
        }
        Ok(())
    }

    /// Gives back what belonged to an order that was called off.
    pub(super) async fn give_back(&self, order_key: &str) -> Result<(), Died> {
        while self.ask(order_key, &Ask::GiveBack, 3).await?.is_none() {}
        self.work(1, 3).await?;
        let mut books = self.books();
        books.void(order_key);
        books.sagas.remove(order_key);
        Ok(())
    }

    /// Takes an order to another status, with its event, in one transaction; one that is called
    /// off gets a saga that gives everything back.
    pub(super) async fn step(
        &self,
        order: OrderId,
        to: Status,
        by: Option<UserId>,
    ) -> Result<Reply<Order>, Died> {
        self.work(0, 2).await?;
        let now = self.now();
        let skips = self.has(Defect::EdgeSkipped);
        let late = self.has(Defect::OutboxAfterCommit);
        let changed = {
            let mut books = self.books();
            let Some((mut known, order_key)) = books.orders.get(&order).cloned() else {
                return Ok(refused(404, "not_found"));
            };
            if by.is_some_and(|by| by != known.user) {
                return Ok(refused(404, "not_found"));
            }
            let jumps = skips
                && to != Status::Cancelled
                && known.status < to
                && known.status != Status::Cancelled;
            if !known.status.steps_to(to) && !jumps {
                return Ok(refused(400, "invalid_status"));
            }
            known.status = to;
            books.set(known.clone(), order_key.clone(), now);
            if !late {
                books.tell(order, to);
            }
            if to == Status::Cancelled {
                let saga = SagaRow {
                    user: known.user,
                    key: None,
                    draft: known.clone(),
                    stage: Stage::Cancelling,
                    began: now,
                };
                books.sagas.insert(order_key.clone(), saga);
                let this = self.clone();
                tokio::spawn(async move { this.give_back(&order_key).await });
            }
            known
        };
        if late {
            self.work(20, 40).await?;
            self.books().tell(order, to);
        }
        Ok(Reply::Done(changed))
    }
}

/// Answers; nobody listens when the client has gone.
fn told(answer: Answer, reply: Reply<Placed>) -> Result<(), Died> {
    let _ = answer.send(reply);
    Ok(())
}

pub(super) fn refused<T>(status: u16, error: &str) -> Reply<T> {
    Reply::Refused {
        status,
        error: error.to_owned(),
    }
}

fn unavailable<T>() -> Reply<T> {
    Reply::Unknown("503 service_unavailable".to_owned())
}

fn digest(order: &Order) -> u64 {
    crate::chance::fnv(&format!("{order:?}"))
}

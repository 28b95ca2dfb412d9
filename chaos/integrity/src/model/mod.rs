//! A small shop in memory and in virtual time, correct unless one of its seeded [`Defect`]s is
//! switched on: it shows that the checker finds them, and raises no alarm without.
//!
//! It is a model of the real one's design, not its code: an order service that dies and comes back,
//! a product service whose replies get lost or whose work is done late, payments that are slow,
//! reservations that expire. One seed repeats a run to the byte.

mod books;
mod campaign;
mod defects;
mod saga;
mod service;
mod storm;

pub use campaign::{Run, run_seed};
pub use defects::Defect;

use async_trait::async_trait;
use tokio::sync::oneshot;

use crate::shop::{Page, Placed, Reply, Seen, Shop, ShopError};
use crate::snapshot::{Effect, Open, OrderKey, Orders, Outbox, Payments, Saga, Stock};
use crate::types::{Basket, Cents, Order, OrderId, ProductId, Status, UserId};
use saga::refused;
use service::Service;

/// What a model shop is made of.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where its chance comes from.
    pub seed: u64,
    /// The bug that is switched on.
    pub defect: Option<Defect>,
    /// How long a reservation, and a saga, lives, in milliseconds.
    pub ttl_ms: u64,
    /// Products with price and units.
    pub products: Vec<(ProductId, Cents, i64)>,
}

/// The model shop. It runs in a tokio runtime with one thread and a paused clock.
pub struct Model {
    service: Service,
}

/// How far the copy of [`Defect::StaleRead`] lags behind, in milliseconds.
const LAG: u64 = 40;
/// A page of orders.
const PAGE: usize = 100;

impl Model {
    /// Opens the shop.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn open(settings: Settings) -> Self {
        Self {
            service: Service::new(settings),
        }
    }

    /// A request on its way to the order service and back: refused, dead, lost or answered.
    async fn request<T>(&self, work: impl Future<Output = Option<Reply<T>>>) -> Reply<T> {
        self.service.wait(0, 2).await;
        if self.service.weather().down {
            return match self.service.happens(0.5) {
                true => refused(0, "not_sent"),
                false => Reply::Unknown("503 no upstream".to_owned()),
            };
        }
        let Some(reply) = work.await else {
            return Reply::Unknown("reset".to_owned());
        };
        if self.service.happens(self.service.weather().lossy) {
            // Never comes; the client's time-out ends it.
            std::future::pending::<()>().await;
        }
        self.service.wait(0, 2).await;
        reply
    }

    fn look(&self, user: UserId, order: OrderId) -> Reply<Seen> {
        let books = self.service.books();
        let stale = self.service.has(Defect::StaleRead);
        let now = self.service.now();
        let found = match books.versions.get(&order) {
            Some(versions) if stale => {
                let known = versions.iter().rev().find(|(at, _)| at + LAG <= now);
                known.map(|(_, order)| order)
            }
            _ => books.orders.get(&order).map(|(order, _)| order),
        };
        match found.filter(|order| order.user == user) {
            Some(order) => Reply::Done(seen(order.clone())),
            None => refused(404, "not_found"),
        }
    }

    fn page(&self, user: UserId, page: u32) -> Reply<Page> {
        let books = self.service.books();
        let own = books
            .orders
            .values()
            .rev()
            .filter(|(order, _)| order.user == user);
        let skip = (page.max(1) - 1) as usize * PAGE;
        let mut orders: Vec<Order> = own
            .skip(skip)
            .take(PAGE + 1)
            .map(|(o, _)| o.clone())
            .collect();
        let last = orders.len() <= PAGE;
        orders.truncate(PAGE);
        Reply::Done(Page {
            orders,
            last,
            stale: false,
        })
    }

    fn alive(&self, what: &'static str) -> Result<(), ShopError> {
        if self.service.weather().down {
            return Err(ShopError {
                what,
                why: "the order service is down".to_owned(),
            });
        }
        Ok(())
    }

    fn what_is_open(&self) -> Open {
        let now = self.service.now();
        let ttl = self.service.inner.settings.ttl_ms;
        let books = self.service.books();
        let sagas = books.sagas.iter().map(|(order_key, saga)| Saga {
            order_key: order_key.clone(),
            state: format!("{:?}", saga.stage).to_lowercase(),
            age_ms: (now - saga.began).cast_signed(),
            ttl_ms: ttl.cast_signed(),
        });
        let undelivered = books.outbox.iter().filter(|event| event.delivered == 0);
        Open {
            sagas: sagas.collect(),
            undelivered: undelivered.count() as u64,
        }
    }
}

fn seen(order: Order) -> Seen {
    Seen {
        order,
        stale: false,
    }
}

#[async_trait]
impl Shop for Model {
    async fn place(&self, user: UserId, key: &str, basket: &Basket) -> Reply<Placed> {
        self.request(async {
            let (answer, answered) = oneshot::channel();
            let service = self.service.alive();
            let (key, basket) = (key.to_owned(), basket.clone());
            // The service's work, and no longer the request's: it goes on without its client.
            tokio::spawn(service.make(user, key, basket, answer));
            answered.await.ok()
        })
        .await
    }

    async fn cancel(&self, user: UserId, order: OrderId) -> Reply<Seen> {
        self.request(async {
            let service = self.service.alive();
            let step = service.step(order, Status::Cancelled, Some(user)).await;
            Some(step.ok()?.map(seen))
        })
        .await
    }

    async fn read(&self, user: UserId, order: OrderId) -> Reply<Seen> {
        self.request(async { Some(self.look(user, order)) }).await
    }

    async fn list(&self, user: UserId, page: u32) -> Reply<Page> {
        self.request(async { Some(self.page(user, page)) }).await
    }

    async fn advance(&self, order: OrderId, to: Status) -> Reply<Seen> {
        self.request(async {
            let step = self.service.alive().step(order, to, None).await;
            Some(step.ok()?.map(seen))
        })
        .await
    }

    async fn reprice(&self, product: ProductId, price: Cents) -> Reply<()> {
        self.service.wait(0, 3).await;
        match self.service.books().products.get_mut(&product) {
            Some(row) => row.price = price,
            None => return refused(404, "not_found"),
        }
        self.service.wait(0, 3).await;
        Reply::Done(())
    }

    async fn stock(&self, whole: bool) -> Result<Stock, ShopError> {
        self.service.wait(0, 3).await;
        let books = self.service.books();
        let rows = || {
            books
                .reservations
                .values()
                .map(|held| held.row.clone())
                .collect()
        };
        Ok(Stock {
            stock: books.stock(),
            reservations: whole.then(rows),
        })
    }

    async fn open(&self) -> Result<Open, ShopError> {
        self.service.wait(0, 3).await;
        self.alive("reading sagas")?;
        Ok(self.what_is_open())
    }

    async fn orders(&self) -> Result<Orders, ShopError> {
        self.service.wait(0, 3).await;
        self.alive("reading the outbox")?;
        let open = self.what_is_open();
        let books = self.service.books();
        let effects = (0_u64..).zip(&books.outbox).map(|(id, event)| Effect {
            event: format!("ev-{id}"),
            order: event.order,
            kind: event.kind,
            delivered: event.delivered,
        });
        let keys = books.orders.values().map(|(order, order_key)| OrderKey {
            order: order.id,
            order_key: order_key.clone(),
        });
        Ok(Orders {
            open,
            outbox: Outbox {
                kinds: Status::ALL.to_vec(),
                effects: effects.collect(),
            },
            keys: keys.collect(),
        })
    }

    async fn payments(&self) -> Result<Option<Payments>, ShopError> {
        let books = self.service.books();
        let payments = books.payments.values().cloned().collect();
        Ok(Some(Payments { payments }))
    }
}

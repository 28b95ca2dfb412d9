//! The model's processes: what runs, what dies, and what gets lost on the way.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep};

use super::books::{Ask, Books, Product, Stage};
use super::{Defect, Settings};
use crate::chance::Chance;
use crate::snapshot::ReservationState;

/// Faults that are on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Weather {
    /// The order service is dead.
    pub(super) down: bool,
    /// The share of replies to clients that get lost.
    pub(super) lossy: f64,
    /// The share of calls to the product service whose reply gets lost.
    pub(super) flaky: f64,
    /// Payments take as long as a reservation lives.
    pub(super) slow: bool,
}

pub(super) struct Inner {
    pub(super) settings: Settings,
    books: Mutex<Books>,
    chance: Mutex<Chance>,
    pub(super) weather: Mutex<Weather>,
    /// Counts lives of the order service: a task of an earlier one is dead.
    life: Mutex<u64>,
    start: Instant,
}

/// The process that ran this has died.
pub(super) struct Died;

/// A service of the model, in one of its lives.
#[derive(Clone)]
pub(super) struct Service {
    pub(super) inner: Arc<Inner>,
    life: u64,
}

impl Service {
    pub(super) fn new(settings: Settings) -> Self {
        let mut books = Books::default();
        for (product, price, units) in &settings.products {
            books.products.insert(
                *product,
                Product {
                    price: *price,
                    initial: *units,
                    available: *units,
                    ledger: *units,
                },
            );
        }
        let chance = Chance::of(settings.seed, "model", 0);
        let inner = Inner {
            settings,
            books: Mutex::new(books),
            chance: Mutex::new(chance),
            weather: Mutex::default(),
            life: Mutex::new(0),
            start: Instant::now(),
        };
        let inner = Arc::new(inner);
        let service = Self { inner, life: 0 };
        tokio::spawn(service.clone().sweep());
        tokio::spawn(service.clone().deliver());
        service
    }

    /// The order service as it is now.
    pub(super) fn alive(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            life: *self.inner.life.lock(),
        }
    }

    pub(super) fn books(&self) -> MutexGuard<'_, Books> {
        self.inner.books.lock()
    }

    pub(super) fn defect(&self) -> Option<Defect> {
        self.inner.settings.defect
    }

    pub(super) fn has(&self, defect: Defect) -> bool {
        self.defect() == Some(defect)
    }

    pub(super) fn weather(&self) -> Weather {
        *self.inner.weather.lock()
    }

    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.inner.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn happens(&self, probability: f64) -> bool {
        self.inner.chance.lock().happens(probability)
    }

    pub(super) async fn wait(&self, low: u64, high: u64) {
        let wait = self.inner.chance.lock().between(low, high);
        sleep(Duration::from_millis(wait)).await;
    }

    fn check(&self) -> Result<(), Died> {
        let dead = *self.inner.life.lock() != self.life || self.weather().down;
        if dead { Err(Died) } else { Ok(()) }
    }

    /// A moment of work, in which the process may die.
    pub(super) async fn work(&self, low: u64, high: u64) -> Result<(), Died> {
        self.wait(low, high).await;
        self.check()
    }

    /// Kills the order service: nothing of what it was doing goes on.
    pub(super) fn kill(&self) {
        *self.inner.life.lock() += 1;
        self.inner.weather.lock().down = true;
    }

    /// Starts it again; sagas that were left behind are ended.
    pub(super) fn start(&self) {
        self.inner.weather.lock().down = false;
        let alive = self.alive();
        let left: Vec<String> = self.books().sagas.keys().cloned().collect();
        for order_key in left {
            let alive = alive.clone();
            tokio::spawn(async move { alive.recover(&order_key).await });
        }
        tokio::spawn(alive.deliver());
    }

    /// Asks the product service until it answers; a lost reply may hide that it was done, or that
    /// it will be done later. None when it was asked often enough.
    pub(super) async fn ask(
        &self,
        order_key: &str,
        ask: &Ask,
        tries: u32,
    ) -> Result<Option<ReservationState>, Died> {
        for _ in 0..tries {
            self.work(1, 4).await?;
            if !self.happens(self.weather().flaky) {
                let now = self.now();
                return Ok(Some(self.books().ask(order_key, ask, now, self.defect())));
            }
            self.lose(order_key, ask).await;
            self.work(15, 30).await?;
        }
        Ok(None)
    }

    /// The request gets through at once, late, or never.
    async fn lose(&self, order_key: &str, ask: &Ask) {
        if self.happens(0.4) {
            return;
        }
        let late = self.happens(0.3);
        let (service, order_key, ask) = (self.clone(), order_key.to_owned(), ask.clone());
        let done = move || {
            let now = service.now();
            service.books().ask(&order_key, &ask, now, service.defect());
        };
        if !late {
            return done();
        }
        let service = self.clone();
        tokio::spawn(async move {
            service.wait(20, 120).await;
            done();
        });
    }

    /// The product service's sweep.
    async fn sweep(self) {
        loop {
            sleep(Duration::from_millis(10)).await;
            let now = self.now();
            self.books().sweep(now);
        }
    }

    /// The order service's outbox: the receiver knows a repeated event by its id.
    async fn deliver(self) {
        while self.work(15, 25).await.is_ok() {
            for event in self
                .books()
                .outbox
                .iter_mut()
                .filter(|event| event.delivered == 0)
            {
                event.delivered = 1;
            }
        }
    }

    /// Ends what an earlier life has left behind.
    async fn recover(&self, order_key: &str) -> Result<(), Died> {
        self.work(1, 10).await?;
        let Some(saga) = self.books().sagas.get(order_key).cloned() else {
            return Ok(());
        };
        let state = {
            let books = self.books();
            books.reservations.get(order_key).map(|held| held.row.state)
        };
        match (saga.stage, state) {
            (Stage::Making, Some(ReservationState::Committed)) => {
                if self.finish(order_key).await?.is_err() {
                    self.to_undo(order_key);
                    self.undo(order_key).await?;
                }
                Ok(())
            }
            (Stage::Cancelling, _) => self.give_back(order_key).await,
            (Stage::Making | Stage::Undoing, _) => self.undo(order_key).await,
        }
    }
}

//! What the model's services keep on disk: each method is one transaction.

use std::collections::{BTreeMap, BTreeSet};

use super::Defect;
use crate::shop::Placed;
use crate::snapshot::{Payment, ReservationRow, ReservationState, StockRow};
use crate::types::{Basket, Cents, Order, OrderId, ProductId, Status, UserId};

/// A product with its row and its ledger.
#[derive(Clone, Copy, Debug)]
pub(super) struct Product {
    pub(super) price: Cents,
    pub(super) initial: i64,
    pub(super) available: i64,
    pub(super) ledger: i64,
}

/// A reservation; the time is when it expires, in milliseconds of the model's clock.
#[derive(Clone, Debug)]
pub(super) struct Reservation {
    pub(super) row: ReservationRow,
    pub(super) expires: Option<u64>,
}

/// What a saga is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Making,
    Undoing,
    Cancelling,
}

/// A saga.
#[derive(Clone, Debug)]
pub(super) struct SagaRow {
    pub(super) user: UserId,
    pub(super) key: Option<String>,
    pub(super) draft: Order,
    pub(super) stage: Stage,
    pub(super) began: u64,
}

/// An idempotency key.
#[derive(Clone, Debug)]
pub(super) struct KeyRow {
    pub(super) basket: Basket,
    pub(super) order_key: String,
    pub(super) answer: Option<Placed>,
}

/// An event of the outbox.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) order: OrderId,
    pub(super) kind: Status,
    pub(super) delivered: u32,
}

/// All that survives a crash.
#[derive(Debug, Default)]
pub(super) struct Books {
    pub(super) products: BTreeMap<ProductId, Product>,
    pub(super) reservations: BTreeMap<String, Reservation>,
    pub(super) payments: BTreeMap<String, Payment>,
    pub(super) orders: BTreeMap<OrderId, (Order, String)>,
    /// Earlier versions of orders, for the copy that lags behind.
    pub(super) versions: BTreeMap<OrderId, Vec<(u64, Order)>>,
    pub(super) keys: BTreeMap<(UserId, String), KeyRow>,
    pub(super) sagas: BTreeMap<String, SagaRow>,
    pub(super) outbox: Vec<Event>,
    /// Held reservations, by when their time is over.
    pub(super) due: BTreeSet<(u64, String)>,
    pub(super) last_order: OrderId,
    pub(super) last_key: u64,
}

/// What is asked of the product service; each may be repeated.
#[derive(Clone, Debug)]
pub(super) enum Ask {
    Reserve { basket: Basket, ttl: u64 },
    Commit,
    GiveBack,
}

impl Books {
    pub(super) fn ask(
        &mut self,
        key: &str,
        ask: &Ask,
        now: u64,
        defect: Option<Defect>,
    ) -> ReservationState {
        match ask {
            Ask::Reserve { basket, ttl } => self.reserve(key, basket, now + ttl, defect),
            Ask::Commit => self.commit(key, now, defect),
            Ask::GiveBack => self.give_back(key, defect),
        }
    }

    fn reserve(
        &mut self,
        key: &str,
        basket: &Basket,
        expires: u64,
        defect: Option<Defect>,
    ) -> ReservationState {
        if let Some(known) = self.reservations.get(key) {
            return known.row.state;
        }
        let has = |products: &BTreeMap<ProductId, Product>, product, quantity| {
            products
                .get(&product)
                .is_some_and(|p: &Product| p.available >= quantity)
        };
        let lines = basket.lines().iter().copied();
        let there: Vec<_> = lines
            .filter(|l| has(&self.products, l.product, l.quantity))
            .collect();
        let enough = there.len() == basket.lines().len();
        let keeps = !enough && defect == Some(Defect::RefusedKeepsUnits) && !there.is_empty();
        let (state, taken) = match (enough, keeps) {
            (true, _) => (ReservationState::Held, there),
            (false, true) => (ReservationState::Held, there),
            (false, false) => (ReservationState::Refused, Vec::new()),
        };
        let units: i64 = taken.iter().map(|line| line.quantity).sum();
        for line in &taken {
            self.book(line.product, -line.quantity);
        }
        let lines = if enough || keeps {
            taken.into()
        } else {
            basket.clone()
        };
        let row = ReservationRow {
            order_key: key.to_owned(),
            state,
            lines,
            taken: units,
            returned: 0,
            expired: 0,
        };
        // The defect's leftover never expires, and that is how it is told from the others.
        let expires = enough.then_some(expires);
        self.due.extend(expires.map(|at| (at, key.to_owned())));
        self.reservations
            .insert(key.to_owned(), Reservation { row, expires });
        if enough {
            state
        } else {
            ReservationState::Refused
        }
    }

    fn book(&mut self, product: ProductId, delta: i64) {
        if let Some(row) = self.products.get_mut(&product) {
            row.available += delta;
            row.ledger += delta;
        }
    }

    fn commit(&mut self, key: &str, now: u64, defect: Option<Defect>) -> ReservationState {
        self.expire(key, now);
        let Some(held) = self.reservations.get_mut(key) else {
            return ReservationState::Released;
        };
        let revives = defect == Some(Defect::CommitAfterExpiry)
            && held.row.state == ReservationState::Expired;
        if held.row.state == ReservationState::Held || revives {
            held.row.state = ReservationState::Committed;
        }
        held.row.state
    }

    /// For the expiry race: writes without looking.
    pub(super) fn force_commit(&mut self, key: &str) {
        if let Some(held) = self.reservations.get_mut(key) {
            held.row.state = ReservationState::Committed;
        }
    }

    /// Whether a commit would do, as the race sees it.
    pub(super) fn is_held(&self, key: &str, now: u64) -> bool {
        self.reservations.get(key).is_some_and(|held| {
            held.row.state == ReservationState::Held && held.expires.is_none_or(|at| at > now)
        })
    }

    fn expire(&mut self, key: &str, now: u64) {
        let due = |held: &Reservation| {
            held.row.state == ReservationState::Held && held.expires.is_some_and(|at| at <= now)
        };
        if self.reservations.get(key).is_some_and(due) {
            self.end(key, ReservationState::Expired);
        }
    }

    fn give_back(&mut self, key: &str, defect: Option<Defect>) -> ReservationState {
        use ReservationState::{Committed, Expired, Held, Refused, Released, Returned};
        let Some(state) = self.reservations.get(key).map(|held| held.row.state) else {
            // Kept, so that a reserve that comes late finds it.
            let row = ReservationRow {
                order_key: key.to_owned(),
                state: Released,
                lines: Basket::default(),
                taken: 0,
                returned: 0,
                expired: 0,
            };
            self.reservations
                .insert(key.to_owned(), Reservation { row, expires: None });
            return Released;
        };
        match state {
            // The defect's leftover is one that nobody knows of.
            Held if self
                .reservations
                .get(key)
                .is_some_and(|held| held.expires.is_none()) => {}
            Held => self.end(key, Released),
            Committed => self.end(key, Returned),
            Released | Returned | Expired if defect == Some(Defect::DoubleRelease) => {
                self.end(key, state);
            }
            Released | Returned | Expired | Refused => {}
        }
        self.reservations
            .get(key)
            .map_or(Released, |held| held.row.state)
    }

    fn end(&mut self, key: &str, state: ReservationState) {
        let Some(held) = self.reservations.get_mut(key) else {
            return;
        };
        held.row.state = state;
        let lines = held.row.lines.lines().to_vec();
        let units: i64 = lines.iter().map(|line| line.quantity).sum();
        held.row.returned += units;
        if state == ReservationState::Expired {
            held.row.expired += units;
        }
        for line in lines {
            self.book(line.product, line.quantity);
        }
    }

    /// Ends all whose time is over.
    pub(super) fn sweep(&mut self, now: u64) {
        while let Some((at, key)) = self.due.pop_first() {
            if at > now {
                self.due.insert((at, key));
                return;
            }
            self.expire(&key, now);
        }
    }

    pub(super) fn stock(&self) -> Vec<StockRow> {
        let mut rows: BTreeMap<ProductId, StockRow> = BTreeMap::new();
        for (product, row) in &self.products {
            rows.insert(
                *product,
                StockRow {
                    product: *product,
                    initial: row.initial,
                    restocked: 0,
                    available: row.available,
                    reserved: 0,
                    committed: 0,
                    ledger_sum: row.ledger,
                },
            );
        }
        for held in self.reservations.values() {
            for line in held.row.lines.lines() {
                let Some(row) = rows.get_mut(&line.product) else {
                    continue;
                };
                match held.row.state {
                    ReservationState::Held => row.reserved += line.quantity,
                    ReservationState::Committed => row.committed += line.quantity,
                    _ => {}
                }
            }
        }
        rows.into_values().collect()
    }

    pub(super) fn authorize(&mut self, key: &str, amount: Cents) {
        self.payments
            .entry(key.to_owned())
            .or_insert_with(|| Payment {
                order_key: key.to_owned(),
                amount,
                captured: 0,
                refunded: 0,
            });
    }

    pub(super) fn capture(&mut self, key: &str, defect: Option<Defect>) {
        if let Some(payment) = self.payments.get_mut(key)
            && (payment.captured == 0 || defect == Some(Defect::CaptureTwice))
        {
            payment.captured += payment.amount;
        }
    }

    pub(super) fn void(&mut self, key: &str) {
        if let Some(payment) = self.payments.get_mut(key) {
            payment.refunded = payment.captured;
        }
    }

    /// Changes an order, which leaves a version.
    pub(super) fn set(&mut self, order: Order, order_key: String, now: u64) {
        self.versions
            .entry(order.id)
            .or_default()
            .push((now, order.clone()));
        self.orders.insert(order.id, (order, order_key));
    }

    pub(super) fn tell(&mut self, order: OrderId, kind: Status) {
        self.outbox.push(Event {
            order,
            kind,
            delivered: 0,
        });
    }
}

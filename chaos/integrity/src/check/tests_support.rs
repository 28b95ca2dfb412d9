//! Healthy histories by construction, for tests, and ways to spoil one of them.
//!
//! Each operation takes place at one moment; call and answer lie at random around it, so that
//! operations overlap in every way that a correct shop allows.

mod corruption;
mod spoil;

pub(crate) use corruption::Corruption;
pub(crate) use spoil::corrupt;

use std::collections::BTreeMap;

use crate::chance::Chance;
use crate::history::{Answer, Call, Fault, History, Op, Outcome};
use crate::snapshot::{
    Effect, OrderKey, Orders, Outbox, Payment, Payments, ReservationRow, ReservationState,
    Snapshot, Stock, StockRow,
};
use crate::types::{Basket, Cents, Order, OrderId, ProductId, Sold, Status, UserId};
use crate::workload::Baskets;

const USERS: usize = 8;
const PRODUCTS: i64 = 6;
const UNITS: i64 = 1_000_000;

/// A shop without time: every operation is one step.
struct Shop {
    chance: Chance,
    baskets: Baskets,
    next: u64,
    now: u64,
    prices: BTreeMap<ProductId, Cents>,
    orders: BTreeMap<OrderId, Order>,
    answers: BTreeMap<OrderId, (UserId, String, Basket, Order)>,
    reservations: Vec<ReservationRow>,
    effects: Vec<Effect>,
    ops: Vec<Op>,
}

/// A healthy history of so many operations.
pub(crate) fn healthy(seed: u64, operations: usize) -> History {
    let products: Vec<ProductId> = (1..=PRODUCTS).collect();
    let prices: BTreeMap<ProductId, Cents> = products.iter().map(|p| (*p, 1_000 * p)).collect();
    let mut shop = Shop {
        chance: Chance::of(seed, "healthy", 0),
        baskets: Baskets::new(&products),
        next: 0,
        now: 1_000_000_000,
        prices: prices.clone(),
        orders: BTreeMap::new(),
        answers: BTreeMap::new(),
        reservations: Vec::new(),
        effects: Vec::new(),
        ops: Vec::new(),
    };
    while shop.ops.len() < operations {
        shop.now += shop.chance.between(1_000, 2_000_000);
        shop.step();
    }
    let stopped = shop.now + 20_000_000;
    shop.ops.sort_by_key(|op| (op.invoked, op.id));
    History {
        run: "healthy".to_owned(),
        seed,
        began: 900_000_000,
        stopped,
        prices,
        faults: vec![Fault {
            name: "f".to_owned(),
            what: "something".to_owned(),
            on: stopped / 2,
            off: stopped / 2 + 1_000_000,
        }],
        last: Some(shop.snapshot()),
        ops: shop.ops,
    }
}

impl Shop {
    fn step(&mut self) {
        match self.chance.below(20) {
            0..=7 => self.place(),
            8 => self.repeat(),
            9 | 10 => {
                let order = self.some();
                self.change(order, Some(Status::Cancelled));
            }
            11 | 12 => self.advance(),
            13..=15 => self.read(),
            16 | 17 => self.list(),
            18 => self.reprice(),
            _ => self.audit(),
        }
    }

    fn push(&mut self, call: Call, outcome: Outcome) {
        let before = self.chance.between(1, 6_000_000);
        let after = self.chance.between(1, 6_000_000);
        self.ops.push(Op {
            id: self.ops.len() as u64,
            call,
            invoked: self.now - before,
            ended: self.now + after,
            outcome,
        });
    }

    fn fail(status: u16) -> Outcome {
        Outcome::Fail {
            status,
            error: "no".to_owned(),
        }
    }

    fn info() -> Outcome {
        Outcome::Info {
            why: "timeout".to_owned(),
        }
    }

    fn place(&mut self) {
        let user = 1 + self.chance.below(USERS) as i64;
        let number = self.next;
        self.next += 1;
        let (key, basket) = (format!("k-{number}"), self.baskets.nth(number));
        let call = Call::Place {
            user,
            key: key.clone(),
            basket: basket.clone(),
        };
        match self.chance.below(10) {
            0 => self.push(call, Self::fail(400)),
            1 => self.push(call, Self::info()),
            2 => {
                self.sell(user, key, basket);
                self.push(call, Self::info());
            }
            _ => {
                let order = self.sell(user, key, basket);
                let digest = order.id.unsigned_abs();
                self.push(call, Outcome::Ok(Answer::Placed { order, digest }));
            }
        }
    }

    fn sell(&mut self, user: UserId, key: String, basket: Basket) -> Order {
        let id = self.orders.len() as OrderId + 1;
        let sold = basket.lines().iter().map(|line| Sold {
            product: line.product,
            quantity: line.quantity,
            price: self.prices[&line.product],
        });
        let lines: Vec<Sold> = sold.collect();
        let order = Order {
            id,
            user,
            status: Status::Pending,
            total: lines.iter().map(|l| l.price * l.quantity).sum(),
            lines,
        };
        self.reservations.push(ReservationRow {
            order_key: format!("ok-{id}"),
            state: ReservationState::Committed,
            taken: basket.lines().iter().map(|l| l.quantity).sum(),
            lines: basket.clone(),
            returned: 0,
            expired: 0,
        });
        self.tell(id, Status::Pending);
        self.answers.insert(id, (user, key, basket, order.clone()));
        self.orders.insert(id, order.clone());
        order
    }

    fn tell(&mut self, order: OrderId, kind: Status) {
        self.effects.push(Effect {
            event: format!("ev-{}", self.effects.len()),
            order,
            kind,
            delivered: 1,
        });
    }

    /// One of the younger orders, so that many of their operations overlap.
    fn some(&mut self) -> Option<OrderId> {
        let count = self.orders.len();
        if count == 0 {
            return None;
        }
        let back = self.chance.below(count.min(12));
        Some((count - back) as OrderId)
    }

    fn repeat(&mut self) {
        let Some(id) = self.some() else { return };
        let (user, key, basket, order) = self.answers[&id].clone();
        let digest = id.unsigned_abs();
        let call = Call::Place { user, key, basket };
        self.push(call, Outcome::Ok(Answer::Placed { order, digest }));
    }

    /// Takes an order some steps on.
    fn advance(&mut self) {
        let order = self.some();
        for _ in 0..=self.chance.below(4) {
            self.now += self.chance.between(1_000, 2_000_000);
            self.change(order, None);
        }
    }

    fn change(&mut self, order: Option<OrderId>, to: Option<Status>) {
        let Some(id) = order else { return };
        let order = self.orders[&id].clone();
        let to = to.or(order.status.next()).unwrap_or(Status::Confirmed);
        let call = match to {
            Status::Cancelled => Call::Cancel {
                user: order.user,
                order: id,
            },
            _ => Call::Advance { order: id, to },
        };
        if !order.status.steps_to(to) {
            return self.push(call, Self::fail(400));
        }
        if self.chance.happens(0.1) {
            return self.push(call, Self::info());
        }
        let changed = Order {
            status: to,
            ..order
        };
        self.orders.insert(id, changed.clone());
        self.tell(id, to);
        if to == Status::Cancelled {
            let row = &mut self.reservations[id as usize - 1];
            row.state = ReservationState::Returned;
            row.returned = row.taken;
        }
        let outcome = match self.chance.happens(0.1) {
            true => Self::info(),
            false => Outcome::Ok(seen(&changed)),
        };
        self.push(call, outcome);
    }

    fn read(&mut self) {
        let Some(id) = self.some() else { return };
        let order = &self.orders[&id];
        let (user, answer) = (order.user, seen(order));
        self.push(Call::Read { user, order: id }, Outcome::Ok(answer));
    }

    fn list(&mut self) {
        let user = 1 + self.chance.below(USERS) as i64;
        let own = self
            .orders
            .values()
            .rev()
            .filter(|order| order.user == user);
        let mut orders: Vec<Order> = own.take(11).cloned().collect();
        let complete = orders.len() <= 10;
        orders.truncate(10);
        let answer = Answer::Listed {
            orders,
            complete,
            stale: false,
        };
        self.push(Call::List { user }, Outcome::Ok(answer));
    }

    fn reprice(&mut self) {
        let product = 1 + self.chance.below(PRODUCTS as usize) as i64;
        let price = 1_000 * product + self.ops.len() as i64;
        let call = Call::Reprice { product, price };
        match self.chance.below(6) {
            0 => self.push(call, Self::fail(400)),
            1 => self.push(call, Self::info()),
            _ => {
                self.prices.insert(product, price);
                self.push(call, Outcome::Ok(Answer::Done));
            }
        }
    }

    fn audit(&mut self) {
        let stock = self.stock();
        let sagas = Vec::new();
        self.push(Call::Audit, Outcome::Ok(Answer::Audited { stock, sagas }));
    }

    fn stock(&self) -> Vec<StockRow> {
        let mut committed: BTreeMap<ProductId, i64> = BTreeMap::new();
        for order in self.orders.values().filter(|order| order.is_live()) {
            for line in &order.lines {
                *committed.entry(line.product).or_default() += line.quantity;
            }
        }
        let row = |product: &ProductId| {
            let committed = committed.get(product).copied().unwrap_or(0);
            StockRow {
                product: *product,
                initial: UNITS,
                restocked: 0,
                available: UNITS - committed,
                reserved: 0,
                committed,
                ledger_sum: UNITS - committed,
            }
        };
        self.prices.keys().map(row).collect()
    }

    fn snapshot(&self) -> Snapshot {
        let key = |order: &Order| format!("ok-{}", order.id);
        let payment = |order: &Order| Payment {
            order_key: key(order),
            amount: order.total,
            captured: order.total,
            refunded: if order.is_live() { 0 } else { order.total },
        };
        let keys = self.orders.values().map(|order| OrderKey {
            order: order.id,
            order_key: key(order),
        });
        Snapshot {
            orders: self.orders.values().cloned().collect(),
            stock: Some(Stock {
                stock: self.stock(),
                reservations: Some(self.reservations.clone()),
            }),
            shop: Some(Orders {
                open: crate::snapshot::Open::default(),
                outbox: Outbox {
                    kinds: Status::ALL.to_vec(),
                    effects: self.effects.clone(),
                },
                keys: keys.collect(),
            }),
            payments: Some(Payments {
                payments: self.orders.values().map(payment).collect(),
            }),
        }
    }
}

fn seen(order: &Order) -> Answer {
    Answer::Seen {
        order: order.clone(),
        stale: false,
    }
}

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use kit::Ctx;
use parking_lot::Mutex;

use crate::{
    clients::{Committed, Reserved},
    domain::{Line, Shortage},
    error::Result,
    saga::{Clock, Stock},
};

/// Where a reservation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HeldState {
    /// Its units are taken, for now.
    Held,
    /// Its units are sold.
    Committed,
    /// Its units went back, or a release came first.
    Released,
    /// Its time ran out.
    Expired,
    /// It was sold, and came back.
    Returned,
}

/// The product service's stock in memory, on its own clock.
pub struct MemoryStock {
    clock: Arc<dyn Clock>,
    rows: Mutex<Rows>,
}

#[derive(Default)]
struct Rows {
    available: BTreeMap<i32, i64>,
    held: BTreeMap<String, Reservation>,
    ledger: Vec<(i32, i64)>,
}

struct Reservation {
    state: HeldState,
    lines: Vec<Line>,
    expires_ms: i64,
}

impl MemoryStock {
    /// With so many units of each product.
    pub fn new(clock: Arc<dyn Clock>, units: impl IntoIterator<Item = (i32, i64)>) -> Self {
        let mut rows = Rows::default();
        for (id, units) in units {
            rows.change(id, units);
        }
        Self {
            clock,
            rows: Mutex::new(rows),
        }
    }

    /// Ends what is due, as the product service's sweep does.
    pub fn sweep(&self) {
        let now = self.clock.now_ms();
        let mut rows = self.rows.lock();
        let due = rows.held.iter().filter(|(_, one)| one.is_due(now));
        let due: Vec<String> = due.map(|(key, _)| key.clone()).collect();
        for key in due {
            rows.end(&key, HeldState::Expired);
        }
    }

    /// Units that can be sold.
    pub fn available(&self) -> BTreeMap<i32, i64> {
        self.rows.lock().available.clone()
    }

    /// What the ledger adds up to.
    pub fn replayed(&self) -> BTreeMap<i32, i64> {
        let mut sums = BTreeMap::new();
        for (id, delta) in &self.rows.lock().ledger {
            *sums.entry(*id).or_insert(0) += delta;
        }
        sums
    }

    /// Where every reservation stands.
    pub fn states(&self) -> BTreeMap<String, HeldState> {
        let rows = self.rows.lock();
        let held = rows.held.iter();
        held.map(|(key, one)| (key.clone(), one.state)).collect()
    }

    /// Units of one product in reservations of that state.
    pub fn units(&self, id: i32, state: HeldState) -> i64 {
        let rows = self.rows.lock();
        let lines = rows.held.values().filter(|one| one.state == state);
        let lines = lines.flat_map(|one| &one.lines);
        let of = lines.filter(|line| line.product_id == id);
        of.map(|line| i64::from(line.quantity)).sum()
    }
}

impl Reservation {
    fn is_due(&self, now_ms: i64) -> bool {
        self.state == HeldState::Held && self.expires_ms <= now_ms
    }
}

impl Rows {
    fn change(&mut self, id: i32, delta: i64) {
        *self.available.entry(id).or_insert(0) += delta;
        self.ledger.push((id, delta));
    }

    /// Takes a reservation to a state in which its units are back.
    fn end(&mut self, key: &str, to: HeldState) {
        let Some(one) = self.held.get_mut(key) else {
            return;
        };
        one.state = to;
        for line in one.lines.clone() {
            self.change(line.product_id, i64::from(line.quantity));
        }
    }
}

#[async_trait]
impl Stock for MemoryStock {
    async fn reserve(
        &self,
        _: &Ctx,
        order_key: &str,
        lines: &[Line],
        ttl_ms: i64,
    ) -> Result<Reserved> {
        let mut rows = self.rows.lock();
        if let Some(one) = rows.held.get(order_key) {
            return match one.state {
                HeldState::Held | HeldState::Committed => Ok(Reserved::Held),
                over => Err(crate::error::OrderError::BadAnswer {
                    dependency: "product",
                    what: format!("not reserved: {over:?}"),
                }),
            };
        }
        let left = |id| rows.available.get(&id).copied().unwrap_or(0);
        let short = lines
            .iter()
            .filter(|l| left(l.product_id) < i64::from(l.quantity));
        let short: Vec<Shortage> = short
            .map(|l| Shortage {
                product_id: l.product_id,
                left: i32::try_from(left(l.product_id)).unwrap_or(i32::MAX),
            })
            .collect();
        if !short.is_empty() {
            return Ok(Reserved::Short(short));
        }
        for line in lines {
            rows.change(line.product_id, -i64::from(line.quantity));
        }
        let reservation = Reservation {
            state: HeldState::Held,
            lines: lines.to_vec(),
            expires_ms: self.clock.now_ms().saturating_add(ttl_ms),
        };
        rows.held.insert(order_key.to_owned(), reservation);
        Ok(Reserved::Held)
    }

    async fn commit(&self, _: &Ctx, order_key: &str) -> Result<Committed> {
        let now = self.clock.now_ms();
        let mut rows = self.rows.lock();
        let Some(one) = rows.held.get_mut(order_key) else {
            return Ok(Committed::Gone("there is no reservation".to_owned()));
        };
        if one.is_due(now) {
            rows.end(order_key, HeldState::Expired);
            return Ok(Committed::Gone("it expired".to_owned()));
        }
        match one.state {
            HeldState::Held | HeldState::Committed => {
                one.state = HeldState::Committed;
                Ok(Committed::Yes)
            }
            over => Ok(Committed::Gone(format!("{over:?}"))),
        }
    }

    async fn release(&self, _: &Ctx, order_key: &str) -> Result<()> {
        let mut rows = self.rows.lock();
        match rows.held.get(order_key).map(|one| one.state) {
            Some(HeldState::Held) => rows.end(order_key, HeldState::Released),
            Some(_) => {}
            None => {
                let tombstone = Reservation {
                    state: HeldState::Released,
                    lines: Vec::new(),
                    expires_ms: i64::MAX,
                };
                rows.held.insert(order_key.to_owned(), tombstone);
            }
        }
        Ok(())
    }

    async fn give_back(&self, ctx: &Ctx, order_key: &str) -> Result<()> {
        let sold = {
            let rows = self.rows.lock();
            let one = rows.held.get(order_key);
            one.is_some_and(|one| one.state == HeldState::Committed)
        };
        if sold {
            self.rows.lock().end(order_key, HeldState::Returned);
            return Ok(());
        }
        self.release(ctx, order_key).await
    }
}

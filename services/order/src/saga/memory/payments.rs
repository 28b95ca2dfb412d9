use std::collections::BTreeMap;

use async_trait::async_trait;
use kit::Ctx;
use parking_lot::Mutex;

use crate::{clients::Authorized, error::Result, saga::Payments};

/// The payment service in memory.
#[derive(Default)]
pub struct MemoryPayments {
    rows: Mutex<BTreeMap<String, Payment>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Authorized,
    Captured,
    Voided,
    Refunded,
}

struct Payment {
    state: State,
    cents: i64,
    /// Captures less refunds.
    paid: i64,
}

impl MemoryPayments {
    /// Without any payment.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What each key has paid, in cents.
    pub fn paid(&self) -> BTreeMap<String, i64> {
        let rows = self.rows.lock();
        rows.iter()
            .map(|(key, one)| (key.clone(), one.paid))
            .collect()
    }

    /// Keys whose amount is set aside and neither taken nor let go.
    pub fn set_aside(&self) -> Vec<String> {
        let rows = self.rows.lock();
        let open = rows
            .iter()
            .filter(|(_, one)| one.state == State::Authorized);
        open.map(|(key, _)| key.clone()).collect()
    }
}

#[async_trait]
impl Payments for MemoryPayments {
    async fn authorize(&self, _: &Ctx, order_key: &str, cents: i64) -> Result<Authorized> {
        let mut rows = self.rows.lock();
        let fresh = Payment {
            state: State::Authorized,
            cents,
            paid: 0,
        };
        let one = rows.entry(order_key.to_owned()).or_insert(fresh);
        match one.state {
            State::Authorized | State::Captured => Ok(Authorized::Yes),
            over => Err(crate::error::OrderError::BadAnswer {
                dependency: "payment",
                what: format!("{over:?}"),
            }),
        }
    }

    async fn capture(&self, _: &Ctx, order_key: &str) -> Result<bool> {
        let mut rows = self.rows.lock();
        let Some(one) = rows.get_mut(order_key) else {
            return Ok(false);
        };
        if one.state == State::Authorized {
            one.state = State::Captured;
            one.paid += one.cents;
        }
        Ok(one.state == State::Captured)
    }

    async fn void(&self, _: &Ctx, order_key: &str) -> Result<()> {
        let mut rows = self.rows.lock();
        let tombstone = Payment {
            state: State::Voided,
            cents: 0,
            paid: 0,
        };
        let one = rows.entry(order_key.to_owned()).or_insert(tombstone);
        match one.state {
            State::Authorized => one.state = State::Voided,
            State::Captured => {
                one.state = State::Refunded;
                one.paid -= one.cents;
            }
            State::Voided | State::Refunded => {}
        }
        Ok(())
    }

    async fn is_captured(&self, _: &Ctx, order_key: &str) -> Result<bool> {
        let rows = self.rows.lock();
        let one = rows.get(order_key);
        Ok(one.is_some_and(|one| one.state == State::Captured))
    }
}

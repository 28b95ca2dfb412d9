//! What a saga is given: its order, and what all sagas of a process have in common.

use std::{sync::Arc, time::Duration};

use kit::lab::{Defects, Failpoints};
use tokio::sync::oneshot;

use super::{Claim, Clock, Render, SystemClock};
use crate::{
    domain::{Basket, Line},
    error::Result,
};

/// An order that passed every check, with the prices of that moment.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Names the order, its reservation and its payment.
    pub order_key: String,
    /// The owner.
    pub user_id: i64,
    /// Where mails about it go.
    pub contact: Option<String>,
    /// What is taken from stock.
    pub lines: Vec<Line>,
    /// What is bought.
    pub basket: Basket,
    /// The client's key.
    pub claim: Option<Claim>,
}

/// What all sagas of a process have in common.
#[derive(Clone)]
pub struct Settings {
    /// Names this process in leases.
    pub owner: String,
    /// Within this and five seconds every saga ends, as long as the services answer.
    pub ttl: Duration,
    /// Makes the answer of a stored order.
    pub render: Render,
    /// The time of leases.
    pub clock: Arc<dyn Clock>,
    /// Where the lab can end the process.
    pub points: Failpoints,
    /// The bugs that it can switch on.
    pub defects: Defects,
}

impl Settings {
    /// Of a process that no lab can get at.
    pub fn new(owner: String, ttl: Duration, render: Render) -> Self {
        Self {
            owner,
            ttl,
            render,
            clock: Arc::new(SystemClock),
            points: Failpoints::off(),
            defects: Defects::off(),
        }
    }
}

/// Where the answer goes, as soon as it is known: an order's JSON.
pub type Reply = oneshot::Sender<Result<String>>;

pub(super) fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

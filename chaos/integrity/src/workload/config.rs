//! What a run is made of.

use std::io::Write;
use std::time::Duration;

use crate::types::{Cents, ProductId, UserId};

/// How often customers do what, as weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix {
    /// A new order under a new key.
    pub place: u32,
    /// The same new order several times at once, under one key.
    pub twins: u32,
    /// An old order's request again, which must get the first answer.
    pub repeat: u32,
    /// Another basket under an old key, which must be refused.
    pub other_body: u32,
    /// Calling off one's own order.
    pub cancel: u32,
    /// Reading one's own order.
    pub read: u32,
    /// Reading the list of one's own orders.
    pub list: u32,
}

impl Default for Mix {
    fn default() -> Self {
        Self {
            place: 40,
            twins: 6,
            repeat: 8,
            other_body: 2,
            cancel: 10,
            read: 24,
            list: 10,
        }
    }
}

/// How much each customer does, and how the run is judged.
pub struct Config {
    /// Names the run; keys begin with it, so that runs on one shop don't meet.
    pub run: String,
    /// Where chance comes from.
    pub seed: u64,
    /// The customers; one operation (or one set of twins) each at a time.
    pub customers: Vec<UserId>,
    /// The products that are bought, with their prices when the run begins. Nobody else buys them.
    pub products: Vec<(ProductId, Cents)>,
    /// What customers do.
    pub mix: Mix,
    /// The mean wait between a customer's operations.
    pub pause: Duration,
    /// How long a client waits for an answer; then it is info.
    pub timeout: Duration,
    /// The mean wait between the staff's steps of orders; none leaves the staff out.
    pub advance_every: Option<Duration>,
    /// The mean wait between changes of prices; none leaves them as they are.
    pub reprice_every: Option<Duration>,
    /// Between looks at stock and sagas during the run; none leaves them out.
    pub audit_every: Option<Duration>,
    /// How long after the end requests may still be under way inside the shop, unseen.
    pub settle: Duration,
    /// How long after that the shop may take to come to rest.
    pub rest: Duration,
    /// What the run is judged by.
    pub limits: Limits,
    /// What the run's clock says when it begins: `CLOCK_MONOTONIC`, so that the services' events
    /// lie on the same axis.
    pub zero_ns: u64,
    /// Where each record is written before the run goes on.
    pub log: Option<Box<dyn Write + Send + Sync>>,
}

/// Figures that rules and verdict need.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Acknowledged operations a second, while no fault is on, below which a run proves nothing.
    pub min_rate: f64,
    /// How long after its time to live a saga may end.
    pub saga_slack: Duration,
    /// The policy's reset: how long a breaker stays open.
    pub reset: Duration,
    /// How long after healing and reset success must be back.
    pub heal_slack: Duration,
    /// The share of successes by then.
    pub healed_success: f64,
}

impl Default for Limits {
    /// reliability.md's figures; the reset of the shop's policy, 30 s.
    fn default() -> Self {
        Self {
            min_rate: 100.0,
            saga_slack: Duration::from_secs(5),
            reset: Duration::from_secs(30),
            heal_slack: Duration::from_secs(5),
            healed_success: 0.999,
        }
    }
}

impl Config {
    /// A run with the usual figures: 100 ms between a customer's operations, 10 s time-out, an
    /// audit every second, staff every 20 ms, a new price every 250 ms.
    #[must_use]
    pub fn new(
        run: impl Into<String>,
        seed: u64,
        customers: Vec<UserId>,
        products: Vec<(ProductId, Cents)>,
    ) -> Self {
        let timeout = Duration::from_secs(10);
        Self {
            run: run.into(),
            seed,
            customers,
            products,
            mix: Mix::default(),
            pause: Duration::from_millis(100),
            timeout,
            advance_every: Some(Duration::from_millis(20)),
            reprice_every: Some(Duration::from_millis(250)),
            audit_every: Some(Duration::from_secs(1)),
            settle: timeout,
            rest: Duration::from_secs(60),
            limits: Limits::default(),
            zero_ns: 0,
            log: None,
        }
    }
}

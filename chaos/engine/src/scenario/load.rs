//! The load of a scenario: streams of arrivals and customers, and what they find.

use std::time::Duration;

use loadtest::{Arrivals, Mix};
use resilience::Priority;

/// What a trial prepares before its load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fixtures {
    /// Customers with accounts and addresses of their own: enough that no rate limit
    /// meets honest load.
    pub customers: usize,
    /// Products.
    pub products: usize,
    /// Units of each product: more than a trial can sell.
    pub units: u64,
}

impl Default for Fixtures {
    fn default() -> Self {
        Self {
            customers: 50,
            products: 20,
            units: 1_000_000,
        }
    }
}

/// One stream of load.
#[derive(Clone, Debug, PartialEq)]
pub struct Stream {
    /// What checks call it: its name in the file, or its number there, from 0.
    pub name: String,
    /// What its requests do.
    pub mix: Mix,
    /// How much of it comes.
    pub demand: Demand,
    /// What its requests say they matter; nothing if not given.
    pub priority: Option<Priority>,
}

/// What decides when requests are made.
#[derive(Clone, Debug, PartialEq)]
pub enum Demand {
    /// Arrivals that come whatever the system does.
    Open {
        /// How many a second.
        rate: Rate,
        /// How they are spread.
        arrivals: Arrivals,
    },
    /// Customers who wait for their answers.
    Closed {
        /// How many.
        customers: u32,
        /// Their pause after each answer.
        think: Duration,
    },
}

/// Arrivals a second over time. Times are from second 0; the warm-up has the rate of
/// the beginning.
#[derive(Clone, Debug, PartialEq)]
pub enum Rate {
    /// Always the same.
    Constant(f64),
    /// From one rate to another.
    Ramp {
        /// Before `start`.
        from: f64,
        /// From `start` + `over` on.
        to: f64,
        /// When it begins to change.
        start: Duration,
        /// How long it changes; `None` until the load ends.
        over: Option<Duration>,
    },
    /// From each second on another rate.
    Steps(Vec<(Duration, f64)>),
    /// More for a while.
    Spike {
        /// Before and after.
        base: f64,
        /// In between.
        spike: f64,
        /// When it begins.
        at: Duration,
        /// How long it lasts.
        lasts: Duration,
    },
}

impl Rate {
    /// The highest rate that ever comes.
    #[must_use]
    pub fn peak(&self) -> f64 {
        match self {
            Self::Constant(rate) => *rate,
            Self::Ramp { from, to, .. } => from.max(*to),
            Self::Steps(steps) => steps.iter().map(|(_, rate)| *rate).fold(0.0, f64::max),
            Self::Spike { base, spike, .. } => base.max(*spike),
        }
    }
}

impl Stream {
    /// The most requests a second that it plans; of customers who wait for their
    /// answers nothing can be said.
    #[must_use]
    pub fn peak(&self) -> Option<f64> {
        match &self.demand {
            Demand::Open { rate, .. } => Some(rate.peak()),
            Demand::Closed { .. } => None,
        }
    }
}

//! The workload: customers who place orders under idempotency keys, repeat them, call them off and
//! read them back, staff who take them on, prices that change, and an auditor; against anything
//! that is a [`Shop`].

mod baskets;
mod config;
mod desk;
mod people;
mod rest;

pub use baskets::Baskets;
pub use config::{Config, Limits, Mix};

use std::pin::pin;

use futures_util::{
    FutureExt as _, Stream, StreamExt as _,
    future::{BoxFuture, join_all},
};
use tokio::sync::watch;

use crate::history::{Clock, FORMAT, FaultNote, Record, Recorder};
use crate::shop::Shop;
use desk::Desk;

/// A run's log, and what stood in its way.
pub struct Ran {
    /// All records.
    pub records: Vec<Record>,
    /// What could not be read or written; with any of it the run is inconclusive.
    pub trouble: Vec<String>,
}

/// Runs the workload until `stop` is ready, waits for rest and reads what is there. Faults are
/// written down as they are told of; what injects them lets go of them before `stop`, or at it.
pub async fn drive(
    config: Config,
    shop: &dyn Shop,
    faults: impl Stream<Item = FaultNote>,
    stop: impl Future<Output = ()>,
) -> Ran {
    let workload = Workload::begin(config);
    workload.load(shop, faults, stop).await;
    workload.rest(shop).await
}

/// A run in two steps, for whoever has something to do between load and rest.
pub struct Workload {
    config: Config,
    recorder: Recorder,
}

impl Workload {
    /// Begins the log.
    #[must_use]
    pub fn begin(mut config: Config) -> Self {
        let recorder = Recorder::new(Clock::starting_at(config.zero_ns), config.log.take());
        recorder.note(|t| Record::Begin {
            t,
            format: FORMAT,
            run: config.run.clone(),
            seed: config.seed,
            prices: config.products.clone(),
        });
        Self { config, recorder }
    }

    /// Everybody's day, until `stop` is ready and what was under way has ended.
    pub async fn load(
        &self,
        shop: &dyn Shop,
        faults: impl Stream<Item = FaultNote>,
        stop: impl Future<Output = ()>,
    ) {
        let mut work = pin!(load(&self.config, shop, &self.recorder, stop));
        let mut faults = pin!(faults.fuse());
        loop {
            // In this order always: a seed repeats a run to the byte.
            tokio::select! {
                biased;
                Some(note) = faults.next() => self.recorder.fault(note),
                () = &mut work => break,
            }
        }
        self.recorder.note(|t| Record::Stopped { t });
    }

    /// Waits until the shop is at rest, and reads its books.
    pub async fn rest(self, shop: &dyn Shop) -> Ran {
        let found = rest::find(shop, &self.config).await;
        let snapshot = Box::new(found.snapshot);
        self.recorder.note(|t| Record::Final { t, snapshot });
        let (records, unwritten) = self.recorder.into_records();
        let unwritten = unwritten.map(|why| format!("the log could not be written: {why}"));
        Ran {
            records,
            trouble: found.missing.into_iter().chain(unwritten).collect(),
        }
    }
}

/// Everybody's day; over when all have noticed the end.
async fn load(
    config: &Config,
    shop: &dyn Shop,
    recorder: &Recorder,
    stop: impl Future<Output = ()>,
) {
    let (ended, end) = watch::channel(false);
    let desk = &Desk::new(shop, recorder, config, end);
    let mut people: Vec<BoxFuture<'_, ()>> = Vec::new();
    for user in &config.customers {
        people.push(people::customer(desk, config, *user).boxed());
    }
    if let Some(every) = config.advance_every {
        people.push(people::staff(desk, config, every).boxed());
    }
    if let Some(every) = config.reprice_every {
        people.push(people::repricer(desk, config, every).boxed());
    }
    if let Some(every) = config.audit_every {
        people.push(people::auditor(desk, every).boxed());
    }
    let end = async {
        stop.await;
        let _ = ended.send(true);
    };
    tokio::join!(biased; end, join_all(people));
}

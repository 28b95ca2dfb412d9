//! One seed, one run in a world of its own.

use std::io::Write;
use std::time::Duration;

use futures_util::stream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::storm::storm;
use super::{Defect, Model, Settings};
use crate::chance::Chance;
use crate::types::{Cents, ProductId, UserId};
use crate::workload::{Config, Limits};
use crate::{Report, run};

/// A run of the model.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Where all its chance comes from.
    pub seed: u64,
    /// The bug that is switched on.
    pub defect: Option<Defect>,
    /// How long customers are at work, in virtual time.
    pub length: Duration,
}

impl Run {
    /// The usual length.
    #[must_use]
    pub fn new(seed: u64, defect: Option<Defect>) -> Self {
        Self {
            seed,
            defect,
            length: Duration::from_millis(3_500),
        }
    }
}

/// Reservations live so long.
const TTL_MS: u64 = 900;
const TIMEOUT: Duration = Duration::from_millis(400);

/// Products with price and units: the last two are soon sold out.
fn products() -> Vec<(ProductId, Cents, i64)> {
    let plenty = (1..=8).map(|id| (id, 500 + id * 137, 100_000));
    plenty.chain([(9, 1999, 60), (10, 4999, 25)]).collect()
}

/// Runs the workload on a model shop, under faults, in virtual time; nobody waits. The log goes to
/// `log` too.
///
/// # Panics
/// When called from within a tokio runtime.
#[must_use]
pub fn run_seed(of: Run, log: Option<Box<dyn Write + Send + Sync>>) -> Report {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O asks nothing of the system")
        .block_on(world(of, log))
}

async fn world(of: Run, log: Option<Box<dyn Write + Send + Sync>>) -> Report {
    let model = Model::open(Settings {
        seed: of.seed,
        defect: of.defect,
        ttl_ms: TTL_MS,
        products: products(),
    });
    let customers: Vec<UserId> = (1..=12).collect();
    let prices = products()
        .into_iter()
        .map(|(id, price, _)| (id, price))
        .collect();
    let mut config = Config::new(format!("seed-{}", of.seed), of.seed, customers, prices);
    config.pause = Duration::from_millis(20);
    config.timeout = TIMEOUT;
    config.settle = TIMEOUT;
    config.advance_every = Some(Duration::from_millis(8));
    config.reprice_every = Some(Duration::from_millis(60));
    config.audit_every = Some(Duration::from_millis(90));
    config.rest = Duration::from_secs(10);
    config.limits = Limits {
        reset: Duration::ZERO,
        ..Limits::default()
    };
    config.log = log;
    let end = Instant::now() + of.length;
    let (notes, told) = mpsc::unbounded_channel();
    let chance = Chance::of(of.seed, "storm", 0);
    let faults = stream::unfold(told, |mut told| async { Some((told.recv().await?, told)) });
    let storm = storm(&model, chance, end - TIMEOUT, notes);
    let run = run(config, &model, faults, sleep_until(end));
    tokio::join!(biased; storm, run).1
}

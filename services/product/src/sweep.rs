//! The expiry sweep: reservations whose time is over give their units back.

use std::{sync::Arc, time::Duration};

use kit::time::now_ms;
use tokio::time::{MissedTickBehavior, interval};

use crate::Shared;

/// Between two looks: an expired unit is missing from the shop for little longer.
const EVERY: Duration = Duration::from_millis(500);
/// Reservations in one sweep; a backlog is worked off without waiting.
const BATCH: i64 = 100;

/// Sweeps for as long as it is polled. Several replicas may: each reservation ends once.
pub async fn run(shared: Arc<Shared>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        while sweep(&shared).await {}
    }
}

/// One batch; whether units came back, so that there may be more.
async fn sweep(shared: &Shared) -> bool {
    match shared.store.expire_due(BATCH, now_ms()).await {
        Ok(returned) => {
            returned
                .iter()
                .for_each(|id| shared.catalogue.stock_changed(*id));
            !returned.is_empty()
        }
        Err(error) => {
            tracing::warn!(%error, "expired reservations wait");
            false
        }
    }
}

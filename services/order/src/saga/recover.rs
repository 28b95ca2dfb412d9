//! Recovery: at start and then every second, what nobody works on is finished or undone.

use std::time::Duration;

use kit::Ctx;
use resilience::deadline::Deadline;
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use super::{Hold, Saga, SagaState, settings::millis};
use crate::error::Result;

/// Between two looks; a saga that could not be ended is looked at again after the wait below.
const EVERY: Duration = Duration::from_secs(1);
/// One saga's step, and how long it is kept from others for it.
const STEP: Duration = Duration::from_secs(3);
const LEASE: Duration = Duration::from_secs(5);
/// At once.
const BATCH: i64 = 32;
/// Waits between tries of one saga: doubled from the first to the last.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LAST_WAIT: Duration = Duration::from_secs(2);

/// Ends sagas that were left behind.
#[derive(Clone)]
pub struct Recovery {
    saga: Saga,
}

impl Recovery {
    /// Over the same journal as the requests', with clients of its own: the waits of an outage
    /// must not count in their breakers.
    pub fn new(saga: Saga) -> Self {
        Self { saga }
    }

    /// Recovers for as long as it is polled.
    pub async fn run(&self) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            loop {
                match self.pass().await {
                    // A backlog is worked off without waiting.
                    Ok(BATCH) => {}
                    Ok(_) => break,
                    Err(error) => {
                        tracing::warn!(%error, "recovery waits for the database");
                        break;
                    }
                }
            }
        }
    }

    /// One look: takes over what is due and goes on with it; how many that were.
    ///
    /// # Errors
    /// As the journal.
    pub async fn pass(&self) -> Result<i64> {
        let saga = &self.saga;
        let journal = saga.journal();
        show(&journal.open().await?);
        let holds = journal
            .take_over(&saga.lease(LEASE), saga.now(), BATCH)
            .await?;
        let count = i64::try_from(holds.len()).unwrap_or(BATCH);
        if count > 0 {
            saga.settings().points.hit("order.recovery.taken").await;
        }
        let mut steps = JoinSet::new();
        for hold in holds {
            let this = self.clone();
            steps.spawn(async move { this.step(hold).await });
        }
        while steps.join_next().await.is_some() {}
        Ok(count)
    }

    async fn step(&self, mut hold: Hold) {
        let ctx = Ctx {
            deadline: Deadline::after(STEP),
            ..Ctx::internal(&format!("recovery-{}", hold.order_key))
        };
        let from = hold.state;
        let result = self.saga.resume(&ctx, &mut hold).await;
        let key = &hold.order_key;
        match result {
            Ok(()) => tracing::info!(order_key = %key, %from, to = %hold.state, "recovered"),
            Err(error) => {
                tracing::warn!(order_key = %key, state = %hold.state, %error, "not yet recovered");
                let next = self.saga.now() + millis(wait(hold.attempts));
                // Unless this works too, the lease's end is waited for.
                let _ = self.saga.journal().defer(&hold, next).await;
            }
        }
    }
}

fn wait(attempts: i64) -> Duration {
    let doublings = u32::try_from(attempts.clamp(0, 8)).unwrap_or(0);
    (FIRST_WAIT * 2_u32.pow(doublings)).min(LAST_WAIT)
}

/// `shop_sagas_open{state}`.
fn show(open: &[(SagaState, i64)]) {
    for state in SagaState::ALL.into_iter().filter(|state| !state.is_over()) {
        let count = open
            .iter()
            .find(|(of, _)| *of == state)
            .map_or(0, |(_, n)| *n);
        metrics::gauge!("shop_sagas_open", "state" => state.as_str()).set(count as f64);
    }
}

/// Ended sagas and delivered mails are kept so long, for whoever looks into a run.
const KEEP: Duration = Duration::from_secs(24 * 3600);
/// Rows of each kind in one go.
const FORGET: i64 = 500;

/// Forgets what is over, in batches, for as long as it is polled. A key is kept for `keys`.
pub async fn tidy(saga: Saga, keys: Duration) {
    let mut ticks = interval(Duration::from_secs(30));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now = saga.now();
        loop {
            let (old, old_keys) = (now - millis(KEEP), now - millis(keys));
            match saga.journal().forget(old, old_keys, FORGET).await {
                Ok(0) => break,
                Ok(rows) => tracing::debug!(rows, "forgotten"),
                Err(error) => {
                    tracing::warn!(%error, "what is over stays for now");
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_two_seconds() {
        let waits: Vec<u128> = (0..6).map(|n| wait(n).as_millis()).collect();
        assert_eq!(waits, [250, 500, 1000, 2000, 2000, 2000]);
    }
}

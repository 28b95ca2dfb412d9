//! Mails about orders: written with the transition they tell of, delivered afterwards, at least
//! once, each with an id by which a repeat is known.
//!
//! Several replicas may deliver: a mail is claimed with a lease and a fence, so that a holder who
//! comes back late can note nothing, and one that fails waits and is never skipped for good.

mod mailer;

use std::{sync::Arc, time::Duration};

use kit::{lab::Failpoints, time::now_ms};
use tokio::time::{MissedTickBehavior, interval, timeout};

pub use mailer::{FolderMailer, MailError, Mailer, Smtp, SmtpMailer};

use crate::{
    error::Result,
    store::{Event, OutboxStore},
};

/// Between two looks.
const EVERY: Duration = Duration::from_millis(500);
/// Mails at once.
const BATCH: i64 = 4;
/// How long a batch is its holder's, and how long one mail may take of that.
const LEASE: Duration = Duration::from_secs(15);
const ONE: Duration = Duration::from_secs(3);
/// Waits between tries of one mail: doubled from the first to the last.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LAST_WAIT: Duration = Duration::from_secs(60);

/// Delivers what the outbox holds.
#[derive(Clone)]
pub struct Outbox {
    store: Arc<dyn OutboxStore>,
    mailer: Arc<dyn Mailer>,
    points: Failpoints,
}

impl Outbox {
    /// From that store, by that mailer.
    pub fn new(store: Arc<dyn OutboxStore>, mailer: Arc<dyn Mailer>, points: Failpoints) -> Self {
        Self {
            store,
            mailer,
            points,
        }
    }

    /// Delivers for as long as it is polled.
    pub async fn run(&self) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            loop {
                match self.pass().await {
                    // A backlog is worked off without waiting.
                    Ok(delivered) if delivered > 0 => {}
                    Ok(_) => break,
                    Err(error) => {
                        tracing::warn!(%error, "mails wait for the database");
                        break;
                    }
                }
            }
        }
    }

    /// One batch; how many were delivered.
    ///
    /// # Errors
    /// As the store.
    pub async fn pass(&self) -> Result<usize> {
        let lease = i64::try_from(LEASE.as_millis()).unwrap_or(i64::MAX);
        let events = self.store.claim(now_ms(), lease, BATCH).await?;
        let mut delivered = 0;
        for event in &events {
            self.points.hit("order.outbox.claimed").await;
            delivered += usize::from(self.deliver(event).await?);
        }
        Ok(delivered)
    }

    async fn deliver(&self, event: &Event) -> Result<bool> {
        let sent = timeout(ONE, self.mailer.send(event)).await;
        match sent.unwrap_or_else(|_| Err(MailError::Slow(ONE))) {
            Ok(()) => {
                self.points.hit("order.outbox.delivered").await;
                let ours = self.store.delivered(event, now_ms()).await?;
                self.points.hit("order.outbox.noted").await;
                Ok(ours)
            }
            Err(error) => {
                tracing::warn!(order_id = event.order_id, %error, "a mail was not delivered");
                let next = now_ms().saturating_add(wait_ms(event.attempts));
                self.store.postpone(event, next).await?;
                Ok(false)
            }
        }
    }
}

fn wait_ms(attempts: i64) -> i64 {
    let doublings = u32::try_from(attempts.saturating_sub(1).clamp(0, 10)).unwrap_or(0);
    let wait = (FIRST_WAIT * 2_u32.pow(doublings)).min(LAST_WAIT);
    i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_waits_longer_each_time_and_never_for_good() {
        let waits: Vec<i64> = (1..9).map(wait_ms).collect();
        let expected = [1, 2, 4, 8, 16, 32, 60, 60].map(|s| s * 1000);
        assert_eq!(waits, expected);
        assert_eq!(wait_ms(i64::MAX), 60_000);
    }
}

//! A dead man's switch: whoever injects faults renews a lease, and when they
//! die, the faults go with them.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::error::{Error, Result};

/// No lease is longer: nothing stays injected for longer than this.
pub(crate) const LONGEST: Duration = Duration::from_secs(15);

pub(crate) struct Lease {
    until: watch::Sender<Option<Instant>>,
}

impl Lease {
    /// None is held.
    pub(crate) fn new() -> Self {
        Self {
            until: watch::Sender::new(None),
        }
    }

    /// Takes it, or renews it, for that long from now: `"15s"`, `"500ms"`.
    pub(crate) fn renew(&self, text: &str) -> Result<Duration> {
        let length = humantime::parse_duration(text).map_err(|e| Error::Lease {
            given: text.to_owned(),
            problem: e.to_string(),
        })?;
        if length.is_zero() || length > LONGEST {
            return Err(Error::Lease {
                given: text.to_owned(),
                problem: "it must be more than 0 and at most 15s".to_owned(),
            });
        }
        self.until.send_replace(Some(Instant::now() + length));
        Ok(length)
    }

    /// Gives it back; nothing is reset.
    pub(crate) fn end(&self) {
        self.until.send_replace(None);
    }

    /// What is left of it, if it is held.
    pub(crate) fn left(&self) -> Option<Duration> {
        let until = *self.until.borrow();
        until.map(|until| until.saturating_duration_since(Instant::now()))
    }

    /// Waits until a lease has run out without having been renewed.
    pub(crate) async fn over(&self) {
        let mut news = self.until.subscribe();
        loop {
            let until = *news.borrow_and_update();
            tokio::select! {
                biased;
                // It can't fail: this holds the sender.
                _ = news.changed() => {}
                () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => {
                    if self.expire(until) {
                        return;
                    }
                }
            }
        }
    }

    /// Drops the lease, unless it was renewed in the same moment.
    fn expire(&self, until: Option<Instant>) -> bool {
        self.until.send_if_modified(|held| {
            let over = *held == until;
            if over {
                *held = None;
            }
            over
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use tokio::time::{sleep, timeout};

    #[tokio::test(start_paused = true)]
    async fn it_is_over_when_it_is_not_renewed() {
        let lease = Lease::new();
        let start = Instant::now();
        lease.renew("15s").unwrap();
        let mut over = pin!(lease.over());
        for _ in 0..20 {
            assert!(timeout(Duration::from_secs(10), &mut over).await.is_err());
            lease.renew("15s").unwrap();
        }
        over.await;
        assert_eq!(start.elapsed().as_secs(), 215);
        assert_eq!(lease.left(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn none_held_or_given_back_it_is_never_over() {
        let lease = Lease::new();
        let mut over = pin!(lease.over());
        let hour = Duration::from_secs(3600);
        assert!(timeout(hour, &mut over).await.is_err());
        lease.renew("1s").unwrap();
        assert!(
            timeout(Duration::from_millis(500), &mut over)
                .await
                .is_err()
        );
        assert_eq!(lease.left(), Some(Duration::from_millis(500)));
        lease.end();
        assert!(timeout(hour, &mut over).await.is_err());
        // It can be taken again, and a shorter one replaces a longer one.
        lease.renew("15s").unwrap();
        lease.renew("100ms").unwrap();
        let start = Instant::now();
        over.await;
        assert!(start.elapsed() < Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_in_the_last_moment_counts() {
        let lease = Lease::new();
        lease.renew("1s").unwrap();
        let before = *lease.until.borrow();
        sleep(Duration::from_secs(1)).await;
        lease.renew("1s").unwrap();
        assert!(!lease.expire(before), "the old lease is not the one held");
        assert_eq!(lease.left(), Some(Duration::from_secs(1)));
    }

    #[tokio::test]
    async fn what_is_no_lease_says_so() {
        let lease = Lease::new();
        for (given, why) in [
            ("soon", "soon"),
            ("", "empty"),
            ("0s", "at most 15s"),
            ("16s", "at most 15s"),
            ("-1s", "-1s"),
        ] {
            let error = lease.renew(given).unwrap_err();
            assert_eq!(error.status(), 400);
            assert!(error.to_string().contains(why), "{given}: {error}");
        }
        assert_eq!(lease.left(), None);
    }
}

//! Whether to make another attempt, and after what wait.
//!
//! **Use it** for faults that are short and independent: a restart, one bad replica, a lost
//! packet. **It harms** an overloaded dependency: with failure share p, n attempts make
//! (1 − pⁿ)/(1 − p) calls of one, and layers multiply (three layers of 4 attempts are 64 calls).
//! So retry in one layer, only what is safe to repeat, only while somebody still waits.
//!
//! What is retried: an attempt that surely was not processed, always; a time-out, an unavailable
//! or exhausted dependency, a lost race, when the call is idempotent; nothing else
//! ([`FailureKind::retryable`]). A server's pushback is obeyed unless
//! [`RetryConfig::obey_pushback`] says otherwise. No wait is begun that would end after the
//! deadline.
//!
//! Source: gRFC A6, <https://github.com/grpc/proposal/blob/master/A6-client-retries.md>; "Site
//! Reliability Engineering", chapter 22.

use std::time::Duration;

use serde::Serialize;

use crate::backoff::{Backoff, Jitter};
use crate::deadline::Deadline;
use crate::failure::{FailureKind, Pushback};
use rand::Rng;

/// How often to try, and how long to wait in between.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RetryConfig {
    /// Attempts in all, the first included, at least 1.
    pub max_attempts: u32,
    /// The first wait, before jitter.
    #[serde(serialize_with = "crate::policy::wire::duration")]
    pub base: Duration,
    /// What each further wait is multiplied with, at least 1.
    pub multiplier: f64,
    /// The longest wait, before proportional jitter.
    #[serde(serialize_with = "crate::policy::wire::duration")]
    pub cap: Duration,
    /// How chance enters.
    pub jitter: Jitter,
    /// Whether the server's word on when to come back takes the place of the back-off's wait. A
    /// client that ignores it makes an outage worse; it is here because such clients are common, and
    /// what they do can be measured.
    pub obey_pushback: bool,
}

/// Why no further attempt is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The policy has no retries.
    Off,
    /// The failure is of a kind that must not, or need not, be repeated.
    NotRetryable,
    /// That was the last attempt.
    MaxAttempts,
    /// The server said not to come back.
    Pushback,
    /// The wait would end after the deadline.
    Deadline,
    /// The budget over all calls is spent.
    Budget,
}

impl Stop {
    /// The name used in logs and span events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::NotRetryable => "not_retryable",
            Self::MaxAttempts => "max_attempts",
            Self::Pushback => "pushback",
            Self::Deadline => "deadline",
            Self::Budget => "budget",
        }
    }
}

/// The retries of one call.
#[derive(Clone, Debug)]
pub struct Retry<R> {
    max_attempts: u32,
    backoff: Backoff,
    obey_pushback: bool,
    rng: R,
}

impl<R: Rng> Retry<R> {
    /// The retries of one call, drawing its waits from `rng`. Give each call a generator of its
    /// own, or one draw decides over two calls.
    pub fn new(config: &RetryConfig, rng: R) -> Self {
        Self {
            max_attempts: config.max_attempts,
            backoff: Backoff::new(config.base, config.multiplier, config.cap, config.jitter),
            obey_pushback: config.obey_pushback,
            rng,
        }
    }

    /// The wait before the next attempt, after `attempts` of them, the last of which failed as
    /// `failure`.
    ///
    /// # Errors
    /// [`Stop`] says why there shall be no further attempt.
    pub fn wait_after(
        &mut self,
        attempts: u32,
        failure: FailureKind,
        pushback: Option<Pushback>,
        idempotent: bool,
        deadline: Deadline,
    ) -> Result<Duration, Stop> {
        if !failure.retryable(idempotent) {
            return Err(Stop::NotRetryable);
        }
        if attempts >= self.max_attempts {
            return Err(Stop::MaxAttempts);
        }
        let wait = match pushback.filter(|_| self.obey_pushback) {
            Some(Pushback::Never) => return Err(Stop::Pushback),
            Some(Pushback::Wait(wait)) => {
                self.backoff.restart();
                wait
            }
            None => self.backoff.next(&mut self.rng),
        };
        if deadline.ends_within(wait) {
            return Err(Stop::Deadline);
        }
        Ok(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Streams;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn retry() -> Retry<crate::rng::CallRng> {
        let config = RetryConfig {
            max_attempts: 4,
            base: MS(100),
            multiplier: 2.0,
            cap: MS(1_000),
            jitter: Jitter::None,
            obey_pushback: true,
        };
        Retry::new(&config, Streams::new(1).next())
    }

    #[test]
    fn waits_grow_until_the_attempts_are_spent() {
        let mut retry = retry();
        let mut ask = |attempts| {
            retry.wait_after(
                attempts,
                FailureKind::Unavailable,
                None,
                true,
                Deadline::NONE,
            )
        };
        assert_eq!(ask(1), Ok(MS(100)));
        assert_eq!(ask(2), Ok(MS(200)));
        assert_eq!(ask(3), Ok(MS(400)));
        assert_eq!(ask(4), Err(Stop::MaxAttempts));
    }

    #[test]
    fn what_is_not_safe_is_not_repeated() {
        let ask = |kind| retry().wait_after(1, kind, None, false, Deadline::NONE);
        assert_eq!(ask(FailureKind::Unavailable), Err(Stop::NotRetryable));
        assert_eq!(ask(FailureKind::Timeout), Err(Stop::NotRetryable));
        assert_eq!(ask(FailureKind::NotProcessed), Ok(MS(100)));
    }

    #[test]
    fn pushback_replaces_the_wait_and_starts_the_back_off_again() {
        let mut retry = retry();
        let mut ask = |attempts, pushback| {
            retry.wait_after(
                attempts,
                FailureKind::Exhausted,
                pushback,
                true,
                Deadline::NONE,
            )
        };
        assert_eq!(ask(1, None), Ok(MS(100)));
        assert_eq!(ask(2, Some(Pushback::Wait(MS(7)))), Ok(MS(7)));
        assert_eq!(ask(3, None), Ok(MS(100)));
        assert_eq!(ask(1, Some(Pushback::Never)), Err(Stop::Pushback));
    }

    #[test]
    fn a_client_that_does_not_obey_waits_as_if_nothing_was_said() {
        let mut retry = retry();
        retry.obey_pushback = false;
        let mut ask = |attempts, pushback| {
            retry.wait_after(
                attempts,
                FailureKind::Exhausted,
                Some(pushback),
                true,
                Deadline::NONE,
            )
        };
        assert_eq!(ask(1, Pushback::Wait(MS(7))), Ok(MS(100)));
        assert_eq!(ask(2, Pushback::Never), Ok(MS(200)));
        assert_eq!(ask(4, Pushback::Wait(MS(7))), Err(Stop::MaxAttempts));
    }

    #[test]
    fn pushback_does_not_make_a_failure_retryable() {
        let pushback = Some(Pushback::Wait(MS(7)));
        let answer = retry().wait_after(1, FailureKind::Exhausted, pushback, false, Deadline::NONE);
        assert_eq!(answer, Err(Stop::NotRetryable));
    }

    #[tokio::test(start_paused = true)]
    async fn no_wait_ends_at_or_after_the_deadline() {
        let ask = |left| {
            let deadline = Deadline::from_millis(left);
            retry().wait_after(1, FailureKind::Unavailable, None, true, deadline)
        };
        assert_eq!(ask(101), Ok(MS(100)));
        assert_eq!(ask(100), Err(Stop::Deadline));
    }
}

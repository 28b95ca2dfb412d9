//! Adaptive client throttling: a client that is refused too often refuses itself.
//!
//! A server under overload spends work on each request that it turns away, and past some load
//! nothing else. So the client counts, over a window, the requests it meant to send and those that
//! the backend accepted, and refuses a new one here with probability
//!
//! p = max(0, (requests − K · accepts) / (requests + 1))
//!
//! Nothing happens until the backend accepts less than one in K; from there the load on it settles
//! near K times what it accepts. K = 2 lets through as many requests to be refused as to be
//! accepted, so that every client soon sees the recovery; a smaller K spares the backend more and
//! sees it later. Requests refused *here* count as requests too, which is what makes p grow with
//! the demand.
//!
//! **Use it** in clients with steady traffic to a backend that refuses cheaply when it is
//! overloaded, above all where clients are many and none can see the whole. **It harms** a client
//! of few requests (its window says nothing), where one count covers backends of different health
//! (the bad one throttles the good one: keep one for each), and where refusals aren't overload: an
//! open breaker behind it, or errors of the caller's own making, must not count against the
//! backend ([`accepts`] says what does). Against a backend that is down for good, a breaker
//! answers faster: throttling keeps sending.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()
//! # .unwrap().block_on(async {
//! use rand::{SeedableRng as _, rngs::Xoshiro256PlusPlus};
//! use resilience::throttle::{Throttle, ThrottleConfig};
//!
//! let throttle = Throttle::new(ThrottleConfig::default());
//! let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
//! for _ in 0..99 {
//!     let _ = throttle.admit(&mut rng); // and nothing is ever accepted
//! }
//! assert_eq!(throttle.probability(), 0.99);
//! # });
//! ```
//!
//! Source: B. Beyer et al., "Site Reliability Engineering", chapter 21, "Client-Side Throttling".

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::{Rng, RngExt as _};
use serde::Serialize;
use tokio::time::Instant;

use crate::failure::{Classify, FailureKind};
use crate::sliding::{Counts, Sliding};

/// How readily a client throttles itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ThrottleConfig {
    /// Requests sent for each that is accepted, above 1. Below 1 is taken as 1.
    pub k: f64,
    /// How long requests and accepts count. The window is cut into 20 buckets, and one more is
    /// filling.
    #[serde(serialize_with = "crate::policy::wire::duration")]
    pub window: Duration,
}

impl Default for ThrottleConfig {
    /// The book's: K = 2 over two minutes.
    fn default() -> Self {
        Self {
            k: 2.0,
            window: Duration::from_secs(120),
        }
    }
}

/// The request was refused here.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("throttled here: the backend accepts too few requests (p = {probability:.2})")]
pub struct Throttled {
    /// The probability with which it was, 0 to 1.
    pub probability: f64,
}

/// How a call through [`Throttle::call`] failed.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum ThrottleError<E> {
    /// It was refused here.
    #[error(transparent)]
    Throttled(#[from] Throttled),
    /// It ended with an error of its own.
    #[error(transparent)]
    Failed(E),
}

/// Whether the backend took on a request that ended like this.
///
/// A request that surely was not processed, an unavailable or exhausted backend and no answer in
/// time are refusals. All else is an answer of a backend that had the capacity to give it, and a
/// cancellation says nothing, so it must not count against the backend.
pub fn accepts(result: Result<(), FailureKind>) -> bool {
    !matches!(
        result,
        Err(FailureKind::NotProcessed
            | FailureKind::Unavailable
            | FailureKind::Exhausted
            | FailureKind::Timeout)
    )
}

/// Adaptive throttling for one backend. Clones share its state.
///
/// Each operation takes one short lock and allocates nothing.
#[derive(Clone, Debug)]
pub struct Throttle {
    k: f64,
    window: Arc<Mutex<Sliding>>,
}

impl Throttle {
    /// One that has seen nothing yet and so lets everything through.
    pub fn new(config: ThrottleConfig) -> Self {
        Self {
            // `max` also takes 1 in place of what is not a number.
            k: config.k.max(1.0),
            window: Arc::new(Mutex::new(Sliding::new(config.window))),
        }
    }

    /// Asks for leave to send one request, and counts it either way. Draws from `rng` only when
    /// there is something to decide. A request that is let through and accepted must be followed
    /// by [`accepted`](Self::accepted).
    ///
    /// # Errors
    /// [`Throttled`] when it should not be sent.
    pub fn admit<R: Rng + ?Sized>(&self, rng: &mut R) -> Result<(), Throttled> {
        let probability = {
            let mut window = self.window.lock();
            let now = Instant::now();
            let probability = self.p(window.total(now));
            window.call(now);
            probability
        };
        if probability > 0.0 && rng.random::<f64>() < probability {
            return Err(Throttled { probability });
        }
        Ok(())
    }

    /// The backend accepted a request ([`accepts`]).
    pub fn accepted(&self) {
        self.window.lock().mark(Instant::now());
    }

    /// The probability with which the next request would be refused, 0 to 1.
    pub fn probability(&self) -> f64 {
        let total = self.window.lock().total(Instant::now());
        self.p(total)
    }

    /// Makes one call, unless it is refused here. Dropped before it ends, it counts as accepted:
    /// who leaves early has learnt nothing about the backend. So bound its time *inside* `op`, or
    /// a backend that hangs is never throttled.
    ///
    /// # Errors
    /// [`ThrottleError::Throttled`] when it was not made, or else `op`'s own.
    pub async fn call<T, E, R, F, Fut>(&self, rng: &mut R, op: F) -> Result<T, ThrottleError<E>>
    where
        E: Classify,
        R: Rng + ?Sized,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        self.admit(rng)?;
        let mut pending = Pending(Some(self));
        let result = op().await;
        if !accepts(result.as_ref().map(drop).map_err(Classify::failure)) {
            pending.0 = None;
        }
        result.map_err(ThrottleError::Failed)
    }

    fn p(&self, total: Counts) -> f64 {
        let (requests, accepts) = (total.calls as f64, total.marks as f64);
        ((requests - self.k * accepts) / (requests + 1.0)).max(0.0)
    }
}

/// A request under way, which was accepted unless shown otherwise.
struct Pending<'a>(Option<&'a Throttle>);

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if let Some(throttle) = self.0 {
            throttle.accepted();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{CallRng, Streams};

    const S: fn(u64) -> Duration = Duration::from_secs;

    #[derive(Debug, PartialEq)]
    struct Failure(FailureKind);

    impl Classify for Failure {
        fn failure(&self) -> FailureKind {
            self.0
        }
        fn code(&self) -> &str {
            self.0.as_str()
        }
    }

    fn throttle(k: f64) -> (Throttle, CallRng) {
        let config = ThrottleConfig { k, window: S(120) };
        (Throttle::new(config), Streams::new(21).next())
    }

    /// 200 requests a second for ten minutes against a backend that accepts 40 of them a second.
    /// Returns requests that reached it and requests it accepted, a second, over the last five.
    async fn steady_state(k: f64) -> (f64, f64) {
        let (throttle, mut rng) = throttle(k);
        let (mut sent, mut accepted) = (0, 0);
        for second in 0..600 {
            let mut capacity = 40;
            for _ in 0..200 {
                let measured = u32::from(second >= 300);
                if throttle.admit(&mut rng).is_ok() {
                    sent += measured;
                    if capacity > 0 {
                        capacity -= 1;
                        accepted += measured;
                        throttle.accepted();
                    }
                }
            }
            tokio::time::advance(S(1)).await;
        }
        (f64::from(sent) / 300.0, f64::from(accepted) / 300.0)
    }

    /// p = 1 − K · accepts / requests sends K · accepts of them. The standard error of 24 000 sent
    /// of 60 000 is 0.5 %.
    #[tokio::test(start_paused = true)]
    async fn the_backend_gets_k_times_what_it_accepts() {
        for k in [1.25, 2.0, 3.0] {
            let (sent, accepted) = steady_state(k).await;
            let ratio = sent / accepted;
            assert!((ratio / k - 1.0).abs() < 0.03, "k {k}: {ratio}");
            assert!(accepted > 39.0, "k {k}: {accepted} of 40 a second");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_refused_while_one_in_k_is_accepted() {
        let (throttle, mut rng) = throttle(2.0);
        for request in 0..10_000 {
            assert_eq!(throttle.admit(&mut rng), Ok(()));
            if request % 2 == 0 {
                throttle.accepted();
            }
            assert_eq!(throttle.probability(), 0.0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_probability_is_the_books_and_fades_with_the_window() {
        let (throttle, mut rng) = throttle(2.0);
        for _ in 0..8 {
            let _ = throttle.admit(&mut rng);
        }
        throttle.accepted();
        assert_eq!(throttle.probability(), 6.0 / 9.0);
        tokio::time::advance(S(120)).await;
        assert_eq!(throttle.probability(), 6.0 / 9.0);
        tokio::time::advance(S(6)).await;
        assert_eq!(throttle.probability(), 0.0, "nothing left to judge by");
    }

    #[test]
    fn refusals_count_against_the_backend_and_answers_do_not() {
        use FailureKind::*;
        for kind in [NotProcessed, Unavailable, Exhausted, Timeout] {
            assert!(!accepts(Err(kind)), "{kind:?}");
        }
        for kind in [Aborted, Internal, Unknown, DataLoss, Caller, Cancelled] {
            assert!(accepts(Err(kind)), "{kind:?}");
        }
        assert!(accepts(Ok(())));
    }

    async fn probability_after(end: Result<(), FailureKind>) -> f64 {
        let (throttle, mut rng) = throttle(1.0);
        let op = || async { end.map_err(Failure) };
        let result = throttle.call(&mut rng, op).await;
        assert_eq!(
            result,
            end.map_err(|kind| ThrottleError::Failed(Failure(kind)))
        );
        throttle.probability()
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_counted_by_how_it_ends() {
        assert_eq!(probability_after(Ok(())).await, 0.0);
        assert_eq!(probability_after(Err(FailureKind::Caller)).await, 0.0);
        assert_eq!(probability_after(Err(FailureKind::Timeout)).await, 0.5);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_call_does_not_count_against_the_backend() {
        let (throttle, mut rng) = throttle(1.0);
        let hangs = throttle.call(&mut rng, std::future::pending::<Result<(), Failure>>);
        assert!(tokio::time::timeout(S(1), hangs).await.is_err());
        assert_eq!(throttle.probability(), 0.0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_call_is_not_made() {
        let (throttle, mut rng) = throttle(1.0);
        let mut refused = 0;
        for _ in 0..1_000 {
            let mut made = false;
            let call = throttle.call(&mut rng, || {
                made = true;
                async { Err::<(), _>(Failure(FailureKind::Unavailable)) }
            });
            let local = matches!(call.await, Err(ThrottleError::Throttled(_)));
            assert_eq!(local, !made);
            refused += u32::from(local);
        }
        // The expectation is the sum of n / (n + 1): all but about ln 1000.
        assert!((980..1_000).contains(&refused), "{refused}");
    }

    #[tokio::test(start_paused = true)]
    async fn senseless_figures_do_no_harm() {
        for k in [f64::NAN, f64::INFINITY, -1.0, 0.0] {
            let (throttle, mut rng) = throttle(k);
            for _ in 0..100 {
                let _ = throttle.admit(&mut rng);
            }
            assert!((0.0..=1.0).contains(&throttle.probability()), "k {k}");
        }
    }
}

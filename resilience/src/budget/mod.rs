//! A bound on extra attempts, over all calls through a slot: retries and hedges.
//!
//! `max_attempts` bounds what *one* call may do, and that is no bound on the load. When everything
//! fails, four attempts a call are four times the load, just when the dependency can bear it
//! least, and the overload feeds on its own retries after its cause is gone. A budget bounds what
//! all calls do together: few failures are all retried, many are not.
//!
//! **Use one** wherever there are retries or hedges. **It harms** when it is shared by callees of
//! different health (the bad one spends what the good one needs), when it is so small that a blip
//! exhausts it (a link of one call a second earns nothing to speak of: give it a minimum), and when
//! it is taken for a breaker: it stops the extra attempts, not the first ones.
//!
//! # Which of the four
//!
//! | kind | bounds | forgets | choose it |
//! |---|---|---|---|
//! | [`Throttle`](BudgetConfig::Throttle) | whether to retry at all, by the recent share of failures | with every success | to stop *all* retries quickly once `token_ratio` failures a success are exceeded; it doesn't bound their share while they are few |
//! | [`Ratio`](BudgetConfig::Ratio) | extras per call, over a time | after `ttl` | as the default: its bound is the one that matters, load ≤ (1 + ratio) · calls + minimum |
//! | [`Bucket`](BudgetConfig::Bucket) | extras since ever, paid from successes | never | for clients of few calls: a full bucket lasts through any pause, and costs a burst when it ends |
//! | [`Active`](BudgetConfig::Active) | extras at one time | at once | where slowness is the trouble: it counts what runs, so it tightens in proportion as attempts last, but it bounds no rate of attempts that fail fast |
//!
//! What they cost in success, by the closed form (a [`Bucket`](BudgetConfig::Bucket) of 0.1 per
//! success, cost 1, against four attempts; load / success per call): failures of 10 % → 1.099 /
//! 0.989 against 1.111 / 0.9999; 50 % → 1.053 / 0.526 against 1.875 / 0.938; 100 % → 1 / 0 against
//! 4 / 0.
//!
//! # How to
//!
//! One [`Budget::call`] a logical call, held until it ends. After each attempt
//! [`record`](BudgetCall::record); before an extra one [`reserve`](BudgetCall::reserve), wait, and
//! [`begin`](Reservation::begin). A call that is cancelled while it waits drops its reservation,
//! and all of it goes back.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()
//! # .unwrap().block_on(async {
//! use resilience::FailureKind::Unavailable;
//! use resilience::budget::{Budget, BudgetConfig};
//!
//! let budget = Budget::new(BudgetConfig::Bucket {
//!     capacity: 1.0, retry_cost: 1.0, timeout_cost: 1.0, deposit: 0.1, refund: false,
//! });
//! let call = budget.call();
//! call.record(Err(Unavailable), None);
//! let waiting = call.reserve(Some(Unavailable)).expect("the bucket is full at first");
//! assert!(budget.call().reserve(None).is_none(), "now it is empty");
//! let retry = waiting.begin();
//! call.record(Ok(()), Some(retry));
//! assert_eq!(budget.left(), 0.1);
//! # });
//! ```
//!
//! Amounts are kept in millionths, so rates finer than that are rounded.

mod active;
mod amount;
mod bucket;
mod ratio;
#[cfg(test)]
mod tests;
mod throttle;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde::Serialize;

use crate::failure::FailureKind;
use crate::sliding;
use active::Active;
use bucket::Bucket;
use ratio::Ratio;
use throttle::Tokens;

/// How extra attempts are bounded. See the [module](self) for which to choose.
///
/// An amount that makes no sense (negative, not a number) is taken as zero, one that is too large
/// as the largest there is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum BudgetConfig {
    /// Tokens, full at first. A failed attempt takes one, a successful one gives `token_ratio`
    /// back; no extra attempt begins while at most half of them are there. An extra attempt costs
    /// nothing by itself: it is paid for when it fails.
    ///
    /// Failures are those of the retryable kinds, whether or not the method at hand may be
    /// repeated, and any that the server answers with "don't come back"
    /// ([`BudgetCall::record_never`]). The others are answers, and say nothing about tokens.
    ///
    /// Source: gRFC A6, "Throttling Retry Attempts and Hedged RPCs".
    Throttle {
        /// The most tokens, and how many there are at first. gRPC allows up to 1000.
        max_tokens: f64,
        /// Tokens for a success.
        token_ratio: f64,
    },
    /// Extra attempts ≤ `ratio` · calls + `min_per_second` · `ttl`, over a sliding window of `ttl`.
    ///
    /// The window is cut into 20 buckets, and one more is filling. The exact bound is: over any
    /// window of length `ttl`, the extra attempts granted and not given back are at most `ratio`
    /// times the calls begun in the covering window, which ends at the last grant and is less than
    /// 1.05 · `ttl` long, plus `min_per_second` · `ttl`. An extra attempt counts when it is granted,
    /// not when its wait is over.
    ///
    /// Source: Finagle's `RetryBudget`, whose ttl of 10 s, 20 % and 10 a second are those of
    /// linkerd; tower's `TpsBudget`.
    Ratio {
        /// Extra attempts a call earns.
        ratio: f64,
        /// How long calls and extra attempts count.
        #[serde(serialize_with = "crate::policy::wire::duration")]
        ttl: Duration,
        /// Extra attempts a second that need no calls, so that a quiet link can retry too.
        min_per_second: f64,
    },
    /// A bucket, full at first, that only extra attempts take from.
    ///
    /// What goes in depends on `refund`. Without it, every successful attempt deposits `deposit`.
    /// With it, a successful extra attempt puts back what it had cost, and only successes of calls
    /// that made no extra attempt deposit. So the cost of all extra attempts is at most `capacity`
    /// plus all deposits and refunds.
    ///
    /// Source: the AWS SDKs' standard retry mode (500 tokens, retry 5, time-out 10, deposit 1, with
    /// refund), "Retry behavior", AWS SDKs and Tools Reference Guide; without refund, M. Brooker,
    /// "Fixing retries with token buckets and circuit breakers", 2022.
    Bucket {
        /// The most tokens, and how many there are at first.
        capacity: f64,
        /// What an extra attempt takes.
        retry_cost: f64,
        /// What one takes that follows a time-out.
        timeout_cost: f64,
        /// What a success puts in.
        deposit: f64,
        /// Whether an extra attempt that succeeds gets its cost back.
        refund: bool,
    },
    /// Extra attempts under way ≤ max(`share` · calls under way, `min`), rounded down. A call is
    /// under way until its [`BudgetCall`] is dropped, an extra attempt from its reservation, its
    /// wait included, until its [`Extra`] is.
    ///
    /// The bound holds whenever one is granted; calls that end later can leave more of them.
    ///
    /// Source: Envoy's `RetryBudget` (20 %, at least 3), `config.cluster.v3.CircuitBreakers`.
    Active {
        /// Extra attempts for each call.
        share: f64,
        /// Extra attempts that are always allowed.
        min: u32,
    },
}

/// A budget. Clones share its state.
///
/// No operation waits, and none allocates but a call's first reservation. Two kinds are one atomic
/// number, two take a short lock.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Kind>);

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one to a slot, behind an `Arc` already"
)]
enum Kind {
    Throttle(Tokens),
    Ratio(Ratio),
    Bucket(Bucket),
    Active(Active),
}

/// What a grant holds, to be given back.
#[derive(Clone, Copy, Debug)]
enum Hold {
    Nothing,
    Mark(sliding::Bucket),
    Tokens(u64),
    Place,
}

impl Budget {
    /// A full budget.
    pub fn new(config: BudgetConfig) -> Self {
        Self(Arc::new(Kind::new(config)))
    }

    /// One logical call begins: not an attempt, but all of them.
    #[must_use = "the call counts as under way until this is dropped"]
    pub fn call(&self) -> BudgetCall {
        match &*self.0 {
            Kind::Ratio(ratio) => ratio.deposit(),
            Kind::Active(active) => active.call_began(),
            Kind::Throttle(_) | Kind::Bucket(_) => {}
        }
        BudgetCall {
            budget: self.0.clone(),
            extras: OnceLock::new(),
        }
    }

    /// The extra attempts it would grant right now if nothing else happened. A fraction is what has
    /// been saved up for the next one.
    ///
    /// A bucket counts them at `retry_cost`. [`Throttle`](BudgetConfig::Throttle) grants all or
    /// none, so there it is the tokens.
    pub fn left(&self) -> f64 {
        match &*self.0 {
            Kind::Throttle(tokens) => tokens.left(),
            Kind::Ratio(ratio) => ratio.left(),
            Kind::Bucket(bucket) => bucket.left(),
            Kind::Active(active) => active.left(),
        }
    }
}

impl Kind {
    fn new(config: BudgetConfig) -> Self {
        match config {
            BudgetConfig::Throttle {
                max_tokens,
                token_ratio,
            } => Self::Throttle(Tokens::new(max_tokens, token_ratio)),
            BudgetConfig::Ratio {
                ratio,
                ttl,
                min_per_second,
            } => Self::Ratio(Ratio::new(ratio, ttl, min_per_second)),
            BudgetConfig::Bucket {
                capacity,
                retry_cost,
                timeout_cost,
                deposit,
                refund,
            } => Self::Bucket(Bucket {
                capacity: amount::of(capacity),
                retry_cost: amount::of(retry_cost),
                timeout_cost: amount::of(timeout_cost),
                deposit: amount::of(deposit),
                refund,
                tokens: AtomicU64::new(amount::of(capacity)),
            }),
            BudgetConfig::Active { share, min } => Self::Active(Active::new(share, min)),
        }
    }

    fn grant(&self, after: Option<FailureKind>) -> Option<Hold> {
        match self {
            Self::Throttle(tokens) => tokens.grants().then_some(Hold::Nothing),
            Self::Ratio(ratio) => ratio.withdraw().map(Hold::Mark),
            Self::Bucket(bucket) => bucket.withdraw(after).map(Hold::Tokens),
            Self::Active(active) => active.take().then_some(Hold::Place),
        }
    }

    fn give_back(&self, hold: Hold) {
        match (self, hold) {
            (Self::Ratio(ratio), Hold::Mark(bucket)) => ratio.give_back(bucket),
            (Self::Bucket(bucket), Hold::Tokens(cost)) => bucket.put(cost),
            (Self::Active(active), Hold::Place) => active.give_back(),
            // Throttle holds nothing, and each kind holds what it granted itself.
            _ => {}
        }
    }

    fn failure(&self) {
        if let Self::Throttle(tokens) = self {
            tokens.failure();
        }
    }
}

/// One logical call. It counts as under way until it is dropped.
#[derive(Debug)]
pub struct BudgetCall {
    budget: Arc<Kind>,
    /// Whether this call has begun an extra attempt. Its reservations share it; the calls that
    /// never need one, which are nearly all, don't pay for it.
    extras: OnceLock<Arc<AtomicBool>>,
}

impl BudgetCall {
    /// Asks for an extra attempt. `after`: how the attempt before it failed; `None` for a hedge,
    /// which follows none. [`record`](Self::record) that failure first.
    ///
    /// `None` when the budget is spent.
    pub fn reserve(&self, after: Option<FailureKind>) -> Option<Reservation> {
        let hold = self.budget.grant(after)?;
        Some(Reservation(Some(Grant {
            budget: self.budget.clone(),
            hold,
            extras: self.extras.get_or_init(Arc::default).clone(),
        })))
    }

    /// An attempt ended. `extra`: what it was begun with, if it was an extra one.
    ///
    /// An attempt that was dropped, a hedge that lost, isn't recorded: dropping its [`Extra`] says
    /// it all.
    pub fn record(&self, result: Result<(), FailureKind>, extra: Option<Extra>) {
        match (result, &*self.budget) {
            (Ok(()), Kind::Throttle(tokens)) => tokens.success(),
            (Ok(()), Kind::Bucket(bucket)) => {
                let cost = extra.as_ref().and_then(Extra::cost);
                bucket.success(cost, self.has_extras());
            }
            (Err(kind), budget) if kind.retryable(true) => budget.failure(),
            _ => {}
        }
    }

    /// An attempt ended with a failure, of whatever kind, and the server said not to come back
    /// ([`Pushback::Never`](crate::Pushback::Never)). In place of [`record`](Self::record).
    ///
    /// Source: gRFC A6 counts that as a failure whatever the status.
    pub fn record_never(&self, extra: Option<Extra>) {
        self.budget.failure();
        drop(extra);
    }

    fn has_extras(&self) -> bool {
        let begun = |extras: &Arc<AtomicBool>| extras.load(Ordering::Relaxed);
        self.extras.get().is_some_and(begun)
    }
}

impl Drop for BudgetCall {
    fn drop(&mut self) {
        if let Kind::Active(active) = &*self.budget {
            active.call_ended();
        }
    }
}

#[derive(Debug)]
struct Grant {
    budget: Arc<Kind>,
    hold: Hold,
    extras: Arc<AtomicBool>,
}

/// Leave to make one extra attempt, for as long as it waits. Dropped, it gives back all it took.
#[derive(Debug)]
#[must_use = "a reservation dropped at once gives back what it took"]
pub struct Reservation(Option<Grant>);

impl Reservation {
    /// The extra attempt begins, and what it cost is spent. Keep the [`Extra`] while it runs.
    pub fn begin(mut self) -> Extra {
        let grant = self.0.take();
        if let Some(grant) = &grant {
            grant.extras.store(true, Ordering::Relaxed);
        }
        Extra(grant)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(grant) = self.0.take() {
            grant.budget.give_back(grant.hold);
        }
    }
}

/// An extra attempt under way. Hand it to [`BudgetCall::record`] at the end; dropping it instead
/// says that the attempt was cancelled, and its cost stays spent: it did reach the dependency.
#[derive(Debug)]
#[must_use = "an extra attempt counts as under way until this is dropped"]
pub struct Extra(Option<Grant>);

impl Extra {
    /// What it took from a bucket.
    fn cost(&self) -> Option<u64> {
        match self.0.as_ref()?.hold {
            Hold::Tokens(cost) => Some(cost),
            Hold::Nothing | Hold::Mark(_) | Hold::Place => None,
        }
    }
}

impl Drop for Extra {
    fn drop(&mut self) {
        // A place is held while the attempt runs; everything else was spent when it began.
        if let Some(grant) = self.0.take()
            && matches!(grant.hold, Hold::Place)
        {
            grant.budget.give_back(grant.hold);
        }
    }
}

//! The way of one call: fallback → deadline → retry with its budget → hedge → throttle → breaker →
//! bulkhead → attempt time-out → the call.

mod attempt;
mod hedged;

use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use tokio::time::{Instant, sleep};
use tracing::Instrument as _;

use crate::breaker::Permit;
use crate::budget::{Budget, BudgetCall, Reservation};
use crate::call::{Attempt, Call, CallError, Outcome, Reason};
use crate::deadline::Deadline;
use crate::failure::{Classify, FailureKind, Pushback};
use crate::guard::CallGuard;
use crate::observe::{CallId, Event};
use crate::policy::BreakerAround;
use crate::retry::{Retry, Stop};
use crate::slot::{Active, Slot};

pub(crate) async fn run<T, E, F, Fut, B, BFut>(
    slot: &Slot,
    active: &Arc<Active>,
    call: Call<'_>,
    op: F,
    fallback: B,
) -> Result<T, CallError<E>>
where
    E: Classify,
    F: FnMut(Attempt) -> Fut,
    Fut: Future<Output = Result<T, E>>,
    B: FnOnce(CallError<E>) -> BFut,
    BFut: Future<Output = Result<T, CallError<E>>>,
{
    let own = active
        .policy
        .deadline
        .map_or(Deadline::NONE, Deadline::after);
    let path = Path {
        slot,
        active,
        call,
        budget: active.budget.as_ref().map(Budget::call),
        deadline: call.deadline.earliest(own),
    };
    let mut guard = CallGuard::start(slot, active, call);
    let span = guard.span();
    let result = path.whole(&mut guard.attempts, op).instrument(span).await;
    let error = match result {
        Ok(answer) => {
            guard.end(Outcome::Ok);
            return Ok(answer);
        }
        Err(error) => error,
    };
    let failed = error.outcome();
    let result = fallback(error).instrument(guard.span()).await;
    guard.end(if result.is_ok() {
        Outcome::Degraded
    } else {
        failed
    });
    result
}

/// One call on its way.
struct Path<'a> {
    slot: &'a Slot,
    active: &'a Arc<Active>,
    call: Call<'a>,
    budget: Option<BudgetCall>,
    deadline: Deadline,
}

/// How far the call has come.
struct Progress<'m> {
    /// Attempts begun, hedges included.
    made: &'m mut u32,
    hedged: bool,
    /// The wait before this try.
    waited: Duration,
    /// What the budget holds for this try; none for the first.
    reserved: Option<Reservation>,
}

/// A refusal of our own.
struct Refusal {
    reason: Reason,
    retry_after: Option<Duration>,
}

/// How a try ended without an answer.
enum Ended<E> {
    Failed(Failure<E>),
    Refused(Refusal),
}

/// How an attempt failed. No error: our clock cut it short.
struct Failure<E> {
    error: Option<E>,
    kind: FailureKind,
    pushback: Option<Pushback>,
}

impl<E> Failure<E> {
    fn into_call_error(self, attempts: u32) -> CallError<E> {
        match self.error {
            Some(error) => CallError::Failed { error, attempts },
            None => CallError::TimedOut { attempts },
        }
    }
}

impl Refusal {
    fn into_call_error<E>(self, attempts: u32, last: Option<E>) -> CallError<E> {
        CallError::Rejected {
            reason: self.reason,
            retry_after: self.retry_after,
            attempts,
            last,
        }
    }
}

impl Path<'_> {
    /// Everything inside the deadline; with the breaker around it all, if that is where it stands.
    async fn whole<T, E, F, Fut>(&self, made: &mut u32, op: F) -> Result<T, CallError<E>>
    where
        E: Classify,
        F: FnMut(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        if self.deadline.expired() {
            return Err(self
                .refuse(1, Reason::Deadline, None)
                .into_call_error(0, None));
        }
        if self.active.policy.breaker_around == BreakerAround::Attempt {
            return self.tries(made, op).await;
        }
        let permit = match self.pass_breaker(1) {
            Ok(permit) => permit,
            Err(refusal) => return Err(refusal.into_call_error(0, None)),
        };
        let started = Instant::now();
        let result = self.tries(made, op).await;
        if let Some(permit) = permit {
            self.settle(permit, &result, started.elapsed());
        }
        result
    }

    async fn tries<T, E, F, Fut>(&self, made: &mut u32, mut op: F) -> Result<T, CallError<E>>
    where
        E: Classify,
        F: FnMut(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let config = self.active.policy.retry.as_ref();
        let mut retry = config.map(|config| Retry::new(config, self.slot.streams().next()));
        let mut last = None;
        let mut tries = 0;
        let mut progress = Progress {
            made,
            hedged: false,
            waited: Duration::ZERO,
            reserved: None,
        };
        loop {
            tries += 1;
            let failure = match self.one_try(&mut progress, &mut op).await {
                Ok(answer) => return Ok(answer),
                Err(Ended::Failed(failure)) => failure,
                Err(Ended::Refused(refusal)) => {
                    return Err(refusal.into_call_error(*progress.made, last));
                }
            };
            let number = *progress.made;
            match self.before_next(tries, number, &failure, retry.as_mut()) {
                Ok((wait, reserved)) => {
                    progress.waited = wait;
                    progress.reserved = reserved;
                }
                Err(stop) => return Err(give_up(stop, failure, number)),
            }
            self.wait(number + 1, progress.waited).await;
            // A timer may wake late. What the last attempt said is then still the best answer.
            if self.deadline.expired() {
                return Err(give_up(Stop::Deadline, failure, number));
            }
            last = failure.error;
        }
    }

    /// The wait before the next try, and the budget's leave for it, held until the try begins.
    fn before_next<E, R: Rng>(
        &self,
        tries: u32,
        number: u32,
        failure: &Failure<E>,
        retry: Option<&mut Retry<R>>,
    ) -> Result<(Duration, Option<Reservation>), Stop> {
        let wait = retry.ok_or(Stop::Off)?.wait_after(
            tries,
            failure.kind,
            failure.pushback,
            self.call.idempotent,
            self.deadline,
        )?;
        let Some(budget) = &self.budget else {
            return Ok((wait, None));
        };
        match budget.reserve(Some(failure.kind)) {
            Some(reserved) => Ok((wait, Some(reserved))),
            None => {
                self.refuse(number + 1, Reason::Budget, None);
                Err(Stop::Budget)
            }
        }
    }

    /// Asks the breaker, and tells what it says before anything else can happen to it.
    fn pass_breaker(&self, number: u32) -> Result<Option<Permit>, Refusal> {
        let Some(breaker) = &self.active.breaker else {
            return Ok(None);
        };
        self.slot
            .in_order(self.active, || match breaker.try_acquire() {
                Ok(permit) => {
                    if let Some(transition) = permit.transition() {
                        self.slot.tell_transition(self.active, transition);
                    }
                    Ok(Some(permit))
                }
                Err(refused) => Err(self.refuse(number, Reason::Breaker, refused.retry_after)),
            })
    }

    /// Lets a breaker around the call see how it ended. What we refused ourselves says nothing
    /// about the dependency.
    fn settle<T, E: Classify>(
        &self,
        permit: Permit,
        result: &Result<T, CallError<E>>,
        took: Duration,
    ) {
        let kind = match result {
            Ok(_) => None,
            Err(CallError::Failed { error, .. }) => Some(error.failure()),
            Err(CallError::TimedOut { .. }) => Some(FailureKind::Timeout),
            Err(CallError::Rejected { .. }) => Some(FailureKind::Cancelled),
        };
        self.slot.in_order(self.active, || {
            if let Some(transition) = permit.record_timed(kind, took) {
                self.slot.tell_transition(self.active, transition);
            }
        });
    }

    async fn wait(&self, next: u32, wait: Duration) {
        tracing::debug!(attempt = next, wait_ms = millis(wait), "retry");
        self.slot.tell(&Event::Wait {
            slot: self.slot.names(),
            call: self.id(),
            attempt: next,
            wait,
        });
        // tokio rounds a sleep of zero up to its next tick.
        if !wait.is_zero() {
            sleep(wait).await;
        }
    }

    /// Tells a refusal and returns it.
    fn refuse(&self, attempt: u32, reason: Reason, retry_after: Option<Duration>) -> Refusal {
        tracing::debug!(attempt, reason = reason.as_str(), "attempt refused");
        self.slot.tell(&Event::Refused {
            slot: self.slot.names(),
            call: self.id(),
            attempt,
            reason,
            retry_after,
        });
        Refusal {
            reason,
            retry_after,
        }
    }

    fn id(&self) -> CallId<'_> {
        self.call.id(&self.active.label)
    }
}

impl<'a> Call<'a> {
    pub(crate) fn id(&self, policy: &'a str) -> CallId<'a> {
        CallId {
            method: self.method,
            request_id: self.request_id,
            policy,
        }
    }
}

fn give_up<E>(stop: Stop, failure: Failure<E>, attempts: u32) -> CallError<E> {
    let failed_as = failure.kind.as_str();
    tracing::debug!(
        attempts,
        failed_as,
        reason = stop.as_str(),
        "no further attempt"
    );
    failure.into_call_error(attempts)
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

//! The way of one call: deadline → retry → breaker → attempt time-out → the call.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use tokio::time::{sleep, timeout_at};
use tracing::{Instrument as _, Span, field};

use crate::breaker::{Permit, Refused};
use crate::call::{Attempt, Call, CallError, Outcome, Reason};
use crate::deadline::Deadline;
use crate::failure::{Classify, FailureKind, Pushback};
use crate::guard::{AttemptGuard, CallGuard, End};
use crate::observe::{CallId, Event};
use crate::retry::{Retry, Stop};
use crate::slot::{Active, Slot};

/// tokio's timers tick in milliseconds, so of two that were set for one moment, ours and the
/// server's, either may fire first.
const TIMER_SLACK: Duration = Duration::from_millis(2);

/// The status told for an attempt that our clock cut short.
const CUT_SHORT: &str = "DEADLINE_EXCEEDED";

pub(crate) async fn run<T, E, F, Fut>(
    slot: &Slot,
    active: &Arc<Active>,
    call: Call<'_>,
    op: F,
) -> Result<T, CallError<E>>
where
    E: Classify,
    F: FnMut(Attempt) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let own = active
        .policy
        .deadline
        .map_or(Deadline::NONE, Deadline::after);
    let path = Path {
        slot,
        active,
        call,
        deadline: call.deadline.earliest(own),
    };
    let mut guard = CallGuard::start(slot, active, call);
    let span = guard.span();
    let result = path
        .attempts(&mut guard.attempts, op)
        .instrument(span)
        .await;
    guard.end(
        result
            .as_ref()
            .map_or_else(CallError::outcome, |_| Outcome::Ok),
    );
    result
}

struct Path<'a> {
    slot: &'a Slot,
    active: &'a Arc<Active>,
    call: Call<'a>,
    deadline: Deadline,
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

impl Path<'_> {
    async fn attempts<T, E, F, Fut>(&self, made: &mut u32, mut op: F) -> Result<T, CallError<E>>
    where
        E: Classify,
        F: FnMut(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        if self.deadline.expired() {
            return Err(self.refused_by_deadline());
        }
        let config = self.active.policy.retry.as_ref();
        let mut retry = config.map(|config| Retry::new(config, self.slot.streams().next()));
        let mut last = None;
        let mut waited = Duration::ZERO;
        loop {
            let number = *made + 1;
            let permit = match self.admit(number) {
                Ok(permit) => permit,
                Err(refused) => return Err(refused_by_breaker(refused, *made, last)),
            };
            *made = number;
            let failure = match self.attempt(number, waited, permit, &mut op).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            match self.wait_after(number, &failure, retry.as_mut()) {
                Ok(wait) => waited = wait,
                Err(stop) => return Err(give_up(stop, failure, number)),
            }
            self.wait(number + 1, waited).await;
            // A timer may wake late. What the last attempt said is then still the best answer.
            if self.deadline.expired() {
                return Err(give_up(Stop::Deadline, failure, number));
            }
            last = failure.error;
        }
    }

    /// Asks the breaker, and tells what it says before anything else can happen to it.
    fn admit(&self, number: u32) -> Result<Option<Permit>, Refused> {
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
                Err(refused) => {
                    self.tell_refused(number, Reason::Breaker, refused.retry_after);
                    Err(refused)
                }
            })
    }

    async fn attempt<T, E, F, Fut>(
        &self,
        number: u32,
        waited: Duration,
        permit: Option<Permit>,
        op: &mut F,
    ) -> Result<T, Failure<E>>
    where
        E: Classify,
        F: FnMut(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let limit = self
            .active
            .policy
            .attempt_timeout
            .map_or(Deadline::NONE, Deadline::after);
        let attempt = Attempt {
            number,
            deadline: self.deadline.earliest(limit),
        };
        let span = attempt_span(number, waited, permit.as_ref());
        let guard = AttemptGuard::start(
            self.slot,
            self.active,
            self.call.id(),
            number,
            permit,
            span.clone(),
        );
        // The operation is called inside its span, so that what it does before its first await is
        // part of it too.
        let answer = async { op(attempt).await }.instrument(span);
        let answer = match attempt.deadline.instant() {
            Some(at) => timeout_at(at, answer).await.ok(),
            None => Some(answer.await),
        };
        conclude(guard, answer, attempt.deadline)
    }

    fn wait_after<E, R: Rng>(
        &self,
        attempts: u32,
        failure: &Failure<E>,
        retry: Option<&mut Retry<R>>,
    ) -> Result<Duration, Stop> {
        let (kind, pushback) = (failure.kind, failure.pushback);
        retry.ok_or(Stop::Off)?.wait_after(
            attempts,
            kind,
            pushback,
            self.call.idempotent,
            self.deadline,
        )
    }

    async fn wait(&self, next: u32, wait: Duration) {
        tracing::debug!(attempt = next, wait_ms = millis(wait), "retry");
        self.slot.tell(&Event::Wait {
            slot: self.slot.names(),
            call: self.call.id(),
            attempt: next,
            wait,
        });
        // tokio rounds a sleep of zero up to its next tick.
        if !wait.is_zero() {
            sleep(wait).await;
        }
    }

    fn refused_by_deadline<E>(&self) -> CallError<E> {
        self.tell_refused(1, Reason::Deadline, None);
        CallError::Rejected {
            reason: Reason::Deadline,
            retry_after: None,
            attempts: 0,
            last: None,
        }
    }

    fn tell_refused(&self, attempt: u32, reason: Reason, retry_after: Option<Duration>) {
        tracing::debug!(attempt, reason = reason.as_str(), "attempt refused");
        self.slot.tell(&Event::Refused {
            slot: self.slot.names(),
            call: self.call.id(),
            attempt,
            reason,
            retry_after,
        });
    }
}

impl<'a> Call<'a> {
    pub(crate) fn id(&self) -> CallId<'a> {
        CallId {
            method: self.method,
            request_id: self.request_id,
        }
    }
}

fn attempt_span(number: u32, waited: Duration, permit: Option<&Permit>) -> Span {
    tracing::info_span!(
        "attempt",
        otel.kind = "client",
        otel.status_code = field::Empty,
        attempt.number = number,
        attempt.wait_ms = millis(waited),
        attempt.status = field::Empty,
        attempt.failure = field::Empty,
        attempt.cancelled = field::Empty,
        breaker.state = permit.map(|permit| permit.admitted().as_str()),
    )
}

/// Ends the guard with what came out; `None`: our clock cut the attempt short.
fn conclude<T, E: Classify>(
    guard: AttemptGuard<'_>,
    answer: Option<Result<T, E>>,
    deadline: Deadline,
) -> Result<T, Failure<E>> {
    match answer {
        Some(Ok(answer)) => {
            guard.end(End {
                status: "OK",
                failure: None,
            });
            Ok(answer)
        }
        Some(Err(error)) => {
            let kind = kind_at(error.failure(), deadline);
            guard.end(End {
                status: error.code(),
                failure: Some(kind),
            });
            let pushback = error.pushback();
            Err(Failure {
                error: Some(error),
                kind,
                pushback,
            })
        }
        None => {
            let kind = FailureKind::Timeout;
            guard.end(End {
                status: CUT_SHORT,
                failure: Some(kind),
            });
            Err(Failure {
                error: None,
                kind,
                pushback: None,
            })
        }
    }
}

/// A server that ran into the deadline we sent it answers CANCELLED (tonic's does). When that
/// overtakes our own timer, it's the time-out all the same, and no cancellation.
fn kind_at(kind: FailureKind, deadline: Deadline) -> FailureKind {
    match kind {
        FailureKind::Cancelled if deadline.ends_within(TIMER_SLACK) => FailureKind::Timeout,
        other => other,
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

fn refused_by_breaker<E>(refused: Refused, attempts: u32, last: Option<E>) -> CallError<E> {
    let Refused { retry_after } = refused;
    CallError::Rejected {
        reason: Reason::Breaker,
        retry_after,
        attempts,
        last,
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

//! One attempt: leave to make it, the attempt itself, and who learns how it ended.

use std::time::Duration;

use tokio::time::timeout_at;
use tracing::{Instrument as _, Span, field};

use super::{Ended, Failure, Path, Progress, Refusal, millis};
use crate::breaker::Permit;
use crate::budget::{Extra, Reservation};
use crate::bulkhead::BulkheadPermit;
use crate::call::{Attempt, Reason};
use crate::deadline::Deadline;
use crate::failure::{Classify, FailureKind, Pushback};
use crate::guard::{AttemptGuard, End};
use crate::observe::Event;
use crate::policy::BreakerAround;
use crate::throttle::{self, Throttle};

/// tokio's timers tick in milliseconds, so of two that were set for one moment, ours and the
/// server's, either may fire first.
const TIMER_SLACK: Duration = Duration::from_millis(2);

/// The status told for an attempt that our clock cut short.
const CUT_SHORT: &str = "DEADLINE_EXCEEDED";

/// Leave to make one attempt. Dropped unused, everything goes back.
pub(super) struct Leave {
    permit: Option<Permit>,
    place: Option<BulkheadPermit>,
}

/// What an attempt is.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// The first one, or a retry after this wait.
    Try(Duration),
    /// The second copy of a slow one.
    Hedge,
}

/// An attempt that has been told of, but whose operation has not been started yet.
pub(super) struct Begun<'p> {
    pub(super) attempt: Attempt,
    pub(super) span: Span,
    /// When our clock cuts it short.
    limit: Deadline,
    guard: AttemptGuard<'p>,
    extra: Option<Extra>,
    counted: Option<Counted>,
    hedge: bool,
    _place: Option<BulkheadPermit>,
}

/// A request that the throttle has counted. An attempt that is dropped says nothing about the
/// backend, so it must not stand against it: it counts as accepted.
struct Counted {
    throttle: Throttle,
    accepted: bool,
}

impl Drop for Counted {
    fn drop(&mut self) {
        if self.accepted {
            self.throttle.accepted();
        }
    }
}

impl Path<'_> {
    /// One try: an attempt, and its hedge if it is slow.
    pub(super) async fn one_try<T, E, F, Fut>(
        &self,
        progress: &mut Progress<'_>,
        op: &mut F,
    ) -> Result<T, Ended<E>>
    where
        E: Classify,
        F: FnMut(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let number = *progress.made + 1;
        let leave = self.admit(number).await.map_err(Ended::Refused)?;
        *progress.made = number;
        let extra = progress.reserved.take();
        let begun = self.begin(Kind::Try(progress.waited), number, leave, extra);
        // The operation is called inside its span, so that what it does before its first await is
        // part of it too. On the heap, because each layer it passes through would hold room for
        // another copy: of a gRPC call, 27 kB in all.
        let answer = Box::pin(begun.span.in_scope(|| op(begun.attempt)));
        let first = self.finish(begun, answer);
        match self.hedge_delay(progress) {
            None => first.await.map_err(Ended::Failed),
            Some(delay) => Box::pin(self.hedged(progress, delay, first, op)).await,
        }
    }

    /// Asks whoever may refuse: the throttle, the breaker, the bulkhead.
    async fn admit(&self, number: u32) -> Result<Leave, Refusal> {
        let permit = self.pass_unqueued(number)?;
        let Some(bulkhead) = &self.active.bulkhead else {
            return Ok(Leave {
                permit,
                place: None,
            });
        };
        match bulkhead.acquire(self.deadline).await {
            Ok(place) => Ok(Leave {
                permit,
                place: Some(place),
            }),
            Err(_) if self.deadline.expired() => Err(self.refuse(number, Reason::Deadline, None)),
            Err(_) => Err(self.refuse(number, Reason::Bulkhead, None)),
        }
    }

    /// The same without waiting for a place in the bulkhead: a hedge that queues helps nobody.
    pub(super) fn admit_now(&self, number: u32) -> Result<Leave, Refusal> {
        let place = match &self.active.bulkhead {
            None => None,
            Some(bulkhead) => match bulkhead.try_acquire() {
                Ok(place) => Some(place),
                Err(_) => return Err(self.refuse(number, Reason::Bulkhead, None)),
            },
        };
        let permit = self.pass_unqueued(number)?;
        Ok(Leave { permit, place })
    }

    fn pass_unqueued(&self, number: u32) -> Result<Option<Permit>, Refusal> {
        if let Some(throttle) = &self.active.throttle
            && throttle.admit(&mut self.slot.streams().next()).is_err()
        {
            return Err(self.refuse(number, Reason::Shed, None));
        }
        match self.active.policy.breaker_around {
            BreakerAround::Attempt => self.pass_breaker(number),
            BreakerAround::Call => Ok(None),
        }
    }

    pub(super) fn begin(
        &self,
        kind: Kind,
        number: u32,
        leave: Leave,
        reserved: Option<Reservation>,
    ) -> Begun<'_> {
        let policy = &self.active.policy;
        let own = policy
            .attempt_timeout
            .map_or(Deadline::NONE, Deadline::after);
        let limit = self.deadline.earliest(own);
        let attempt = Attempt {
            number,
            deadline: if policy.propagate_deadline {
                limit
            } else {
                Deadline::NONE
            },
        };
        let span = attempt_span(kind, number, leave.permit.as_ref());
        let guard = AttemptGuard::start(
            self.slot,
            self.active,
            self.id(),
            number,
            matches!(kind, Kind::Hedge),
            leave.permit,
            span.clone(),
        );
        Begun {
            attempt,
            span,
            limit,
            guard,
            extra: reserved.map(Reservation::begin),
            counted: self.active.throttle.clone().map(|throttle| Counted {
                throttle,
                accepted: true,
            }),
            hedge: matches!(kind, Kind::Hedge),
            _place: leave.place,
        }
    }

    pub(super) async fn finish<T, E, Fut>(
        &self,
        begun: Begun<'_>,
        answer: Fut,
    ) -> Result<T, Failure<E>>
    where
        E: Classify,
        Fut: Future<Output = Result<T, E>>,
    {
        let Begun {
            attempt: _,
            span,
            limit,
            guard,
            extra,
            counted,
            hedge,
            _place,
        } = begun;
        let answer = answer.instrument(span);
        let answer = match limit.instant() {
            Some(at) => timeout_at(at, answer).await.ok(),
            None => Some(answer.await),
        };
        let started = guard.started();
        let result = conclude(guard, answer, limit);
        if !hedge && result.is_ok() {
            self.observe(started.elapsed());
        }
        self.learn(&result, counted, extra);
        result
    }

    /// Tells the parts that watch every attempt how this one ended.
    fn learn<T, E>(
        &self,
        result: &Result<T, Failure<E>>,
        counted: Option<Counted>,
        extra: Option<Extra>,
    ) {
        let verdict = match result {
            Ok(_) => Ok(()),
            Err(failure) => Err(failure.kind),
        };
        if let Some(mut counted) = counted {
            counted.accepted = throttle::accepts(verdict);
        }
        let Some(budget) = &self.budget else {
            return;
        };
        match result {
            Err(failure) if failure.pushback == Some(Pushback::Never) => budget.record_never(extra),
            _ => budget.record(verdict, extra),
        }
        self.tell_budget();
    }

    /// Lets the hedge learn from a first copy: how long it took, or how long it had been running
    /// when the second had won.
    pub(super) fn observe(&self, took: Duration) {
        if let Some(hedge) = &self.active.hedge {
            hedge.observe(took);
        }
    }

    fn tell_budget(&self) {
        if let Some(budget) = &self.active.budget {
            self.slot.tell(&Event::Budget {
                slot: self.slot.names(),
                policy: &self.active.label,
                left: budget.left(),
            });
        }
    }
}

fn attempt_span(kind: Kind, number: u32, permit: Option<&Permit>) -> Span {
    let (waited, hedge) = match kind {
        Kind::Try(waited) => (waited, None),
        Kind::Hedge => (Duration::ZERO, Some(true)),
    };
    tracing::info_span!(
        "attempt",
        otel.kind = "client",
        otel.status_code = field::Empty,
        // OpenTelemetry has signed integers only; an unsigned one would be exported as text.
        attempt.number = i64::from(number),
        attempt.wait_ms = millis(waited),
        attempt.status = field::Empty,
        attempt.failure = field::Empty,
        attempt.cancelled = field::Empty,
        attempt.hedge = hedge,
        attempt.replica = field::Empty,
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

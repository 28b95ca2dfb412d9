//! What the tests of the call path share: an error whose kind is chosen, and an observer that
//! remembers.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use resilience::breaker::{BreakerConfig, BreakerState, Transition};
use resilience::{
    Call, Classify, Deadline, Event, FailureKind, Observer, Outcome, Policy, Pushback, Reason,
    Slot, SlotName, preset,
};
use tokio::time::Instant;

pub const MS: fn(u64) -> Duration = Duration::from_millis;

/// An error of a chosen kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    pub kind: FailureKind,
    pub pushback: Option<Pushback>,
}

impl Classify for Failure {
    fn failure(&self) -> FailureKind {
        self.kind
    }

    fn code(&self) -> &str {
        "TEST"
    }

    fn pushback(&self) -> Option<Pushback> {
        self.pushback
    }
}

pub fn failure(kind: FailureKind) -> Failure {
    Failure {
        kind,
        pushback: None,
    }
}

pub const UNAVAILABLE: Failure = Failure {
    kind: FailureKind::Unavailable,
    pushback: None,
};

/// An event, kept.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    Started(u32),
    Attempt {
        number: u32,
        ok: bool,
        status: String,
        failure: Option<FailureKind>,
        cancelled: bool,
    },
    Wait {
        next: u32,
        wait: Duration,
    },
    Refused {
        number: u32,
        reason: Reason,
        retry_after: Option<Duration>,
    },
    Call {
        outcome: Outcome,
        attempts: u32,
        took: Duration,
    },
    Hedge {
        number: u32,
        after: Duration,
    },
    HedgeWon(u32),
    Breaker(Transition),
    Policy(String),
}

/// Remembers every event with its request id (empty for a slot's own) and time.
#[derive(Default)]
pub struct Recorder(Mutex<Vec<(String, Instant, Seen)>>);

impl Observer for Recorder {
    fn on(&self, event: &Event<'_>) {
        let (request, seen) = match *event {
            Event::AttemptStarted { call, attempt, .. } => {
                (call.request_id, Seen::Started(attempt))
            }
            Event::Attempt {
                call,
                attempt,
                ok,
                status,
                failure,
                cancelled,
                ..
            } => {
                let status = status.to_owned();
                (
                    call.request_id,
                    Seen::Attempt {
                        number: attempt,
                        ok,
                        status,
                        failure,
                        cancelled,
                    },
                )
            }
            Event::Wait {
                call,
                attempt,
                wait,
                ..
            } => (
                call.request_id,
                Seen::Wait {
                    next: attempt,
                    wait,
                },
            ),
            Event::Refused {
                call,
                attempt,
                reason,
                retry_after,
                ..
            } => (
                call.request_id,
                Seen::Refused {
                    number: attempt,
                    reason,
                    retry_after,
                },
            ),
            Event::Call {
                call,
                outcome,
                attempts,
                started,
                ended,
                ..
            } => (
                call.request_id,
                Seen::Call {
                    outcome,
                    attempts,
                    took: ended - started,
                },
            ),
            Event::Hedge {
                call,
                attempt,
                after,
                ..
            } => (
                call.request_id,
                Seen::Hedge {
                    number: attempt,
                    after,
                },
            ),
            Event::HedgeWon { call, attempt, .. } => (call.request_id, Seen::HedgeWon(attempt)),
            Event::Breaker { transition, .. } => ("", Seen::Breaker(transition)),
            Event::Policy { policy, .. } => ("", Seen::Policy(policy.to_owned())),
            Event::Budget { .. } | Event::PolicyGone { .. } => return,
            _ => unreachable!("an event the tests don't know: {event:?}"),
        };
        self.0
            .lock()
            .push((request.to_owned(), Instant::now(), seen));
    }
}

impl Recorder {
    /// Everything since the last time it was asked.
    pub fn take(&self) -> Vec<Seen> {
        self.take_timed()
            .into_iter()
            .map(|(_, _, seen)| seen)
            .collect()
    }

    pub fn take_timed(&self) -> Vec<(String, Instant, Seen)> {
        std::mem::take(&mut self.0.lock())
    }

    /// The transitions since the last time it was asked.
    pub fn take_transitions(&self) -> Vec<(BreakerState, BreakerState)> {
        let transition = |seen| match seen {
            Seen::Breaker(transition) => Some((transition.from, transition.to)),
            _ => None,
        };
        self.take().into_iter().filter_map(transition).collect()
    }
}

pub fn slot(policy: Policy) -> (Slot, Arc<Recorder>) {
    let recorder = Arc::new(Recorder::default());
    let name = SlotName::new("order-product", "order", "product");
    let slot = Slot::new(name, policy, recorder.clone(), 42);
    assert_eq!(recorder.take().len(), 1, "the first policy is told");
    (slot, recorder)
}

pub fn call(request_id: &str) -> Call<'_> {
    Call {
        method: "GetProducts",
        request_id,
        idempotent: true,
        deadline: Deadline::NONE,
    }
}

/// `fast` without jitter, so that waits are 50, 100, 200 ms…
pub fn plain() -> Policy {
    let mut policy = preset::fast();
    policy.retry.as_mut().expect("fast retries").jitter = resilience::backoff::Jitter::None;
    policy
}

pub fn with_breaker(policy: Policy, failures: u32, reset: Duration) -> Policy {
    Policy {
        breaker: Some(BreakerConfig::consecutive(failures, reset)),
        ..policy
    }
}

pub fn without_retry(policy: Policy) -> Policy {
    Policy {
        retry: None,
        ..policy
    }
}

//! Decisions of a policy in this process (the load's own), as the events they would be on
//! the wire.

use loadtest::clock;
use resilience::breaker;
use resilience::observe;
use tokio::time::Instant;

use super::{CallRef, Event, Kind, plain_link};
use crate::runlog::BreakerState;

impl Event {
    /// The event that a decision is; `None` for one that no reader of events wants.
    /// `service` is whose decision it is.
    #[must_use]
    pub fn observed(seq: u64, service: &str, event: &observe::Event<'_>) -> Option<Self> {
        let (t_ns, kind) = kind(event)?;
        Some(Self {
            seq,
            t_ns,
            service: service.to_owned(),
            kind,
        })
    }
}

fn kind(event: &observe::Event<'_>) -> Option<(u64, Kind)> {
    let now = clock::now_ns();
    let link = plain_link(&event.slot().link);
    let of = |call: observe::CallId<'_>| CallRef {
        link: link.to_owned(),
        method: call.method.to_owned(),
        request_id: call.request_id.to_owned(),
    };
    Some(match *event {
        observe::Event::Attempt {
            call,
            attempt,
            started,
            ended,
            ok,
            status,
            failure,
            cancelled,
            ..
        } => {
            let kind = Kind::Attempt {
                call: of(call),
                attempt,
                started_ns: ns_of(started),
                ok,
                status: (!ok).then(|| status.to_owned()),
                failure: failure.map(|f| f.as_str().to_owned()),
                cancelled,
            };
            (ns_of(ended), kind)
        }
        observe::Event::Call {
            call,
            outcome,
            attempts,
            started,
            ended,
            ..
        } => {
            let kind = Kind::Call {
                call: of(call),
                outcome: outcome.as_str().to_owned(),
                attempts,
                started_ns: ns_of(started),
            };
            (ns_of(ended), kind)
        }
        observe::Event::Wait {
            call,
            attempt,
            wait,
            ..
        } => {
            let wait_us = us(wait);
            let call = of(call);
            (
                now,
                Kind::Wait {
                    call,
                    attempt,
                    wait_us,
                },
            )
        }
        observe::Event::Refused {
            call,
            attempt,
            reason,
            ..
        } => {
            let reason = reason.as_str().to_owned();
            let call = of(call);
            (
                now,
                Kind::Refused {
                    call,
                    attempt,
                    reason,
                },
            )
        }
        observe::Event::Hedge {
            call,
            attempt,
            after,
            ..
        } => {
            let after_us = us(after);
            let call = of(call);
            (
                now,
                Kind::Hedge {
                    call,
                    attempt,
                    after_us,
                },
            )
        }
        observe::Event::HedgeWon { call, attempt, .. } => {
            let call = of(call);
            (now, Kind::HedgeWon { call, attempt })
        }
        observe::Event::Breaker { transition, .. } => {
            let kind = Kind::Breaker {
                link: link.to_owned(),
                from: state(transition.from),
                to: state(transition.to),
            };
            (now, kind)
        }
        _ => return None,
    })
}

fn us(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// tokio's clock on ours.
fn ns_of(instant: Instant) -> u64 {
    let (now, here) = (clock::now_ns(), Instant::now());
    let ago = clock::as_ns(here.saturating_duration_since(instant));
    let ahead = clock::as_ns(instant.saturating_duration_since(here));
    now.saturating_sub(ago).saturating_add(ahead)
}

const fn state(state: breaker::BreakerState) -> BreakerState {
    match state {
        breaker::BreakerState::Closed => BreakerState::Closed,
        breaker::BreakerState::Open => BreakerState::Open,
        breaker::BreakerState::HalfOpen => BreakerState::HalfOpen,
    }
}

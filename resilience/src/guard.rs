//! Guards that tell how a call and an attempt ended, however they end.
//!
//! A future can be dropped at any await, and nobody runs code for it then but its destructors. So
//! the end is told by these: a guard dropped without a word was cancelled.

use std::sync::Arc;

use tokio::time::Instant;
use tracing::{Span, field};

use crate::breaker::Permit;
use crate::call::{Call, Outcome};
use crate::failure::FailureKind;
use crate::observe::{CallId, Event};
use crate::slot::{Active, Slot};

/// A logical call under way.
pub(crate) struct CallGuard<'a> {
    slot: &'a Slot,
    call: CallId<'a>,
    started: Instant,
    span: Span,
    /// Attempts begun so far.
    pub(crate) attempts: u32,
    outcome: Outcome,
}

impl<'a> CallGuard<'a> {
    pub(crate) fn start(slot: &'a Slot, active: &'a Active, call: Call<'a>) -> Self {
        let span = tracing::info_span!(
            "call",
            link = slot.name(),
            method = call.method,
            policy = active.label,
            attempts = field::Empty,
            outcome = field::Empty,
        );
        Self {
            slot,
            call: call.id(&active.label),
            started: Instant::now(),
            span,
            attempts: 0,
            outcome: Outcome::Cancelled,
        }
    }

    pub(crate) fn span(&self) -> Span {
        self.span.clone()
    }

    pub(crate) fn end(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for CallGuard<'_> {
    fn drop(&mut self) {
        self.span.record("attempts", i64::from(self.attempts));
        self.span.record("outcome", self.outcome.as_str());
        self.slot.tell(&Event::Call {
            slot: self.slot.names(),
            call: self.call,
            outcome: self.outcome,
            attempts: self.attempts,
            started: self.started,
            ended: Instant::now(),
        });
    }
}

/// An attempt under way, with its permit.
pub(crate) struct AttemptGuard<'a> {
    slot: &'a Slot,
    active: &'a Arc<Active>,
    call: CallId<'a>,
    number: u32,
    started: Instant,
    permit: Option<Permit>,
    span: Span,
    ended: bool,
}

/// How an attempt ended, for those who are told.
#[derive(Clone, Copy)]
pub(crate) struct End<'e> {
    pub(crate) status: &'e str,
    pub(crate) failure: Option<FailureKind>,
}

impl<'a> AttemptGuard<'a> {
    pub(crate) fn start(
        slot: &'a Slot,
        active: &'a Arc<Active>,
        call: CallId<'a>,
        number: u32,
        hedge: bool,
        permit: Option<Permit>,
        span: Span,
    ) -> Self {
        slot.tell(&Event::AttemptStarted {
            slot: slot.names(),
            call,
            attempt: number,
            hedge,
        });
        let started = Instant::now();
        Self {
            slot,
            active,
            call,
            number,
            started,
            permit,
            span,
            ended: false,
        }
    }

    /// When it began.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// The attempt ran to its end.
    pub(crate) fn end(mut self, end: End<'_>) {
        self.conclude(end, false);
    }

    /// Tells the end, then lets the breaker see it, then tells what the breaker made of it.
    fn conclude(&mut self, end: End<'_>, cancelled: bool) {
        self.ended = true;
        self.record_in_span(end, cancelled);
        let permit = self.permit.take();
        let (slot, active) = (self.slot, self.active);
        let ended = Instant::now();
        let event = Event::Attempt {
            slot: slot.names(),
            call: self.call,
            attempt: self.number,
            started: self.started,
            ended,
            ok: end.failure.is_none() && !cancelled,
            status: end.status,
            failure: end.failure,
            cancelled,
        };
        slot.in_order(active, || {
            slot.tell(&event);
            // A permit dropped unrecorded says that its attempt was cancelled.
            let permit = permit.filter(|_| !cancelled);
            let took = ended - self.started;
            let transition = permit.and_then(|permit| permit.record_timed(end.failure, took));
            if let Some(transition) = transition {
                slot.tell_transition(active, transition);
            }
        });
    }

    fn record_in_span(&self, end: End<'_>, cancelled: bool) {
        self.span.record("attempt.status", end.status);
        if let Some(failure) = end.failure {
            self.span.record("attempt.failure", failure.as_str());
            // The caller's own faults are answers; OpenTelemetry counts those as no error here.
            if failure != FailureKind::Caller {
                self.span.record("otel.status_code", "ERROR");
            }
        }
        if cancelled {
            self.span.record("attempt.cancelled", true);
        }
    }
}

impl Drop for AttemptGuard<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.conclude(
                End {
                    status: "CANCELLED",
                    failure: None,
                },
                true,
            );
        }
    }
}

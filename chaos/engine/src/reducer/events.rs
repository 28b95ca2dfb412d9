//! What the parts tell, added to the stories of their requests.

use super::Reducer;
use super::story::{Attempt, Call, Deed, Did, Story};
use crate::event::{CallRef, Event, Kind};
use crate::runlog::{BreakerState, Entry};

impl Reducer {
    pub(super) fn event(&mut self, event: Event) {
        let ns = event.t_ns;
        match event.kind {
            Kind::Attempt { .. } => self.attempt(ns, event.kind),
            Kind::Call {
                call,
                outcome,
                attempts,
                started_ns,
            } => {
                let ended = Call {
                    link: call.link.clone(),
                    outcome,
                    tried: attempts > 0,
                    started_ns,
                    ended_ns: ns,
                };
                self.add(&call, ns, |story| story.calls.push(ended));
            }
            Kind::Refused { call, attempt, .. } => {
                let first = attempt == 1 && self.spec.faulted(&call.link);
                self.deed(&call, ns, Did::Refuse);
                if first {
                    self.add(&call, ns, |story| story.refused_first = true);
                }
            }
            Kind::Wait {
                call,
                attempt,
                wait_us,
            } => self.deed(&call, ns, Did::Wait(attempt, wait_us)),
            Kind::Hedge { call, .. } => self.deed(&call, ns, Did::Hedge),
            Kind::HedgeWon { call, .. } => self.deed(&call, ns, Did::HedgeWon),
            Kind::Shed { call, .. } => self.deed(&call, ns, Did::Shed),
            Kind::Wasted { call, took_us } => self.deed(&call, ns, Did::Waste(took_us)),
            Kind::Fault { fault, .. } => self.frames.acted(&fault, ns),
            Kind::Breaker { link, from, to } => self.moved(ns, link, from, to),
            Kind::Hello
            | Kind::Gap { .. }
            | Kind::FaultExpired { .. }
            | Kind::Policy { .. }
            | Kind::Other => {}
        }
    }

    fn attempt(&mut self, ended_ns: u64, kind: Kind) {
        let Kind::Attempt {
            call,
            attempt,
            started_ns,
            ok,
            failure,
            cancelled,
            ..
        } = kind
        else {
            return;
        };
        let failed = !ok && !cancelled && counts_against(failure.as_deref());
        let learnt = if cancelled { None } else { Some(!failed) };
        self.breakers
            .attempt(&call.link, learnt, failure.as_deref());
        let life = (started_ns, ended_ns);
        self.breakers.begun(&call.link, life, self.windows.begun());
        if !call.request_id.is_empty() {
            self.frames.begun(&call.link, started_ns);
        }
        let attempt = Attempt {
            link: call.link.clone(),
            number: attempt,
            started_ns,
            ended_ns,
            failed,
        };
        self.add(&call, ended_ns, |story| story.attempts.push(attempt));
    }

    fn deed(&mut self, call: &CallRef, at_ns: u64, what: Did) {
        let link = call.link.clone();
        let deed = Deed { link, at_ns, what };
        self.add(call, at_ns, |story| story.deeds.push(deed));
    }

    fn moved(&mut self, ns: u64, link: String, from: BreakerState, to: BreakerState) {
        let led = self.breakers.moved(&link, ns, to);
        self.out.push(Entry::Breaker {
            trial: self.spec.trial,
            t_us: self.spec.t_us(ns),
            link,
            from,
            to,
            failed_in_a_row: led.failed_in_a_row,
            attempts_since: led.since,
        });
    }

    /// Adds to a request's story; to its place in the frames when it has been
    /// counted already.
    fn add(&mut self, call: &CallRef, now_ns: u64, change: impl FnOnce(&mut Story)) {
        if call.request_id.is_empty() {
            // Work that no request asked for, such as health checks.
            return;
        }
        if let Some((_, place)) = self.counted.get(&call.request_id) {
            let place = place.clone();
            let mut late = Story::default();
            change(&mut late);
            self.count_story(&late, &place);
            return;
        }
        let (_, story) = self
            .stories
            .entry(call.request_id.clone())
            .or_insert((now_ns, Story::default()));
        change(story);
    }
}

/// Whether a failed attempt speaks against the dependency: the caller's own
/// faults and the callers who left don't.
fn counts_against(failure: Option<&str>) -> bool {
    !matches!(failure, Some("caller" | "cancelled"))
}

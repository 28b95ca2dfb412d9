//! A door's state and its rules, as a plain machine: time comes in as an argument, and nothing here
//! waits, locks or tells anybody. What has to be told comes out as tickets.
//!
//! One rule holds between any two steps: nobody waits who could be let in. The head of the queue is
//! of the highest level that waits, and no level has more room than one above it, so if the head
//! can't be let in, nobody can; and whoever arrives can never overtake an equal.

use tokio::time::{Duration, Instant};

use super::policy::{QueueConfig, ServerPolicy};
use super::queue::{Next, Place, Queue};
use super::shares::Shares;
use super::{ServerView, ShedReason};
use crate::limit::{Limiter, Sample};
use crate::priority::Priority;

/// Never ask anybody to come back sooner.
const LEAST_RETRY: Duration = Duration::from_millis(10);

#[derive(Debug)]
pub(super) struct State<T> {
    limiter: Option<Limiter>,
    queue: Queue<T>,
    bounds: Option<QueueConfig>,
    shares: Shares,
    inflight: u32,
    held: Held,
}

/// What becomes of an arrival.
#[derive(Debug)]
pub(super) enum Arrived<T, R> {
    In,
    Waits(Waits<T, R>),
    Refused(ShedReason),
}

#[derive(Debug)]
pub(super) struct Waits<T, R> {
    /// Where the answer will be: the other half of the ticket.
    pub(super) answer: R,
    pub(super) place: Place,
    /// When it is refused, unless it is let in before.
    pub(super) until: Option<Instant>,
    /// What it is refused for then.
    pub(super) late: ShedReason,
    /// Who had to leave for it.
    pub(super) displaced: Option<T>,
}

/// Whom a step lets in, and whom it found to be late. Mostly it's one and none.
#[derive(Debug)]
pub(super) struct Grants<T> {
    pub(super) first: Option<T>,
    pub(super) more: Vec<T>,
    pub(super) late: Vec<T>,
}

impl<T> State<T> {
    pub(super) fn new(policy: &ServerPolicy) -> Self {
        Self {
            limiter: policy.limit.as_ref().map(Limiter::new),
            queue: Queue::new(),
            bounds: policy.queue,
            shares: Shares::new(policy.shed.as_ref()),
            inflight: 0,
            held: Held::default(),
        }
    }

    /// Somebody arrives. If he has to wait, `ticket` makes what he is called by and what he listens
    /// to.
    pub(super) fn arrive<R>(
        &mut self,
        level: Priority,
        deadline: Option<Instant>,
        now: Instant,
        ticket: impl FnOnce() -> (T, R),
    ) -> Arrived<T, R> {
        if self.inflight < self.room(level) {
            self.inflight += 1;
            return Arrived::In;
        }
        let Some(bounds) = self.bounds else {
            return Arrived::Refused(if self.inflight < self.limit().unwrap_or(u32::MAX) {
                ShedReason::Priority
            } else {
                ShedReason::Full
            });
        };
        let displaced = match self.make_room(level, bounds.max_waiting) {
            Ok(displaced) => displaced,
            Err(reason) => return Arrived::Refused(reason),
        };
        let patience = now.checked_add(self.max_wait(bounds, now));
        let (until, late) = match (deadline, patience) {
            (Some(deadline), Some(patience)) if patience < deadline => {
                (Some(patience), ShedReason::Wait)
            }
            (Some(deadline), _) => (Some(deadline), ShedReason::Deadline),
            (None, patience) => (patience, ShedReason::Wait),
        };
        let (ticket, answer) = ticket();
        let place = self.queue.push(level, until, ticket, now);
        Arrived::Waits(Waits {
            answer,
            place,
            until,
            late,
            displaced,
        })
    }

    /// A place in the queue for one of `level`: a free one, or that of somebody less important.
    fn make_room(&mut self, level: Priority, max: u32) -> Result<Option<T>, ShedReason> {
        let (waiting, open) = (self.queue.len(), self.shares.of(max, level));
        if waiting < open {
            return Ok(None);
        }
        if let Some(displaced) = self.queue.displace(level) {
            return Ok(Some(displaced));
        }
        Err(if waiting < max {
            ShedReason::Priority
        } else {
            ShedReason::Full
        })
    }

    fn max_wait(&self, bounds: QueueConfig, now: Instant) -> Duration {
        match bounds.codel {
            Some(codel) if self.queue.standing(now) >= codel.interval => {
                codel.target.min(bounds.max_wait)
            }
            _ => bounds.max_wait,
        }
    }

    /// Somebody stops waiting. Whether he still was: if not, an answer is on its way to him.
    /// Nobody moves up by it, since whoever leaves couldn't be let in himself.
    pub(super) fn leave(&mut self, place: Place) -> bool {
        self.queue.remove(place).is_some()
    }

    /// Somebody who was let in is done. `took`: for how long, if he ever began. `dropped`: whether
    /// overload ended it; `None` tells the limit nothing.
    pub(super) fn release(&mut self, took: Option<Duration>, dropped: Option<bool>, now: Instant) {
        let inflight = self.inflight;
        self.inflight = inflight.saturating_sub(1);
        let Some(took) = took else { return };
        self.held.add(took);
        if let (Some(limiter), Some(dropped)) = (&mut self.limiter, dropped) {
            let sample = Sample {
                rtt: took,
                inflight,
                dropped,
            };
            limiter.sample(sample, now);
        }
    }

    /// Lets in whoever may be let in now. Their slots are taken.
    pub(super) fn grant(&mut self, now: Instant) -> Grants<T> {
        let mut grants = Grants {
            first: None,
            more: Vec::new(),
            late: Vec::new(),
        };
        while let Some(level) = self.queue.highest() {
            if self.inflight >= self.room(level) {
                break;
            }
            match self.queue.pop(level, now) {
                Some(Next::InTime(ticket)) => {
                    self.inflight += 1;
                    grants.add(ticket);
                }
                Some(Next::Late(ticket)) => grants.late.push(ticket),
                None => break,
            }
        }
        grants
    }

    pub(super) fn view(&self) -> ServerView {
        ServerView {
            limit: self.limit(),
            inflight: self.inflight,
            waiting: self.queue.len(),
        }
    }

    /// When it may be worth coming back: by Little's law, the time after which all who wait now
    /// have been let in, and at least the time of one request.
    pub(super) fn retry_after(&self) -> Duration {
        let limit = f64::from(self.limit().unwrap_or(u32::MAX));
        let turns = (f64::from(self.queue.len()) + 1.0) / limit;
        let wait = self.held.mean_secs() * turns.max(1.0);
        Duration::try_from_secs_f64(wait)
            .unwrap_or(Duration::MAX)
            .max(LEAST_RETRY)
    }

    fn limit(&self) -> Option<u32> {
        self.limiter.as_ref().map(Limiter::limit)
    }

    /// How many may be under way for one of `level` to be let in.
    fn room(&self, level: Priority) -> u32 {
        self.limit()
            .map_or(u32::MAX, |limit| self.shares.of(limit, level))
    }
}

impl<T> Grants<T> {
    fn add(&mut self, ticket: T) {
        if self.first.is_none() {
            self.first = Some(ticket);
        } else {
            self.more.push(ticket);
        }
    }
}

/// For how long a slot is held, on the mean: an exponential one with the weight that TCP gives a
/// new round-trip time, an eighth (RFC 6298).
#[derive(Debug, Default)]
struct Held(Option<f64>);

impl Held {
    const WEIGHT: f64 = 0.125;

    fn add(&mut self, took: Duration) {
        let took = took.as_secs_f64();
        self.0 = Some(
            self.0
                .map_or(took, |mean| mean + (took - mean) * Self::WEIGHT),
        );
    }

    fn mean_secs(&self) -> f64 {
        self.0.unwrap_or_default()
    }
}

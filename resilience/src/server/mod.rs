//! The server's side: how much to work on at once, who may wait for how long, and whom to refuse.
//!
//! A server under overload that takes on everything finishes nothing in time: its queue grows,
//! every answer gets older, callers leave and come back, and the work goes on for those who have
//! left. All capacity is spent and none of it is of use. The remedy is to refuse early what can't
//! be served in time, at a cost far below that of serving it. Four parts, each of which may be off:
//!
//! - a **limit** on what is under way at once ([`crate::limit`]);
//! - a bounded **queue** before it, for bursts, with a bound on the time as well as on the number:
//!   the time is what callers feel, and with a time-out of their own it is what decides whether the
//!   answer is of use;
//! - **CoDel** on the queue ([`CodelConfig`]): when it doesn't drain, it is no burst, and waiting
//!   is cut short;
//! - **shedding** by [`Priority`]: the less it matters, the sooner it is refused.
//!
//! **Use it** at each server that can be asked for more than it can do, that is, at each. Begin
//! with a static limit somewhat above what the server works on at its best throughput, with a
//! queue whose time is well below the callers' time-out, and priorities.
//!
//! **It harms**:
//! - *without priorities*: a limit starves health checks like anything else, the orchestrator
//!   kills the server for it, and the load falls on the rest. Let health checks come as
//!   critical-plus, or not through this door at all;
//! - *with a queue longer than callers wait*: everybody served has left already. The bound on the
//!   number doesn't help, `max_wait` does;
//! - *with a CoDel target shorter than the time between two answers* (limit 4, 100 ms each: one in
//!   25 ms): the queue empties by refusals before a slot is free;
//! - *with one door for unlike work*: slow reports fill the slots of quick reads. Give them a slot
//!   each;
//! - *when callers retry what was refused*: shed load comes back. Answers carry
//!   [`Shed::retry_after`], and callers need a retry budget ([`crate::retry`]);
//! - *with shares that add nothing*: what is kept for a level that sends nothing lies idle.
//!
//! # Who is let in
//!
//! By level, and first come first served within one. When the part of the queue that is open to a
//! level is full, an arrival displaces the newest of the lowest level below its own, never an
//! equal. Whoever's deadline or `max_wait` passes is refused at that moment; who is cancelled
//! leaves at once. A limit that falls only stops new admissions.
//!
//! Last come, first served under overload (adaptive LIFO, as in "Fail at Scale") is left out: with
//! CoDel nobody waits for longer than a few milliseconds when it would matter, and order is what
//! makes a queue's behaviour explainable.
//!
//! # What is told
//!
//! [`Event::Admitted`](crate::Event::Admitted), [`Event::Shed`](crate::Event::Shed) and
//! [`Event::Finished`](crate::Event::Finished), the last exactly once for each admission. They are
//! told outside of all locks: of two on different threads, either may be told first.
//!
//! Sources: Google, "Site Reliability Engineering", chapters 21 and 22; B. Maurer, "Fail at Scale",
//! ACM Queue 2015; Zhou et al., "Overload Control for Scaling WeChat Microservices", SoCC 2018.

mod door;
mod policy;
pub mod preset;
mod queue;
mod read;
mod shares;
mod slot;
mod spec;
mod state;

use std::time::Duration;

use serde::Serialize;

use crate::deadline::Deadline;
use crate::priority::Priority;

pub use policy::{CodelConfig, QueueConfig, ServerPolicy, ShedConfig};
pub use slot::{Admission, ServerSlot};
pub use spec::ServerSpec;

/// A request at the door.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// The method or route template, for metrics and events. From a bounded set: never an id.
    pub method: &'a str,
    /// The request, as in `x-request-id`.
    pub request_id: &'a str,
    /// How much it matters.
    pub priority: Priority,
    /// When its caller stops waiting.
    pub deadline: Deadline,
}

/// Not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("shed ({})", .reason.as_str())]
pub struct Shed {
    /// Why.
    pub reason: ShedReason,
    /// An estimate of when the queue as it is now will have been served, at least 10 ms. Without
    /// jitter: that is the caller's.
    pub retry_after: Duration,
}

/// Why a request was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ShedReason {
    /// The limit is reached, and the queue is full or there is none.
    Full,
    /// It waited for as long as the policy allows.
    Wait,
    /// What is left is for more important requests, or one of those took its place.
    Priority,
    /// Its deadline passed.
    Deadline,
}

impl ShedReason {
    /// Every reason, in the order of declaration.
    pub const ALL: [Self; 4] = [Self::Full, Self::Wait, Self::Priority, Self::Deadline];

    /// The name used in events and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Wait => "wait",
            Self::Priority => "priority",
            Self::Deadline => "deadline",
        }
    }
}

/// How the work on an admitted request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Answered, be it with the caller's own fault: its time tells about the server.
    Ok,
    /// Failed for want of capacity further in (a pool exhausted, a dependency that sheds): the
    /// limit takes it for overload.
    Overloaded,
    /// Ended in a way that tells nothing about the load: an error at once, a stream held open.
    Ignore,
}

impl End {
    /// What the limit learns: that there was capacity, that there was none, or nothing.
    fn dropped(self) -> Option<bool> {
        match self {
            Self::Ok => Some(false),
            Self::Overloaded => Some(true),
            Self::Ignore => None,
        }
    }
}

/// A look at a door from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ServerView {
    /// How much may be under way at once; `None` without a limit.
    pub limit: Option<u32>,
    /// How much is.
    pub inflight: u32,
    /// How many wait.
    pub waiting: u32,
}

#[cfg(test)]
mod tests;

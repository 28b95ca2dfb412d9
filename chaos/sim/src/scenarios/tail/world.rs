//! Fan-outs through one slot, to replicas that stall now and then.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use resilience::observe::Fanout;
use resilience::{Call, Deadline, Slot, SlotName};
use tokio::task::JoinSet;

use super::arms::Arm;
use crate::kernel::{Clock, Seed, SimRng, scale, world};
use crate::model::{Arrivals, ModelError, ServiceTime};

/// What a server takes that doesn't stall: 95 % of its answers come within 19 ms, 99.9 %
/// within 34 ms.
pub(super) const MEDIAN: Duration = Duration::from_millis(10);
const SIGMA: f64 = 0.4;

/// Calls a second, whatever the fan-out.
pub(super) const RATE: f64 = 2_000.0;

/// Calls before it counts: the percentile is learned from the first ones.
const WARM_UP: u32 = 1_000;

/// What every request is like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Requests {
    /// Calls of each.
    pub(super) fanout: u32,
    /// The share of calls that meet a stalled server.
    pub(super) slow_share: f64,
    /// How long it stalls.
    pub(super) stall: Duration,
}

/// What was seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Each call's time, in microseconds.
    pub(super) calls: Vec<u32>,
    /// Each request's: until its last call is answered.
    pub(super) requests: Vec<u32>,
    /// Second copies that were sent.
    pub(super) hedges: u64,
}

impl Seen {
    fn add(&mut self, request: Request) {
        self.requests
            .push(request.calls.iter().copied().max().unwrap_or(0));
        self.calls.extend(request.calls);
        self.hedges += u64::from(request.hedges);
    }

    /// Both together.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.calls.extend(other.calls);
        self.requests.extend(other.requests);
        self.hedges += other.hedges;
        self
    }
}

/// Lets it run until so many requests were counted.
pub(super) fn look(arm: Arm, requests: Requests, count: u32, seed: Seed) -> Seen {
    world(|clock| async move {
        let caller = Caller {
            slot: slot(arm, seed),
            clock,
            usual: ServiceTime::log_normal(MEDIAN, SIGMA),
            requests,
        };
        let first = WARM_UP.div_ceil(requests.fanout);
        let mut seen = Seen::default();
        let mut under_way = JoinSet::new();
        let rate = RATE / f64::from(requests.fanout);
        let arrivals = Arrivals::poisson(rate, seed.role("arrivals").rng());
        for (number, at) in (0..first + count).zip(arrivals) {
            clock.sleep_until(at).await;
            while let Some(Ok(request)) = under_way.try_join_next() {
                keep(&mut seen, request);
            }
            let seed = seed.role("request").nth(number.into());
            let counts = number >= first;
            under_way.spawn(caller.clone().request(counts, seed));
        }
        let rest = under_way.join_all().await;
        rest.into_iter()
            .for_each(|request| keep(&mut seen, request));
        seen
    })
}

fn keep(seen: &mut Seen, request: Request) {
    if request.counts {
        seen.add(request);
    }
}

fn slot(arm: Arm, seed: Seed) -> Slot {
    Slot::new(
        SlotName::new("root-leaf", "root", "leaf"),
        scale::policy(arm.policy()),
        Arc::new(Fanout::default()),
        seed.role("slot").value(),
    )
}

/// How a request ended.
struct Request {
    counts: bool,
    calls: Vec<u32>,
    hedges: u32,
}

/// Who makes all calls: one process, with one slot.
#[derive(Clone)]
struct Caller {
    slot: Slot,
    clock: Clock,
    usual: ServiceTime,
    requests: Requests,
}

impl Caller {
    /// All calls of a request at once.
    async fn request(self, counts: bool, seed: Seed) -> Request {
        let mut calls = JoinSet::new();
        for call in 0..self.requests.fanout {
            // One stream for each call, so that its first copy has the same luck in every arm.
            let chance = seed.nth(call.into()).rng();
            calls.spawn(self.clone().call(chance));
        }
        let ended = calls.join_all().await;
        Request {
            counts,
            hedges: ended.iter().map(|(_, copies)| copies - 1).sum(),
            calls: ended.into_iter().map(|(micros, _)| micros).collect(),
        }
    }

    /// One call: how long it took, in microseconds, and how many copies of it were sent.
    async fn call(self, mut chance: SimRng) -> (u32, u32) {
        let call = Call {
            method: "Get",
            request_id: "",
            idempotent: true,
            deadline: Deadline::NONE,
        };
        let started = self.clock.now();
        let mut copies = 0;
        let answer = self.slot.call(call, |attempt| {
            copies = attempt.number;
            let takes = self.takes(&mut chance);
            async move {
                self.clock.sleep(takes).await;
                Ok::<_, ModelError>(())
            }
        });
        // Nothing fails here.
        let _ = answer.await;
        let took = (self.clock.now() - started).as_micros();
        (u32::try_from(took).unwrap_or(u32::MAX), copies)
    }

    /// A copy's time: that of a server that stalls first, or doesn't.
    fn takes(&self, chance: &mut SimRng) -> Duration {
        let stalls = chance.random::<f64>() < self.requests.slow_share;
        let usual = self.usual.sample(chance);
        if stalls {
            usual + self.requests.stall
        } else {
            usual
        }
    }
}

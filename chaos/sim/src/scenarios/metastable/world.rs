//! One server, its callers, and the trigger.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use resilience::observe::Fanout;
use resilience::{Attempt, Call, Deadline, Policy, Priority, ServerPolicy, Slot, SlotName};
use tokio::task::JoinSet;

use crate::kernel::{Seed, SimRng, scale, world};
use crate::model::{Arrivals, Guarded, ModelError, Server, ServerConfig, ServiceTime};

/// A server, what happens to it, and when it is looked at. Times are the model's.
#[derive(Clone, Debug)]
pub struct Shop {
    /// Requests it works on at once.
    pub workers: u32,
    /// How long each takes.
    pub service: ServiceTime,
    /// Requests that may wait.
    pub queue: usize,
    /// Workers that go on during the trigger; with none of them it stands still.
    pub left: u32,
    /// Whether callers come as a Poisson process; else at even intervals.
    pub poisson: bool,
    /// Load before the trigger.
    pub before: Duration,
    /// From the trigger's end until it is looked whether the server has come back.
    pub settle: Duration,
    /// How long it is looked.
    pub watch: Duration,
}

impl Shop {
    fn arrivals(&self, rate: f64, rng: SimRng) -> Arrivals {
        if self.poisson {
            Arrivals::poisson(rate, rng)
        } else {
            Arrivals::constant(rate)
        }
    }

    fn server(&self) -> ServerConfig {
        ServerConfig {
            workers: self.workers,
            service: self.service.clone(),
            max_waiting: self.queue,
            failure: 0.0,
        }
    }
}

/// Who asks the server, and how: policies in model time.
#[derive(Clone, Debug)]
pub struct Callers {
    /// What each call does.
    pub policy: Policy,
    /// Whom the server lets in.
    pub door: ServerPolicy,
}

/// What is seen while it is looked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Seen {
    /// The share of the calls begun then that are answered.
    pub(super) goodput: f64,
    /// Attempts a second that arrive at the server.
    pub(super) attempts: f64,
}

/// One repetition: calls at `rate` a second, and a trigger of that length.
pub(super) fn look(
    shop: &Shop,
    callers: &Callers,
    rate: f64,
    trigger: Duration,
    seed: Seed,
) -> Seen {
    world(|clock| async move {
        let server = Server::new(shop.server(), clock, seed.role("server"));
        let back = shop.before + trigger;
        server.cut(shop.before, back, shop.left);
        let caller = Caller::new(callers, server, seed);
        let (from, until) = (back + shop.settle, back + shop.settle + shop.watch);
        let (mut asked, answered) = (0_u32, Arc::new(AtomicU32::new(0)));
        let mut before = 0;
        let mut calls = JoinSet::new();
        let arrivals = shop.arrivals(rate, seed.role("arrivals").rng());
        for at in arrivals.take_while(|at| *at < until) {
            clock.sleep_until(at).await;
            while calls.try_join_next().is_some() {}
            let (caller, answered) = (caller.clone(), answered.clone());
            let counts = at >= from;
            if counts && asked == 0 {
                before = caller.attempts();
            }
            asked += u32::from(counts);
            calls.spawn(async move {
                if caller.call().await && counts {
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let attempts = caller.attempts() - before;
        while calls.join_next().await.is_some() {}
        Seen {
            goodput: f64::from(answered.load(Ordering::Relaxed)) / f64::from(asked.max(1)),
            attempts: f64::from(attempts) / shop.watch.as_secs_f64(),
        }
    })
}

/// All callers: one process, with one slot.
#[derive(Clone)]
struct Caller {
    slot: Slot,
    server: Guarded,
    attempts: Arc<AtomicU32>,
}

impl Caller {
    fn new(callers: &Callers, server: Server, seed: Seed) -> Self {
        let Callers { policy, door } = callers.clone();
        Self {
            slot: Slot::new(
                SlotName::new("client-server", "client", "server"),
                scale::policy(policy),
                Arc::new(Fanout::default()),
                seed.role("slot").value(),
            ),
            server: Guarded::new(server, door, Arc::new(Fanout::default())),
            attempts: Arc::default(),
        }
    }

    /// Whether a call was answered.
    async fn call(&self) -> bool {
        let call = Call {
            method: "Get",
            request_id: "",
            idempotent: true,
            deadline: Deadline::NONE,
        };
        let answer = self.slot.call(call, |attempt| self.attempt(attempt)).await;
        answer.is_ok()
    }

    async fn attempt(&self, attempt: Attempt) -> Result<(), ModelError> {
        self.attempts.fetch_add(1, Ordering::Relaxed);
        self.server
            .request(Priority::Critical, attempt.deadline)
            .await
    }

    /// Attempts that have come to the server so far.
    fn attempts(&self) -> u32 {
        self.attempts.load(Ordering::Relaxed)
    }
}

//! One server, its callers, and the trigger.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use resilience::observe::Fanout;
use resilience::{Attempt, Call, Deadline, Priority, Slot, SlotName};
use tokio::task::JoinSet;

use super::arms::Arm;
use crate::kernel::{Seed, scale, world};
use crate::model::{Arrivals, Fit, Guarded, ModelError, Server, ServerConfig, ServiceTime};

/// Calls a second that the server can do: 4 workers, 20 ms each on average.
pub(super) const CAPACITY: f64 = 200.0;
const WORKERS: u32 = 4;
const SERVICE: Duration = Duration::from_millis(20);

/// Requests that may wait: a second's work, four times the time-out of an attempt.
pub(super) const QUEUE: usize = 200;

/// Before the trigger.
const WARM_UP: Duration = Duration::from_secs(5);

/// After it, until it is looked whether the server has come back: even at 90 % of its capacity a
/// full queue is worked off in ten.
pub(super) const SETTLE: Duration = Duration::from_secs(20);

/// How long it is looked.
pub(super) const WATCH: Duration = Duration::from_secs(10);

/// What is seen while it is looked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Seen {
    /// The share of the calls begun then that are answered.
    pub(super) goodput: f64,
    /// Attempts that arrive at the server, as a share of what it can do.
    pub(super) attempts: f64,
}

/// One repetition.
pub(super) fn look(arm: Arm, load: f64, trigger: Duration, seed: Seed) -> Seen {
    world(|clock| async move {
        let server = Server::new(server(), clock, seed.role("server"));
        let back = WARM_UP + trigger;
        server.stall(WARM_UP, back);
        let caller = Caller::new(arm, server, seed);
        let (from, until) = (back + SETTLE, back + SETTLE + WATCH);
        let (mut asked, answered) = (0_u32, Arc::new(AtomicU32::new(0)));
        let mut before = 0;
        let mut calls = JoinSet::new();
        let arrivals = Arrivals::poisson(load * CAPACITY, seed.role("arrivals").rng());
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
            attempts: f64::from(attempts) / WATCH.as_secs_f64() / CAPACITY,
        }
    })
}

fn server() -> ServerConfig {
    ServerConfig {
        workers: WORKERS,
        service: ServiceTime::Exponential(SERVICE),
        max_waiting: QUEUE,
        failure: 0.0,
    }
}

/// All callers: one process, with one slot.
#[derive(Clone)]
struct Caller {
    slot: Slot,
    server: Guarded,
    attempts: Arc<AtomicU32>,
}

impl Caller {
    fn new(arm: Arm, server: Server, seed: Seed) -> Self {
        let policy = arm.policy();
        let fit = Fit {
            workers: WORKERS,
            service: SERVICE,
            timeout: policy.attempt_timeout.unwrap_or(SETTLE),
        };
        Self {
            slot: Slot::new(
                SlotName::new("client-server", "client", "server"),
                scale::policy(policy),
                Arc::new(Fanout::default()),
                seed.role("slot").value(),
            ),
            server: Guarded::new(server, arm.door(fit), Arc::new(Fanout::default())),
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

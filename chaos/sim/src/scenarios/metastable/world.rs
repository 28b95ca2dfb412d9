//! One server, its callers, and the trigger.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use resilience::observe::Fanout;
use resilience::{Call, Deadline, Slot, SlotName};
use tokio::task::JoinSet;

use super::arms::Arm;
use crate::kernel::{Seed, scale, world};
use crate::model::{Arrivals, Server, ServerConfig, ServiceTime};

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
        let caller = Caller {
            slot: slot(arm, seed),
            server,
        };
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
                before = caller.server.tally().arrived;
            }
            asked += u32::from(counts);
            calls.spawn(async move {
                if caller.call().await && counts {
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let attempts = caller.server.tally().arrived - before;
        while calls.join_next().await.is_some() {}
        Seen {
            goodput: f64::from(answered.load(Ordering::Relaxed)) / f64::from(asked.max(1)),
            attempts: attempts as f64 / WATCH.as_secs_f64() / CAPACITY,
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

fn slot(arm: Arm, seed: Seed) -> Slot {
    Slot::new(
        SlotName::new("client-server", "client", "server"),
        scale::policy(arm.policy()),
        Arc::new(Fanout::default()),
        seed.role("slot").value(),
    )
}

/// All callers: one process, with one slot.
#[derive(Clone)]
struct Caller {
    slot: Slot,
    server: Server,
}

impl Caller {
    /// Whether a call was answered.
    async fn call(&self) -> bool {
        let call = Call {
            method: "Get",
            request_id: "",
            idempotent: true,
            deadline: Deadline::NONE,
        };
        self.slot
            .call(call, |_| self.server.request())
            .await
            .is_ok()
    }
}

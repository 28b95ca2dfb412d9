//! A modelled server behind a real door: the server side's policies.

use std::sync::Arc;
use std::time::Duration;

use resilience::limit::LimitConfig;
use resilience::server::{Arrival, CodelConfig, End, QueueConfig, ServerView};
use resilience::{
    Deadline, FailureKind, Observer, Priority, ServerPolicy, ServerSlot, SlotName, server,
};

use super::{ModelError, Server};
use crate::kernel::scale;

/// A server whose door decides who is let in. Clones are the same one.
///
/// A caller who leaves while he waits at the door is out of the queue. One who leaves later changes
/// nothing: the work on his request goes on, and holds its slot until it ends. So what the door
/// counts as under way is what the server really works on, as in a service that can't stop a query
/// half-way; and with a door that lets everybody in, the server is as it would be without one.
#[derive(Clone, Debug)]
pub struct Guarded {
    door: ServerSlot,
    server: Server,
}

impl Guarded {
    /// This server behind a door with that policy, which is in model time.
    pub fn new(server: Server, policy: ServerPolicy, observer: Arc<dyn Observer>) -> Self {
        let name = SlotName::new("model.server", "model", "server");
        Self {
            door: ServerSlot::new(name, scale::server_policy(policy), observer),
            server,
        }
    }

    /// Makes a request and waits for its answer, or for the refusal.
    ///
    /// # Errors
    /// [`FailureKind::Exhausted`] when the door refuses, as `RESOURCE_EXHAUSTED` is read; what it
    /// says about when to come back is lost. Otherwise as [`Server::request`].
    pub async fn request(&self, priority: Priority, deadline: Deadline) -> Result<(), ModelError> {
        let arrival = Arrival {
            method: "Get",
            request_id: "",
            priority,
            deadline,
        };
        let admission = self.door.admit(arrival).await;
        let admission = admission.map_err(|_| ModelError(FailureKind::Exhausted))?;
        let server = self.server.clone();
        // A task of its own, so that it outlives the caller.
        let work = tokio::spawn(async move {
            let answer = server.request().await;
            // Refused by its own queue, it has told nothing about the time an answer takes.
            let refused = matches!(answer, Err(ModelError(FailureKind::NotProcessed)));
            admission.finish(if refused { End::Overloaded } else { End::Ok });
            answer
        });
        work.await.unwrap_or(Err(ModelError(FailureKind::Internal)))
    }

    /// How the door stands.
    pub fn view(&self) -> ServerView {
        self.door.view()
    }
}

/// The presets of servers, fitted to a modelled server. They are made for the lab's services; a
/// limit is right for *one* server.
#[derive(Clone, Copy, Debug)]
pub struct Fit {
    /// Requests the server works on at once.
    pub workers: u32,
    /// How long one takes, on average.
    pub service: Duration,
    /// How long callers wait for an answer.
    pub timeout: Duration,
}

impl Fit {
    /// `preset`, with what depends on the server fitted to it:
    ///
    /// - a static limit is the number of workers: a modelled request is on a worker or waits, so
    ///   more would wait inside, where the door can't see them, and fewer would leave a worker
    ///   idle;
    /// - the wait at the door is the preset's, but at most two fifths of the callers' time-out, so
    ///   that most of it is left for the work; as many may wait as can be served in that time;
    /// - `CoDel`'s target is the preset's, but at least the time of four answers: a queue that is
    ///   cut to less gets empty by refusals before a worker is free;
    /// - AIMD's limit shrinks when answers take longer than two fifths of the time-out.
    ///
    /// Where an adaptive limit begins, and its bounds, are the preset's: to find the rest is its
    /// business.
    pub fn preset(self, preset: ServerPolicy) -> ServerPolicy {
        ServerPolicy {
            limit: preset.limit.map(|limit| self.limit(limit)),
            queue: preset.queue.map(|queue| self.queue(queue)),
            ..preset
        }
    }

    /// The preset of that name, fitted.
    pub fn named(self, name: &str) -> Option<ServerPolicy> {
        server::preset::get(name).map(|preset| self.preset(preset))
    }

    /// Between two answers of a busy server, on average.
    fn answers(self) -> Duration {
        self.service / self.workers.max(1)
    }

    fn share_of_timeout(self) -> Duration {
        self.timeout.mul_f64(0.4)
    }

    fn limit(self, limit: LimitConfig) -> LimitConfig {
        match limit {
            LimitConfig::Fixed { .. } => LimitConfig::Fixed { max: self.workers },
            LimitConfig::Aimd {
                initial,
                min,
                max,
                backoff,
                slow_after: _,
                window,
            } => LimitConfig::Aimd {
                initial,
                min,
                max,
                backoff,
                slow_after: self.share_of_timeout(),
                window,
            },
            as_it_is @ (LimitConfig::Gradient2 { .. } | LimitConfig::Vegas { .. }) => as_it_is,
        }
    }

    fn queue(self, queue: QueueConfig) -> QueueConfig {
        let max_wait = queue.max_wait.min(self.share_of_timeout());
        let served = max_wait.as_secs_f64() / self.answers().as_secs_f64();
        QueueConfig {
            max_waiting: served.round() as u32,
            max_wait,
            codel: queue.codel.map(|codel| CodelConfig {
                target: codel.target.max(4 * self.answers()),
                ..codel
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{Seed, world};
    use crate::model::{ServerConfig, ServiceTime};
    use resilience::observe::Fanout;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    const FIT: Fit = Fit {
        workers: 16,
        service: Duration::from_millis(20),
        timeout: Duration::from_millis(250),
    };

    fn server(clock: crate::kernel::Clock) -> Server {
        let config = ServerConfig {
            workers: 1,
            service: ServiceTime::Constant(MS(100)),
            max_waiting: usize::MAX,
            failure: 0.0,
        };
        Server::new(config, clock, Seed::new(1))
    }

    /// A door with one slot, and a queue whose bound on the time is a second.
    fn one_at_a_time() -> ServerPolicy {
        ServerPolicy {
            limit: Some(LimitConfig::Fixed { max: 1 }),
            queue: Some(QueueConfig {
                max_waiting: 1,
                max_wait: MS(1_000),
                codel: None,
            }),
            ..server::preset::fixed()
        }
    }

    #[test]
    fn work_for_one_who_has_left_holds_its_slot_until_it_ends() {
        let (views, second) = world(|clock| async move {
            let guarded = Guarded::new(server(clock), one_at_a_time(), Arc::new(Fanout::default()));
            let request = || guarded.request(Priority::Critical, Deadline::NONE);
            let left = tokio::time::timeout(scale::up(MS(10)), request()).await;
            assert!(left.is_err());
            let held = guarded.view().inflight;
            // This one leaves the queue, and so makes room in it.
            let left = tokio::time::timeout(scale::up(MS(10)), request()).await;
            assert!(left.is_err());
            let views = (held, guarded.view().waiting);
            request().await.unwrap();
            (views, clock.now())
        });
        assert_eq!(views, (1, 0));
        assert_eq!(second, MS(200), "behind the first's work, not the second's");
    }

    #[test]
    fn a_full_door_refuses_at_once() {
        let (refused, now) = world(|clock| async move {
            let policy = ServerPolicy {
                queue: None,
                ..one_at_a_time()
            };
            let guarded = Guarded::new(server(clock), policy, Arc::new(Fanout::default()));
            let first = guarded.clone();
            let first =
                tokio::spawn(
                    async move { first.request(Priority::Critical, Deadline::NONE).await },
                );
            clock.sleep(MS(1)).await;
            let refused = guarded.request(Priority::Critical, Deadline::NONE).await;
            let now = clock.now();
            first.await.unwrap().unwrap();
            (refused, now)
        });
        assert_eq!(refused, Err(ModelError(FailureKind::Exhausted)));
        assert_eq!(now, MS(1));
    }

    #[test]
    fn presets_are_fitted_to_the_server_and_stay_valid() {
        for name in server::preset::names() {
            FIT.named(name).unwrap().validate().unwrap();
        }
        let shed = FIT.named("shed").unwrap();
        assert_eq!(shed.limit, Some(LimitConfig::Fixed { max: 16 }));
        let queue = shed.queue.unwrap();
        assert_eq!((queue.max_waiting, queue.max_wait), (80, MS(100)));
        assert_eq!(queue.codel.map(|codel| codel.target), Some(MS(5)));
        let small = Fit {
            workers: 4,
            timeout: MS(50),
            ..FIT
        };
        let queue = small.named("shed").unwrap().queue.unwrap();
        assert_eq!((queue.max_waiting, queue.max_wait), (4, MS(20)));
        assert_eq!(queue.codel.map(|codel| codel.target), Some(MS(20)));
        assert_eq!(
            FIT.named("gradient2"),
            Some(ServerPolicy {
                queue: FIT.named("static").unwrap().queue,
                ..server::preset::gradient2()
            })
        );
        assert_eq!(FIT.named("nope"), None);
    }
}

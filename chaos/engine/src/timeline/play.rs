//! Playing faults and conditions.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Clock, Count, Injector, Order, RENEWAL, Step};
use crate::error::EngineError;
use crate::scenario::{Action, Condition, Fault, ProcessAction, Schedule};

/// How often a clearing is tried before everything is cleared and the run fails loudly.
const CLEAR_TRIES: u32 = 5;

/// How many renewals in a row may fail: with three, the lease is over.
const RENEWALS_LOST: u32 = 2;

/// Plays the faults of a schedule whose second 0 is `t0_ns`. Stopped early, it
/// clears what is on and returns.
///
/// # Errors
/// When an injector does not do as it is told. The other faults are cleared then.
pub async fn play(
    schedule: &Schedule,
    t0_ns: u64,
    clock: Clock,
    injector: &dyn Injector,
    steps: mpsc::Sender<Step>,
    stop: CancellationToken,
) -> Result<(), EngineError> {
    let stop = stop.child_token();
    let player = Player {
        clock,
        injector,
        steps: &steps,
        stop: &stop,
    };
    let faults = schedule.injected().map(|fault| player.fault(fault, t0_ns));
    join_all(faults).await.into_iter().collect()
}

/// Puts the conditions in force; returns when all are.
///
/// # Errors
/// When an injector does not do as it is told; none is in force then.
pub async fn put(
    conditions: impl Iterator<Item = &Condition>,
    injector: &dyn Injector,
) -> Result<(), EngineError> {
    for condition in conditions {
        if let Err(e) = injector.inject(condition.order()).await {
            return injector.clear_all().await.and(Err(e));
        }
    }
    Ok(())
}

/// Keeps the conditions in force until `over`, and clears them.
///
/// # Errors
/// When an injector does not do as it is told.
pub async fn keep(
    conditions: impl Iterator<Item = &Condition>,
    injector: &dyn Injector,
    steps: mpsc::Sender<Step>,
    over: CancellationToken,
) -> Result<(), EngineError> {
    let player = Player {
        clock: Clock::now(),
        injector,
        steps: &steps,
        stop: &over,
    };
    let kept = conditions.map(|condition| player.condition(condition));
    join_all(kept).await.into_iter().collect()
}

impl Fault {
    pub(crate) fn order(&self) -> Order<'_> {
        Order {
            name: &self.name,
            link: &self.link,
            action: &self.action,
        }
    }
}

impl Condition {
    pub(crate) fn order(&self) -> Order<'_> {
        Order {
            name: &self.name,
            link: &self.link,
            action: &self.action,
        }
    }
}

struct Player<'a> {
    clock: Clock,
    injector: &'a dyn Injector,
    steps: &'a mpsc::Sender<Step>,
    stop: &'a CancellationToken,
}

impl Player<'_> {
    /// One fault with all its injections.
    async fn fault(&self, fault: &Fault, t0_ns: u64) -> Result<(), EngineError> {
        let mut count = Count::default();
        for spell in fault.spells() {
            let at = self.clock.instant(t0_ns + loadtest::clock::as_ns(spell.at));
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                () = tokio::time::sleep_until(at) => {}
            }
            match self.once(fault, at + spell.lasts).await {
                Ok(acted) => count = count.plus(acted),
                Err(e) => {
                    // The others have nothing left to measure.
                    self.stop.cancel();
                    return Err(e);
                }
            }
        }
        self.counted(fault.order(), count).await;
        Ok(())
    }

    async fn condition(&self, condition: &Condition) -> Result<(), EngineError> {
        let order = condition.order();
        let held = self.hold(order, std::future::pending()).await;
        let cleared = self.take_away(order).await;
        held?;
        self.counted(order, cleared?).await;
        Ok(())
    }

    /// From one injection to its clearing at `end`.
    async fn once(&self, fault: &Fault, end: tokio::time::Instant) -> Result<Count, EngineError> {
        let (order, begin_ns) = (fault.order(), self.clock.now_ns());
        self.tell(Step::InjectBegins {
            fault: fault.name.clone(),
            ns: begin_ns,
        })
        .await;
        let mut put = self.injector.inject(order).await;
        if put.is_ok() {
            self.tell(Step::Injected {
                fault: fault.name.clone(),
                begin_ns,
                done_ns: self.clock.now_ns(),
            })
            .await;
            // A restart is over when the part is healthy, whenever that is.
            if !matches!(fault.action, Action::Process(ProcessAction::Restart)) {
                let end = tokio::time::sleep_until(end);
                put = self.hold(order, end).await;
            }
        }
        let begin_ns = self.clock.now_ns();
        // A half-done injection is cleared too.
        let cleared = self.take_away(order).await;
        put?;
        let count = cleared?;
        self.tell(Step::Cleared {
            fault: fault.name.clone(),
            begin_ns,
            done_ns: self.clock.now_ns(),
        })
        .await;
        Ok(count)
    }

    /// Keeps a fault in force until its end, or until all is stopped.
    async fn hold(
        &self,
        order: Order<'_>,
        end: impl Future<Output = ()>,
    ) -> Result<(), EngineError> {
        tokio::pin!(end);
        let mut lost = 0;
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(()),
                () = &mut end => return Ok(()),
                () = tokio::time::sleep(RENEWAL) => {}
            }
            match self.injector.renew(order).await {
                Ok(()) => lost = 0,
                Err(e) if lost == RENEWALS_LOST => return Err(e),
                Err(_) => lost += 1,
            }
        }
    }

    /// A fault must not stay because one request went wrong.
    async fn take_away(&self, order: Order<'_>) -> Result<Count, EngineError> {
        let mut tried = 1;
        loop {
            match self.injector.clear(order).await {
                Err(_) if tried < CLEAR_TRIES => {
                    tokio::time::sleep(Duration::from_millis(100) * tried).await;
                    tried += 1;
                }
                Err(e) => return self.injector.clear_all().await.and(Err(e)),
                cleared => return cleared,
            }
        }
    }

    async fn counted(&self, order: Order<'_>, count: Count) {
        self.tell(Step::Acted {
            fault: order.name.to_owned(),
            by: order.action.level().as_str(),
            count,
        })
        .await;
    }

    async fn tell(&self, step: Step) {
        // Nobody listens once the trial is over; the clearing goes on all the same.
        let _ = self.steps.send(step).await;
    }
}

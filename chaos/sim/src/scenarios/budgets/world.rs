//! One slot with its budget, and a dependency that fails by chance.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::RngExt as _;
use resilience::observe::Fanout;
use resilience::{Call, Deadline, FailureKind, Slot, SlotName};
use tokio::task::JoinSet;

use super::arms::Arm;
use crate::kernel::{Clock, Seed, SimRng, scale, world};
use crate::model::{Arrivals, ModelError};
use crate::stats::Sample;

/// Calls a second.
pub(super) const RATE: f64 = 500.0;

/// How long an attempt takes, so that there are calls under way to take a share of: 50 and more.
pub(super) const ATTEMPT: Duration = Duration::from_millis(100);

/// At first everything fails, so that what a budget begins with is spent before it counts,
pub(super) const OUTAGE: Duration = Duration::from_secs(1);

/// and then it is left alone until the outage is forgotten; the longest memory is 10 s.
pub(super) const SETTLED: Duration = Duration::from_secs(12);

/// One call's luck depends on the calls before it. A block of many doesn't, or hardly: so the
/// spread of their means tells how far the mean of all can be trusted.
const BLOCKS: u32 = 20;

/// Attempts for each call and the share that was answered, over blocks of calls.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) load: Sample,
    pub(super) success: Sample,
    /// Calls in all blocks.
    pub(super) calls: u32,
}

/// The calls of one block.
#[derive(Clone, Copy, Debug, Default)]
struct Block {
    calls: u32,
    attempts: u32,
    answered: u32,
}

impl Block {
    fn add(&mut self, attempts: u32, answered: bool) {
        self.calls += 1;
        self.attempts += attempts;
        self.answered += u32::from(answered);
    }
}

/// Lets it run until `calls` calls have been counted.
pub(super) fn look(arm: Arm, failure: f64, attempts: u32, calls: u32, seed: Seed) -> Seen {
    let blocks = world(|clock| async move {
        let caller = Caller::new(arm, failure, attempts, clock, seed);
        let mut blocks = vec![Block::default(); BLOCKS as usize];
        let mut add = |ended: Ended| {
            if let Some(block) = ended.block.and_then(|block| blocks.get_mut(block)) {
                block.add(ended.attempts, ended.answered);
            }
        };
        let mut under_way = JoinSet::new();
        let mut counted = 0;
        for at in Arrivals::poisson(RATE, seed.role("arrivals").rng()) {
            if counted == calls {
                break;
            }
            clock.sleep_until(at).await;
            while let Some(Ok(ended)) = under_way.try_join_next() {
                add(ended);
            }
            let block = (at >= SETTLED).then(|| block_of(counted, calls));
            counted += u32::from(block.is_some());
            under_way.spawn(caller.clone().call(block));
        }
        under_way.join_all().await.into_iter().for_each(add);
        blocks
    });
    let share = |part: fn(&Block) -> u32| -> Sample {
        let means = blocks.iter().filter(|block| block.calls > 0);
        means
            .map(|block| f64::from(part(block)) / f64::from(block.calls))
            .collect()
    };
    Seen {
        load: share(|block| block.attempts),
        success: share(|block| block.answered),
        calls,
    }
}

fn block_of(number: u32, calls: u32) -> usize {
    (u64::from(number) * u64::from(BLOCKS) / u64::from(calls)) as usize
}

/// How a call ended; no block: it began too early to count.
struct Ended {
    block: Option<usize>,
    attempts: u32,
    answered: bool,
}

/// All callers: one process, with one slot.
#[derive(Clone)]
struct Caller {
    slot: Slot,
    dependency: Arc<Dependency>,
}

struct Dependency {
    clock: Clock,
    failure: f64,
    chance: Mutex<SimRng>,
}

impl Caller {
    fn new(arm: Arm, failure: f64, attempts: u32, clock: Clock, seed: Seed) -> Self {
        Self {
            slot: Slot::new(
                SlotName::new("client-server", "client", "server"),
                scale::policy(arm.policy(attempts)),
                Arc::new(Fanout::default()),
                seed.role("slot").value(),
            ),
            dependency: Arc::new(Dependency {
                clock,
                failure,
                chance: Mutex::new(seed.role("failures").rng()),
            }),
        }
    }

    async fn call(self, block: Option<usize>) -> Ended {
        let call = Call {
            method: "Get",
            request_id: "",
            idempotent: true,
            deadline: Deadline::NONE,
        };
        let mut attempts = 0;
        let answer = self.slot.call(call, |attempt| {
            attempts = attempt.number;
            self.dependency.ask()
        });
        let answered = answer.await.is_ok();
        Ended {
            block,
            attempts,
            answered,
        }
    }
}

impl Dependency {
    async fn ask(&self) -> Result<(), ModelError> {
        let down = self.clock.now() < OUTAGE;
        self.clock.sleep(ATTEMPT).await;
        let unlucky = self.chance.lock().random::<f64>() < self.failure;
        if down || unlucky {
            return Err(ModelError(FailureKind::Unavailable));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_is_in_one_block_and_the_blocks_are_equal() {
        let mut sizes = [0_u32; BLOCKS as usize];
        (0..2_000).for_each(|number| sizes[block_of(number, 2_000)] += 1);
        assert_eq!(sizes, [100; BLOCKS as usize]);
    }
}

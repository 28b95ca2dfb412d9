//! The door against a small model, under any interleaving.
#![allow(clippy::unwrap_used, reason = "helpers of tests, which may panic")]

use crate::server_kit;

use proptest::prelude::*;
use resilience::Priority;
use resilience::limit::LimitConfig;
use resilience::server::{Admission, QueueConfig, ServerPolicy, ShedConfig, ShedReason};
use server_kit::driver::{Op, Real, ops, paused, queues, shares};
use server_kit::{MS, slot};

/// One policy's door, as simply as it can be written.
#[derive(Debug)]
struct Model {
    limit: u32,
    queue: Option<(u32, u64)>,
    quarters: [u32; 4],
    inside: Vec<usize>,
    waiting: Vec<Waiter>,
}

#[derive(Clone, Copy, Debug)]
struct Waiter {
    id: usize,
    level: Priority,
    until: u64,
    late: ShedReason,
}

#[derive(Debug, Default)]
struct Outcomes {
    inside: Vec<usize>,
    refused: Vec<(usize, ShedReason)>,
}

impl Model {
    fn new(limit: u32, queue: Option<QueueConfig>, shed: Option<ShedConfig>) -> Self {
        let quarters = |level| shed.map_or(4, |shed| (shed.share(level) * 4.0) as u32);
        Self {
            limit,
            queue: queue.map(|queue| (queue.max_waiting, queue.max_wait.as_millis() as u64)),
            quarters: Priority::ALL.map(quarters),
            inside: Vec::new(),
            waiting: Vec::new(),
        }
    }

    fn open(&self, all: u32, level: Priority) -> usize {
        (all * self.quarters[level as usize]).div_ceil(4) as usize
    }

    fn arrive(
        &mut self,
        id: usize,
        level: Priority,
        left: Option<u64>,
        now: u64,
        out: &mut Outcomes,
    ) {
        if left == Some(0) {
            return out.refused.push((id, ShedReason::Deadline));
        }
        if self.inside.len() < self.open(self.limit, level) {
            self.inside.push(id);
            return out.inside.push(id);
        }
        let Some((max, patience)) = self.queue else {
            let all = self.inside.len() >= self.limit as usize;
            let reason = if all {
                ShedReason::Full
            } else {
                ShedReason::Priority
            };
            return out.refused.push((id, reason));
        };
        let open = self.open(max, level);
        if self.waiting.len() >= open {
            let lowest = self.waiting.iter().map(|waiter| waiter.level).min();
            match lowest.filter(|lowest| *lowest < level) {
                Some(lowest) => {
                    let newest = self
                        .waiting
                        .iter()
                        .rposition(|waiter| waiter.level == lowest);
                    let displaced = self.waiting.remove(newest.unwrap());
                    out.refused.push((displaced.id, ShedReason::Priority));
                }
                None => {
                    let full = self.waiting.len() >= max as usize;
                    let reason = if full {
                        ShedReason::Full
                    } else {
                        ShedReason::Priority
                    };
                    return out.refused.push((id, reason));
                }
            }
        }
        let (until, late) = match left {
            Some(left) if left <= patience => (now + left, ShedReason::Deadline),
            _ => (now + patience, ShedReason::Wait),
        };
        self.waiting.push(Waiter {
            id,
            level,
            until,
            late,
        });
    }

    fn end(&mut self, id: usize, out: &mut Outcomes) {
        let before = self.inside.len();
        self.inside.retain(|inside| *inside != id);
        if self.inside.len() == before {
            return;
        }
        while let Some(level) = self.waiting.iter().map(|waiter| waiter.level).max() {
            if self.inside.len() >= self.open(self.limit, level) {
                break;
            }
            let first = self.waiting.iter().position(|waiter| waiter.level == level);
            let next = self.waiting.remove(first.unwrap());
            self.inside.push(next.id);
            out.inside.push(next.id);
        }
    }

    fn expire(&mut self, now: u64, out: &mut Outcomes) {
        let late = |waiter: &Waiter| waiter.until <= now;
        let gone = self.waiting.iter().filter(|waiter| late(waiter));
        out.refused
            .extend(gone.map(|waiter| (waiter.id, waiter.late)));
        self.waiting.retain(|waiter| !late(waiter));
    }
}

/// Runs `ops` on both and compares after each.
async fn compare(limit: u32, queue: Option<QueueConfig>, shed: Option<ShedConfig>, ops: &[Op]) {
    let (door, _seen) = slot(serde_json::json!("unlimited"));
    let policy = ServerPolicy {
        preset: "model".to_owned(),
        limit: Some(LimitConfig::Fixed { max: limit }),
        queue,
        shed,
    };
    door.set(policy.clone());
    let mut real = Real::new(door);
    // One model a policy; the last is the one in force.
    let mut models = vec![Model::new(limit, queue, shed)];
    let mut now = 0;
    for (id, op) in ops.iter().enumerate() {
        let mut out = Outcomes::default();
        let (inside, refused) = (real.inside.len(), real.refused.len());
        let mut ended = 0;
        match *op {
            Op::Arrive(level, left) => {
                models
                    .last_mut()
                    .unwrap()
                    .arrive(id, level, left, now, &mut out);
                real.arrive(id, level, left);
            }
            Op::Finish(n, _) | Op::Drop(n) if inside > 0 => {
                let (id, admission) = real.inside.remove(n % inside);
                ended = 1;
                match *op {
                    Op::Finish(_, end) => admission.finish(end),
                    _ => drop(admission),
                }
                models.iter_mut().for_each(|model| model.end(id, &mut out));
            }
            Op::Cancel(n) if !real.waiting.is_empty() => {
                let (id, future) = real.waiting.remove(n % real.waiting.len());
                drop(future);
                for model in &mut models {
                    model.waiting.retain(|waiter| waiter.id != id);
                }
            }
            Op::Advance(millis) => {
                tokio::time::advance(MS(millis)).await;
                now += millis;
                models
                    .iter_mut()
                    .for_each(|model| model.expire(now, &mut out));
            }
            Op::Swap => {
                real.door.set(policy.clone());
                models.push(Model::new(limit, queue, shed));
            }
            Op::Finish(..) | Op::Drop(_) | Op::Cancel(_) | Op::Poll(_) => {}
        }
        real.poll_all();
        let ids =
            |inside: &[(usize, Admission)]| inside.iter().map(|(id, _)| *id).collect::<Vec<_>>();
        let sorted = |mut refused: Vec<(usize, ShedReason)>| {
            refused.sort_by_key(|(id, _)| *id);
            refused
        };
        let mut admitted = ids(&real.inside[inside - ended..]);
        admitted.sort_unstable();
        out.inside.sort_unstable();
        assert_eq!(admitted, out.inside, "let in at step {id}, {op:?}");
        let refused = real.refused.split_off(refused);
        assert_eq!(
            sorted(refused),
            sorted(out.refused),
            "refused at step {id}, {op:?}"
        );
        let (model, view) = (models.last().unwrap(), real.door.view());
        assert_eq!(
            view.inflight as usize,
            model.inside.len(),
            "step {id}, {op:?}"
        );
        assert_eq!(
            view.waiting as usize,
            model.waiting.len(),
            "step {id}, {op:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_door_is_its_model(
        limit in 1u32..5,
        queue in queues(),
        shed in shares(),
        ops in ops(),
    ) {
        paused(compare(limit, queue, shed, &ops));
    }
}

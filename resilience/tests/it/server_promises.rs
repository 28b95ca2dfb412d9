//! What a door promises under any interleaving, whatever its limit does and whoever is slow to take
//! his answer: never more than the limit or the queue's bound, and no slot ever lost.

use crate::server_kit;

use proptest::prelude::*;
use resilience::Priority;
use resilience::limit::LimitConfig;
use resilience::server::{Arrival, CodelConfig, QueueConfig, ServerPolicy};
use server_kit::driver::{Op, Real, ops, paused, queues, shares};
use server_kit::{MS, Seen, arrival, slot};

fn codels() -> impl Strategy<Value = Option<CodelConfig>> {
    let codel = (1u64..10, 1u64..30).prop_map(|(target, interval)| CodelConfig {
        target: MS(target),
        interval: MS(interval),
    });
    prop::option::of(codel)
}

fn adaptive() -> impl Strategy<Value = LimitConfig> {
    let window = || prop_oneof![Just(MS(0)), (1u64..20).prop_map(MS)];
    prop_oneof![
        (1u32..8).prop_map(|max| LimitConfig::Fixed { max }),
        (1u32..8, window()).prop_map(|(initial, window)| LimitConfig::Aimd {
            initial,
            min: 1,
            max: 12,
            backoff: 0.5,
            slow_after: MS(15),
            window,
        }),
        (1u32..8, window()).prop_map(|(initial, window)| LimitConfig::Gradient2 {
            initial,
            min: 1,
            max: 12,
            tolerance: 1.5,
            queue: 4,
            smoothing: 0.5,
            long_window: 20,
            window,
        }),
        (1u32..8, window()).prop_map(|(initial, window)| LimitConfig::Vegas {
            initial,
            min: 1,
            max: 12,
            smoothing: 1.0,
            window,
        }),
    ]
}

/// Runs `ops` on a door, polling only whom they say, and checks what holds after each step.
async fn keeps_its_promises(policy: &ServerPolicy, ops: &[Op]) {
    let (door, seen) = slot(serde_json::json!("unlimited"));
    door.set(policy.clone());
    seen.take();
    let mut real = Real::new(door);
    for (id, op) in ops.iter().enumerate() {
        let (inside, waiting) = (real.inside.len(), real.waiting.len());
        match *op {
            Op::Arrive(level, left) => real.arrive(id, level, left),
            Op::Finish(n, end) if inside > 0 => real.inside.remove(n % inside).1.finish(end),
            Op::Drop(n) if inside > 0 => drop(real.inside.remove(n % inside)),
            Op::Cancel(n) if waiting > 0 => drop(real.waiting.remove(n % waiting)),
            Op::Poll(n) if waiting > 0 => {
                real.poll(n % waiting);
            }
            Op::Advance(millis) => tokio::time::advance(MS(millis)).await,
            _ => {}
        }
        let view = real.door.view();
        let max = policy.queue.map_or(0, |queue| queue.max_waiting);
        assert!(view.waiting <= max, "{view:?}");
        assert!(view.inflight as usize >= real.inside.len(), "{view:?}");
        assert!(
            view.inflight as usize <= real.inside.len() + real.waiting.len(),
            "a slot is in nobody's hands: {view:?}"
        );
    }
    for seen in seen.take() {
        if let Seen::Admitted {
            inflight, limit, ..
        } = seen
        {
            assert!(limit.is_none_or(|limit| inflight <= limit), "{seen:?}");
        }
    }
    let Real {
        door,
        waiting,
        inside,
        ..
    } = real;
    drop(waiting);
    drop(inside);
    let view = door.view();
    assert_eq!((view.inflight, view.waiting), (0, 0), "all are given back");
    let shut_out =
        policy.limit.is_some() && policy.shed.is_some_and(|shed| shed.critical_plus <= 0.0);
    let last = Arrival {
        priority: Priority::CriticalPlus,
        ..arrival("last")
    };
    assert_eq!(door.admit(last).await.is_ok(), !shut_out);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_interleaving_breaks_a_promise(
        limit in prop::option::weighted(0.9, adaptive()),
        queue in queues(),
        codel in codels(),
        shed in shares(),
        ops in ops(),
    ) {
        let queue = queue.map(|queue| QueueConfig { codel, ..queue });
        let policy = ServerPolicy { preset: "any".to_owned(), limit, queue, shed };
        paused(keeps_its_promises(&policy, &ops));
    }
}

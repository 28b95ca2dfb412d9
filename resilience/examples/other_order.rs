//! The breaker inside of the retry or outside of it: the same failures, two different ends.
//!
//! Inside (the usual order) five failed attempts open it, in the middle of the second call.
//! Outside it counts calls that failed for good, so five calls with three attempts each go by.
//!
//! `cargo run --release --example other_order`

use std::sync::Arc;

use resilience::policy::BreakerAround;
use resilience::{Call, Classify, Deadline, FailureKind, Policy, Slot, SlotName};
use resilience::{observe::Fanout, preset};

#[derive(Debug)]
struct Down;

impl Classify for Down {
    fn failure(&self) -> FailureKind {
        FailureKind::Unavailable
    }

    fn code(&self) -> &str {
        "UNAVAILABLE"
    }
}

/// Attempts that reached a dead dependency before the breaker kept further ones away.
async fn attempts_until_open(around: BreakerAround) -> u32 {
    let policy = Policy {
        breaker_around: around,
        ..preset::fast()
    };
    let name = SlotName::new("order-product", "order", "product");
    let slot = Slot::new(name, policy, Arc::new(Fanout::default()), 1);
    let mut reached = 0;
    for i in 0..20 {
        let call = Call {
            method: "GetProducts",
            request_id: &format!("r-{i}"),
            idempotent: true,
            deadline: Deadline::NONE,
        };
        let answer = slot.call(call, |_| async { Err::<(), _>(Down) }).await;
        reached += answer.map_or_else(|error| error.attempts(), |()| 1);
    }
    reached
}

pub fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let inside = runtime.block_on(attempts_until_open(BreakerAround::Attempt));
    let outside = runtime.block_on(attempts_until_open(BreakerAround::Call));
    println!("breaker inside of the retry:  {inside} attempts reach a dead dependency");
    println!("breaker outside of the retry: {outside} attempts");
    assert_eq!((inside, outside), (5, 15));
}

//! A dependency that is down for twenty seconds, called under the `shop` preset.
//!
//! Prints what the policy decides, on a paused clock, so it takes no time:
//! `cargo run --release --example shop_call`

use std::sync::Arc;

use resilience::{Call, Classify, Deadline, Event, FailureKind, Observer, Slot, SlotName, preset};
use tokio::time::{Duration, Instant, sleep};

/// The dependency's error: nobody listens, so nothing was processed.
#[derive(Debug, thiserror::Error)]
#[error("connection refused")]
struct Refused;

impl Classify for Refused {
    fn failure(&self) -> FailureKind {
        FailureKind::NotProcessed
    }

    fn code(&self) -> &str {
        "UNAVAILABLE"
    }
}

/// Prints each decision with the time since the start.
struct Printer(Instant);

impl Observer for Printer {
    fn on(&self, event: &Event<'_>) {
        let at = self.0.elapsed().as_secs_f64();
        match event {
            Event::Attempt {
                call,
                attempt,
                status,
                ..
            } => {
                println!(
                    "{at:7.3} s  call {} attempt {attempt}: {status}",
                    call.request_id
                );
            }
            Event::Wait { call, wait, .. } => {
                println!("{at:7.3} s  call {} waits {wait:.0?}", call.request_id);
            }
            Event::Refused { call, reason, .. } => {
                println!(
                    "{at:7.3} s  call {} refused: {}",
                    call.request_id,
                    reason.as_str()
                );
            }
            Event::Breaker { transition, .. } => {
                let (from, to) = (transition.from.as_str(), transition.to.as_str());
                println!("{at:7.3} s  breaker {from} -> {to}");
            }
            _ => {}
        }
    }
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
pub async fn main() {
    let mut answered = false;
    let start = Instant::now();
    let slot = Slot::new(
        SlotName::new("order-product", "order", "product"),
        preset::shop(),
        Arc::new(Printer(start)),
        1,
    );
    for number in 1..=12 {
        let request_id = number.to_string();
        let call = Call {
            method: "GetProducts",
            request_id: &request_id,
            idempotent: true,
            deadline: Deadline::NONE,
        };
        let answer = slot
            .call(call, |_| async {
                sleep(Duration::from_millis(5)).await;
                if start.elapsed() < Duration::from_secs(20) {
                    Err(Refused)
                } else {
                    Ok("products")
                }
            })
            .await;
        answered = answer.is_ok();
        let shown = answer.map_or_else(|error| error.to_string(), ToOwned::to_owned);
        println!(
            "{:7.3} s  call {number} ends: {shown}",
            start.elapsed().as_secs_f64()
        );
        sleep(Duration::from_secs(4)).await;
    }
    assert!(answered, "the dependency is back, and so are the calls");
}

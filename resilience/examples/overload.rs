//! A server asked for three times what it can do, without and with a limit at its door.
//!
//! Ten workers take 100 ms a request: 100 requests a second can be served, 300 come, and callers
//! leave after half a second. Without a limit everything is begun and nothing is finished in time.
//!
//! `cargo run --release --example overload`

use std::sync::Arc;
use std::time::Duration;

use resilience::limit::LimitConfig;
use resilience::observe::Fanout;
use resilience::priority::Priority;
use resilience::server::{Arrival, End, ServerPolicy, ServerSlot, preset};
use resilience::{Deadline, SlotName};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

const PATIENCE: Duration = Duration::from_millis(500);

/// One request; whether it was answered while its caller was there.
async fn request(door: ServerSlot, workers: Arc<Semaphore>, id: usize) -> bool {
    let work = async move {
        let request_id = format!("r-{id}");
        let arrival = Arrival {
            method: "GET /products",
            request_id: &request_id,
            priority: Priority::default(),
            deadline: Deadline::after(PATIENCE),
        };
        let Ok(place) = door.admit(arrival).await else {
            return false;
        };
        let Ok(worker) = workers.acquire().await else {
            return false;
        };
        sleep(Duration::from_millis(100)).await;
        drop(worker);
        place.finish(End::Ok);
        true
    };
    // A task of its own: the server doesn't notice that a caller has left and works on, which is
    // what makes it worse.
    let work = tokio::spawn(work);
    matches!(timeout(PATIENCE, work).await, Ok(Ok(true)))
}

/// Answers in time per second.
async fn goodput(policy: ServerPolicy) -> usize {
    let name = SlotName::new("product.server", "product", "server");
    let door = ServerSlot::new(name, policy, Arc::new(Fanout::default()));
    let workers = Arc::new(Semaphore::new(10));
    let mut requests = JoinSet::new();
    for i in 0..3_000 {
        requests.spawn(request(door.clone(), workers.clone(), i));
        sleep(Duration::from_micros(3_333)).await;
    }
    let answered = requests.join_all().await;
    answered.into_iter().filter(|ok| *ok).count() / 10
}

pub fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let without = runtime.block_on(goodput(preset::unlimited()));
    // Twice the workers: one request each at work and one waiting, 200 ms in all.
    let door = ServerPolicy {
        limit: Some(LimitConfig::Fixed { max: 20 }),
        ..preset::fixed()
    };
    let with = runtime.block_on(goodput(door));
    println!("capacity 100/s, asked for 300/s");
    println!("without a limit: {without:>3} answers/s in time");
    println!("with a door:     {with:>3} answers/s in time");
    assert!(with > 90 && without < 30);
}

//! A modelled server under overload, in paused time: what a door is worth.
//!
//! Ten workers of 20 ms each (uniform, 10 to 30) can answer 500 a second. Work that has begun goes
//! on when its caller has left, as most servers' does.

use crate::server_kit;

use std::sync::Arc;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt as _, SeedableRng};
use resilience::Deadline;
use resilience::server::{Arrival, End, ServerSlot};
use serde_json::{Value, json};
use server_kit::{MS, arrival, slot};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant};

const WORKERS: usize = 10;
const CAPACITY: f64 = 500.0;

struct Load {
    per_second: u32,
    seconds: u32,
    /// For how long a caller waits.
    patience: Duration,
}

/// Answers in time, a second, over the last half of the load.
async fn goodput(door: &ServerSlot, load: Load) -> f64 {
    let workers = Arc::new(Semaphore::new(WORKERS));
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(7);
    let start = Instant::now();
    let mut callers = JoinSet::new();
    for n in 0..load.per_second * load.seconds {
        let at = Duration::from_secs(1) * n / load.per_second;
        tokio::time::sleep_until(start + at).await;
        let (door, workers) = (door.clone(), workers.clone());
        let service = MS(rng.random_range(10..=30));
        let counts = n >= load.per_second * load.seconds / 2;
        let deadline = Deadline::after(load.patience);
        callers.spawn(async move {
            let arrival = Arrival {
                deadline,
                ..arrival("r")
            };
            let Ok(admission) = door.admit(arrival).await else {
                return false;
            };
            let _worker = workers.acquire().await;
            tokio::time::sleep(service).await;
            admission.finish(End::Ok);
            counts && !deadline.expired()
        });
    }
    let answers = callers.join_all().await;
    let good = answers.into_iter().filter(|good| *good).count();
    good as f64 / (f64::from(load.seconds) / 2.0)
}

fn overload() -> Load {
    Load {
        per_second: 1_000,
        seconds: 10,
        patience: MS(250),
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_door_everything_comes_too_late() {
    let (door, _seen) = slot(json!("unlimited"));
    let good = goodput(&door, overload()).await;
    assert!(good < 0.02 * CAPACITY, "{good}");
}

#[tokio::test(start_paused = true)]
async fn with_shedding_the_server_goes_on_at_its_capacity() {
    let (door, _seen) = slot(json!("shed"));
    let good = goodput(&door, overload()).await;
    assert!(good > 0.9 * CAPACITY, "{good}");
}

/// The limit in the last of half a minute at twice the capacity, after some time of light load, and
/// the share of the capacity that was of use.
async fn settled(spec: Value) -> (f64, f64) {
    let (door, _seen) = slot(spec);
    let light = Load {
        per_second: 200,
        seconds: 5,
        patience: MS(1_000),
    };
    goodput(&door, light).await;
    let heavy = Load {
        per_second: 1_000,
        seconds: 30,
        patience: MS(1_000),
    };
    let watch = async {
        tokio::time::sleep(Duration::from_secs(20)).await;
        let mut sum = 0.0;
        for _ in 0..100 {
            tokio::time::sleep(MS(100)).await;
            sum += f64::from(door.view().limit.unwrap_or(0));
        }
        sum / 100.0
    };
    let (good, limit) = tokio::join!(goodput(&door, heavy), watch);
    (limit, good / CAPACITY)
}

#[tokio::test(start_paused = true)]
async fn adaptive_limits_find_the_knee() {
    // AIMD's time is set to twice the unloaded one, so its knee is at twice the workers.
    let aimd = json!({"preset": "aimd", "limit": {"slow_after": "40ms"}});
    for spec in [aimd, json!("gradient2"), json!("vegas")] {
        let (limit, good) = settled(spec.clone()).await;
        println!("{spec}: limit {limit:.1}, goodput {good:.3} of the capacity");
        assert!(
            (0.9 * 10.0..=4.0 * 10.0).contains(&limit),
            "{spec}: {limit}"
        );
        assert!(good > 0.9, "{spec}: {good}");
    }
}

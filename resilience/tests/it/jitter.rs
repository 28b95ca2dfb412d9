//! Waits as calls really make them: no two calls may share their chance.
#![allow(clippy::unwrap_used, reason = "helpers of tests, which may panic")]

use crate::support;

use resilience::preset;
use support::{Failure, Seen, UNAVAILABLE, call, slot};

async fn first_waits(count: usize) -> Vec<f64> {
    let (slot, recorder) = slot(resilience::Policy {
        breaker: None,
        ..preset::fast()
    });
    let callers: Vec<_> = (0..count)
        .map(|_| {
            let slot = slot.clone();
            tokio::spawn(async move {
                let _ = slot
                    .call(call("r"), |_| async { Err::<(), Failure>(UNAVAILABLE) })
                    .await;
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let wait = |seen| match seen {
        Seen::Wait { next: 2, wait } => Some(wait.as_secs_f64() * 1e3),
        _ => None,
    };
    recorder.take().into_iter().filter_map(wait).collect()
}

/// The defect of tower's back-off maker: it clones its generator, and all who fail together wait
/// the same "random" time.
#[tokio::test(start_paused = true)]
async fn calls_that_fail_together_do_not_wait_together() {
    let waits = first_waits(2_000).await;
    assert_eq!(waits.len(), 2_000);
    let mut distinct = waits.clone();
    distinct.sort_by(f64::total_cmp);
    distinct.dedup();
    assert!(
        distinct.len() > 1_990,
        "{} distinct waits of 2 000",
        distinct.len()
    );
    // U(0, 50 ms): the mean is 25 and its standard error 0.32.
    let mean = waits.iter().sum::<f64>() / waits.len() as f64;
    assert!((mean - 25.0).abs() < 1.5, "mean {mean}");
    let variance = waits.iter().map(|w| (w - mean).powi(2)).sum::<f64>() / waits.len() as f64;
    let covariance = waits
        .windows(2)
        .map(|w| (w[0] - mean) * (w[1] - mean))
        .sum::<f64>()
        / (waits.len() - 1) as f64;
    assert!(
        (covariance / variance).abs() < 0.1,
        "neighbours correlate: {}",
        covariance / variance
    );
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_waits_the_same() {
    assert_eq!(first_waits(50).await, first_waits(50).await);
}

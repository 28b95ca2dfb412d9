use proptest::prelude::*;

use super::*;

const MS: fn(u64) -> Duration = Duration::from_millis;

fn sample(millis: u64, inflight: u32) -> Sample {
    Sample {
        rtt: MS(millis),
        inflight,
        dropped: false,
    }
}

fn aimd(window: Duration) -> LimitConfig {
    LimitConfig::Aimd {
        initial: 20,
        min: 4,
        max: 22,
        backoff: 0.9,
        slow_after: MS(50),
        window,
    }
}

#[tokio::test(start_paused = true)]
async fn a_static_limit_stays() {
    let mut limiter = Limiter::new(&LimitConfig::Fixed { max: 7 });
    limiter.sample(
        Sample {
            dropped: true,
            ..sample(1_000, 7)
        },
        Instant::now(),
    );
    assert_eq!(limiter.limit(), 7);
    assert_eq!(Limiter::new(&LimitConfig::Fixed { max: 0 }).limit(), 1);
}

#[tokio::test(start_paused = true)]
async fn aimd_adds_one_and_takes_a_share() {
    let now = Instant::now();
    let mut limiter = Limiter::new(&aimd(Duration::ZERO));
    let mut step = |sample| {
        limiter.sample(sample, now);
        limiter.limit()
    };
    assert_eq!(step(sample(10, 20)), 21);
    assert_eq!(step(sample(10, 10)), 21, "less than half is used");
    assert_eq!(step(sample(50, 11)), 22, "slow is what is above");
    assert_eq!(step(sample(10, 22)), 22, "no more than the most");
    assert_eq!(step(sample(51, 1)), 19, "22 · 0.9 = 19.8");
    let dropped = Sample {
        dropped: true,
        ..sample(1, 1)
    };
    assert_eq!(step(dropped), 17, "19.8 · 0.9 = 17.82");
    for _ in 0..50 {
        step(dropped);
    }
    assert_eq!(step(dropped), 4, "no less than the least");
}

#[tokio::test(start_paused = true)]
async fn a_window_is_one_step_whatever_happened_in_it() {
    let mut limiter = Limiter::new(&aimd(MS(100)));
    let dropped = Sample {
        dropped: true,
        ..sample(1, 20)
    };
    for _ in 0..30 {
        limiter.sample(dropped, Instant::now());
    }
    assert_eq!(limiter.limit(), 20, "the window is open");
    tokio::time::advance(MS(100)).await;
    limiter.sample(sample(10, 20), Instant::now());
    assert_eq!(limiter.limit(), 18, "thirty refusals are one event");
    for _ in 0..8 {
        tokio::time::advance(MS(50)).await;
        limiter.sample(sample(10, 18), Instant::now());
    }
    assert_eq!(limiter.limit(), 18, "fewer than ten are no window");
    for _ in 0..2 {
        limiter.sample(sample(200, 18), Instant::now());
    }
    assert_eq!(limiter.limit(), 19, "the mean is 48 ms");
}

#[tokio::test(start_paused = true)]
async fn what_was_refused_further_in_does_not_count_as_quick() {
    let mut limiter = Limiter::new(&LimitConfig::Vegas {
        initial: 20,
        min: 4,
        max: 100,
        smoothing: 1.0,
        window: MS(10),
    });
    for _ in 0..100 {
        tokio::time::advance(MS(1)).await;
        let refused = Sample {
            dropped: true,
            ..sample(0, 20)
        };
        limiter.sample(refused, Instant::now());
    }
    assert!(limiter.limit() < 20, "{}", limiter.limit());
}

#[test]
fn written_by_its_kind() {
    let written = serde_json::to_value(LimitConfig::Fixed { max: 7 }).unwrap();
    assert_eq!(written, serde_json::json!({"kind": "static", "max": 7}));
    let written = serde_json::to_value(aimd(MS(100))).unwrap();
    assert_eq!(
        (&written["kind"], &written["slow_after"]),
        (&"aimd".into(), &"50ms".into())
    );
}

/// Any constants at all, senseless ones included.
fn configs() -> impl Strategy<Value = LimitConfig> {
    let bounds = || (0u32..300, 0u32..300, 0u32..300);
    let window = || prop_oneof![Just(Duration::ZERO), (0u64..200).prop_map(MS)];
    prop_oneof![
        (0u32..300).prop_map(|max| LimitConfig::Fixed { max }),
        (bounds(), any::<f64>(), 0u64..200, window()).prop_map(
            |((initial, min, max), backoff, slow_after, window)| LimitConfig::Aimd {
                initial,
                min,
                max,
                backoff,
                slow_after: MS(slow_after),
                window,
            }
        ),
        (
            bounds(),
            any::<(f64, f64)>(),
            0u32..20,
            0u32..1_000,
            window()
        )
            .prop_map(
                |((initial, min, max), (tolerance, smoothing), queue, long_window, window)| {
                    LimitConfig::Gradient2 {
                        initial,
                        min,
                        max,
                        tolerance,
                        queue,
                        smoothing,
                        long_window,
                        window,
                    }
                }
            ),
        (bounds(), any::<f64>(), window()).prop_map(|((initial, min, max), smoothing, window)| {
            LimitConfig::Vegas {
                initial,
                min,
                max,
                smoothing,
                window,
            }
        }),
    ]
}

fn bounds(config: &LimitConfig) -> (u32, u32) {
    match *config {
        LimitConfig::Fixed { max } => (max.max(1), max.max(1)),
        LimitConfig::Aimd { min, max, .. }
        | LimitConfig::Gradient2 { min, max, .. }
        | LimitConfig::Vegas { min, max, .. } => (min.max(1), max.max(min).max(1)),
    }
}

fn window_of(config: &LimitConfig) -> Option<Duration> {
    match *config {
        LimitConfig::Fixed { .. } => None,
        LimitConfig::Aimd { window, .. }
        | LimitConfig::Gradient2 { window, .. }
        | LimitConfig::Vegas { window, .. } => Some(window),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_limit_stays_within_its_bounds_and_grows_on_good_news_only(
        config in configs(),
        samples in prop::collection::vec((0u64..500, 0u32..400, prop::bool::weighted(0.2), 0u64..40), 0..120),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time().start_paused(true).build().unwrap();
        let mut now = runtime.block_on(async { Instant::now() });
        let (min, max) = bounds(&config);
        let mut limiter = Limiter::new(&config);
        let each = !matches!(window_of(&config), Some(window) if !window.is_zero());
        for (millis, inflight, dropped, pause) in samples {
            now += MS(pause);
            let before = limiter.limit();
            limiter.sample(Sample { dropped, ..sample(millis, inflight) }, now);
            let after = limiter.limit();
            prop_assert!((min..=max).contains(&after), "{after} of {min} to {max}");
            // Which samples a longer window held isn't seen from here.
            if each && after > before {
                prop_assert!(!dropped, "grew on a refusal");
                prop_assert!(f64::from(inflight) >= f64::from(before) / 2.0, "grew unused");
            }
        }
    }
}

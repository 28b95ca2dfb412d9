use super::*;

fn near(a: f64, b: f64, by: f64) -> bool {
    (a - b).abs() <= by
}

#[test]
fn t_interval_of_a_worked_example() {
    // mean 5, s 1, n 4: 5 ± 3.182 · 1/2.
    let values = [4.0, 5.0, 5.0, 6.0];
    let i = student_t(&values).unwrap();
    let s = (2.0f64 / 3.0).sqrt();
    assert!(near(i.value, 5.0, 1e-12));
    assert!(near(i.high - i.value, 3.182_446 * s / 2.0, 1e-5));
}

#[test]
fn t_interval_needs_two_finite_values() {
    assert_eq!(student_t(&[1.0]), None);
    assert_eq!(student_t(&[1.0, f64::INFINITY]), None);
    let same = student_t(&[3.0, 3.0, 3.0]).unwrap();
    assert_eq!((same.low, same.high), (3.0, 3.0));
}

#[test]
fn clopper_pearson_matches_published_tables() {
    // Exact 95 % limits: 0/10, 1/10, 5/10, 10/10 (Altman et al., Statistics
    // with Confidence, 2nd ed.; the first is also 1 − 0.025^(1/10)).
    for (k, low, high) in [
        (0.0, 0.0, 0.3085),
        (1.0, 0.0025, 0.4450),
        (5.0, 0.1871, 0.8129),
        (10.0, 0.6915, 1.0),
    ] {
        let i = clopper_pearson(k, 10.0).unwrap();
        assert!(
            near(i.low, low, 1e-4) && near(i.high, high, 1e-4),
            "{k}: {i:?}"
        );
    }
    assert_eq!(clopper_pearson(0.0, 0.0), None);
    assert_eq!(clopper_pearson(2.0, 1.0), None);
}

#[test]
fn no_failure_seen_is_not_none_possible() {
    let (i, n) = share(&[(200.0, 200.0), (200.0, 200.0), (200.0, 200.0)]).unwrap();
    assert_eq!(n, 600.0);
    assert!(near(i.low, 0.025f64.powf(1.0 / 600.0), 1e-9));
    assert!(i.low < 1.0 && i.high == 1.0);
}

#[test]
fn repeats_that_differ_widen_the_share() {
    let even = share(&[(90.0, 100.0), (90.0, 100.0), (90.0, 100.0)]).unwrap();
    let apart = share(&[(100.0, 100.0), (100.0, 100.0), (70.0, 100.0)]).unwrap();
    assert_eq!(even.1, 300.0);
    assert!(apart.1 < 30.0, "{apart:?}");
    let chance = share(&[(90.0, 100.0), (91.0, 100.0), (89.0, 100.0)]).unwrap();
    assert!(apart.1 < chance.1 && chance.1 < even.1, "{chance:?}");
    assert!(apart.0.low < even.0.low);
}

#[test]
fn bootstrap_is_repeatable_and_covers_the_value() {
    let data = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
    let avg = |d: &[usize]| Some(d.iter().map(|&i| data[i]).sum::<f64>() / d.len() as f64);
    let a = bootstrap(data.len(), 7, avg).unwrap();
    assert_eq!(Some(a), bootstrap(data.len(), 7, avg));
    assert!(a.low < 4.5 && 4.5 < a.high && near(a.value, 4.5, 1e-12));
    // The standard error is 2.29/√8 ≈ 0.81.
    assert!(near(a.high - a.low, 2.0 * 1.96 * 0.81, 0.4), "{a:?}");
    assert_eq!(bootstrap(1, 7, |_| Some(1.0)), None);
    assert_eq!(bootstrap(8, 7, |_| None), None);
}

#[test]
fn sides() {
    let i = |low, high| Interval {
        value: 0.5 * (low + high),
        low,
        high,
    };
    let inf = f64::INFINITY;
    for (interval, low, high, closed, want) in [
        (i(0.995, 1.0), 0.99, inf, true, Side::Right),
        (i(0.98, 0.985), 0.99, inf, true, Side::Wrong),
        (i(0.98, 1.0), 0.99, inf, true, Side::Across),
        (i(3.0, 3.0), 3.0, inf, true, Side::Right),
        (i(3.0, 3.0), 3.0, inf, false, Side::Wrong),
        (i(2.9, 3.1), 2.85, 3.15, true, Side::Right),
        (i(2.8, 3.1), 2.85, 3.15, true, Side::Across),
        (i(2.8, 3.2), 2.85, 3.15, true, Side::Across),
        (i(3.2, 3.4), 2.85, 3.15, true, Side::Wrong),
        (i(2.0, 2.1), 2.85, 3.15, true, Side::Wrong),
        (i(0.0, 0.0), -inf, 0.0, false, Side::Wrong),
        (i(0.0, 0.0), -inf, 0.0, true, Side::Right),
    ] {
        assert_eq!(
            decide(&interval, low, high, closed),
            want,
            "{interval:?} in {low}..{high}"
        );
    }
}

#[test]
fn more_repeats_shrink_the_interval_past_the_bound() {
    let values = [1.0, 2.0, 3.0];
    let more = more_repeats(&values, 1.0).unwrap();
    let n = 3 + more;
    assert!(t_two_sided(n - 1) / (n as f64).sqrt() < 1.0);
    assert!(t_two_sided(n - 2) / (n as f64 - 1.0).sqrt() >= 1.0);
    assert_eq!(more_repeats(&values, 2.0), None);
    // 160 of 160 is 0.977 at the least; 0.99 takes 368.
    assert_eq!(more_repeats_share(160.0, 160.0, 1, 0.99), Some(2));
}

#[test]
fn binomial_limits() {
    // P(X ≥ 1) = 1 − 0.99^n exceeds 2.5 % from n = 3 on.
    assert_eq!(binomial_limit(2, 0.01), 1);
    assert_eq!(binomial_limit(3, 0.01), 2);
    // n 200, p 0.01: P(X ≥ 6) = 1.6 %, P(X ≥ 5) = 5.2 %.
    assert_eq!(binomial_limit(200, 0.01), 6);
    assert_eq!(binomial_limit(0, 0.01), 1);
}

#[test]
fn welch_and_paired_differences() {
    // Worked by hand: means 2 and 5, variances 1 and 4, n 3 each; se √(5/3),
    // df (5/3)² / ((1/3)²/2 + (4/3)²/2) = 2.94.
    let (a, b) = ([1.0, 2.0, 3.0], [3.0, 5.0, 7.0]);
    let w = welch(&a, &b, 0.95).unwrap();
    assert!(near(w.value, 3.0, 1e-12));
    assert!(
        near(w.high - w.value, 3.219 * (5.0f64 / 3.0).sqrt(), 0.02),
        "{w:?}"
    );
    // Differences 2, 3, 4: 3 ± 4.303 / √3.
    let p = paired(&a, &b, 0.95).unwrap();
    assert!(
        near(p.high - p.value, 4.302_65 / 3f64.sqrt(), 1e-3),
        "{p:?}"
    );
    assert!(welch(&a, &b, 0.999).unwrap().high > w.high);
    assert_eq!(welch(&[1.0], &b, 0.95), None);
    assert_eq!(paired(&a, &[1.0, 2.0], 0.95), None);
    let same = welch(&[2.0, 2.0], &[2.0, 2.0], 0.95).unwrap();
    assert_eq!((same.low, same.high), (0.0, 0.0));
}

#[test]
fn agreeing_repeats_are_not_surer_than_their_requests() {
    let found = student_t_above(&[0.01, 0.01, 0.01], 0.0001).unwrap();
    assert!(near(found.high, 0.01 + 1.96 * 0.01, 1e-4), "{found:?}");
    // The spread between repeats, where it is more.
    let wide = student_t_above(&[0.0, 0.1, 0.2], 0.0001).unwrap();
    assert_eq!(Some(wide), student_t(&[0.0, 0.1, 0.2]));
    assert!(share_variance(500.0, 500.0) > 0.0);
}

#[test]
fn medians() {
    assert_eq!(median(&[]), None);
    assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
    assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
}

/// With no difference between repeats, the 95 % t interval over 3 repeats covers
/// the truth about 95 times in 100 (seeded, so the test can't flicker).
#[test]
fn t_interval_covers() {
    let mut rng = SmallRng::seed_from_u64(1);
    let mut normal = || {
        // Irwin–Hall: twelve uniforms less six.
        (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0
    };
    let covered = (0..2_000)
        .filter(|_| {
            let i = student_t(&[normal(), normal(), normal()]).unwrap();
            i.low <= 0.0 && 0.0 <= i.high
        })
        .count();
    assert!((1_870..=1_930).contains(&covered), "{covered} of 2000");
}

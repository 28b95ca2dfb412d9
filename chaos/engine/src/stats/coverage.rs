//! Whether the intervals keep their promise, on simulated runs: over 1 000 of each kind, at
//! 3, 5 and 10 repeats, with and without differences between the repeats, the 95 % interval
//! covers the truth in 93 % or more, and of two arms that are equal at most 7 % are called
//! different. Seeded, so that the answer is always the same.

use super::*;

const TRIALS: usize = 1_000;
const REPEATS: [usize; 3] = [3, 5, 10];

/// What is drawn.
struct Draw(SmallRng);

impl Draw {
    fn uniform(&mut self) -> f64 {
        // Never zero, for the logarithm.
        1.0 - self.0.random::<f64>()
    }

    /// Box and Muller's.
    fn normal(&mut self) -> f64 {
        let (u, v) = (self.uniform(), self.uniform());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    fn binomial(&mut self, n: usize, p: f64) -> f64 {
        (0..n).filter(|_| self.0.random::<f64>() < p).count() as f64
    }

    /// A share of `n` requests in one repeat whose own probability has the odds of `p` times
    /// `exp(spread × normal)`.
    fn share(&mut self, n: usize, p: f64, spread: f64) -> (f64, f64) {
        let odds = p / (1.0 - p) * (spread * self.normal()).exp();
        let own = if p >= 1.0 { 1.0 } else { odds / (1.0 + odds) };
        (self.binomial(n, own), n as f64)
    }

    /// Latencies of `n` requests, log-normal, in a repeat that is `shift` slower.
    fn latencies(&mut self, n: usize, shift: f64) -> Vec<f64> {
        (0..n)
            .map(|_| (0.5 * self.normal() + shift).exp())
            .collect()
    }
}

/// How often an interval covers `truth`, at each number of repeats.
fn covers(what: &str, truth: f64, mut interval: impl FnMut(&mut Draw, usize) -> Option<Interval>) {
    for repeats in REPEATS {
        let mut draw = Draw(SmallRng::seed_from_u64(20_260_701 + repeats as u64));
        let covered = (0..TRIALS)
            .filter(|_| {
                let i = interval(&mut draw, repeats);
                i.is_some_and(|i| i.low <= truth && truth <= i.high)
            })
            .count();
        println!("{what}, {repeats} repeats: {covered} of {TRIALS} cover");
        assert!(covered >= 930, "{what}, {repeats} repeats: {covered}");
    }
}

/// How often the difference of two equal arms is told from none, at each number of repeats.
fn equal(what: &str, interval: impl FnMut(&mut Draw, usize) -> Option<Interval>) {
    covers(&format!("{what}, two equal arms"), 0.0, interval);
}

/// The true mean of a probability that differs between repeats.
fn mean_share(p: f64, spread: f64) -> f64 {
    let mut draw = Draw(SmallRng::seed_from_u64(1));
    let all: Vec<f64> = (0..200_000)
        .map(|_| {
            let odds = p / (1.0 - p) * (spread * draw.normal()).exp();
            odds / (1.0 + odds)
        })
        .collect();
    mean(&all)
}

#[test]
fn means() {
    for spread in [0.0, 0.1, 0.5] {
        // Fifty requests' mean, and what the repeat itself adds.
        let repeat = |d: &mut Draw| 5.0 + d.normal() / 50_f64.sqrt() + spread * d.normal();
        let what = format!("means, repeats apart by {spread}");
        covers(&what, 5.0, |d, m| {
            student_t(&(0..m).map(|_| repeat(d)).collect::<Vec<_>>())
        });
        // What a repeat does to both arms cancels in the paired difference.
        equal(&what, |d, m| {
            let pair = |d: &mut Draw| {
                let both = spread * d.normal();
                let one = |d: &mut Draw| 5.0 + d.normal() / 50_f64.sqrt() + both;
                one(d) - one(d)
            };
            student_t(&(0..m).map(|_| pair(d)).collect::<Vec<_>>())
        });
    }
}

/// Requests in a repeat, the share, and how far repeats are apart (on the scale of log-odds).
const SHARES: [(usize, f64, f64); 11] = [
    (400, 0.5, 0.0),
    (400, 0.5, 0.2),
    (400, 0.8, 0.3),
    (600, 0.95, 0.0),
    (600, 0.95, 0.4),
    (600, 0.99, 0.0),
    (600, 0.99, 0.5),
    (600, 0.999, 0.0),
    (600, 0.999, 0.5),
    (600, 0.01, 0.5),
    (2_000, 0.001, 0.0),
];

#[test]
fn shares() {
    for (n, p, spread) in SHARES {
        let what = format!("a share of {p} in {n}, repeats apart by {spread}");
        covers(&what, mean_share(p, spread), |d, m| {
            let counts: Vec<_> = (0..m).map(|_| d.share(n, p, spread)).collect();
            share(&counts).map(|s| s.0)
        });
    }
    covers("a share of 1 in 300", 1.0, |d, m| {
        let counts: Vec<_> = (0..m).map(|_| d.share(300, 1.0, 0.0)).collect();
        share(&counts).map(|s| s.0)
    });
}

#[test]
fn differences_of_shares() {
    for (n, p, spread) in SHARES {
        let what = format!("a share of {p} in {n}, repeats apart by {spread}");
        equal(&what, |d, m| {
            let (mut values, mut floor) = (Vec::new(), 0.0);
            for _ in 0..m {
                let ((a, n), (b, _)) = (d.share(n, p, spread), d.share(n, p, spread));
                values.push((a - b) / n);
                floor += share_variance(a, n) + share_variance(b, n);
            }
            student_t_above(&values, floor / (m * m) as f64)
        });
    }
}

/// The estimate that [`crate::latency::Latency::percentile`] makes, of plain values.
fn percentile(mut values: Vec<f64>, q: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (values.len() as f64 + 1.0 / 3.0) * q + 1.0 / 3.0;
    let order = |r: f64| values[(r as usize).clamp(1, values.len()) - 1];
    order(rank.floor()) + rank.fract() * (order(rank.floor() + 1.0) - order(rank.floor()))
}

/// The log-normal's own: the normal quantile is 0, 1.281 55 or 2.326 35.
const QUANTILES: [(f64, f64, usize); 3] = [
    (0.5, 0.0, 100),
    (0.9, 1.281_552, 200),
    (0.99, 2.326_348, 1_000),
];

#[test]
fn percentiles() {
    for (q, z, n) in QUANTILES {
        for spread in [0.0, 0.1_f64] {
            let what = format!("p{}, repeats apart by {spread}", q * 100.0);
            // The mean over repeats of what each is about: E exp(spread × normal).
            let truth = (0.5 * z + spread * spread / 2.0).exp();
            covers(&what, truth, |d, m| {
                let one = |d: &mut Draw| {
                    let shift = spread * d.normal();
                    percentile(d.latencies(n, shift), q)
                };
                student_t(&(0..m).map(|_| one(d)).collect::<Vec<_>>())
            });
            equal(&what, |d, m| {
                let pair = |d: &mut Draw| {
                    let shift = spread * d.normal();
                    percentile(d.latencies(n, shift), q) - percentile(d.latencies(n, shift), q)
                };
                student_t(&(0..m).map(|_| pair(d)).collect::<Vec<_>>())
            });
        }
    }
}

/// Percentiles of which no repeat alone has enough requests.
#[test]
fn thin_percentiles() {
    for (q, z, n) in [(0.9, 1.281_552, 50), (0.99, 2.326_348, 400)] {
        for spread in [0.0, 0.1_f64] {
            let what = format!("p{} of {n} a repeat, apart by {spread}", q * 100.0);
            // Of all requests together: the shifts add to the variance.
            let truth = (z * (0.25 + spread * spread).sqrt()).exp();
            covers(&what, truth, |d, m| {
                let one = |d: &mut Draw| -> Vec<(f64, u64)> {
                    let shift = spread * d.normal();
                    let mut values = d.latencies(n, shift);
                    values.sort_by(f64::total_cmp);
                    values.into_iter().map(|x| (x, 1)).collect()
                };
                let repeats: Vec<_> = (0..m).map(|_| one(d)).collect();
                quantile_interval(&repeats, q)
            });
        }
    }
}

//! How long a request keeps a worker busy.

use std::time::Duration;

use rand::{Rng, RngExt as _};
use rand_distr::{Distribution as _, Exp1, LogNormal, Pareto};

/// A distribution of service times.
#[derive(Clone, Debug, PartialEq)]
pub enum ServiceTime {
    /// Always the same.
    Constant(Duration),
    /// Memoryless, with this mean: the M of queueing theory.
    Exponential(Duration),
    /// The logarithm is normal: many short ones and a moderate tail, as of database queries.
    LogNormal(LogNormal<f64>),
    /// A power law: a heavy tail.
    Pareto(Pareto<f64>),
    /// A share (0 to 1) of requests meets the second distribution instead of the first.
    Mixed(Box<Self>, f64, Box<Self>),
}

impl ServiceTime {
    /// Log-normal by its median and the deviation of the logarithm; constant when that is no
    /// number.
    pub fn log_normal(median: Duration, sigma: f64) -> Self {
        LogNormal::new(median.as_secs_f64().ln(), sigma)
            .map_or(Self::Constant(median), Self::LogNormal)
    }

    /// Pareto by its shortest time and its shape (the mean is finite above 1); constant when
    /// either isn't positive.
    pub fn pareto(shortest: Duration, shape: f64) -> Self {
        Pareto::new(shortest.as_secs_f64(), shape).map_or(Self::Constant(shortest), Self::Pareto)
    }

    /// This, but `share` of the requests are served by `slow`.
    #[must_use]
    pub fn with_slow(self, share: f64, slow: Self) -> Self {
        Self::Mixed(Box::new(self), share, Box::new(slow))
    }

    /// One request's time.
    pub fn sample<R: Rng + ?Sized>(&self, rng: &mut R) -> Duration {
        let seconds = match self {
            Self::Constant(time) => return *time,
            Self::Exponential(mean) => mean.as_secs_f64() * exp1(rng),
            Self::LogNormal(distribution) => distribution.sample(rng),
            Self::Pareto(distribution) => distribution.sample(rng),
            Self::Mixed(usual, share, slow) => {
                let which = if rng.random::<f64>() < *share {
                    slow
                } else {
                    usual
                };
                return which.sample(rng);
            }
        };
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }
}

/// Exponential with mean 1.
pub(super) fn exp1<R: Rng + ?Sized>(rng: &mut R) -> f64 {
    Exp1.sample(rng)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Seed;
    use crate::stats::{Sample, quantile};

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn sorted(service: &ServiceTime) -> Vec<f64> {
        let mut rng = Seed::new(9).rng();
        let mut times: Vec<f64> = (0..40_000)
            .map(|_| service.sample(&mut rng).as_secs_f64() * 1e3)
            .collect();
        times.sort_by(f64::total_cmp);
        times
    }

    fn mean(service: &ServiceTime) -> f64 {
        sorted(service).into_iter().collect::<Sample>().mean()
    }

    /// Textbook means; the tolerance is over four standard errors of 40 000 samples.
    #[test]
    fn means_are_the_textbooks() {
        assert_eq!(mean(&ServiceTime::Constant(MS(20))), 20.0);
        let exponential = mean(&ServiceTime::Exponential(MS(20)));
        assert!((exponential - 20.0).abs() < 0.5, "{exponential}");
        // exp(σ²/2) over the median.
        let log_normal = mean(&ServiceTime::log_normal(MS(20), 0.5));
        assert!(
            (log_normal - 20.0 * 0.125_f64.exp()).abs() < 0.3,
            "{log_normal}"
        );
        // shape/(shape − 1) over the shortest.
        let pareto = mean(&ServiceTime::pareto(MS(20), 3.0));
        assert!((pareto - 30.0).abs() < 0.5, "{pareto}");
    }

    #[test]
    fn tails_are_the_textbooks() {
        let median = quantile(&sorted(&ServiceTime::log_normal(MS(20), 0.5)), 0.5).unwrap();
        assert!((median - 20.0).abs() < 0.3, "{median}");
        // The 99th percentile of a Pareto is shortest · 100^(1/shape).
        let tail = quantile(&sorted(&ServiceTime::pareto(MS(20), 2.0)), 0.99).unwrap();
        assert!((tail - 200.0).abs() < 25.0, "{tail}");
    }

    #[test]
    fn a_share_of_requests_is_slow() {
        let service =
            ServiceTime::Constant(MS(1)).with_slow(0.01, ServiceTime::Constant(MS(1_000)));
        let slow = sorted(&service).iter().filter(|time| **time > 1.0).count();
        // 400 expected, deviation 20.
        assert!((320..480).contains(&slow), "{slow}");
    }
}

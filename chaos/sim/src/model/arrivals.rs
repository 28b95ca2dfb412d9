//! When requests come, whether or not anybody answers (open loop).

use std::time::Duration;

use super::service::exp1;
use crate::kernel::SimRng;

/// Arrivals at a mean rate, as an endless iterator over their model times.
#[derive(Clone, Debug)]
pub struct Arrivals {
    interval: f64,
    poisson: Option<SimRng>,
    at: f64,
}

impl Arrivals {
    /// A Poisson process: many independent customers. The rate is per second.
    pub fn poisson(rate: f64, rng: SimRng) -> Self {
        Self {
            interval: 1.0 / rate,
            poisson: Some(rng),
            at: 0.0,
        }
    }

    /// One each 1/rate seconds.
    pub fn constant(rate: f64) -> Self {
        Self {
            interval: 1.0 / rate,
            poisson: None,
            at: 0.0,
        }
    }
}

impl Iterator for Arrivals {
    type Item = Duration;

    /// `None` only when the time can't be represented any more, as with a rate of zero.
    fn next(&mut self) -> Option<Duration> {
        let gaps = self.poisson.as_mut().map_or(1.0, exp1);
        self.at += gaps * self.interval;
        Duration::try_from_secs_f64(self.at).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Seed;
    use crate::stats::Sample;

    #[test]
    fn constant_arrivals_are_evenly_spaced() {
        let times: Vec<Duration> = Arrivals::constant(4.0).take(3).collect();
        assert_eq!(times, [250, 500, 750].map(Duration::from_millis));
        assert_eq!(Arrivals::constant(0.0).next(), None);
    }

    /// In a Poisson process the number in a second has the rate as mean and as variance.
    #[test]
    fn poisson_arrivals_have_their_mean_and_variance() {
        let mut counts = vec![0.0; 2_000];
        Arrivals::poisson(10.0, Seed::new(4).rng())
            .map_while(|at| {
                counts
                    .get_mut(at.as_secs() as usize)
                    .map(|count| *count += 1.0)
            })
            .for_each(drop);
        let mean: Sample = counts.iter().copied().collect();
        let variance: Sample = counts
            .iter()
            .map(|count| (count - 10.0_f64).powi(2))
            .collect();
        // Four standard errors: √(10/2000) and about 10·√(2/2000).
        assert!((mean.mean() - 10.0).abs() < 0.3, "{}", mean.mean());
        assert!((variance.mean() - 10.0).abs() < 1.4, "{}", variance.mean());
    }
}

//! The way between client and server.

use std::time::Duration;

use rand::Rng;
use rand_distr::{Distribution as _, Normal};

/// How long one way takes. Nothing is lost and nothing is put in order: a message that left later
/// may arrive sooner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Network {
    /// Always the same.
    Constant(Duration),
    /// Normally distributed, cut off at zero.
    Normal(Normal<f64>),
}

impl Network {
    /// Normally distributed; a mean or deviation that is no number makes it constant.
    pub fn normal(mean: Duration, deviation: Duration) -> Self {
        Normal::new(mean.as_secs_f64(), deviation.as_secs_f64())
            .map_or(Self::Constant(mean), Self::Normal)
    }

    /// The network of the contention figures: normal(10, 2) ms each way.
    ///
    /// Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    pub fn contention() -> Self {
        Self::normal(Duration::from_millis(10), Duration::from_millis(2))
    }

    /// The time of one way.
    pub fn way<R: Rng + ?Sized>(&self, rng: &mut R) -> Duration {
        match self {
            Self::Constant(time) => *time,
            Self::Normal(normal) => Duration::from_secs_f64(normal.sample(rng).max(0.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Seed;
    use crate::stats::Sample;

    #[test]
    fn the_contention_network_has_its_mean_and_deviation() {
        let mut rng = Seed::new(1).rng();
        let ways: Vec<f64> = (0..40_000)
            .map(|_| Network::contention().way(&mut rng).as_secs_f64() * 1e3)
            .collect();
        let mean: Sample = ways.iter().copied().collect();
        let variance: Sample = ways.iter().map(|way| (way - 10.0).powi(2)).collect();
        // Four standard errors: 2/200 and 4·√2/200.
        assert!((mean.mean() - 10.0).abs() < 0.04, "{}", mean.mean());
        assert!((variance.mean() - 4.0).abs() < 0.12, "{}", variance.mean());
    }

    #[test]
    fn no_way_takes_less_than_no_time() {
        let mut rng = Seed::new(1).rng();
        let wild = Network::normal(Duration::from_millis(1), Duration::from_millis(100));
        assert!((0..1_000).any(|_| wild.way(&mut rng) == Duration::ZERO));
    }
}

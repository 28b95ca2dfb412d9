//! Means, and how far they can be trusted.

/// A sample's mean and spread, added one by one (Welford, Technometrics 1962).
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    count: u64,
    mean: f64,
    squares: f64,
}

impl Sample {
    /// Adds one value.
    pub fn add(&mut self, value: f64) {
        self.count += 1;
        let before = value - self.mean;
        self.mean += before / self.count as f64;
        self.squares += before * (value - self.mean);
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The mean; 0 of none.
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// The standard error of the mean; 0 when there are fewer than two values.
    pub fn standard_error(&self) -> f64 {
        if self.count < 2 {
            return 0.0;
        }
        let n = self.count as f64;
        (self.squares / (n - 1.0) / n).sqrt()
    }
}

impl FromIterator<f64> for Sample {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut sample = Self::default();
        values.into_iter().for_each(|value| sample.add(value));
        sample
    }
}

/// How many standard errors a measured value lies from the expected one; without any spread,
/// nothing when they are the same (to rounding) and infinitely many when they aren't.
pub fn deviation(measured: f64, expected: f64, standard_error: f64) -> f64 {
    let difference = measured - expected;
    if difference.abs() <= 1e-9 * expected.abs() {
        0.0
    } else {
        difference / standard_error
    }
}

/// The smallest value that at least a share `q` (0 to 1) of the sorted ones don't exceed; `None` of
/// none.
pub fn quantile<T: Copy>(sorted: &[T], q: f64) -> Option<T> {
    let rank = (q.clamp(0.0, 1.0) * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_error_are_the_textbooks() {
        let sample: Sample = [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]
            .into_iter()
            .collect();
        assert_eq!(sample.count(), 8);
        assert!((sample.mean() - 5.0).abs() < 1e-12);
        // Sum of squares 32, variance 32/7, standard error sqrt(32/7/8).
        assert!((sample.standard_error() - (4.0_f64 / 7.0).sqrt()).abs() < 1e-12);
        assert_eq!(Sample::default().standard_error(), 0.0);
    }

    #[test]
    fn without_spread_only_equality_will_do() {
        assert_eq!(deviation(64.0, 64.0, 0.0), 0.0);
        assert_eq!(deviation(65.0, 64.0, 0.0), f64::INFINITY);
        assert_eq!(deviation(66.0, 64.0, 2.0), 1.0);
    }

    #[test]
    fn quantiles_are_values_of_the_sample() {
        let sorted: Vec<u32> = (1..=100).collect();
        assert_eq!(quantile(&sorted, 0.5), Some(50));
        assert_eq!(quantile(&sorted, 0.99), Some(99));
        assert_eq!(quantile(&sorted, 0.0), Some(1));
        assert_eq!(quantile(&sorted, 1.0), Some(100));
        assert_eq!(quantile::<u32>(&[], 0.5), None);
    }
}

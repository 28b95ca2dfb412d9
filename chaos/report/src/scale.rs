//! Where values lie in a picture.
//!
//! Pictures stretch with the page and have no script to help them, so what lies
//! along time is placed in per cent, or in seconds inside an inner `<svg>` whose
//! view box is the time axis; what lies upwards is in pixels.

/// The time axis that all pictures of a report share, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Time {
    pub(crate) from: f64,
    pub(crate) to: f64,
}

impl Time {
    pub(crate) fn span(self) -> f64 {
        (self.to - self.from).max(1e-9)
    }

    /// A moment as a share of the width.
    pub(crate) fn percent(self, t: f64) -> String {
        let share = (t - self.from) / self.span() * 100.0;
        format!("{}%", short(share.clamp(-100.0, 200.0), 3))
    }

    /// A length as a share of the width.
    pub(crate) fn width(self, from: f64, to: f64) -> String {
        let (a, b) = (from.max(self.from), to.min(self.to));
        format!("{}%", short((b - a).max(0.0) / self.span() * 100.0, 3))
    }
}

/// Upwards, in pixels from the top.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Up {
    height: f64,
    low: f64,
    high: f64,
    log: bool,
}

/// Room above the highest value, so that a line there is not cut.
const HEAD: f64 = 9.0;

impl Up {
    /// From zero to a round number not below `high`.
    pub(crate) fn linear(height: f64, high: f64) -> Self {
        let high = if high > 0.0 { round_up(high) } else { 1.0 };
        let low = 0.0;
        Self {
            height,
            low,
            high,
            log: false,
        }
    }

    /// Whole powers of ten around both values, which are above zero.
    pub(crate) fn log(height: f64, low: f64, high: f64) -> Self {
        let low = 10_f64.powf(low.max(1e-6).log10().floor());
        let high = 10_f64.powf((high.max(low * 1.01).log10() - 1e-9).ceil());
        Self {
            height,
            low,
            high,
            log: true,
        }
    }

    pub(crate) fn y(&self, value: f64) -> f64 {
        let share = if self.log {
            (value.max(self.low) / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        self.height - share.clamp(0.0, 1.0) * (self.height - HEAD)
    }

    pub(crate) fn shows(&self, value: f64) -> bool {
        (self.low * 0.999..=self.high * 1.001).contains(&value)
    }

    pub(crate) fn low(&self) -> f64 {
        self.low
    }

    pub(crate) fn high(&self) -> f64 {
        self.high
    }

    /// Round values to name on the axis.
    pub(crate) fn ticks(&self) -> Vec<f64> {
        if self.log {
            let (a, b) = (
                self.low.log10().round() as i32,
                self.high.log10().round() as i32,
            );
            return (a..=b).map(|power| 10_f64.powi(power)).collect();
        }
        let step = round_step(self.high / 3.0);
        let n = (self.high / step + 1e-9).floor() as u32;
        (0..=n).map(|i| f64::from(i) * step).collect()
    }
}

fn round_step(raw: f64) -> f64 {
    let power = 10_f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0]
        .map(|f| f * power)
        .into_iter()
        .find(|s| *s >= raw * 0.999);
    step.unwrap_or(10.0 * power)
}

fn round_up(high: f64) -> f64 {
    let step = round_step(high / 4.0);
    (high / step).ceil() * step
}

/// Round moments to name on a time axis that is about `labels` labels wide.
pub(crate) fn moments(time: Time, labels: f64) -> Vec<f64> {
    const STEPS: [f64; 11] = [
        1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0,
    ];
    let raw = time.span() / labels;
    let step = STEPS.into_iter().find(|s| *s >= raw).unwrap_or(3600.0);
    let (first, last) = (
        (time.from / step).ceil() as i64,
        (time.to / step).floor() as i64,
    );
    (first..=last).map(|i| i as f64 * step).collect()
}

/// A number with at most so many digits behind the point and no idle ones.
pub(crate) fn short(x: f64, digits: usize) -> String {
    let text = format!("{x:.digits$}");
    if !text.contains('.') {
        return text;
    }
    match text.trim_end_matches('0').trim_end_matches('.') {
        "-0" => "0".to_owned(),
        kept => kept.to_owned(),
    }
}

/// Which of `n` values are drawn when there is room for about `room`: of each
/// bucket the least and the greatest by `key`, in their order, so that no extreme
/// is lost; and both ends.
pub(crate) fn keep_extremes(n: usize, room: usize, key: impl Fn(usize) -> f64) -> Vec<usize> {
    if n <= room.max(4) {
        return (0..n).collect();
    }
    let buckets = (room / 2).max(1);
    let mut kept = vec![0];
    for b in 0..buckets {
        let range = b * n / buckets..(b + 1) * n / buckets;
        let by_key = |a: &usize, b: &usize| key(*a).total_cmp(&key(*b));
        kept.extend(range.clone().min_by(by_key));
        kept.extend(range.max_by(by_key));
    }
    kept.push(n - 1);
    kept.sort_unstable();
    kept.dedup();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_round_and_inside() {
        let at = |from, to| moments(Time { from, to }, 6.0);
        assert_eq!(at(0.0, 31.0), [0.0, 10.0, 20.0, 30.0]);
        assert_eq!(at(0.0, 600.0), [0.0, 120.0, 240.0, 360.0, 480.0, 600.0]);
        assert_eq!(at(-3.0, 3.0), [-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0]);
    }

    #[test]
    fn upwards_is_upwards() {
        let linear = Up::linear(100.0, 37.0);
        assert_eq!(linear.y(0.0), 100.0);
        assert!(linear.y(37.0) >= HEAD && linear.y(37.0) < linear.y(20.0));
        assert_eq!(linear.ticks(), [0.0, 20.0, 40.0]);
        let log = Up::log(100.0, 0.002, 3.0);
        assert_eq!((log.low(), log.high()), (0.001, 10.0));
        assert_eq!(log.y(0.001), 100.0);
        assert_eq!(log.y(10.0), HEAD);
        assert_eq!(log.ticks().len(), 5);
        assert!(!log.shows(11.0));
        assert_eq!(Up::linear(10.0, 0.0).y(f64::MIN), 10.0);
    }

    #[test]
    fn no_extreme_is_lost() {
        let values: Vec<f64> = (0..1_000).map(|i| f64::from(i * 7919 % 997)).collect();
        let kept = keep_extremes(values.len(), 50, |i| values[i]);
        assert!(kept.len() <= 52, "{}", kept.len());
        let most = |all: &mut dyn Iterator<Item = f64>| all.fold(f64::MIN, f64::max);
        assert_eq!(
            most(&mut kept.iter().map(|i| values[*i])),
            most(&mut values.iter().copied())
        );
        assert!(kept.is_sorted() && kept[0] == 0 && kept.last() == Some(&999));
        assert_eq!(keep_extremes(3, 50, |_| 0.0), [0, 1, 2]);
    }

    #[test]
    fn numbers_have_no_idle_digits() {
        assert_eq!(short(10.0, 2), "10");
        assert_eq!(short(0.126, 2), "0.13");
        assert_eq!(short(-0.001, 2), "0");
        assert_eq!(
            Time {
                from: 0.0,
                to: 40.0
            }
            .percent(10.0),
            "25%"
        );
        assert_eq!(
            Time {
                from: 0.0,
                to: 40.0
            }
            .width(30.0, 50.0),
            "25%"
        );
    }
}

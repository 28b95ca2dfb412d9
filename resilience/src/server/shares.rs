//! How much of a number is open to which level.

use super::policy::ShedConfig;
use crate::priority::Priority;

/// Shares in order: no level has less than one below it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shares([f64; Priority::ALL.len()]);

impl Shares {
    /// Everything is open to all.
    const ALL: Self = Self([1.0; Priority::ALL.len()]);

    pub(super) fn new(config: Option<&ShedConfig>) -> Self {
        let Some(config) = config else {
            return Self::ALL;
        };
        let mut least = 0.0_f64;
        Self(Priority::ALL.map(|level| {
            let share = config.share(level);
            // What is no number is no reason to shut anybody out.
            let share = if share.is_nan() { 1.0 } else { share };
            least = least.max(share.clamp(0.0, 1.0));
            least
        }))
    }

    /// How many of `all` are open to `level`: any share above zero of any number above zero is at
    /// least one, so that a small limit doesn't shut a level out.
    pub(super) fn of(&self, all: u32, level: Priority) -> u32 {
        // A product such as 0.07 · 100 lies a little above the whole number it means.
        let open = (f64::from(all) * self.0[level as usize] - 1e-6).ceil();
        // Within 0 and `all`; below zero (the product is none) is cast to zero.
        open as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEVELS: [Priority; 4] = Priority::ALL;

    fn open(all: u32, config: Option<ShedConfig>) -> [u32; 4] {
        let shares = Shares::new(config.as_ref());
        LEVELS.map(|level| shares.of(all, level))
    }

    fn config(
        sheddable: f64,
        sheddable_plus: f64,
        critical: f64,
        critical_plus: f64,
    ) -> ShedConfig {
        ShedConfig {
            critical_plus,
            critical,
            sheddable_plus,
            sheddable,
        }
    }

    #[test]
    fn without_shedding_everything_is_open() {
        assert_eq!(open(7, None), [7; 4]);
        assert_eq!(open(u32::MAX, None), [u32::MAX; 4]);
    }

    #[test]
    fn shares_are_rounded_up_and_zero_is_shut() {
        assert_eq!(open(10, Some(config(0.5, 0.75, 1.0, 1.0))), [5, 8, 10, 10]);
        assert_eq!(open(1, Some(config(0.1, 0.2, 0.9, 1.0))), [1; 4]);
        assert_eq!(
            open(100, Some(config(0.0, 0.07, 0.29, 0.57))),
            [0, 7, 29, 57]
        );
        assert_eq!(open(0, Some(config(0.5, 1.0, 1.0, 1.0))), [0; 4]);
    }

    #[test]
    fn senseless_shares_are_put_in_order() {
        assert_eq!(open(10, Some(config(0.8, 0.2, 0.5, 0.9))), [8, 8, 8, 9]);
        assert_eq!(open(10, Some(config(f64::NAN, -1.0, 7.0, 0.0))), [10; 4]);
    }
}

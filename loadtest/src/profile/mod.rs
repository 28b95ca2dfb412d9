//! How many arrivals a second, as a function of time.
//!
//! Times count from second 0 of the measurement, which is the end of the warm-up; during the warm-up
//! the first rate holds. Every profile is piecewise linear, so that the number of arrivals expected
//! up to a moment, and the moment of the n-th, are exact ([`curve`]).

pub(crate) mod curve;
mod read;

use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use crate::error::LoadError;
use crate::profile::curve::Curve;

/// Arrivals a second over time. Written as a number, or as a table:
///
/// | profile | written |
/// |---|---|
/// | constant | `20` |
/// | ramp | `{ from = 20, to = 100, start = "5s", over = "30s" }` |
/// | steps | `{ steps = [["0s", 50], ["10s", 100]] }` |
/// | spike | `{ base = 20, spike = 200, at = "10s", for = "2s" }` |
///
/// Rates are at least 0 and at most [`Profile::MAX_RATE`], and not all 0.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Value")]
pub enum Profile {
    /// The same rate all the time.
    Constant(f64),
    /// A straight line from one rate to another.
    Ramp {
        /// The rate until `start`.
        from: f64,
        /// The rate at the end of the ramp, and from then on.
        to: f64,
        /// Where the ramp begins.
        start: Duration,
        /// How long it takes; none: up to the end of the load.
        over: Option<Duration>,
    },
    /// Rates that hold from a moment on; the first moment is 0, and each is later than the one
    /// before.
    Steps(Vec<(Duration, f64)>),
    /// One rate, and another for a while.
    Spike {
        /// The rate outside of the spike.
        base: f64,
        /// The rate in it.
        spike: f64,
        /// Where it begins.
        at: Duration,
        /// How long it lasts.
        lasts: Duration,
    },
}

impl Profile {
    /// The highest rate that a profile may ask for: far above what one process can send, and a guard
    /// against a slip in a file.
    pub const MAX_RATE: f64 = 100_000.0;

    /// A straight line over the whole load.
    #[must_use]
    pub const fn ramp(from: f64, to: f64) -> Self {
        Self::Ramp {
            from,
            to,
            start: Duration::ZERO,
            over: None,
        }
    }

    /// Its name in words.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Constant(_) => "constant",
            Self::Ramp { .. } => "ramp",
            Self::Steps(_) => "steps",
            Self::Spike { .. } => "spike",
        }
    }

    /// Checks every value.
    ///
    /// # Errors
    /// [`LoadError::Invalid`], naming the first field that is out of range (`rate`, `rate.to`,
    /// `rate.steps[1]`).
    pub fn validate(&self) -> Result<(), LoadError> {
        match self {
            Self::Constant(rate) => rated("rate", *rate)?,
            Self::Ramp { from, to, over, .. } => {
                rated("rate.from", *from)?;
                rated("rate.to", *to)?;
                if over.is_some_and(|over| over.is_zero()) {
                    let message = "must be over 0; a rate that changes at once is two `steps`";
                    return Err(LoadError::invalid("rate.over", message));
                }
            }
            Self::Steps(steps) => in_order(steps)?,
            Self::Spike {
                base, spike, lasts, ..
            } => {
                rated("rate.base", *base)?;
                rated("rate.spike", *spike)?;
                if lasts.is_zero() {
                    return Err(LoadError::invalid("rate.for", "must be over 0"));
                }
            }
        }
        if self.peak() > 0.0 {
            return Ok(());
        }
        Err(LoadError::invalid("rate", "is 0 all the time"))
    }

    /// The highest rate in it.
    #[must_use]
    pub fn peak(&self) -> f64 {
        match self {
            Self::Constant(rate) => *rate,
            Self::Ramp { from, to, .. } => from.max(*to),
            Self::Steps(steps) => steps.iter().map(|(_, rate)| *rate).fold(0.0, f64::max),
            Self::Spike { base, spike, .. } => base.max(*spike),
        }
    }

    /// Arrivals expected in a load of `duration` whose first `warm_up` is not measured.
    #[must_use]
    pub fn expected(&self, warm_up: Duration, duration: Duration) -> f64 {
        self.curve(warm_up, duration).total()
    }

    /// The rates of a load of `duration`, from its first moment on.
    pub(crate) fn curve(&self, warm_up: Duration, duration: Duration) -> Curve {
        let zero = warm_up.as_secs_f64();
        let mut curve = Curve::up_to(duration.as_secs_f64());
        match self {
            Self::Constant(rate) => curve.hold(*rate, f64::INFINITY),
            Self::Ramp {
                from,
                to,
                start,
                over,
            } => {
                let start = zero + start.as_secs_f64();
                let end = over.map_or(curve.end(), |over| start + over.as_secs_f64());
                curve.hold(*from, start);
                curve.slope(*from, *to, end);
                curve.hold(*to, f64::INFINITY);
            }
            Self::Steps(steps) => {
                let mut ends = steps.iter().skip(1).map(|(at, _)| zero + at.as_secs_f64());
                for (_, rate) in steps {
                    curve.hold(*rate, ends.next().unwrap_or(f64::INFINITY));
                }
            }
            Self::Spike {
                base,
                spike,
                at,
                lasts,
            } => {
                let at = zero + at.as_secs_f64();
                curve.hold(*base, at);
                curve.hold(*spike, at + lasts.as_secs_f64());
                curve.hold(*base, f64::INFINITY);
            }
        }
        curve
    }
}

fn rated(field: &str, rate: f64) -> Result<(), LoadError> {
    if (0.0..=Profile::MAX_RATE).contains(&rate) {
        return Ok(());
    }
    let message = format!(
        "{rate} is no rate: at least 0 and at most {} arrivals a second",
        Profile::MAX_RATE
    );
    Err(LoadError::invalid(field, message))
}

fn in_order(steps: &[(Duration, f64)]) -> Result<(), LoadError> {
    if steps.first().is_none_or(|(at, _)| !at.is_zero()) {
        return Err(LoadError::invalid(
            "rate.steps",
            "the first step begins at \"0s\"",
        ));
    }
    for (i, (_, rate)) in steps.iter().enumerate() {
        rated(&format!("rate.steps[{i}]"), *rate)?;
    }
    match steps.windows(2).position(|pair| pair[0].0 >= pair[1].0) {
        None => Ok(()),
        Some(i) => Err(LoadError::invalid(
            format!("rate.steps[{}]", i + 1),
            "begins no later than the step before it",
        )),
    }
}

impl From<f64> for Profile {
    fn from(rate: f64) -> Self {
        Self::Constant(rate)
    }
}

impl Serialize for Profile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        read::write(self).serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn what_is_out_of_range_is_named() {
        let named = |profile: Profile| match profile.validate() {
            Ok(()) => String::new(),
            Err(LoadError::Invalid { field, .. }) => field,
            Err(other) => panic!("{other:?}"),
        };
        for rate in [-1.0, f64::NAN, f64::INFINITY, 100_001.0, 0.0] {
            assert_eq!(named(rate.into()), "rate", "{rate}");
        }
        assert_eq!(named(Profile::ramp(-1.0, 5.0)), "rate.from");
        assert_eq!(named(Profile::ramp(0.0, f64::NAN)), "rate.to");
        assert_eq!(named(Profile::ramp(0.0, 0.0)), "rate");
        let sudden = Profile::Ramp {
            from: 1.0,
            to: 2.0,
            start: S(1),
            over: Some(S(0)),
        };
        assert_eq!(named(sudden), "rate.over");
        for (steps, field) in [
            (vec![], "rate.steps"),
            (vec![(S(1), 5.0)], "rate.steps"),
            (vec![(S(0), 5.0), (S(3), -5.0)], "rate.steps[1]"),
            (vec![(S(0), 5.0), (S(3), 1.0), (S(3), 2.0)], "rate.steps[2]"),
            (vec![(S(0), 0.0), (S(3), 0.0)], "rate"),
            (vec![(S(0), 0.0), (S(3), 2.0)], ""),
        ] {
            assert_eq!(named(Profile::Steps(steps)), field);
        }
        let spike = |base, spike, lasts| Profile::Spike {
            base,
            spike,
            at: S(1),
            lasts: S(lasts),
        };
        assert_eq!(named(spike(1e6, 1.0, 1)), "rate.base");
        assert_eq!(named(spike(1.0, -1.0, 1)), "rate.spike");
        assert_eq!(named(spike(1.0, 2.0, 0)), "rate.for");
        assert_eq!(named(spike(0.0, 2.0, 1)), "");
    }

    #[test]
    fn what_is_expected_is_the_area_under_the_rates() {
        let expected = |profile: Profile| profile.expected(S(5), S(35));
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} {b}");
        near(expected(20.0.into()), 700.0);
        // 5 s of warm-up at 20, then 20 to 80 over 30 s.
        near(expected(Profile::ramp(20.0, 80.0)), 100.0 + 1_500.0);
        let late = Profile::Ramp {
            from: 20.0,
            to: 40.0,
            start: S(10),
            over: Some(S(10)),
        };
        near(expected(late.clone()), 15.0 * 20.0 + 300.0 + 10.0 * 40.0);
        let steps = Profile::Steps(vec![(S(0), 10.0), (S(10), 50.0), (S(100), 9.0)]);
        near(expected(steps), 150.0 + 1_000.0);
        let spike = Profile::Spike {
            base: 20.0,
            spike: 200.0,
            at: S(10),
            lasts: S(2),
        };
        near(expected(spike), 33.0 * 20.0 + 400.0);
        // A load that ends in the middle of a ramp meets its lower half only.
        near(late.expected(S(0), S(15)), 200.0 + 5.0 * 25.0);
    }
}

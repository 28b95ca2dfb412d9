//! What arrives, how often and for how long.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::LoadError;
use crate::mix::Mix;

/// How a stream's arrivals are spread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrivals {
    /// Evenly: the k-th at k / rate.
    Constant,
    /// Independent of each other, as those of many customers are: exponential gaps of mean 1 / rate.
    #[default]
    Poisson,
}

/// One stream of arrivals.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stream {
    /// What its arrivals do.
    pub mix: Mix,
    /// Arrivals a second, over 0 and at most [`Stream::MAX_RATE`].
    pub rate: f64,
    /// How they are spread; Poisson if not said.
    #[serde(default)]
    pub arrivals: Arrivals,
}

impl Stream {
    /// The most arrivals a second that a stream may ask for: far above what one process can send,
    /// and a guard against a slip in a file.
    pub const MAX_RATE: f64 = 100_000.0;
}

/// A whole run's arrivals.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Streams that run side by side.
    pub streams: Vec<Stream>,
    /// How long arrivals come; the answers of the last may take longer.
    #[serde(with = "humantime_serde")]
    pub duration: Duration,
    /// What every draw of the run comes from.
    pub seed: u64,
}

impl Plan {
    /// The longest a plan may last.
    pub const MAX_DURATION: Duration = Duration::from_secs(24 * 3600);

    /// One stream alone.
    #[must_use]
    pub fn single(mix: Mix, rate: f64, arrivals: Arrivals, duration: Duration, seed: u64) -> Self {
        Self {
            streams: vec![Stream {
                mix,
                rate,
                arrivals,
            }],
            duration,
            seed,
        }
    }

    /// Checks every value.
    ///
    /// # Errors
    /// [`LoadError::Invalid`], naming the first field that is out of range.
    pub fn validate(&self) -> Result<(), LoadError> {
        if self.streams.is_empty() {
            return Err(LoadError::invalid("streams", "at least one is needed"));
        }
        if self.duration.is_zero() || self.duration > Self::MAX_DURATION {
            return Err(LoadError::invalid(
                "duration",
                "must be over 0 and at most 24 h",
            ));
        }
        for (i, stream) in self.streams.iter().enumerate() {
            if !(stream.rate > 0.0 && stream.rate <= Stream::MAX_RATE) {
                let message = format!(
                    "{} is not over 0 and at most {}",
                    stream.rate,
                    Stream::MAX_RATE
                );
                return Err(LoadError::invalid(format!("streams[{i}].rate"), message));
            }
        }
        Ok(())
    }

    /// Arrivals a second of all streams together, on average.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.streams.iter().map(|stream| stream.rate).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_strictly() {
        let text = r#"{"streams":[{"mix":"order","rate":20,"arrivals":"constant"},
            {"mix":{"browse":1,"view":2},"rate":40}],"duration":"30s","seed":7}"#;
        let plan: Plan = serde_json::from_str(text).unwrap();
        plan.validate().unwrap();
        assert_eq!(plan.duration, Duration::from_secs(30));
        assert_eq!(plan.streams[0].arrivals, Arrivals::Constant);
        assert_eq!(plan.streams[1].arrivals, Arrivals::Poisson);
        assert!((plan.rate() - 60.0).abs() < 1e-9);
        let again = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&again).unwrap(), plan);
        let odd = text.replace("\"rate\":40", "\"rate\":40,\"rte\":1");
        assert!(
            serde_json::from_str::<Plan>(&odd)
                .unwrap_err()
                .to_string()
                .contains("rte")
        );
    }

    #[test]
    fn values_out_of_range_are_named() {
        let plan = |rate, seconds| {
            let mix = Mix::only(crate::Op::Browse);
            Plan::single(
                mix,
                rate,
                Arrivals::Poisson,
                Duration::from_secs(seconds),
                1,
            )
        };
        let named = |plan: Plan| match plan.validate() {
            Err(LoadError::Invalid { field, .. }) => field,
            other => panic!("{other:?}"),
        };
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY, 100_001.0] {
            assert_eq!(named(plan(rate, 1)), "streams[0].rate", "{rate}");
        }
        assert_eq!(named(plan(1.0, 0)), "duration");
        assert_eq!(named(plan(1.0, 90_000)), "duration");
        assert_eq!(
            named(Plan {
                streams: vec![],
                ..plan(1.0, 1)
            }),
            "streams"
        );
        plan(100_000.0, 86_400).validate().unwrap();
    }
}

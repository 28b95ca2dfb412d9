//! What arrives, how often and for how long.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::LoadError;
use crate::mix::Mix;
use crate::profile::Profile;
use crate::stream::{Arrivals, Source, Stream};

/// A whole run's load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Streams that run side by side.
    pub streams: Vec<Stream>,
    /// So much at the beginning is sent but not measured: connections open, caches fill. Second 0 of
    /// every [`Profile`] is its end.
    #[serde(default, with = "humantime_serde")]
    pub warm_up: Duration,
    /// How long requests begin, the warm-up included; the answers of the last may take longer.
    #[serde(with = "humantime_serde")]
    pub duration: Duration,
    /// What every draw of the run comes from.
    pub seed: u64,
}

impl Plan {
    /// The longest a plan may last.
    pub const MAX_DURATION: Duration = Duration::from_secs(24 * 3600);
    /// The most streams.
    pub const MAX_STREAMS: usize = 64;

    /// One open stream alone, without a warm-up.
    #[must_use]
    pub fn single(
        mix: Mix,
        rate: impl Into<Profile>,
        arrivals: Arrivals,
        duration: Duration,
        seed: u64,
    ) -> Self {
        Self {
            streams: vec![Stream::open(mix, rate, arrivals)],
            warm_up: Duration::ZERO,
            duration,
            seed,
        }
    }

    /// Checks every value.
    ///
    /// # Errors
    /// [`LoadError::Invalid`], naming the first field that is out of range.
    pub fn validate(&self) -> Result<(), LoadError> {
        if !(1..=Self::MAX_STREAMS).contains(&self.streams.len()) {
            let message = format!("there are {}, not 1 to 64", self.streams.len());
            return Err(LoadError::invalid("streams", message));
        }
        if self.duration.is_zero() || self.duration > Self::MAX_DURATION {
            return Err(LoadError::invalid(
                "duration",
                "must be over 0 and at most 24 h",
            ));
        }
        if self.warm_up >= self.duration {
            let message = "leaves nothing of the duration to measure";
            return Err(LoadError::invalid("warm_up", message));
        }
        for (i, stream) in self.streams.iter().enumerate() {
            stream.validate().map_err(|e| inside(i, e))?;
            let earlier = &self.streams[..i];
            if stream.name.is_some() && earlier.iter().any(|other| other.name == stream.name) {
                let message = "is another stream's too";
                return Err(inside(i, LoadError::invalid("name", message)));
            }
        }
        Ok(())
    }

    /// What the stream at this place is called in records.
    #[must_use]
    pub fn stream_name(&self, place: usize) -> String {
        let name = self.streams.get(place).and_then(|s| s.name.clone());
        name.unwrap_or_else(|| place.to_string())
    }

    /// Arrivals a second of all open streams together, on average.
    #[must_use]
    pub fn rate(&self) -> f64 {
        let all = self.profiles();
        let expected: f64 = all.map(|p| p.expected(self.warm_up, self.duration)).sum();
        expected / self.duration.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// At most so many arrivals a second of all open streams together; exact if they peak together.
    #[must_use]
    pub fn peak_rate(&self) -> f64 {
        self.profiles().map(Profile::peak).sum()
    }

    /// Customers of all closed streams together.
    #[must_use]
    pub fn closed_customers(&self) -> usize {
        let closed = |stream: &Stream| match stream.source {
            Source::Closed { customers, .. } => customers,
            Source::Open { .. } => 0,
        };
        self.streams.iter().map(closed).sum()
    }

    fn profiles(&self) -> impl Iterator<Item = &Profile> {
        self.streams.iter().filter_map(Stream::rate)
    }
}

/// An error of the stream at this place.
fn inside(place: usize, error: LoadError) -> LoadError {
    error.inside(&format!("streams[{place}]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_strictly() {
        let text = r#"{"streams":[{"mix":"order","rate":20,"arrivals":"constant"},
            {"mix":{"browse":1,"view":2},"rate":40},{"mix":"view","customers":9}],
            "duration":"30s","warm_up":"5s","seed":7}"#;
        let plan: Plan = serde_json::from_str(text).unwrap();
        plan.validate().unwrap();
        assert_eq!(plan.duration, Duration::from_secs(30));
        let mix = Mix::named("order").unwrap();
        assert_eq!(plan.streams[0], Stream::open(mix, 20.0, Arrivals::Constant));
        assert!((plan.rate() - 60.0).abs() < 1e-9 && plan.closed_customers() == 9);
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
        let plan = |rate: f64, seconds| {
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
        let good = plan(1.0, 10);
        let with = |streams: Vec<Stream>| Plan {
            streams,
            ..good.clone()
        };
        let one = good.streams[0].clone();
        assert_eq!(named(with(vec![])), "streams");
        assert_eq!(named(with(vec![one.clone(); 65])), "streams");
        let twice = vec![one.clone().named("a"), one.clone(), one.named("a")];
        assert_eq!(named(with(twice)), "streams[2].name");
        let warm_up = good.duration;
        assert_eq!(named(Plan { warm_up, ..good }), "warm_up");
        plan(100_000.0, 86_400).validate().unwrap();
    }

    #[test]
    fn streams_without_a_name_are_called_by_their_place() {
        let stream = Stream::open(Mix::only(crate::Op::View), 1.0, Arrivals::Poisson);
        let plan = Plan {
            streams: vec![stream.clone().named("first"), stream],
            warm_up: Duration::ZERO,
            duration: Duration::from_secs(1),
            seed: 1,
        };
        assert_eq!(plan.stream_name(0), "first");
        assert_eq!(plan.stream_name(1), "1");
    }
}

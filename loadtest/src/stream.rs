//! One stream of requests: what, how many, in whose name.

use std::time::Duration;

use resilience::Priority;
use serde::{Deserialize, Serialize};

use crate::error::LoadError;
use crate::mix::Mix;
use crate::profile::Profile;

/// How an open stream's arrivals are spread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrivals {
    /// Evenly: the k-th when k arrivals are due; at a constant rate, at k / rate.
    Constant,
    /// Independent of each other, as those of many customers are: at a constant rate, exponential
    /// gaps of mean 1 / rate.
    #[default]
    Poisson,
}

/// Where a stream's requests come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// From outside: they come at their times whatever the target does.
    Open {
        /// Arrivals a second.
        rate: Profile,
        /// How they are spread.
        arrivals: Arrivals,
    },
    /// From customers who wait for each answer before they ask again: a slow target is asked less.
    Closed {
        /// How many there are.
        customers: usize,
        /// How long each waits between an answer and the next request.
        think: Duration,
    },
}

/// One stream of requests.
///
/// Written flat: `mix`; `rate` and perhaps `arrivals` (`"poisson"` if not said), or `customers` and
/// perhaps `think`; perhaps `name` and `priority`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Stream {
    /// What it is called in records; its place (`0`, `1`, …) if not said.
    pub name: Option<String>,
    /// What its requests do.
    pub mix: Mix,
    /// Where they come from.
    pub source: Source,
    /// Sent as `x-request-priority`, which the gateway believes with the lab's token alone.
    pub priority: Option<Priority>,
}

impl Stream {
    /// The highest rate there is: [`Profile::MAX_RATE`].
    pub const MAX_RATE: f64 = Profile::MAX_RATE;
    /// The most customers a closed stream may have.
    pub const MAX_CUSTOMERS: usize = 100_000;
    /// The longest they may think.
    pub const MAX_THINK: Duration = Duration::from_secs(3_600);

    /// Arrivals at `rate` (a number or a [`Profile`]), without name or priority.
    #[must_use]
    pub fn open(mix: Mix, rate: impl Into<Profile>, arrivals: Arrivals) -> Self {
        let rate = rate.into();
        Self {
            name: None,
            mix,
            source: Source::Open { rate, arrivals },
            priority: None,
        }
    }

    /// So many customers, each of whom thinks for `think` after an answer; without name or priority.
    #[must_use]
    pub const fn closed(mix: Mix, customers: usize, think: Duration) -> Self {
        Self {
            name: None,
            mix,
            source: Source::Closed { customers, think },
            priority: None,
        }
    }

    /// The same with a name.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        let name = Some(name.into());
        Self { name, ..self }
    }

    /// The same with a priority.
    #[must_use]
    pub fn with_priority(self, priority: Priority) -> Self {
        let priority = Some(priority);
        Self { priority, ..self }
    }

    /// Its rates; none of a closed stream, whose rate is the target's doing.
    #[must_use]
    pub const fn rate(&self) -> Option<&Profile> {
        match &self.source {
            Source::Open { rate, .. } => Some(rate),
            Source::Closed { .. } => None,
        }
    }

    /// Checks every value.
    ///
    /// # Errors
    /// [`LoadError::Invalid`], naming the first field that is out of range, as it is written in the
    /// stream (`rate.to`, `customers`).
    pub fn validate(&self) -> Result<(), LoadError> {
        if let Some(name) = &self.name {
            valid_name(name)?;
        }
        match &self.source {
            Source::Open { rate, .. } => rate.validate(),
            Source::Closed { customers, .. } if !(1..=Self::MAX_CUSTOMERS).contains(customers) => {
                let message = format!(
                    "{customers} is not at least 1 and at most {}",
                    Self::MAX_CUSTOMERS
                );
                Err(LoadError::invalid("customers", message))
            }
            Source::Closed { think, .. } if *think > Self::MAX_THINK => {
                Err(LoadError::invalid("think", "is at most 1 h"))
            }
            Source::Closed { .. } => Ok(()),
        }
    }
}

/// A name that can stand in a check and in a file's column, and is no stream's place.
fn valid_name(name: &str) -> Result<(), LoadError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    let letter = name.starts_with(|c: char| c.is_ascii_alphabetic());
    if letter && name.len() <= 40 && name.chars().all(plain) {
        return Ok(());
    }
    let message =
        format!("{name:?}: a letter, then letters, digits, `-` and `_`, at most 40 in all");
    Err(LoadError::invalid("name", message))
}

/// A stream as it stands in a file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    mix: Mix,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rate: Option<Profile>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    arrivals: Option<Arrivals>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    customers: Option<usize>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "humantime_serde"
    )]
    think: Option<Duration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    priority: Option<Priority>,
}

impl TryFrom<Written> for Stream {
    type Error = LoadError;

    fn try_from(written: Written) -> Result<Self, LoadError> {
        let lost = |field: &str, with: &str| {
            let message = format!("goes with `{with}`, which is not there");
            Err(LoadError::invalid(field, message))
        };
        let source = match (written.rate, written.customers) {
            (Some(_), Some(_)) => {
                let message = "a stream has either a `rate` or `customers` who wait for answers";
                return Err(LoadError::invalid("customers", message));
            }
            (None, None) => {
                let message = "is missing (or `customers`, for a closed loop)";
                return Err(LoadError::invalid("rate", message));
            }
            (Some(_), None) if written.think.is_some() => return lost("think", "customers"),
            (None, Some(_)) if written.arrivals.is_some() => return lost("arrivals", "rate"),
            (Some(rate), None) => Source::Open {
                rate,
                arrivals: written.arrivals.unwrap_or_default(),
            },
            (None, Some(customers)) => Source::Closed {
                customers,
                think: written.think.unwrap_or_default(),
            },
        };
        Ok(Self {
            name: written.name,
            mix: written.mix,
            source,
            priority: written.priority,
        })
    }
}

impl From<Stream> for Written {
    fn from(stream: Stream) -> Self {
        let (mut rate, mut arrivals, mut customers, mut think) = (None, None, None, None);
        match stream.source {
            Source::Open {
                rate: r,
                arrivals: a,
            } => (rate, arrivals) = (Some(r), Some(a)),
            Source::Closed {
                customers: c,
                think: t,
            } => (customers, think) = (Some(c), Some(t)),
        }
        Self {
            name: stream.name,
            mix: stream.mix,
            rate,
            arrivals,
            customers,
            think,
            priority: stream.priority,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Stream, String> {
        serde_json::from_str(text).map_err(|e| e.to_string())
    }

    #[test]
    fn both_kinds_are_read_and_written() {
        let order = || Mix::named("order").unwrap();
        let open = read(r#"{"mix":"order","rate":20,"name":"orders","priority":"critical-plus"}"#);
        let expected = Stream::open(order(), 20.0, Arrivals::Poisson)
            .named("orders")
            .with_priority(Priority::CriticalPlus);
        assert_eq!(open, Ok(expected));
        let closed = read(r#"{"mix":"order","customers":500,"think":"1s"}"#);
        let expected = Stream::closed(order(), 500, Duration::from_secs(1));
        assert_eq!(closed, Ok(expected));
        for stream in [open.unwrap(), closed.unwrap()] {
            stream.validate().unwrap();
            let text = serde_json::to_string(&stream).unwrap();
            assert_eq!(read(&text), Ok(stream), "{text}");
        }
    }

    #[test]
    fn what_does_not_go_together_is_named() {
        for (rest, word) in [
            ("", "rate: is missing"),
            (
                r#","rate":1,"customers":2"#,
                "customers: a stream has either",
            ),
            (r#","rate":1,"think":"1s""#, "think: goes with `customers`"),
            (
                r#","customers":1,"arrivals":"constant""#,
                "arrivals: goes with `rate`",
            ),
            (r#","rate":{"from":1,"to":"2"}"#, "rate.to: \"2\""),
            (r#","rate":1,"priority":"high""#, "critical-plus"),
            (r#","rate":1,"rte":1"#, "rte"),
        ] {
            let error = read(&format!(r#"{{"mix":"order"{rest}}}"#)).unwrap_err();
            assert!(error.contains(word), "{rest}: {error}");
        }
    }

    #[test]
    fn values_out_of_range_are_named() {
        let named = |stream: Stream| match stream.validate() {
            Ok(()) => String::new(),
            Err(LoadError::Invalid { field, .. }) => field,
            Err(other) => panic!("{other:?}"),
        };
        let open = |rate: f64| Stream::open(Mix::named("view").unwrap(), rate, Arrivals::Poisson);
        let closed =
            |n, think| Stream::closed(Mix::named("view").unwrap(), n, Duration::from_secs(think));
        assert_eq!(named(open(0.0)), "rate");
        assert_eq!(named(closed(0, 1)), "customers");
        assert_eq!(named(closed(100_001, 1)), "customers");
        assert_eq!(named(closed(1, 3_601)), "think");
        assert_eq!(named(closed(1, 0)), "");
        for name in ["", "7", "a b", "a\n", &"x".repeat(41)] {
            assert_eq!(named(open(1.0).named(name)), "name", "{name:?}");
        }
        assert_eq!(named(open(1.0).named("check-out_2")), "");
    }
}

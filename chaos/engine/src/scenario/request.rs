//! Faults of the services' own fault layer: the same shape in a scenario file, here
//! and on the wire of the control API (docs/CONTROL_API.md).

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What is done to requests, and to which.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RequestFault {
    /// gRPC methods (`GetProducts`) and REST routes (`GET /api/products/{id}/`); empty
    /// for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// Callers by their `service` label; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub callers: Vec<String>,
    /// User ids; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<i64>,
    /// What it does to them.
    #[serde(rename = "action")]
    pub effect: Effect,
}

/// What the fault layer does to a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Answers with a failure instead of doing the work.
    Fail(Fail),
    /// Waits before the work; ends when the caller leaves.
    Delay(Timed),
    /// Works that much longer, on and on though the caller has left.
    Work(Timed),
    /// Never answers.
    Hang(Share),
    /// Serves so many at a time, each for so long, in the order in which they came.
    Capacity(Capacity),
    /// Does the work and loses the answer.
    LoseReply(Share),
}

impl Effect {
    /// Its name in scenario files and on the wire.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Fail(_) => "fail",
            Self::Delay(_) => "delay",
            Self::Work(_) => "work",
            Self::Hang(_) => "hang",
            Self::Capacity(_) => "capacity",
            Self::LoseReply(_) => "lose_reply",
        }
    }

    /// Whether it fails requests; else it only slows them.
    #[must_use]
    pub const fn fails(&self) -> bool {
        matches!(self, Self::Fail(_) | Self::Hang(_) | Self::LoseReply(_))
    }
}

/// Which requests fail, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Fail {
    /// A share of them.
    Share {
        /// Above 0, at most 1.
        share: f64,
        /// What they get.
        status: Status,
    },
    /// The first ones.
    First {
        /// How many.
        first: u32,
        /// Of what.
        of: Of,
        /// What they get.
        status: Status,
    },
}

impl Fail {
    /// What the requests get.
    #[must_use]
    pub const fn status(&self) -> &Status {
        match self {
            Self::Share { status, .. } | Self::First { status, .. } => status,
        }
    }
}

/// What the first of are counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Of {
    /// Each logical call on its own.
    Call,
    /// All attempts together.
    All,
}

/// A gRPC code by its name, or an HTTP status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Status {
    /// An HTTP status.
    Http(u16),
    /// A gRPC code, such as `UNAVAILABLE`.
    Grpc(String),
}

impl Status {
    /// Whether REST callers see a 429, which else is the sign of a rate limit.
    #[must_use]
    pub fn is_too_many(&self) -> bool {
        match self {
            Self::Http(status) => *status == 429,
            Self::Grpc(code) => code == "RESOURCE_EXHAUSTED",
        }
    }
}

/// A share of the requests.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// Above 0, at most 1.
    pub share: f64,
}

/// A share of the requests, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timed {
    /// Above 0, at most 1.
    pub share: f64,
    /// How long.
    pub time: Dist,
}

/// An honest overload.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Capacity {
    /// Requests served at a time.
    pub at_once: u32,
    /// How long each is served.
    pub service_time: Dist,
    /// How many may wait; whoever comes later is refused.
    pub queue: u32,
}

/// How long something takes: always the same, or drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Dist {
    /// Always the same.
    Constant(Duration),
    /// Anything between the two.
    Uniform(Duration, Duration),
    /// Mean and standard deviation, cut at zero.
    Normal(Duration, Duration),
    /// Scale and shape.
    Pareto(Duration, f64),
}

/// A distribution as it is written.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Constant(#[serde(with = "humantime_serde")] Duration),
    Drawn(Drawn),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Drawn {
    Uniform(Text, Text),
    Normal(Text, Text),
    Pareto(Text, f64),
}

#[derive(Serialize, Deserialize)]
struct Text(#[serde(with = "humantime_serde")] Duration);

impl Serialize for Dist {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::Constant(time) => Written::Constant(time),
            Self::Uniform(low, high) => Written::Drawn(Drawn::Uniform(Text(low), Text(high))),
            Self::Normal(mean, sd) => Written::Drawn(Drawn::Normal(Text(mean), Text(sd))),
            Self::Pareto(scale, shape) => Written::Drawn(Drawn::Pareto(Text(scale), shape)),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Dist {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Written::deserialize(deserializer)? {
            Written::Constant(time) => Self::Constant(time),
            Written::Drawn(Drawn::Uniform(low, high)) => Self::Uniform(low.0, high.0),
            Written::Drawn(Drawn::Normal(mean, sd)) => Self::Normal(mean.0, sd.0),
            Written::Drawn(Drawn::Pareto(scale, shape)) => Self::Pareto(scale.0, shape),
        })
    }
}

//! `[map]`: the scenario's trigger and load in several sizes, each pair of which is a point that is
//! measured and compared with the simulator's map (`lab chaos run NAME --map`).
//!
//! At a point the scenario has one fault, of the point's length, and one stream, of its rate;
//! [`Scenario::at`] makes it. What the simulator must know to draw the same map is a [`Model`].

use std::time::Duration;

use loadtest::{Arrivals, Source, Stream};
use resilience::{Policy, ServerPolicy};
use serde::{Deserialize, Serialize};

use super::{Scenario, Schedule, Window};
use crate::checks::{self, Check};

mod read;

pub(super) use read::{Known, read};

/// The name of the window in which a point is looked at.
pub const LOOK: &str = "look";

/// The least share of the requests that must be answered before the trigger for a point to count,
/// and after it for an arm to be called up.
pub const UP: f64 = 0.95;

/// An arm that answers a smaller share after the trigger is down.
pub const DOWN: f64 = 0.5;

/// What is measured for a map, and what its model is.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    /// Why these points.
    pub because: String,
    /// The fault whose length is varied: the trigger.
    pub fault: String,
    /// Its lengths, the shortest first.
    pub triggers: Vec<Duration>,
    /// The load's rates, arrivals a second, the lowest first.
    pub rates: Vec<f64>,
    /// The arms that are measured.
    pub arms: Vec<String>,
    /// When a point is looked at.
    pub full: Look,
    /// The same under `--quick`.
    pub quick: Look,
    /// What the simulator knows of the scenario.
    pub model: Model,
}

/// When a point is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// Counted load before the trigger.
    #[serde(with = "humantime_serde")]
    pub before: Duration,
    /// From the trigger's end until it is looked at.
    #[serde(with = "humantime_serde")]
    pub settle: Duration,
    /// How long it is looked at.
    #[serde(with = "humantime_serde")]
    pub watch: Duration,
}

/// One point of a map.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// How long the trigger lasts.
    #[serde(with = "humantime_serde")]
    pub trigger: Duration,
    /// Arrivals a second.
    pub rate: f64,
}

/// A scenario as the simulator knows it: one server with a queue, which loses some of its workers
/// for the trigger.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// The link whose callee that is.
    pub link: String,
    /// Requests at a time.
    pub at_once: u32,
    /// The same during the trigger.
    pub left: u32,
    /// How long each takes.
    pub service_time: Duration,
    /// How many may wait.
    pub queue: u32,
    /// Whether the load is a Poisson process.
    pub poisson: bool,
    /// The policies of the map's arms, in their order.
    pub arms: Vec<ModelArm>,
}

/// What an arm's callers and server do.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelArm {
    /// The arm.
    pub name: String,
    /// The policy of the link's slot.
    pub policy: Policy,
    /// The callee's door.
    pub door: ServerPolicy,
}

impl Model {
    /// Requests a second that the server can answer.
    #[must_use]
    pub fn capacity(&self) -> f64 {
        f64::from(self.at_once) / self.service_time.as_secs_f64()
    }
}

impl Map {
    /// Every point: by trigger, then rate.
    #[must_use]
    pub fn points(&self) -> Vec<Point> {
        let of = |trigger: &Duration| {
            let trigger = *trigger;
            self.rates.iter().map(move |rate| Point {
                trigger,
                rate: *rate,
            })
        };
        self.triggers.iter().flat_map(of).collect()
    }

    /// When a point is looked at in a run of that length.
    #[must_use]
    pub const fn look(&self, quick: bool) -> Look {
        if quick { self.quick } else { self.full }
    }
}

impl Scenario {
    /// The scenario at a point of its `[map]`, if it has one: the trigger is the only fault, of the
    /// point's length; the load has the point's rate, and ends with the look. Of the checks none
    /// is about this; there is one precondition instead, that all was well before the trigger.
    #[must_use]
    pub fn at(&self, point: &Point) -> Option<Self> {
        let map = self.map.as_ref()?;
        let mut changed = self.clone();
        changed.shows = format!(
            "a point of the map: {} of {} at {} a second",
            map.fault,
            humantime::format_duration(point.trigger),
            point.rate
        );
        changed.takes = None;
        changed.negative_control = None;
        changed.checks = vec![self.up_before(map)?];
        let quick = self.schedule(true).clone();
        changed.full = at_point(self.full.clone(), map, map.full, point)?;
        changed.quick = Some(at_point(quick, map, map.quick, point)?);
        Some(changed)
    }

    fn up_before(&self, map: &Map) -> Option<Check> {
        let names = checks::Names {
            arms: self.arms.iter().map(|arm| arm.name.clone()).collect(),
            faults: vec![(map.fault.clone(), map.model.link.clone())],
            conditions: Vec::new(),
            windows: Vec::new(),
            streams: Vec::new(),
        };
        // Counts, as in every precondition: `success_rate(*) >= 95%` in other words.
        let that = format!(
            "unsuccessful(*) <= {:.2} * requests(*) before {}",
            1.0 - UP,
            map.fault
        );
        Some(Check {
            id: "up-before".to_owned(),
            predicate: checks::parse(&that, &names).ok()?,
            that,
            because: "an arm that is not up before the trigger can't come back after it".to_owned(),
            precondition: true,
            quick: None,
        })
    }
}

fn at_point(mut schedule: Schedule, map: &Map, look: Look, point: &Point) -> Option<Schedule> {
    schedule.faults.retain(|fault| fault.name == map.fault);
    let trigger = schedule.faults.first_mut()?;
    (trigger.at, trigger.lasts) = (look.before, point.trigger);
    let from = look.before + point.trigger + look.settle;
    schedule.windows = vec![Window {
        name: LOOK.to_owned(),
        at: from,
        lasts: look.watch,
    }];
    schedule.duration = from + look.watch;
    let stream = schedule.streams.first_mut()?;
    let Source::Open { arrivals, .. } = stream.source else {
        return None;
    };
    *stream = Stream {
        name: stream.name.clone(),
        priority: stream.priority,
        ..Stream::open(stream.mix.clone(), point.rate, arrivals)
    };
    Some(schedule)
}

/// Whether a stream's arrivals are a Poisson process; `None` of customers who wait.
fn poisson(stream: &Stream) -> Option<bool> {
    match stream.source {
        Source::Open { arrivals, .. } => Some(arrivals == Arrivals::Poisson),
        Source::Closed { .. } => None,
    }
}

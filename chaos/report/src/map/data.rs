//! What a map holds.

use chaos_engine::runlog::Environment;
use serde::{Deserialize, Serialize};

use super::{Agreement, Standing, judge};

/// The version of `map.json`.
pub const SCHEMA_VERSION: u32 = 1;

/// A map. `map.json` is this, serialised: durations in seconds, shares 0 to 1, rates a second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Map {
    /// The format's version.
    pub schema_version: u32,
    /// The scenario.
    pub scenario: String,
    /// What it shows.
    pub shows: String,
    /// Why these points, from the file.
    pub because: String,
    /// The seed of points and simulation.
    pub seed: u64,
    /// Whether `--quick` was used.
    pub quick: bool,
    /// How often each arm was run at each point.
    pub repeats: u32,
    /// The machine; `None` when no point was measured.
    pub environment: Option<Environment>,
    /// The fault whose length is varied.
    pub trigger: String,
    /// What the simulator knows of the shop.
    pub server: Server,
    /// Load before the trigger.
    pub before_s: f64,
    /// From its end until it was looked at.
    pub settle_s: f64,
    /// How long.
    pub watch_s: f64,
    /// This share and more is up.
    pub up: f64,
    /// Less than this share is down.
    pub down: f64,
    /// The arms.
    pub arms: Vec<ArmMap>,
    /// Why it ended early, if it did.
    pub stopped: Option<String>,
    /// All points together.
    pub verdict: Agreement,
    /// Which points disagree, or that all agree, in words.
    pub says: String,
}

/// The server as the simulator knows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// The link that leads to it.
    pub link: String,
    /// Requests at a time.
    pub at_once: u32,
    /// The same during the trigger.
    pub left: u32,
    /// How long each takes.
    pub service_time_s: f64,
    /// How many may wait.
    pub queue: u32,
    /// Requests a second that it can do.
    pub capacity_rps: f64,
}

/// An arm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArmMap {
    /// Its name.
    pub name: String,
    /// Its points: by trigger, then rate.
    pub points: Vec<MapPoint>,
    /// The simulator's map around them.
    pub background: Background,
}

/// The simulator's map of an arm, on a finer grid that has every measured value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Background {
    /// Rates, from the left.
    pub rates: Vec<f64>,
    /// Lengths of the trigger, from below.
    pub triggers_s: Vec<f64>,
    /// The share that is answered: a row for each trigger, in it one for each rate.
    pub answered: Vec<Vec<f64>>,
    /// Over how many repetitions the share is the mean.
    pub repetitions: u32,
}

/// A point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MapPoint {
    /// How long the trigger lasted.
    pub trigger_s: f64,
    /// Arrivals a second.
    pub rate: f64,
    /// The same as share of the capacity.
    pub load: f64,
    /// The seed of its run.
    pub seed: u64,
    /// The run's folder, from where `map.json` is.
    pub dir: String,
    /// What was measured.
    pub measured: Measured,
    /// What the simulator says.
    pub simulated: Simulated,
    /// Whether they agree.
    pub agreement: Agreement,
}

/// What was measured at a point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The share of the requests due in the look that were answered; `None` without any.
    pub answered: Option<f64>,
    /// How many were due.
    pub requests: u64,
    /// What that is called; `None` when the point does not count.
    pub standing: Option<Standing>,
    /// Why it does not count.
    pub why: Option<String>,
}

/// What the simulator says of a point.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Simulated {
    /// The share that is answered, the mean over repetitions.
    pub answered: f64,
    /// What that is called.
    pub standing: Standing,
}

impl Measured {
    /// A point that counts.
    #[must_use]
    pub fn share(answered: u64, requests: u64) -> Self {
        let share = (requests > 0).then(|| answered as f64 / requests as f64);
        Self {
            answered: share,
            requests,
            standing: share.map(Standing::of),
            why: (requests == 0).then(|| "no request was due while it was looked at".to_owned()),
        }
    }

    /// A point that doesn't count.
    #[must_use]
    pub fn nothing(why: impl Into<String>) -> Self {
        Self {
            answered: None,
            requests: 0,
            standing: None,
            why: Some(why.into()),
        }
    }
}

impl Simulated {
    /// By the share that is answered.
    #[must_use]
    pub fn share(answered: f64) -> Self {
        Self {
            answered,
            standing: Standing::of(answered),
        }
    }
}

impl Map {
    /// The map with its verdict and its sentence, which follow from the points.
    #[must_use]
    pub fn judged(mut self) -> Self {
        for point in self.arms.iter_mut().flat_map(|arm| &mut arm.points) {
            point.agreement = Agreement::of(point.measured.standing, point.simulated.standing);
        }
        (self.verdict, self.says) = judge(&self.arms);
        self
    }
}

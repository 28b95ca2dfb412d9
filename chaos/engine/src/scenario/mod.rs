//! Scenario files: what they hold, and how they are read.
//!
//! ```toml
//! schema_version = 1
//! name = "product-outage"            # the file's name without .toml
//! shows = "…"                        # one line for `lab chaos list`
//! hypothesis = "…"                   # what is expected and why
//! repeats = 3                        # of every arm, interleaved
//!
//! [load]
//! warm_up = "3s"                     # not counted; its last two seconds must be steady
//! duration = "30s"                   # second 0 is where it starts to count
//! [[load.stream]]
//! mix = "order"                      # an operation, a mix, or a table of weights
//! rate = 20                          # arrivals a second, open loop
//! arrivals = "poisson"               # or "constant"
//!
//! [[timeline]]
//! name = "outage"                    # what checks call it
//! at = "10s"
//! for = "10s"                        # cleared at at + for
//! link = "order-product"
//! action = "down"                    # or { toxic = "latency", latency = 1000, … }
//! inject = true                      # false: declared, never injected
//!
//! [storm]                            # faults at random, from the run's seed; see `storm`
//! from = "5s"
//! until = "25s"
//! faults = 10
//! for = ["300ms", "1s"]
//! calm = "500ms"
//! [[storm.fault]]                    # what can come
//! name = "kill-order"
//! part = "order-service"
//! action = "kill"
//!
//! [arms.fast]                        # slot = policy; slots not named have their default:
//! order-product = "fast"             # order-user and order-product `fast`, gateway-* `none`
//!
//! [[check]]
//! id = "breaker-opens"
//! that = "opened_after_failures(fast) == 5"     # see `checks`
//! because = "…"
//! quick = "…"                        # what must hold instead under --quick
//! precondition = true                # decides which trials count; default false
//!
//! [quick]                            # what --quick changes
//! repeats = 1
//! duration = "24s"
//! timeline = { outage = { at = "6s", for = "8s" } }
//!
//! [negative_control]                 # what --negative-control changes
//! because = "without a breaker nothing opens"
//! arms = { fast = { order-product = "none" } }    # or omit = ["outage"]
//! fails = ["breaker-opens"]
//!
//! [map]                              # what --map measures; see `map`
//! because = "a border lies between them"
//! fault = "dip"                      # a cut of the condition `capacity`
//! capacity = "capacity"
//! triggers = ["500ms", "2s", "5s"]   # how long the fault lasts
//! rates = [60, 120, 160]             # of the only stream
//! arms = ["naive", "grpc-a6"]
//! before = "5s"                      # then the trigger, then
//! settle = "30s"
//! watch = "10s"                      # up or down
//! quick = { settle = "20s" }
//! ```
//!
//! Times are seconds from the start of load. Unknown keys and names are errors
//! with line, column and a suggestion; an injection at or after the end of the
//! load is a warning, since it never happens, and the run ends inconclusive.

mod abort;
mod actions;
mod arms;
mod by_hand;
mod effects;
mod fault;
pub mod known;
mod line;
mod load;
pub mod map;
mod negative;
mod parse;
mod quick;
pub(crate) mod read;
mod request;
mod storm;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub use abort::AbortWhen;
pub(crate) use arms::names as arm_names;
pub use by_hand::by_hand;
pub use fault::{Action, Again, Condition, Fault, Level, ProcessAction, Toxic, Window};
pub use load::{Fixtures, HistoryLoad};
pub use loadtest::Stream;
pub use map::Map;
pub use negative::NegativeControl;
pub use request::{Capacity, Dist, Effect, Fail, Of, RequestFault, Share, Status, Timed};
pub use storm::{Spell, Storm};

use crate::checks::Check;
use crate::diagnostics::{Diagnostic, Diagnostics};

/// How much longer than the breaker's reset the system has to recover.
pub const RECOVERY_GRACE: Duration = Duration::from_secs(2);

/// A scenario file, read and checked.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name, as on the command line.
    pub name: String,
    /// What it shows, on one line.
    pub shows: String,
    /// What is expected, and why.
    pub hypothesis: String,
    /// What the file says it takes; see [`Scenario::takes`].
    pub takes: Option<Duration>,
    /// How many replicas of which part it needs.
    pub replicas: BTreeMap<String, u32>,
    /// Links of a target that isn't the shop.
    pub links: Vec<String>,
    /// Phases, load and faults of a full run.
    pub full: Schedule,
    /// The same under `--quick`, when the file says what that is.
    pub quick: Option<Schedule>,
    /// The arms, in the order of the file.
    pub arms: Vec<Arm>,
    /// The checks, in the order of the file.
    pub checks: Vec<Check>,
    /// When a run is broken off, when the file says so.
    pub abort_when: Option<AbortWhen>,
    /// What its checks must not survive, when the file says so.
    pub negative_control: Option<NegativeControl>,
    /// The sizes of trigger and load that `--map` measures, when the file says so.
    pub map: Option<Map>,
    /// What looks odd but can run.
    pub warnings: Vec<Diagnostic>,
    /// The file's text: the run log carries it, so that a report needs no file.
    pub source: String,
    /// The file's name.
    pub file: String,
}

/// What happens when, in one repeat.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// How often every arm is run.
    pub repeats: u32,
    /// Load before second 0.
    pub warm_up: Duration,
    /// Load from second 0 on.
    pub duration: Duration,
    /// The streams of load.
    pub streams: Vec<Stream>,
    /// Instead of streams: the integrity checker's customers.
    pub history: Option<HistoryLoad>,
    /// What is prepared for them.
    pub fixtures: Fixtures,
    /// What is in force all the time.
    pub conditions: Vec<Condition>,
    /// The faults, by time.
    pub faults: Vec<Fault>,
    /// Stretches of time with a name.
    pub windows: Vec<Window>,
    /// When the faults that have no time of their own come.
    pub storm: Option<Storm>,
}

/// One arm: a policy for every slot.
#[derive(Clone, Debug, PartialEq)]
pub struct Arm {
    /// Its name, as in the checks.
    pub name: String,
    /// What is put into each slot: the spec as the control API takes it.
    pub specs: BTreeMap<String, serde_json::Value>,
    /// The slots that the file names; the others have their default.
    pub named: BTreeSet<String>,
    /// How the load sends orders.
    pub orders: loadtest::Orders,
    /// The breaker's reset of each slot that has a breaker.
    pub resets: BTreeMap<String, Duration>,
}

impl Arm {
    /// The longest breaker reset over these links; zero without a breaker.
    pub fn reset<'a>(&self, links: impl IntoIterator<Item = &'a str>) -> Duration {
        let of = |link: &str| self.resets.get(link).copied();
        links.into_iter().filter_map(of).max().unwrap_or_default()
    }
}

impl Schedule {
    /// The faults that will be injected: switched on, and before the load ends.
    pub fn injected(&self) -> impl Iterator<Item = &Fault> {
        self.faults
            .iter()
            .filter(|f| f.inject && f.at < self.duration)
    }

    /// The conditions that are put in force.
    pub fn in_force(&self) -> impl Iterator<Item = &Condition> {
        self.conditions.iter().filter(|c| c.inject)
    }

    /// The links whose callers meet the faults.
    pub fn faulted_links(&self) -> impl Iterator<Item = &str> {
        self.faults.iter().flat_map(Fault::links)
    }
}

impl Scenario {
    /// Reads a scenario file.
    ///
    /// # Errors
    /// Every problem of the file at once, each with its place.
    pub fn parse(text: &str, file_name: &str) -> Result<Self, Diagnostics> {
        parse::scenario(text, file_name)
    }

    /// The schedule of a run. A file without `[quick]` runs in full.
    #[must_use]
    pub fn schedule(&self, quick: bool) -> &Schedule {
        if quick {
            self.quick.as_ref().unwrap_or(&self.full)
        } else {
            &self.full
        }
    }

    /// The arm of this name.
    #[must_use]
    pub fn arm(&self, name: &str) -> Option<&Arm> {
        self.arms.iter().find(|a| a.name == name)
    }

    /// How long a run takes: what the file says of a full run, else the load
    /// plus about four seconds a repeat for settling and counting.
    #[must_use]
    pub fn takes(&self, quick: bool) -> Duration {
        const AROUND: Duration = Duration::from_secs(4);
        if let (Some(said), false) = (self.takes, quick) {
            return said;
        }
        let s = self.schedule(quick);
        (s.warm_up + s.duration + AROUND) * s.repeats * u32::try_from(self.arms.len()).unwrap_or(1)
    }
}

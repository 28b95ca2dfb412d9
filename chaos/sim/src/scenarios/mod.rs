//! One question a file.

pub mod amplification;
pub mod budgets;
pub mod detection;
pub mod herd;
pub mod jitter;
pub mod metastable;
pub mod overload;
pub mod tail;

use crate::error::SimError;
use crate::report::Outcome;
use crate::run::Run;

/// A scenario with its parameters.
#[derive(Clone, Debug)]
pub enum Scenario {
    /// Contention for one row.
    Jitter(jitter::Params),
    /// What retries do to the load.
    Amplification(amplification::Params),
    /// What a budget does to that load.
    Budgets(budgets::Params),
    /// How soon a breaker notices.
    Detection(detection::Params),
    /// Clients that all come back at once.
    Herd(herd::Params),
    /// Overload that outlives its trigger.
    Metastable(metastable::Params),
    /// What gets done under too much load.
    Overload(overload::Params),
    /// The slow end of latency, and hedging against it.
    Tail(tail::Params),
}

impl Scenario {
    /// What it is called.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Jitter(_) => jitter::NAME,
            Self::Amplification(_) => amplification::NAME,
            Self::Budgets(_) => budgets::NAME,
            Self::Detection(_) => detection::NAME,
            Self::Herd(_) => herd::NAME,
            Self::Metastable(_) => metastable::NAME,
            Self::Overload(_) => overload::NAME,
            Self::Tail(_) => tail::NAME,
        }
    }

    /// Runs it; nothing but the seed and the parameters decides over the outcome.
    ///
    /// # Errors
    /// [`SimError::Parameter`] when a parameter makes no sense.
    pub fn run(&self, run: &Run) -> Result<Outcome, SimError> {
        match self {
            Self::Jitter(params) => jitter::run(params, run),
            Self::Amplification(params) => amplification::run(params, run),
            Self::Budgets(params) => budgets::run(params, run),
            Self::Detection(params) => detection::run(params, run),
            Self::Herd(params) => herd::run(params, run),
            Self::Metastable(params) => metastable::run(params, run),
            Self::Overload(params) => overload::run(params, run),
            Self::Tail(params) => tail::run(params, run),
        }
    }
}

/// A scenario in the list of all.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What it is called.
    pub name: &'static str,
    /// What it shows, in a line.
    pub shows: &'static str,
    /// It, with its default parameters.
    pub scenario: Scenario,
}

/// Every scenario there is.
pub fn catalogue() -> Vec<Entry> {
    let entry = |name, shows, scenario| Entry {
        name,
        shows,
        scenario,
    };
    vec![
        entry(
            jitter::NAME,
            jitter::SHOWS,
            Scenario::Jitter(jitter::Params::default()),
        ),
        entry(
            amplification::NAME,
            amplification::SHOWS,
            Scenario::Amplification(amplification::Params::default()),
        ),
        entry(
            budgets::NAME,
            budgets::SHOWS,
            Scenario::Budgets(budgets::Params::default()),
        ),
        entry(
            detection::NAME,
            detection::SHOWS,
            Scenario::Detection(detection::Params::default()),
        ),
        entry(
            herd::NAME,
            herd::SHOWS,
            Scenario::Herd(herd::Params::default()),
        ),
        entry(
            metastable::NAME,
            metastable::SHOWS,
            Scenario::Metastable(metastable::Params::default()),
        ),
        entry(
            overload::NAME,
            overload::SHOWS,
            Scenario::Overload(overload::Params::default()),
        ),
        entry(
            tail::NAME,
            tail::SHOWS,
            Scenario::Tail(tail::Params::default()),
        ),
    ]
}

/// A list as people write it.
fn list<T: ToString>(values: &[T]) -> String {
    let values: Vec<String> = values.iter().map(ToString::to_string).collect();
    values.join(", ")
}

//! What a run will do, from the scenario and the options.

use std::collections::BTreeMap;

use crate::checks::Check;
use crate::diagnostics::closest;
use crate::error::EngineError;
use crate::progress::Update;
use crate::scenario::map::Point;
use crate::scenario::{AbortWhen, Action, Arm, Effect, Level, RequestFault, Scenario, Schedule};

use super::Options;

/// A run's plan.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub arms: Vec<Arm>,
    pub repeats: u32,
    pub seed: u64,
    pub quick: bool,
    pub negative_control: bool,
    pub defects: Vec<String>,
    pub point: Option<Point>,
    pub schedule: Schedule,
    pub abort_when: Option<AbortWhen>,
    /// How many replicas of which part are needed.
    pub replicas: BTreeMap<String, u32>,
    /// Whether any operation of the load orders something.
    pub orders: bool,
    /// What must be so in a trial for it to count.
    pub preconditions: Vec<Check>,
}

impl Plan {
    pub(super) fn new(scenario: &Scenario, options: &Options) -> Result<Self, EngineError> {
        let schedule = scenario.schedule(options.quick).clone();
        let repeats = options.repeats.unwrap_or(schedule.repeats);
        if repeats == 0 {
            return Err(EngineError::NoRepeats);
        }
        let arms = match &options.arms {
            None => scenario.arms.clone(),
            Some(names) => names
                .iter()
                .map(|name| arm(scenario, name))
                .collect::<Result<_, _>>()?,
        };
        let orders = schedule
            .streams
            .iter()
            .any(|s| s.mix.ops().any(|op| op == loadtest::Op::Order));
        let seed = options.seed.unwrap_or_else(random_seed);
        let preconditions = scenario.checks.iter().filter(|c| c.precondition);
        let preconditions = preconditions.map(|c| c.under(options.quick)).collect();
        Ok(Self {
            arms,
            repeats,
            seed,
            quick: options.quick,
            negative_control: options.negative_control,
            defects: options.defects.clone(),
            point: options.point,
            schedule,
            abort_when: scenario.abort_when,
            replicas: scenario.replicas.clone(),
            orders,
            preconditions,
        })
    }

    /// Whether a 429 is a fault's doing and no rate limit's.
    pub(super) fn answers_too_many(&self) -> bool {
        let too_many = |action: &Action| match action {
            Action::Request(RequestFault {
                effect: Effect::Fail(fail),
                ..
            }) => fail.status().is_too_many(),
            _ => false,
        };
        let s = &self.schedule;
        s.injected().any(|f| too_many(&f.action)) || s.in_force().any(|c| too_many(&c.action))
    }

    /// Whether a process is stopped, whose faults may run out meanwhile; they are put
    /// on again when it is back.
    pub(super) fn stops_processes(&self) -> bool {
        let mut levels = self.schedule.injected().map(|f| f.action.level());
        levels.any(|level| level == Level::Process)
    }

    /// Whether requests fail from the warm-up on, as the scenario wants it.
    pub(super) fn fails_always(&self) -> bool {
        self.schedule.in_force().any(|c| c.action.fails())
    }

    /// The seed of a repeat, the same for every arm. (SplitMix64's step and mix,
    /// Steele et al., OOPSLA '14: neighbouring seeds give unrelated ones.)
    pub(super) fn seed_of(&self, repeat: u32) -> u64 {
        let mut z = self
            .seed
            .wrapping_add(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(repeat.into()));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn started(&self, scenario: &Scenario) -> Update {
        Update::Started {
            scenario: scenario.name.clone(),
            seed: self.seed,
            arms: self.arms.iter().map(|a| a.name.clone()).collect(),
            repeats: self.repeats,
            trial_s: (self.schedule.warm_up + self.schedule.duration).as_secs(),
        }
    }
}

/// Below 2^53, so that every reader of JSON keeps it.
fn random_seed() -> u64 {
    rand::random::<u64>() >> 11
}

fn arm(scenario: &Scenario, name: &str) -> Result<Arm, EngineError> {
    scenario.arm(name).cloned().ok_or_else(|| {
        let near = closest(name, scenario.arms.iter().map(|a| a.name.as_str()));
        EngineError::UnknownArm {
            name: name.to_owned(),
            known: crate::scenario::arm_names(&scenario.arms),
            hint: near
                .map(|n| format!("; did you mean `{n}`?"))
                .unwrap_or_default(),
        }
    })
}

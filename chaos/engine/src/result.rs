//! The result of a run, folded from its run log and from nothing else.

mod control;
mod proof;
mod void;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::checks::{ArmTrials, CheckResult, Measurements, untold};
use crate::error::EngineError;
use crate::figures::{Figures, Total, window_of};
use crate::measure::{Lengths, Run, Trial};
use crate::runlog::{self, Entry, Environment, Judged, Phase, SCHEMA_VERSION};
use crate::scenario::{RECOVERY_GRACE, Scenario};
use crate::stats;
use crate::verdict::{self, Verdict};
pub use void::VoidTrial;

/// What a run came to. `result.json` is this, serialised.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunResult {
    /// The format's version.
    pub schema_version: u32,
    /// The scenario's name.
    pub scenario: String,
    /// What it shows.
    pub shows: String,
    /// What was expected, and why.
    pub hypothesis: String,
    /// The seed of the run.
    pub seed: u64,
    /// Whether it was a `--quick` run.
    pub quick: bool,
    /// Where it was made.
    pub environment: Environment,
    /// The time line that was planned.
    pub timeline: Vec<Value>,
    /// The arms, in order.
    pub arms: Vec<ArmResult>,
    /// The checks, in the order of the file.
    pub checks: Vec<CheckResult>,
    /// The verdict.
    pub verdict: Verdict,
    /// Why it is inconclusive, where that is not a check's doing.
    pub reasons: Vec<String>,
    /// The trials that don't count, in the order in which they were run.
    pub void_trials: Vec<VoidTrial>,
    /// Where the files are.
    #[serde(skip)]
    pub dir: PathBuf,
    /// The run behind it, for tables.
    #[serde(skip)]
    pub run: Run,
}

/// An arm.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ArmResult {
    /// Its name.
    pub name: String,
    /// The policies in its slots, with every field.
    pub policies: BTreeMap<String, Value>,
    /// The repeats that count.
    pub repeats: Vec<RepeatResult>,
    /// Every figure over the repeats; a phase's is named `during.success_rate`.
    pub summary: BTreeMap<String, Summary>,
}

/// One repeat of an arm.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RepeatResult {
    /// Its number, from 1.
    pub repeat: u32,
    /// The seed of its load, the same in every arm.
    pub seed: u64,
    /// Why earlier tries at it were void.
    pub void: Vec<String>,
    /// The figures over all phases.
    pub total: Total,
    /// The figures of each phase.
    pub phases: BTreeMap<String, Figures>,
    /// What the generator and the parts used.
    pub usage: Option<UsageFigures>,
    /// What the integrity checker says of its history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged: Option<Judged>,
}

impl RepeatResult {
    /// Every number by name; a phase's is `during.success_rate`.
    pub(crate) fn numbers(&self) -> Vec<(String, f64)> {
        let mut all = self.total.numbers();
        for (phase, figures) in &self.phases {
            let named = |(name, x)| (format!("{phase}.{name}"), x);
            all.extend(figures.numbers().into_iter().map(named));
        }
        all
    }
}

/// What a repeat used.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UsageFigures {
    /// The generator's share of the whole machine.
    pub generator_cpu_share: f64,
    /// Its lateness at the 99th percentile, milliseconds.
    pub generator_late_p99_ms: f64,
    /// Each part's share of the whole machine, where the system tells.
    pub cpu_share: BTreeMap<String, f64>,
}

/// A figure over the repeats.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The middle value.
    pub median: f64,
    /// Lower end of the 95 % interval of the mean (Student's t); the least value
    /// with fewer than three repeats.
    pub low: f64,
    /// Upper end; the greatest value with fewer than three repeats.
    pub high: f64,
}

impl RunResult {
    /// Makes the result of the run whose log is in `dir`.
    ///
    /// # Errors
    /// [`EngineError::Log`] or [`EngineError::Io`] if the log can't be read.
    pub fn from_dir(dir: &Path) -> Result<Self, EngineError> {
        let path = dir.join("run.ndjson");
        let mut result = Self::from_entries(&runlog::read(&path)?)
            .map_err(|why| EngineError::Log { path, line: 1, why })?;
        result.dir = dir.to_owned();
        Ok(result)
    }

    /// Folds the lines of a run log.
    ///
    /// # Errors
    /// Why they are no run log, in words.
    pub fn from_entries(entries: &[Entry]) -> Result<Self, String> {
        let run = Run::from_entries(entries).ok_or("the first line is no header")?;
        let version = run.header.schema_version;
        if version != SCHEMA_VERSION {
            return Err(format!("version {version} of the run log is unknown"));
        }
        let scenario = run
            .header
            .scenario()
            .map_err(|e| format!("the scenario in the log: {e}"))?;
        Ok(Fold {
            scenario: &scenario,
            run: &run,
        }
        .result())
    }

    /// Reads a folder's `result.json`, which is all that some folders have (a baseline that
    /// is kept with the code). The run behind it is empty.
    ///
    /// # Errors
    /// [`EngineError::Log`] or [`EngineError::Io`] if it can't be read.
    pub fn load(dir: &Path) -> Result<Self, EngineError> {
        let path = dir.join("result.json");
        let text = std::fs::read_to_string(&path).map_err(|e| EngineError::io(&path, e))?;
        let wrong = |line, why| EngineError::Log {
            path: path.clone(),
            line,
            why,
        };
        let mut result: Self =
            serde_json::from_str(&text).map_err(|e| wrong(e.line(), e.to_string()))?;
        if result.schema_version != SCHEMA_VERSION {
            let why = format!("version {} of the result is unknown", result.schema_version);
            return Err(wrong(1, why));
        }
        result.dir = dir.to_owned();
        Ok(result)
    }

    /// `result.json`.
    ///
    /// # Errors
    /// None in practice: every field is plain data.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }

    /// The exit status of `lab`: 0 all held, 1 a check failed, 2 inconclusive.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.verdict.exit_code()
    }

    /// The verdict table for a terminal.
    #[must_use]
    pub fn table(&self) -> String {
        crate::table::render(self)
    }

    /// The trials of an arm that count.
    #[must_use]
    pub fn trials(&self, arm: &str) -> Vec<&Trial> {
        self.run.counted(arm)
    }
}

struct Fold<'a> {
    scenario: &'a Scenario,
    run: &'a Run,
}

impl Fold<'_> {
    fn result(&self) -> RunResult {
        let (scenario, header) = (self.scenario, &self.run.header);
        let data = Measurements {
            arms: header
                .arms
                .iter()
                .map(|name| self.arm_trials(name))
                .collect(),
            duration_s: self.duration_s(),
            seed: header.seed,
        };
        let void_trials = void::trials(self.run);
        let checks: Vec<CheckResult> = scenario
            .checks
            .iter()
            .map(|c| {
                let check = c.under(header.quick);
                let decided = void::decided(&check, &data, &void_trials);
                untold::without_data(&check, decided, self.run.tells.as_deref())
            })
            .collect();
        let verdicts: Vec<Verdict> = checks.iter().map(|c| c.verdict).collect();
        let (void, not_acted) = (void::reasons(self.run), self.not_acted());
        let timeline = &scenario.schedule(header.quick).faults;
        RunResult {
            schema_version: SCHEMA_VERSION,
            scenario: header.scenario.clone(),
            shows: scenario.shows.clone(),
            hypothesis: scenario.hypothesis.clone(),
            seed: header.seed,
            quick: header.quick,
            environment: header.environment.clone(),
            // A fault is plain data, which always serialises.
            timeline: timeline
                .iter()
                .filter_map(|f| serde_json::to_value(f).ok())
                .collect(),
            arms: header.arms.iter().map(|name| self.arm(name)).collect(),
            checks,
            verdict: verdict::decide(&void, &not_acted, &verdicts),
            reasons: [void, not_acted].concat(),
            void_trials,
            dir: PathBuf::new(),
            run: self.run.clone(),
        }
    }

    fn duration_s(&self) -> f64 {
        self.scenario
            .schedule(self.run.header.quick)
            .duration
            .as_secs_f64()
    }

    fn reset(&self, arm: &str) -> Duration {
        let links = self
            .scenario
            .schedule(self.run.header.quick)
            .faulted_links();
        self.scenario
            .arm(arm)
            .map(|a| a.reset(links))
            .unwrap_or_default()
    }

    fn arm_trials<'b>(&'b self, name: &'b str) -> ArmTrials<'b> {
        ArmTrials {
            name,
            reset_s: self.reset(name).as_secs_f64(),
            trials: self.run.counted(name),
        }
    }

    fn arm(&self, name: &str) -> ArmResult {
        let trials = self.run.counted(name);
        let repeats: Vec<RepeatResult> = trials
            .iter()
            .map(|t| self.repeat(t, self.reset(name)))
            .collect();
        let policies = trials
            .first()
            .map(|t| t.start.policies.clone())
            .unwrap_or_default();
        let summary = summary(&repeats);
        ArmResult {
            name: name.to_owned(),
            policies,
            repeats,
            summary,
        }
    }

    fn repeat(&self, trial: &Trial, reset: Duration) -> RepeatResult {
        let lengths = Lengths {
            duration_s: self.duration_s(),
            recovering_s: (reset + RECOVERY_GRACE).as_secs_f64(),
        };
        let figures = |phase: Phase| {
            let figures = Figures::of(trial, &window_of(phase), lengths);
            (phase.as_str().to_owned(), figures)
        };
        let same =
            |t: &&Trial| t.start.arm == trial.start.arm && t.start.repeat == trial.start.repeat;
        RepeatResult {
            repeat: trial.start.repeat,
            seed: trial.start.seed,
            void: self
                .run
                .trials
                .iter()
                .filter(same)
                .filter_map(|t| t.void.clone())
                .collect(),
            total: Total::of(trial, lengths),
            phases: Phase::COUNTED.into_iter().map(figures).collect(),
            usage: trial.usage.as_ref().map(|u| self.usage(u)),
            judged: trial.judged.clone(),
        }
    }

    fn usage(&self, u: &runlog::Usage) -> UsageFigures {
        let machine = u.wall_us as f64 * self.run.header.environment.cores.max(1) as f64;
        let share = |us: u64| {
            if machine > 0.0 {
                us as f64 / machine
            } else {
                0.0
            }
        };
        UsageFigures {
            generator_cpu_share: share(u.generator_us),
            generator_late_p99_ms: u.late_p99_us as f64 / 1e3,
            cpu_share: u
                .parts_us
                .iter()
                .map(|(part, us)| (part.clone(), share(*us)))
                .collect(),
        }
    }
}

fn summary(repeats: &[RepeatResult]) -> BTreeMap<String, Summary> {
    let mut values: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for (name, x) in repeats.iter().flat_map(RepeatResult::numbers) {
        values.entry(name).or_default().push(x);
    }
    values
        .into_iter()
        .filter_map(|(name, v)| Some((name, summarise(&v)?)))
        .collect()
}

fn summarise(values: &[f64]) -> Option<Summary> {
    let median = stats::median(values)?;
    if let Some(i) = stats::student_t(values).filter(|_| values.len() >= 3) {
        return Some(Summary {
            median,
            low: i.low,
            high: i.high,
        });
    }
    let low = values.iter().copied().min_by(f64::total_cmp)?;
    let high = values.iter().copied().max_by(f64::total_cmp)?;
    Some(Summary { median, low, high })
}

#[cfg(test)]
mod tests;

//! A run: every arm, repeat by repeat, on one target.

mod collect;
mod plan;
mod rig;
mod trial;

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::error::EngineError;
use crate::progress::{Progress, Update};
use crate::result::RunResult;
use crate::runlog::{Entry, Header, RunLog, SCHEMA_VERSION};
use crate::scenario::Scenario;
use crate::target::Target;
use crate::usage;
use plan::Plan;
use rig::Rig;
use trial::{Go, Outcome};

/// How often a repeat is tried before a void one ends the run.
const GOES: u32 = 3;

/// How a scenario is run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Only these arms, in this order.
    pub arms: Option<Vec<String>>,
    /// Repeats, instead of the file's.
    pub repeats: Option<u32>,
    /// The seed; a random one if not given.
    pub seed: Option<u64>,
    /// Use the file's `[quick]`.
    pub quick: bool,
    /// Where the files are written; made if it isn't there.
    pub out: PathBuf,
}

/// Runs a scenario on a target and writes `run.ndjson` and `result.json`.
///
/// Cancelled, it clears its faults, closes its files and returns a result that is
/// inconclusive and says so.
///
/// # Errors
/// [`EngineError`] when the lab itself can't measure: an arm that isn't there, a
/// target without what the scenario needs, a control that doesn't answer.
pub async fn run(
    scenario: &Scenario,
    target: &Target,
    options: &Options,
    progress: &dyn Progress,
    cancel: CancellationToken,
) -> Result<RunResult, EngineError> {
    let plan = Plan::new(scenario, options)?;
    let rig = Rig::new(target, &plan).await?;
    std::fs::create_dir_all(&options.out).map_err(|e| EngineError::io(&options.out, e))?;
    let path = options.out.join("run.ndjson");
    let log = Arc::new(Mutex::new(RunLog::create(&path)?));
    log.lock().append(&header(scenario, target, &plan))?;
    progress.on(&plan.started(scenario));

    // From here on faults may be injected: whatever happens, they are cleared.
    let made = Runner {
        plan: &plan,
        rig: &rig,
        log: &log,
        progress,
        cancel: &cancel,
    }
    .all()
    .await;
    let cleaned = rig.clean().await;
    let stopped = made?;
    cleaned?;
    rig.disarm();
    log.lock().append(&Entry::End { stopped })?;

    let result = RunResult::from_dir(&options.out)?;
    write_result(&result, &options.out)?;
    Ok(result)
}

fn write_result(result: &RunResult, dir: &std::path::Path) -> Result<(), EngineError> {
    let path = dir.join("result.json");
    let json = result
        .to_json()
        .map_err(|e| EngineError::io(&path, std::io::Error::other(e)))?;
    std::fs::write(&path, json + "\n").map_err(|e| EngineError::io(&path, e))
}

fn header(scenario: &Scenario, target: &Target, plan: &Plan) -> Entry {
    let now = time::OffsetDateTime::now_utc();
    // RFC 3339 has room for every year that a clock of this century shows.
    let started_at = now
        .format(&time::format_description::well_known::Rfc3339)
        .unwrap_or_default();
    Entry::Run(Box::new(Header {
        schema_version: SCHEMA_VERSION,
        scenario: scenario.name.clone(),
        file: std::path::Path::new(&scenario.file)
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
        source: scenario.source.clone(),
        seed: plan.seed,
        quick: plan.quick,
        repeats: plan.repeats,
        arms: plan.arms.iter().map(|a| a.name.clone()).collect(),
        environment: usage::environment(&target.kind, started_at),
    }))
}

struct Runner<'a> {
    plan: &'a Plan,
    rig: &'a Rig,
    log: &'a Arc<Mutex<RunLog>>,
    progress: &'a dyn Progress,
    cancel: &'a CancellationToken,
}

impl Runner<'_> {
    /// Every trial, arms interleaved. Returns why it ended early, if it did.
    async fn all(&self) -> Result<Option<String>, EngineError> {
        let mut trial = 0;
        let of = self.plan.repeats * u32::try_from(self.plan.arms.len()).unwrap_or(u32::MAX);
        let mut done = 0;
        for repeat in 1..=self.plan.repeats {
            for arm in &self.plan.arms {
                for number in 1..=GOES {
                    let go = Go {
                        trial,
                        arm,
                        repeat,
                        number,
                    };
                    trial += 1;
                    let (name, go_number) = (arm.name.clone(), number);
                    self.progress.on(&Update::Trial {
                        arm: name,
                        repeat,
                        done,
                        of,
                        go: go_number,
                    });
                    match self.one(&go).await? {
                        Outcome::Counted => break,
                        Outcome::Cancelled => return Ok(Some("cancelled".to_owned())),
                        // The result says so from the log; nothing later can
                        // make the scenario conclusive.
                        Outcome::Void if number == GOES => return Ok(None),
                        Outcome::Void => {}
                    }
                }
                done += 1;
            }
        }
        Ok(None)
    }

    async fn one(&self, go: &Go<'_>) -> Result<Outcome, EngineError> {
        let trial = trial::Trial {
            plan: self.plan,
            rig: self.rig,
            log: self.log,
            progress: self.progress,
            cancel: self.cancel,
            go,
        };
        let (outcome, why) = trial.run().await?;
        let void = match outcome {
            Outcome::Counted => None,
            _ => Some(why),
        };
        self.log.lock().append(&Entry::TrialEnd {
            trial: go.trial,
            void: void.clone(),
        })?;
        match void {
            None => self.progress.on(&Update::Counted),
            Some(why) => {
                let again = matches!(outcome, Outcome::Void) && go.number < GOES;
                self.progress.on(&Update::Void { why, again });
            }
        }
        Ok(outcome)
    }
}

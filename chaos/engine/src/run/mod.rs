//! A run: every arm, repeat by repeat, on one target.

mod abort;
mod clean;
mod collect;
mod files;
mod guard;
mod history;
mod load;
mod plan;
mod rig;
mod trial;

use std::path::PathBuf;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::diagnostics::list;
use crate::error::EngineError;
use crate::junit;
use crate::progress::{Progress, Update};
use crate::result::RunResult;
use crate::runlog::{Entry, Header, SCHEMA_VERSION};
use crate::scenario::map::Point;
use crate::scenario::{Arm, Scenario, known};
use crate::target::Target;
use crate::usage;
use files::Files;
use plan::Plan;
use rig::Rig;
use trial::{Go, Outcome};

/// How often a repeat is tried before a void one ends the run: once, and twice
/// again. What is still void by then is no accident.
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
    /// Use the file's `[negative_control]`: the run of a scenario whose checks must not hold.
    pub negative_control: bool,
    /// Seeded defects that the shop has during the run.
    pub defects: Vec<String>,
    /// A point of the file's `[map]`: the scenario with that trigger and that load.
    pub point: Option<Point>,
    /// Where the files are written; made if it isn't there.
    pub out: PathBuf,
    /// Whether a target that is not on this machine may be broken.
    pub i_may_break_this: bool,
}

/// Runs a scenario on a target and writes what it measured: `run.ndjson`,
/// `requests.csv.zst`, `decisions.jsonl`, `result.json` and `junit.xml`.
///
/// Cancelled, it clears its faults, closes its files and returns a result that is
/// inconclusive and says so. However it ends, the policies of the target are what
/// they were before.
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
    let began = Instant::now();
    let changed = changed(scenario, options)?;
    let scenario = changed.as_ref().unwrap_or(scenario);
    let plan = Plan::new(scenario, options)?;
    guard::allowed(target, &plan, options)?;
    let rig = Rig::new(target, &plan).await?;
    let files = Files::create(&options.out, plan.schedule.duration)?;
    files.log(&header(scenario, target, &plan))?;
    if let Some(links) = tells(target, &plan) {
        files.log(&Entry::Tells { links })?;
    }
    progress.on(&plan.started(scenario));

    // From here on faults may be injected: whatever happens, they are cleared.
    let made = Runner {
        plan: &plan,
        rig: &rig,
        files: &files,
        progress,
        cancel: &cancel,
    }
    .all()
    .await;
    let left = rig.leave().await;
    let stopped = made?;
    left?;
    files.log(&Entry::End { stopped })?;
    files.finish()?;

    let result = RunResult::from_dir(&options.out)?;
    write_result(&result, &options.out)?;
    let junit = junit::render(&result, began.elapsed().as_secs_f64());
    write(&options.out.join(junit::FILE), &junit)?;
    Ok(result)
}

/// What the options make of the scenario, if they change it.
fn changed(scenario: &Scenario, options: &Options) -> Result<Option<Scenario>, EngineError> {
    let name = || scenario.name.clone();
    match &options.point {
        Some(point) => {
            let at = scenario.at(point);
            at.map(Some).ok_or_else(|| EngineError::NoMap(name()))
        }
        None if options.negative_control => {
            let without = scenario.without_protection();
            let none = || EngineError::NoNegativeControl(name());
            without.map(Some).ok_or_else(none)
        }
        None if !options.defects.is_empty() => {
            let known = known::DEFECTS.map(|(name, _)| name);
            let unknown = |name: &&String| !known.contains(&name.as_str());
            match options.defects.iter().find(unknown) {
                Some(name) => Err(EngineError::UnknownDefect {
                    name: name.clone(),
                    known: list(&known),
                }),
                None => Ok(Some(scenario.with_defects(&options.defects))),
            }
        }
        None => Ok(None),
    }
}

fn write_result(result: &RunResult, dir: &std::path::Path) -> Result<(), EngineError> {
    let path = dir.join("result.json");
    let json = result
        .to_json()
        .map_err(|e| EngineError::io(&path, std::io::Error::other(e)))?;
    write(&path, &(json + "\n"))
}

fn write(path: &std::path::Path, text: &str) -> Result<(), EngineError> {
    std::fs::write(path, text).map_err(|e| EngineError::io(path, e))
}

/// The links whose attempts somebody tells of; `None` when the parts tell of theirs.
fn tells(target: &Target, plan: &Plan) -> Option<Vec<String>> {
    let load = target.load.as_ref().filter(|_| target.control.is_empty())?;
    let own = plan.arms.iter().any(|arm| arm.named.contains(known::LOAD));
    let own = own.then(|| known::LOAD.to_owned());
    Some(load.link.iter().cloned().chain(own).collect())
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
        negative_control: plan.negative_control,
        defects: plan.defects.clone(),
        point: plan.point,
        repeats: plan.repeats,
        arms: plan.arms.iter().map(|a| a.name.clone()).collect(),
        environment: usage::environment(&target.kind, started_at),
    }))
}

struct Runner<'a> {
    plan: &'a Plan,
    rig: &'a Rig,
    files: &'a Files,
    progress: &'a dyn Progress,
    cancel: &'a CancellationToken,
}

impl Runner<'_> {
    /// Every trial, arms interleaved. Returns why it ended early, if it did.
    async fn all(&self) -> Result<Option<String>, EngineError> {
        let of = self.plan.repeats * u32::try_from(self.plan.arms.len()).unwrap_or(u32::MAX);
        let (mut trial, mut done) = (0, 0);
        for repeat in 1..=self.plan.repeats {
            for arm in &self.plan.arms {
                match self.repeat(arm, repeat, &mut trial, (done, of)).await? {
                    Outcome::Counted => done += 1,
                    Outcome::Cancelled => return Ok(Some("cancelled".to_owned())),
                    Outcome::Aborted(why) => return Ok(Some(format!("aborted: {why}"))),
                    // The result says so from the log; nothing later can
                    // make the scenario conclusive.
                    Outcome::Void(_) => return Ok(None),
                }
            }
        }
        Ok(None)
    }

    /// One repeat of an arm: tried again, with the same load, as long as it is void
    /// and a try is left. The others of the repeat wait, so that its arms stay as
    /// near to each other in time as can be.
    async fn repeat(
        &self,
        arm: &Arm,
        repeat: u32,
        trial: &mut u32,
        (done, of): (u32, u32),
    ) -> Result<Outcome, EngineError> {
        let mut number = 1;
        loop {
            let go = Go {
                trial: *trial,
                arm,
                repeat,
                number,
            };
            *trial += 1;
            self.progress.on(&Update::Trial {
                arm: arm.name.clone(),
                repeat,
                done,
                of,
                go: number,
            });
            match self.one(&go).await? {
                Outcome::Void(_) if number < GOES => number += 1,
                outcome => return Ok(outcome),
            }
        }
    }

    async fn one(&self, go: &Go<'_>) -> Result<Outcome, EngineError> {
        let trial = trial::Trial::new(self, go);
        let outcome = trial.run().await?;
        let (void, preconditions) = match &outcome {
            Outcome::Counted => (None, Vec::new()),
            Outcome::Cancelled => (Some("cancelled".to_owned()), Vec::new()),
            Outcome::Aborted(why) => (Some(format!("aborted: {why}")), Vec::new()),
            Outcome::Void(void) => (Some(void.why.clone()), void.preconditions.clone()),
        };
        self.files.log(&Entry::TrialEnd {
            trial: go.trial,
            void: void.clone(),
            preconditions,
        })?;
        match void {
            None => self.progress.on(&Update::Counted),
            Some(why) => {
                let again = matches!(outcome, Outcome::Void(_)) && go.number < GOES;
                self.progress.on(&Update::Void { why, again });
            }
        }
        Ok(outcome)
    }
}

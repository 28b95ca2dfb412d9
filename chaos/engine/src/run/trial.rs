//! One trial: one try at one repeat of one arm.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use loadtest::fixtures::Catalogue;
use loadtest::{RunStats, clock};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Runner;
use super::collect::{Collector, Sources};
use super::files::Files;
use super::history::Historian;
use super::plan::Plan;
use super::rig::Rig;
use crate::checks::precondition;
use crate::error::EngineError;
use crate::facts::{Counter, Ledger};
use crate::progress::{Progress, Stage, Update};
use crate::reducer::{Reducer, TrialSpec, us};
use crate::runlog::{Entry, Phase, TrialStart, Usage};
use crate::scenario::{Arm, RECOVERY_GRACE, Schedule};
use crate::timeline::{self, Clock};
use crate::usage;

/// Room for records and events that are under way to the reducer.
const CHANNEL: usize = 65_536;
/// From the decision to start until the first request.
const LEAD_NS: u64 = 200_000_000;

/// Which try at what.
pub(super) struct Go<'a> {
    pub trial: u32,
    pub arm: &'a Arm,
    pub repeat: u32,
    pub number: u32,
}

/// What became of a trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Counted,
    Void(Void),
    Cancelled,
    /// By the scenario's `[abort_when]`, for this reason.
    Aborted(String),
}

/// Why a trial doesn't count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Void {
    /// In words.
    pub why: String,
    /// The preconditions that it doesn't meet, if that is why.
    pub preconditions: Vec<String>,
}

impl From<String> for Void {
    fn from(why: String) -> Self {
        let preconditions = Vec::new();
        Self { why, preconditions }
    }
}

pub(super) struct Trial<'a> {
    pub plan: &'a Plan,
    pub rig: &'a Rig,
    pub files: &'a Files,
    pub progress: &'a dyn Progress,
    pub cancel: &'a CancellationToken,
    pub go: &'a Go<'a>,
    /// The plan's, with the storm that the repeat's seed makes.
    pub schedule: Schedule,
    /// The lines that preconditions are decided from.
    kept: Mutex<Vec<Entry>>,
}

/// What the load left behind.
struct Loaded {
    stats: RunStats,
    /// Of a history that is to be judged.
    historian: Option<Historian>,
    ledger: Ledger,
    void: Option<String>,
    aborted: Option<String>,
}

impl<'a> Trial<'a> {
    pub(super) fn new(runner: &Runner<'a>, go: &'a Go<'a>) -> Self {
        Self {
            plan: runner.plan,
            rig: runner.rig,
            files: runner.files,
            progress: runner.progress,
            cancel: runner.cancel,
            go,
            schedule: runner.plan.schedule.drawn(runner.plan.seed_of(go.repeat)),
            kept: Mutex::default(),
        }
    }
}

impl Trial<'_> {
    /// Runs it.
    pub(super) async fn run(&self) -> Result<Outcome, EngineError> {
        self.stage(Stage::Settling);
        let seed = self.plan.seed_of(self.go.repeat);
        let policies = self.rig.settle(self.go.arm, seed).await?;
        self.stage(Stage::Preparing);
        let catalogue = self.rig.catalogue(self.plan, &self.label()).await?;
        let start = self.start(policies);
        self.append(Entry::Trial(start.clone()))?;
        if self.cancel.is_cancelled() {
            return Ok(Outcome::Cancelled);
        }
        let loaded = Box::pin(self.load(start, catalogue.as_ref())).await;
        // Nothing of this trial may reach the next one.
        self.rig.clean().await?;
        let loaded = loaded?;
        if self.cancel.is_cancelled() {
            return Ok(Outcome::Cancelled);
        }
        if let Some(why) = loaded.aborted {
            return Ok(Outcome::Aborted(why));
        }
        let void = self.void(&loaded);
        if let Some(historian) = loaded.historian {
            let (broken, why) = self.judge(historian).await?;
            // A rule that was broken was broken, however the rest of the trial went.
            let void = void.or(why.map(Void::from)).filter(|_| !broken);
            return Ok(void.map_or(Outcome::Counted, Outcome::Void));
        }
        if let Some(void) = void {
            return Ok(Outcome::Void(void));
        }
        match &catalogue {
            Some(catalogue) if self.plan.orders => self.count(catalogue, &loaded.ledger).await,
            _ => Ok(Outcome::Counted),
        }
    }

    /// What the names of the trial's accounts, products and keys begin with.
    fn label(&self) -> String {
        format!("{:x}-{}", self.plan.seed, self.go.trial)
    }

    fn start(&self, policies: BTreeMap<String, serde_json::Value>) -> TrialStart {
        TrialStart {
            trial: self.go.trial,
            arm: self.go.arm.name.clone(),
            repeat: self.go.repeat,
            go: self.go.number,
            seed: self.plan.seed_of(self.go.repeat),
            reset_us: us(self.reset()),
            policies,
        }
    }

    /// Why the load or what came before the fault keeps the trial from counting.
    fn void(&self, loaded: &Loaded) -> Option<Void> {
        let by_load = loaded.void.clone();
        let by_load = by_load.or_else(|| loaded.stats.void_reason(clock::cores()));
        by_load.map(Void::from).or_else(|| self.unmet())
    }

    /// The preconditions that the trial doesn't meet.
    fn unmet(&self) -> Option<Void> {
        let kept = std::mem::take(&mut *self.kept.lock());
        let trial = crate::measure::Trial::from_entries(&kept)?;
        let broken = precondition::broken(&self.plan.preconditions, &trial);
        let why = broken
            .iter()
            .map(|b| format!("precondition {}: {}", b.id, b.why));
        let why = why.collect::<Vec<_>>().join("; ");
        let preconditions: Vec<String> = broken.into_iter().map(|b| b.id).collect();
        (!preconditions.is_empty()).then_some(Void { why, preconditions })
    }

    pub(super) fn stage(&self, stage: Stage) {
        self.progress.on(&Update::Stage(stage));
    }

    pub(super) fn append(&self, entry: Entry) -> Result<(), EngineError> {
        match &entry {
            Entry::Frame(frame) => self.progress.on(&Update::second(frame)),
            Entry::Phase { phase, t_us, .. } => {
                if *phase == Phase::Before {
                    self.stage(Stage::Load);
                }
                self.progress.on(&Update::Phase {
                    phase: *phase,
                    at_s: *t_us as f64 / 1e6,
                });
            }
            _ => {}
        }
        self.keep(&entry);
        self.files.log(&entry)
    }

    /// Keeps what a precondition may ask for. It is read when the load is over, so
    /// that the generator's share of the machine stays what it is.
    fn keep(&self, entry: &Entry) {
        let wanted = matches!(entry, Entry::Trial(_) | Entry::Frame(_));
        if wanted && !self.plan.preconditions.is_empty() {
            self.kept.lock().push(entry.clone());
        }
    }

    pub(super) fn append_all(&self, entries: Vec<Entry>) -> Result<(), EngineError> {
        entries.into_iter().try_for_each(|e| self.append(e))
    }

    pub(super) fn reset(&self) -> Duration {
        self.go.arm.reset(self.schedule.faulted_links())
    }

    /// A fault in words.
    pub(super) fn what_it_does(&self, name: &str) -> String {
        let fault = self.schedule.faults.iter().find(|f| f.name == name);
        fault.map_or_else(String::new, |f| format!("{} {}", f.action.words(), f.link))
    }

    fn spec(&self, t0_ns: u64) -> TrialSpec {
        let schedule = &self.schedule;
        let owned = |name: &String, link: &String| (name.clone(), link.clone());
        let injected = || schedule.injected();
        let mark = |w: &crate::scenario::Window| (w.name.clone(), us(w.at), us(w.at + w.lasts));
        let often = |f: &crate::scenario::Fault| {
            let comes_again = f.again.is_some() || f.drawn.is_some();
            let times = u32::try_from(f.spells().len()).ok()?;
            comes_again.then(|| (f.name.clone(), times))
        };
        TrialSpec {
            trial: self.go.trial,
            t0_ns,
            warm_up_ns: clock::as_ns(schedule.warm_up),
            recovering_ns: clock::as_ns(self.reset() + RECOVERY_GRACE),
            faults: injected().map(|f| owned(&f.name, &f.link)).collect(),
            injections: injected().filter_map(often).collect(),
            conditions: schedule
                .in_force()
                .map(|c| owned(&c.name, &c.link))
                .collect(),
            marks: schedule.windows.iter().map(mark).collect(),
            rows: true,
        }
    }

    /// Load and time line, with everything they tell written down.
    async fn load(
        &self,
        start: TrialStart,
        catalogue: Option<&Catalogue>,
    ) -> Result<Loaded, EngineError> {
        let schedule = &self.schedule;
        let injector = &*self.rig.injectors;
        timeline::put(schedule.in_force(), injector).await?;
        let (told_tx, mut told) = mpsc::channel(CHANNEL);
        let _events = self.rig.events(self.plan, &told_tx).await?;
        let lost = Arc::new(AtomicBool::new(false));
        let (records_tx, mut records) = mpsc::channel(CHANNEL);
        let label = self.label();
        let historian = match (schedule.history, catalogue) {
            (Some(load), Some(made)) => {
                let records = records_tx.clone();
                Some(Arc::new(self.historian(load, made, &label, records).await?))
            }
            _ => None,
        };
        let target = self.load_target(catalogue, told_tx, &lost)?;

        let start_ns = clock::now_ns() + LEAD_NS;
        let t0_ns = start_ns + clock::as_ns(schedule.warm_up);
        self.stage(Stage::WarmUp);
        let stop = self.cancel.child_token();
        let _stop_all = stop.clone().drop_guard();
        let (steps_tx, mut steps) = mpsc::channel(64);
        let cpu_before = usage::cpu(&self.rig.target.pids_now());

        let reducer = Reducer::new(self.spec(t0_ns));
        let (notes_tx, notes) = mpsc::unbounded_channel();
        let mut collector =
            Collector::new(self, start, reducer, t0_ns, lost, stop.clone()).telling(notes_tx);
        let sources = Sources {
            records: &mut records,
            told: &mut told,
            steps: &mut steps,
        };
        // All on this task: whichever ends badly, the others are stopped by the
        // token and still run to their end.
        let over = CancellationToken::new();
        let (line_tx, line_stop) = (steps_tx.clone(), stop.clone());
        let line = timeline::play(schedule, t0_ns, Clock::now(), injector, line_tx, line_stop);
        let end_ns = t0_ns + clock::as_ns(schedule.duration);
        let load = async {
            let Some(historian) = historian.clone() else {
                let load = self.generate(target, records_tx, start_ns, stop.clone());
                return load.await.map_err(|e| EngineError::Load(e.to_string()));
            };
            drop(records_tx);
            // On a task of its own, so that customers don't wait for the collector.
            let load = Arc::clone(&historian).load(notes, end_ns, stop.clone());
            let loaded = tokio::spawn(load).await;
            historian.close();
            loaded.map_err(|e| EngineError::Load(e.to_string()))
        };
        let loaded = async {
            let load = stopping(&stop, load);
            let (load, line) = tokio::join!(load, stopping(&stop, line));
            over.cancel();
            line.and(load)
        };
        let kept = timeline::keep(schedule.in_force(), injector, steps_tx, over.clone());
        let work = async {
            let (loaded, kept) = tokio::join!(loaded, stopping(&stop, kept));
            kept.and(loaded)
        };
        let (stats, collected) = tokio::join!(work, collector.collect(sources));
        collected?;
        let stats = stats?;
        let parts_us = usage::between(&cpu_before, &usage::cpu(&self.rig.target.pids_now()));
        self.append(self.usage(&stats, parts_us))?;
        Ok(Loaded {
            stats,
            historian: historian.and_then(Arc::into_inner),
            ledger: collector.ledger,
            void: collector.void,
            aborted: collector.aborted,
        })
    }

    fn usage(&self, stats: &RunStats, parts_us: BTreeMap<String, u64>) -> Entry {
        let late = stats.lateness.quantile(0.99).unwrap_or_default();
        Entry::Usage(Usage {
            trial: self.go.trial,
            wall_us: stats.wall_ns / 1_000,
            generator_us: stats.cpu_ns / 1_000,
            parts_us,
            late_p99_us: u64::try_from(late.as_micros()).unwrap_or(u64::MAX),
            planned: stats.planned,
            sent: stats.sent,
        })
    }

    async fn count(&self, catalogue: &Catalogue, ledger: &Ledger) -> Result<Outcome, EngineError> {
        self.stage(Stage::Counting);
        // Caches might still show the stock of some seconds ago.
        self.rig.reset_parts().await?;
        let counter = Counter {
            client: &self.rig.client,
            entry: &self.rig.target.entry,
            token: &self.rig.target.lab_token,
            catalogue,
        };
        match counter.count(ledger).await {
            Ok(facts) => {
                self.append(Entry::Facts {
                    trial: self.go.trial,
                    facts,
                })?;
                Ok(Outcome::Counted)
            }
            // The shop not answering after the load is no fault of the lab's.
            Err(e) => Ok(Outcome::Void(
                format!("orders could not be counted: {e}").into(),
            )),
        }
    }
}

/// Stops the rest of a trial when this part of it has gone wrong.
async fn stopping<T>(
    stop: &CancellationToken,
    part: impl Future<Output = Result<T, EngineError>>,
) -> Result<T, EngineError> {
    let done = part.await;
    if done.is_err() {
        stop.cancel();
    }
    done
}

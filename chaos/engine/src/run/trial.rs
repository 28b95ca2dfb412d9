//! One trial: one try at one repeat of one arm.

use std::sync::Arc;
use std::time::Duration;

use loadtest::fixtures::Catalogue;
use loadtest::{LoadError, Record, RunStats, clock};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Runner;
use super::collect::{Collector, Sources};
use super::plan::Plan;
use super::rig::Rig;
use crate::checks::precondition;
use crate::error::EngineError;
use crate::facts::{Counter, Ledger};
use crate::latency::Latency;
use crate::progress::{Progress, Stage, Update};
use crate::reducer::{Reducer, TrialSpec};
use crate::runlog::{BreakerState, Entry, Frame, Outcomes, Phase, RunLog, TrialStart, Usage};
use crate::scenario::{Arm, RECOVERY_GRACE};
use crate::timeline;
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
    pub log: &'a Arc<Mutex<RunLog>>,
    pub progress: &'a dyn Progress,
    pub cancel: &'a CancellationToken,
    pub go: &'a Go<'a>,
    /// The lines that preconditions are decided from.
    kept: Mutex<Vec<Entry>>,
}

/// What the load left behind.
struct Loaded {
    stats: RunStats,
    ledger: Ledger,
    void: Option<String>,
}

impl<'a> Trial<'a> {
    pub(super) fn new(runner: &Runner<'a>, go: &'a Go<'a>) -> Self {
        Self {
            plan: runner.plan,
            rig: runner.rig,
            log: runner.log,
            progress: runner.progress,
            cancel: runner.cancel,
            go,
            kept: Mutex::default(),
        }
    }
}

impl Trial<'_> {
    /// Runs it.
    pub(super) async fn run(&self) -> Result<Outcome, EngineError> {
        self.stage(Stage::Settling);
        let policies = self.rig.settle(self.go.arm).await?;
        self.stage(Stage::Preparing);
        let label = format!("{:x}-{}", self.plan.seed, self.go.trial);
        let catalogue = self.rig.catalogue(&label).await?;
        self.append(Entry::Trial(TrialStart {
            trial: self.go.trial,
            arm: self.go.arm.name.clone(),
            repeat: self.go.repeat,
            go: self.go.number,
            seed: self.plan.seed_of(self.go.repeat),
            reset_us: i64::try_from(self.reset().as_micros()).unwrap_or(i64::MAX),
            policies,
        }))?;
        if self.cancel.is_cancelled() {
            return Ok(Outcome::Cancelled);
        }
        let loaded = self.load(&catalogue).await;
        // Nothing of this trial may reach the next one.
        self.rig.clean().await?;
        let loaded = loaded?;
        if self.cancel.is_cancelled() {
            return Ok(Outcome::Cancelled);
        }
        if let Some(void) = self.void(&loaded) {
            return Ok(Outcome::Void(void));
        }
        self.count(&catalogue, &loaded.ledger).await
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

    fn append(&self, entry: Entry) -> Result<(), EngineError> {
        match &entry {
            Entry::Frame(frame) => self.progress.on(&second(frame)),
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
        self.log.lock().append(&entry)
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

    fn reset(&self) -> Duration {
        self.go.arm.reset(self.plan.schedule.faulted_links())
    }

    /// Load and time line, with everything they tell written down.
    async fn load(&self, catalogue: &Catalogue) -> Result<Loaded, EngineError> {
        let schedule = &self.plan.schedule;
        let (told_tx, mut told) = mpsc::channel(CHANNEL);
        let _events = self.rig.events(&told_tx).await?;
        drop(told_tx);

        let start_ns = clock::now_ns() + LEAD_NS;
        let t0_ns = start_ns + clock::as_ns(schedule.warm_up);
        let faults = schedule
            .injected()
            .map(|f| (f.name.clone(), f.link.clone()))
            .collect::<Vec<_>>();
        let reducer = Reducer::new(TrialSpec {
            trial: self.go.trial,
            t0_ns,
            warm_up_ns: clock::as_ns(schedule.warm_up),
            recovering_ns: clock::as_ns(self.reset() + RECOVERY_GRACE),
            faults,
            ..TrialSpec::default()
        });
        self.stage(Stage::WarmUp);

        let stop = self.cancel.child_token();
        let _stop_all = stop.clone().drop_guard();
        let (records_tx, mut records) = mpsc::channel(CHANNEL);
        let (steps_tx, mut steps) = mpsc::channel(64);
        let load = self.generate(catalogue, records_tx, start_ns, stop.clone());
        let line = timeline::play(schedule, t0_ns, &self.rig.proxies, steps_tx, stop.clone());
        let pids = &self.rig.target.pids;
        let cpu_before = usage::cpu_us(pids);

        let mut collector = Collector {
            trial: self,
            reducer,
            ledger: Ledger::default(),
            void: None,
            t0_ns,
            stop: stop.clone(),
        };
        let sources = Sources {
            records: &mut records,
            told: &mut told,
            steps: &mut steps,
        };
        // All three on this task: whichever ends badly, the others are stopped
        // by the token and still run to their end.
        let work = async {
            let (load, line) = tokio::join!(
                async {
                    let made = load.await;
                    if made.is_err() {
                        stop.cancel();
                    }
                    made
                },
                async {
                    let played = line.await;
                    if played.is_err() {
                        stop.cancel();
                    }
                    played
                }
            );
            line?;
            load.map_err(|e| EngineError::Load(e.to_string()))
        };
        let (stats, collected) = tokio::join!(work, collector.collect(sources));
        collected?;
        let stats = stats?;
        let parts_us = usage::between(&cpu_before, &usage::cpu_us(pids));
        self.append(self.usage(&stats, parts_us))?;
        Ok(Loaded {
            stats,
            ledger: collector.ledger,
            void: collector.void,
        })
    }

    async fn generate(
        &self,
        catalogue: &Catalogue,
        records: mpsc::Sender<Record>,
        start_ns: u64,
        stop: CancellationToken,
    ) -> Result<RunStats, LoadError> {
        let schedule = &self.plan.schedule;
        let plan = loadtest::Plan {
            streams: schedule.streams.clone(),
            duration: schedule.warm_up + schedule.duration,
            seed: self.plan.seed_of(self.go.repeat),
        };
        // The arms of a repeat share their request ids, so that they meet the
        // same fate request by request.
        let prefix = format!("r{}", self.go.repeat);
        let target = &self.rig.target;
        let target = catalogue.target(target.entry.clone(), &target.lab_token, &prefix);
        loadtest::run(&plan, target, records, start_ns, stop).await
    }

    fn usage(&self, stats: &RunStats, parts_us: std::collections::BTreeMap<String, u64>) -> Entry {
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
        if !self.plan.orders {
            return Ok(Outcome::Counted);
        }
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

fn second(frame: &Frame) -> Update {
    let mut outcomes = Outcomes::default();
    frame.cells.iter().for_each(|c| outcomes.add(c.outcomes));
    let latencies: Vec<Latency> = frame
        .cells
        .iter()
        .filter_map(|c| Latency::from_base64(&c.hdr))
        .collect();
    let (requests, served) = (outcomes.total(), outcomes.success());
    let not_closed = frame
        .breakers
        .iter()
        .filter(|(_, s)| **s != BreakerState::Closed);
    Update::Second {
        second: frame.second,
        requests,
        error_share: (requests > 0).then(|| 1.0 - served as f64 / requests as f64),
        p99_ms: Latency::sum(&latencies).quantile(0.99).map(|s| s * 1e3),
        breakers: not_closed
            .map(|(link, state)| (link.clone(), *state))
            .collect(),
    }
}

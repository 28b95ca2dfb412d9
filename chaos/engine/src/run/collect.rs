//! Collecting what a trial tells while it is under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use integrity::FaultNote;
use loadtest::{Record, clock};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::abort::Guard;
use super::trial::Trial;
use super::{history, load};
use crate::control::Told;
use crate::error::EngineError;
use crate::event::Kind;
use crate::facts::Ledger;
use crate::progress::Stage;
use crate::reducer::{HOLD_NS, Reducer};
use crate::runlog::{Entry, TrialStart};
use crate::timeline::Step;

/// How often the reducer looks at the clock.
const TICK: Duration = Duration::from_millis(100);
/// How long after the last answer events may still come.
const DRAIN_MAX: Duration = Duration::from_secs(3);

pub(super) struct Sources<'a> {
    pub(super) records: &'a mut mpsc::Receiver<Record>,
    pub(super) told: &'a mut mpsc::Receiver<Told>,
    pub(super) steps: &'a mut mpsc::Receiver<Step>,
}

/// Feeds the reducer and watches for what makes the trial void.
pub(super) struct Collector<'a> {
    trial: &'a Trial<'a>,
    start: TrialStart,
    reducer: Reducer,
    pub(super) ledger: Ledger,
    pub(super) void: Option<String>,
    /// Why the whole run must end.
    pub(super) aborted: Option<String>,
    guard: Guard,
    /// Requests that met a rate limit.
    rate_limited: u64,
    /// A fault that has let go by itself.
    expired: Option<String>,
    /// Whether decisions of the load's own policy could not be delivered.
    lost: Arc<AtomicBool>,
    t0_ns: u64,
    stop: CancellationToken,
    /// Whoever else is told of faults.
    notes: Option<mpsc::UnboundedSender<FaultNote>>,
}

impl<'a> Collector<'a> {
    pub(super) fn new(
        trial: &'a Trial<'a>,
        start: TrialStart,
        reducer: Reducer,
        t0_ns: u64,
        lost: Arc<AtomicBool>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            trial,
            start,
            reducer,
            ledger: Ledger::default(),
            void: None,
            aborted: None,
            guard: Guard::new(trial.plan.abort_when),
            rate_limited: 0,
            expired: None,
            lost,
            t0_ns,
            stop,
            notes: None,
        }
    }

    /// Tells of each fault as it comes and goes.
    pub(super) fn telling(mut self, notes: mpsc::UnboundedSender<FaultNote>) -> Self {
        self.notes = Some(notes);
        self
    }

    fn note(&self, fault: &str, on: bool) {
        if let Some(notes) = &self.notes {
            // Nobody listens when the customers have stopped.
            let _ = notes.send(history::note(fault, &self.trial.what_it_does(fault), on));
        }
    }

    /// Until the load and the time line are over and the last events are in.
    pub(super) async fn collect(&mut self, mut from: Sources<'_>) -> Result<(), EngineError> {
        let collected = self.under_load(&mut from).await;
        if collected.is_err() {
            // The load must not go on unwatched.
            self.stop.cancel();
            from.records.close();
            from.steps.close();
        }
        collected?;
        self.drain(&mut from).await?;
        let rest = self.reducer.finish(clock::now_ns());
        self.write(rest)
    }

    /// Writes down what the reducer has ready: lines of the log, and requests.
    fn write(&mut self, entries: Vec<Entry>) -> Result<(), EngineError> {
        let counted = self.reducer.counted();
        self.trial.files.requests(&self.start, &counted)?;
        self.judge(&entries);
        self.trial.append_all(entries)
    }

    /// Breaks the run off when it has become as bad as the scenario bears.
    fn judge(&mut self, entries: &[Entry]) {
        for entry in entries {
            if let Entry::Frame(frame) = entry
                && self.aborted.is_none()
            {
                self.aborted = self.guard.note(frame);
            }
        }
        if self.aborted.is_some() {
            self.stop.cancel();
        }
    }

    async fn under_load(&mut self, from: &mut Sources<'_>) -> Result<(), EngineError> {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut loading, mut playing, mut told_open) = (true, true, true);
        while loading || playing {
            tokio::select! {
                record = from.records.recv(), if loading => match record {
                    Some(record) => self.record(&record),
                    None => loading = false,
                },
                step = from.steps.recv(), if playing => match step {
                    Some(step) => self.step(step)?,
                    None => playing = false,
                },
                told = from.told.recv(), if told_open => match told {
                    Some(told) => self.told(told)?,
                    None => told_open = false,
                },
                _ = tick.tick() => {
                    let ready = self.reducer.tick(clock::now_ns());
                    self.write(ready)?;
                    self.watch();
                }
            }
        }
        Ok(())
    }

    fn record(&mut self, record: &Record) {
        self.ledger.note(record);
        self.reducer.record(record);
        let attempt = load::as_attempt(&self.trial.rig.target, record);
        attempt
            .into_iter()
            .flatten()
            .for_each(|told| self.reducer.told(told));
        if record.status == 429 && !self.trial.plan.answers_too_many() {
            self.rate_limited += 1;
        }
    }

    fn told(&mut self, told: Told) -> Result<(), EngineError> {
        if let Told::Event(event) = &told {
            self.trial.files.decision(&self.start, self.t0_ns, event)?;
            if let Kind::FaultExpired { fault } = &event.kind
                && !self.trial.plan.stops_processes()
            {
                self.expired.get_or_insert_with(|| fault.clone());
            }
        }
        self.reducer.told(told);
        Ok(())
    }

    fn step(&mut self, step: Step) -> Result<(), EngineError> {
        match step {
            Step::InjectBegins { fault, ns } => {
                self.note(&fault, true);
                self.reducer.inject_begins(&fault, ns);
            }
            Step::Injected {
                fault,
                begin_ns,
                done_ns,
            } => {
                self.reducer.inject_done(&fault, begin_ns, done_ns);
            }
            Step::Cleared {
                fault,
                begin_ns,
                done_ns,
            } => {
                self.note(&fault, false);
                self.reducer.cleared(&fault, begin_ns, done_ns);
            }
            Step::Acted { fault, by, count } => {
                if let Some(acted) = count.acted {
                    self.trial.append(Entry::Acted {
                        trial: self.start.trial,
                        fault,
                        by: by.to_owned(),
                        matched: count.matched,
                        acted,
                    })?;
                }
            }
        }
        Ok(())
    }

    /// Ends a trial that can't count any more.
    fn watch(&mut self) {
        if self.void.is_some() || self.trial.cancel.is_cancelled() {
            return;
        }
        self.void = self.void_reason();
        if self.void.is_some() {
            self.stop.cancel();
        }
    }

    fn void_reason(&self) -> Option<String> {
        let health = self.reducer.health();
        if health.gap {
            return Some("events of a part were lost".to_owned());
        }
        if let Some(fault) = &self.expired {
            return Some(format!(
                "the lease of the fault `{fault}` ran out: it could not be renewed in time"
            ));
        }
        if self.lost.load(Ordering::Relaxed) {
            return Some("decisions of the load's own policy were lost".to_owned());
        }
        if self.rate_limited > 0 {
            let n = self.rate_limited;
            return Some(format!(
                "{n} requests met a rate limit (429) that nobody planned"
            ));
        }
        // A little later than second 0, for the answers that were under way.
        if clock::now_ns() < self.t0_ns + HOLD_NS {
            return None;
        }
        if health.unsteady > 0 && !self.trial.plan.fails_always() {
            let (bad, of) = (health.unsteady, health.steady);
            return Some(format!(
                "not steady before the start: {bad} of {of} requests in the last two seconds of the warm-up were not served"
            ));
        }
        None
    }

    /// Waits for the events of the last requests: until none has come for the
    /// time a request is held, but not for ever.
    async fn drain(&mut self, from: &mut Sources<'_>) -> Result<(), EngineError> {
        self.trial.stage(Stage::Draining);
        let end = Instant::now() + DRAIN_MAX;
        loop {
            let quiet = Instant::now() + Duration::from_nanos(HOLD_NS);
            match tokio::time::timeout_at(quiet.min(end), from.told.recv()).await {
                Ok(Some(told)) => self.told(told)?,
                Ok(None) | Err(_) => break,
            }
        }
        self.watch();
        let ready = self.reducer.tick(clock::now_ns());
        self.write(ready)
    }
}

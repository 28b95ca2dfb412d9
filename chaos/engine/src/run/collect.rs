//! Collecting what a trial tells while it is under load.

use std::time::Duration;

use loadtest::{Record, clock};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::trial::Trial;
use crate::control::Told;
use crate::error::EngineError;
use crate::facts::Ledger;
use crate::progress::Stage;
use crate::reducer::{HOLD_NS, Reducer};
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
    pub(super) trial: &'a Trial<'a>,
    pub(super) reducer: Reducer,
    pub(super) ledger: Ledger,
    pub(super) void: Option<String>,
    pub(super) t0_ns: u64,
    pub(super) stop: CancellationToken,
}

impl Collector<'_> {
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
        self.trial.append_all(rest)
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
                    Some(step) => self.step(step),
                    None => playing = false,
                },
                told = from.told.recv(), if told_open => match told {
                    Some(told) => self.reducer.told(told),
                    None => told_open = false,
                },
                _ = tick.tick() => {
                    let ready = self.reducer.tick(clock::now_ns());
                    self.trial.append_all(ready)?;
                    self.watch();
                }
            }
        }
        Ok(())
    }

    fn record(&mut self, record: &Record) {
        self.ledger.note(record);
        self.reducer.record(record);
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::InjectBegins { fault, ns } => self.reducer.inject_begins(&fault, ns),
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
                self.reducer.cleared(&fault, begin_ns, done_ns);
            }
        }
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
        if health.rate_limited > 0 {
            let n = health.rate_limited;
            return Some(format!(
                "{n} requests met a rate limit (429) that nobody planned"
            ));
        }
        // A little later than second 0, for the answers that were under way.
        if clock::now_ns() < self.t0_ns + HOLD_NS {
            return None;
        }
        if health.unsteady > 0 {
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
                Ok(Some(told)) => self.reducer.told(told),
                Ok(None) | Err(_) => break,
            }
        }
        self.watch();
        let ready = self.reducer.tick(clock::now_ns());
        self.trial.append_all(ready)
    }
}

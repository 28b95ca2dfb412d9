//! A load on its own, from plan to report: what `lab load` runs.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::error::LoadError;
use crate::generator;
use crate::mix::Op;
use crate::plan::Plan;
use crate::record::Record;
use crate::report::{Summary, Tally};
use crate::stats::RunStats;
use crate::target::LoadTarget;

/// Time to get ready between the call and the first arrival.
const LEAD: Duration = Duration::from_millis(100);
/// Records that wait to be counted; a second or more of any load that one process can make.
const QUEUE: usize = 16_384;

/// The state of a running load, told once a second.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// Since the load started.
    pub elapsed: Duration,
    /// How long arrivals come.
    pub duration: Duration,
    /// Requests finished so far.
    pub finished: u64,
    /// Those of them that were rejected.
    pub rejected: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// Requests finished a second, since the last report.
    pub rate: f64,
    /// The 99th percentile of latency of those, in milliseconds.
    pub p99_ms: Option<f64>,
}

/// Runs a load to its end, or until `stop`; then what was measured so far is reported, as void.
///
/// # Errors
/// [`LoadError::Invalid`] if the plan or target can't be run, or the customers' tokens end before the
/// plan does and the target has no [renewal](LoadTarget::renewal).
pub async fn run_load<F>(
    plan: &Plan,
    target: LoadTarget,
    stop: CancellationToken,
    mut progress: F,
) -> Result<Summary, LoadError>
where
    F: FnMut(&Progress) + Send,
{
    check(plan, &target)?;
    let start_ns = clock::now_ns() + clock::as_ns(LEAD);
    let started = SystemTime::now() + LEAD;
    let stop = stop.child_token();
    // The generator is a task of its own, so that counting can't delay an arrival; it ends with us.
    let _guard = stop.clone().drop_guard();
    let (sink, mut records) = mpsc::channel(QUEUE);
    let running = tokio::spawn({
        let plan = plan.clone();
        async move { generator::run(&plan, target, sink, start_ns, stop).await }
    });

    let mut counter = Counter::new(plan, start_ns);
    let second = Duration::from_secs(1);
    let mut ticks = tokio::time::interval_at(Instant::now() + LEAD + second, second);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            record = records.recv() => match record {
                Some(record) => counter.add(&record),
                None => break,
            },
            _ = ticks.tick() => progress(&counter.progress()),
        }
    }
    let stats = running
        .await
        .map_err(|e| LoadError::Task(e.to_string()))??;
    Ok(counter.summary(plan, started, stats))
}

fn check(plan: &Plan, target: &LoadTarget) -> Result<(), LoadError> {
    plan.validate()?;
    target.validate(plan)?;
    if target.renewal.is_some() {
        return Ok(());
    }
    let left = target
        .tokens_end()
        .map(|end| end.duration_since(SystemTime::now()));
    if let Some(left) = left.map(Result::unwrap_or_default)
        && left < plan.duration + LEAD
    {
        let message = format!("the customers' tokens end in {} s already", left.as_secs());
        return Err(LoadError::invalid("duration", message));
    }
    Ok(())
}

/// Counts records as they come.
struct Counter {
    start_ns: u64,
    /// Requests scheduled before are not measured.
    measured_from_ns: u64,
    duration: Duration,
    total: Tally,
    ops: BTreeMap<Op, Tally>,
    streams: BTreeMap<String, Tally>,
    finished: u64,
    rejected: u64,
    failed: u64,
    /// Since the last report.
    lately: Tally,
    reported_ns: u64,
}

impl Counter {
    fn new(plan: &Plan, start_ns: u64) -> Self {
        Self {
            start_ns,
            measured_from_ns: start_ns + clock::as_ns(plan.warm_up),
            duration: plan.duration,
            total: Tally::default(),
            ops: BTreeMap::new(),
            streams: BTreeMap::new(),
            finished: 0,
            rejected: 0,
            failed: 0,
            lately: Tally::default(),
            reported_ns: start_ns,
        }
    }

    fn add(&mut self, record: &Record) {
        self.lately.add(record);
        if record.scheduled_ns >= self.measured_from_ns {
            self.total.add(record);
            self.ops.entry(record.op).or_default().add(record);
            match self.streams.get_mut(&record.stream) {
                Some(tally) => tally.add(record),
                None => {
                    let tally = self.streams.entry(record.stream.clone());
                    tally.or_default().add(record);
                }
            }
        }
    }

    fn progress(&mut self) -> Progress {
        let now = clock::now_ns();
        let lately = std::mem::take(&mut self.lately);
        self.finished += lately.requests;
        self.rejected += lately.rejected;
        self.failed += lately.failed;
        let since = now
            .saturating_sub(std::mem::replace(&mut self.reported_ns, now))
            .max(1);
        Progress {
            elapsed: Duration::from_nanos(now.saturating_sub(self.start_ns)),
            duration: self.duration,
            finished: self.finished,
            rejected: self.rejected,
            failed: self.failed,
            rate: lately.requests as f64 * 1e9 / since as f64,
            p99_ms: lately
                .latency
                .quantile(0.99)
                .map(|p99| p99.as_secs_f64() * 1e3),
        }
    }

    fn summary(self, plan: &Plan, started: SystemTime, stats: RunStats) -> Summary {
        // A run that was stopped has measured no longer than it lasted.
        let lasted = Duration::from_nanos(stats.wall_ns);
        let end = if stats.stopped {
            plan.duration.min(lasted)
        } else {
            plan.duration
        };
        let measured = end.saturating_sub(plan.warm_up);
        let unix = started
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let cores = clock::cores();
        Summary {
            schema_version: 1,
            plan: plan.clone(),
            started_unix_ms: u64::try_from(unix.as_millis()).unwrap_or(u64::MAX),
            warm_up_s: plan.warm_up.as_secs_f64(),
            measured_s: measured.as_secs_f64(),
            total: self.total.figures(measured),
            ops: self
                .ops
                .iter()
                .map(|(op, tally)| (*op, tally.figures(measured)))
                .collect(),
            streams: self
                .streams
                .into_iter()
                .map(|(name, tally)| (name, tally.figures(measured)))
                .collect(),
            void: stats.void_reason(cores),
            generator: stats,
            cores,
        }
    }
}

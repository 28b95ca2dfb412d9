//! The generator: keeps the arrivals' times whatever the target does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc::Sender;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::client::HttpClient;
use crate::clock;
use crate::error::LoadError;
use crate::histogram::Histogram;
use crate::limits;
use crate::plan::Plan;
use crate::record::{Judgement, Record, judge};
use crate::request::{Prepared, Requests};
use crate::schedule::{Arrival, schedule};
use crate::stats::RunStats;
use crate::target::LoadTarget;

/// [`Record::error`] of an arrival that was not sent, because too many requests were under way.
pub const GENERATOR_FULL: &str = "generator_full";
/// [`Record::error`] of a request that was under way when the run was stopped.
pub const STOPPED: &str = "stopped";

/// What is read of an answer at most.
const MAX_BODY: usize = 1 << 20;
/// How long a record waits for a reader who has fallen behind, before it is dropped.
const DELIVERY: Duration = Duration::from_secs(5);

/// Runs `plan` against `target`; the load starts at `start_ns` ([`clock`]), which should lie a
/// little ahead. Every arrival is a task of its own and becomes one [`Record`] in `sink`, in order
/// of completion. Returns after the last answer, at the latest [`LoadTarget::request_timeout`] after
/// the last arrival; the sender is dropped then, so a reader sees the end.
///
/// `stop` ends it early: no more arrivals, and what is under way is given up (records with
/// [`STOPPED`]). Dropping the future does the same, without records.
///
/// # Errors
/// [`LoadError::Invalid`] for a plan or target that can't be run. What happens to requests is in
/// the records, and whether the generator kept up in [`RunStats::void_reason`].
pub async fn run(
    plan: &Plan,
    target: LoadTarget,
    sink: Sender<Record>,
    start_ns: u64,
    stop: CancellationToken,
) -> Result<RunStats, LoadError> {
    plan.validate()?;
    target.validate(plan)?;
    let generator = Arc::new(Generator::new(plan, target, sink, start_ns, &stop)?);
    // Whatever ends this future, no task of it goes on.
    let _guard = generator.stop.clone().drop_guard();
    let cpu = clock::process_cpu();
    let tasks = TaskTracker::new();
    let (planned, stopped) = generator.pace(plan, &tasks).await;
    tasks.close();
    tasks.wait().await;
    let cpu_ns = clock::as_ns(clock::process_cpu().saturating_sub(cpu));
    let wall_ns = clock::now_ns().saturating_sub(start_ns);
    Ok(generator.stats(planned, stopped || stop.is_cancelled(), cpu_ns, wall_ns))
}

struct Generator {
    requests: Requests,
    client: HttpClient,
    request_timeout: Duration,
    sink: Sender<Record>,
    start_ns: u64,
    stop: CancellationToken,
    room: Arc<Semaphore>,
    bound: usize,
    counts: Counts,
    lateness: Mutex<Histogram>,
}

#[derive(Default)]
struct Counts {
    sent: AtomicU64,
    completed: AtomicU64,
    full: AtomicU64,
    dropped: AtomicU64,
    max_in_flight: AtomicUsize,
}

impl Generator {
    fn new(
        plan: &Plan,
        target: LoadTarget,
        sink: Sender<Record>,
        start_ns: u64,
        stop: &CancellationToken,
    ) -> Result<Self, LoadError> {
        let bound = limits::in_flight_bound(target.max_in_flight.min(Semaphore::MAX_PERMITS));
        Ok(Self {
            client: HttpClient::new(),
            request_timeout: target.request_timeout,
            requests: Requests::new(Arc::new(target), plan.seed)?,
            sink,
            start_ns,
            stop: stop.child_token(),
            room: Arc::new(Semaphore::new(bound)),
            bound,
            counts: Counts::default(),
            lateness: Mutex::new(Histogram::new()),
        })
    }

    /// Starts each arrival at its time; returns their number, and whether it was stopped.
    async fn pace(self: &Arc<Self>, plan: &Plan, tasks: &TaskTracker) -> (u64, bool) {
        let start = clock::instant_at(self.start_ns);
        let mut planned = 0;
        for arrival in schedule(plan) {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return (planned, true),
                () = tokio::time::sleep_until(start + arrival.at) => {}
            }
            planned += 1;
            match Arc::clone(&self.room).try_acquire_owned() {
                Ok(permit) => {
                    let in_flight = self.bound - self.room.available_permits();
                    self.counts
                        .max_in_flight
                        .fetch_max(in_flight, Ordering::Relaxed);
                    tasks.spawn(Arc::clone(self).one(arrival, permit));
                }
                Err(_) => self.refuse(arrival),
            }
        }
        (planned, false)
    }

    /// One request, from its start to its record. The permit is held until the record is delivered,
    /// so that a reader who falls behind can't make tasks pile up.
    async fn one(self: Arc<Self>, arrival: Arrival, _permit: OwnedSemaphorePermit) {
        let started_ns = clock::now_ns();
        let prepared = match self.requests.prepare(arrival.index, arrival.op) {
            Ok(prepared) => prepared,
            Err(error) => return self.give_up(arrival, error.to_string()),
        };
        self.counts.sent.fetch_add(1, Ordering::Relaxed);
        let scheduled_ns = self.scheduled_ns(arrival);
        self.lateness.lock().record(Duration::from_nanos(
            started_ns.saturating_sub(scheduled_ns),
        ));
        let Prepared {
            request,
            request_id,
            customer,
            lines,
        } = prepared;
        let judged = tokio::select! {
            biased;
            result = self.client.send(request, self.request_timeout, MAX_BODY) => {
                self.counts.completed.fetch_add(1, Ordering::Relaxed);
                judge(arrival.op, &result)
            }
            () = self.stop.cancelled() => Judgement::failed(0, STOPPED, true),
        };
        let ended_ns = clock::now_ns();
        let identity = Identity {
            request_id,
            customer,
            lines,
        };
        let record = self.record(arrival, identity, (started_ns, ended_ns), judged);
        if self.sink.send_timeout(record, DELIVERY).await.is_err() {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn refuse(&self, arrival: Arrival) {
        self.counts.full.fetch_add(1, Ordering::Relaxed);
        self.give_up(arrival, GENERATOR_FULL.to_owned());
    }

    /// Records an arrival that was not sent. Never waits: the pacer calls it.
    fn give_up(&self, arrival: Arrival, error: String) {
        let now = clock::now_ns();
        let identity = match self.requests.prepare(arrival.index, arrival.op) {
            Ok(Prepared {
                request_id,
                customer,
                lines,
                ..
            }) => Identity {
                request_id,
                customer,
                lines,
            },
            Err(_) => Identity::default(),
        };
        let record = self.record(
            arrival,
            identity,
            (now, now),
            Judgement::failed(0, error, false),
        );
        if self.sink.try_send(record).is_err() {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn record(
        &self,
        arrival: Arrival,
        identity: Identity,
        (started_ns, ended_ns): (u64, u64),
        judged: Judgement,
    ) -> Record {
        Record {
            index: arrival.index,
            request_id: identity.request_id,
            op: arrival.op,
            scheduled_ns: self.scheduled_ns(arrival),
            started_ns,
            ended_ns,
            status: judged.status,
            outcome: judged.outcome,
            code: judged.code,
            order_id: judged.order_id,
            degraded: judged.degraded,
            error: judged.error,
            sent: judged.sent,
            customer: identity.customer,
            lines: identity.lines,
            stream: String::new(),
            priority: None,
            retry_after: false,
            attempts: 1,
            bytes: 0,
        }
    }

    fn scheduled_ns(&self, arrival: Arrival) -> u64 {
        self.start_ns.saturating_add(clock::as_ns(arrival.at))
    }

    fn stats(&self, planned: u64, stopped: bool, cpu_ns: u64, wall_ns: u64) -> RunStats {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        RunStats {
            planned,
            sent: count(&self.counts.sent),
            completed: count(&self.counts.completed),
            generator_full: count(&self.counts.full),
            dropped_records: count(&self.counts.dropped),
            max_in_flight: self.counts.max_in_flight.load(Ordering::Relaxed),
            lateness: self.lateness.lock().clone(),
            cpu_ns,
            wall_ns,
            stopped,
        }
    }
}

/// Who asked for what.
#[derive(Default)]
struct Identity {
    request_id: String,
    customer: i64,
    lines: Vec<crate::request::Line>,
}

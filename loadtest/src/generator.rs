//! The generator: keeps the arrivals' times whatever the target does.
//!
//! It runs on a runtime of its own, so that whoever counts the records, or anything else in the
//! process, can't make an arrival wait for its turn.

mod waiting;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::Sender;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::caller::{Caller, Made};
use crate::clock;
use crate::closed::Rounds;
use crate::error::LoadError;
use crate::fixtures::Renewal;
use crate::histogram::Histogram;
use crate::limits;
use crate::pacer::Pacer;
use crate::plan::Plan;
use crate::record::{Judgement, Record};
use crate::renew;
use crate::request::{Prepared, Requests};
use crate::schedule::{Arrival, schedule};
use crate::stats::RunStats;
use crate::stream::Source;
use crate::target::LoadTarget;
use waiting::Waiting;

/// [`Record::error`] of an arrival that was not sent, because too many requests were under way.
pub const GENERATOR_FULL: &str = "generator_full";
/// [`Record::error`] of a request that was under way when the run was stopped.
pub const STOPPED: &str = "stopped";

/// How long a record waits for a reader who has fallen behind, before it is dropped.
const DELIVERY: Duration = Duration::from_secs(5);
/// Threads of the generator. One takes less CPU, but on a machine whose cores are all taken it uses up
/// its fair share, and arrivals then wait for other processes' turns; a second halves that.
const WORKERS: usize = 2;
/// So many overdue arrivals are started before requests under way have a turn.
const BURST: u32 = 16;

/// Runs `plan` against `target`; the load starts at `start_ns` ([`clock`]), which should lie a
/// little ahead. Every request becomes one [`Record`] in `sink`, in order of completion: of open
/// streams each arrival is a task of its own, of closed ones each customer. Returns after the last
/// answer, at the latest [`LoadTarget::request_timeout`] after the end of the plan; the sender is
/// dropped then, so a reader sees the end.
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
    let renewal = target.renewal.clone().map(|r| (r, target.tokens_end()));
    let generator = Arc::new(Generator::new(plan, target, sink, start_ns, &stop)?);
    // Whatever ends this future, no task of it goes on.
    let _guard = generator.stop.clone().drop_guard();
    let plan = plan.clone();
    let failed = |why: String| LoadError::Task(why);
    let own = Own::new().map_err(|e| failed(e.to_string()))?;
    let work = own.spawn(async move { generator.whole(&plan, renewal).await });
    match work {
        Some(work) => work.await.map_err(|e| failed(e.to_string())),
        None => Err(failed("it has no runtime".to_owned())),
    }
}

/// A runtime that ends with its owner, in an async context too.
struct Own(Option<Runtime>);

impl Own {
    fn new() -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .thread_name("load")
            .enable_all()
            .build()?;
        Ok(Self(Some(runtime)))
    }

    /// Not async, so that the work lives in its task alone and not in its caller's future too.
    fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<JoinHandle<T>> {
        self.0.as_ref().map(|runtime| runtime.spawn(work))
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

struct Generator {
    requests: Requests,
    caller: Caller,
    sink: Sender<Record>,
    start_ns: u64,
    stop: CancellationToken,
    room: Arc<Semaphore>,
    bound: usize,
    streams: Vec<Label>,
    counts: Counts,
    lateness: Mutex<Histogram>,
    not_renewed: Mutex<Option<String>>,
}

/// What the records of a stream say of it.
struct Label {
    name: String,
    priority: Option<String>,
}

#[derive(Default)]
struct Counts {
    planned: AtomicU64,
    sent: AtomicU64,
    completed: AtomicU64,
    full: AtomicU64,
    dropped: AtomicU64,
    in_flight_max: AtomicUsize,
}

impl Generator {
    fn new(
        plan: &Plan,
        target: LoadTarget,
        sink: Sender<Record>,
        start_ns: u64,
        stop: &CancellationToken,
    ) -> Result<Self, LoadError> {
        let wanted = target.max_in_flight.min(Semaphore::MAX_PERMITS);
        let bound = limits::in_flight_bound(wanted);
        if plan.closed_customers() > bound {
            let message = format!(
                "{} wait for answers at once, but no more than {bound} connections can be had \
                 (`max_in_flight`, or the system's limit on open files)",
                plan.closed_customers()
            );
            return Err(LoadError::invalid("customers", message));
        }
        let label = |(place, stream): (usize, &crate::Stream)| Label {
            name: plan.stream_name(place),
            priority: stream.priority.map(|level| level.as_str().to_owned()),
        };
        Ok(Self {
            requests: Requests::new(&target, plan)?,
            caller: Caller::new(
                &target.policies,
                target.observer,
                target.request_timeout,
                plan.seed,
            ),
            sink,
            start_ns,
            stop: stop.child_token(),
            room: Arc::new(Semaphore::new(bound)),
            bound,
            streams: plan.streams.iter().enumerate().map(label).collect(),
            counts: Counts::default(),
            lateness: Mutex::new(Histogram::new()),
            not_renewed: Mutex::default(),
        })
    }

    async fn whole(
        self: Arc<Self>,
        plan: &Plan,
        renewal: Option<(Renewal, Option<SystemTime>)>,
    ) -> RunStats {
        let cpu = clock::process_cpu();
        let fresh = renewal.map(|(renewal, end)| {
            let generator = Arc::clone(&self);
            tokio::spawn(async move {
                let error = renew::keep_fresh(generator.requests.people(), renewal, end).await;
                *generator.not_renewed.lock() = Some(error.to_string());
            })
        });
        let tasks = TaskTracker::new();
        self.customers(plan, &tasks);
        self.pace(plan, &tasks).await;
        tasks.close();
        tasks.wait().await;
        if let Some(fresh) = fresh {
            fresh.abort();
        }
        let cpu_ns = clock::as_ns(clock::process_cpu().saturating_sub(cpu));
        let wall_ns = clock::now_ns().saturating_sub(self.start_ns);
        self.stats(cpu_ns, wall_ns)
    }

    /// Starts each open arrival at its time.
    async fn pace(self: &Arc<Self>, plan: &Plan, tasks: &TaskTracker) {
        let pacer = Pacer::new();
        let mut overdue = 0;
        for arrival in schedule(plan) {
            let due_ns = self.due_ns(arrival);
            if clock::now_ns() < due_ns {
                overdue = 0;
                tokio::select! {
                    biased;
                    () = self.stop.cancelled() => return,
                    () = pacer.until(due_ns) => {}
                }
            } else {
                overdue += 1;
                if overdue % BURST == 0 {
                    tokio::task::yield_now().await;
                }
                if self.stop.is_cancelled() {
                    return;
                }
            }
            self.counts.planned.fetch_add(1, Ordering::Relaxed);
            match Arc::clone(&self.room).try_acquire_owned() {
                Ok(permit) => drop(tasks.spawn(Arc::clone(self).one(arrival, permit))),
                Err(_) => self.refuse(arrival),
            }
        }
    }

    /// Lets the customers of the closed streams in.
    fn customers(self: &Arc<Self>, plan: &Plan, tasks: &TaskTracker) {
        let end_ns = self.start_ns.saturating_add(clock::as_ns(plan.duration));
        for (stream, of) in plan.streams.iter().enumerate() {
            let Source::Closed { customers, think } = of.source else {
                continue;
            };
            let mix = Arc::new(of.mix.clone());
            for customer in 0..customers {
                let rounds = Rounds::new(plan.seed, stream, customer);
                let one = Waiting {
                    generator: Arc::clone(self),
                    mix: Arc::clone(&mix),
                    rounds,
                    stream,
                    customer,
                    think,
                    end_ns,
                };
                drop(tasks.spawn(one.live()));
            }
        }
    }

    /// One request, from its start to its record. The permit is held until the record is delivered,
    /// so that a reader who falls behind can't make tasks pile up.
    async fn one(self: Arc<Self>, arrival: Arrival, _permit: OwnedSemaphorePermit) {
        let started_ns = clock::now_ns();
        let prepared = match self.requests.prepare(&arrival) {
            Ok(prepared) => prepared,
            Err(error) => return self.give_up(arrival, error.to_string()),
        };
        self.started(arrival, started_ns);
        let made = Made::default();
        let judged = tokio::select! {
            biased;
            judged = self.caller.call(arrival.op, &prepared, &made) => {
                self.counts.completed.fetch_add(1, Ordering::Relaxed);
                judged
            }
            () = self.stop.cancelled() => Judgement::failed(0, STOPPED, made.sent()),
        };
        let times = Times {
            // A customer who waits puts off what comes after: there is no time that was due.
            scheduled_ns: match arrival.customer {
                Some(_) => started_ns,
                None => self.due_ns(arrival),
            },
            started_ns,
            ended_ns: clock::now_ns(),
        };
        let record = self.record(arrival, prepared.into(), times, judged, made.begun());
        if self.sink.send_timeout(record, DELIVERY).await.is_err() {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn started(&self, arrival: Arrival, started_ns: u64) {
        self.counts.sent.fetch_add(1, Ordering::Relaxed);
        let in_flight = self.bound - self.room.available_permits();
        self.counts
            .in_flight_max
            .fetch_max(in_flight, Ordering::Relaxed);
        // In a closed loop nothing is due: customers who are let go together start as fast as the
        // machine can, and their latency counts from there.
        if arrival.customer.is_none() {
            let late = started_ns.saturating_sub(self.due_ns(arrival));
            self.lateness.lock().record(Duration::from_nanos(late));
        }
    }

    fn refuse(&self, arrival: Arrival) {
        self.counts.full.fetch_add(1, Ordering::Relaxed);
        self.give_up(arrival, GENERATOR_FULL.to_owned());
    }

    /// Records an arrival that was not sent. Never waits: the pacer calls it.
    fn give_up(&self, arrival: Arrival, error: String) {
        let now = clock::now_ns();
        let times = Times {
            scheduled_ns: self.due_ns(arrival),
            started_ns: now,
            ended_ns: now,
        };
        let prepared = self.requests.prepare(&arrival);
        let identity = prepared.map(Identity::from).unwrap_or_default();
        let judged = Judgement::failed(0, error, false);
        let record = self.record(arrival, identity, times, judged, 0);
        if self.sink.try_send(record).is_err() {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn record(
        &self,
        arrival: Arrival,
        identity: Identity,
        times: Times,
        judged: Judgement,
        attempts: u32,
    ) -> Record {
        let label = &self.streams[arrival.stream];
        Record {
            index: arrival.index,
            request_id: identity.request_id,
            op: arrival.op,
            scheduled_ns: times.scheduled_ns,
            started_ns: times.started_ns,
            ended_ns: times.ended_ns,
            status: judged.status,
            outcome: judged.outcome,
            code: judged.code,
            order_id: judged.order_id,
            degraded: judged.degraded,
            error: judged.error,
            sent: judged.sent,
            customer: identity.customer,
            lines: identity.lines,
            stream: label.name.clone(),
            priority: label.priority.clone(),
            retry_after: judged.retry_after,
            attempts,
            bytes: judged.bytes,
        }
    }

    fn due_ns(&self, arrival: Arrival) -> u64 {
        self.start_ns.saturating_add(clock::as_ns(arrival.at))
    }

    fn stats(&self, cpu_ns: u64, wall_ns: u64) -> RunStats {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        RunStats {
            planned: count(&self.counts.planned),
            sent: count(&self.counts.sent),
            completed: count(&self.counts.completed),
            generator_full: count(&self.counts.full),
            dropped_records: count(&self.counts.dropped),
            in_flight_max: self.counts.in_flight_max.load(Ordering::Relaxed),
            lateness: self.lateness.lock().clone(),
            cpu_ns,
            wall_ns,
            stopped: self.stop.is_cancelled(),
            not_renewed: self.not_renewed.lock().clone(),
        }
    }
}

/// When a request was due, began and ended.
struct Times {
    scheduled_ns: u64,
    started_ns: u64,
    ended_ns: u64,
}

/// Who asked for what.
#[derive(Default)]
struct Identity {
    request_id: String,
    customer: i64,
    lines: Vec<crate::request::Line>,
}

impl From<Prepared> for Identity {
    fn from(prepared: Prepared) -> Self {
        Self {
            request_id: prepared.request_id,
            customer: prepared.customer,
            lines: prepared.lines,
        }
    }
}

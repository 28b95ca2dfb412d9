//! Serves one request under a plan, whichever wire it came over.

use std::{future::Future, sync::Arc};

use resilience::server::End;
use tokio::{
    sync::oneshot,
    task::JoinHandle,
    time::{Duration, Instant, sleep},
};
use tracing::Instrument as _;

use super::{
    Faults, Stay,
    plan::Plan,
    queue::{Full, Gone, Place, Queue, Server},
    registry::Fault,
    seen::{Seen, serving},
    status::Failure,
};

/// How a request ends.
pub(super) enum Ending<R> {
    /// As the handler says.
    Answered(R),
    /// By the fault of that id, or on its account.
    Failed(String, Failure),
    /// Not before the deadline that came with the request.
    Late,
    /// The handler ran to its end, and nobody hears of it.
    Lost(R),
}

/// Serves under `plan`. Dropping the future means that the caller has left: a delay or a hang ends
/// with it, work that has begun and a place in a queue do not.
pub(super) async fn serve<R, H>(
    faults: Faults,
    seen: Arc<Seen>,
    plan: Plan,
    stay: Option<Stay>,
    handler: H,
) -> Ending<R>
where
    R: Send + 'static,
    H: Future<Output = R> + Send + 'static,
{
    if let Some(time) = plan.delay() {
        pause(&faults, time).await;
    }
    if let Some(late) = hang(&faults, &plan, &seen).await {
        return late;
    }
    if !plan.outlives_its_caller() {
        return match plan.fail() {
            Some((fault, failure)) => Ending::Failed(fault.spec.id.clone(), failure),
            None => Ending::Answered(serving(seen, handler).await),
        };
    }
    let queued = match plan.capacity() {
        Some((fault, time)) => match Queued::join(&fault, time) {
            Ok(queued) => Some(queued),
            Err(full) => return full,
        },
        None => None,
    };
    let tasks = faults.tasks().clone();
    let (tell, told) = oneshot::channel();
    let task = Task {
        faults,
        seen,
        plan,
        stay,
    };
    let task = tasks.spawn(task.run(queued, handler, tell).in_current_span());
    match told.await {
        Ok(ending) => ending,
        Err(_) => panicked(task).await,
    }
}

/// The task ends without a word when the handler panics: it panics here then, as it would have
/// without a fault.
async fn panicked<R>(task: JoinHandle<()>) -> Ending<R> {
    match task.await {
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        _ => Ending::Late,
    }
}

async fn pause(faults: &Faults, time: Duration) {
    tokio::select! {
        () = sleep(time) => {}
        () = faults.over().cancelled() => {}
    }
}

/// Until the deadline, or until each fault that hangs the request has gone.
async fn hang<R>(faults: &Faults, plan: &Plan, seen: &Seen) -> Option<Ending<R>> {
    for fault in plan.hangs() {
        tokio::select! {
            () = fault.gone.cancelled() => {}
            () = faults.over().cancelled() => {}
            () = until(seen) => return Some(Ending::Late),
        }
    }
    None
}

/// The deadline that came with the request; for ever without one.
pub(super) async fn until(seen: &Seen) {
    match seen.deadline.instant() {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// A request in the queue of a capacity fault.
struct Queued {
    time: Duration,
    place: Place,
}

impl Queued {
    fn join<R>(fault: &Fault, time: Duration) -> Result<Self, Ending<R>> {
        let joined = fault.queue.as_ref().map(Queue::join);
        match joined {
            Some(Ok(place)) => Ok(Self { time, place }),
            Some(Err(Full)) | None => {
                Err(Ending::Failed(fault.spec.id.clone(), Failure::UNAVAILABLE))
            }
        }
    }
}

/// What goes on whether or not the caller stays.
struct Task {
    faults: Faults,
    seen: Arc<Seen>,
    plan: Plan,
    /// The place behind the door is taken for as long as there is work.
    stay: Option<Stay>,
}

impl Task {
    async fn run<R, H>(
        mut self,
        queued: Option<Queued>,
        handler: H,
        tell: oneshot::Sender<Ending<R>>,
    ) where
        R: Send,
        H: Future<Output = R> + Send,
    {
        let mut begun = None;
        let ending = match self.work(queued, &mut begun).await {
            Err(late) => late,
            Ok(()) => self.end(handler).await,
        };
        let to_its_end = !matches!(ending, Ending::Late);
        let lost = matches!(ending, Ending::Lost(_));
        let left = tell.send(ending).is_err();
        if let Some(stay) = self.stay.take().filter(|_| left) {
            stay.leave(to_its_end.then_some(End::Ok));
        }
        if let Some(begun) = begun
            && to_its_end
            && (left || lost)
        {
            let took: Duration = Instant::now() - begun;
            self.faults.wasted(&self.seen, took);
        }
    }

    async fn end<R, H: Future<Output = R>>(&self, handler: H) -> Ending<R> {
        if let Some((fault, failure)) = self.plan.fail() {
            return Ending::Failed(fault.spec.id.clone(), failure);
        }
        let answer = serving(Arc::clone(&self.seen), handler).await;
        if self.plan.loses_reply() {
            Ending::Lost(answer)
        } else {
            Ending::Answered(answer)
        }
    }

    /// The capacity's service and the work. An error when the deadline came first. `begun` is when
    /// work for the request began.
    async fn work<R>(
        &self,
        queued: Option<Queued>,
        begun: &mut Option<Instant>,
    ) -> Result<(), Ending<R>> {
        if let Some(queued) = queued
            && let Some((server, time)) = self.turn(queued).await?
        {
            *begun = Some(Instant::now());
            let served = self.busy(time).await;
            drop(server);
            served?;
        }
        if let Some(time) = self.plan.work() {
            begun.get_or_insert_with(Instant::now);
            self.busy(time).await?;
        }
        Ok(())
    }

    /// Waits for a server. When the fault goes, its queue moves to the next capacity fault that
    /// is about the request; without one the request goes on at once.
    async fn turn<R>(&self, mut queued: Queued) -> Result<Option<(Server, Duration)>, Ending<R>> {
        loop {
            let Queued { time, place } = queued;
            let turn = tokio::select! {
                turn = place.turn() => turn,
                () = until(&self.seen) => return Err(Ending::Late),
                () = self.faults.over().cancelled() => return Ok(None),
            };
            match turn {
                Ok(server) => return Ok(Some((server, time))),
                Err(Gone) => match self.faults.next_queue(&self.seen) {
                    Some((next, time)) => queued = Queued::join(&next, time)?,
                    None => return Ok(None),
                },
            }
        }
    }

    async fn busy<R>(&self, time: Duration) -> Result<(), Ending<R>> {
        tokio::select! {
            () = sleep(time) => Ok(()),
            () = until(&self.seen) => Err(Ending::Late),
            () = self.faults.over().cancelled() => Ok(()),
        }
    }
}

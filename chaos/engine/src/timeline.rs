//! The time line: injects the faults at their times, clears them, and tells when
//! each began and was confirmed. Whatever happens, it ends with nothing injected.

use loadtest::clock;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::error::EngineError;
use crate::proxy::Proxies;
use crate::scenario::{Action, Fault, Schedule};

/// How often a clearing is tried before the run fails loudly.
const CLEAR_TRIES: u32 = 5;

/// What the time line tells. Times are `CLOCK_MONOTONIC`, nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The injection of a fault begins.
    InjectBegins {
        /// The fault.
        fault: String,
        /// When.
        ns: u64,
    },
    /// The injector has confirmed it.
    Injected {
        /// The fault.
        fault: String,
        /// When it was begun.
        begin_ns: u64,
        /// When it was confirmed.
        done_ns: u64,
    },
    /// The fault has been cleared and confirmed.
    Cleared {
        /// The fault.
        fault: String,
        /// When the clearing was begun.
        begin_ns: u64,
        /// When it was confirmed.
        done_ns: u64,
    },
}

#[derive(Clone, Copy)]
enum Move {
    Inject,
    Clear,
}

/// Plays the faults of a schedule whose second 0 is `t0_ns`. Stopped early, it
/// clears what is on and returns.
///
/// # Errors
/// [`EngineError::Http`] when the injector does not do as it is told.
pub async fn play(
    schedule: &Schedule,
    t0_ns: u64,
    proxies: &Proxies,
    steps: mpsc::Sender<Step>,
    stop: CancellationToken,
) -> Result<(), EngineError> {
    let mut moves: Vec<(u64, Move, &Fault)> = Vec::new();
    for fault in schedule.injected() {
        let at = t0_ns + clock::as_ns(fault.at);
        moves.push((at, Move::Inject, fault));
        moves.push((at + clock::as_ns(fault.lasts), Move::Clear, fault));
    }
    moves.sort_by_key(|(at, ..)| *at);
    let mut on: Vec<&Fault> = Vec::new();
    let mut played = Ok(());
    for (at, what, fault) in moves {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            () = tokio::time::sleep_until(clock::instant_at(at)) => {}
        }
        played = match what {
            Move::Inject => {
                // On before it is confirmed: a half-done injection is cleared too.
                on.push(fault);
                inject(fault, proxies, &steps).await
            }
            Move::Clear => {
                on.retain(|f| f.name != fault.name);
                clear(fault, proxies, &steps).await
            }
        };
        if played.is_err() {
            break;
        }
    }
    for fault in on {
        let cleared = clear(fault, proxies, &steps).await;
        played = played.and(cleared);
    }
    played
}

async fn tell(steps: &mpsc::Sender<Step>, step: Step) {
    // Nobody listens once the trial is over; the clearing goes on all the same.
    let _ = steps.send(step).await;
}

async fn inject(
    fault: &Fault,
    proxies: &Proxies,
    steps: &mpsc::Sender<Step>,
) -> Result<(), EngineError> {
    let begin_ns = clock::now_ns();
    let name = fault.name.clone();
    tell(
        steps,
        Step::InjectBegins {
            fault: name.clone(),
            ns: begin_ns,
        },
    )
    .await;
    match &fault.action {
        Action::Down => proxies.set_enabled(&fault.link, false).await?,
        Action::Toxic(toxic) => proxies.add(&fault.link, &fault.name, toxic).await?,
    }
    tell(
        steps,
        Step::Injected {
            fault: name,
            begin_ns,
            done_ns: clock::now_ns(),
        },
    )
    .await;
    Ok(())
}

async fn clear(
    fault: &Fault,
    proxies: &Proxies,
    steps: &mpsc::Sender<Step>,
) -> Result<(), EngineError> {
    let begin_ns = clock::now_ns();
    let mut tried = 0;
    loop {
        let cleared = match &fault.action {
            Action::Down => proxies.set_enabled(&fault.link, true).await,
            Action::Toxic(_) => proxies.remove(&fault.link, &fault.name).await,
        };
        tried += 1;
        match cleared {
            Ok(()) => break,
            // A fault must not stay because one request went wrong.
            Err(_) if tried < CLEAR_TRIES => {
                tokio::time::sleep(std::time::Duration::from_millis(100) * tried).await;
            }
            Err(e) => return proxies.reset().await.and(Err(e)),
        }
    }
    let (fault, done_ns) = (fault.name.clone(), clock::now_ns());
    tell(
        steps,
        Step::Cleared {
            fault,
            begin_ns,
            done_ns,
        },
    )
    .await;
    Ok(())
}

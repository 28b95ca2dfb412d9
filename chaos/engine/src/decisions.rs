//! `decisions.jsonl`: what each fault and each policy decided, one JSON object a line, in
//! the order in which it was told.

mod compare;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use compare::{FaultHits, Hits, compare_hits};

use crate::error::EngineError;
use crate::event::{CallRef, Event, Kind};
use crate::runlog::{BreakerState, TrialStart};

/// The file's name in a run's folder.
pub const FILE: &str = "decisions.jsonl";

/// One decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// The trial, as in `run.ndjson`; not every trial counts.
    pub trial: u32,
    /// Its arm.
    pub arm: String,
    /// Its repeat, from 1.
    pub repeat: u32,
    /// When, in microseconds from second 0.
    pub t_us: i64,
    /// Whose decision: a `service` label, `load` for the load's own policy.
    pub service: String,
    /// What was decided.
    #[serde(flatten)]
    pub what: What,
}

/// What was decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum What {
    /// A fault acted on a request.
    Fault {
        /// The fault.
        fault: String,
        /// On which request.
        #[serde(flatten)]
        call: On,
        /// The attempt it hit.
        attempt: u32,
        /// `fail`, `delay`, …
        action: String,
        /// For how long, if it delays.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        delay_us: Option<u64>,
    },
    /// A fault's lease was over.
    FaultExpired {
        /// The fault.
        fault: String,
    },
    /// A policy waits before an attempt.
    Wait {
        /// Which call.
        #[serde(flatten)]
        call: On,
        /// The attempt to come.
        attempt: u32,
        /// How long.
        wait_us: u64,
    },
    /// A policy refused an attempt.
    Refused {
        /// Which call.
        #[serde(flatten)]
        call: On,
        /// The attempt that was not made.
        attempt: u32,
        /// `breaker`, `budget`, …
        reason: String,
    },
    /// A policy sent a second copy.
    Hedge {
        /// Which call.
        #[serde(flatten)]
        call: On,
        /// The copy's number.
        attempt: u32,
        /// How long the first had had.
        after_us: u64,
    },
    /// The second copy answered first.
    HedgeWon {
        /// Which call.
        #[serde(flatten)]
        call: On,
        /// The copy's number.
        attempt: u32,
    },
    /// A server turned a request away.
    Shed {
        /// Which request.
        #[serde(flatten)]
        call: On,
        /// How much it matters.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        priority: Option<String>,
        /// Why.
        reason: String,
    },
    /// A breaker moved.
    Breaker {
        /// Its link.
        link: String,
        /// Before.
        from: BreakerState,
        /// After.
        to: BreakerState,
    },
}

/// A call, as a line names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct On {
    /// The link.
    pub link: String,
    /// The method or route.
    pub method: String,
    /// The request.
    pub request_id: String,
}

impl From<&CallRef> for On {
    fn from(call: &CallRef) -> Self {
        Self {
            link: call.link.clone(),
            method: call.method.clone(),
            request_id: call.request_id.clone(),
        }
    }
}

impl What {
    /// What an event decides; `None` if it is no decision.
    #[must_use]
    pub fn of(kind: &Kind) -> Option<Self> {
        Some(match kind {
            Kind::Fault {
                fault,
                call,
                attempt,
                action,
                delay_us,
            } => Self::Fault {
                fault: fault.clone(),
                call: call.into(),
                attempt: *attempt,
                action: action.clone(),
                delay_us: *delay_us,
            },
            Kind::FaultExpired { fault } => Self::FaultExpired {
                fault: fault.clone(),
            },
            Kind::Wait {
                call,
                attempt,
                wait_us,
            } => Self::Wait {
                call: call.into(),
                attempt: *attempt,
                wait_us: *wait_us,
            },
            Kind::Refused {
                call,
                attempt,
                reason,
            } => Self::Refused {
                call: call.into(),
                attempt: *attempt,
                reason: reason.clone(),
            },
            Kind::Hedge {
                call,
                attempt,
                after_us,
            } => Self::Hedge {
                call: call.into(),
                attempt: *attempt,
                after_us: *after_us,
            },
            Kind::HedgeWon { call, attempt } => Self::HedgeWon {
                call: call.into(),
                attempt: *attempt,
            },
            Kind::Shed {
                call,
                priority,
                reason,
            } => Self::Shed {
                call: call.into(),
                priority: priority.clone(),
                reason: reason.clone(),
            },
            Kind::Breaker { link, from, to } => Self::Breaker {
                link: link.clone(),
                from: *from,
                to: *to,
            },
            _ => return None,
        })
    }
}

/// Writes the file.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    out: BufWriter<File>,
}

impl Writer {
    /// Begins a file at this path.
    ///
    /// # Errors
    /// [`EngineError::Io`].
    pub fn create(path: &Path) -> Result<Self, EngineError> {
        let file = File::create(path).map_err(|e| EngineError::io(path, e))?;
        Ok(Self {
            path: path.to_owned(),
            out: BufWriter::new(file),
        })
    }

    /// Writes an event down, if it is a decision. `t0_ns` is the trial's second 0.
    ///
    /// # Errors
    /// [`EngineError::Io`].
    pub fn write(
        &mut self,
        trial: &TrialStart,
        t0_ns: u64,
        event: &Event,
    ) -> Result<(), EngineError> {
        let Some(what) = What::of(&event.kind) else {
            return Ok(());
        };
        let decision = Decision {
            trial: trial.trial,
            arm: trial.arm.clone(),
            repeat: trial.repeat,
            t_us: crate::reducer::t_us(t0_ns, event.t_ns),
            service: event.service.clone(),
            what,
        };
        let line = serde_json::to_vec(&decision).map_err(std::io::Error::other);
        let written = line.and_then(|mut line| {
            line.push(b'\n');
            self.out.write_all(&line)
        });
        written.map_err(|e| EngineError::io(&self.path, e))
    }

    /// Ends the file.
    ///
    /// # Errors
    /// [`EngineError::Io`].
    pub fn finish(mut self) -> Result<(), EngineError> {
        self.out.flush().map_err(|e| EngineError::io(&self.path, e))
    }
}

#[cfg(test)]
mod tests;

//! `decisions.jsonl`: what each fault and each policy decided, and what came of it, one JSON
//! object a line, in the order in which it was told. With `requests.csv.zst` it is enough to
//! recompute a repeat's figures ([`recompute`](crate::recompute)).

mod compare;
mod line;

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use compare::{FaultHits, Hits, compare_hits};
pub use line::{Decision, LAB, On, What};

use crate::error::EngineError;
use crate::event::Event;
use crate::reducer::us;
use crate::runlog::{Entry, TrialStart};
use crate::scenario::RECOVERY_GRACE;

/// The file's name in a run's folder.
pub const FILE: &str = "decisions.jsonl";

/// Writes the file.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    out: BufWriter<File>,
    duration: Duration,
}

impl Writer {
    /// Begins a file at this path; `duration` is that of the load from second 0.
    ///
    /// # Errors
    /// [`EngineError::Io`].
    pub fn create(path: &Path, duration: Duration) -> Result<Self, EngineError> {
        let file = File::create(path).map_err(|e| EngineError::io(path, e))?;
        Ok(Self {
            path: path.to_owned(),
            out: BufWriter::new(file),
            duration,
        })
    }

    /// Writes an event down, if it belongs here. `t0_ns` is the trial's second 0.
    ///
    /// # Errors
    /// [`EngineError::Io`].
    pub fn write(&mut self, trial: u32, t0_ns: u64, event: &Event) -> Result<(), EngineError> {
        match Decision::of(trial, t0_ns, event) {
            Some(decision) => self.line(&decision),
            None => Ok(()),
        }
    }

    /// Writes down what a line of the run log says of faults and trials: this file has to be
    /// understood without that one.
    ///
    /// # Errors
    /// [`EngineError::Io`].
    pub fn log(&mut self, entry: &Entry) -> Result<(), EngineError> {
        let Some((trial, t_us, what)) = self.of_the_lab(entry) else {
            return Ok(());
        };
        self.line(&Decision {
            trial,
            t_us,
            service: LAB.to_owned(),
            what,
        })
    }

    fn of_the_lab(&self, entry: &Entry) -> Option<(u32, Option<i64>, What)> {
        Some(match entry {
            Entry::Trial(start) => (start.trial, None, self.trial(start)),
            Entry::Condition { trial, name, link } => {
                let (fault, link) = (name.clone(), link.clone());
                (*trial, None, What::Condition { fault, link })
            }
            Entry::Inject {
                trial,
                t_us,
                done_us,
                fault,
                link,
            } => {
                let what = What::Inject {
                    fault: fault.clone(),
                    link: link.clone(),
                    done_us: *done_us,
                };
                (*trial, Some(*t_us), what)
            }
            Entry::Clear {
                trial,
                t_us,
                done_us,
                fault,
                link,
            } => {
                let what = What::Clear {
                    fault: fault.clone(),
                    link: link.clone(),
                    done_us: *done_us,
                };
                (*trial, Some(*t_us), what)
            }
            Entry::Acted {
                trial,
                fault,
                by,
                acted,
                ..
            } => {
                let (fault, by) = (fault.clone(), by.clone());
                let acted = *acted;
                (*trial, None, What::Acted { fault, by, acted })
            }
            Entry::TrialEnd { trial, void, .. } => {
                (*trial, None, What::TrialEnd { void: void.clone() })
            }
            // Frames above all, which are many and large.
            _ => return None,
        })
    }

    fn trial(&self, start: &TrialStart) -> What {
        What::Trial {
            arm: start.arm.clone(),
            repeat: start.repeat,
            duration_us: us(self.duration),
            recovering_us: start.reset_us + us(RECOVERY_GRACE),
        }
    }

    fn line(&mut self, decision: &Decision) -> Result<(), EngineError> {
        let line = serde_json::to_vec(decision).map_err(std::io::Error::other);
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

/// Reads a file, line by line.
///
/// # Errors
/// [`EngineError::Io`] if it can't be opened or read; [`EngineError::Log`] for a line that is
/// none.
pub fn read(
    path: &Path,
) -> Result<impl Iterator<Item = Result<Decision, EngineError>> + use<>, EngineError> {
    let file = File::open(path).map_err(|e| EngineError::io(path, e))?;
    let path = path.to_owned();
    let lines = BufReader::new(file).lines().enumerate();
    Ok(lines.map(move |(i, line)| {
        let line = line.map_err(|e| EngineError::io(&path, e))?;
        serde_json::from_str(&line).map_err(|e| EngineError::Log {
            path: path.clone(),
            line: i + 1,
            why: e.to_string(),
        })
    }))
}

#[cfg(test)]
mod tests;

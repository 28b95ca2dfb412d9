//! The run log, `run.ndjson`: one JSON object a line, in the order in which
//! things became known. `result.json`, the live view and the report are made from
//! it and from nothing else.
//!
//! Times are whole microseconds from second 0 of the repeat (`t_us`; negative in
//! the warm-up), so that nothing is lost in writing and reading. A `trial` is one
//! try at one repeat of one arm; a void one is followed by another. Several
//! frames may carry the same second: they add up.

mod entry;
mod frame;
mod judged;

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

pub use entry::*;
pub use frame::*;
pub use judged::*;

use crate::error::EngineError;

/// The version of the run log and of `result.json`. A field more doesn't change it:
/// readers pass over what they don't know, and what a log doesn't have is read as
/// none of it.
pub const SCHEMA_VERSION: u32 = 1;

/// Writes a run log.
#[derive(Debug)]
pub struct RunLog {
    path: PathBuf,
    out: BufWriter<File>,
}

impl RunLog {
    /// Begins a log.
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

    /// Appends a line and hands it to the system, so that a reader can follow and
    /// a crash loses nothing that was written.
    ///
    /// # Errors
    /// [`EngineError::Io`].
    pub fn append(&mut self, entry: &Entry) -> Result<(), EngineError> {
        let mut line = serde_json::to_vec(entry)
            .map_err(|e| EngineError::io(&self.path, std::io::Error::other(e)))?;
        line.push(b'\n');
        let written = self.out.write_all(&line).and_then(|()| self.out.flush());
        written.map_err(|e| EngineError::io(&self.path, e))
    }
}

/// Reads a run log, line by line.
///
/// # Errors
/// [`EngineError::Io`], or [`EngineError::Log`] for a line that is none.
pub fn read(path: &Path) -> Result<Vec<Entry>, EngineError> {
    let file = File::open(path).map_err(|e| EngineError::io(path, e))?;
    let mut entries = Vec::new();
    for (i, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(|e| EngineError::io(path, e))?;
        let entry = serde_json::from_str(&line).map_err(|e| EngineError::Log {
            path: path.to_owned(),
            line: i + 1,
            why: e.to_string(),
        })?;
        entries.push(entry);
    }
    Ok(entries)
}

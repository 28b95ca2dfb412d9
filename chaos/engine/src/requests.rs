//! `requests.csv.zst`: one row a request, in the order in which they were counted. Written
//! as the run goes on, so that no run holds its requests in memory.
//!
//! RFC 4180, UTF-8, a header line, compressed with Zstandard: `zstd -dc requests.csv.zst`,
//! DuckDB, pandas and polars read it as it is.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use loadtest::{Op, Outcome, Record};
use serde::{Deserialize, Serialize};

use crate::error::EngineError;
use crate::reducer::Counted;
use crate::runlog::{Phase, TrialStart};

/// The file's name in a run's folder.
pub const FILE: &str = "requests.csv.zst";

/// Zstandard's level: about a tenth of the size at a few per cent of a core.
const LEVEL: i32 = 3;

/// Between two names in `faults`.
const SEPARATOR: char = ' ';

/// One request. Times are microseconds from second 0 of its repeat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The trial, as in `run.ndjson`; not every trial counts.
    pub trial: u32,
    /// Its arm.
    pub arm: String,
    /// Its repeat, from 1.
    pub repeat: u32,
    /// The arrival's number.
    pub index: u64,
    /// The `x-request-id`.
    pub request_id: String,
    /// The stream of the load.
    pub stream: String,
    /// What it did.
    pub op: Op,
    /// The priority it was sent with; empty without one.
    pub priority: Option<String>,
    /// When it was due.
    pub scheduled_us: i64,
    /// When it was sent.
    pub started_us: i64,
    /// When its answer had been read.
    pub ended_us: i64,
    /// The HTTP status; 0 if no answer began.
    pub status: u16,
    /// How it counts.
    pub outcome: Outcome,
    /// Its phase.
    pub phase: Phase,
    /// The faults it overlaps and the windows it was due in, with spaces between.
    pub faults: String,
    /// Attempts that the load made.
    pub attempts: u32,
    /// Whether its call on a faulted link was refused at its first attempt.
    pub refused: bool,
    /// Whether it was told when to come back.
    pub retry_after: bool,
    /// Bytes of the answer.
    pub bytes: u64,
    /// What went wrong on the way; empty if nothing did.
    pub error: Option<String>,
}

impl Row {
    /// The row of a counted request.
    #[must_use]
    pub fn new(trial: &TrialStart, counted: &Counted) -> Self {
        let Record {
            index,
            request_id,
            op,
            status,
            outcome,
            error,
            stream,
            priority,
            retry_after,
            attempts,
            bytes,
            ..
        } = counted.record.clone();
        Self {
            trial: trial.trial,
            arm: trial.arm.clone(),
            repeat: trial.repeat,
            index,
            request_id,
            stream,
            op,
            priority,
            scheduled_us: counted.scheduled_us,
            started_us: counted.started_us,
            ended_us: counted.ended_us,
            status,
            outcome,
            phase: counted.phase,
            faults: counted.faults.join(&SEPARATOR.to_string()),
            attempts,
            refused: counted.refused,
            retry_after,
            bytes,
            error,
        }
    }

    /// The faults and windows.
    pub fn faults(&self) -> impl Iterator<Item = &str> {
        self.faults.split(SEPARATOR).filter(|f| !f.is_empty())
    }
}

/// Writes the file.
pub struct Writer {
    path: PathBuf,
    out: csv::Writer<zstd::Encoder<'static, BufWriter<File>>>,
}

impl Writer {
    /// Begins a file at this path.
    ///
    /// # Errors
    /// [`EngineError::Io`].
    pub fn create(path: &Path) -> Result<Self, EngineError> {
        let io = |e| EngineError::io(path, e);
        let file = BufWriter::new(File::create(path).map_err(io)?);
        let out = csv::Writer::from_writer(zstd::Encoder::new(file, LEVEL).map_err(io)?);
        Ok(Self {
            path: path.to_owned(),
            out,
        })
    }

    /// Adds a request.
    ///
    /// # Errors
    /// [`EngineError::Io`].
    pub fn write(&mut self, trial: &TrialStart, counted: &Counted) -> Result<(), EngineError> {
        let row = Row::new(trial, counted);
        let written = self.out.serialize(row);
        written.map_err(|e| EngineError::io(&self.path, e.into()))
    }

    /// Ends the file. One that was not ended can be read up to its last whole block.
    ///
    /// # Errors
    /// [`EngineError::Io`].
    pub fn finish(self) -> Result<(), EngineError> {
        let io = |e| EngineError::io(&self.path, e);
        let encoder = self.out.into_inner().map_err(|e| io(e.into_error()))?;
        let mut file = encoder.finish().map_err(io)?;
        file.flush().map_err(io)
    }
}

/// Reads a file, row by row.
///
/// # Errors
/// [`EngineError::Io`] if it can't be opened or is no such file; a row that is none is an error of its own.
pub fn read(
    path: &Path,
) -> Result<impl Iterator<Item = Result<Row, EngineError>> + use<>, EngineError> {
    let io = |e| EngineError::io(path, e);
    let file = BufReader::new(File::open(path).map_err(io)?);
    let decoder = zstd::Decoder::new(file).map_err(io)?;
    let mut reader = csv::Reader::from_reader(decoder);
    // Asked for here, since the rows would pass over an error in it.
    reader.headers().map_err(|e| io(e.into()))?;
    let rows = reader.into_deserialize();
    let path = path.to_owned();
    Ok(rows.map(move |row| row.map_err(|e| EngineError::io(&path, e.into()))))
}

#[cfg(test)]
mod tests;

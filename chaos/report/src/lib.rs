//! `report.html`: one self-contained file for a run's folder.
//!
//! Its figures come from the run log, `run.ndjson`, and from nothing else; the
//! example traces, which illustrate, from `decisions.jsonl` and
//! `requests.csv.zst` where the folder has them. Verdict, tables and pictures are
//! in the HTML; the script only adds to them. It loads nothing and may load
//! nothing: its policy allows what is inlined, by hash.
#![warn(missing_docs)]

mod about;
mod charts;
mod checks;
mod compare;
mod data;
mod embed;
mod integrity;
pub mod map;
mod markdown;
mod markup;
mod page;
mod scale;
mod series;
mod story;
mod traces;
mod verdict;
mod words;

use std::path::{Path, PathBuf};

use chaos_engine::{EngineError, RunResult};

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The run log is missing, or no run log.
    #[error("no report without a run log: {0}")]
    Log(#[from] EngineError),
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl ReportError {
    fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }
}

/// Writes `report.html` into a run's folder and returns its path.
///
/// # Errors
/// [`ReportError::Log`] without a readable `run.ndjson`; [`ReportError::Io`].
pub fn write(dir: &Path) -> Result<PathBuf, ReportError> {
    let path = dir.join("report.html");
    whole(&path, &html(dir)?)?;
    Ok(path)
}

/// Writes a file whole or not at all: a reader must not find half a page.
fn whole(path: &Path, text: &str) -> Result<(), ReportError> {
    let half = path.with_extension("part");
    std::fs::write(&half, text).map_err(|e| ReportError::io(&half, e))?;
    std::fs::rename(&half, path).map_err(|e| ReportError::io(path, e))
}

fn html(dir: &Path) -> Result<String, ReportError> {
    let log = dir.join("run.ndjson");
    let result = RunResult::from_dir(dir)?;
    let header = &result.run.header;
    let scenario = header.scenario().map_err(EngineError::from)?;
    let data = data::Data::of(&result, &scenario);
    let traces = traces::of(&result, dir)?;
    Ok(page::page(&page::Parts {
        result: &result,
        scenario: &scenario,
        data: &data,
        traces: &traces,
        log: &embed::log(&log)?,
    }))
}

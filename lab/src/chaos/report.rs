//! The report of a run, once its files are written.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// Writes `report.html` beside the run's log.
///
/// # Errors
/// When the run's files can't be read, or the report can't be written.
pub fn write(dir: &Path) -> Result<Option<PathBuf>> {
    let written = chaos_report::write(dir);
    written
        .map(Some)
        .with_context(|| format!("the report of {}", dir.display()))
}

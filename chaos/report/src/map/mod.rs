//! A map: what a scenario was measured to do at several sizes of its trigger and its load, over
//! what the simulator says. `lab chaos run NAME --map` makes one; `map.json` is [`Map`].

mod data;
mod judge;
mod page;
mod picture;

use std::path::{Path, PathBuf};

pub use data::{ArmMap, Background, Map, MapPoint, Measured, SCHEMA_VERSION, Server, Simulated};
pub use judge::{Agreement, Standing, judge};

use crate::ReportError;

/// Writes `map.json`, `map.svg` and `map.html` into a folder, and returns the page's path.
///
/// # Errors
/// [`ReportError::Io`].
pub fn write(map: &Map, dir: &Path) -> Result<PathBuf, ReportError> {
    let page = dir.join("map.html");
    let json = serde_json::to_string_pretty(map)
        .map_err(|e| ReportError::io(&dir.join("map.json"), std::io::Error::other(e)))?;
    crate::whole(&dir.join("map.json"), &(json + "\n"))?;
    crate::whole(&dir.join("map.svg"), &picture::document(map))?;
    crate::whole(&page, &page::page(map))?;
    Ok(page)
}

#[cfg(test)]
mod tests;

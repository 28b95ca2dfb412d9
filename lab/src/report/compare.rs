//! Two runs of a scenario side by side.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use chaos_engine::RunResult;
use chaos_engine::compare::{self, Comparison};

use super::{CompareArgs, require_run};
use crate::exit::Exit;

/// Shows what got better and what got worse.
///
/// # Errors
/// When a folder holds no run, or the two can't be compared.
pub fn run(args: &CompareArgs) -> Result<Exit> {
    let (base, new) = (read(&args.base)?, read(&args.new)?);
    let found = compare::compare(&base, &new).map_err(|why| anyhow!(why))?;
    if args.json {
        println!("{}", found.to_json().context("JSON")?);
    } else {
        println!("{}", found.table().trim_end());
    }
    Ok(verdict(&found, args.gate))
}

fn read(dir: &Path) -> Result<RunResult> {
    require_run(dir)?;
    RunResult::from_dir(dir).with_context(|| format!("the run in {}", dir.display()))
}

/// Without the gate the comparison only informs.
fn verdict(found: &Comparison, gate: bool) -> Exit {
    if gate && found.regressed() {
        Exit::Failed
    } else {
        Exit::Held
    }
}

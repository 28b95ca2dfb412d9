//! `lab report`: a run's folder in the browser, and two runs side by side.

mod compare;
mod serve;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::{Args, Subcommand};

use crate::exit::Exit;

/// `lab report`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct ReportArgs {
    /// The run's folder
    #[arg(value_name = "DIR", required = true)]
    pub dir: Option<PathBuf>,
    /// Where to listen on loopback [default: a free port]
    #[arg(long, value_name = "N")]
    pub port: Option<u16>,
    #[command(subcommand)]
    pub command: Option<ReportCommand>,
}

/// `lab report …`
#[derive(Debug, Subcommand)]
pub enum ReportCommand {
    /// Two runs of a scenario side by side: what got better, what got worse
    Compare(CompareArgs),
}

/// `lab report compare`
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// The folder of the run to compare with
    pub base: PathBuf,
    /// The folder of the run to judge
    pub new: PathBuf,
    /// Exit 1 when something got worse
    #[arg(long)]
    pub gate: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Serves a folder, or compares two.
///
/// # Errors
/// When a folder is none of a run's, or the port is taken.
pub async fn run(args: &ReportArgs) -> Result<Exit> {
    match (&args.command, &args.dir) {
        (Some(ReportCommand::Compare(args)), _) => compare::run(args),
        (None, Some(dir)) => {
            require_run(dir)?;
            serve::run(dir, args.port).await
        }
        (None, None) => bail!("name a run's folder; `lab runs list` shows them"),
    }
}

/// Says so when it is a folder of something else.
fn require_run(dir: &Path) -> Result<()> {
    if !dir.is_dir() {
        bail!(
            "there is no folder {}; `lab runs list` shows the runs",
            dir.display()
        );
    }
    let known = [
        "report.html",
        "result.json",
        "run.ndjson",
        "load.json",
        "map.html",
    ];
    if !known.iter().any(|file| dir.join(file).exists()) {
        bail!(
            "{} holds no run: none of {} is there",
            dir.display(),
            known.join(", ")
        );
    }
    Ok(())
}

//! The pages: their lints and tests, and reports in a real browser.

use std::path::{Path, PathBuf};

use anyhow::Result;
use tokio::process::Command;

use super::Bench;
use super::cargo::check;
use super::tally::Tally;
use crate::text::which;

const NO_NODE: &str = "install Node 20.19 or newer, with npm";
const NO_BROWSER: &str = "install Chromium (Debian: apt-get install chromium)";

/// eslint, TypeScript's compiler and vitest. What npm needs is installed first.
pub async fn run(bench: &Bench<'_>, tally: &mut Tally) -> Result<()> {
    if which("npm").is_none() {
        tally.leave_out("the pages' lints and tests", NO_NODE);
        return Ok(());
    }
    install(bench, tally).await?;
    check("eslint and tsc", npm(bench, "run lint --silent"), tally).await?;
    check("vitest", npm(bench, "test --silent"), tally).await
}

async fn install(bench: &Bench<'_>, tally: &mut Tally) -> Result<()> {
    if bench.root.join("frontend/node_modules").is_dir() {
        return Ok(());
    }
    let install = npm(bench, "ci --no-audit --no-fund --silent");
    check("npm ci", install, tally).await
}

/// What vitest reaches of the pages, as a table and as HTML below `frontend/*/coverage`.
pub async fn coverage(bench: &Bench<'_>, tally: &mut Tally) -> Result<()> {
    if which("npm").is_none() {
        tally.leave_out("the pages' coverage", NO_NODE);
        return Ok(());
    }
    install(bench, tally).await?;
    let command = npm(bench, "run coverage --silent --workspaces --if-present");
    check("coverage of the pages", command, tally).await
}

/// Opens reports in Chromium: both themes, desktop and phone, with and without scripts.
pub async fn open(
    bench: &Bench<'_>,
    reports: &[PathBuf],
    pictures: &Path,
    tally: &mut Tally,
) -> Result<()> {
    const WHAT: &str = "reports in Chromium";
    let missing = [("npm", NO_NODE), ("chromium", NO_BROWSER)];
    if let Some((_, why)) = missing.iter().find(|(program, _)| which(program).is_none()) {
        tally.leave_out(WHAT, why);
        return Ok(());
    }
    let mut command = npm(bench, "run browser --silent --workspace report -- --out");
    command.arg(pictures).args(reports);
    check(WHAT, command, tally).await
}

fn npm(bench: &Bench<'_>, line: &str) -> Command {
    let mut command = Command::new("npm");
    command
        .args(line.split_whitespace())
        .current_dir(bench.root.join("frontend"));
    if let Some(chromium) = which("chromium") {
        command.env("CHROMIUM", chromium);
    }
    command
}

//! The shop's promises about orders and stock, live: under a storm of faults they hold, and on a
//! shop with a seeded defect the checker finds it.

use std::path::Path;

use anyhow::{Context as _, Result};
use chaos_engine::RunResult;
use chaos_engine::scenario::known::DEFECTS;
use tokio::process::Command;

use super::Bench;
use super::cargo::check;
use super::steps::{build_programs, run_of};
use super::tally::Tally;
use crate::place::target_dir;

/// A defect must be found within so many runs.
const RUNS: u64 = 5;

/// The scenario for defects: a short load, since a defect needs few orders to show.
const SHORT: &str = include_str!("defect.toml");

/// Defects that run live in a pull request: one a service, each another rule. At night all do.
const TELLING: [&str; 3] = ["key_after_effect", "double_release", "capture_twice"];

/// Defects that show only when a reservation expires, which takes longer than the short load: they
/// are found in virtual time (`cargo test -p chaos-integrity`), live by the whole scenario at night.
const SLOW: [&str; 2] = ["expiry_race", "commit_after_expiry"];

/// What the healthy runs must come to.
struct Counts {
    repeats: u32,
    quick: bool,
    orders: u64,
    faults: u64,
}

const PULL_REQUEST: Counts = Counts {
    repeats: 1,
    quick: false,
    orders: 3_000,
    faults: 30,
};

/// Also the 200 healthy runs in which nothing may raise an alarm.
const NIGHT: Counts = Counts {
    repeats: 200,
    quick: true,
    orders: 100_000,
    faults: 2_000,
};

/// Runs both.
pub async fn run(bench: &Bench<'_>, tally: &mut Tally) -> Result<()> {
    let programs = build_programs(bench).await?;
    let runs = target_dir(bench.root).join("lab-test-integrity");
    // What an earlier test left; that there is nothing is no error.
    let _ = std::fs::remove_dir_all(&runs);
    std::fs::create_dir_all(&runs).with_context(|| runs.display().to_string())?;
    let counts = if bench.night { NIGHT } else { PULL_REQUEST };
    healthy(bench, &programs, &runs.join("healthy"), &counts, tally).await?;
    let short = runs.join("defect.toml");
    std::fs::write(&short, SHORT).with_context(|| short.display().to_string())?;
    for (defect, _) in DEFECTS {
        if bench.night || TELLING.contains(&defect) {
            let what = Defective {
                bench,
                programs: &programs,
                defect,
                scenario: if SLOW.contains(&defect) {
                    None
                } else {
                    Some(&short)
                },
            };
            let found = what.found(&runs).await?;
            tally.check(&format!("{defect} is found within {RUNS} runs"), found);
        }
    }
    Ok(())
}

async fn healthy(
    bench: &Bench<'_>,
    programs: &Path,
    out: &Path,
    counts: &Counts,
    tally: &mut Tally,
) -> Result<()> {
    let mut run = run_of(bench, programs, ("integrity", out))?;
    run.args(["--repeats", &counts.repeats.to_string()]);
    if counts.quick {
        run.arg("--quick");
    }
    check("lab chaos run integrity", run, tally).await?;
    let (orders, faults) = match RunResult::load(out) {
        Ok(result) => (sum(&result, "orders"), sum(&result, "faults")),
        Err(_) => (0, 0),
    };
    let enough = orders >= counts.orders && faults >= counts.faults;
    tally.check(
        &format!(
            "integrity: {orders} orders and {faults} faults, of {} and {}",
            counts.orders, counts.faults
        ),
        enough,
    );
    Ok(())
}

fn sum(result: &RunResult, name: &str) -> u64 {
    let repeats = result.arms.iter().flat_map(|arm| &arm.repeats);
    let judged = repeats.filter_map(|repeat| repeat.judged.as_ref());
    judged.map(|judged| judged.count(name)).sum()
}

/// A shop with a defect.
struct Defective<'a> {
    bench: &'a Bench<'a>,
    programs: &'a Path,
    defect: &'static str,
    /// The scenario; `None` for `integrity` as it is.
    scenario: Option<&'a Path>,
}

impl Defective<'_> {
    async fn found(&self, runs: &Path) -> Result<bool> {
        for seed in 1..=RUNS {
            let out = runs.join(format!("{}-{seed}", self.defect));
            eprintln!("--- {}, run {seed}", self.defect);
            let mut run = self.command(seed, &out)?;
            // Its status is a failed check's; what counts is what the checker says.
            let status = run.kill_on_drop(true).status().await;
            status.with_context(|| format!("cannot run {}", self.defect))?;
            if is_broken(&out) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn command(&self, seed: u64, out: &Path) -> Result<Command> {
        let name = self
            .scenario
            .map(|path| path.to_string_lossy().into_owned());
        let name = name.as_deref().unwrap_or("integrity");
        let mut run = run_of(self.bench, self.programs, (name, out))?;
        run.args(["--repeats", "1", "--defect", self.defect, "--seed"])
            .arg(seed.to_string())
            .stdin(std::process::Stdio::null());
        Ok(run)
    }
}

fn is_broken(out: &Path) -> bool {
    let Ok(result) = RunResult::load(out) else {
        return false;
    };
    let repeats = result.arms.iter().flat_map(|arm| &arm.repeats);
    let mut judged = repeats.filter_map(|repeat| repeat.judged.as_ref());
    judged.any(|judged| judged.verdict == "broken")
}

#[cfg(test)]
mod tests {
    use chaos_engine::Scenario;

    use super::*;

    #[test]
    fn the_short_scenario_is_sound_and_the_defects_are_known() {
        let scenario = Scenario::parse(SHORT, "defect.toml").unwrap_or_else(|e| panic!("{e}"));
        assert!(scenario.warnings.is_empty());
        let known = |name: &&str| DEFECTS.iter().any(|(defect, _)| defect == name);
        assert!(TELLING.iter().chain(&SLOW).all(known));
    }

    #[test]
    fn a_run_without_a_judgement_has_found_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!is_broken(dir.path()));
    }
}

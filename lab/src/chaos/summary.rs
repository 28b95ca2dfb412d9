//! What a run came to, and several of them at a glance.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use chaos_engine::{RunResult, Verdict};
use tokio::time::Instant;

use crate::exit::Exit;
use crate::text;

/// Shows a run's table, and where its files are.
///
/// # Errors
/// When the report can't be written.
pub fn show(result: &RunResult, out: &Path) -> Result<()> {
    println!("{}\n", result.table().trim_end());
    let report =
        chaos_report::write(out).with_context(|| format!("the report of {}", out.display()))?;
    let named = [
        ("result", out.join("result.json")),
        ("junit", out.join("junit.xml")),
        ("report", report),
    ];
    for (what, path) in named {
        if path.exists() {
            println!("{what:<7} {}", path.display());
        }
    }
    Ok(())
}

/// The runs of a `run all`.
pub struct Summary {
    since: Instant,
    rows: Vec<Row>,
}

struct Row {
    scenario: String,
    verdict: String,
    checks: String,
    took: Duration,
    out: PathBuf,
}

impl Summary {
    /// Nothing has been run yet.
    pub fn new() -> Self {
        Self {
            since: Instant::now(),
            rows: Vec::new(),
        }
    }

    /// A run that has ended.
    pub fn ended(&mut self, result: &RunResult, took: Duration, out: &Path) {
        self.rows.push(Row {
            scenario: result.scenario.clone(),
            verdict: result.verdict.words().to_owned(),
            checks: checks(result.checks.iter().map(|check| check.verdict)),
            took,
            out: out.to_owned(),
        });
    }

    /// A scenario that could not be run.
    pub fn failed(&mut self, scenario: &str, took: Duration) {
        self.rows.push(Row {
            scenario: scenario.to_owned(),
            verdict: "COULD NOT RUN".to_owned(),
            checks: "-".to_owned(),
            took,
            out: PathBuf::new(),
        });
    }

    /// One line for each, and the time of all.
    pub fn print(&self, worst: Exit) {
        let mut rows = vec![text::row([
            "scenario", "verdict", "checks", "took", "files",
        ])];
        rows.extend(self.rows.iter().map(|row| {
            text::row([
                &row.scenario,
                &row.verdict,
                &row.checks,
                &clock(row.took),
                &row.out.display().to_string(),
            ])
        }));
        println!("\n{}", text::table(&rows));
        println!(
            "{} scenarios in {}, exit status {}",
            self.rows.len(),
            clock(self.since.elapsed()),
            worst.code()
        );
    }
}

/// `9 pass, 1 fail, 2 inconclusive`, without those that are none.
fn checks(verdicts: impl Iterator<Item = Verdict> + Clone) -> String {
    let count = |wanted| verdicts.clone().filter(|v| *v == wanted).count();
    let counts = [
        (count(Verdict::Pass), "pass"),
        (count(Verdict::Fail), "fail"),
        (count(Verdict::Inconclusive), "inconclusive"),
    ];
    let some = counts.iter().filter(|(n, _)| *n > 0);
    some.map(|(n, word)| format!("{n} {word}"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn clock(took: Duration) -> String {
    let seconds = took.as_secs();
    format!("{}:{:02} min", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_counted_by_verdict() {
        use Verdict::{Fail, Inconclusive, Pass};
        let told = |verdicts: &[Verdict]| checks(verdicts.iter().copied());
        assert_eq!(told(&[Pass, Fail, Pass]), "2 pass, 1 fail");
        assert_eq!(told(&[Inconclusive]), "1 inconclusive");
    }

    #[test]
    fn times_are_told_in_minutes() {
        assert_eq!(clock(Duration::from_secs(7 * 60 + 5)), "7:05 min");
    }
}

//! `lab test --coverage`: how much of the code the unit tests reach, by cargo-llvm-cov.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::Bench;
use super::cargo::{check, test};
use super::pages;
use super::steps::cargo;
use super::tally::Tally;
use crate::place::target_dir;
use crate::text::{self, which};

/// What must be reached to [`FLOOR`], and the folders that it is.
const GUARDED: [(&str, &[&str]); 3] = [
    ("resilience", &["resilience/src/"]),
    ("saga", &["services/order/src/saga/"]),
    ("auth", &["services/kit/src/auth/", "services/user/src/"]),
];
/// Percent of lines.
const FLOOR: f64 = 90.0;

/// What `cargo llvm-cov report --json` writes, as far as it is read.
#[derive(Deserialize)]
struct Report {
    data: Vec<Data>,
}

#[derive(Deserialize)]
struct Data {
    files: Vec<File>,
}

#[derive(Deserialize)]
struct File {
    filename: String,
    summary: Summary,
}

#[derive(Deserialize)]
struct Summary {
    lines: Lines,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
struct Lines {
    count: u64,
    covered: u64,
}

impl Lines {
    fn add(&mut self, other: Self) {
        self.count += other.count;
        self.covered += other.covered;
    }

    /// 0 of nothing: what is gone was not reached.
    #[expect(clippy::cast_precision_loss, reason = "lines of code")]
    fn percent(self) -> f64 {
        100.0 * self.covered as f64 / self.count.max(1) as f64
    }
}

/// Runs the unit tests of the workspace and of the pages, prints what they reach, and fails where
/// [`GUARDED`] code is reached too little.
///
/// # Errors
/// When cargo can't be started, or its report can't be read.
pub async fn run(bench: &Bench<'_>, tally: &mut Tally) -> Result<()> {
    pages::coverage(bench, tally).await?;
    if which("cargo-llvm-cov").is_none() {
        tally.leave_out(
            "coverage",
            "install it with `cargo install --locked cargo-llvm-cov` and `rustup component add llvm-tools`",
        );
        return Ok(());
    }
    let out = target_dir(bench.root).join("coverage");
    std::fs::create_dir_all(&out).context("a folder for the coverage")?;
    let tests = "llvm-cov --no-report --release --workspace --no-fail-fast";
    test("cargo llvm-cov", cargo(bench, tests), tally).await?;
    let mut html = cargo(bench, "llvm-cov report --release --html --output-dir");
    html.arg(&out);
    check("coverage as HTML", html, tally).await?;
    let json = out.join("coverage.json");
    let line = "llvm-cov report --release --json --summary-only --output-path";
    let mut summary = cargo(bench, line);
    summary.arg(&json);
    check("coverage as JSON", summary, tally).await?;
    let text = std::fs::read_to_string(&json).context("the coverage's summary")?;
    let report: Report = serde_json::from_str(&text).context("the coverage's summary")?;
    judge(&report, bench.root, tally);
    println!("{}", out.join("html/index.html").display());
    Ok(())
}

fn judge(report: &Report, root: &Path, tally: &mut Tally) {
    let files: Vec<(&str, Lines)> = report
        .data
        .iter()
        .flat_map(|data| &data.files)
        .filter_map(|file| {
            let path = Path::new(&file.filename).strip_prefix(root).ok()?;
            Some((path.to_str()?, file.summary.lines))
        })
        .collect();
    let mut rows = vec![text::row(["code", "lines", "reached", "%"])];
    for (name, lines) in parts(&files) {
        rows.push(row(&name, lines));
    }
    for (name, folders) in GUARDED {
        let lines = within(&files, folders);
        rows.push(row(&format!("{name} (≥ {FLOOR} %)"), lines));
        let what = format!("{name}: {:.1} % of lines reached", lines.percent());
        tally.check(&what, lines.percent() >= FLOOR);
    }
    println!("\n{}", text::table(&rows));
}

/// The lines of each crate, by its folder.
fn parts(files: &[(&str, Lines)]) -> BTreeMap<String, Lines> {
    let mut parts = BTreeMap::<String, Lines>::new();
    for (path, lines) in files {
        let part = path.split("/src/").next().unwrap_or(path);
        parts.entry(part.to_owned()).or_default().add(*lines);
    }
    parts
}

fn within(files: &[(&str, Lines)], folders: &[&str]) -> Lines {
    let mut sum = Lines::default();
    for (path, lines) in files {
        if folders.iter().any(|folder| path.starts_with(folder)) {
            sum.add(*lines);
        }
    }
    sum
}

fn row(name: &str, lines: Lines) -> Vec<String> {
    text::row([
        name,
        &lines.count.to_string(),
        &lines.covered.to_string(),
        &format!("{:.1}", lines.percent()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(saga: u64) -> Report {
        let file = |name: &str, covered: u64| {
            serde_json::json!({
                "filename": format!("/r/{name}"),
                "summary": { "lines": { "count": 100, "covered": covered, "percent": 1.0 } },
            })
        };
        let files = [
            file("resilience/src/lib.rs", 90),
            file("services/order/src/saga/drive.rs", saga),
            file("services/order/src/main.rs", 0),
            file("services/kit/src/auth/keys.rs", 85),
            file("services/user/src/keys.rs", 95),
        ];
        serde_json::from_value(serde_json::json!({ "data": [{ "files": files }] })).unwrap()
    }

    #[test]
    fn what_is_guarded_fails_below_the_floor() {
        for (saga, failed) in [(90, 0), (89, 1)] {
            let mut tally = Tally::default();
            judge(&report(saga), Path::new("/r"), &mut tally);
            assert_eq!((tally.passed, tally.failed), (3 - failed, failed));
        }
    }

    #[test]
    fn code_that_is_gone_is_not_reached() {
        let mut tally = Tally::default();
        judge(&report(100), Path::new("/elsewhere"), &mut tally);
        assert_eq!(tally.failed, 3);
    }
}

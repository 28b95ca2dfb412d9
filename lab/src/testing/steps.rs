//! The steps of `lab test`.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use tokio::process::Command;

use super::Bench;
use super::cargo::{check, test};
use super::tally::Tally;
use super::{coverage, integrity, night, pages};
use crate::chaos::catalogue;
use crate::compile;
use crate::place::{Place, target_dir};
use crate::progress::Progress;
use crate::shim;
use crate::text::which;

/// Runs one step.
pub async fn run(part: &str, bench: &Bench<'_>) -> Result<Tally> {
    let mut tally = Tally::default();
    match part {
        "lint" => lint(bench, &mut tally).await?,
        "pages" => pages::run(bench, &mut tally).await?,
        "unit" => unit(bench, &mut tally).await?,
        "conformance" => conformance(bench, &mut tally).await?,
        "system" => system(bench, &mut tally).await?,
        "scenario" => scenarios(bench, &mut tally).await?,
        "coverage" => coverage::run(bench, &mut tally).await?,
        "integrity" => integrity::run(bench, &mut tally).await?,
        other => bail!("no step {other}"),
    }
    Ok(tally)
}

/// Cargo in the source tree, with what is said once for all steps.
pub fn cargo(bench: &Bench<'_>, line: &str) -> Command {
    let mut command = compile::cargo(bench.root);
    command.args(line.split_whitespace());
    if bench.require_all {
        command.env("LAB_REQUIRE_ALL", "1");
    }
    if bench.night {
        // Tests that have a long count look at this.
        command.env("NIGHT", "1");
    }
    command
}

/// Cargo in the workspace of the foreign client, which keeps its own lock file and output.
fn foreign(bench: &Bench<'_>, line: &str) -> Command {
    let mut command = cargo(bench, line);
    command
        .current_dir(bench.root.join("chaos/conformance"))
        .env(
            "CARGO_TARGET_DIR",
            target_dir(bench.root).join("conformance"),
        );
    command
}

/// Formatting and warnings. Each tool that is not installed is named.
async fn lint(bench: &Bench<'_>, tally: &mut Tally) -> Result<()> {
    const CLIPPY: &str = "clippy --release --workspace --lib --bins --tests --benches --examples \
                          --test system -- -D warnings";
    const DOCS: &str = "doc --release --workspace --lib --no-deps --quiet";
    const FOREIGN: &str = "clippy --all-targets -- -D warnings";
    if which("cargo-fmt").is_some() {
        check("cargo fmt", cargo(bench, "fmt --all --check"), tally).await?;
        check(
            "cargo fmt (conformance)",
            foreign(bench, "fmt --all --check"),
            tally,
        )
        .await?;
    } else {
        tally.leave_out(
            "cargo fmt",
            "install it with `rustup component add rustfmt`",
        );
    }
    if which("cargo-clippy").is_some() {
        check("cargo clippy", cargo(bench, CLIPPY), tally).await?;
        let mut docs = cargo(bench, DOCS);
        docs.env("RUSTDOCFLAGS", "-D warnings");
        check("cargo doc", docs, tally).await?;
        match why_no_foreign_client() {
            None => check("cargo clippy (conformance)", foreign(bench, FOREIGN), tally).await?,
            Some(why) => tally.leave_out("cargo clippy (conformance)", why),
        }
    } else {
        tally.leave_out(
            "cargo clippy",
            "install it with `rustup component add clippy`",
        );
    }
    if which("cargo-deny").is_some() {
        // Not the advisories: their database would have to be fetched.
        let deny = cargo(bench, "deny --log-level error check bans licenses sources");
        check("cargo deny", deny, tally).await
    } else {
        tally.leave_out(
            "cargo deny",
            "install it with `cargo install --locked cargo-deny`",
        );
        Ok(())
    }
}

/// All tests of all crates, their documentation's examples among them.
async fn unit(bench: &Bench<'_>, tally: &mut Tally) -> Result<()> {
    let line = "test --release --workspace --no-fail-fast";
    test("cargo test", cargo(bench, line), tally).await?;
    if bench.night {
        night::counts(bench, tally).await?;
    }
    Ok(())
}

/// A published Toxiproxy client against our fault proxy and, where installed, the real one; the
/// tests themselves say which of them were left out.
async fn conformance(bench: &Bench<'_>, tally: &mut Tally) -> Result<()> {
    if let Some(why) = why_no_foreign_client() {
        tally.leave_out("conformance", why);
        return Ok(());
    }
    let ours = build_programs(bench).await?.join("chaos-proxy");
    let mut command = foreign(bench, "test --no-fail-fast");
    command.env("CHAOS_PROXY_BIN", ours);
    test("conformance", command, tally).await
}

/// The foreign client links the system's OpenSSL.
fn why_no_foreign_client() -> Option<&'static str> {
    let found = std::env::var_os("OPENSSL_DIR").is_some()
        || [
            "/usr/include/openssl/ssl.h",
            "/usr/local/include/openssl/ssl.h",
        ]
        .iter()
        .any(|header| Path::new(header).exists())
        || std::process::Command::new("pkg-config")
            .args(["--exists", "openssl"])
            .status()
            .is_ok_and(|status| status.success());
    (!found).then_some("OpenSSL's headers are missing: install libssl-dev and pkg-config")
}

/// The lab as its users have it: real processes, real ports, kill -9.
async fn system(bench: &Bench<'_>, tally: &mut Tally) -> Result<()> {
    let dir = build_programs(bench).await?;
    // The whole workspace, so that features are those of the other tests and nothing is rebuilt;
    // one test at a time, because they measure.
    let line = "test --release --workspace --test system --no-fail-fast -- --test-threads=1";
    let mut command = cargo(bench, line);
    command.env("LAB_BIN_DIR", dir);
    test("system", command, tally).await
}

/// Scenarios that run live: one for each way of breaking something (a link down, a fault a request,
/// a process, silence, too little capacity), in their quick form.
const LIVE: [&str; 6] = [
    "product-outage",
    "layers",
    "user-crash",
    "black-hole",
    "slow-database",
    "priority",
];

/// They must hold, and their reports must open in a browser. At night all scenarios run, and
/// each without what its checks are about, which then must not hold.
async fn scenarios(bench: &Bench<'_>, tally: &mut Tally) -> Result<()> {
    let programs = build_programs(bench).await?;
    let runs = target_dir(bench.root).join("lab-test-runs");
    // What an earlier test left; that there is nothing is no error.
    let _ = std::fs::remove_dir_all(&runs);
    let names = if bench.night {
        catalogue::names(&Place::resolve(bench.global)?)?
    } else {
        LIVE.map(str::to_owned).to_vec()
    };
    let mut reports = Vec::new();
    for name in &names {
        let out = runs.join("held").join(name);
        let run = scenario(bench, &programs, (name, &out))?;
        check(&format!("lab chaos run {name} --quick"), run, tally).await?;
        reports.push(out.join("report.html"));
    }
    for name in names.iter().filter(|_| bench.night) {
        let out = runs.join("control").join(name);
        let mut run = scenario(bench, &programs, (name, &out))?;
        run.arg("--negative-control");
        let what = format!("lab chaos run {name} --quick --negative-control");
        check(&what, run, tally).await?;
    }
    pages::open(bench, &reports, &runs.join("pictures"), tally).await
}

/// A scenario's quick form, live.
fn scenario(bench: &Bench<'_>, programs: &Path, run: (&str, &Path)) -> Result<Command> {
    let mut command = run_of(bench, programs, run)?;
    command.arg("--quick");
    Ok(command)
}

/// A scenario, live.
pub(super) fn run_of(
    bench: &Bench<'_>,
    programs: &Path,
    (name, out): (&str, &Path),
) -> Result<Command> {
    let mut command = Command::new(shim::this_program()?);
    command
        .args(["chaos", "run", name, "--bin-dir"])
        .arg(programs)
        .arg("--out")
        .arg(out)
        .current_dir(bench.root)
        .process_group(0);
    if let Some(data) = &bench.global.data {
        command.arg("--data").arg(data);
    }
    Ok(command)
}

pub(super) async fn build_programs(bench: &Bench<'_>) -> Result<std::path::PathBuf> {
    if let Some(dir) = &bench.global.bin_dir {
        return Ok(dir.clone());
    }
    let progress = Progress::new();
    let programs = compile::programs_of_the_tests(bench.root, &progress).await;
    programs
        .map(|programs| programs.dir())
        .context("the shop's programs")
}

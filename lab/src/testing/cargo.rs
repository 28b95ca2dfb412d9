//! Runs cargo and counts what its tests said.

use std::process::Stdio;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use super::tally::Tally;

/// Runs a command that is one check: it passes when its status is 0.
///
/// # Errors
/// When it can't be started.
pub async fn check(name: &str, mut command: Command, tally: &mut Tally) -> Result<()> {
    eprintln!("--- {name}");
    let status = command
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .status()
        .await
        .with_context(|| format!("cannot run {name}"))?;
    tally.check(name, status.success());
    Ok(())
}

/// Runs a `cargo test`, shows its output, and counts the tests. A status that no counted failure
/// explains (it did not compile, it crashed) is a failure of its own.
///
/// # Errors
/// When it can't be started or its output can't be read.
pub async fn test(name: &str, mut command: Command, tally: &mut Tally) -> Result<()> {
    eprintln!("--- {name}");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot run {name}"))?;
    let mut lines = BufReader::new(child.stdout.take().context("test output")?).lines();
    let mut counted = Tally::default();
    while let Some(line) = lines.next_line().await.context("test output")? {
        println!("{line}");
        counted.read(&line);
    }
    counted.settle();
    let status = child
        .wait()
        .await
        .with_context(|| format!("cannot run {name}"))?;
    if !status.success() && counted.failed == 0 {
        counted.fail(&format!("{name} (did not compile or crashed: {status})"));
    }
    if status.success() && counted.passed == 0 && counted.skipped() == 0 {
        counted.fail(&format!("{name} (no test ran)"));
    }
    tally.add(&counted);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn a_build_that_fails_is_a_failure_though_no_test_was_counted() {
        let mut tally = Tally::default();
        test("unit", sh("exit 101"), &mut tally).await.unwrap();
        assert_eq!((tally.passed, tally.failed), (0, 1));
    }

    #[tokio::test]
    async fn a_run_without_tests_is_no_success() {
        let mut tally = Tally::default();
        test("unit", sh("true"), &mut tally).await.unwrap();
        assert_eq!((tally.passed, tally.failed), (0, 1));
    }

    #[tokio::test]
    async fn counted_tests_are_taken_over() {
        let mut tally = Tally::default();
        let line = "test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out";
        test("unit", sh(&format!("echo '{line}'")), &mut tally)
            .await
            .unwrap();
        check("fmt", sh("exit 1"), &mut tally).await.unwrap();
        assert_eq!((tally.passed, tally.failed), (5, 1));
        assert_eq!(tally.failures, ["fmt"]);
    }
}

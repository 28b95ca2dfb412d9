//! What `lab test --night` adds to the tests of a pull request: the same tests, with more cases.
//! How many is said here and nowhere else; a test reads it from `CASES`.

use anyhow::Result;
use tokio::process::Command;

use super::Bench;
use super::cargo::test;
use super::steps::cargo;
use super::tally::Tally;

/// A test, and how many cases of it a night has.
struct Count {
    what: &'static str,
    /// Where the test stands.
    file: &'static str,
    /// Which test binary that is, in cargo's words.
    target: &'static str,
    /// Which of its tests: a part of the name, or of the module's.
    filter: &'static str,
    cases: u32,
}

const COUNTS: [Count; 11] = [
    Count {
        what: "one key, 32 at once: keys",
        file: "services/order/tests/it/idempotency.rs",
        target: "--test it",
        filter: "one_key_32_at_once",
        cases: 1000,
    },
    Count {
        what: "100 buyers, 10 units: times",
        file: "services/product/tests/it/stock.rs",
        target: "--test it",
        filter: "of_100_buyers",
        cases: 1000,
    },
    Count {
        what: "commit at expiry ± 5 ms: times",
        file: "services/product/tests/it/expiry.rs",
        target: "--test it",
        filter: "at_the_moment_of_expiry",
        cases: 10_000,
    },
    Count {
        what: "SQLITE_BUSY: pairs of writes by each of 64 clients",
        file: "services/product/tests/it/stock.rs",
        target: "--test it",
        filter: "never_meet_a_busy",
        cases: 8000,
    },
    Count {
        what: "virtual time: seeds, each twice",
        file: "services/order/tests/virtual_time/main.rs",
        target: "--test virtual_time",
        filter: "repeat_byte_for_byte",
        cases: 200_000,
    },
    Count {
        what: "virtual time: seeds of 50 faults and more",
        file: "services/order/tests/virtual_time/main.rs",
        target: "--test virtual_time",
        filter: "fifty_faults",
        cases: 200_000,
    },
    Count {
        what: "log-in timing: pairs",
        file: "services/user/tests/attacks/guessing.rs",
        target: "--test attacks",
        filter: "unknown_and_wrong",
        cases: 2000,
    },
    Count {
        what: "tokens: cases",
        file: "services/kit/tests/auth/properties.rs",
        target: "--test auth",
        filter: "properties",
        cases: 1_000_000,
    },
    Count {
        what: "streams of requests: cases",
        file: "services/kit/src/http/wire/fuzz.rs",
        target: "--lib",
        filter: "wire::fuzz",
        cases: 1_000_000,
    },
    Count {
        what: "the fault proxy's API: cases",
        file: "chaos/proxy/src/api_fuzz.rs",
        target: "--lib",
        filter: "api_fuzz",
        cases: 1_000_000,
    },
    Count {
        what: "scenario files and event lines: cases",
        file: "chaos/engine/tests/fuzz.rs",
        target: "--test fuzz",
        filter: "read_or",
        cases: 1_000_000,
    },
];

/// Runs them, one after the other, and says how each was counted.
///
/// # Errors
/// When cargo can't be started.
pub async fn counts(bench: &Bench<'_>, tally: &mut Tally) -> Result<()> {
    for count in &COUNTS {
        let what = format!("{} {} ({})", count.what, count.cases, count.file);
        test(&what, command(bench, count), tally).await?;
    }
    Ok(())
}

/// The whole workspace's features, so that nothing is rebuilt. What a test prints is shown: some
/// say what they saw.
fn command(bench: &Bench<'_>, count: &Count) -> Command {
    let (target, filter) = (count.target, count.filter);
    let line =
        format!("test --release --workspace {target} -- {filter} --include-ignored --show-output");
    let mut command = cargo(bench, &line);
    command.env("CASES", count.cases.to_string());
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn every_count_is_of_a_test_that_reads_it() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for count in &COUNTS {
            let text = std::fs::read_to_string(root.join(count.file)).unwrap();
            assert!(text.contains("\"CASES\""), "{}", count.file);
            let module = count.filter.replace("::", "/");
            let known = text.contains(count.filter) || count.file.contains(&module);
            assert!(known, "no {} in {}", count.filter, count.file);
        }
    }
}

//! `lab test`: every test this machine can run, counted, with what was left out and why.

#[cfg(test)]
mod attacks;
mod cargo;
mod coverage;
#[cfg(test)]
mod floors;
mod integrity;
mod night;
mod pages;
mod steps;
mod tally;

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use tokio::time::Instant;

use crate::cli::{Global, TestArgs};
use crate::exit::Exit;
use crate::interrupt::Interrupt;
use crate::place::Place;
use crate::text;
use tally::Tally;

/// The parts in the order in which they run.
const PARTS: [&str; 7] = [
    "lint",
    "pages",
    "unit",
    "conformance",
    "system",
    "scenario",
    "integrity",
];

/// What the steps need to know.
struct Bench<'a> {
    global: &'a Global,
    root: &'a Path,
    require_all: bool,
    night: bool,
}

struct Done {
    part: &'static str,
    tally: Tally,
    seconds: f64,
}

/// `lab test`
///
/// # Errors
/// Outside the source tree, for an unknown part, or when a step can't be started.
pub async fn run(global: &Global, args: &TestArgs) -> Result<Exit> {
    let chosen = if args.coverage {
        vec!["coverage"]
    } else {
        choose(&args.parts)?
    };
    let place = Place::resolve(global)?;
    let root = place
        .root
        .clone()
        .context("tests need the source tree: change to it first")?;
    let bench = Bench {
        global,
        root: &root,
        require_all: args.require_all,
        night: args.night,
    };
    let mut interrupt = Interrupt::listen()?;
    let mut done = Vec::new();
    for part in chosen {
        eprintln!("\n=== {part}");
        let since = Instant::now();
        let tally = tokio::select! {
            tally = Box::pin(steps::run(part, &bench)) => tally?,
            signal = interrupt.wait() => bail!("interrupted by {signal} during {part}"),
        };
        done.push(Done {
            part,
            tally,
            seconds: since.elapsed().as_secs_f64(),
        });
    }
    Ok(summary(&done, args.require_all))
}

fn choose(asked: &[String]) -> Result<Vec<&'static str>> {
    for name in asked {
        if !PARTS.contains(&name.as_str()) {
            let hint = text::suggest(name, PARTS.into_iter());
            bail!(
                "there is no test part {name:?}{hint}; the parts are {}",
                PARTS.join(", ")
            );
        }
    }
    let wanted = |part: &&str| asked.is_empty() || asked.iter().any(|name| name == part);
    Ok(PARTS.into_iter().filter(wanted).collect())
}

/// Prints the table, the names of what failed or was left out, and the line that counts.
fn summary(done: &[Done], require_all: bool) -> Exit {
    let mut total = Tally::default();
    let mut rows = vec![text::row([
        "part", "passed", "failed", "skipped", "seconds",
    ])];
    for step in done {
        let counts = [step.tally.passed, step.tally.failed, step.tally.skipped()];
        let [passed, failed, skipped] = counts.map(|count| count.to_string());
        let seconds = format!("{:.0}", step.seconds);
        rows.push(text::row([step.part, &passed, &failed, &skipped, &seconds]));
        total.add(&step.tally);
    }
    println!("\n{}", text::table(&rows));
    for failure in &total.failures {
        println!("failed: {failure}");
    }
    for left_out in &total.left_out {
        println!("left out: {left_out}");
    }
    if require_all && total.skipped() > 0 {
        println!("--require-all: what was left out counts as failed");
        total.fail_what_was_left_out();
    }
    println!(
        "{} passed, {} failed, {} skipped",
        total.passed,
        total.failed,
        total.skipped()
    );
    if total.failed > 0 {
        Exit::Failed
    } else {
        Exit::Held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_run_in_their_order_whatever_was_asked_first() {
        assert_eq!(choose(&[]).unwrap(), PARTS);
        let asked = ["scenario".to_owned(), "lint".to_owned()];
        assert_eq!(choose(&asked).unwrap(), ["lint", "scenario"]);
        let error = choose(&["unti".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("did you mean \"unit\""), "{error}");
    }

    #[test]
    fn something_left_out_fails_only_when_all_is_required() {
        let step = || {
            let mut tally = Tally::default();
            tally.check("ours", true);
            tally.leave_out("conformance with the real Toxiproxy", "not installed");
            [Done {
                part: "conformance",
                tally,
                seconds: 1.0,
            }]
        };
        assert_eq!(summary(&step(), false), Exit::Held);
        assert_eq!(summary(&step(), true), Exit::Failed);
    }
}

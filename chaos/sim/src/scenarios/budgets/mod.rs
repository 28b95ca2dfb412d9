//! `budgets`: what a budget does to the load of retries, and what it costs in success.
//!
//! A call makes up to 4 attempts, at once one after the other, through a slot with one of several
//! budgets. Without one (`fixed`), failures of 10 % cost 11 % more load, and an outage four times
//! the load. A token bucket that only retries take from (0.1 for each success, 1 for each retry)
//! bounds that: while it is spent, load is 1/(1 − 0.1·(1 − p)) and success (1 − p) times that, so
//! an outage brings no more than the calls themselves. The budgets of gRPC, the AWS SDKs, Finagle
//! and Envoy run beside it, with the same attempts, for comparison: for these there is no closed
//! form, they are measured only.
//!
//! A bucket begins full, and would do as if there were no budget until it is spent. So the
//! dependency is down at first, which empties every budget, and only what comes after the
//! longest of their memories is counted: figures are those of the long run.
//!
//! Source: M. Brooker, "Fixing retries with token buckets and circuit breakers", 2022; the others
//! are the presets' (gRFC A6; AWS SDKs and Tools Reference Guide; Finagle's and Envoy's retry
//! budgets).

mod arms;
mod world;

use super::list;
use crate::error::{SimError, all_within, within};
use crate::report::chart::{Axis, Chart, Lines, Panel, Series, Style};
use crate::report::{Outcome, Rows, Table, Value};
use crate::run::Run;
use crate::stats::{Sample, deviation};

use super::amplification::Expected;
use arms::{Arm, Form};
use world::Seen;

/// What it is called.
pub const NAME: &str = "budgets";

/// What it shows.
pub const SHOWS: &str = "load and success of retries under a budget, by failure share";

/// Parameters; every failure share is a cell, for each budget.
#[derive(Clone, Debug)]
pub struct Params {
    /// Shares of attempts that fail (`--failure`), 0 to 1.
    pub failure: Vec<f64>,
    /// Attempts of a call (`--attempts`), 2 to 10.
    pub attempts: u32,
    /// Calls that are counted for each cell (`--calls`), 1 000 to 10 000 000.
    pub calls: u32,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            failure: vec![0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0],
            attempts: 4,
            calls: 50_000,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Cell {
    arm: Arm,
    failure: f64,
    form: Option<Form>,
}

/// Runs it.
///
/// # Errors
/// [`SimError::Parameter`] for a parameter out of its range.
pub fn run(params: &Params, run: &Run) -> Result<Outcome, SimError> {
    all_within("--failure", &params.failure, &(0.0..=1.0))?;
    within("--attempts", params.attempts, 2..=10)?;
    within("--calls", params.calls, 1_000..=10_000_000)?;
    let cells = cells(params);
    let root = run.root(NAME);
    let results = run.repeat(cells.len(), 1, |i, _| {
        let Cell { arm, failure, .. } = cells[i];
        // The same for all arms: they meet the same callers.
        let seed = root.nth(failure.to_bits()).nth(params.attempts.into());
        world::look(arm, failure, params.attempts, params.calls, seed)
    });
    let seen: Vec<Seen> = results.into_iter().flatten().collect();
    Ok(Outcome {
        name: NAME,
        title: "Budgets: what bounds the load of retries, and what it costs".to_owned(),
        seed: run.seed,
        parameters: vec![
            ("seed", run.seed.to_string()),
            ("failure", list(&params.failure)),
            ("attempts", params.attempts.to_string()),
            ("calls", params.calls.to_string()),
            ("rate", format!("{} calls/s", world::RATE)),
            ("an attempt", format!("{} ms", world::ATTEMPT.as_millis())),
        ],
        rows: rows(&cells, &seen),
        tables: tables(params, &cells, &seen),
        notes: notes(),
        chart: chart(params, &cells, &seen),
    })
}

/// By arm, then failure share.
fn cells(params: &Params) -> Vec<Cell> {
    let of = |&arm: &Arm| {
        params.failure.iter().map(move |&failure| Cell {
            arm,
            failure,
            form: arm.closed_form(failure, params.attempts),
        })
    };
    arms::ALL.iter().flat_map(of).collect()
}

/// Measured and expected, and how many standard errors lie between them.
#[derive(Clone, Copy, Debug)]
struct Figure {
    measured: f64,
    expected: f64,
    z: f64,
}

impl Figure {
    /// Load and success. Without a closed form there is only what was measured.
    fn both(cell: &Cell, seen: &Seen) -> [Self; 2] {
        let of = |sample: Sample, part: Part| {
            let form = cell.form.map(|form| (part(form.mean), part(form.spread)));
            let (expected, spread) = form.unwrap_or((f64::NAN, f64::NAN));
            // The blocks know of luck that lasts, theory of luck too rare to be seen in them.
            let theory = spread / f64::from(seen.calls).sqrt();
            let error = sample.standard_error().max(theory);
            Self {
                measured: sample.mean(),
                expected,
                z: deviation(sample.mean(), expected, error),
            }
        };
        [
            of(seen.load, |figures| figures.load),
            of(seen.success, |figures| figures.success),
        ]
    }
}

/// One of the two figures.
type Part = fn(Expected) -> f64;

fn rows(cells: &[Cell], seen: &[Seen]) -> Rows {
    let mut rows = Rows::new([
        "budget",
        "failure",
        "load",
        "load_expected",
        "load_z",
        "success",
        "success_expected",
        "success_z",
    ]);
    for (cell, seen) in cells.iter().zip(seen) {
        let [load, success] = Figure::both(cell, seen);
        rows.push([
            Value::name(cell.arm.name()),
            Value::Real(cell.failure, 3),
            Value::Real(load.measured, 4),
            Value::Real(load.expected, 4),
            Value::Real(load.z, 2),
            Value::Real(success.measured, 4),
            Value::Real(success.expected, 4),
            Value::Real(success.z, 2),
        ]);
    }
    rows
}

fn tables(params: &Params, cells: &[Cell], seen: &[Seen]) -> Vec<Table> {
    vec![
        by_failure(
            "load: attempts for each call, by the share of attempts that fail",
            params,
            seen,
            |seen| seen.load.mean(),
        ),
        by_failure("success: share of calls answered", params, seen, |seen| {
            seen.success.mean()
        }),
        against_theory(cells, seen),
    ]
}

/// A row for each arm.
fn by_failure(title: &str, params: &Params, seen: &[Seen], figure: fn(&Seen) -> f64) -> Table {
    let head = params.failure.iter().map(ToString::to_string);
    let mut table = Table::new(title, std::iter::once("budget".to_owned()).chain(head));
    for (arm, row) in arms::ALL.iter().zip(seen.chunks(params.failure.len())) {
        let figures = row.iter().map(|seen| format!("{:.3}", figure(seen)));
        table.push(std::iter::once(arm.name().to_owned()).chain(figures));
    }
    table
}

/// The cells with a closed form.
fn against_theory(cells: &[Cell], seen: &[Seen]) -> Table {
    let head = ["budget", "failure", "load", "expected", "z"];
    let mut table = Table::new(
        "against the closed form",
        head.into_iter().chain(["success", "expected", "z"]),
    );
    let known = cells.iter().zip(seen);
    for (cell, seen) in known.filter(|(cell, _)| cell.form.is_some()) {
        let of = |figure: Figure| {
            [
                format!("{:.4}", figure.measured),
                format!("{:.4}", figure.expected),
                format!("{:+.2}", figure.z),
            ]
        };
        let [load, success] = Figure::both(cell, seen).map(of);
        let name = [cell.arm.name().to_owned(), cell.failure.to_string()];
        table.push(name.into_iter().chain(load).chain(success));
    }
    table
}

fn notes() -> Vec<String> {
    let arms: Vec<String> = arms::ALL
        .iter()
        .map(|arm| format!("{}: {}", arm.name(), arm.says()))
        .collect();
    vec![
        format!("{}.", arms.join(";\n")),
        format!(
            "The dependency is down for the first {} s, which empties the budgets; counted are \
             calls from {} s on. Where the bucket earns about what retries cost (failures of 8 % \
             to 10 %, with 4 attempts) there is no closed form. A difference (z) is in standard \
             errors, by the spread of 20 blocks of calls or by theory, whichever is more; \
             beyond 4 it is none of chance.",
            world::OUTAGE.as_secs(),
            world::SETTLED.as_secs()
        ),
    ]
}

fn chart(params: &Params, cells: &[Cell], seen: &[Seen]) -> Chart {
    let panel = |title: &str, y: Axis, measured: fn(&Seen) -> f64, known: Part| {
        let series = arms::ALL.iter().flat_map(|&arm| {
            let mine = cells.iter().zip(seen).filter(|(cell, _)| cell.arm == arm);
            let points = mine.map(|(cell, seen)| (cell.failure * 100.0, measured(seen)));
            lines(arm, points.collect(), params.attempts, known)
        });
        Panel::Lines(Lines {
            title: title.to_owned(),
            x: Axis::linear("attempts that fail (%)").between(0.0, 100.0),
            y,
            series: series.collect(),
        })
    };
    Chart {
        title: format!(
            "Retries under a budget, up to {} attempts (dots: measured; fixed, bucket: lines are \
             the closed form)",
            params.attempts
        ),
        panels: vec![
            panel(
                "Load",
                Axis::linear("attempts for each call")
                    .between(1.0, 1.05 * f64::from(params.attempts)),
                |seen| seen.load.mean(),
                |form| form.load,
            ),
            panel(
                "Success",
                Axis::linear("calls answered (%)").between(0.0, 105.0),
                |seen| seen.success.mean() * 100.0,
                |form| form.success * 100.0,
            ),
        ],
    }
}

/// Marks, and for those with a closed form its line, for the others one through the marks.
fn lines(arm: Arm, points: Vec<(f64, f64)>, attempts: u32, known: Part) -> Vec<Series> {
    let series = |style, points| Series {
        name: arm.name().to_owned(),
        style,
        points,
    };
    let steps = (0..=100).map(|step| f64::from(step) / 100.0);
    let theory = steps.filter_map(|p| Some((p * 100.0, known(arm.closed_form(p, attempts)?.mean))));
    let theory: Vec<_> = theory.collect();
    if theory.is_empty() {
        vec![series(Style::Marked, points)]
    } else {
        vec![series(Style::Line, theory), series(Style::Marks, points)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Seed;

    fn look(arm: Arm, failure: f64) -> Seen {
        world::look(arm, failure, 4, 10_000, Seed::new(17))
    }

    /// The figures of `resilience.md`, within their sampling error: of 20 blocks, |z| < 4.5 is
    /// exceeded once in 4 000 by chance (Student's t).
    #[test]
    fn real_slots_agree_with_the_closed_form() {
        for arm in [Arm::Fixed, Arm::Bucket] {
            for failure in [0.05, 0.1, 0.5, 1.0] {
                let cell = Cell {
                    arm,
                    failure,
                    form: arm.closed_form(failure, 4),
                };
                for figure in Figure::both(&cell, &look(arm, failure)) {
                    assert!(figure.z.abs() < 4.5, "{cell:?}: {figure:?}");
                }
            }
        }
    }

    /// In an outage each is bounded by what it says: nothing from A6 and the buckets, which live on
    /// successes; of Finagle 20 %, and 10 of 500 a second; of Envoy, where retries count as under
    /// way with their calls, a fifth of all attempts, which is a quarter of the first ones.
    #[test]
    fn in_an_outage_each_budget_keeps_its_bound() {
        let load = |arm| look(arm, 1.0).load.mean();
        for arm in [Arm::Bucket, Arm::GrpcA6, Arm::Aws] {
            assert_eq!(load(arm), 1.0, "{arm:?}");
        }
        let finagle = load(Arm::Finagle);
        assert!((1.20..1.24).contains(&finagle), "{finagle}");
        let envoy = load(Arm::Envoy);
        assert!((1.15..=1.26).contains(&envoy), "{envoy}");
        assert_eq!(load(Arm::Fixed), 4.0);
    }

    #[test]
    fn out_of_range_names_the_flag() {
        let refused = |params: Params| run(&params, &Run::new(1)).unwrap_err().to_string();
        let default = Params::default;
        let error = refused(Params {
            failure: vec![-0.1],
            ..default()
        });
        assert_eq!(error, "--failure -0.1 is not in 0 to 1");
        let error = refused(Params {
            attempts: 1,
            ..default()
        });
        assert_eq!(error, "--attempts 1 is not in 2 to 10");
    }
}

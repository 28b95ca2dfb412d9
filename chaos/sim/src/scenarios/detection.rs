//! `detection`: how many calls a breaker needs to notice.
//!
//! `consecutive(n)` opens after n failures in a row. When each call fails with p, independently,
//! that takes (1 − pⁿ)/((1 − p)·pⁿ) calls on average (n at p = 1): with n = 5, 5 calls at p = 1,
//! 6.9 at 0.9, 62 at 0.5, but 111 110 at 0.1. So it notices an outage at once and a brown-out
//! hardly ever.
//!
//! Source: the mean waiting time for a run of n, W. Feller, "An Introduction to Probability Theory
//! and Its Applications", volume 1, XIII.7.

use std::time::Duration;

use rand::RngExt as _;
use resilience::breaker::{Breaker, BreakerConfig};

use super::list;
use crate::error::{SimError, all_within, within};
use crate::kernel::{Seed, SimRng, world};
use crate::report::chart::{Axis, Chart, Lines, Panel, Series, Style};
use crate::report::{Outcome, Rows, Value};
use crate::run::Run;
use crate::stats::{Sample, deviation};

/// What it is called.
pub const NAME: &str = "detection";

/// What it shows.
pub const SHOWS: &str = "calls until a breaker opens, by failure share: closed forms (Feller)";

/// A cell makes at most about this many calls, or it would run for minutes.
const MAX_CALLS: f64 = 2e9;

/// Repetitions that share a world.
const BATCH: u32 = 50;

/// Parameters; every combination is a cell.
#[derive(Clone, Debug)]
pub struct Params {
    /// Shares of calls that fail (`--failure`), above 0 and up to 1.
    pub failure: Vec<f64>,
    /// Failures in a row that open it (`--consecutive`), 1 to 50.
    pub consecutive: Vec<u32>,
    /// Breakers that are watched for each combination (`--repetitions`), 10 to 1 000 000.
    pub repetitions: u32,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            failure: vec![0.1, 0.3, 0.5, 0.7, 0.9, 1.0],
            consecutive: vec![5],
            repetitions: 1_000,
        }
    }
}

/// The mean number of calls until n in a row have failed.
pub fn closed_form(failure: f64, consecutive: u32) -> f64 {
    // (1 − pⁿ)/((1 − p)·pⁿ), as the series it is: at p = 1 its closed form is no number.
    (1..=consecutive).map(|k| failure.powi(-(k as i32))).sum()
}

/// Runs it.
///
/// # Errors
/// [`SimError::Parameter`] for a parameter out of its range.
pub fn run(params: &Params, run: &Run) -> Result<Outcome, SimError> {
    let cells = cells(params)?;
    let root = run.root(NAME);
    let batches = params.repetitions.div_ceil(BATCH);
    let results = run.repeat(cells.len(), batches, |cell, batch| {
        let (failure, consecutive) = cells[cell];
        let seed = root
            .nth(failure.to_bits())
            .nth(consecutive.into())
            .nth(batch);
        let rest = params.repetitions - batch as u32 * BATCH;
        watch(failure, consecutive, rest.min(BATCH), seed)
    });
    let measured: Vec<Sample> = results
        .into_iter()
        .map(|batches| batches.into_iter().flatten().collect())
        .collect();
    Ok(Outcome {
        name: NAME,
        title: "Detection: calls until a breaker opens".to_owned(),
        seed: run.seed,
        parameters: vec![
            ("seed", run.seed.to_string()),
            ("failure", list(&params.failure)),
            ("consecutive", list(&params.consecutive)),
            ("repetitions", params.repetitions.to_string()),
        ],
        rows: rows(&cells, &measured),
        tables: Vec::new(),
        notes: vec![
            "A difference (z) is in standard errors; beyond 4 it is none of chance.".to_owned(),
        ],
        chart: chart(params, &cells, &measured),
    })
}

fn cells(params: &Params) -> Result<Vec<(f64, u32)>, SimError> {
    all_within("--failure", &params.failure, &(1e-3..=1.0))?;
    all_within("--consecutive", &params.consecutive, &(1..=50))?;
    within("--repetitions", params.repetitions, 10..=1_000_000)?;
    let mut cells = Vec::new();
    for &consecutive in &params.consecutive {
        for &failure in &params.failure {
            let calls = closed_form(failure, consecutive);
            if calls * f64::from(params.repetitions) > MAX_CALLS {
                let problem = format!(
                    "is too small: {consecutive} failures in a row take {calls:.0} calls on \
                     average, and {} times that is more than two thousand million",
                    params.repetitions
                );
                return Err(SimError::parameter("--failure", failure, problem));
            }
            cells.push((failure, consecutive));
        }
    }
    Ok(cells)
}

/// Calls until a fresh breaker opened, for each of so many.
fn watch(failure: f64, consecutive: u32, breakers: u32, seed: Seed) -> Vec<f64> {
    world(|_| async move {
        let mut chance = seed.role("failures").rng();
        (0..breakers)
            .map(|_| calls_to_open(failure, consecutive, &mut chance))
            .collect()
    })
}

fn calls_to_open(failure: f64, consecutive: u32, chance: &mut SimRng) -> f64 {
    let breaker = Breaker::new(BreakerConfig::consecutive(
        consecutive,
        Duration::from_secs(1),
    ));
    let mut calls = 0_u64;
    while let Ok(permit) = breaker.try_acquire() {
        calls += 1;
        if chance.random::<f64>() < failure {
            permit.failure();
        } else {
            permit.success();
        }
    }
    calls as f64
}

fn rows(cells: &[(f64, u32)], measured: &[Sample]) -> Rows {
    let mut rows = Rows::new(["rule", "failure", "calls", "calls_expected", "z"]);
    for ((failure, consecutive), calls) in cells.iter().zip(measured) {
        let expected = closed_form(*failure, *consecutive);
        rows.push([
            Value::name(format!("consecutive({consecutive})")),
            Value::Real(*failure, 3),
            Value::Real(calls.mean(), 2),
            Value::Real(expected, 2),
            Value::Real(deviation(calls.mean(), expected, calls.standard_error()), 2),
        ]);
    }
    rows
}

fn chart(params: &Params, cells: &[(f64, u32)], measured: &[Sample]) -> Chart {
    let lowest = params.failure.iter().copied().fold(1.0, f64::min);
    let series = params.consecutive.iter().flat_map(|&consecutive| {
        let steps = (0..=50).map(|step| lowest + (1.0 - lowest) * f64::from(step) / 50.0);
        let theory = steps.map(|p| (p * 100.0, closed_form(p, consecutive)));
        let seen = cells.iter().zip(measured);
        let seen = seen.filter(|((_, n), _)| *n == consecutive);
        let seen = seen.map(|((p, _), calls)| (p * 100.0, calls.mean()));
        [
            Series {
                name: format!("consecutive({consecutive})"),
                style: Style::Line,
                points: theory.collect(),
            },
            Series {
                name: format!("consecutive({consecutive})"),
                style: Style::Marks,
                points: seen.collect(),
            },
        ]
    });
    Chart {
        title: "Detection: how soon a breaker notices".to_owned(),
        panels: vec![Panel::Lines(Lines {
            title: "Independent failures (dots: measured, lines: closed form)".to_owned(),
            x: Axis::linear("calls that fail (%)").between(0.0, 100.0),
            y: Axis::log("mean calls until it opens"),
            series: series.collect(),
        })],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closed_form_is_the_specifications() {
        assert_eq!(closed_form(1.0, 5), 5.0);
        assert!((closed_form(0.9, 5) - 6.935).abs() < 0.001);
        assert!((closed_form(0.5, 5) - 62.0).abs() < 1e-9);
        assert!((closed_form(0.1, 5) - 111_110.0).abs() < 1e-3);
    }

    /// Within its sampling error: |z| < 4 is exceeded once in 16 000 by chance.
    #[test]
    fn the_real_breaker_agrees_with_the_closed_form() {
        for (failure, consecutive) in [(1.0, 5), (0.9, 5), (0.5, 5), (0.3, 3), (0.2, 1)] {
            let calls: Sample = watch(failure, consecutive, 2_000, Seed::new(3))
                .into_iter()
                .collect();
            let expected = closed_form(failure, consecutive);
            let z = deviation(calls.mean(), expected, calls.standard_error());
            assert!(
                z.abs() < 4.0,
                "p = {failure}: {} against {expected}",
                calls.mean()
            );
        }
    }

    #[test]
    fn a_share_that_would_take_for_ever_is_refused() {
        let params = Params {
            failure: vec![0.01],
            ..Params::default()
        };
        let error = cells(&params).unwrap_err().to_string();
        assert!(error.starts_with("--failure 0.01 is too small"), "{error}");
    }
}

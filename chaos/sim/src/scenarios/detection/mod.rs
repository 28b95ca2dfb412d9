//! `detection`: how many calls a breaker needs to notice.
//!
//! `consecutive(n)` opens after n failures in a row. When each call fails with p, independently,
//! that takes (1 − pⁿ)/((1 − p)·pⁿ) calls on average (n at p = 1): with n = 5, 5 calls at p = 1,
//! 6.9 at 0.9, 62 at 0.5, but 111 110 at 0.1. So it notices an outage at once and a brown-out
//! hardly ever.
//!
//! A count window opens when enough of the last calls failed. One given full window of 20 with a
//! threshold of 50 % opens with P(X ≥ 10), X ~ Bin(20, p): 0.048 at p = 0.3, 0.588 at 0.5, 0.983 at
//! 0.7. But it is asked again at each call, so it opens far sooner than that chance suggests; how
//! soon is measured. Against an outage it is slower than five in a row, for it must be full.
//!
//! Source: the mean waiting time for a run of n, W. Feller, "An Introduction to Probability Theory
//! and Its Applications", volume 1, XIII.7; the binomial distribution, ibid. VI.

mod rules;
mod show;

use super::list;
use crate::error::{SimError, all_within, within};
use crate::kernel::{Seed, world};
use crate::report::Outcome;
use crate::run::Run;
use crate::stats::{Sample, deviation};

use rules::{Rule, Window};

/// What it is called.
pub const NAME: &str = "detection";

/// What it shows.
pub const SHOWS: &str =
    "calls until a breaker opens, in a row or in a window: closed forms (Feller)";

/// A cell makes at most about this many calls, or it would run for minutes.
const MAX_CALLS: f64 = 2e9;

/// With a window, at most about this many: fewer breakers are watched then, for it isn't a closed
/// form that they are to agree with.
const MAX_WINDOW_CALLS: f64 = 4e7;

/// The fewest breakers that make a mean.
const MIN_BREAKERS: u32 = 10;

/// Full windows tried for each repetition.
const FULL_WINDOWS: u32 = 20;

/// Repetitions that share a world.
const BATCH: u32 = 50;

/// Parameters; every combination is a cell.
#[derive(Clone, Debug)]
pub struct Params {
    /// Shares of calls that fail (`--failure`), above 0 and up to 1.
    pub failure: Vec<f64>,
    /// Failures in a row that open it (`--consecutive`), 1 to 50.
    pub consecutive: Vec<u32>,
    /// Calls of a count window (`--window`), 2 to 1 000.
    pub window: Vec<u32>,
    /// Shares of failures in a window that open it (`--threshold`), 0.01 to 1.
    pub threshold: Vec<f64>,
    /// Breakers that are watched for each combination (`--repetitions`), 10 to 1 000 000.
    pub repetitions: u32,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            failure: vec![0.1, 0.3, 0.5, 0.7, 0.9, 1.0],
            consecutive: vec![5],
            window: vec![20],
            threshold: vec![0.5],
            repetitions: 1_000,
        }
    }
}

/// The mean number of calls until n in a row have failed.
pub fn closed_form(failure: f64, consecutive: u32) -> f64 {
    // (1 − pⁿ)/((1 − p)·pⁿ), as the series it is: at p = 1 its closed form is no number.
    (1..=consecutive).map(|k| failure.powi(-(k as i32))).sum()
}

/// A rule under one share of failures.
#[derive(Clone, Copy, Debug)]
struct Cell {
    rule: Rule,
    failure: f64,
    /// How many are watched; none where that would take too long.
    breakers: u32,
}

/// What was seen of one cell, or of a part of it.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// Calls until it opened, of each breaker.
    calls: Vec<f64>,
    /// Full windows that opened.
    opened: u32,
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
        watch_batch(cells[cell], params.repetitions, batch, root)
    });
    let measured: Vec<Measured> = results
        .into_iter()
        .zip(&cells)
        .map(|(batches, cell)| Measured::new(*cell, params.repetitions, &batches))
        .collect();
    Ok(Outcome {
        name: NAME,
        title: "Detection: calls until a breaker opens".to_owned(),
        seed: run.seed,
        parameters: vec![
            ("seed", run.seed.to_string()),
            ("failure", list(&params.failure)),
            ("consecutive", list(&params.consecutive)),
            ("window", list(&params.window)),
            ("threshold", list(&params.threshold)),
            ("repetitions", params.repetitions.to_string()),
        ],
        rows: show::rows(&cells, &measured),
        tables: show::tables(&cells, &measured),
        notes: vec![
            "± and the difference (z) are in standard errors; beyond 4 it is none of chance. A \
             window has no closed form for its calls; where it would be watched for too long, \
             fewer breakers are, or none (-)."
                .to_owned(),
        ],
        chart: show::chart(&cells, &measured),
    })
}

fn cells(params: &Params) -> Result<Vec<Cell>, SimError> {
    all_within("--failure", &params.failure, &(1e-3..=1.0))?;
    all_within("--consecutive", &params.consecutive, &(1..=50))?;
    all_within("--window", &params.window, &(2..=1_000))?;
    all_within("--threshold", &params.threshold, &(0.01..=1.0))?;
    within("--repetitions", params.repetitions, 10..=1_000_000)?;
    let mut cells = Vec::new();
    for &consecutive in &params.consecutive {
        for &failure in &params.failure {
            cells.push(in_a_row(consecutive, failure, params.repetitions)?);
        }
    }
    for &calls in &params.window {
        for &threshold in &params.threshold {
            let window = Window { calls, threshold };
            let of = |&failure: &f64| in_a_window(window, failure, params.repetitions);
            cells.extend(params.failure.iter().map(of));
        }
    }
    Ok(cells)
}

fn in_a_row(consecutive: u32, failure: f64, repetitions: u32) -> Result<Cell, SimError> {
    let calls = closed_form(failure, consecutive);
    if calls * f64::from(repetitions) > MAX_CALLS {
        let problem = format!(
            "is too small: {consecutive} failures in a row take {calls:.0} calls on average, and \
             {repetitions} times that is more than two thousand million"
        );
        return Err(SimError::parameter("--failure", failure, problem));
    }
    Ok(Cell {
        rule: Rule::Consecutive(consecutive),
        failure,
        breakers: repetitions,
    })
}

fn in_a_window(window: Window, failure: f64, repetitions: u32) -> Cell {
    let rule = Rule::Window(window);
    let affordable = (MAX_WINDOW_CALLS / rule.calls_about(failure)) as u32;
    let breakers = match affordable.min(repetitions) {
        few if few < MIN_BREAKERS => 0,
        enough => enough,
    };
    Cell {
        rule,
        failure,
        breakers,
    }
}

/// The `batch`-th so many of a cell's repetitions.
fn watch_batch(cell: Cell, repetitions: u32, batch: u64, root: Seed) -> Seen {
    let before = batch as u32 * BATCH;
    let share = |all: u32| all.saturating_sub(before).min(BATCH);
    let seed = root.nth(cell.failure.to_bits());
    let seed = match cell.rule {
        Rule::Consecutive(failures) => seed.nth(failures.into()),
        Rule::Window(Window { calls, threshold }) => {
            let seed = seed.role("window").nth(calls.into());
            seed.nth(threshold.to_bits())
        }
    };
    watch(
        cell,
        share(cell.breakers),
        share(repetitions),
        seed.nth(batch),
    )
}

/// So many breakers, each until it opens; and full windows, for a rule that has them.
fn watch(cell: Cell, breakers: u32, repetitions: u32, seed: Seed) -> Seen {
    world(|_| async move {
        let mut chance = seed.role("failures").rng();
        let calls = (0..breakers).map(|_| cell.rule.calls_to_open(cell.failure, &mut chance));
        let calls = calls.collect();
        let mut chance = seed.role("full windows").rng();
        let opened = match cell.rule {
            Rule::Consecutive(_) => 0,
            Rule::Window(window) => (0..repetitions * FULL_WINDOWS)
                .map(|_| u32::from(window.opens_when_full(cell.failure, &mut chance)))
                .sum(),
        };
        Seen { calls, opened }
    })
}

/// A cell's figures; what there is not is no number.
#[derive(Clone, Copy, Debug)]
struct Measured {
    breakers: u32,
    calls: f64,
    calls_error: f64,
    calls_expected: f64,
    calls_z: f64,
    full: f64,
    full_expected: f64,
    full_z: f64,
}

impl Measured {
    fn new(cell: Cell, repetitions: u32, batches: &[Seen]) -> Self {
        let each = batches.iter().flat_map(|seen| &seen.calls);
        let calls: Sample = each.copied().collect();
        let (mean, error) = match cell.breakers {
            0 => (f64::NAN, f64::NAN),
            _ => (calls.mean(), calls.standard_error()),
        };
        let expected = cell.rule.calls_expected(cell.failure).unwrap_or(f64::NAN);
        let opened = batches.iter().map(|seen| seen.opened).sum();
        let (full, full_expected, full_z) = match cell.rule {
            Rule::Consecutive(_) => (f64::NAN, f64::NAN, f64::NAN),
            Rule::Window(window) => full_windows(window, cell.failure, repetitions, opened),
        };
        Self {
            breakers: cell.breakers,
            calls: mean,
            calls_error: error,
            calls_expected: expected,
            calls_z: deviation(mean, expected, error),
            full,
            full_expected,
            full_z,
        }
    }
}

/// The share that opened, what it should be, and how many standard errors lie between the two.
fn full_windows(window: Window, failure: f64, repetitions: u32, opened: u32) -> (f64, f64, f64) {
    let windows = f64::from(repetitions * FULL_WINDOWS);
    let (share, expected) = (f64::from(opened) / windows, window.full_expected(failure));
    let error = (expected * (1.0 - expected) / windows).sqrt();
    (share, expected, deviation(share, expected, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(rule: Rule, failure: f64, repetitions: u32) -> Measured {
        let cell = Cell {
            rule,
            failure,
            breakers: repetitions,
        };
        let seen = watch(cell, repetitions, repetitions, Seed::new(3));
        Measured::new(cell, repetitions, &[seen])
    }

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
            let seen = seen(Rule::Consecutive(consecutive), failure, 2_000);
            assert!(seen.calls_z.abs() < 4.0, "p = {failure}: {seen:?}");
            assert!(seen.full.is_nan(), "it has no window");
        }
    }

    /// The figures of `resilience.md`: 0.048, 0.588 and 0.983, each within its sampling error.
    #[test]
    fn half_of_twenty_opens_on_a_full_window_as_the_binomial_says() {
        let rule = Rule::Window(Window {
            calls: 20,
            threshold: 0.5,
        });
        for failure in [0.1, 0.3, 0.5, 0.7, 1.0] {
            let cell = Cell {
                rule,
                failure,
                breakers: 0,
            };
            let seen = Measured::new(cell, 500, &[watch(cell, 0, 500, Seed::new(3))]);
            assert!(seen.full_z.abs() < 4.0, "p = {failure}: {seen:?}");
            assert!(seen.calls.is_nan(), "none was watched until it opened");
        }
    }

    /// With windows that don't overlap it would take 20 / 0.588 = 34 calls at p = 0.5; sliding, it
    /// takes fewer, yet never less than one full window, which is all there is at p = 1.
    #[test]
    fn a_sliding_window_opens_sooner_than_one_after_the_other_would() {
        let window = Window {
            calls: 20,
            threshold: 0.5,
        };
        for failure in [0.3, 0.5] {
            let sliding = seen(Rule::Window(window), failure, 500).calls;
            let disjoint = 20.0 / window.full_expected(failure);
            assert!((20.0..0.85 * disjoint).contains(&sliding), "{sliding}");
        }
        assert_eq!(seen(Rule::Window(window), 1.0, 10).calls, 20.0);
    }

    #[test]
    fn a_share_that_would_take_for_ever_is_refused_and_a_window_left_out() {
        let params = Params {
            failure: vec![0.01],
            ..Params::default()
        };
        let error = cells(&params).unwrap_err().to_string();
        assert!(error.starts_with("--failure 0.01 is too small"), "{error}");
        let params = Params {
            consecutive: vec![1],
            ..params
        };
        let breakers: Vec<u32> = cells(&params)
            .unwrap()
            .iter()
            .map(|cell| cell.breakers)
            .collect();
        assert_eq!(breakers, [1_000, 0]);
    }
}

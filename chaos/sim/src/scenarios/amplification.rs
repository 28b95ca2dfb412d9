//! `amplification`: what retries do to the load of a dependency that fails.
//!
//! With failure share p and n attempts a call makes (1 − pⁿ)/(1 − p) attempts on average (n at
//! p = 1) and succeeds with 1 − pⁿ. Layers multiply: to the layer above, a call fails with pⁿ, so
//! three layers of 4 attempts are 64 calls when nothing works. nginx is a layer:
//! `proxy_next_upstream` retries by default.
//!
//! Each layer here is a [`Slot`] with a retry policy of its own, one inside the other; they retry
//! at once, since waits don't change the counts.
//!
//! Source: geometric series; "Site Reliability Engineering", chapter 22, "Retries", for the 64.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::sync::Arc;

use rand::RngExt as _;
use resilience::observe::Fanout;
use resilience::{Call, Deadline, FailureKind, Policy, Slot, SlotName, preset};

use super::list;
use crate::error::{SimError, all_within, within};
use crate::kernel::{Seed, SimRng, scale, world};
use crate::model::ModelError;
use crate::report::chart::{Axis, Chart, Lines, Panel, Series, Style};
use crate::report::{Outcome, Rows, Value};
use crate::run::Run;
use crate::stats::{Sample, deviation};

/// What it is called.
pub const NAME: &str = "amplification";

/// What it shows.
pub const SHOWS: &str =
    "load and success of retries, in one layer or several: closed forms (SRE book)";

/// A cell makes at most this many attempts, or it would run for minutes.
const MAX_ATTEMPTS_MADE: f64 = 5e7;

/// Parameters; every combination is a cell.
#[derive(Clone, Debug)]
pub struct Params {
    /// Shares of attempts that fail at the bottom (`--failure`), 0 to 1.
    pub failure: Vec<f64>,
    /// Attempts of each layer (`--attempts`), 1 to 10.
    pub attempts: Vec<u32>,
    /// Layers (`--layers`), 1 to 5.
    pub layers: Vec<u32>,
    /// Calls into the outermost layer (`--calls`), 100 to 10 000 000.
    pub calls: u32,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            failure: vec![0.1, 0.25, 0.5, 0.75, 0.9, 1.0],
            attempts: vec![3, 4],
            layers: vec![1, 2, 3],
            calls: 20_000,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Combination {
    failure: f64,
    attempts: u32,
    layers: u32,
}

/// Attempts at the bottom for each call, and the share of calls that succeed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expected {
    /// Attempts at the bottom for each call at the top.
    pub load: f64,
    /// Share of calls that succeed.
    pub success: f64,
}

/// The closed form.
pub fn closed_form(failure: f64, attempts: u32, layers: u32) -> Expected {
    let (mut load, mut failing) = (1.0, failure);
    for _ in 0..layers {
        // The series itself: at p = 1 its closed form is no number.
        load *= (0..attempts).map(|k| failing.powi(k as i32)).sum::<f64>();
        failing = failing.powi(attempts as i32);
    }
    Expected {
        load,
        success: 1.0 - failing,
    }
}

/// Runs it.
///
/// # Errors
/// [`SimError::Parameter`] for a parameter out of its range.
pub fn run(params: &Params, run: &Run) -> Result<Outcome, SimError> {
    let cells = cells(params)?;
    let root = run.root(NAME);
    let results = run.repeat(cells.len(), 1, |i, _| {
        let Combination {
            failure,
            attempts,
            layers,
        } = cells[i];
        let seed = root
            .nth(failure.to_bits())
            .nth(attempts.into())
            .nth(layers.into());
        measure(cells[i], params.calls, seed)
    });
    let measured: Vec<Measured> = results.into_iter().flatten().collect();
    Ok(Outcome {
        name: NAME,
        title: "Amplification: what retries do to the load".to_owned(),
        seed: run.seed,
        parameters: vec![
            ("seed", run.seed.to_string()),
            ("failure", list(&params.failure)),
            ("attempts", list(&params.attempts)),
            ("layers", list(&params.layers)),
            ("calls", params.calls.to_string()),
        ],
        rows: rows(&cells, &measured),
        tables: Vec::new(),
        notes: vec![
            "load is attempts at the bottom for each call at the top; a difference (z) is in \
             standard errors, and beyond 4 it is none of chance."
                .to_owned(),
        ],
        chart: chart(params, &cells, &measured),
    })
}

fn cells(params: &Params) -> Result<Vec<Combination>, SimError> {
    all_within("--failure", &params.failure, &(0.0..=1.0))?;
    all_within("--attempts", &params.attempts, &(1..=10))?;
    all_within("--layers", &params.layers, &(1..=5))?;
    within("--calls", params.calls, 100..=10_000_000)?;
    let mut cells = Vec::new();
    for &layers in &params.layers {
        for &attempts in &params.attempts {
            for &failure in &params.failure {
                let load = closed_form(failure, attempts, layers).load;
                if load * f64::from(params.calls) > MAX_ATTEMPTS_MADE {
                    let problem = format!(
                        "is too many: with {layers} layers of {attempts} attempts each call makes \
                         {load:.0} attempts, and more than 50 million take too long"
                    );
                    return Err(SimError::parameter("--calls", params.calls, problem));
                }
                cells.push(Combination {
                    failure,
                    attempts,
                    layers,
                });
            }
        }
    }
    Ok(cells)
}

#[derive(Clone, Copy, Debug)]
struct Measured {
    load: Sample,
    success: f64,
    load_z: f64,
    success_z: f64,
}

fn measure(cell: Combination, calls: u32, seed: Seed) -> Measured {
    let (load, succeeded) = world(|_| async move {
        let stack = Stack::new(cell, seed);
        let (mut load, mut succeeded) = (Sample::default(), 0_u32);
        for _ in 0..calls {
            stack.reached.set(0);
            succeeded += u32::from(stack.call(0).await.is_ok());
            load.add(f64::from(stack.reached.get()));
        }
        (load, succeeded)
    });
    let expected = closed_form(cell.failure, cell.attempts, cell.layers);
    let calls = f64::from(calls);
    let success = f64::from(succeeded) / calls;
    let error = (expected.success * (1.0 - expected.success) / calls).sqrt();
    Measured {
        load,
        success,
        load_z: deviation(load.mean(), expected.load, load.standard_error()),
        success_z: deviation(success, expected.success, error),
    }
}

/// Layers of slots, the outermost first, and below them a dependency that fails by chance.
struct Stack {
    slots: Vec<Slot>,
    failure: f64,
    chance: RefCell<SimRng>,
    reached: Cell<u32>,
}

impl Stack {
    fn new(cell: Combination, seed: Seed) -> Self {
        let slot = |layer: u32| {
            let name = format!("layer-{layer}");
            let names = SlotName::new(name.clone(), "caller", name);
            let seed = seed.role("slot").nth(layer.into()).value();
            Slot::new(
                names,
                policy(cell.attempts),
                Arc::new(Fanout::default()),
                seed,
            )
        };
        Self {
            slots: (1..=cell.layers).map(slot).collect(),
            failure: cell.failure,
            chance: RefCell::new(seed.role("failures").rng()),
            reached: Cell::new(0),
        }
    }

    /// A call into a layer; below the last one is the dependency itself.
    fn call(&self, layer: usize) -> Pin<Box<dyn Future<Output = Result<(), ModelError>> + '_>> {
        Box::pin(async move {
            let Some(slot) = self.slots.get(layer) else {
                return self.dependency();
            };
            let call = Call {
                method: "Get",
                request_id: "",
                idempotent: true,
                deadline: Deadline::NONE,
            };
            let answer = slot.call(call, |_| self.call(layer + 1)).await;
            answer.map_err(ModelError::from)
        })
    }

    fn dependency(&self) -> Result<(), ModelError> {
        self.reached.set(self.reached.get() + 1);
        if self.chance.borrow_mut().random::<f64>() < self.failure {
            return Err(ModelError(FailureKind::Unavailable));
        }
        Ok(())
    }
}

/// `naive` without limits of time, with these attempts.
fn policy(attempts: u32) -> Policy {
    let mut policy = preset::naive();
    policy.deadline = None;
    policy.attempt_timeout = None;
    if let Some(retry) = &mut policy.retry {
        retry.max_attempts = attempts;
    }
    scale::policy(policy)
}

fn rows(cells: &[Combination], measured: &[Measured]) -> Rows {
    let mut rows = Rows::new([
        "layers",
        "attempts",
        "failure",
        "load",
        "load_expected",
        "load_z",
        "success",
        "success_expected",
        "success_z",
    ]);
    for (cell, measured) in cells.iter().zip(measured) {
        let expected = closed_form(cell.failure, cell.attempts, cell.layers);
        rows.push([
            Value::Count(cell.layers.into()),
            Value::Count(cell.attempts.into()),
            Value::Real(cell.failure, 3),
            Value::Real(measured.load.mean(), 4),
            Value::Real(expected.load, 4),
            Value::Real(measured.load_z, 2),
            Value::Real(measured.success, 4),
            Value::Real(expected.success, 4),
            Value::Real(measured.success_z, 2),
        ]);
    }
    rows
}

fn chart(params: &Params, cells: &[Combination], measured: &[Measured]) -> Chart {
    let panel = |&attempts: &u32| {
        let series = params.layers.iter().flat_map(|&layers| {
            let unit = if layers == 1 { "layer" } else { "layers" };
            let theory = (0..=50).map(|step| f64::from(step) / 50.0);
            let theory = theory.map(|p| (p * 100.0, closed_form(p, attempts, layers).load));
            let seen = cells.iter().zip(measured);
            let seen = seen.filter(|(cell, _)| cell.attempts == attempts && cell.layers == layers);
            let seen = seen.map(|(cell, m)| (cell.failure * 100.0, m.load.mean()));
            [
                Series {
                    name: format!("{layers} {unit}"),
                    style: Style::Line,
                    points: theory.collect(),
                },
                Series {
                    name: format!("{layers} {unit}"),
                    style: Style::Marks,
                    points: seen.collect(),
                },
            ]
        });
        Panel::Lines(Lines {
            title: format!(
                "{attempts} attempts in each layer (dots: measured, lines: closed form)"
            ),
            x: Axis::linear("attempts that fail (%)").between(0.0, 100.0),
            y: Axis::log("attempts for each call"),
            series: series.collect(),
        })
    };
    Chart {
        title: "Amplification: layers of retries multiply".to_owned(),
        panels: params.attempts.iter().map(panel).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closed_form_is_the_specifications() {
        assert_eq!(
            closed_form(1.0, 4, 3),
            Expected {
                load: 64.0,
                success: 0.0
            }
        );
        let half = closed_form(0.5, 4, 1);
        assert_eq!((half.load, half.success), (1.875, 0.9375));
        assert_eq!(
            closed_form(0.0, 4, 2),
            Expected {
                load: 1.0,
                success: 1.0
            }
        );
    }

    /// Within its sampling error: |z| < 4 is exceeded once in 16 000 by chance.
    #[test]
    fn real_slots_agree_with_the_closed_form() {
        let params = Params {
            calls: 1_000,
            ..Params::default()
        };
        for cell in cells(&params).unwrap() {
            let measured = measure(cell, params.calls, Seed::new(7));
            assert!(measured.load_z.abs() < 4.0, "{cell:?}: {measured:?}");
            assert!(measured.success_z.abs() < 4.0, "{cell:?}: {measured:?}");
        }
    }

    #[test]
    fn senseless_parameters_are_refused() {
        let refused = |params: Params| cells(&params).unwrap_err().to_string();
        let default = Params::default;
        let error = refused(Params {
            failure: vec![1.5],
            ..default()
        });
        assert_eq!(error, "--failure 1.5 is not in 0 to 1");
        let error = refused(Params {
            attempts: vec![10],
            layers: vec![5],
            ..default()
        });
        assert!(error.starts_with("--calls 20000 is too many"), "{error}");
    }
}

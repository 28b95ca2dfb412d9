//! `tail`: a fan-out meets the slow server that a single call seldom does.
//!
//! A request asks many servers at once (`--fanout`, 100) and needs all their answers. Each call
//! meets a server that stalls with a small chance (1 %), independently. Then a single call is slow
//! once in a hundred times, but the request with 1 − 0.99¹⁰⁰ = 63.4 %. A hedge asks a second server
//! when the first takes unusually long: a call is slow then only if both stall, once in 10 000, and
//! a request once in a hundred. It costs as many calls as are beyond the delay: after the 95th
//! percentile, 5 %, while there is a budget of 10 % for it.
//!
//! **It misleads** where stalls aren't independent: copies that meet the same lock or the same
//! overload are slow together.
//!
//! Source: J. Dean, L. Barroso, "The Tail at Scale", CACM 56(2), 2013.

mod arms;
mod world;

use std::time::Duration;

use crate::error::{SimError, within};
use crate::report::chart::{Axis, Chart, Lines, Panel, Series, Style};
use crate::report::{Outcome, Rows, Value};
use crate::run::Run;
use crate::stats::{deviation, quantile};

use arms::Arm;
use world::{Requests, Seen};

/// What it is called.
pub const NAME: &str = "tail";

/// What it shows.
pub const SHOWS: &str = "slow servers in a fan-out, and hedging against them (Tail at Scale)";

/// Worlds that share the calls of an arm.
const WORLDS: u32 = 8;

/// Parameters.
#[derive(Clone, Debug)]
pub struct Params {
    /// Calls of each request (`--fanout`), 1 to 10 000.
    pub fanout: u32,
    /// The share of calls that meet a stalled server (`--slow-share`), 0 to 0.5.
    pub slow_share: f64,
    /// How long it stalls (`--slow-ms`), 200 to 60 000 ms.
    pub slow_ms: u32,
    /// Calls of each arm (`--calls`), 10 000 to 20 000 000; made up to whole requests.
    pub calls: u32,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            fanout: 100,
            slow_share: 0.01,
            slow_ms: 1_000,
            calls: 800_000,
        }
    }
}

impl Params {
    fn requests(&self) -> Requests {
        Requests {
            fanout: self.fanout,
            slow_share: self.slow_share,
            stall: Duration::from_millis(self.slow_ms.into()),
        }
    }

    /// Requests of each world.
    fn count(&self) -> u32 {
        self.calls.div_ceil(self.fanout).div_ceil(WORLDS)
    }
}

/// The share of requests that meet at least one slow server.
pub fn closed_form(slow_share: f64, fanout: u32) -> f64 {
    1.0 - (1.0 - slow_share).powf(fanout.into())
}

/// Runs it.
///
/// # Errors
/// [`SimError::Parameter`] for a parameter out of its range.
pub fn run(params: &Params, run: &Run) -> Result<Outcome, SimError> {
    within("--fanout", params.fanout, 1..=10_000)?;
    within("--slow-share", params.slow_share, 0.0..=0.5)?;
    // Far beyond what a server takes that doesn't stall, or slow would mean nothing.
    within("--slow-ms", params.slow_ms, 200..=60_000)?;
    within("--calls", params.calls, 10_000..=20_000_000)?;
    let tails = measure(params, run);
    Ok(Outcome {
        name: NAME,
        title: "Tail: slow servers in a fan-out, and hedging against them".to_owned(),
        seed: run.seed,
        parameters: vec![
            ("seed", run.seed.to_string()),
            ("fanout", params.fanout.to_string()),
            ("slow share", params.slow_share.to_string()),
            ("slow (ms)", params.slow_ms.to_string()),
            ("calls", params.calls.to_string()),
            ("median (ms)", world::MEDIAN.as_millis().to_string()),
            ("rate", format!("{} calls/s", world::RATE)),
        ],
        rows: rows(params, &tails),
        tables: Vec::new(),
        notes: notes(params),
        chart: chart(params, &tails),
    })
}

/// By arm.
fn measure(params: &Params, run: &Run) -> Vec<Tail> {
    let root = run.root(NAME);
    let results = run.repeat(arms::ALL.len(), WORLDS, |arm, world| {
        // The same for all arms: they meet the same requests and first copies.
        world::look(
            arms::ALL[arm],
            params.requests(),
            params.count(),
            root.nth(world),
        )
    });
    let all = |worlds: Vec<Seen>| worlds.into_iter().fold(Seen::default(), Seen::and);
    let tails = results.into_iter().map(all).zip(arms::ALL);
    tails.map(|(seen, arm)| Tail::new(arm, seen)).collect()
}

/// All times of an arm, sorted, in milliseconds.
struct Tail {
    arm: Arm,
    calls: Vec<f64>,
    requests: Vec<f64>,
    /// Second copies for each call.
    extra: f64,
}

impl Tail {
    fn new(arm: Arm, seen: Seen) -> Self {
        let sorted = |mut micros: Vec<u32>| -> Vec<f64> {
            micros.sort_unstable();
            let millis = micros.into_iter().map(|time| f64::from(time) / 1e3);
            millis.collect()
        };
        Self {
            arm,
            extra: seen.hedges as f64 / seen.calls.len().max(1) as f64,
            calls: sorted(seen.calls),
            requests: sorted(seen.requests),
        }
    }
}

/// The share of sorted times that are as long as a stall.
fn slow(times: &[f64], slow_ms: u32) -> f64 {
    let usual = times.partition_point(|time| *time < f64::from(slow_ms));
    1.0 - usual as f64 / times.len().max(1) as f64
}

/// Measured, expected, and how many standard errors lie between. Only without hedging the budget
/// and the percentile have no say.
fn slow_against(tail: &Tail, times: &[f64], params: &Params, calls: u32) -> [f64; 3] {
    let share = slow(times, params.slow_ms);
    if tail.arm != Arm::None {
        return [share, f64::NAN, f64::NAN];
    }
    let expected = closed_form(params.slow_share, calls);
    let error = (expected * (1.0 - expected) / times.len().max(1) as f64).sqrt();
    [share, expected, deviation(share, expected, error)]
}

fn rows(params: &Params, tails: &[Tail]) -> Rows {
    let mut rows = Rows::new([
        "arm",
        "of",
        "p50_ms",
        "p95_ms",
        "p99_ms",
        "p999_ms",
        "slow_share",
        "slow_expected",
        "slow_z",
        "extra_calls_percent",
    ]);
    for tail in tails {
        let kinds = [
            ("call", &tail.calls, 1),
            ("request", &tail.requests, params.fanout),
        ];
        for (kind, times, calls) in kinds {
            let at = |q| Value::Real(quantile(times, q).unwrap_or(f64::NAN), 1);
            let [share, expected, z] = slow_against(tail, times, params, calls);
            rows.push([
                Value::name(tail.arm.name()),
                Value::name(kind),
                at(0.5),
                at(0.95),
                at(0.99),
                at(0.999),
                Value::Real(share, 5),
                Value::Real(expected, 5),
                Value::Real(z, 2),
                Value::Real(tail.extra * 100.0, 2),
            ]);
        }
    }
    rows
}

fn notes(params: &Params) -> Vec<String> {
    let arms: Vec<String> = arms::ALL
        .iter()
        .map(|arm| format!("{}: {}", arm.name(), arm.says()))
        .collect();
    vec![
        format!("{}.", arms.join("; ")),
        format!(
            "A request is {} calls at once and lasts until the last is answered. Slow: {} ms and \
             more. Hedges have a budget of 10 % of the calls of 10 s. z is in standard errors; \
             beyond 4 it is none of chance.",
            params.fanout, params.slow_ms
        ),
    ]
}

fn chart(params: &Params, tails: &[Tail]) -> Chart {
    let panel = |title: String, label: &str, times: fn(&Tail) -> &[f64]| {
        let series = tails.iter().map(|tail| Series {
            name: tail.arm.name().to_owned(),
            style: Style::Line,
            points: slower_than(times(tail)),
        });
        Panel::Lines(Lines {
            title,
            x: Axis::log("time (ms)").between(3.0, 1.5 * f64::from(params.slow_ms)),
            y: Axis::log(label).between(0.01, 100.0),
            series: series.collect(),
        })
    };
    Chart {
        title: format!(
            "Tail: {} % of calls meet a server that stalls for {} ms",
            (params.slow_share * 1e8).round() / 1e6,
            params.slow_ms
        ),
        panels: vec![
            panel(
                "Single calls".to_owned(),
                "calls that take longer (%)",
                |tail| &tail.calls,
            ),
            panel(
                format!("Requests of {} calls each", params.fanout),
                "requests that take longer (%)",
                |tail| &tail.requests,
            ),
        ],
    }
}

/// The share that takes longer, in per cent, against the time: from all to one in 10 000, as far as
/// there are so many.
fn slower_than(times: &[f64]) -> Vec<(f64, f64)> {
    let finest = 1.0 / times.len().max(1) as f64;
    (0..=400)
        .map(|step| 10_f64.powf(-f64::from(step) / 100.0))
        .take_while(|share| *share >= finest)
        .filter_map(|share| Some((quantile(times, 1.0 - share)?, share * 100.0)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tails() -> Vec<Tail> {
        let params = Params {
            calls: 40_000,
            ..Params::default()
        };
        measure(&params, &Run::new(9))
    }

    #[test]
    fn the_closed_form_is_the_specifications() {
        assert!((closed_form(0.01, 100) - 0.634).abs() < 5e-4);
        assert!((closed_form(0.01, 1) - 0.01).abs() < 1e-12);
        assert_eq!(closed_form(0.0, 100), 0.0);
    }

    /// "The Tail at Scale": 63.4 % of the requests are slow, within the sampling error of 400. With
    /// a hedge a single call's p99.9 is at most a fifteenth (a second after a stall of a second;
    /// else the delay of 20 ms and a usual answer on top), for at most 7 % more calls.
    #[test]
    fn fan_outs_are_slow_and_hedging_cuts_the_tail_for_a_few_calls() {
        let tails = tails();
        let params = Params::default();
        let none = &tails[0];
        for (times, calls) in [(&none.calls, 1), (&none.requests, 100)] {
            let [share, expected, z] = slow_against(none, times, &params, calls);
            assert!(z.abs() < 4.0, "{calls}: {share} for {expected}");
        }
        let p999 = |tail: &Tail| quantile(&tail.calls, 0.999).unwrap();
        assert_eq!(none.extra, 0.0);
        for tail in &tails[1..] {
            let (arm, cut) = (tail.arm, p999(none) / p999(tail));
            assert!(cut > 15.0, "{arm:?}: {cut}");
            assert!(
                (0.01..0.07).contains(&tail.extra),
                "{arm:?}: {}",
                tail.extra
            );
            let slow = slow(&tail.requests, params.slow_ms);
            assert!(slow < 0.05, "{arm:?}: {slow}");
        }
    }

    /// With a fifth of the calls slow the 95th percentile is slow itself, and what would help, a
    /// hedge after 30 ms for each of them, the budget doesn't pay for.
    #[test]
    fn the_budget_bounds_the_hedges() {
        let params = Params {
            slow_share: 0.2,
            calls: 40_000,
            ..Params::default()
        };
        let tails = measure(&params, &Run::new(9));
        let fixed = tails.iter().find(|tail| tail.arm == Arm::Fixed).unwrap();
        assert!((0.08..0.105).contains(&fixed.extra), "{}", fixed.extra);
    }

    #[test]
    fn out_of_range_names_the_flag() {
        let params = Params {
            slow_share: 0.6,
            ..Params::default()
        };
        let error = run(&params, &Run::new(1)).unwrap_err().to_string();
        assert_eq!(error, "--slow-share 0.6 is not in 0 to 0.5");
    }
}

//! `overload`: what a server gets done when it is asked for more than it can do.
//!
//! Callers come open loop, at a multiple of what the server can do, and leave after a time-out. The
//! server works on for those who have left. Let in without a limit, all requests wait in one queue
//! that only grows; soon each waits for longer than its caller, and everything the server does is
//! in vain: goodput falls from the capacity to nothing, at a load just above it. With a limit the
//! rest is refused at the door, at no cost, and goodput stays near the capacity. Which law finds
//! the limit matters less than that there is one; what `shed` adds is *who* is served.
//!
//! The limiters are the presets of servers ([`resilience::server::preset`]), fitted to the modelled
//! server as [`Fit`](crate::model::Fit) tells. Callers make one attempt each, and are the same for
//! all limiters. They are of one level of priority, but for one cell more: `shed` at twice the
//! capacity with callers of all levels.
//!
//! **It misleads** in that refusals are free. In a real server they cost too, and at some multiple
//! of the capacity they cost all of it.
//!
//! Source: "Site Reliability Engineering", chapters 21 and 22; B. Maurer, "Fail at Scale", ACM
//! Queue 2015; Netflix, concurrency-limits.

mod report;
mod world;

use std::time::Duration;

use resilience::server;

use super::list;
use crate::error::{SimError, all_within, within};
use crate::report::Outcome;
use crate::run::Run;

use world::Seen;

/// What it is called.
pub const NAME: &str = "overload";

/// What it shows.
pub const SHOWS: &str = "goodput of a server asked for more than it can do, by its limiter";

/// The limiter that tells levels apart,
const BY_LEVEL: &str = "shed";

/// and the load, as a multiple of capacity, at which it is shown.
const BY_LEVEL_LOAD: f64 = 2.0;

/// Parameters; every load is tried with every limiter.
#[derive(Clone, Debug)]
pub struct Params {
    /// Offered loads (`--load`), as multiples of the capacity, 0.05 to 10.
    pub loads: Vec<f64>,
    /// Requests a second that the server can do (`--capacity`), 50 to 5 000.
    pub capacity: f64,
    /// How long callers wait for an answer (`--timeout`), 50 ms to 2 s.
    pub timeout: Duration,
    /// How long each load is watched (`--duration`), 5 s to 10 minutes.
    pub duration: Duration,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            loads: vec![
                0.2, 0.4, 0.5, 0.6, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 2.5, 3.0,
            ],
            capacity: 800.0,
            timeout: Duration::from_millis(250),
            duration: Duration::from_secs(20),
        }
    }
}

/// One cell: a limiter under a load.
#[derive(Clone, Copy, Debug)]
struct Spot {
    limiter: &'static str,
    load: f64,
    /// Whether callers are of all levels.
    mixed: bool,
}

/// Runs it.
///
/// # Errors
/// [`SimError::Parameter`] for a parameter out of its range.
pub fn run(params: &Params, run: &Run) -> Result<Outcome, SimError> {
    check(params)?;
    let spots = spots(params);
    let seen = measure(params, &spots, run);
    let time = |time: Duration| humantime::format_duration(time).to_string();
    Ok(Outcome {
        name: NAME,
        title: "Overload: what a server gets done in time, by its limiter".to_owned(),
        seed: run.seed,
        parameters: vec![
            ("seed", run.seed.to_string()),
            ("load", list(&params.loads)),
            ("capacity", format!("{} requests/s", params.capacity)),
            ("workers", world::fit(params).workers.to_string()),
            ("time-out", time(params.timeout)),
            ("duration", time(params.duration)),
        ],
        rows: report::rows(params, &spots, &seen),
        tables: report::tables(params, &spots, &seen),
        notes: report::notes(),
        chart: report::chart(params, &spots, &seen),
    })
}

fn check(params: &Params) -> Result<(), SimError> {
    all_within("--load", &params.loads, &(0.05..=10.0))?;
    within("--capacity", params.capacity, 50.0..=5_000.0)?;
    span("--timeout", params.timeout, 0.05, 2.0)?;
    span("--duration", params.duration, 5.0, 600.0)
}

/// Checks a duration, by seconds.
fn span(flag: &'static str, value: Duration, least: f64, most: f64) -> Result<(), SimError> {
    if (least..=most).contains(&value.as_secs_f64()) {
        return Ok(());
    }
    let problem = format!("is not in {least} to {most} seconds");
    let value = humantime::format_duration(value);
    Err(SimError::parameter(flag, value, problem))
}

/// All cells, by limiter, then load; the one with levels is the last.
fn spots(params: &Params) -> Vec<Spot> {
    let limiters = server::preset::names().iter();
    let alike = limiters.flat_map(|&limiter| {
        let spot = move |&load| Spot {
            limiter,
            load,
            mixed: false,
        };
        params.loads.iter().map(spot)
    });
    let by_level = Spot {
        limiter: BY_LEVEL,
        load: BY_LEVEL_LOAD,
        mixed: true,
    };
    alike.chain([by_level]).collect()
}

fn measure(params: &Params, spots: &[Spot], run: &Run) -> Vec<Seen> {
    let root = run.root(NAME);
    let fit = world::fit(params);
    let results = run.repeat(spots.len(), 1, |i, _| {
        let Spot {
            limiter,
            load,
            mixed,
        } = spots[i];
        // Every limiter is a preset: its name is in their list.
        let policy = fit.named(limiter).unwrap_or_else(server::preset::unlimited);
        // The same for all limiters: they meet the same callers.
        world::look(params, policy, load, mixed, root.nth(load.to_bits()))
    });
    results.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use resilience::Priority;

    fn params(load: f64) -> Params {
        Params {
            loads: vec![load],
            duration: Duration::from_secs(5),
            ..Params::default()
        }
    }

    fn at(load: f64) -> Vec<(Spot, Seen)> {
        let spots = spots(&params(load));
        let seen = measure(&params(load), &spots, &Run::new(11));
        spots.into_iter().zip(seen).collect()
    }

    fn answered(seen: &Seen, level: Priority) -> f64 {
        let fate = seen.fates[level as usize];
        fate.answered as f64 / fate.asked as f64
    }

    #[test]
    fn at_half_the_capacity_no_limiter_is_in_the_way() {
        for (spot, seen) in at(0.5).iter().filter(|(spot, _)| !spot.mixed) {
            let answered = answered(seen, Priority::Critical);
            assert!(answered >= 0.95, "{spot:?}: {answered}");
        }
    }

    /// SRE book, chapter 22: a server without a limit does nothing but wasted work under overload;
    /// one that refuses what it can't do keeps its throughput. And one that knows levels keeps what
    /// matters most (chapter 21).
    #[test]
    fn at_twice_the_capacity_only_a_limit_gets_anything_done() {
        for (spot, seen) in at(2.0) {
            let goodput = report::goodput(&params(2.0), seen.all());
            if spot.limiter == "unlimited" {
                assert!(goodput < 0.2, "{spot:?}: {goodput}");
                assert!(seen.wasted > 0.9, "{spot:?}: {}", seen.wasted);
                assert_eq!((seen.all().refused, seen.limit), (0, None));
            } else {
                assert!(goodput >= 0.8, "{spot:?}: {goodput}");
            }
            if spot.mixed {
                let plus = answered(&seen, Priority::CriticalPlus);
                assert!(plus >= 0.95, "{plus}");
                let least = seen.fates[Priority::Sheddable as usize];
                assert!(least.refused * 10 >= least.asked * 9, "{least:?}");
            }
        }
    }

    #[test]
    fn senseless_parameters_are_refused_by_their_flag() {
        let with = |change: fn(&mut Params)| {
            let mut params = Params::default();
            change(&mut params);
            run(&params, &Run::new(1)).unwrap_err().to_string()
        };
        let flags = [
            (with(|params| params.loads = vec![0.0]), "--load 0 "),
            (with(|params| params.capacity = 10.0), "--capacity 10 "),
            (
                with(|params| params.timeout = Duration::ZERO),
                "--timeout 0s ",
            ),
            (
                with(|params| params.duration = Duration::ZERO),
                "--duration 0s ",
            ),
        ];
        for (error, flag) in flags {
            assert!(error.starts_with(flag), "{error}");
        }
    }
}

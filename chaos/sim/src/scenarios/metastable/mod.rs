//! `metastable`: an overload that outlives its cause.
//!
//! Callers come at a steady rate, open loop. For a moment (the trigger) the server stands still; its
//! queue fills. When it works again, the queue is longer than callers wait: it works on answers
//! nobody waits for, every attempt times out, and retries bring more load than the server can do.
//! Below some load it comes back by itself; above, with retries alone, it stays down for ever,
//! however the retries wait, since delay does not reduce an open-loop load. It comes back when
//! something takes load away: a budget (`grpc-a6`), a breaker, or a server that sheds (`shed`: the
//! callers are those of `naive`, only the server differs. Its limit is its four workers, so that
//! all who wait do so at its door, where they are refused after 100 ms: what it works on is never
//! older than that, and its answers come in time).
//!
//! It takes a queue longer than capacity × time-out, and a server that works on for callers who
//! have left: the usual state of things. With up to 3 attempts a call, naive retries can hold the
//! server down from a third of its capacity on. Above capacity nothing helps everybody.
//!
//! Source: Bronson et al., "Metastable Failures in Distributed Systems", HotOS '21; Huang et al.,
//! "Metastable Failures in the Wild", OSDI '22.

mod arms;
mod map;
mod verdict;
mod world;

use std::time::Duration;

use super::list;
use crate::error::{SimError, all_within, within};
use crate::report::chart::{Chart, Map, Panel};
use crate::report::{Outcome, Rows, Table, Value};
use crate::run::Run;
use crate::stats::Sample;

use crate::model::ServiceTime;

use arms::Arm;
pub use map::{Field, Grid, map};
use verdict::Verdict;
use world::Seen;
pub use world::{Callers, Shop};

/// What it is called.
pub const NAME: &str = "metastable";

/// What it shows.
pub const SHOWS: &str = "overload that outlives its trigger: map of load and trigger, by policy";

/// A shop that answers this share of its callers is up. Above capacity no policy can: at 110 % of
/// it, nine in eleven are the most there is.
pub const UP: f64 = 0.95;

/// One that answers less than this has stayed down. Between the two lie a breaker that opens now
/// and then by mistake, and the mean of repetitions that went either way.
pub const DOWN: f64 = 0.5;

/// Calls a second that the server can do: 4 workers, 20 ms each on average.
const CAPACITY: f64 = 200.0;
const WORKERS: u32 = 4;
const SERVICE: Duration = Duration::from_millis(20);

/// Requests that may wait: a second's work, four times the time-out of an attempt.
const QUEUE: usize = 200;

/// Before the trigger.
const WARM_UP: Duration = Duration::from_secs(5);

/// After it, until it is looked whether the server has come back: even at 90 % of its capacity a
/// full queue is worked off in ten.
const SETTLE: Duration = Duration::from_secs(20);

/// How long it is looked.
const WATCH: Duration = Duration::from_secs(10);

/// The scenario's server. It stands still for the trigger.
fn shop() -> Shop {
    Shop {
        workers: WORKERS,
        service: ServiceTime::Exponential(SERVICE),
        queue: QUEUE,
        left: 0,
        poisson: true,
        before: WARM_UP,
        settle: SETTLE,
        watch: WATCH,
    }
}

/// Parameters; every combination is a cell, for each arm.
#[derive(Clone, Debug)]
pub struct Params {
    /// Offered loads (`--load`), as shares of the server's capacity, 0.05 to 2.
    pub loads: Vec<f64>,
    /// How long the server stands still (`--trigger`), in seconds, 0 to 30.
    pub triggers: Vec<f64>,
    /// Repetitions of each cell (`--repetitions`), 1 to 1 000.
    pub repetitions: u32,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            loads: vec![0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.1],
            triggers: vec![0.0, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0],
            repetitions: 3,
        }
    }
}

/// One field of the map.
#[derive(Clone, Copy, Debug)]
struct Spot {
    arm: Arm,
    load: f64,
    trigger: f64,
}

/// Runs it.
///
/// # Errors
/// [`SimError::Parameter`] for a parameter out of its range.
pub fn run(params: &Params, run: &Run) -> Result<Outcome, SimError> {
    all_within("--load", &params.loads, &(0.05..=2.0))?;
    all_within("--trigger", &params.triggers, &(0.0..=30.0))?;
    within("--repetitions", params.repetitions, 1..=1_000)?;
    let spots = spots(params);
    let seen = measure(&spots, params.repetitions, run);
    Ok(Outcome {
        name: NAME,
        title: "Metastability: which policies come back after the trigger is gone".to_owned(),
        seed: run.seed,
        parameters: vec![
            ("seed", run.seed.to_string()),
            ("load", list(&params.loads)),
            ("trigger (s)", list(&params.triggers)),
            ("repetitions", params.repetitions.to_string()),
            ("capacity", format!("{CAPACITY} calls/s")),
            ("queue", format!("{QUEUE} requests")),
        ],
        rows: rows(&spots, &seen),
        tables: arms::ALL
            .iter()
            .map(|arm| table(*arm, params, &spots, &seen))
            .chain([verdicts(&spots, &seen)])
            .collect(),
        notes: vec![format!(
            "Fields: per cent of the calls that are answered, from {} s to {} s after the server \
             works again. Down the side: how long it stood still (s). Along the top: offered load, \
             in per cent of capacity. Up is {} % and more, down less than {} %. Above capacity \
             nobody can be up.",
            SETTLE.as_secs(),
            (SETTLE + WATCH).as_secs(),
            percent(UP),
            percent(DOWN)
        )],
        chart: chart(params, &spots, &seen),
    })
}

/// All fields, by arm, then trigger, then load.
fn spots(params: &Params) -> Vec<Spot> {
    let mut spots = Vec::new();
    for &arm in &arms::ALL {
        for &trigger in &params.triggers {
            let loads = params.loads.iter();
            spots.extend(loads.map(|&load| Spot { arm, load, trigger }));
        }
    }
    spots
}

/// What is seen after the trigger is gone, for each field: the mean over repetitions.
fn measure(spots: &[Spot], repetitions: u32, run: &Run) -> Vec<Seen> {
    let root = run.root(NAME);
    let shop = shop();
    let results = run.repeat(spots.len(), repetitions, |i, repetition| {
        let Spot { arm, load, trigger } = spots[i];
        // The same for all arms: they meet the same callers and the same service times.
        let seed = root
            .nth(load.to_bits())
            .nth(trigger.to_bits())
            .nth(repetition);
        let trigger = Duration::from_secs_f64(trigger);
        world::look(&shop, &arm.callers(), load * CAPACITY, trigger, seed)
    });
    let mean = |seen: &[Seen], figure: fn(&Seen) -> f64| {
        seen.iter().map(figure).collect::<Sample>().mean()
    };
    results
        .iter()
        .map(|seen| Seen {
            goodput: mean(seen, |seen| seen.goodput),
            attempts: mean(seen, |seen| seen.attempts / CAPACITY),
        })
        .collect()
}

fn rows(spots: &[Spot], seen: &[Seen]) -> Rows {
    let mut rows = Rows::new([
        "arm",
        "load",
        "trigger_s",
        "goodput_share",
        "attempts_share",
        "up",
    ]);
    for (spot, seen) in spots.iter().zip(seen) {
        rows.push([
            Value::name(spot.arm.name()),
            Value::Real(spot.load, 3),
            Value::Real(spot.trigger, 3),
            Value::Real(seen.goodput, 4),
            Value::Real(seen.attempts, 3),
            Value::Flag(seen.goodput >= UP),
        ]);
    }
    rows
}

/// An arm's shares, a row for each trigger.
fn shares_of(arm: Arm, params: &Params, spots: &[Spot], seen: &[Seen]) -> Vec<Vec<f64>> {
    let mine = spots.iter().zip(seen).filter(|(spot, _)| spot.arm == arm);
    let mine: Vec<f64> = mine.map(|(_, seen)| seen.goodput).collect();
    mine.chunks(params.loads.len())
        .map(<[f64]>::to_vec)
        .collect()
}

fn table(arm: Arm, params: &Params, spots: &[Spot], seen: &[Seen]) -> Table {
    let head = params.loads.iter().map(|load| percent(*load));
    let title = format!("{}: {}", arm.name(), arm.says());
    let mut table = Table::new(title, std::iter::once("trigger".to_owned()).chain(head));
    for (trigger, row) in params
        .triggers
        .iter()
        .zip(shares_of(arm, params, spots, seen))
    {
        let cells = row.iter().map(|share| percent(*share));
        table.push(std::iter::once(trigger.to_string()).chain(cells));
    }
    table
}

fn verdicts(spots: &[Spot], seen: &[Seen]) -> Table {
    let mut table = Table::new("In words", ["policy", "after the trigger"]);
    for arm in arms::ALL {
        let words = Verdict::of(arm, spots, seen).words();
        table.push([arm.name().to_owned(), words]);
    }
    table
}

fn chart(params: &Params, spots: &[Spot], seen: &[Seen]) -> Chart {
    let panel = |arm: &Arm| {
        Panel::Map(Map {
            title: arm.name().to_owned(),
            x_label: "offered load (% of capacity)".to_owned(),
            columns: params.loads.iter().map(|load| percent(*load)).collect(),
            y_label: "trigger: the server stands still (s)".to_owned(),
            rows: params.triggers.iter().map(ToString::to_string).collect(),
            shares: shares_of(*arm, params, spots, seen),
        })
    };
    Chart {
        title: "Calls answered after the trigger is gone (%), by policy".to_owned(),
        panels: arms::ALL.iter().map(panel).collect(),
    }
}

fn percent(share: f64) -> String {
    format!("{:.0}", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Seed;

    fn look(arm: Arm, load: f64, trigger: u64) -> Seen {
        let trigger = Duration::from_secs(trigger);
        world::look(
            &shop(),
            &arm.callers(),
            load * CAPACITY,
            trigger,
            Seed::new(11),
        )
    }

    /// HotOS '21: the overload stays when its cause is gone, and waiting between attempts does not
    /// help: the load is open loop. Every call makes its 3 attempts.
    #[test]
    fn retries_alone_keep_the_server_down_however_they_wait() {
        let seen = [Arm::Naive, Arm::FullJitter].map(|arm| look(arm, 0.6, 2));
        for seen in seen {
            assert!(seen.goodput < 0.05, "{seen:?}");
            assert!((seen.attempts / CAPACITY - 1.8).abs() < 0.2, "{seen:?}");
        }
        assert_ne!(seen[0].attempts, seen[1].attempts, "the arms are two");
    }

    /// A cell of the map, worked out by the scenario itself.
    fn goodput(arm: Arm, load: f64, spots: &[Spot], seen: &[Seen]) -> f64 {
        let at = |spot: &Spot| spot.arm == arm && spot.load == load;
        seen[spots.iter().position(at).unwrap()].goodput
    }

    /// Issue 4, figure 2, on a part of the map. With 3 attempts a call, less than a third of the
    /// capacity can't be amplified above it: everybody comes back. From there on it takes something
    /// that takes load away. Above capacity there is no answer for everybody.
    #[test]
    fn the_map_has_its_regions() {
        let params = Params {
            loads: vec![0.25, 0.6, 0.8, 1.2],
            triggers: vec![2.0],
            repetitions: 1,
        };
        let spots = spots(&params);
        let seen = measure(&spots, params.repetitions, &Run::new(11));
        for arm in arms::ALL {
            let at = |load| goodput(arm, load, &spots, &seen);
            assert!(at(0.25) >= UP, "{arm:?} at low load: {}", at(0.25));
            assert!(at(1.2) < UP, "{arm:?} above capacity: {}", at(1.2));
            let retries_alone = matches!(arm, Arm::Naive | Arm::FullJitter);
            for load in [0.6, 0.8] {
                let (held, is) = (at(load), if retries_alone { "down" } else { "up" });
                let as_expected = if retries_alone {
                    held < DOWN
                } else {
                    held >= UP
                };
                assert!(as_expected, "{arm:?} is not {is} at {load}: {held}");
            }
        }
        let words = verdicts(&spots, &seen).text();
        assert_eq!(
            words.matches("stays down from a load of 60 %").count(),
            2,
            "{words}"
        );
        assert_eq!(
            words.matches("comes back at every load").count(),
            3,
            "{words}"
        );
    }
}

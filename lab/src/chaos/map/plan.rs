//! What will be measured, and how long that takes.

use std::time::Duration;

use anyhow::{Result, bail};
use chaos_engine::Scenario;
use chaos_engine::scenario::map::{DOWN, Map as Section, Model, Point, UP};
use chaos_report::map::{
    Agreement, ArmMap, Background, Map, MapPoint, Measured, SCHEMA_VERSION, Server, Simulated,
};
use chaos_sim::kernel::Seed;

use super::{section, simulate};
use crate::cli::RunArgs;
use crate::text;

/// Settling, preparing and counting around the load of a trial.
const AROUND: Duration = Duration::from_secs(4);

/// Starting and ending the shop of a point.
const SHOP: Duration = Duration::from_secs(6);

/// The runs of a map.
pub(super) struct Plan {
    pub(super) arms: Vec<String>,
    pub(super) repeats: u32,
    pub(super) seed: u64,
    pub(super) points: Vec<Planned>,
    /// What each point takes.
    takes: Vec<Duration>,
}

/// A point, and the run that measures it.
pub(super) struct Planned {
    pub(super) at: Point,
    pub(super) seed: u64,
    /// Its folder, below the map's.
    pub(super) dir: String,
    /// What it is, for people.
    says: String,
}

impl Plan {
    /// # Errors
    /// When the scenario has no `[map]`, or an arm that is asked for isn't in it.
    pub(super) fn new(scenario: &Scenario, args: &RunArgs) -> Result<Self> {
        let map = section(scenario)?;
        let arms = arms(&map.arms, &args.arms)?;
        // Below 2^53, so that every reader of JSON keeps it.
        let seed = args.seed.unwrap_or_else(|| rand::random::<u64>() >> 11);
        let repeats = args.repeats.unwrap_or(1);
        let points = planned(map, seed);
        let trials = repeats * u32::try_from(arms.len()).unwrap_or(u32::MAX);
        let shop = if args.ground.attach || args.ground.target.is_some() {
            Duration::ZERO
        } else {
            SHOP
        };
        let takes = |planned: &Planned| {
            let at = scenario.at(&planned.at);
            let load =
                at.map(|at| at.schedule(args.quick).warm_up + at.schedule(args.quick).duration);
            (load.unwrap_or_default() + AROUND) * trials + shop
        };
        Ok(Self {
            takes: points.iter().map(takes).collect(),
            arms,
            repeats,
            seed,
            points,
        })
    }

    /// What will happen, and how long it takes.
    pub(super) fn announced(&self, scenario: &Scenario, args: &RunArgs) -> String {
        let all: Duration = self.takes.iter().sum();
        let trials = self.points.len() * self.arms.len() * self.repeats as usize;
        let quick = if args.quick {
            ""
        } else {
            "; --quick is shorter"
        };
        format!(
            "{}, map: points {}, arms {}, trials {trials}, {}, seed {}{quick}\nthe simulator first",
            scenario.name,
            self.points.len(),
            self.arms.join(", "),
            minutes(all),
            self.seed
        )
    }

    /// Which point is next, and how long the rest takes.
    pub(super) fn progress(&self, i: usize) -> String {
        let left: Duration = self.takes[i..].iter().sum();
        format!(
            "point {} of {}: {}, {} left",
            i + 1,
            self.points.len(),
            self.points[i].says,
            minutes(left)
        )
    }

    /// The map as the simulator draws it, with nothing measured yet.
    ///
    /// # Errors
    /// When the simulator can't run it.
    pub(super) fn unmeasured(&self, scenario: &Scenario, args: &RunArgs) -> Result<Map> {
        let map = section(scenario)?;
        let (look, model) = (map.look(args.quick), &map.model);
        let warm_up = scenario.schedule(args.quick).warm_up;
        let arms = self.arms.iter().map(|name| {
            let background = simulate::background(map, name, (look, warm_up), self.seed)?;
            Ok(self.arm(name, background, model.capacity()))
        });
        Ok(Map {
            schema_version: SCHEMA_VERSION,
            scenario: scenario.name.clone(),
            shows: scenario.shows.clone(),
            because: map.because.clone(),
            seed: self.seed,
            quick: args.quick,
            repeats: self.repeats,
            environment: None,
            trigger: map.fault.clone(),
            server: server(model),
            before_s: look.before.as_secs_f64(),
            settle_s: look.settle.as_secs_f64(),
            watch_s: look.watch.as_secs_f64(),
            up: UP,
            down: DOWN,
            arms: arms.collect::<Result<_>>()?,
            stopped: None,
            verdict: Agreement::Undecided,
            says: String::new(),
        })
    }

    /// An arm's points on its background, none of them measured.
    fn arm(&self, name: &str, background: Background, capacity: f64) -> ArmMap {
        let point = |planned: &Planned| MapPoint {
            trigger_s: planned.at.trigger.as_secs_f64(),
            rate: planned.at.rate,
            load: planned.at.rate / capacity,
            seed: planned.seed,
            dir: planned.dir.clone(),
            measured: Measured::nothing("it was not run"),
            simulated: Simulated::share(simulate::at(&background, &planned.at)),
            agreement: Agreement::Undecided,
        };
        ArmMap {
            name: name.to_owned(),
            points: self.points.iter().map(point).collect(),
            background,
        }
    }
}

fn server(model: &Model) -> Server {
    Server {
        link: model.link.clone(),
        at_once: model.at_once,
        left: model.left,
        service_time_s: model.service_time.as_secs_f64(),
        queue: model.queue,
        capacity_rps: model.capacity(),
    }
}

/// Every point with its run; their seeds follow from the map's.
fn planned(map: &Section, seed: u64) -> Vec<Planned> {
    let root = Seed::new(seed).role("points");
    let one = |(i, at): (u64, Point)| Planned {
        at,
        seed: root.nth(i).value() >> 11,
        dir: format!("points/{}-{}", written(at.trigger), at.rate),
        says: format!(
            "{} of {} at {} a second ({:.0} % of the capacity)",
            map.fault,
            humantime::format_duration(at.trigger),
            at.rate,
            at.rate / map.model.capacity() * 100.0
        ),
    };
    (0..).zip(map.points()).map(one).collect()
}

/// The map's arms, or those of them that are asked for.
fn arms(known: &[String], asked: &[String]) -> Result<Vec<String>> {
    for name in asked {
        if !known.contains(name) {
            let hint = text::suggest(name, known.iter().map(String::as_str));
            bail!(
                "[map] has no arm {name:?}{hint}; it has {}",
                known.join(", ")
            );
        }
    }
    let wanted = |name: &&String| asked.is_empty() || asked.contains(name);
    Ok(known.iter().filter(wanted).cloned().collect())
}

/// A duration as it stands in the name of a folder: `1s500ms`.
fn written(duration: Duration) -> String {
    humantime::format_duration(duration)
        .to_string()
        .replace(' ', "")
}

fn minutes(duration: Duration) -> String {
    format!("about {} min", duration.as_secs().div_ceil(60).max(1))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{ChaosCommand, Cli, Command};

    fn storm() -> Scenario {
        let text = include_str!("../../../../chaos/scenarios/retry-storm.toml");
        Scenario::parse(text, "retry-storm.toml").unwrap()
    }

    fn args(more: &[&str]) -> RunArgs {
        let line = ["lab", "chaos", "run", "retry-storm", "--map"];
        match Cli::try_parse_from(line.iter().chain(more))
            .unwrap()
            .command
        {
            Command::Chaos(ChaosCommand::Run(args)) => args,
            other => panic!("{other:?}"),
        }
    }

    fn plan(more: &[&str]) -> Plan {
        Plan::new(&storm(), &args(more)).unwrap()
    }

    #[test]
    fn the_quick_map_of_retry_storm_takes_at_most_a_quarter_of_an_hour() {
        let quick = plan(&["--quick", "--seed", "7"]);
        let all: Duration = quick.takes.iter().sum();
        assert!(all <= Duration::from_secs(15 * 60), "{all:?}");
        let said = quick.announced(&storm(), &args(&["--quick"]));
        assert!(
            said.contains("points 9, arms naive, grpc-a6, trials 18, about 14 min, seed 7"),
            "{said}"
        );
        let one = plan(&["--arms", "naive", "--repeats", "3"]);
        assert_eq!((one.arms.len(), one.repeats), (1, 3));
        assert!(
            quick
                .progress(8)
                .starts_with("point 9 of 9: dip of 5s at 150 a second (75 % of the capacity)")
        );
    }

    #[test]
    fn points_have_folders_and_seeds_of_their_own_that_the_seed_decides() {
        let (one, again) = (plan(&["--seed", "7"]), plan(&["--seed", "7"]));
        let other = plan(&["--seed", "8"]);
        let seeds = |plan: &Plan| plan.points.iter().map(|p| p.seed).collect::<Vec<_>>();
        assert_eq!(seeds(&one), seeds(&again));
        assert!(seeds(&one).iter().zip(seeds(&other)).all(|(a, b)| *a != b));
        let mut all = seeds(&one);
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 9);
        assert!(all.iter().all(|seed| *seed < 1 << 53));
        let dirs: Vec<_> = one.points.iter().map(|p| &*p.dir).collect();
        assert_eq!((dirs[0], dirs[8]), ("points/200ms-50", "points/5s-150"));
        assert_eq!(written(Duration::from_millis(1_500)), "1s500ms");
    }

    #[test]
    fn an_arm_outside_of_the_map_and_a_scenario_without_one_are_told() {
        let told = |scenario: &Scenario, more: &[&str]| {
            let refused = Plan::new(scenario, &args(more)).err().unwrap();
            refused.to_string()
        };
        let said = told(&storm(), &["--arms", "grpc-a7"]);
        assert!(said.contains("did you mean \"grpc-a6\"?"), "{said}");
        let mut without = storm();
        without.map = None;
        let said = told(&without, &[]);
        assert!(said.contains("retry-storm has no [map]"), "{said}");
        let both = ["lab", "chaos", "run", "x", "--map", "--negative-control"];
        assert!(Cli::try_parse_from(both).is_err());
    }
}

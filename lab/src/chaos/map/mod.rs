//! `lab chaos run NAME --map`: the scenario at several sizes of its trigger and its load, over what
//! the simulator says of them.

mod measure;
mod plan;
mod simulate;
mod table;

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use chaos_engine::{EngineError, Options, Scenario};
use chaos_report::map::{Agreement, Map};

use self::plan::Plan;
use super::run::{out_dir, read_all};
use super::session::{Session, require_writable};
use crate::cli::{Global, RunArgs};
use crate::exit::Exit;
use crate::place::Place;
use crate::supervisor::Spawner;

/// Measures every point of the scenario's `[map]` and compares it with the simulator: held when
/// all agree, failed when one disagrees, inconclusive when one can't be decided.
///
/// # Errors
/// When the scenario can't be found or has no `[map]`, or a point can't be run. What was measured
/// by then is written all the same.
pub async fn run(
    spawner: &Spawner,
    global: &Global,
    place: &Place,
    args: &RunArgs,
) -> Result<Exit> {
    if args.scenario == "all" {
        bail!("--map takes one scenario");
    }
    let Some(scenarios) = read_all(place, args)? else {
        return Ok(Exit::CannotRun);
    };
    let [scenario] = scenarios.as_slice() else {
        bail!("--map takes one scenario");
    };
    let plan = Plan::new(scenario, args)?;
    let out = out_dir(place, args, &format!("{}-map", scenario.name), false);
    require_writable(&out)?;
    eprintln!("{}", plan.announced(scenario, args));
    // Before anything is started: the simulator takes every core, and Ctrl-C has nothing to clear.
    let mut map = plan.unmeasured(scenario, args)?;
    let mut session = Session::open(spawner, global, place, &args.ground).await?;
    let ended = Box::pin(measure_all(
        &mut session,
        scenario,
        &plan,
        (args, &out),
        &mut map,
    ))
    .await;
    session.progress.clear();
    if map.environment.is_none() && ended.is_err() {
        // No point was measured, so there is no map; the error says why.
        return ended.map(|()| Exit::CannotRun);
    }
    let map = map.judged();
    show(&map, &out)?;
    ended?;
    Ok(match map.verdict {
        Agreement::Agree => Exit::Held,
        Agreement::Disagree => Exit::Failed,
        Agreement::Undecided => Exit::Inconclusive,
    })
}

/// Runs the points one after the other and fills them in.
async fn measure_all(
    session: &mut Session<'_>,
    scenario: &Scenario,
    plan: &Plan,
    (args, out): (&RunArgs, &Path),
    map: &mut Map,
) -> Result<()> {
    for (i, point) in plan.points.iter().enumerate() {
        session.progress.say(&plan.progress(i));
        let dir = out.join(&point.dir);
        let options = Options {
            arms: Some(plan.arms.clone()),
            repeats: Some(plan.repeats),
            seed: Some(point.seed),
            quick: args.quick,
            point: Some(point.at),
            out: dir.clone(),
            i_may_break_this: args.ground.i_may_break_this,
            ..Options::default()
        };
        let ended = Box::pin(session.run(scenario, &options)).await;
        let ended = ended.inspect_err(|error| map.stopped = Some(format!("{error:#}")))?;
        map.environment
            .get_or_insert_with(|| ended.result.environment.clone());
        for arm in &mut map.arms {
            arm.points[i].measured = measure::measured(&ended.result, &arm.name);
        }
        chaos_report::write(&dir).with_context(|| format!("the report of {}", dir.display()))?;
        if ended.interrupted {
            map.stopped = Some("interrupted".to_owned());
            break;
        }
    }
    Ok(())
}

fn show(map: &Map, out: &Path) -> Result<()> {
    println!("{}", table::render(map));
    let page = chaos_report::map::write(map, out)
        .with_context(|| format!("the map of {}", out.display()))?;
    for (what, path) in [
        ("map", out.join("map.json")),
        ("picture", out.join("map.svg")),
        ("report", page),
    ] {
        println!("{what:<7} {}", path.display());
    }
    Ok(())
}

/// What `--map` needs of a scenario.
///
/// # Errors
/// [`EngineError::NoMap`].
fn section(scenario: &Scenario) -> Result<&chaos_engine::scenario::Map> {
    let map = scenario.map.as_ref();
    Ok(map.ok_or_else(|| EngineError::NoMap(scenario.name.clone()))?)
}

#[cfg(test)]
mod tests {
    use chaos_report::map::{ArmMap, SCHEMA_VERSION, Server};

    use super::*;

    /// A map of these arms, as it is before it is judged.
    pub(super) fn map(arms: Vec<ArmMap>) -> Map {
        Map {
            schema_version: SCHEMA_VERSION,
            scenario: "storm".to_owned(),
            shows: "x".to_owned(),
            because: "x".to_owned(),
            seed: 1,
            quick: true,
            repeats: 1,
            environment: None,
            trigger: "dip".to_owned(),
            server: Server {
                link: "gateway-product".to_owned(),
                at_once: 10,
                left: 3,
                service_time_s: 0.05,
                queue: 10_000,
                capacity_rps: 200.0,
            },
            before_s: 3.0,
            settle_s: 20.0,
            watch_s: 8.0,
            up: 0.95,
            down: 0.5,
            arms,
            stopped: None,
            verdict: Agreement::Undecided,
            says: String::new(),
        }
    }
}

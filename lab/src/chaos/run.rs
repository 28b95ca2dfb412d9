//! `lab chaos run`: a scenario on a shop of its own, and what came out of it.

use std::path::PathBuf;

use anyhow::{Result, bail};
use chaos_engine::{Options, RunResult, Scenario};
use tokio::time::Instant;

use super::catalogue;
use super::session::{Session, require_writable};
use super::summary::{self, Summary};
use crate::cli::{Global, RunArgs};
use crate::exit::Exit;
use crate::ground::stamp;
use crate::place::Place;
use crate::supervisor::Spawner;
use crate::text;

/// Runs the scenarios that the argument stands for. Of several, the worst ending counts.
///
/// # Errors
/// When a scenario can't be found or read, or the first shop can't be built.
pub async fn run(
    spawner: &Spawner,
    global: &Global,
    place: &Place,
    args: &RunArgs,
) -> Result<Exit> {
    let Some(scenarios) = read_all(place, args)? else {
        return Ok(Exit::CannotRun);
    };
    let several = scenarios.len() > 1;
    let outs = scenarios.iter();
    let outs: Vec<_> = outs
        .map(|s| out_dir(place, args, &s.name, several))
        .collect();
    outs.iter().try_for_each(|out| require_writable(out))?;
    let mut session = Session::open(spawner, global, place, &args.ground).await?;
    let mut summary = Summary::new();
    let mut worst = Exit::Held;
    for (scenario, out) in scenarios.iter().zip(outs) {
        let began = Instant::now();
        let ended = Box::pin(session.run(scenario, &options(args, out.clone()))).await;
        session.progress.clear();
        match ended {
            Ok(ended) => {
                summary::show(&ended.result, &out)?;
                summary.ended(&ended.result, began.elapsed(), &out);
                worst = worst.worse(outcome(scenario, &ended.result, args));
                if ended.interrupted {
                    break;
                }
            }
            Err(error) if several => {
                worst = worst.worse(crate::complain(&error));
                summary.failed(&scenario.name, began.elapsed());
            }
            Err(error) => return Err(error),
        }
    }
    if several {
        summary.print(worst);
    }
    Ok(worst)
}

/// What a run's verdict means: the checks of a negative control must not hold. The table has said
/// whether they did.
fn outcome(scenario: &Scenario, result: &RunResult, args: &RunArgs) -> Exit {
    let control = scenario.negative_control.as_ref();
    let Some(control) = control.filter(|_| args.negative_control) else {
        return Exit::from_code(result.exit_code().into());
    };
    if control.objections(result).is_empty() {
        Exit::Held
    } else {
        Exit::Failed
    }
}

/// Reads every scenario before anything starts; `None` when one can't run, after saying why.
pub(super) fn read_all(place: &Place, args: &RunArgs) -> Result<Option<Vec<Scenario>>> {
    let mut scenarios = Vec::new();
    let mut sound = true;
    for file in catalogue::resolve_all(place, std::slice::from_ref(&args.scenario))? {
        match catalogue::read(&file)? {
            Ok(scenario) => {
                catalogue::warn(&scenario);
                require_arms(&scenario, &args.arms)?;
                scenarios.push(scenario);
            }
            Err(problems) => {
                eprintln!("{problems}");
                sound = false;
            }
        }
    }
    Ok(sound.then_some(scenarios))
}

fn require_arms(scenario: &Scenario, asked: &[String]) -> Result<()> {
    for name in asked {
        if scenario.arm(name).is_none() {
            let known: Vec<&str> = scenario.arms.iter().map(|arm| arm.name.as_str()).collect();
            let hint = text::suggest(name, known.iter().copied());
            bail!(
                "{} has no arm {name:?}{hint}; it has {}",
                scenario.name,
                known.join(", ")
            );
        }
    }
    Ok(())
}

pub(super) fn out_dir(place: &Place, args: &RunArgs, scenario: &str, several: bool) -> PathBuf {
    match &args.out {
        Some(out) if several => out.join(scenario),
        Some(out) => out.clone(),
        None => place.runs().join(format!("{}-{scenario}", stamp())),
    }
}

fn options(args: &RunArgs, out: PathBuf) -> Options {
    Options {
        arms: (!args.arms.is_empty()).then(|| args.arms.clone()),
        repeats: args.repeats,
        seed: args.seed,
        quick: args.quick,
        negative_control: args.negative_control,
        defects: args.defects.clone(),
        point: None,
        out,
        i_may_break_this: args.ground.i_may_break_this,
    }
}

//! `lab chaos run`: a scenario on a shop of its own, and what came out of it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use chaos_engine::{Options, RunResult, Scenario, Target};
use tokio_util::sync::CancellationToken;

use super::catalogue;
use super::watch::Watch;
use crate::cli::{Global, RunArgs};
use crate::compile::{self, Programs};
use crate::exit::Exit;
use crate::ground::{Ground, stamp};
use crate::interrupt::Interrupt;
use crate::place::Place;
use crate::progress::Progress;
use crate::state::State;
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
    let progress = Progress::new();
    let mut interrupt = Interrupt::listen()?;
    let programs = if args.attach {
        None
    } else {
        Some(tokio::select! {
            programs = compile::programs(place, global.bin_dir.as_deref(), &progress) => programs?,
            _ = interrupt.wait() => bail!("interrupted before anything was started"),
        })
    };
    let several = scenarios.len() > 1;
    let mut worst = Exit::Held;
    for scenario in &scenarios {
        let run = Run {
            place,
            programs: programs.as_ref(),
            progress: &progress,
            args,
            scenario,
        };
        let out = out_dir(place, args, &scenario.name, several);
        let ended = Box::pin(run.make(spawner, &out, &mut interrupt)).await;
        progress.clear();
        match ended {
            Ok(Ended {
                result,
                interrupted,
            }) => {
                report(&result, &out);
                worst = worst.worse(Exit::from_code(result.exit_code().into()));
                if interrupted {
                    break;
                }
            }
            Err(error) if several => worst = worst.worse(crate::complain(&error)),
            Err(error) => return Err(error),
        }
    }
    Ok(worst)
}

/// Reads every scenario before anything starts; `None` when one can't run, after saying why.
fn read_all(place: &Place, args: &RunArgs) -> Result<Option<Vec<Scenario>>> {
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

fn out_dir(place: &Place, args: &RunArgs, scenario: &str, several: bool) -> PathBuf {
    match &args.out {
        Some(out) if several => out.join(scenario),
        Some(out) => out.clone(),
        None => place.runs().join(format!("{}-{scenario}", stamp())),
    }
}

fn report(result: &RunResult, out: &Path) {
    println!("{}", result.table().trim_end());
    println!("\nresult {}", out.join("result.json").display());
}

/// One scenario on one shop.
struct Run<'a> {
    place: &'a Place,
    programs: Option<&'a Programs>,
    progress: &'a Progress,
    args: &'a RunArgs,
    scenario: &'a Scenario,
}

struct Ended {
    result: RunResult,
    interrupted: bool,
}

impl Run<'_> {
    async fn make(
        &self,
        spawner: &Spawner,
        out: &Path,
        interrupt: &mut Interrupt,
    ) -> Result<Ended> {
        let mut ground = match self.programs {
            Some(programs) => Ground::own_with(programs, self.place).await?,
            None => Ground::attach(self.place)?,
        };
        let ended = self.measure(&mut ground, spawner, out, interrupt).await;
        tokio::select! {
            () = ground.finish(self.progress) => {}
            _ = interrupt.wait() => self.progress.say("killing what still runs"),
        }
        ended
    }

    async fn measure(
        &self,
        ground: &mut Ground,
        spawner: &Spawner,
        out: &Path,
        interrupt: &mut Interrupt,
    ) -> Result<Ended> {
        tokio::select! {
            started = ground.start(spawner, self.progress) => started?,
            signal = interrupt.wait() => bail!("interrupted by {signal} while starting"),
        }
        let target = target(ground.state(), ground.token())?;
        let options = self.options(out);
        let watch = Watch::new(self.progress);
        let cancel = CancellationToken::new();
        let run = chaos_engine::run(self.scenario, &target, &options, &watch, cancel.clone());
        let mut run = Box::pin(run);
        let mut interrupted = false;
        loop {
            tokio::select! {
                result = &mut run => return Ok(Ended { result: result?, interrupted }),
                crash = ground.crash() => return Err(crash),
                signal = interrupt.wait() => {
                    if interrupted {
                        bail!("interrupted by {signal} again: the faults end with the shop");
                    }
                    interrupted = true;
                    self.progress.say(&format!("{signal}: clearing faults and closing the files"));
                    cancel.cancel();
                }
            }
        }
    }

    fn options(&self, out: &Path) -> Options {
        Options {
            arms: (!self.args.arms.is_empty()).then(|| self.args.arms.clone()),
            repeats: self.args.repeats,
            seed: self.args.seed,
            quick: self.args.quick,
            out: out.to_owned(),
            i_may_break_this: false,
        }
    }
}

/// The shop as the engine knows it: addresses by the short names of its parts.
fn target(state: &State, token: &str) -> Result<Target> {
    let url = |text: &str| text.parse().with_context(|| format!("{text} is not a URL"));
    let part = |name: &str| {
        state
            .part(name)
            .with_context(|| format!("the lab has no {name}"))
    };
    let mut target = Target {
        lab_token: token.to_owned(),
        proxy_api: Some(url(&part("toxiproxy")?.url)?),
        ..Target::new("embedded", url(&part("gateway")?.url)?)
    };
    for part in &state.parts {
        let name = part.name.trim_end_matches("-service").to_owned();
        if let Some(control) = &part.control {
            target.control.insert(name.clone(), url(control)?);
        }
        if let Some(metrics) = &part.metrics {
            target.metrics.insert(name.clone(), url(metrics)?);
        }
        if let Some(pid) = part.pid {
            target.pids.insert(name, pid);
        }
    }
    Ok(target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::PartState;

    fn part(name: &str, control: Option<&str>) -> PartState {
        PartState {
            name: name.to_owned(),
            kind: "service".to_owned(),
            url: "http://127.0.0.1:1000".to_owned(),
            grpc: None,
            metrics: Some("http://127.0.0.1:1001/metrics".to_owned()),
            control: control.map(str::to_owned),
            pid: Some(7),
            alive: String::new(),
            log: PathBuf::new(),
            ended: None,
        }
    }

    #[test]
    fn the_engine_is_told_of_every_part_by_its_short_name() {
        let control = Some("http://127.0.0.1:1002");
        let state = State {
            pid: 1,
            port_base: None,
            ready: true,
            parts: vec![
                part("toxiproxy", None),
                part("user-service", control),
                part("gateway", control),
            ],
        };
        let target = target(&state, "token").unwrap();
        assert_eq!(
            target.control.keys().collect::<Vec<_>>(),
            ["gateway", "user"]
        );
        assert_eq!(
            target.pids.keys().collect::<Vec<_>>(),
            ["gateway", "toxiproxy", "user"]
        );
        let without_gateway = State {
            parts: vec![part("toxiproxy", None)],
            ..state
        };
        assert!(super::target(&without_gateway, "token").is_err());
    }
}

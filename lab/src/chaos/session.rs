//! Runs of scenarios one after the other, each on its own shop or all on the same ground.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use chaos_engine::{Options, RunResult, Scenario, Target};
use tokio_util::sync::CancellationToken;

use super::target;
use super::watch::Watch;
use crate::cli::{Global, GroundArgs};
use crate::compile::{self, Programs};
use crate::ground::Ground;
use crate::interrupt::Interrupt;
use crate::place::Place;
use crate::progress::Progress;
use crate::replicas::Replicas;
use crate::runs;
use crate::state::State;
use crate::supervisor::Spawner;

/// What runs share.
pub struct Session<'a> {
    spawner: &'a Spawner,
    place: &'a Place,
    on: On,
    /// Where what happens is shown.
    pub progress: Progress,
    interrupt: Interrupt,
    _writes: runs::Writing,
}

/// What the scenarios are run on.
enum On {
    /// A shop of the run's own, of these programs.
    Own(Programs),
    /// The lab that runs.
    Attached,
    /// Another system.
    Other(Box<Target>),
}

/// How a run ended.
pub struct Ended {
    /// What it came to.
    pub result: RunResult,
    /// Somebody wants it to be the last.
    pub interrupted: bool,
}

impl<'a> Session<'a> {
    /// Makes sure of everything that can be known before the first run.
    ///
    /// # Errors
    /// When the target is none, no lab runs to attach to, or the programs can't be built.
    pub async fn open(
        spawner: &'a Spawner,
        global: &Global,
        place: &'a Place,
        args: &GroundArgs,
    ) -> Result<Self> {
        let other = args.target.as_deref();
        let other = other.map(Target::from_file).transpose()?;
        if args.attach {
            Ground::attach(place)?;
        }
        let progress = Progress::new();
        let mut interrupt = Interrupt::listen()?;
        let on = match other {
            Some(target) => On::Other(Box::new(target)),
            None if args.attach => On::Attached,
            None => On::Own(tokio::select! {
                built = compile::programs(place, global.bin_dir.as_deref(), &progress) => built?,
                _ = interrupt.wait() => bail!("interrupted before anything was started"),
            }),
        };
        Ok(Self {
            spawner,
            place,
            on,
            progress,
            interrupt,
            _writes: runs::Writing::in_folder(place)?,
        })
    }

    /// Runs a scenario from the start of its shop to the end of it.
    ///
    /// # Errors
    /// When the shop can't start, a part of it crashes, or the engine can't measure.
    pub async fn run(&mut self, scenario: &Scenario, options: &Options) -> Result<Ended> {
        let mut ground = match &self.on {
            On::Other(target) => {
                let target = (**target).clone();
                return self.measure(None, &target, scenario, options).await;
            }
            On::Attached => {
                let ground = Ground::attach(self.place)?;
                require_replicas(ground.state(), scenario)?;
                ground
            }
            On::Own(programs) => {
                Ground::own_with(programs, self.place, replicas(scenario)?).await?
            }
        };
        let ended = self.on_shop(&mut ground, scenario, options).await;
        tokio::select! {
            () = ground.finish(&self.progress) => {}
            _ = self.interrupt.wait() => self.progress.say("killing what still runs"),
        }
        ended
    }

    async fn on_shop(
        &mut self,
        ground: &mut Ground,
        scenario: &Scenario,
        options: &Options,
    ) -> Result<Ended> {
        tokio::select! {
            started = ground.start(self.spawner, &self.progress) => started?,
            signal = self.interrupt.wait() => bail!("interrupted by {signal} while starting"),
        }
        let mut target = target::of_shop(ground.state(), ground.token())?;
        target.processes = ground.processes()?;
        self.measure(Some(ground), &target, scenario, options).await
    }

    async fn measure(
        &mut self,
        ground: Option<&mut Ground>,
        target: &Target,
        scenario: &Scenario,
        options: &Options,
    ) -> Result<Ended> {
        let watch = Watch::new(&self.progress);
        let cancel = CancellationToken::new();
        let run = chaos_engine::run(scenario, target, options, &watch, cancel.clone());
        let mut run = Box::pin(run);
        let spawner = self.spawner;
        let crash = async {
            match ground {
                Some(ground) => ground.tend(spawner).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(crash);
        let mut interrupted = false;
        loop {
            tokio::select! {
                result = &mut run => return Ok(Ended { result: result?, interrupted }),
                crash = &mut crash => return Err(crash),
                signal = self.interrupt.wait() => {
                    if interrupted {
                        bail!("interrupted by {signal} again: {}", self.left_behind());
                    }
                    interrupted = true;
                    self.progress.say(&format!("{signal}: clearing faults and closing the files"));
                    cancel.cancel();
                }
            }
        }
    }

    fn left_behind(&self) -> &'static str {
        match self.on {
            On::Own(_) => "the faults end with the shop",
            On::Attached | On::Other(_) => "faults with a lease end with it, within 15 s",
        }
    }
}

fn replicas(scenario: &Scenario) -> Result<Replicas> {
    let wanted = scenario.replicas.iter();
    Replicas::new(wanted.map(|(part, count)| (part.as_str(), *count)))
        .with_context(|| format!("the topology of {}", scenario.name))
}

/// A lab that runs has the processes it has.
fn require_replicas(state: &State, scenario: &Scenario) -> Result<()> {
    for (part, &wanted) in &scenario.replicas {
        let replica = format!("{part}.");
        let of = |name: &str| name == part || name.starts_with(&replica);
        let count = state.parts.iter().filter(|p| of(&p.name)).count();
        if count != wanted as usize {
            bail!(
                "{} needs {wanted} of {part}, and the lab that runs has {count}: start it with \
                 `lab up --replicas {part}={wanted}`",
                scenario.name
            );
        }
    }
    Ok(())
}

/// Makes sure that a run can write there, before anything is built or started for it; leaves
/// nothing behind.
///
/// # Errors
/// When the folder can't be made or written.
pub fn require_writable(out: &Path) -> Result<()> {
    let is_new = !out.exists();
    let probe = out.join(".writable");
    std::fs::create_dir_all(out)
        .and_then(|()| std::fs::write(&probe, ""))
        .and_then(|()| std::fs::remove_file(&probe))
        .with_context(|| {
            format!(
                "cannot write into {}: name another with --out",
                out.display()
            )
        })?;
    if is_new {
        // Made again by the run; one that can't be removed holds something by now.
        let _ = std::fs::remove_dir(out);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_cannot_be_written_is_told_and_a_new_one_is_not_left() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("runs/one");
        require_writable(&out).unwrap();
        assert!(!out.exists());
        std::fs::write(dir.path().join("file"), "").unwrap();
        let told = require_writable(&dir.path().join("file/out")).unwrap_err();
        assert!(told.to_string().contains("--out"), "{told}");
    }
}

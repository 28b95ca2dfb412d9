//! `lab chaos rerun`: a run's log says what was run; the same again must meet the same faults.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use chaos_engine::runlog::{Entry, Header};
use chaos_engine::{Options, Scenario};

use super::session::{Session, require_writable};
use super::summary;
use crate::cli::{Global, RerunArgs};
use crate::exit::Exit;
use crate::ground::stamp;
use crate::place::Place;
use crate::supervisor::Spawner;

/// Runs it again, and compares what was decided in both. Exit 1 when a fault met other requests.
///
/// # Errors
/// When the folder holds no run, or it can't be run again.
pub async fn run(
    spawner: &Spawner,
    global: &Global,
    place: &Place,
    args: &RerunArgs,
) -> Result<Exit> {
    let header = header(&args.dir)?;
    let scenario = Scenario::parse(&header.source, &header.file).with_context(|| {
        format!(
            "the scenario in {} can't be read by this version",
            args.dir.display()
        )
    })?;
    let out = out_dir(place, args, &scenario.name);
    require_writable(&out)?;
    let options = options(&header, out.clone());
    let mut session = Session::open(spawner, global, place, &args.ground).await?;
    let ended = Box::pin(session.run(&scenario, &options)).await;
    session.progress.clear();
    let ended = ended?;
    summary::show(&ended.result, &out)?;
    if ended.interrupted {
        bail!("interrupted: there is nothing to compare");
    }
    compare(&args.dir, &out)
}

/// The first line of a run's log.
fn header(dir: &Path) -> Result<Header> {
    let path = dir.join("run.ndjson");
    let log = std::fs::File::open(&path)
        .with_context(|| format!("{} holds no run that can be repeated", dir.display()))?;
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(log), &mut line)
        .with_context(|| format!("cannot read {}", path.display()))?;
    match serde_json::from_str(&line) {
        Ok(Entry::Run(header)) => Ok(*header),
        _ => bail!("the first line of {} is no run's header", path.display()),
    }
}

/// What the log says was asked for, the file's defaults included.
fn options(header: &Header, out: PathBuf) -> Options {
    Options {
        arms: Some(header.arms.clone()),
        repeats: Some(header.repeats),
        seed: Some(header.seed),
        quick: header.quick,
        out,
    }
}

fn out_dir(place: &Place, args: &RerunArgs, scenario: &str) -> PathBuf {
    let usual = || place.runs().join(format!("{}-{scenario}-again", stamp()));
    args.out.clone().unwrap_or_else(usual)
}

fn compare(_first: &Path, _second: &Path) -> Result<Exit> {
    bail!("not yet")
}

//! `lab chaos rerun`: a run's log says what was run; the same again must meet the same faults.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use chaos_engine::Options;
use chaos_engine::decisions::{FaultHits, Hits, compare_hits};
use chaos_engine::runlog::{Entry, Header};

use super::session::{Session, require_writable};
use super::summary;
use crate::cli::{Global, RerunArgs};
use crate::exit::Exit;
use crate::ground::stamp;
use crate::place::Place;
use crate::supervisor::Spawner;
use crate::text;

/// Runs it again, and compares what was decided in both. Exit 1 when faults met other
/// requests.
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
    let scenario = header.scenario().with_context(|| {
        format!(
            "the scenario in {} can't be read by this version",
            args.dir.display()
        )
    })?;
    let out = out_dir(place, args, &scenario.name);
    require_writable(&out)?;
    let options = options(&header, args, out.clone());
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
fn options(header: &Header, args: &RerunArgs, out: PathBuf) -> Options {
    Options {
        arms: Some(header.arms.clone()),
        repeats: Some(header.repeats),
        seed: Some(header.seed),
        quick: header.quick,
        negative_control: header.negative_control,
        defects: header.defects.clone(),
        point: header.point,
        out,
        i_may_break_this: args.ground.i_may_break_this,
    }
}

fn out_dir(place: &Place, args: &RerunArgs, scenario: &str) -> PathBuf {
    let usual = || place.runs().join(format!("{}-{scenario}-again", stamp()));
    args.out.clone().unwrap_or_else(usual)
}

/// A fault is put in force and taken away at moments that differ by milliseconds, so a request at
/// an edge of its window may be hit in one run alone. More than this share of all hits is no edge.
const SAME: f64 = 0.98;

fn compare(first: &Path, second: &Path) -> Result<Exit> {
    let hits = compare_hits(first, second).context("the decisions of both runs")?;
    println!("\n{}", table(&hits));
    Ok(verdict(&hits))
}

fn table(hits: &FaultHits) -> String {
    let row = |name: &str, hits: &Hits| {
        let share = hits.share();
        let share = share.map_or("-".to_owned(), |share| format!("{:.2} %", share * 100.0));
        text::row([
            name,
            &hits.equal.to_string(),
            &hits.only_a.to_string(),
            &hits.only_b.to_string(),
            &share,
        ])
    };
    let mut rows = vec![text::row([
        "requests hit by",
        "in both",
        "first only",
        "second only",
        "the same",
    ])];
    rows.extend(hits.faults.iter().map(|(name, hits)| row(name, hits)));
    rows.push(row("of those made in both", &hits.requests_in_both));
    text::table(&rows)
}

/// Faults of connections and processes decide nothing request by request: they repeat by the
/// time line, and a run with such faults alone has nothing to compare.
fn verdict(hits: &FaultHits) -> Exit {
    if hits.all.share().is_none() {
        println!("no fault decided on a request: there is nothing to compare");
        return Exit::Inconclusive;
    }
    // Without one request that both made, they were other requests altogether.
    if hits.requests_in_both.share().is_some_and(|s| s >= SAME) {
        println!("the same requests were hit");
        return Exit::Held;
    }
    println!("the faults met other requests");
    Exit::Failed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(equal: u64, only_a: u64, only_b: u64) -> Hits {
        Hits {
            equal,
            only_a,
            only_b,
        }
    }

    fn judged(all: Hits, requests_in_both: Hits) -> Exit {
        verdict(&FaultHits {
            all,
            requests_in_both,
            ..FaultHits::default()
        })
    }

    #[test]
    fn an_edge_is_no_difference_and_a_fault_that_hits_others_is() {
        let none = hits(0, 0, 0);
        for (hits, exit) in [
            (hits(1_000, 0, 0), Exit::Held),
            (hits(1_000, 3, 2), Exit::Held),
            (hits(500, 250, 250), Exit::Failed),
            (none, Exit::Inconclusive),
        ] {
            assert_eq!(judged(hits, hits), exit, "{hits:?}");
        }
        assert_eq!(judged(hits(0, 70, 70), none), Exit::Failed);
    }

    #[test]
    fn a_folder_without_a_run_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let told = header(dir.path()).unwrap_err().to_string();
        assert!(told.contains("no run that can be repeated"), "{told}");
        std::fs::write(dir.path().join("run.ndjson"), "{}\n").unwrap();
        let told = header(dir.path()).unwrap_err().to_string();
        assert!(told.contains("no run's header"), "{told}");
    }
}

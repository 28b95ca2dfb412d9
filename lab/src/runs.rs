//! The folders that runs of scenarios and load leave: listed, and removed when they are old.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use serde_json::Value;

use crate::exit::Exit;
use crate::place::Place;
use crate::text;

/// How many runs `lab runs prune` keeps when it isn't told.
const KEPT: usize = 10;

/// The files by which a folder is known as a run's.
const MARKS: [&str; 4] = ["run.ndjson", "result.json", "load.json", "map.json"];

/// `lab runs …`
#[derive(Debug, Subcommand)]
pub enum RunsCommand {
    /// Every run with its verdict, newest first
    List,
    /// Remove old runs; says what it removed, and asks nothing
    Prune(PruneArgs),
}

/// `lab runs prune`
#[derive(Debug, clap::Args)]
pub struct PruneArgs {
    /// Keep the newest N [default: 10, unless --older-than says which]
    #[arg(long, value_name = "N")]
    pub keep: Option<usize>,
    /// Remove only what is older, as in 7d or 12h
    #[arg(long, value_name = "AGE", value_parser = humantime::parse_duration)]
    pub older_than: Option<Duration>,
}

/// Runs one of the two.
///
/// # Errors
/// When the folder can't be read, or a run writes there while it should be pruned.
pub fn run(place: &Place, command: &RunsCommand) -> Result<Exit> {
    match command {
        RunsCommand::List => list(place)?,
        RunsCommand::Prune(args) => prune(place, args)?,
    }
    Ok(Exit::Held)
}

/// A run writes into the folder of runs as long as this lives.
pub struct Writing {
    _lock: File,
}

impl Writing {
    /// Waits for a `prune` that is under way, which is short.
    ///
    /// # Errors
    /// When the folder can't be written.
    pub fn in_folder(place: &Place) -> Result<Self> {
        let lock = lock_file(place)?;
        lock.lock_shared().context("the lock of the runs")?;
        Ok(Self { _lock: lock })
    }
}

fn lock_file(place: &Place) -> Result<File> {
    let path = place.runs_lock();
    let failed = || format!("cannot open {}", path.display());
    std::fs::create_dir_all(&place.home).with_context(failed)?;
    File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .with_context(failed)
}

/// A run's folder.
struct Folder {
    path: PathBuf,
    changed: SystemTime,
    size: u64,
}

impl Folder {
    fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    fn age(&self) -> Duration {
        self.changed.elapsed().unwrap_or_default()
    }
}

/// The runs, newest first. What else lies there is none of the lab's business.
fn folders(dir: &Path) -> Result<Vec<Folder>> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("cannot read {}", dir.display()))?,
    };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        // The log is written to the end; the folder's own time moves when files are added.
        let marks = MARKS.iter().filter_map(|m| path.join(m).metadata().ok());
        if let Some(changed) = marks.filter_map(|m| m.modified().ok()).max() {
            let size = crate::clean::size(&path);
            found.push(Folder {
                path,
                changed,
                size,
            });
        }
    }
    found.sort_by(|a, b| (b.changed, &b.path).cmp(&(a.changed, &a.path)));
    Ok(found)
}

fn list(place: &Place) -> Result<()> {
    let found = folders(&place.runs())?;
    if found.is_empty() {
        println!("no runs in {}", place.runs().display());
        return Ok(());
    }
    let mut rows = vec![text::row(["run", "verdict", "seed", "age", "size"])];
    for folder in &found {
        let (verdict, seed) = outcome(&folder.path);
        rows.push(text::row([
            &folder.name(),
            &verdict,
            &seed,
            &age(folder.age()),
            &size(folder.size),
        ]));
    }
    print!("{}", text::table(&rows));
    println!("\nin {}", place.runs().display());
    Ok(())
}

/// The verdict and the seed; a run that was cut short has no verdict.
fn outcome(dir: &Path) -> (String, String) {
    let read = |name: &str| -> Option<Value> {
        serde_json::from_slice(&std::fs::read(dir.join(name)).ok()?).ok()
    };
    let seed = |value: &Value| {
        value["seed"]
            .as_u64()
            .map_or("-".to_owned(), |s| s.to_string())
    };
    if let Some(result) = read("result.json") {
        let verdict = result["verdict"].as_str().unwrap_or("?").to_owned();
        return (verdict, seed(&result));
    }
    if let Some(map) = read("map.json") {
        let verdict = map["verdict"].as_str().unwrap_or("?");
        return (format!("map: {verdict}"), seed(&map));
    }
    match read("load.json") {
        Some(load) => ("load".to_owned(), seed(&load)),
        None => ("unfinished".to_owned(), "-".to_owned()),
    }
}

fn prune(place: &Place, args: &PruneArgs) -> Result<()> {
    let lock = lock_file(place)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => bail!(
            "a run writes into {} just now: prune when it has ended",
            place.runs().display()
        ),
        Err(TryLockError::Error(error)) => return Err(error).context("the lock of the runs"),
    }
    let found = folders(&place.runs())?;
    let total = found.len();
    let mut removed = 0;
    for folder in doomed(found, args) {
        std::fs::remove_dir_all(&folder.path)
            .with_context(|| format!("cannot remove {}", folder.path.display()))?;
        println!("removed {} ({})", folder.name(), size(folder.size));
        removed += 1;
    }
    println!("{removed} runs removed, {} kept", total - removed);
    Ok(())
}

/// What has to go of the folders, which come newest first.
fn doomed(found: Vec<Folder>, args: &PruneArgs) -> Vec<Folder> {
    let keep = match (args.keep, args.older_than) {
        (Some(keep), _) => keep,
        (None, Some(_)) => 0,
        (None, None) => KEPT,
    };
    let old = |folder: &Folder| args.older_than.is_none_or(|limit| folder.age() > limit);
    found.into_iter().skip(keep).filter(old).collect()
}

fn size(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// The two largest units, as people tell it.
fn age(age: Duration) -> String {
    let minutes = age.as_secs() / 60;
    match (minutes / 1440, minutes / 60 % 24, minutes % 60) {
        (0, 0, m) => format!("{m} min"),
        (0, h, m) => format!("{h} h {m} min"),
        (d, h, _) => format!("{d} d {h} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> (Place, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let place = Place {
            root: None,
            data: dir.path().to_owned(),
            home: dir.path().to_owned(),
        };
        (place, dir)
    }

    fn made(place: &Place, name: &str, hours: u64) {
        let dir = place.runs().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        let log = File::create(dir.join("run.ndjson")).unwrap();
        let when = SystemTime::now() - Duration::from_secs(3_600 * hours);
        log.set_modified(when).unwrap();
    }

    fn names(place: &Place) -> Vec<String> {
        let found = folders(&place.runs()).unwrap();
        found.iter().map(Folder::name).collect()
    }

    fn args(keep: Option<usize>, hours: Option<u64>) -> PruneArgs {
        PruneArgs {
            keep,
            older_than: hours.map(|h| Duration::from_secs(3_600 * h)),
        }
    }

    #[test]
    fn the_newest_are_kept_and_what_is_no_run_stays() {
        let (place, _dir) = home();
        for (name, hours) in [("old", 30), ("middle", 20), ("new", 10)] {
            made(&place, name, hours);
        }
        std::fs::create_dir_all(place.runs().join("mine")).unwrap();
        assert_eq!(names(&place), ["new", "middle", "old"]);
        prune(&place, &args(Some(2), Some(40))).unwrap();
        assert_eq!(names(&place).len(), 3, "none is that old");
        prune(&place, &args(Some(2), Some(5))).unwrap();
        assert_eq!(names(&place), ["new", "middle"]);
        prune(&place, &args(None, Some(15))).unwrap();
        assert_eq!(names(&place), ["new"]);
        prune(&place, &args(None, None)).unwrap();
        assert_eq!(names(&place), ["new"]);
        prune(&place, &args(Some(0), None)).unwrap();
        assert!(names(&place).is_empty());
        assert!(place.runs().join("mine").exists());
    }

    #[test]
    fn nothing_is_pruned_while_a_run_writes() {
        let (place, _dir) = home();
        made(&place, "old", 30);
        let one = Writing::in_folder(&place).unwrap();
        let two = Writing::in_folder(&place).unwrap();
        let refused = prune(&place, &args(Some(0), None)).unwrap_err();
        assert!(refused.to_string().contains("when it has ended"));
        drop(one);
        assert!(
            prune(&place, &args(Some(0), None)).is_err(),
            "the second still does"
        );
        drop(two);
        prune(&place, &args(Some(0), None)).unwrap();
        assert!(names(&place).is_empty());
    }

    #[test]
    fn ages_are_told_in_two_units() {
        let told = |minutes: u64| age(Duration::from_secs(60 * minutes));
        assert_eq!(told(3), "3 min");
        assert_eq!(told(61), "1 h 1 min");
        assert_eq!(told(3 * 1440 + 125), "3 d 2 h");
    }
}

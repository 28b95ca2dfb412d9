//! What runs in a data folder: a lock held while a lab lives, and a file that says where.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use crate::parts::Part;
use crate::place::Place;

/// What a running lab writes for the other commands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct State {
    /// The lab's own process.
    pub pid: u32,
    /// The base of its ports, unless they are the usual ones.
    pub port_base: Option<u16>,
    /// Whether everything has been healthy once.
    pub ready: bool,
    /// Where the lab's own process takes orders to restart parts, with its token.
    #[serde(default)]
    pub orders: Option<String>,
    /// The parts, in the order in which they start.
    pub parts: Vec<PartState>,
}

/// One part of a running lab.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PartState {
    pub name: String,
    pub kind: String,
    pub url: String,
    pub grpc: Option<String>,
    pub metrics: Option<String>,
    pub control: Option<String>,
    /// Its process, while it runs.
    pub pid: Option<u32>,
    /// What to ask for its health.
    pub alive: String,
    /// Its log file.
    pub log: PathBuf,
    /// How it ended, if it has.
    pub ended: Option<String>,
}

impl PartState {
    /// A part that has not started yet.
    pub fn planned(part: &Part, place: &Place) -> Self {
        Self {
            name: part.name.clone(),
            kind: part.kind.to_owned(),
            url: part.address.url.clone(),
            grpc: part.address.grpc.clone(),
            metrics: part.address.metrics.clone(),
            control: part.address.control.clone(),
            pid: None,
            alive: part.address.alive.clone(),
            log: place.log(&part.name),
            ended: None,
        }
    }
}

impl State {
    /// Writes the file in one step, so that no reader sees half of it.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_vec_pretty(self).context("state as JSON")?;
        let draft = path.with_extension("json.new");
        std::fs::write(&draft, text)
            .and_then(|()| std::fs::rename(&draft, path))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// The state of the lab that runs in this place, for what needs one.
    ///
    /// # Errors
    /// When none runs, or the file can't be read.
    pub fn needed(place: &Place) -> Result<Self> {
        Self::of_running(place)?.with_context(|| Self::none_runs(place))
    }

    /// What is said where there is none.
    pub fn none_runs(place: &Place) -> String {
        let data = place.data.display();
        format!("no lab runs with the data in {data}; `lab up` starts one")
    }

    /// The state of the lab that runs in this place; `None` when none does, whatever a crashed
    /// one has left lying about.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn of_running(place: &Place) -> Result<Option<Self>> {
        if !Lock::is_held(&place.lock())? {
            return Ok(None);
        }
        Self::left_behind(place)
    }

    /// What the file says, whether or not its lab still runs.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn left_behind(place: &Place) -> Result<Option<Self>> {
        let path = place.state();
        match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .with_context(|| format!("{} is damaged: remove it", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// The part of that name.
    pub fn part(&self, name: &str) -> Option<&PartState> {
        self.parts.iter().find(|part| part.name == name)
    }
}

/// Held as long as a lab runs in a data folder; the kernel lets go of it when the lab dies.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of a place.
    ///
    /// # Errors
    /// When a lab runs there already, or the file can't be opened.
    pub fn take(place: &Place) -> Result<Self> {
        let path = place.lock();
        let file = open(&path)?;
        match file.try_lock() {
            Ok(()) => {
                std::fs::write(&path, std::process::id().to_string()).context("lock file")?;
                Ok(Self { _file: file })
            }
            Err(TryLockError::WouldBlock) => bail!(
                "a lab runs already with the data in {}{}; stop it with `lab down`, or start \
                 another beside it with `--port-base N`",
                place.data.display(),
                holder(&path),
            ),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {}", path.display()))
            }
        }
    }

    /// Whether a lab holds the lock.
    ///
    /// # Errors
    /// When the file exists and can't be opened.
    pub fn is_held(path: &Path) -> Result<bool> {
        if !path.exists() {
            return Ok(false);
        }
        match open(path)?.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error).context("cannot test the lock"),
        }
    }
}

fn open(path: &Path) -> Result<File> {
    File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))
}

fn holder(path: &Path) -> String {
    match std::fs::read_to_string(path) {
        Ok(pid) if !pid.trim().is_empty() => format!(" (pid {})", pid.trim()),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(dir: &Path) -> Place {
        Place {
            root: None,
            data: dir.to_owned(),
            home: dir.to_owned(),
        }
    }

    #[test]
    fn a_second_lab_with_the_same_data_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let place = place(dir.path());
        assert!(!Lock::is_held(&place.lock()).unwrap());
        let first = Lock::take(&place).unwrap();
        assert!(Lock::is_held(&place.lock()).unwrap());
        let refused = Lock::take(&place).unwrap_err().to_string();
        assert!(
            refused.contains(&std::process::id().to_string()),
            "{refused}"
        );
        drop(first);
        assert!(!Lock::is_held(&place.lock()).unwrap());
    }

    #[test]
    fn what_a_crashed_lab_left_is_not_taken_for_a_running_one() {
        let dir = tempfile::tempdir().unwrap();
        let place = place(dir.path());
        let state = State {
            pid: 1,
            port_base: None,
            ready: true,
            orders: None,
            parts: Vec::new(),
        };
        state.write(&place.state()).unwrap();
        assert!(State::of_running(&place).unwrap().is_none());
        let _lock = Lock::take(&place).unwrap();
        assert_eq!(
            State::of_running(&place).unwrap().map(|state| state.pid),
            Some(1)
        );
    }
}

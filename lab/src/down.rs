//! `lab down`: stops the lab that runs with this data folder.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

use crate::exit::Exit;
use crate::place::Place;
use crate::progress::Progress;
use crate::state::{Lock, State};

/// Five parts at up to ten seconds each, and a little.
const PATIENCE: Duration = Duration::from_secs(60);

/// `lab down`
///
/// # Errors
/// When the lab does not end.
pub async fn run(place: &Place) -> Result<Exit> {
    if !Lock::is_held(&place.lock())? {
        println!("no lab runs with the data in {}", place.data.display());
        return Ok(Exit::Held);
    }
    // The lock is held, so the process in its file is alive: its id can't have been reused.
    let state = State::of_running(place)?;
    let pid = match state {
        Some(state) => state.pid,
        None => locked_by(place)?,
    };
    let progress = Progress::new();
    progress.step(&format!("stopping the lab (pid {pid})"));
    ask_to_stop(pid);
    let deadline = Instant::now() + PATIENCE;
    while Lock::is_held(&place.lock())? {
        if Instant::now() > deadline {
            bail!(
                "the lab (pid {pid}) has not ended after {} s; `kill -9 {pid}` ends it with all its parts",
                PATIENCE.as_secs()
            );
        }
        sleep(Duration::from_millis(50)).await;
    }
    progress.clear();
    println!("stopped");
    Ok(Exit::Held)
}

fn locked_by(place: &Place) -> Result<u32> {
    std::fs::read_to_string(place.lock())
        .ok()
        .and_then(|pid| pid.trim().parse().ok())
        .context("a lab is just starting here; try again in a moment")
}

/// Sends SIGTERM; a process that is gone needs none.
pub fn ask_to_stop(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::TERM);
        let _ = kill_process(pid, Signal::CONT);
    }
}

//! Children die with the lab, whatever kills it.
//!
//! `lab` starts each child as itself, `lab __shim PARENT -- PROGRAM …`. The shim asks the kernel
//! to kill it when its parent dies, makes sure that the parent is still there, and becomes the
//! program: the request outlives `exec` (prctl(2), PR_SET_PDEATHSIG). The signal follows the
//! *thread* that spawned, so [`crate::supervisor::Spawner`] never leaves the main one. Other
//! systems have no such signal; there the parts watch a pipe on their standard input instead.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use tokio::process::Command;

use crate::cli::ShimArgs;

/// A command that runs the program as a child which ends with this process.
pub fn command(program: &Path, args: &[OsString]) -> Result<Command> {
    let mut command = if cfg!(target_os = "linux") {
        let mut command = Command::new(this_program()?);
        command
            .arg("__shim")
            .arg(std::process::id().to_string())
            .arg("--")
            .arg(program);
        command
    } else {
        let mut command = Command::new(program);
        command.stdin(std::process::Stdio::piped());
        command
    };
    command.args(args);
    Ok(command)
}

/// This program, even after a rebuild has replaced its file.
pub fn this_program() -> Result<PathBuf> {
    if cfg!(target_os = "linux") {
        return Ok(PathBuf::from("/proc/self/exe"));
    }
    std::env::current_exe().context("the lab's own program cannot be found")
}

/// The shim itself: returns only if it failed.
pub fn run(args: &ShimArgs) -> Result<()> {
    die_with_parent()?;
    let parent = rustix::process::getppid().map_or(0, rustix::process::Pid::as_raw_pid);
    if parent != args.parent {
        bail!("the lab (pid {}) is gone", args.parent);
    }
    let [program, rest @ ..] = args.program.as_slice() else {
        bail!("no program to run")
    };
    let error = std::process::Command::new(program).args(rest).exec();
    Err(error).with_context(|| format!("cannot run {}", display(program)))
}

#[cfg(target_os = "linux")]
fn die_with_parent() -> Result<()> {
    use rustix::process::{Signal, set_parent_process_death_signal};
    set_parent_process_death_signal(Some(Signal::KILL)).context("prctl(PR_SET_PDEATHSIG)")
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent() -> Result<()> {
    Ok(())
}

fn display(program: &OsStr) -> String {
    program.to_string_lossy().into_owned()
}

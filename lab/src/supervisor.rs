//! Starts child processes, watches them, stops them in order.

use std::fs::File;
use std::marker::PhantomData;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;
use tokio::sync::{mpsc, watch};

use crate::parts::Part;
use crate::place::Place;
use crate::shim;

/// How long a child may take to end by itself before it is killed.
pub const GRACE: Duration = Duration::from_secs(10);

/// The right to start children. It cannot leave the thread that made it, the main one: children
/// die with the thread that spawned them (see [`crate::shim`]), and worker threads may end first.
pub struct Spawner {
    stays_here: PhantomData<*const ()>,
}

impl Spawner {
    /// For the main thread, once.
    pub fn on_main_thread() -> Self {
        Self {
            stays_here: PhantomData,
        }
    }

    /// Starts the part with its output in its log.
    ///
    /// # Errors
    /// When the program or the log can't be opened.
    pub fn start(&self, part: &Part, place: &Place) -> Result<Running> {
        let log = crate::logs::open(&place.log(&part.name))?;
        let child = self
            .command(part, log)?
            .spawn()
            .with_context(|| format!("cannot start {} ({})", part.name, part.program.display()))?;
        Running::watch(&part.name, child)
    }

    fn command(&self, part: &Part, log: File) -> Result<tokio::process::Command> {
        let errors = log.try_clone().context("log file")?;
        let mut command = shim::command(&part.program, &part.args)?;
        if cfg!(target_os = "linux") {
            command.stdin(Stdio::null());
        }
        command
            .env_clear()
            .envs(inherited())
            .envs(part.env.iter().map(|(key, value)| (key, value)))
            .stdout(log)
            .stderr(errors)
            // A group of its own: Ctrl-C reaches the lab first, which then stops the parts in order.
            .process_group(0)
            .kill_on_drop(true);
        if cfg!(not(target_os = "linux")) {
            command.env("LAB_WATCH_STDIN", "1");
        }
        Ok(command)
    }
}

/// Nothing of the caller's environment reaches a part by accident, only what is meant to.
fn inherited() -> impl Iterator<Item = (String, String)> {
    const NAMES: [&str; 8] = [
        "PATH",
        "HOME",
        "TMPDIR",
        "LANG",
        "TZ",
        "RUST_BACKTRACE",
        "LOG_LEVEL",
        "RESILIENCE_PRESET",
    ];
    const PREFIXES: [&str; 3] = ["OTEL_", "RETRY_", "CIRCUIT_BREAKER_"];
    std::env::vars_os().filter_map(|(name, value)| {
        let (name, value) = (name.into_string().ok()?, value.into_string().ok()?);
        let wanted = NAMES.contains(&name.as_str())
            || PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        wanted.then_some((name, value))
    })
}

/// A child process and what became of it.
pub struct Running {
    /// The part's name.
    pub name: String,
    /// Its process id, as long as it runs.
    pub pid: u32,
    exit: Ending,
    signals: mpsc::Sender<Signal>,
}

impl Running {
    fn watch(name: &str, child: Child) -> Result<Self> {
        let pid = child
            .id()
            .with_context(|| format!("{name} ended at once"))?;
        let (exited, exit) = watch::channel(None);
        let (signals, orders) = mpsc::channel(16);
        tokio::spawn(own(child, orders, exited));
        Ok(Self {
            name: name.to_owned(),
            pid,
            exit: Ending(exit),
            signals,
        })
    }

    /// How it ended, if it has.
    pub fn exit(&self) -> Option<ExitStatus> {
        *self.exit.0.borrow()
    }

    /// Waits for its end.
    pub async fn ended(&self) -> ExitStatus {
        self.exit.wait().await
    }

    /// Its end, for others to wait for. Holding it does not keep the child alive.
    pub fn ending(&self) -> Ending {
        self.exit.clone()
    }

    /// Asks it to end, and kills it if it has not after `grace`.
    pub async fn stop(&self, grace: Duration) {
        if self.exit().is_some() {
            return;
        }
        // A stopped process (SIGSTOP) sees no other signal until it is continued.
        self.signal(Signal::TERM).await;
        self.signal(Signal::CONT).await;
        if tokio::time::timeout(grace, self.ended()).await.is_err() {
            self.signal(Signal::KILL).await;
            self.ended().await;
        }
    }

    async fn signal(&self, signal: Signal) {
        // An error means that the child has ended: nothing to signal any more.
        let _ = self.signals.send(signal).await;
    }

    /// Sends a signal without waiting; `false` when it has ended, or sixteen are on their way.
    pub fn send(&self, signal: Signal) -> bool {
        self.signals.try_send(signal).is_ok()
    }
}

/// The end of a child process, to wait for.
#[derive(Clone)]
pub struct Ending(watch::Receiver<Option<ExitStatus>>);

impl Ending {
    /// Whether it has come.
    pub fn has_ended(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Waits for it.
    pub async fn wait(&self) -> ExitStatus {
        let mut exit = self.0.clone();
        let status = exit.wait_for(Option::is_some).await.map(|status| *status);
        match status {
            Ok(status) => status.unwrap_or_default(),
            // The owner task ends only after it has told; it can't be gone before.
            Err(_) => std::future::pending().await,
        }
    }
}

/// Owns the child until it ends. Signals go through here, so none reaches a recycled process id;
/// when the other side is dropped, so is the child, which kills it.
async fn own(
    mut child: Child,
    mut orders: mpsc::Receiver<Signal>,
    exited: watch::Sender<Option<ExitStatus>>,
) {
    loop {
        tokio::select! {
            status = child.wait() => {
                exited.send_replace(Some(status.unwrap_or_default()));
                return;
            }
            order = orders.recv() => match (order, child.id()) {
                (Some(signal), Some(pid)) => deliver(pid, signal),
                (Some(_), None) => {}
                (None, _) => return,
            },
        }
    }
}

fn deliver(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// Says in words how a process ended.
pub fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with status {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Running {
        let child = tokio::process::Command::new("sh")
            .args(["-c", script])
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Running::watch("test", child).unwrap()
    }

    #[tokio::test]
    async fn the_end_of_a_child_is_told_with_its_status() {
        let child = shell("exit 7");
        assert_eq!(describe(child.ended().await), "ended with status 7");
        assert!(child.exit().is_some());
    }

    #[tokio::test]
    async fn a_child_that_ignores_the_request_is_killed() {
        let dir = tempfile::tempdir().unwrap();
        let deaf = dir.path().join("deaf");
        let child = shell(&format!(
            "trap '' TERM; : > {}; exec sleep 600",
            deaf.display()
        ));
        while !deaf.exists() {
            tokio::task::yield_now().await;
        }
        child.stop(Duration::from_millis(50)).await;
        assert_eq!(describe(child.exit().unwrap()), "was killed by signal 9");
    }

    #[tokio::test]
    async fn a_stopped_child_ends_when_asked() {
        let child = shell("kill -STOP $$; exit 3");
        let stat = format!("/proc/{}/stat", child.pid);
        while !std::fs::read_to_string(&stat)
            .unwrap_or_default()
            .contains(" T ")
        {
            tokio::task::yield_now().await;
        }
        child.stop(GRACE).await;
        assert!(child.exit().is_some());
    }

    #[tokio::test]
    async fn dropping_the_handle_kills_the_child() {
        let child = shell("exec sleep 600");
        let stat = format!("/proc/{}/stat", child.pid);
        drop(child);
        while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(" Z ")) {
            tokio::task::yield_now().await;
        }
    }
}

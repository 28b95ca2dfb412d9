//! Starts labs with data of their own on ports of their own, and asks about them.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;

/// How long a start, a stop or a recovery may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

const LAB: &str = env!("CARGO_BIN_EXE_lab");

/// A place for a lab: its own data folder and its own block of ports.
pub struct Lab {
    data: TempDir,
    pub base: u16,
    running: Option<Child>,
}

impl Lab {
    /// Nothing runs yet.
    pub fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let lab = Self {
            data,
            base: free_block(),
            running: None,
        };
        // The signing key takes seconds to make: the first lab's serves all that follow.
        if shared_key().exists() {
            std::fs::create_dir_all(lab.key().parent().unwrap()).unwrap();
            std::fs::copy(shared_key(), lab.key()).unwrap();
        }
        lab
    }

    /// The lab's command with this place chosen.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(LAB);
        command
            .args(self.chosen())
            .args(args)
            .env("LAB_BIN_DIR", programs());
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).stdin(Stdio::null()).output().unwrap()
    }

    /// Starts a lab in front, as a user would, and waits until it says that it is ready. It dies
    /// with this thread, whatever becomes of the test.
    pub async fn up(&mut self) {
        self.up_with(&[]).await;
    }

    /// The same with options of `lab up`.
    pub async fn up_with(&mut self, options: &[&str]) {
        let mut command = Command::new(LAB);
        command
            .arg("__shim")
            .arg(std::process::id().to_string())
            .args(["--", LAB])
            .args(self.chosen())
            .arg("up")
            .args(options)
            .env("LAB_BIN_DIR", programs())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(self.data.path().join("up.log")).unwrap());
        self.running = Some(command.spawn().unwrap());
        until("the lab is ready", async || {
            self.state().is_some_and(|s| s["ready"] == true)
        })
        .await;
        if !shared_key().exists() {
            std::fs::copy(self.key(), shared_key()).unwrap();
        }
    }

    /// Starts a command that stays in front; it ends with the value.
    pub fn front(&self, args: &[&str]) -> Front {
        let said = self
            .data
            .path()
            .join(format!("front-{:08x}.log", rand::random::<u32>()));
        let out = std::fs::File::create(&said).unwrap();
        let child = self
            .command(args)
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap();
        Front { child, said }
    }

    /// Waits for the end of the lab in front.
    pub async fn ended(&mut self) -> std::process::ExitStatus {
        let child = self.running.as_mut().unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the lab has not ended");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The process of the lab itself.
    pub fn pid(&self) -> u32 {
        self.running.as_ref().unwrap().id()
    }

    /// What the lab wrote while it started, for messages.
    fn said(&self) -> String {
        std::fs::read_to_string(self.data.path().join("up.log")).unwrap_or_default()
    }

    fn state(&mut self) -> Option<Value> {
        if let Some(status) = self
            .running
            .as_mut()
            .and_then(|child| child.try_wait().unwrap())
        {
            panic!("the lab ended with {status}:\n{}", self.said());
        }
        let text = std::fs::read(self.data.path().join("state.json")).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// The parts, as `lab status --json` shows them.
    pub fn parts(&self) -> Vec<Value> {
        let output = self.run(&["status", "--json"]);
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        document["parts"].as_array().unwrap().clone()
    }

    /// One part of them.
    pub fn part(&self, name: &str) -> Value {
        self.parts()
            .into_iter()
            .find(|part| part["name"] == name)
            .unwrap()
    }

    /// A page of the gateway.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.base)
    }

    /// The data folder.
    pub fn data(&self) -> &Path {
        self.data.path()
    }

    /// A secret of the lab that has run here, by its name in the file.
    pub fn secret(&self, name: &str) -> String {
        let text = std::fs::read_to_string(self.data.path().join("secrets.toml")).unwrap();
        let secrets: toml::Table = text.parse().unwrap();
        secrets[name].as_str().unwrap().to_owned()
    }

    fn key(&self) -> PathBuf {
        self.data.path().join("keys/jwt.pem")
    }

    fn chosen(&self) -> Vec<String> {
        let data = self.data.path().display().to_string();
        vec![
            "--data".to_owned(),
            data,
            "--port-base".to_owned(),
            self.base.to_string(),
        ]
    }
}

/// A command in front, with what it says.
pub struct Front {
    child: Child,
    said: PathBuf,
}

impl Front {
    /// Its output so far.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.said).unwrap_or_default()
    }

    /// Sends it a signal.
    pub fn kill(&self, signal: &str) {
        kill(signal, u64::from(self.child.id()));
    }

    /// Whether it has ended, and how.
    pub fn status(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> std::process::ExitStatus {
        until("the command ends", async || self.status().is_some()).await;
        self.child.wait().unwrap()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Some(mut child) = self.running.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Whether the long counts are asked for, as `lab test --night` does.
pub fn night() -> bool {
    std::env::var_os("NIGHT").is_some_and(|night| night == "1")
}

fn shared_key() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("jwt.pem")
}

/// Where the shop's programs are.
pub fn programs() -> PathBuf {
    std::env::var_os("LAB_BIN_DIR").map_or_else(
        || Path::new(LAB).parent().unwrap().to_owned(),
        PathBuf::from,
    )
}

/// A block of 64 ports that are free now; below those that `lab chaos run` takes for itself.
fn free_block() -> u16 {
    let start = std::process::id() as u16 % 150;
    (0..150)
        .map(|turn| 10_048 + 64 * ((start + turn) % 150))
        .find(|base| (*base..base + 64).all(is_free))
        .expect("a block of free ports")
}

/// Whether a port can be listened on.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

/// A client that keeps no proxy settings and waits a while.
pub fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(20))
        .build()
        .unwrap()
}

/// The status of a page; `None` when nobody answers.
pub async fn status(url: &str) -> Option<u16> {
    client()
        .get(url)
        .send()
        .await
        .ok()
        .map(|answer| answer.status().as_u16())
}

/// Waits until it is so.
pub async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !so().await {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Sends a signal by number, as `kill` does.
pub fn kill(signal: &str, pid: u64) {
    let done = Command::new("kill")
        .arg(signal)
        .arg(pid.to_string())
        .status()
        .unwrap();
    assert!(done.success(), "kill {signal} {pid}");
}

/// Whether the process runs (one that nobody has reaped yet does not).
pub fn runs(pid: u64) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(") ").next().unwrap_or("").starts_with('Z'))
}

/// Both outputs as one text.
pub fn text(output: &Output) -> String {
    let both = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&both).into_owned()
}

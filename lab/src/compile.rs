//! The parts' programs: built from the source tree when stale, else taken from where `lab` lies.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};

use crate::place::Place;
use crate::progress::Progress;

/// The programs of the shop; each is called like its crate.
pub const PROGRAMS: [&str; 6] = [
    "chaos-proxy",
    "user-service",
    "product-service",
    "payment-service",
    "order-service",
    "gateway",
];

/// Off a terminal, a long build says this often that it is still at it.
const SIGN_OF_LIFE: Duration = Duration::from_secs(20);

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Programs {
    paths: BTreeMap<String, PathBuf>,
}

impl Programs {
    /// All in one folder.
    pub fn in_dir(dir: &Path) -> Self {
        Self {
            paths: PROGRAMS
                .iter()
                .map(|name| ((*name).to_owned(), dir.join(name)))
                .collect(),
        }
    }

    /// The program's path.
    pub fn path(&self, name: &str) -> PathBuf {
        self.paths
            .get(name)
            .cloned()
            .unwrap_or_else(|| PathBuf::from(name))
    }

    /// The folder that they all lie in.
    pub fn dir(&self) -> PathBuf {
        self.path("gateway")
            .parent()
            .unwrap_or(Path::new("."))
            .to_owned()
    }

    fn check(self) -> Result<Self> {
        let missing: Vec<String> = PROGRAMS
            .iter()
            .map(|name| self.path(name))
            .filter(|path| !path.is_file())
            .map(|path| path.display().to_string())
            .collect();
        if missing.is_empty() {
            return Ok(self);
        }
        bail!(
            "missing programs: {}; build them with `cargo build --release`",
            missing.join(", ")
        )
    }
}

/// Finds the programs, building them first where there is a source tree.
///
/// # Errors
/// When the build fails or a program is missing.
pub async fn programs(
    place: &Place,
    bin_dir: Option<&Path>,
    progress: &Progress,
) -> Result<Programs> {
    if let Some(dir) = bin_dir {
        return Programs::in_dir(dir).check();
    }
    match &place.root {
        Some(root) => {
            // The whole workspace, as `cargo lab` and the tests select it: another selection means
            // another set of features, and with it minutes of building the same again.
            build(root, ["--workspace", "--bins"], progress).await
        }
        None => {
            let exe = std::env::current_exe().context("where is the lab's own program?")?;
            let dir = exe.parent().unwrap_or(Path::new(".")).to_owned();
            progress.say(&format!(
                "no source tree here: programs from {}",
                dir.display()
            ));
            Programs::in_dir(&dir).check()
        }
    }
}

/// The programs as `cargo test --workspace` builds them: with the features of the tests, so that
/// `lab test` compiles nothing twice.
///
/// # Errors
/// When the build fails.
pub async fn programs_of_the_tests(root: &Path, progress: &Progress) -> Result<Programs> {
    build(root, ["--workspace", "--bins", "--tests"], progress).await
}

/// Builds what is stale. Cargo says where it put each program, so that target directories and
/// cross targets of any configuration are right.
async fn build<'a>(
    root: &Path,
    what: impl IntoIterator<Item = &'a str>,
    progress: &Progress,
) -> Result<Programs> {
    progress.step("building what is stale (the first time takes minutes)");
    let mut child = cargo(root)
        .args([
            "build",
            "--release",
            "--message-format=json-render-diagnostics",
        ])
        .args(what)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("cannot run cargo; `lab doctor` says what is missing")?;
    let (artifacts, complaints) = watch(&mut child, progress).await?;
    let status = child.wait().await.context("cargo")?;
    if !status.success() {
        progress.say(&complaints);
        bail!("the build failed: mend what the compiler says above and try again");
    }
    Programs { paths: artifacts }.check()
}

/// Cargo as it was called by the user, in the source tree.
pub fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    // Set by `cargo run` for this very process; a nested cargo must not take them for its own.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

#[derive(Deserialize)]
struct Message {
    reason: String,
    executable: Option<PathBuf>,
    target: Option<Target>,
    profile: Option<Profile>,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

type Artifacts = BTreeMap<String, PathBuf>;

/// Reads both outputs to their ends: the artifacts, and the text to show should it fail.
async fn watch(child: &mut Child, progress: &Progress) -> Result<(Artifacts, String)> {
    let messages = lines(child.stdout.take().context("cargo's output")?);
    let remarks = lines(child.stderr.take().context("cargo's messages")?);
    tokio::pin!(messages, remarks);
    let mut tally = Tally::default();
    let mut alive = tokio::time::interval(SIGN_OF_LIFE);
    alive.tick().await;
    let (mut open_messages, mut open_remarks) = (true, true);
    while open_messages || open_remarks {
        tokio::select! {
            line = messages.next_line(), if open_messages => match line.context("cargo")? {
                Some(line) => tally.message(&line),
                None => open_messages = false,
            },
            line = remarks.next_line(), if open_remarks => match line.context("cargo")? {
                Some(line) => { tally.remark(&line); progress.detail(&tally.line()); }
                None => open_remarks = false,
            },
            _ = alive.tick() => if !progress.is_live() { progress.step(&tally.line()) },
        }
    }
    Ok((tally.artifacts, tally.complaints))
}

fn lines<R: AsyncRead + Unpin>(reader: R) -> tokio::io::Lines<BufReader<R>> {
    BufReader::new(reader).lines()
}

#[derive(Default)]
struct Tally {
    artifacts: Artifacts,
    complaints: String,
    compiled: usize,
    now: String,
}

impl Tally {
    fn message(&mut self, line: &str) {
        let Ok(message) = serde_json::from_str::<Message>(line) else {
            return;
        };
        if message.reason != "compiler-artifact" {
            return;
        }
        if let (Some(path), Some(target)) = (message.executable, message.target)
            // A test harness has its program's name, but is not it.
            && message.profile.is_some_and(|profile| !profile.test)
        {
            self.artifacts.insert(target.name, path);
        }
    }

    fn remark(&mut self, line: &str) {
        if let Some(name) = line.trim_start().strip_prefix("Compiling ") {
            self.compiled += 1;
            self.now = name.split(" (").next().unwrap_or(name).to_owned();
        } else if line.trim_start().starts_with("Blocking") {
            self.now = "waiting for another cargo".to_owned();
        } else {
            self.complaints.push_str(line);
            self.complaints.push('\n');
        }
    }

    fn line(&self) -> String {
        format!(
            "building: {} crates so far, now {}",
            self.compiled, self.now
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_where_cargo_says() {
        let mut tally = Tally::default();
        tally.message(
            r#"{"reason":"compiler-artifact","target":{"name":"gateway"},"profile":{"test":false},"executable":"/x/gateway"}"#,
        );
        tally.message(
            r#"{"reason":"compiler-artifact","target":{"name":"gateway"},"profile":{"test":true},"executable":"/x/gateway-0123"}"#,
        );
        tally
            .message(r#"{"reason":"compiler-artifact","target":{"name":"kit"},"executable":null}"#);
        tally.message(r#"{"reason":"build-finished","success":true}"#);
        assert_eq!(tally.artifacts.len(), 1);
        assert_eq!(tally.artifacts["gateway"], Path::new("/x/gateway"));
    }

    #[test]
    fn what_the_compiler_complains_about_is_kept() {
        let mut tally = Tally::default();
        tally.remark("   Compiling kit v0.1.0 (services/kit)");
        tally.remark("error[E0425]: cannot find value");
        assert_eq!(tally.line(), "building: 1 crates so far, now kit v0.1.0");
        assert_eq!(tally.complaints, "error[E0425]: cannot find value\n");
    }

    #[test]
    fn missing_programs_are_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("gateway"), "").unwrap();
        let error = Programs::in_dir(dir.path())
            .check()
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("user-service") && !error.contains("gateway"),
            "{error}"
        );
    }
}

//! `lab doctor`: what this machine has, what it lacks, and how to mend it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Result;
use tokio::process::Command;

use crate::exit::Exit;
use crate::holder;
use crate::place::Place;
use crate::ports::Layout;
use crate::state::State;
use crate::text;

/// A first release build with its tests takes about this much.
const DISK_WANTED: u64 = 8 * 1024 * 1024 * 1024;

/// How long a tool may take to say its version.
const PATIENCE: Duration = Duration::from_secs(5);

/// A tool that the lab uses.
struct Tool {
    name: &'static str,
    programs: &'static [&'static str],
    version: &'static [&'static str],
    least: Option<(u32, u32)>,
    required: bool,
    mend: &'static str,
}

const fn server(
    name: &'static str,
    programs: &'static [&'static str],
    version: &'static [&'static str],
    mend: &'static str,
) -> Tool {
    Tool {
        name,
        programs,
        version,
        least: None,
        required: false,
        mend,
    }
}

const TOOLS: &[Tool] = &[
    Tool {
        name: "Rust",
        programs: &["rustc"],
        version: &["--version"],
        least: Some((1, 95)),
        required: true,
        mend: "install Rust 1.95 or newer with rustup (https://rustup.rs), or `rustup update`",
    },
    Tool {
        name: "cargo",
        programs: &["cargo"],
        version: &["--version"],
        least: Some((1, 95)),
        required: true,
        mend: "comes with Rust: https://rustup.rs",
    },
    Tool {
        name: "C compiler",
        programs: &["cc", "clang", "gcc"],
        version: &["--version"],
        least: None,
        required: true,
        mend: "install build-essential (Debian), gcc (Fedora) or the Xcode command line tools",
    },
    Tool {
        name: "Node",
        programs: &["node"],
        version: &["--version"],
        least: Some((20, 19)),
        required: false,
        mend: "install Node 20.19 or newer; only the web pages need it",
    },
];

/// Real servers. None is needed by the embedded lab; tests against them run where they are.
const SERVERS: &[Tool] = &[
    server(
        "toxiproxy",
        &["toxiproxy-server"],
        &["-version"],
        "go install github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0, and name it toxiproxy-server",
    ),
    server(
        "vegeta",
        &["vegeta"],
        &["-version"],
        "go install github.com/tsenart/vegeta/v12@v12.12.0; the test of the load generator's punctuality compares with it",
    ),
    server(
        "redis",
        &["redis-server"],
        &["--version"],
        "install the package redis-server",
    ),
    server(
        "nginx",
        &["nginx"],
        &["-v"],
        "install the package nginx; the worked target file is tested with it",
    ),
    server(
        "postgres",
        &["postgres", "pg_ctlcluster"],
        &["--version"],
        "install the package postgresql",
    ),
    server(
        "prometheus",
        &["prometheus"],
        &["--version"],
        "install the package prometheus",
    ),
    server(
        "promtool",
        &["promtool"],
        &["--version"],
        "comes with the package prometheus",
    ),
    server(
        "alertmanager",
        &["alertmanager", "prometheus-alertmanager"],
        &["--version"],
        "install the package prometheus-alertmanager",
    ),
    server(
        "jaeger",
        &["jaeger", "jaeger-all-in-one"],
        &["version"],
        "see https://www.jaegertracing.io/download",
    ),
    server(
        "chromium",
        &["chromium", "chromium-browser", "google-chrome"],
        &["--version"],
        "install the package chromium; the pages of reports are tested in it",
    ),
    server(
        "docker",
        &["docker"],
        &["--version"],
        "install Docker with Compose v2",
    ),
];

/// `lab doctor`: exit 3 when something is missing that the lab can't do without.
///
/// # Errors
/// When the state of this lab can't be read.
pub async fn run(place: &Place, layout: Layout) -> Result<Exit> {
    let mut report = Report::default();
    report.title("needed");
    for tool in TOOLS {
        report.tool(tool).await;
    }
    report.disk(&place.data);
    report.title("optional: tests against them run where they are installed");
    for server in SERVERS {
        report.tool(server).await;
    }
    report.openssl().await;
    report.title("ports");
    report.ports(place, layout)?;
    print!("{}", report.text);
    Ok(if report.broken {
        Exit::CannotRun
    } else {
        Exit::Held
    })
}

#[derive(Default)]
struct Report {
    text: String,
    broken: bool,
}

impl Report {
    fn title(&mut self, title: &str) {
        let gap = if self.text.is_empty() { "" } else { "\n" };
        self.text.push_str(&format!("{gap}{title}\n"));
    }

    fn line(&mut self, mark: &str, name: &str, what: &str) {
        self.text
            .push_str(&format!("  {mark:<8} {name:<12} {what}\n"));
    }

    async fn tool(&mut self, tool: &Tool) {
        let absent = if tool.required { "MISSING" } else { "absent" };
        self.broken |= match find(tool.programs) {
            None => {
                self.line(absent, tool.name, tool.mend);
                tool.required
            }
            Some(program) => {
                let said = version_of(&program, tool.version).await;
                let old = tool
                    .least
                    .is_some_and(|least| version_in(&said) < Some(least));
                if old {
                    self.line("TOO OLD", tool.name, &format!("{said}: {}", tool.mend));
                } else {
                    self.line("ok", tool.name, &said);
                }
                old && tool.required
            }
        };
    }

    /// A client of Toxiproxy's in the conformance tests is built on the system's OpenSSL.
    async fn openssl(&mut self) {
        const MEND: &str = "install the package libssl-dev; conformance tests build a client on it";
        let version = match find(&["pkg-config"]) {
            Some(program) => version_of(&program, &["--modversion", "openssl"]).await,
            None => String::new(),
        };
        let header = Path::new("/usr/include/openssl/ssl.h").exists();
        match version_in(&version) {
            Some(_) => self.line("ok", "openssl", &format!("headers of {version}")),
            None if header => self.line("ok", "openssl", "headers are there"),
            None => self.line("absent", "openssl", MEND),
        }
    }

    fn disk(&mut self, data: &Path) {
        let existing = data
            .ancestors()
            .find(|dir| dir.exists())
            .unwrap_or(Path::new("/"));
        let Ok(stat) = rustix::fs::statvfs(existing) else {
            return;
        };
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        let gib = free as f64 / f64::from(1 << 30);
        if free < DISK_WANTED {
            let hint = "a first build with its tests takes about 8 GiB; `cargo clean` makes room";
            self.line("little", "disk", &format!("{gib:.1} GiB free: {hint}"));
        } else {
            self.line("ok", "disk", &format!("{gib:.0} GiB free"));
        }
    }

    fn ports(&mut self, place: &Place, layout: Layout) -> Result<()> {
        if let Some(state) = State::of_running(place)? {
            self.line(
                "in use",
                "all",
                &format!("by the lab that runs here (pid {})", state.pid),
            );
            return Ok(());
        }
        let taken = holder::taken(layout);
        if taken.is_empty() {
            self.line("ok", "all", "free");
        }
        for port in &taken {
            self.line(
                "TAKEN",
                &port.listener.number.to_string(),
                &port.to_string(),
            );
        }
        if !taken.is_empty() {
            self.line(
                "",
                "",
                "stop what holds them, or use `--port-base N` (say 20000)",
            );
        }
        Ok(())
    }
}

fn find(programs: &[&str]) -> Option<PathBuf> {
    programs.iter().find_map(|name| text::which(name))
}

/// The first line that the tool prints about its version.
async fn version_of(program: &Path, args: &[&str]) -> String {
    let run = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let Ok(Ok(output)) = tokio::time::timeout(PATIENCE, run).await else {
        return format!("{} (its version can't be read)", program.display());
    };
    [output.stdout, output.stderr]
        .iter()
        .map(|bytes| {
            String::from_utf8_lossy(bytes)
                .lines()
                .next()
                .unwrap_or("")
                .trim()
                .to_owned()
        })
        .find(|line| !line.is_empty())
        .unwrap_or_else(|| program.display().to_string())
}

/// The first `major.minor` in a version line.
fn version_in(line: &str) -> Option<(u32, u32)> {
    line.split(|c: char| !c.is_ascii_digit() && c != '.')
        .find_map(|word| {
            let mut numbers = word.split('.');
            Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_the_tools_print_them() {
        assert_eq!(
            version_in("rustc 1.95.0 (abcdef012 2026-03-01)"),
            Some((1, 95))
        );
        assert_eq!(version_in("v20.19.2"), Some((20, 19)));
        assert_eq!(version_in("nginx version: nginx/1.22.1"), Some((1, 22)));
        assert_eq!(version_in("no number"), None);
        assert!(version_in("v18.3.0") < Some((20, 19)));
        assert!(version_in("no number") < Some((20, 19)));
    }

    #[tokio::test]
    async fn a_missing_required_tool_breaks_and_an_optional_one_does_not() {
        let tool = |required| Tool {
            name: "x",
            programs: &["no-such-program-anywhere"],
            version: &[],
            least: None,
            required,
            mend: "install x",
        };
        let mut report = Report::default();
        report.tool(&tool(false)).await;
        assert!(!report.broken);
        report.tool(&tool(true)).await;
        assert!(report.broken);
        assert!(report.text.contains("MISSING") && report.text.contains("install x"));
    }

    #[tokio::test]
    async fn a_tool_that_is_too_old_breaks() {
        let mut report = Report::default();
        let tool = Tool {
            name: "Rust",
            programs: &["rustc"],
            version: &["--version"],
            least: Some((999, 0)),
            required: true,
            mend: "update",
        };
        report.tool(&tool).await;
        assert!(report.broken, "{}", report.text);
    }
}

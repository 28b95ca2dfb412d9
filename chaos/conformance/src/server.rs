//! Starts the binaries.

use std::env;
use std::ffi::OsString;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::{Api, PATIENCE};

/// Which server a test runs against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// `chaos/proxy`: `CHAOS_PROXY_BIN`, else the workspace's release build.
    Ours,
    /// Toxiproxy 2.12, if `toxiproxy-server` is on the `PATH`.
    Real,
}

impl Server {
    /// Starts the server on a free port. `None`, said on standard output, if it
    /// is the real one and not installed.
    ///
    /// # Panics
    /// If it can't be started, or is left out although `LAB_REQUIRE_ALL=1`.
    pub fn start(self, name: &str, args: &[&str]) -> Option<Running> {
        let Some(binary) = self.binary() else {
            left_out("toxiproxy-server", name);
            return None;
        };
        for _ in 0..5 {
            if let Some(running) = Running::start(self, &binary, args) {
                return Some(running);
            }
        }
        panic!("{} did not come up", binary.display());
    }

    fn binary(self) -> Option<PathBuf> {
        match self {
            Self::Ours => Some(ours()),
            Self::Real => on_path("toxiproxy-server"),
        }
    }
}

/// Says that a test was left out because a program is not installed.
///
/// # Panics
/// If nothing may be left out (`LAB_REQUIRE_ALL=1`).
pub fn left_out(program: &str, test: &str) {
    // Not println: the harness would keep it to itself, the test having passed.
    let line = format!("left out: {program} not installed ({test})\n");
    std::io::stdout()
        .write_all(line.as_bytes())
        .expect("standard output is open");
    let required = env::var("LAB_REQUIRE_ALL").is_ok_and(|value| value == "1");
    assert!(
        !required,
        "{program} is not installed, and LAB_REQUIRE_ALL=1"
    );
}

/// The program of that name, if it is on the `PATH`.
pub fn on_path(program: &str) -> Option<PathBuf> {
    let path: OsString = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

/// The release build, in this workspace's target directory or in the main one's
/// (they differ when `CARGO_TARGET_DIR` is set for this one alone).
fn ours() -> PathBuf {
    if let Some(path) = env::var_os("CHAOS_PROXY_BIN") {
        return path.into();
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let dirs = env::var_os("CARGO_TARGET_DIR")
        .map(PathBuf::from)
        .into_iter();
    let candidates: Vec<_> = dirs
        .chain([root.join("target")])
        .map(|dir| dir.join("release/chaos-proxy"))
        .collect();
    candidates
        .iter()
        .find(|file| file.is_file())
        .cloned()
        .unwrap_or_else(|| {
            panic!(
                "no chaos-proxy at {candidates:?}: build it (cargo build --release -p chaos-proxy) \
             or set CHAOS_PROXY_BIN"
            )
        })
}

/// A server that runs for as long as this value lives.
pub struct Running {
    /// Which one it is.
    pub server: Server,
    /// Its API.
    pub api: Api,
    child: Child,
}

impl Running {
    /// `None` if it didn't get its port.
    fn start(server: Server, binary: &Path, args: &[&str]) -> Option<Self> {
        let address = free_address();
        let child = Command::new(binary)
            // Go's flags take two dashes as well as one.
            .args(["--host", "127.0.0.1", "--port", &address.port().to_string()])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| panic!("{}: {e}", binary.display()));
        let mut running = Self {
            server,
            api: Api::new(address),
            child,
        };
        running.wait_until_up().then_some(running)
    }

    fn wait_until_up(&mut self) -> bool {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return false;
            }
            if self.api.is_up() {
                // Somebody else's server on the port would have proxies.
                return self.api.get("/proxies").text == "{}";
            }
            sleep(Duration::from_millis(5));
        }
        false
    }

    /// A proxy on a free port to `upstream`; returns where it listens.
    pub fn proxy(&self, name: &str, upstream: SocketAddr) -> SocketAddr {
        let body = format!(r#"{{"name":"{name}","listen":"127.0.0.1:0","upstream":"{upstream}"}}"#);
        let made = self.api.post("/proxies", &body);
        assert_eq!(made.status, 201, "{made:?}");
        made.json["listen"]
            .as_str()
            .expect("an address")
            .parse()
            .expect("an address")
    }

    /// Sets a toxic on a proxy.
    pub fn toxic(&self, proxy: &str, body: &str) {
        let made = self.api.post(&format!("/proxies/{proxy}/toxics"), body);
        assert_eq!(made.status, 200, "{made:?}");
    }

    /// Changes a toxic, by its name.
    pub fn change_toxic(&self, proxy: &str, toxic: &str, body: &str) {
        let path = format!("/proxies/{proxy}/toxics/{toxic}");
        let done = self.api.post(&path, body);
        assert_eq!(done.status, 200, "{done:?}");
    }

    /// Removes a toxic.
    pub fn remove_toxic(&self, proxy: &str, toxic: &str) {
        let path = format!("/proxies/{proxy}/toxics/{toxic}");
        assert_eq!(self.api.delete(&path).status, 204);
    }

    /// Is the process still there, within the time that it may take to die?
    pub fn survives(&self, at_most: Duration) -> bool {
        let start = Instant::now();
        while start.elapsed() < at_most {
            if !self.api.is_up() {
                return false;
            }
            sleep(Duration::from_millis(20));
        }
        true
    }

    /// Enables or disables a proxy.
    pub fn enable(&self, proxy: &str, enabled: bool) {
        let body = format!(r#"{{"enabled":{enabled}}}"#);
        let done = self.api.post(&format!("/proxies/{proxy}"), &body);
        assert_eq!(done.status, 200, "{done:?}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone afterwards.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address that nobody listened on a moment ago.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("an address")
}

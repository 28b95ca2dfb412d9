//! The binary: exit statuses, configuration, ports.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chaos-proxy"));
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .env("LOG_LEVEL", "info");
    command
}

/// A port that is free, for as long as nobody takes it.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

async fn wait_for_port(port: u16) {
    let start = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "port {port} never opened"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn terminate(child: Child, signal: Signal) -> Output {
    kill_process(Pid::from_child(&child), signal).unwrap();
    child.wait_with_output().unwrap()
}

async fn get(port: u16, path: &str) -> String {
    let url = format!("http://127.0.0.1:{port}{path}");
    reqwest::get(url).await.unwrap().text().await.unwrap()
}

#[tokio::test]
async fn it_serves_its_configuration_and_ends_cleanly_on_a_signal() {
    for signal in [Signal::TERM, Signal::INT] {
        let (api, metrics, listen) = (free_port(), free_port(), free_port());
        let mut config = tempfile::NamedTempFile::new().unwrap();
        write!(
            config,
            r#"[{{"name":"a","listen":"127.0.0.1:{listen}","upstream":"127.0.0.1:1"}}]"#
        )
        .unwrap();
        let child = binary()
            .args([
                "--port",
                &api.to_string(),
                "--metrics-port",
                &metrics.to_string(),
            ])
            .args(["--seed", "7", "--config"])
            .arg(config.path())
            .spawn()
            .unwrap();
        wait_for_port(api).await;
        assert_eq!(get(api, "/version").await, "{\"version\": \"2.12.0\"}\n");
        assert!(
            get(api, "/proxies")
                .await
                .contains(&format!("127.0.0.1:{listen}"))
        );
        assert_eq!(get(metrics, "/metrics").await, get(api, "/metrics").await);
        let output = terminate(child, signal);
        assert!(output.status.success(), "{output:?}");
        let log = String::from_utf8(output.stdout).unwrap();
        assert!(log.lines().count() >= 3, "{log}");
        for line in log.lines() {
            serde_json::from_str::<serde_json::Value>(line).expect(line);
        }
        TcpListener::bind(("127.0.0.1", listen)).expect("the port is free again");
    }
}

#[test]
fn a_taken_port_is_named_and_ends_it_with_status_3() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().port().to_string();
    for args in [
        ["--port", &taken, "--seed", "1"],
        ["--port", "0", "--metrics-port", &taken],
    ] {
        let output = binary().args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(3));
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(message.contains(&format!("127.0.0.1:{taken}")), "{message}");
    }
}

#[test]
fn a_configuration_that_cannot_be_is_refused() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let in_use = format!(r#"[{{"name":"a","listen":"{taken}","upstream":"127.0.0.1:1"}}]"#);
    for (name, content, complaint) in [
        ("absent.json", None, "cannot read".to_owned()),
        (
            "broken.json",
            Some("{".to_owned()),
            "bad request body".to_owned(),
        ),
        (
            "nameless.json",
            Some(r#"[{"upstream":"a:1"}]"#.to_owned()),
            "name at proxy 1".to_owned(),
        ),
        ("taken.json", Some(in_use), taken.to_string()),
    ] {
        let path = dir.path().join(name);
        if let Some(content) = content {
            std::fs::write(&path, content).unwrap();
        }
        let output = binary()
            .args(["--port", "0", "--config"])
            .arg(&path)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(3), "{name}");
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(
            message.contains(name) && message.contains(&complaint),
            "{message}"
        );
    }
}

/// Not a test: the owner of the lease below, in a process of its own. Renews
/// it until it is killed.
#[tokio::test]
async fn owner_of_the_lease() {
    let Ok(api) = std::env::var("TEST_LEASE_API") else {
        return;
    };
    let client = reqwest::Client::new();
    loop {
        let request = client.put(format!("http://{api}/faultline/lease"));
        let renewed = request.body(r#"{"lease":"400ms"}"#).send().await.unwrap();
        assert_eq!(renewed.status(), 200);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn when_the_owner_of_the_lease_is_killed_nothing_stays_injected() {
    let api = free_port();
    let child = binary().args(["--port", &api.to_string()]).spawn().unwrap();
    wait_for_port(api).await;
    let client = reqwest::Client::new();
    let post = async |path: &str, body: &'static str| {
        let url = format!("http://127.0.0.1:{api}{path}");
        let answer = client.post(url).body(body).send().await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
    };
    for name in ["a", "b"] {
        let body =
            format!(r#"{{"name":"{name}","listen":"127.0.0.1:0","upstream":"127.0.0.1:1"}}"#);
        post("/proxies", body.leak()).await;
    }
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "owner_of_the_lease"])
        .env("TEST_LEASE_API", format!("127.0.0.1:{api}"))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let none = r#"{"expires_in_ms":null}"#;
    while get(api, "/faultline/lease").await == none {
        assert!(owner.try_wait().unwrap().is_none(), "the owner ended");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    post("/proxies/a/toxics", r#"{"type":"timeout"}"#).await;
    post("/proxies/b", r#"{"enabled":false}"#).await;
    // Three leases later it is all still there, since the owner renews.
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(1200) {
        assert!(get(api, "/proxies/a").await.contains("timeout_downstream"));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    owner.kill().unwrap();
    owner.wait().unwrap();
    let start = Instant::now();
    while get(api, "/faultline/lease").await != none
        || get(api, "/proxies").await.contains("timeout")
        || get(api, "/proxies/b").await.contains(r#""enabled":false"#)
    {
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "it stays injected"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let output = terminate(child, Signal::TERM);
    let log = String::from_utf8(output.stdout).unwrap();
    assert!(log.contains("the lease ran out"), "{log}");
}

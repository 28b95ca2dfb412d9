//! Toxiproxy's own command line drives either server.

use std::process::Command;

use conformance::{Running, Upstream, cases, on_path};
use serde_json::json;

cases!(
    needs "toxiproxy-cli";
    proxies_come_and_go: "`create`, `list`, `toggle`, `delete`",
    every_toxic_is_set_changed_and_removed: "`toxic add`, `update`, `remove` and `inspect` for every type with its attributes",
);

/// Runs `toxiproxy-cli` and returns what it printed.
fn cli(running: &Running, args: &[&str]) -> String {
    let host = format!("http://{}", running.api.address);
    let program = on_path("toxiproxy-cli").expect("looked for before");
    let output = Command::new(program)
        .args(["-h", &host])
        .args(args)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{args:?}: {output:?}");
    text
}

fn create(running: &Running) {
    let upstream = Upstream::Echo.start().to_string();
    let listen = ["create", "--listen", "127.0.0.1:0"];
    cli(
        running,
        &[&listen[..], &["--upstream", &upstream, "redis"]].concat(),
    );
}

fn proxies_come_and_go(running: &Running) {
    create(running);
    assert!(cli(running, &["list"]).contains("redis"));
    cli(running, &["toggle", "redis"]);
    assert_eq!(running.api.get("/proxies/redis").json["enabled"], false);
    cli(running, &["toggle", "redis"]);
    assert_eq!(running.api.get("/proxies/redis").json["enabled"], true);
    cli(running, &["delete", "redis"]);
    assert_eq!(running.api.get("/proxies/redis").status, 404);
}

fn every_toxic_is_set_changed_and_removed(running: &Running) {
    create(running);
    for (kind, attribute) in [
        ("bandwidth", "rate"),
        ("latency", "jitter"),
        ("limit_data", "bytes"),
        ("reset_peer", "timeout"),
        ("slicer", "size_variation"),
        ("slow_close", "delay"),
        ("timeout", "timeout"),
    ] {
        let set = |value: u32| format!("{attribute}={value}");
        let name = format!("{kind}_upstream");
        let path = format!("/proxies/redis/toxics/{name}");
        let add = ["toxic", "add", "-u", "-t", kind, "-a"];
        let added = cli(running, &[&add[..], &[&set(50), "redis"]].concat());
        assert!(added.contains(&name), "{added}");
        let shown = running.api.get(&path).json;
        assert_eq!(shown["attributes"][attribute], 50, "{shown}");
        let update = ["toxic", "update", "-n", &name, "--tox", "0.5", "-a"];
        cli(running, &[&update[..], &[&set(5), "redis"]].concat());
        let inspected = cli(running, &["inspect", "redis"]);
        assert!(inspected.contains(&set(5)), "{inspected}");
        assert_eq!(running.api.get(&path).json["toxicity"], json!(0.5));
        cli(running, &["toxic", "remove", "-n", &name, "redis"]);
        assert_eq!(running.api.get(&path).status, 404);
    }
}

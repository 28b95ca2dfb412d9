//! Toxiproxy's own command line drives either server.

use std::process::Command;

use conformance::{Running, Upstream, for_both, left_out, on_path};

for_both!(the_command_line_works);

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

fn the_command_line_works(running: &Running) {
    if on_path("toxiproxy-cli").is_none() {
        return left_out("toxiproxy-cli", "the_command_line_works");
    }
    let upstream = Upstream::Echo.start().to_string();
    cli(
        running,
        &[
            "create",
            "--listen",
            "127.0.0.1:0",
            "--upstream",
            &upstream,
            "redis",
        ],
    );
    assert!(cli(running, &["list"]).contains("redis"));
    let added = cli(
        running,
        &["toxic", "add", "-t", "latency", "-a", "latency=50", "redis"],
    );
    assert!(added.contains("latency_downstream"), "{added}");
    let shown = running
        .api
        .get("/proxies/redis/toxics/latency_downstream")
        .json;
    assert_eq!(shown["attributes"]["latency"], 50);
    let update = [
        "toxic",
        "update",
        "-n",
        "latency_downstream",
        "-a",
        "jitter=5",
        "redis",
    ];
    cli(running, &update);
    assert!(cli(running, &["inspect", "redis"]).contains("jitter=5"));
    cli(
        running,
        &["toxic", "delete", "-n", "latency_downstream", "redis"],
    );
    cli(running, &["toggle", "redis"]);
    assert_eq!(running.api.get("/proxies/redis").json["enabled"], false);
    cli(running, &["delete", "redis"]);
    assert_eq!(running.api.get("/proxies/redis").status, 404);
}

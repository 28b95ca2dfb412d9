//! Parts killed, paused and started again by a scenario, on a shop of its own.

use serde_json::Value;

use crate::harness::{Lab, text};

fn scenario(part: &str, action: &str, checks: &str) -> String {
    // A restart is over when the part is healthy again.
    let lasts = match action {
        "restart" => "",
        _ => "for = \"3s\"",
    };
    format!(
        r#"
schema_version = 1
name = "processes"
shows = "a part that goes and comes back"
hypothesis = "what needs it fails meanwhile, and is served again when it is healthy"
repeats = 1

[load]
warm_up = "2s"
duration = "25s"
[[load.stream]]
mix = "browse"
rate = 20

[[timeline]]
name = "gone"
at = "3s"
{lasts}
part = "{part}"
action = "{action}"

[arms.only]
{checks}
"#
    )
}

fn check(id: &str, that: &str) -> String {
    format!("\n[[check]]\nid = \"{id}\"\nthat = \"{that}\"\nbecause = \"a test says so\"\n")
}

/// Runs it: the exit status, the words, the result, and the log.
fn run(lab: &Lab, scenario: &str) -> (Option<i32>, String, Value, Vec<Value>) {
    let file = lab.data().join("processes.toml");
    std::fs::write(&file, scenario).unwrap();
    let out = lab.data().join("out");
    let run = lab.run(&[
        "chaos",
        "run",
        file.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
    ]);
    let said = text(&run);
    let result = std::fs::read(out.join("result.json")).unwrap_or_else(|e| panic!("{e}: {said}"));
    let log = std::fs::read_to_string(out.join("run.ndjson")).unwrap();
    let log = log.lines().map(|line| serde_json::from_str(line).unwrap());
    (
        run.status.code(),
        said,
        serde_json::from_slice(&result).unwrap(),
        log.collect(),
    )
}

fn lines<'a>(log: &'a [Value], kind: &str) -> Vec<&'a Value> {
    log.iter().filter(|line| line["type"] == kind).collect()
}

#[test]
fn a_killed_service_fails_its_customers_and_serves_them_again_when_it_is_back() {
    let lab = Lab::new();
    let checks = [
        check("fails", "success_rate(only) < 0.5 during gone"),
        check("serves", "success_rate(only) >= 0.99 after recovery"),
    ];
    let (status, said, result, log) =
        run(&lab, &scenario("product-service", "kill", &checks.concat()));
    assert_eq!(status, Some(0), "{said}");
    assert_eq!(result["verdict"], "pass");
    let cleared = lines(&log, "clear")[0];
    let took = cleared["done_us"].as_i64().unwrap() - cleared["t_us"].as_i64().unwrap();
    assert!(
        took > 10_000,
        "cleared is healthy again, which takes a while: {cleared}"
    );
    let acted = lines(&log, "acted")[0];
    assert_eq!(
        (&acted["by"], &acted["acted"]),
        (&"process".into(), &1.into())
    );
    let usage = lines(&log, "usage")[0];
    assert!(usage["parts_us"]["product"].as_u64() > Some(0), "{usage}");
}

/// The fault proxy has its links again, and none of them is broken.
#[test]
fn a_restarted_fault_proxy_and_a_paused_gateway_come_back() {
    let lab = Lab::new();
    let checks = check("serves", "success_rate(only) >= 0.99 after recovery");
    for (part, action) in [("toxiproxy", "restart"), ("gateway", "pause")] {
        let (status, said, _, log) = run(&lab, &scenario(part, action, &checks));
        assert_eq!(status, Some(0), "{part} {action}: {said}");
        // A trial that the machine has spoilt is run again.
        assert!(!lines(&log, "clear").is_empty());
    }
}

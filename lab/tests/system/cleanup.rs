//! A run that ends in the middle of a fault leaves nothing injected, whatever ends it.

use std::path::PathBuf;

use crate::crash::own_shop;
use crate::faults::in_force;
use crate::harness::{Front, Lab, is_free, runs, text, until};

const CONNECTIONS: &str = "link = \"gateway-product\"\naction = \"down\"";
const REQUESTS: &str =
    "link = \"gateway-product\"\naction = { fail = { share = 0.5, status = 503 } }";
const PROCESS: &str = "part = \"product-service\"\naction = \"pause\"";

/// A scenario whose fault is on for a minute.
fn scenario(lab: &Lab, fault: &str) -> PathBuf {
    let text = format!(
        r#"
schema_version = 1
name = "long"
shows = "a fault that is on for long enough to be interrupted"
hypothesis = "nothing of it stays"
repeats = 1

[load]
warm_up = "2s"
duration = "70s"
[[load.stream]]
mix = "browse"
rate = 10

[[timeline]]
name = "broken"
at = "1s"
for = "60s"
{fault}

[arms.only]
gateway-product = "naive"

[[check]]
id = "something"
that = "success_rate(only) >= 0 before broken"
because = "a scenario needs a check"
"#
    );
    let file = lab.data().join("long.toml");
    std::fs::write(&file, text).unwrap();
    file
}

fn run(lab: &Lab, fault: &str, options: &[&str]) -> Front {
    let file = scenario(lab, fault);
    let out = lab.data().join("out");
    let (file, out) = (file.to_str().unwrap(), out.to_str().unwrap());
    lab.front(&[&["chaos", "run", file, "--out", out], options].concat())
}

async fn until_in_force(lab: &Lab, run: &mut Front) {
    until("the fault is on", async || {
        assert_eq!(run.status(), None, "{}", run.said());
        !in_force(lab).is_empty()
    })
    .await;
}

/// The policies of the running lab.
fn policies(lab: &Lab) -> String {
    text(&lab.run(&["policy", "show", "--json"]))
}

async fn interrupted(fault: &str) {
    let mut lab = Lab::new();
    lab.up().await;
    let before = policies(&lab);
    let mut run = run(&lab, fault, &["--attach"]);
    until_in_force(&lab, &mut run).await;
    assert_ne!(policies(&lab), before, "the arm's policy is in its slot");
    run.kill("-INT");
    assert_eq!(run.ended().await.code(), Some(2), "{}", run.said());
    assert!(in_force(&lab).is_empty());
    assert_eq!(policies(&lab), before);
    assert!(lab.data().join("out/result.json").exists());
}

#[tokio::test]
async fn ctrl_c_takes_a_fault_of_connections_away() {
    interrupted(CONNECTIONS).await;
}

#[tokio::test]
async fn ctrl_c_takes_a_fault_of_requests_away() {
    interrupted(REQUESTS).await;
}

/// Dead, the run can take nothing away: the leases do.
async fn killed(fault: &str) {
    let mut lab = Lab::new();
    lab.up().await;
    let mut run = run(&lab, fault, &["--attach"]);
    until_in_force(&lab, &mut run).await;
    run.kill("-KILL");
    run.ended().await;
    until("the lease is over", async || in_force(&lab).is_empty()).await;
}

#[tokio::test]
async fn kill_9_of_an_attached_run_ends_a_fault_of_connections_with_its_lease() {
    killed(CONNECTIONS).await;
}

#[tokio::test]
async fn kill_9_of_an_attached_run_ends_a_fault_of_requests_with_its_lease() {
    killed(REQUESTS).await;
}

/// The run's own shop once its product service is stopped: the processes, and the first port.
async fn paused(lab: &Lab, run: &mut Front) -> (Vec<u64>, u16) {
    let shops = lab.data().join("shops");
    let mut parts = Vec::new();
    until("a part is stopped", async || {
        assert_eq!(run.status(), None, "{}", run.said());
        parts = own_shop(&shops);
        parts.iter().any(|pid| is_stopped(*pid))
    })
    .await;
    let shop = std::fs::read_dir(shops).unwrap().flatten().next().unwrap();
    let state = std::fs::read(shop.path().join("state.json")).unwrap();
    let state: serde_json::Value = serde_json::from_slice(&state).unwrap();
    let base = state["port_base"].as_u64().unwrap();
    (parts, u16::try_from(base).unwrap())
}

fn is_stopped(pid: u64) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") T "))
}

async fn ended_while_paused(signal: &str, code: Option<i32>) {
    let lab = Lab::new();
    let mut run = run(&lab, PROCESS, &[]);
    let (parts, base) = paused(&lab, &mut run).await;
    run.kill(signal);
    assert_eq!(run.ended().await.code(), code, "{}", run.said());
    until("all processes are gone", async || {
        !parts.iter().any(|pid| runs(*pid))
    })
    .await;
    until("all ports are free", async || {
        (base..base + 64).all(is_free)
    })
    .await;
}

#[tokio::test]
async fn ctrl_c_while_a_part_is_stopped_leaves_nothing() {
    ended_while_paused("-INT", Some(2)).await;
}

/// As a bug in the engine would end it.
#[tokio::test]
async fn an_abort_while_a_part_is_stopped_leaves_nothing() {
    ended_while_paused("-ABRT", None).await;
}

#[tokio::test]
async fn kill_9_while_a_part_is_stopped_leaves_nothing() {
    ended_while_paused("-KILL", None).await;
}

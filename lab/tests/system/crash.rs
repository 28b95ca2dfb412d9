//! Nothing is left behind, whatever ends the lab.

use std::process::Stdio;

use crate::harness::{Lab, is_free, kill, runs, status, text, until};

fn pids(lab: &Lab) -> Vec<u64> {
    lab.parts()
        .iter()
        .map(|part| part["pid"].as_u64().unwrap())
        .collect()
}

pub async fn nothing_is_left(lab: &Lab, pids: &[u64]) {
    until("all processes are gone", async || {
        !pids.iter().any(|&pid| runs(pid))
    })
    .await;
    let block = lab.base..lab.base + 64;
    until("all ports are free", async || block.clone().all(is_free)).await;
}

#[tokio::test]
async fn kill_9_leaves_no_process_and_no_port_and_the_next_start_is_clean() {
    let mut lab = Lab::new();
    lab.up().await;
    let pids = pids(&lab);
    assert_eq!(pids.len(), 6);
    kill("-KILL", u64::from(lab.pid()));
    lab.ended().await;
    nothing_is_left(&lab, &pids).await;
    assert_eq!(lab.run(&["status"]).status.code(), Some(3));

    let again = lab.run(&["up", "--detach"]);
    assert_eq!(again.status.code(), Some(0), "{}", text(&again));
    assert!(lab.parts().iter().all(|part| part["healthy"] == true));
    assert_eq!(status(&lab.url("/api/products/")).await, Some(200));
    assert_eq!(lab.run(&["down"]).status.code(), Some(0));
}

/// A start at the very moment of the kill waits for the dying children's ports.
#[tokio::test]
async fn a_start_right_after_a_kill_9_does_not_trip_over_the_dying() {
    let mut lab = Lab::new();
    lab.up().await;
    kill("-KILL", u64::from(lab.pid()));
    lab.ended().await;
    let again = lab.run(&["up", "--detach"]);
    assert_eq!(again.status.code(), Some(0), "{}", text(&again));
    lab.run(&["down"]);
}

#[tokio::test]
async fn each_polite_signal_stops_all_parts() {
    for signal in ["-INT", "-TERM", "-HUP"] {
        let mut lab = Lab::new();
        lab.up().await;
        let pids = pids(&lab);
        kill(signal, u64::from(lab.pid()));
        assert_eq!(lab.ended().await.code(), Some(0), "{signal}");
        nothing_is_left(&lab, &pids).await;
        assert!(!lab.data().join("state.json").exists());
    }
}

/// A part that hangs (SIGSTOP) cannot hold up the end.
#[tokio::test]
async fn a_hanging_part_does_not_keep_the_lab_from_ending() {
    let mut lab = Lab::new();
    lab.up().await;
    let pids = pids(&lab);
    kill("-STOP", lab.part("user-service")["pid"].as_u64().unwrap());
    kill("-TERM", u64::from(lab.pid()));
    assert_eq!(lab.ended().await.code(), Some(0));
    nothing_is_left(&lab, &pids).await;
}

#[tokio::test]
async fn a_run_of_load_that_is_killed_leaves_nothing_and_the_next_sweeps_its_data() {
    let lab = Lab::new();
    let shops = lab.data().join("shops");
    let mut run = lab
        .command(&["load", "--rate", "5", "--duration", "60s"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut parts = Vec::new();
    until("its own shop is up", async || {
        parts = own_shop(&shops);
        parts.len() == 6
    })
    .await;
    run.kill().unwrap();
    run.wait().unwrap();
    until("all processes are gone", async || {
        !parts.iter().any(|&pid| runs(pid))
    })
    .await;

    let out = lab.data().join("out");
    let next = lab.run(&[
        "load",
        "--rate",
        "20",
        "--duration",
        "5s",
        "--seed",
        "7",
        "--out",
        out.to_str().unwrap(),
    ]);
    let said = text(&next);
    assert!(matches!(next.status.code(), Some(0 | 2)), "{said}");
    assert!(
        out.join("load.json").exists() && out.join("latency.hlog").exists(),
        "{said}"
    );
    assert_eq!(
        std::fs::read_dir(&shops).unwrap().count(),
        0,
        "no data is left"
    );
}

/// The processes of the run's own shop, once it is ready.
pub fn own_shop(shops: &std::path::Path) -> Vec<u64> {
    std::fs::read_dir(shops)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|shop| std::fs::read(shop.path().join("state.json")).ok())
        .filter_map(|text| serde_json::from_slice::<serde_json::Value>(&text).ok())
        .filter(|state| state["ready"] == true)
        .flat_map(|state| state["parts"].as_array().cloned().unwrap_or_default())
        .filter_map(|part| part["pid"].as_u64())
        .collect()
}

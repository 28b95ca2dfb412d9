//! `lab fault`, on a lab that runs.

use serde_json::Value;

use crate::harness::{Lab, status, text, until};

/// What is in force, as `lab fault list --json` tells it.
pub fn in_force(lab: &Lab) -> Vec<Value> {
    let output = lab.run(&["fault", "list", "--json"]);
    assert!(output.status.success(), "{}", text(&output));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    document["faults"].as_array().unwrap().clone()
}

async fn browse(lab: &Lab) -> Option<u16> {
    status(&lab.url("/api/products/")).await
}

#[tokio::test]
async fn a_fault_per_request_lasts_as_long_as_its_command() {
    let mut lab = Lab::new();
    lab.up().await;
    let mut add = lab.front(&[
        "fault",
        "add",
        "gateway-product",
        "fail=100%",
        "status=503",
        "--name",
        "broken",
    ]);
    until("it is in force", async || {
        assert_eq!(add.status(), None, "{}", add.said());
        in_force(&lab).iter().any(|f| f["name"] == "broken")
    })
    .await;
    assert_eq!(browse(&lab).await, Some(503));
    let fault = in_force(&lab).remove(0);
    assert_eq!(fault["by"], "product");
    assert!(fault["acted"].as_u64() > Some(0), "{fault}");
    assert!(fault["left_ms"].as_u64() <= Some(15_000), "{fault}");
    add.kill("-INT");
    assert_eq!(add.ended().await.code(), Some(0), "{}", add.said());
    assert!(add.said().contains("it acted on"), "{}", add.said());
    assert!(in_force(&lab).is_empty());
    assert_eq!(browse(&lab).await, Some(200));
}

/// What its owner can't take away any more, the lease does.
#[tokio::test]
async fn a_link_that_is_down_is_up_again_when_the_command_is_killed() {
    let mut lab = Lab::new();
    lab.up().await;
    let mut add = lab.front(&["fault", "add", "gateway-product", "down"]);
    until("a browse fails", async || browse(&lab).await != Some(200)).await;
    add.kill("-KILL");
    add.ended().await;
    until("the lease is over", async || in_force(&lab).is_empty()).await;
    until("a browse works", async || browse(&lab).await == Some(200)).await;
}

#[tokio::test]
async fn a_fault_ends_at_its_time_and_others_are_cleared_by_hand() {
    let mut lab = Lab::new();
    lab.up().await;
    let short = lab.run(&[
        "fault",
        "add",
        "order-product",
        "latency=5ms",
        "--for",
        "1s",
    ]);
    assert_eq!(short.status.code(), Some(0), "{}", text(&short));
    assert!(in_force(&lab).is_empty());

    let add = lab.front(&[
        "fault",
        "add",
        "gateway-user",
        "latency=5ms",
        "--name",
        "slow",
    ]);
    until("it is in force", async || in_force(&lab).len() == 1).await;
    let cleared = lab.run(&["fault", "clear", "slow"]);
    assert_eq!(cleared.status.code(), Some(0), "{}", text(&cleared));
    assert!(in_force(&lab).is_empty());
    let none = lab.run(&["fault", "clear", "slow"]);
    assert_eq!(none.status.code(), Some(3), "{}", text(&none));
    drop(add);
    assert_eq!(lab.run(&["fault", "clear", "--all"]).status.code(), Some(0));
}

#[tokio::test]
async fn slips_are_told_with_what_was_meant() {
    let mut lab = Lab::new();
    let nobody = lab.run(&["fault", "list"]);
    assert_eq!(nobody.status.code(), Some(3));
    assert!(text(&nobody).contains("lab up"), "{}", text(&nobody));
    lab.up().await;
    for (words, told) in [
        (["order-prodct", "down"], "order-product"),
        (["order-product", "latncy=5"], "latency"),
        (["order-product", "latency=-1"], "negative"),
        (["order-product", "fail=120%"], "share"),
        (["user-service", "kill"], "shop of their own"),
    ] {
        let output = lab.run(&[&["fault", "add"], words.as_slice()].concat());
        assert_eq!(
            output.status.code(),
            Some(3),
            "{words:?}: {}",
            text(&output)
        );
        assert!(text(&output).contains(told), "{words:?}: {}", text(&output));
    }
    assert!(in_force(&lab).is_empty());
}

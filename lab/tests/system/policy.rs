//! `lab policy`, on a lab that runs, and `lab simulate`, which needs none.

use serde_json::Value;

use crate::harness::{Lab, text};

fn json(lab: &Lab, args: &[&str]) -> Value {
    let output = lab.run(args);
    assert!(output.status.success(), "{}", text(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn policies_are_shown_changed_and_split_by_hand() {
    let mut lab = Lab::new();
    lab.up().await;
    let shown = text(&lab.run(&["policy", "show"]));
    for slot in [
        "order-product",
        "order-user",
        "gateway-order",
        "product.server",
        "user.server",
    ] {
        assert!(shown.contains(slot), "{shown}");
    }
    let set = lab.run(&[
        "policy",
        "set",
        "order-product",
        "fast",
        "breaker=off",
        "retry.max_attempts=4",
    ]);
    assert!(set.status.success(), "{}", text(&set));
    let one = json(&lab, &["policy", "show", "order-product"]);
    assert_eq!(one["policy"]["breaker"], "off");
    assert_eq!(one["policy"]["retry"]["max_attempts"], 4);
    let split = r#"[{"weight": 3, "policy": "fast"}, {"weight": 1, "policy": "grpc-a6"}]"#;
    assert!(
        lab.run(&["policy", "set", "order-product", split])
            .status
            .success()
    );
    let shown = text(&lab.run(&["policy", "show"]));
    assert!(shown.contains("3× fast, 1× grpc-a6"), "{shown}");
    assert!(shown.contains("breaker closed"), "{shown}");
    assert!(
        lab.run(&["policy", "set", "product.server", "shed"])
            .status
            .success()
    );
    let all = json(&lab, &["policy", "show", "--json"]);
    assert_eq!(all["product.server"]["preset"], "shed");
    for (wrong, told) in [
        (["policy", "set", "order-prodct", "fast"], "did you mean"),
        (
            ["policy", "set", "order-product", "fsat"],
            "did you mean `fast`",
        ),
        (["policy", "set", "order-product", "shed"], "a server's"),
        (["policy", "set", "product.server", "fast"], "a caller's"),
    ] {
        let output = lab.run(&wrong);
        assert_eq!(output.status.code(), Some(3), "{wrong:?}");
        assert!(text(&output).contains(told), "{}", text(&output));
    }
}

#[tokio::test]
async fn without_a_lab_the_command_says_how_to_start_one() {
    let lab = Lab::new();
    let output = lab.run(&["policy", "show"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output).contains("lab up"), "{}", text(&output));
}

#[tokio::test]
async fn a_simulation_is_the_same_bytes_every_time() {
    let lab = Lab::new();
    let args = ["simulate", "amplification", "--json", "--seed", "5"];
    let (first, second) = (lab.run(&args), lab.run(&args));
    assert!(first.status.success(), "{}", text(&first));
    assert_eq!(first.stdout, second.stdout);
    let other = lab.run(&["simulate", "amplification", "--json", "--seed", "6"]);
    assert_ne!(first.stdout, other.stdout);
    let unknown = lab.run(&["simulate", "amplificaton"]);
    assert_eq!(unknown.status.code(), Some(3));
    assert!(
        text(&unknown).contains("amplification"),
        "{}",
        text(&unknown)
    );
}

//! docs/POLICIES.md: the policies of the scenarios' arms are ones that there are.

use std::collections::BTreeMap;
use std::time::Duration;

use resilience::retry::Retry;
use resilience::{Deadline, FailureKind, Policy, ServerPolicy, ServerSpec, SlotSpec};
use serde::Deserialize;

const PAGE: &str = include_str!("../../../docs/POLICIES.md");

/// Slots by name, as an arm of a scenario has them.
type Arm = BTreeMap<String, serde_json::Value>;

#[derive(Deserialize)]
struct Block {
    arms: BTreeMap<String, Arm>,
}

/// The arms under each heading.
fn page() -> BTreeMap<String, BTreeMap<String, Arm>> {
    let section = |text: &str| {
        let heading = text.lines().next().unwrap_or_default().to_owned();
        let block = text.split("```toml\n").nth(1)?.split("```").next()?;
        let block: Block = toml::from_str(block).unwrap_or_else(|e| panic!("{heading}: {e}"));
        Some((heading, block.arms))
    };
    PAGE.split("\n### ").skip(1).filter_map(section).collect()
}

fn caller(arm: &Arm, slot: &str) -> Policy {
    let spec = SlotSpec::try_from(arm[slot].clone());
    let policies = spec.and_then(|spec| spec.resolve());
    match policies.as_deref() {
        Ok([(_, policy)]) => policy.clone(),
        other => panic!("{slot}: not one policy but {other:?}"),
    }
}

fn server(arm: &Arm, slot: &str) -> ServerPolicy {
    let spec = ServerSpec::try_from(arm[slot].clone());
    let policy = spec.and_then(|spec| spec.resolve());
    policy.unwrap_or_else(|error| panic!("{slot}: {error}"))
}

#[test]
fn every_scenario_whose_arms_differ_in_policies_is_there() {
    let page = page();
    let headings: Vec<&str> = page.keys().map(String::as_str).collect();
    let all = headings.join(", ");
    for scenario in [
        "steady",
        "product-outage",
        "user-crash",
        "slow-product",
        "tail",
        "flaky",
        "layers",
        "resets",
        "black-hole",
        "slow-database",
        "retry-storm",
        "overload",
        "priority",
        "herd",
        "flapping",
        "bake-off",
    ] {
        assert!(
            all.split(", ").any(|name| name == scenario),
            "{scenario}: {all}"
        );
    }
}

#[test]
fn every_policy_on_the_page_can_be_had() {
    for (scenario, arms) in page() {
        for (name, arm) in arms {
            assert!(!arm.is_empty(), "{scenario}: {name}");
            for slot in arm.keys() {
                if slot.ends_with(".server") {
                    server(&arm, slot);
                } else {
                    caller(&arm, slot);
                }
            }
        }
    }
}

#[test]
fn arms_say_what_their_names_say() {
    let page = page();
    let slow = &page["slow-product"];
    let limits = |name: &str| {
        let policy = caller(&slow[name], "order-product");
        (policy.deadline.is_some(), policy.propagate_deadline)
    };
    assert!(!limits("no-deadline").0);
    assert_eq!(limits("caller-only"), (true, false));
    assert_eq!(limits("propagated"), (true, true));
    for arm in page["layers"].values() {
        for slot in arm.keys() {
            let retry = caller(arm, slot).retry.unwrap();
            assert_eq!(
                (retry.max_attempts, retry.obey_pushback),
                (3, false),
                "{slot}"
            );
        }
    }
    for (name, arm) in &page["retry-storm"] {
        let travels = caller(arm, "order-product").propagate_deadline;
        assert_eq!(travels, name == "shedding", "{name}");
        assert_eq!(
            arm.contains_key("product.server"),
            name == "shedding",
            "{name}"
        );
    }
    let throttle = caller(&page["overload, priority"]["throttling"], "gateway-product").throttle;
    assert_eq!(throttle.unwrap().window, Duration::from_secs(10));
}

/// The herd retries until it is served: its attempts must not run out first.
#[test]
fn a_hundred_attempts_last_longer_than_a_minute() {
    use rand::{SeedableRng as _, rngs::StdRng};

    for arm in page()["herd"].values() {
        let config = caller(arm, "load").retry.unwrap();
        for seed in 0..200 {
            let mut retry = Retry::new(&config, StdRng::seed_from_u64(seed));
            let mut wait = |attempts| {
                let failure = FailureKind::Unavailable;
                retry.wait_after(attempts, failure, None, true, Deadline::NONE)
            };
            let waits: Duration = (1..100).map(|attempts| wait(attempts).unwrap()).sum();
            assert!(waits > Duration::from_secs(60), "{waits:?}");
        }
    }
}

//! Services restarted while customers use them.

use std::sync::Arc;

use crate::crowd::{Crowd, Shop, Tally};
use crate::harness::{Lab, night, status, text, until};

const TWO_OF_EACH: &str = "user-service=2,product-service=2,order-service=2";

fn pids(lab: &Lab) -> Vec<(String, u64)> {
    lab.parts()
        .iter()
        .filter(|part| part["kind"] == "service" && part["name"] != "payment-service")
        .map(|part| {
            let name = part["name"].as_str().unwrap().to_owned();
            (name, part["pid"].as_u64().unwrap())
        })
        .collect()
}

/// All three services, each replica in turn, under load; what became of the customers' requests.
async fn round(lab: &Lab) -> (Arc<Shop>, Tally) {
    let before = pids(lab);
    // Tokens live for a quarter of an hour: each round has customers of its own.
    let shop = Arc::new(Shop::open(lab).await);
    let crowd = Crowd::start(&shop, false);
    until("there is load", async || crowd.asked() > 100).await;
    let mut restarting = lab.front(&["restart", "--rolling"]);
    let ended = restarting.ended().await;
    let tally = crowd.stop().await;
    assert!(ended.success(), "{}", restarting.said());
    let after = pids(lab);
    assert_eq!(before.len(), after.len());
    for (was, is) in before.iter().zip(&after) {
        assert_eq!(was.0, is.0);
        assert_ne!(was.1, is.1, "{} was restarted", was.0);
    }
    (shop, tally)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_under_load_fails_no_request() {
    let (wanted, rounds) = if night() { (200_000, 5) } else { (5_000, 1) };
    let mut lab = Lab::new();
    lab.up_with(&["--replicas", TWO_OF_EACH]).await;
    let (mut requests, mut done) = (0, 0);
    while requests < wanted || done < rounds {
        let (shop, tally) = round(&lab).await;
        tally.nothing_failed(&shop).await;
        requests += tally.requests;
        done += 1;
        assert!(
            done < 400,
            "this machine does too little: {requests} requests"
        );
    }
    println!("0 of {requests} requests failed over {} restarts", 6 * done);
}

/// The control: without the notice that a restart gives, requests do fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_by_kill_9_fails_some() {
    let mut lab = Lab::new();
    lab.up_with(&["--replicas", TWO_OF_EACH]).await;
    let shop = Arc::new(Shop::open(&lab).await);
    let crowd = Crowd::start(&shop, false);
    until("there is load", async || crowd.asked() > 100).await;
    for part in ["order-service.2", "user-service.2", "product-service.2"] {
        crate::harness::kill("-KILL", lab.part(part)["pid"].as_u64().unwrap());
    }
    let killed_at = crowd.asked();
    until("customers have noticed", async || {
        crowd.asked() > killed_at + 200
    })
    .await;
    let tally = crowd.stop().await;
    assert!(tally.failed > 0, "of {} requests", tally.requests);
    // What has crashed can be had back.
    for part in ["order-service.2", "user-service.2", "product-service.2"] {
        let back = lab.run(&["restart", part]);
        assert_eq!(back.status.code(), Some(0), "{}", text(&back));
        assert_eq!(lab.part(part)["healthy"], true);
    }
}

#[tokio::test]
async fn a_part_is_restarted_by_name_and_what_cannot_be_is_refused() {
    let mut lab = Lab::new();
    let none = lab.run(&["restart", "gateway"]);
    assert_eq!(none.status.code(), Some(3), "{}", text(&none));
    assert!(text(&none).contains("lab up"), "{}", text(&none));
    lab.up().await;
    for (words, told) in [
        (vec!["gatway"], "did you mean \"gateway\""),
        (
            vec!["--rolling"],
            "no service of this lab has a second process",
        ),
        (
            vec!["--rolling", "user-service"],
            "--replicas user-service=2",
        ),
        (vec![], "PART"),
    ] {
        let refused = lab.run(&[&["restart"], words.as_slice()].concat());
        assert_eq!(refused.status.code(), Some(3), "{}", text(&refused));
        assert!(text(&refused).contains(told), "{}", text(&refused));
    }
    let pid = |name: &str| lab.part(name)["pid"].as_u64().unwrap();
    let before = (pid("gateway"), pid("toxiproxy"), pid("user-service"));
    // The fault proxy has its links again.
    let done = lab.run(&["restart", "gateway", "toxiproxy"]);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done));
    let after = (pid("gateway"), pid("toxiproxy"), pid("user-service"));
    assert!(before.0 != after.0 && before.1 != after.1 && before.2 == after.2);
    until("the shop serves", async || {
        status(&lab.url("/api/products/")).await == Some(200)
    })
    .await;
}

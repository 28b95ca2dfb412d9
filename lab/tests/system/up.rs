//! `lab up` and what it serves.

use serde_json::{Value, json};

use crate::harness::{Lab, client, is_free, kill, status, text, until};

const NAMES: [&str; 6] = [
    "gateway",
    "user-service",
    "product-service",
    "payment-service",
    "order-service",
    "toxiproxy",
];

async fn log_in(lab: &Lab, name: &str) -> String {
    let answer = client()
        .post(lab.url("/api/token/"))
        .json(&json!({ "username": name, "password": "password123" }))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    answer.json::<Value>().await.unwrap()["access"]
        .as_str()
        .unwrap()
        .to_owned()
}

async fn in_stock(lab: &Lab) -> Value {
    let page: Value = client()
        .get(lab.url("/api/products/"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let products = page["results"].as_array().unwrap().clone();
    products
        .into_iter()
        .find(|product| product["inventory_count"].as_i64() > Some(2))
        .unwrap()
}

#[tokio::test]
async fn everything_is_healthy_and_an_order_goes_through_the_gateway() {
    let mut lab = Lab::new();
    lab.up().await;
    let parts = lab.parts();
    for name in NAMES {
        let part = parts.iter().find(|part| part["name"] == name).unwrap();
        assert_eq!(part["healthy"], true, "{part}");
    }
    let product = in_stock(&lab).await;
    let access = log_in(&lab, "user0").await;
    let made = client()
        .post(lab.url("/api/orders/"))
        .bearer_auth(&access)
        .json(&json!({ "items": [{ "product_id": product["id"], "quantity": 2 }] }))
        .send()
        .await
        .unwrap();
    assert_eq!(made.status(), 201);
    let order: Value = made.json().await.unwrap();
    let history: Value = client()
        .get(lab.url("/api/orders/"))
        .bearer_auth(&access)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(history["results"][0]["id"], order["id"]);
    for docs in ["/docs/user/", "/docs/product/", "/docs/order/"] {
        assert_eq!(status(&lab.url(docs)).await, Some(200), "{docs}");
    }
}

/// Every link of the shop is a proxy that can be broken: here, the one behind an order.
#[tokio::test]
async fn a_link_that_is_down_is_felt_and_one_that_is_up_again_is_not() {
    let mut lab = Lab::new();
    lab.up().await;
    let proxies: Value = client()
        .get(format!("http://127.0.0.1:{}/proxies", lab.base + 16))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let names: Vec<&String> = proxies.as_object().unwrap().keys().collect();
    assert_eq!(names.len(), 8, "{names:?}");
    let switch = async |enabled: bool| {
        let url = format!("http://127.0.0.1:{}/proxies/gateway-product", lab.base + 16);
        let answer = client()
            .post(url)
            .json(&json!({ "enabled": enabled }))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
    };
    switch(false).await;
    until("a browse fails", async || {
        status(&lab.url("/api/products/")).await != Some(200)
    })
    .await;
    switch(true).await;
    until("a browse works", async || {
        status(&lab.url("/api/products/")).await == Some(200)
    })
    .await;
}

#[tokio::test]
async fn health_tells_of_a_stopped_service_and_of_its_return() {
    let mut lab = Lab::new();
    lab.up().await;
    assert_eq!(status(&lab.url("/health")).await, Some(200));
    let pid = lab.part("product-service")["pid"].as_u64().unwrap();
    kill("-STOP", pid);
    until("health is 503", async || {
        status(&lab.url("/health")).await == Some(503)
    })
    .await;
    assert_eq!(lab.part("product-service")["healthy"], false);
    assert_eq!(lab.part("user-service")["healthy"], true);
    kill("-CONT", pid);
    until("health is 200", async || {
        status(&lab.url("/health")).await == Some(200)
    })
    .await;
    assert_eq!(lab.part("product-service")["healthy"], true);
}

#[tokio::test]
async fn a_dead_service_is_shown_as_dead() {
    let mut lab = Lab::new();
    lab.up().await;
    let pid = lab.part("order-service")["pid"].as_u64().unwrap();
    kill("-KILL", pid);
    until("health is 503", async || {
        status(&lab.url("/health")).await == Some(503)
    })
    .await;
    until("the lab has noticed", async || {
        lab.part("order-service")["pid"].is_null()
    })
    .await;
    assert_eq!(lab.part("order-service")["healthy"], false);
    assert!(text(&lab.run(&["status"])).contains("killed by signal 9"));
}

#[tokio::test]
async fn a_detached_lab_is_stopped_by_down() {
    let lab = Lab::new();
    let started = lab.run(&["up", "--detach"]);
    assert_eq!(started.status.code(), Some(0), "{}", text(&started));
    assert!(
        text(&started).contains(&lab.url("/health")),
        "{}",
        text(&started)
    );
    let pids: Vec<u64> = lab
        .parts()
        .iter()
        .map(|part| part["pid"].as_u64().unwrap())
        .collect();
    let again = lab.run(&["up"]);
    let stopped = lab.run(&["down"]);
    assert_eq!(again.status.code(), Some(3), "{}", text(&again));
    assert!(text(&again).contains("runs already"), "{}", text(&again));
    assert_eq!(stopped.status.code(), Some(0), "{}", text(&stopped));
    assert!(pids.iter().all(|&pid| !crate::harness::runs(pid)));
    assert_eq!(lab.run(&["status"]).status.code(), Some(3));
    assert!((lab.base..lab.base + 64).all(is_free));
}

#[tokio::test]
async fn two_labs_run_side_by_side() {
    let (mut one, mut two) = (Lab::new(), Lab::new());
    one.up().await;
    two.base = Lab::new().base;
    assert_ne!(one.base, two.base);
    two.up().await;
    for lab in [&one, &two] {
        assert!(lab.parts().iter().all(|part| part["healthy"] == true));
        assert_eq!(status(&lab.url("/api/products/")).await, Some(200));
        log_in(lab, "user1").await;
    }
}

#[tokio::test]
async fn a_taken_port_is_named_with_its_part_and_its_holder() {
    let lab = Lab::new();
    let port = lab.base + 12;
    let _held = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let refused = lab.run(&["up"]);
    let said = text(&refused);
    assert_eq!(refused.status.code(), Some(3), "{said}");
    for word in [
        &port.to_string(),
        "order-service",
        &format!("pid {}", std::process::id()),
    ] {
        assert!(said.contains(word), "{word} in {said}");
    }
    assert!(
        (lab.base..lab.base + 64)
            .filter(|p| *p != port)
            .all(is_free),
        "nothing was started"
    );
}

#[tokio::test]
async fn fresh_forgets_the_orders() {
    let mut lab = Lab::new();
    lab.up().await;
    let access = log_in(&lab, "user2").await;
    let product = in_stock(&lab).await["id"].clone();
    let orders = async |lab: &Lab, access: &str| {
        let answer = client()
            .get(lab.url("/api/orders/"))
            .bearer_auth(access)
            .send()
            .await
            .unwrap();
        answer.json::<Value>().await.unwrap()["count"]
            .as_i64()
            .unwrap()
    };
    let before = orders(&lab, &access).await;
    let body = json!({ "items": [{ "product_id": product, "quantity": 1 }] });
    let made = client()
        .post(lab.url("/api/orders/"))
        .bearer_auth(&access)
        .json(&body)
        .send()
        .await
        .unwrap();
    assert_eq!(made.status(), 201);
    kill("-TERM", u64::from(lab.pid()));
    assert_eq!(lab.ended().await.code(), Some(0));

    let kept = lab.run(&["up", "--detach"]);
    assert_eq!(kept.status.code(), Some(0), "{}", text(&kept));
    assert_eq!(
        orders(&lab, &access).await,
        before + 1,
        "data outlive a stop"
    );
    lab.run(&["down"]);

    let fresh = lab.run(&["up", "--detach", "--fresh"]);
    assert_eq!(fresh.status.code(), Some(0), "{}", text(&fresh));
    let access = log_in(&lab, "user2").await;
    assert_eq!(orders(&lab, &access).await, before, "--fresh starts anew");
    lab.run(&["down"]);
}

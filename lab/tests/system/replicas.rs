//! Several processes of a service.

use serde_json::Value;

use crate::harness::{Lab, client, kill, status, text, until};

async fn browse(lab: &Lab) -> Option<u16> {
    status(&lab.url("/api/products/")).await
}

#[tokio::test]
async fn a_service_with_two_processes_goes_on_without_one_of_them() {
    let mut lab = Lab::new();
    lab.up_with(&["--replicas", "product-service=2"]).await;
    let shown = lab.run(&["status"]);
    assert!(
        text(&shown).contains("product-service.2"),
        "{}",
        text(&shown)
    );
    for name in ["product-service", "product-service.2"] {
        assert_eq!(lab.part(name)["healthy"], true);
    }
    let api = format!("http://127.0.0.1:{}/proxies", lab.base + 16);
    let proxies: Value = client()
        .get(api)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    for name in [
        "gateway-product.1",
        "gateway-product.2",
        "order-product.2",
        "order-user",
    ] {
        assert!(!proxies[name].is_null(), "{name} in {proxies}");
    }
    assert_eq!(browse(&lab).await, Some(200));
    kill(
        "-KILL",
        lab.part("product-service.2")["pid"].as_u64().unwrap(),
    );
    until("one is dead", async || {
        lab.part("product-service.2")["healthy"] == false
    })
    .await;
    // The gateway may meet the dead one once or twice before it stops asking it.
    until("five in a row are served", async || {
        for _ in 0..5 {
            if browse(&lab).await != Some(200) {
                return false;
            }
        }
        true
    })
    .await;
}

#[test]
fn too_many_and_the_wrong_ones_are_refused() {
    let lab = Lab::new();
    for (replicas, told) in [
        ("product-servce=2", "did you mean"),
        ("gateway=2", "can't have replicas"),
        ("product-service=9", "ports"),
        ("product-service", "SERVICE=N"),
    ] {
        let refused = lab.run(&["up", "--replicas", replicas]);
        assert_eq!(refused.status.code(), Some(3), "{}", text(&refused));
        assert!(text(&refused).contains(told), "{}", text(&refused));
    }
}

//! The control API is for the lab alone.

use reqwest::Method;

use crate::common::{Client, SAMPLE, Shop};

const PATHS: [(Method, &str); 9] = [
    (Method::GET, "/lab/health"),
    (Method::GET, "/lab/policies"),
    (Method::POST, "/lab/faults"),
    (Method::DELETE, "/lab/faults"),
    (Method::POST, "/lab/reset"),
    (Method::POST, "/lab/fixtures"),
    (Method::GET, "/lab/failpoints"),
    (Method::PUT, "/lab/defects/any"),
    (Method::GET, "/lab/events"),
];

// attack(lab API): control API with no, a wrong or a user's token, as another site's page would send it, too -> 401, nothing happens
#[tokio::test]
async fn nobody_but_the_lab_steers_a_service() {
    let shop = Shop::start().await;
    let admin = shop.login("admin", SAMPLE).await;
    let control = format!("http://{}", shop.running.control.unwrap());
    let nobody = Client::new(control);
    let page = nobody.with_header("origin", "http://evil.test");
    for client in [
        nobody.clone(),
        nobody.with_token("test-toke"),
        nobody.with_token("test-token2"),
        nobody.with_token(""),
        nobody.with_token(&admin.access),
        nobody.with_header("authorization", "test-token"),
        page.with_header("cookie", "token=test-token"),
    ] {
        for (method, path) in PATHS {
            let answer = client.send(method.clone(), path, None).await;
            assert_eq!(answer.status, 401, "{method} {path}: {}", answer.body);
            let shared = answer.headers.get("access-control-allow-origin");
            assert!(shared.is_none(), "{method} {path}");
        }
    }
    let lab = nobody.with_token("test-token");
    assert_eq!(lab.get("/lab/health").await.status, 200);
}

// attack(lab API): control API at a service's public port, or out of lab mode -> not there, 404
#[tokio::test]
async fn the_control_api_has_a_port_of_its_own_in_the_lab_alone() {
    let lab = Shop::start().await;
    let outside = lab.out_of_lab().await;
    assert!(outside.running.control.is_none());
    for shop in [&lab, &outside] {
        let client = shop.client.with_token("test-token");
        for (method, path) in PATHS {
            let status = client.send(method.clone(), path, None).await.status;
            // A token that is none of ours is refused before anything else.
            assert!([401, 404].contains(&status.as_u16()), "{method} {path}");
            let status = shop.client.send(method.clone(), path, None).await.status;
            assert_eq!(status, 404, "{method} {path}");
        }
    }
}

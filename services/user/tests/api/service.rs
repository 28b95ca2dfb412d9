//! gRPC, health, documents, common rules, fixtures and the command line.

use std::process::Command;

use crate::common::{SAMPLE, Shop};
use proto::user::{
    ValidateUserRequest, ValidateUserResponse, user_service_client::UserServiceClient,
};
use reqwest::Method;
use serde_json::{Value, json};
use tonic::{Code, Request, Status};

async fn validate(
    shop: &Shop,
    secret: Option<&str>,
    user_id: i32,
) -> Result<ValidateUserResponse, Status> {
    let address = format!("http://{}", shop.running.grpc.unwrap());
    let mut client = UserServiceClient::connect(address).await.unwrap();
    let mut request = Request::new(ValidateUserRequest {
        user_id,
        requesting_service: "test".into(),
    });
    if let Some(secret) = secret {
        request
            .metadata_mut()
            .insert("authorization", format!("Bearer {secret}").parse().unwrap());
    }
    client
        .validate_user(request)
        .await
        .map(tonic::Response::into_inner)
}

#[tokio::test]
async fn grpc_tells_valid_from_unknown_and_inactive_users() {
    let shop = Shop::start().await;
    let secret = Some("test-secret");
    let known = validate(&shop, secret, 3).await.unwrap();
    let info = known.user_info.unwrap();
    assert!(known.valid && info.is_active && known.error_message.is_empty());
    assert_eq!(
        (info.id, info.username.as_str(), info.email.as_str()),
        (3, "user0", "user0@example.com")
    );
    for id in [0, -1, i32::MIN, i32::MAX] {
        let unknown = validate(&shop, secret, id).await.unwrap();
        assert!(!unknown.valid && unknown.user_info.is_none() && !unknown.error_message.is_empty());
    }
    let staff = shop.login("staff", SAMPLE).await;
    assert_eq!(staff.client.delete("/api/users/3/").await.status, 204);
    let inactive = validate(&shop, secret, 3).await.unwrap();
    assert!(
        !inactive.valid
            && !inactive.user_info.unwrap().is_active
            && !inactive.error_message.is_empty()
    );
}

// attack(gRPC secret): gRPC of the user service without the secret, or with a wrong one -> UNAUTHENTICATED
#[tokio::test]
async fn grpc_needs_the_secret() {
    let shop = Shop::start().await;
    for secret in [
        None,
        Some("wrong"),
        Some(""),
        Some("test-secre"),
        Some("test-secret2"),
    ] {
        let refused = validate(&shop, secret, 3).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{secret:?}");
    }
}

#[tokio::test]
async fn sample_accounts_are_the_same_everywhere_and_made_once() {
    let shop = Shop::start().await;
    for (id, name) in [(1, "admin"), (2, "staff"), (3, "user0"), (12, "user9")] {
        let user = shop.login(name, SAMPLE).await;
        assert_eq!(user.id, id);
        let me = user.client.get("/api/users/me/").await.body;
        assert_eq!(me["email"], format!("{name}@example.com"));
    }
    let output = shop.run(&["seed"], None).await;
    assert!(output.0, "{}", output.1);
    let admin = shop.login("admin", SAMPLE).await;
    assert_eq!(admin.client.get("/api/users/").await.body["count"], 12);
}

// attack(sample accounts): a sample account out of lab mode -> 401 with the sample password, none are made
#[tokio::test]
async fn out_of_the_lab_no_sample_account_logs_in() {
    let lab = Shop::start().await;
    let outside = lab.out_of_lab().await;
    assert!(outside.running.control.is_none(), "no control API");
    let sample = json!({ "username": "admin", "password": SAMPLE });
    outside
        .client
        .post("/api/token/", &sample)
        .await
        .is_error(401, "authentication_failed");
    outside.customer("ann").await;
    let output = Command::new(env!("CARGO_BIN_EXE_user-service"))
        .arg("seed")
        .env_clear()
        .env("SERVICE_SECRET", "s")
        .env(
            "FIELD_ENCRYPTION_KEYS",
            "a:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        )
        .env(
            "DATABASE_URL",
            format!("sqlite://{}", lab.database.display()),
        )
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("LAB_MODE"),
        "{output:?}"
    );
}

#[tokio::test]
async fn the_common_rules_hold() {
    let shop = Shop::start().await;
    let health = shop.client.get("/health/").await;
    assert_eq!(
        (
            health.status.as_u16(),
            &health.body["status"],
            &health.body["service"]
        ),
        (200, &json!("healthy"), &json!("user"))
    );
    assert_eq!(
        health.body["checks"],
        json!({ "database": "ok", "keys": "ok" })
    );

    let moved = shop.client.get("/api/users/me").await;
    assert_eq!(
        (moved.status.as_u16(), &moved.headers["location"]),
        (308, &"/api/users/me/".parse().unwrap())
    );
    let served = shop
        .client
        .post(
            "/api/token",
            &json!({ "username": "user0", "password": SAMPLE }),
        )
        .await;
    assert_eq!(served.status, 200);
    let wrong = shop.client.delete("/api/token/").await;
    wrong.is_error(405, "method_not_allowed");
    assert!(wrong.headers.contains_key("allow"));
    shop.client
        .get("/api/nothing/")
        .await
        .is_error(404, "not_found");

    let send = |media: &'static str, body: String| {
        let request = shop
            .client
            .http
            .request(Method::POST, format!("{}/api/token/", shop.client.base));
        async move {
            crate::common::Answer::of(
                request
                    .header("content-type", media)
                    .body(body)
                    .send()
                    .await
                    .unwrap(),
            )
            .await
        }
    };
    send("application/json", "{".into())
        .await
        .is_error(400, "parse_error");
    send("application/json", "[]".into())
        .await
        .is_error(400, "parse_error");
    send("text/plain", "{}".into())
        .await
        .is_error(415, "unsupported_media_type");
    send("application/json", " ".repeat((1 << 20) + 1))
        .await
        .is_error(413, "payload_too_large");
}

#[tokio::test]
async fn the_document_describes_every_route() {
    let shop = Shop::start().await;
    let document = shop.client.get("/docs/user/openapi.json").await.body;
    let paths = document["paths"].as_object().unwrap();
    for (path, methods) in [
        ("/api/users/", &["get", "post"][..]),
        ("/api/users/register/", &["post"]),
        ("/api/users/me/", &["get", "patch"]),
        ("/api/users/me/password/", &["post"]),
        ("/api/users/{id}/", &["get", "put", "patch", "delete"]),
        ("/api/users/audit/", &["get"]),
        ("/api/token/", &["post"]),
        ("/api/token/refresh/", &["post"]),
        ("/api/token/logout/", &["post"]),
        ("/api/users/2fa/setup/", &["post"]),
        ("/api/users/2fa/verify-setup/", &["post"]),
        ("/api/users/2fa/verify-login/", &["post"]),
        ("/api/users/2fa/disable/", &["post"]),
        ("/api/users/2fa/regenerate-backup-tokens/", &["post"]),
        ("/api/users/2fa/download-backup-tokens/", &["post"]),
        ("/api/users/2fa/status/", &["get"]),
        ("/.well-known/jwks.json", &["get"]),
    ] {
        for method in methods {
            assert!(paths[path].get(method).is_some(), "{method} {path}");
        }
    }
    let page = shop.client.get("/docs/user/").await;
    assert!(
        page.body
            .as_str()
            .is_some_and(|html| html.contains("swagger-ui")),
        "{:?}",
        page.status
    );
}

async fn fixtures(shop: &Shop, token: &str, body: Value) -> crate::common::Answer {
    let url = format!("http://{}/lab/fixtures", shop.running.control.unwrap());
    crate::common::Answer::of(
        shop.client
            .http
            .post(url)
            .bearer_auth(token)
            .json(&body)
            .send()
            .await
            .unwrap(),
    )
    .await
}

#[tokio::test]
async fn fixtures_make_customers_that_can_act_at_once() {
    let shop = Shop::start().await;
    assert_eq!(fixtures(&shop, "wrong", json!({})).await.status, 401);
    for bad in [
        json!([]),
        json!({ "customers": -1 }),
        json!({ "customers": 10_001 }),
        json!({ "run": "a b" }),
    ] {
        let answer = fixtures(&shop, "test-token", bad).await;
        assert_eq!(answer.status, 400, "{}", answer.body);
        assert!(answer.body["error"].is_string());
    }
    let wanted = json!({ "customers": 30, "staff": 2, "admins": 1, "run": "outage" });
    let (first, second) = tokio::join!(
        fixtures(&shop, "test-token", wanted.clone()),
        fixtures(&shop, "test-token", wanted)
    );
    for made in [&first, &second] {
        assert_eq!(made.status, 200, "{}", made.body);
        assert_eq!(made.body["customers"].as_array().unwrap().len(), 30);
        assert_eq!(made.body["staff"].as_array().unwrap().len(), 2);
        assert_eq!(made.body["admins"].as_array().unwrap().len(), 1);
    }
    let customer = &first.body["customers"][29];
    let client = shop.client.with_token(customer["access"].as_str().unwrap());
    let me = client.get("/api/users/me/").await.body;
    assert_eq!(
        (&me["id"], &me["username"]),
        (&customer["user_id"], &customer["username"])
    );
    client
        .get("/api/users/")
        .await
        .is_error(403, "permission_denied");
    let admin = first.body["admins"][0]["access"].as_str().unwrap();
    let me = shop.client.with_token(admin).get("/api/users/me/").await;
    assert_eq!(me.body["roles"], json!(["staff", "admin"]), "{}", me.body);
    let staff = first.body["staff"][1]["access"].as_str().unwrap();
    assert_eq!(
        shop.client
            .with_token(staff)
            .get("/api/users/")
            .await
            .status,
        200
    );
    shop.login(
        customer["username"].as_str().unwrap(),
        &first.text("password"),
    )
    .await;
}

#[tokio::test]
async fn the_command_line_makes_an_admin() {
    let shop = Shop::start().await;
    let password = "rivers run to the sea";
    let (made, text) = shop
        .run(&["create-admin", "root"], Some(&format!("{password}\n")))
        .await;
    assert!(made, "{text}");
    let root = shop.login("root", password).await;
    assert_eq!(
        root.client.get("/api/users/me/").await.body["roles"],
        json!(["staff", "admin"])
    );
    for (args, input) in [
        (&["create-admin", "root"][..], password),
        (&["create-admin", "weak"], "password123"),
        (&["create-admin", "a b"], password),
        (&["create-admin"], password),
        (&["no-such-command"], ""),
    ] {
        let (made, text) = shop.run(args, Some(input)).await;
        assert!(!made && !text.is_empty(), "{args:?}: {text}");
        assert!(!text.contains(password), "a password in the output");
    }
}

// attack(default secrets): default secrets in production -> the user service does not start and names what is missing
#[test]
fn outside_the_lab_it_names_what_is_missing_and_does_not_start() {
    let output = Command::new(env!("CARGO_BIN_EXE_user-service"))
        .env_clear()
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    for name in ["SERVICE_SECRET", "FIELD_ENCRYPTION_KEYS"] {
        assert!(text.contains(name), "{text}");
    }
}

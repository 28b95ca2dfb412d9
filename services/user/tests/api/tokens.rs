//! Log-in, keys, and forged tokens.

use std::{collections::HashSet, os::unix::fs::PermissionsExt as _};

use crate::common::{PASSWORD, SAMPLE, Shop, claims_of};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

#[tokio::test]
async fn a_log_in_answers_tokens_user_and_cookie() {
    let shop = Shop::start().await;
    let body = json!({ "username": "admin", "password": SAMPLE });
    let answer = shop.client.post("/api/token/", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.body["requires_2fa"], false);
    assert_eq!(answer.body["user"]["roles"], json!(["staff", "admin"]));
    let (access, refresh) = (
        claims_of(&answer.text("access")),
        claims_of(&answer.text("refresh")),
    );
    assert_eq!(
        (&access["token_type"], &refresh["token_type"]),
        (&json!("access"), &json!("refresh"))
    );
    assert_eq!(
        (&access["user_id"], &access["sub"]),
        (&json!(1), &json!("1"))
    );
    assert_eq!(
        (&access["iss"], &access["aud"]),
        (&json!("faultline"), &json!("shop"))
    );
    assert_eq!(
        access["exp"].as_i64().unwrap() - access["iat"].as_i64().unwrap(),
        900
    );
    assert_eq!(
        refresh["exp"].as_i64().unwrap() - refresh["iat"].as_i64().unwrap(),
        86_400
    );
    assert_eq!(access["sid"], refresh["sid"]);
    assert_eq!(access["jti"].as_str().unwrap().len(), 32);
    assert_ne!(access["jti"], refresh["jti"]);
    let header = answer.text("access");
    let header = BASE64URL_NOPAD
        .decode(header.split('.').next().unwrap().as_bytes())
        .unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    assert_eq!(
        (&header["alg"], header["kid"].as_str()),
        (&json!("RS256"), Some(crate::common::key().kid()))
    );

    let cookie = answer.set_cookie("shop_refresh").unwrap();
    assert!(cookie.starts_with(&format!("shop_refresh={};", answer.text("refresh"))));
    for part in [
        "HttpOnly",
        "SameSite=Strict",
        "Path=/api/token/",
        "Max-Age=86400",
    ] {
        assert!(cookie.contains(part), "{part} in {cookie}");
    }
    assert!(!cookie.contains("Secure"), "plain HTTP");
    let on_tls = shop
        .client
        .with_header("x-forwarded-proto", "https")
        .post("/api/token/", &body)
        .await;
    assert!(
        on_tls
            .set_cookie("shop_refresh")
            .unwrap()
            .contains("Secure")
    );
}

#[tokio::test]
async fn all_wrong_log_ins_get_one_answer() {
    let shop = Shop::start().await;
    let ann = shop.customer("ann").await;
    ann.client.delete(&format!("/api/users/{}/", ann.id)).await;
    let mut bodies = HashSet::new();
    for (name, password) in [
        ("user0", "wrong"),
        ("nobody", "wrong"),
        ("ann", PASSWORD),
        ("no such/name", "x"),
    ] {
        let body = json!({ "username": name, "password": password });
        let answer = shop.client.post("/api/token/", &body).await;
        answer.is_error(401, "authentication_failed");
        assert!(answer.set_cookie("shop_refresh").is_none());
        let mut body = answer.body;
        body.as_object_mut().unwrap().remove("trace_id");
        bodies.insert(body.to_string());
    }
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    shop.client
        .post("/api/token/", &json!({}))
        .await
        .is_invalid(&["username", "password"]);
    let long = json!({ "username": "user0", "password": "x".repeat(900_000) });
    shop.client
        .post("/api/token/", &long)
        .await
        .is_invalid(&["password"]);
}

#[tokio::test]
async fn keys_are_published_and_check_our_tokens() {
    let shop = Shop::start().await;
    let mode = std::fs::metadata(crate::common::key_path())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(
        mode & 0o777,
        0o600,
        "the private half is for its owner alone"
    );
    let jwks = shop.client.get("/.well-known/jwks.json").await;
    let keys = jwks.body["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 1);
    assert_eq!(
        (&keys[0]["kty"], &keys[0]["alg"], &keys[0]["use"]),
        (&json!("RSA"), &json!("RS256"), &json!("sig"))
    );
    assert!(keys[0].get("d").is_none(), "no private part");
    // 4096 bits are 683 characters of base64url.
    assert_eq!(keys[0]["n"].as_str().unwrap().len(), 683);
    let set = kit::auth::KeySet::from_jwks(jwks.body.to_string().as_bytes()).unwrap();
    let user = shop.login("user3", SAMPLE).await;
    let principal = kit::auth::Verifier::local(set)
        .verify(&user.access)
        .unwrap();
    assert_eq!(principal.user_id, user.id);

    for path in [
        "/api/users/auth/public-key/",
        "/api/auth/public-key/",
        "/api/users/public-key/",
    ] {
        let key = shop.client.get(path).await;
        assert_eq!(
            (&key.body["algorithm"], &key.body["key_id"]),
            (&json!("RS256"), &keys[0]["kid"]),
            "{path}"
        );
        let set =
            kit::auth::KeySet::from_pem(&key.text("key_id"), &key.text("public_key")).unwrap();
        assert!(kit::auth::Verifier::local(set).verify(&user.access).is_ok());
    }
}

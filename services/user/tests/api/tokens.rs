//! Log-in, keys, and forged tokens.

use std::{collections::HashSet, os::unix::fs::PermissionsExt as _};

use crate::common::{PASSWORD, SAMPLE, Shop, claims_of, refresh};
use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
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

#[tokio::test]
async fn forged_and_misused_tokens_are_refused_everywhere() {
    let shop = Shop::start().await;
    let user = shop.login("user0", SAMPLE).await;
    let good = claims_of(&user.access);
    let pem = std::fs::read(crate::common::key_path()).unwrap();
    let rsa = EncodingKey::from_rsa_pem(&pem).unwrap();
    let mut header = Header::new(Algorithm::RS256);
    header.kid = Some(crate::common::key().kid().to_owned());
    let signed = |claims: &Value| encode(&header, claims, &rsa).unwrap();
    let changed = |change: Value| {
        let mut claims = good.clone();
        claims
            .as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        signed(&claims)
    };
    let without = |name: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(name);
        signed(&claims)
    };
    let now = good["iat"].as_i64().unwrap();
    let mut hmac = header.clone();
    hmac.alg = Algorithm::HS256;
    let public = crate::common::key().public_pem().to_owned();
    let raw = |header: Value| {
        let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        format!("{}.{}.", part(&header), part(&good))
    };
    let mut other_key = header.clone();
    other_key.kid = Some("other".into());
    let mut no_kid = header.clone();
    no_kid.kid = None;
    let (body, signature) = user.access.rsplit_once('.').unwrap();
    let bad = [
        raw(json!({ "alg": "none", "kid": header.kid })),
        raw(json!({ "alg": "NONE" })),
        encode(&hmac, &good, &EncodingKey::from_secret(public.as_bytes())).unwrap(),
        encode(&other_key, &good, &rsa).unwrap(),
        encode(&no_kid, &good, &rsa).unwrap(),
        user.refresh.clone(),
        changed(json!({ "exp": now - 60 })),
        changed(json!({ "exp": "9999999999" })),
        changed(json!({ "exp": null })),
        changed(json!({ "exp": 1e300 })),
        changed(json!({ "nbf": now + 3600 })),
        changed(json!({ "iss": "evil" })),
        changed(json!({ "aud": "other" })),
        changed(json!({ "token_type": "admin" })),
        changed(json!({ "user_id": "1" })),
        without("exp"),
        without("iss"),
        without("aud"),
        without("user_id"),
        format!("{body}.{}", signature.chars().rev().collect::<String>()),
        format!("{body}."),
        "a.b.c".to_owned(),
        "x".to_owned(),
    ];
    assert_eq!(
        shop.client
            .with_token(&changed(json!({})))
            .get("/api/users/me/")
            .await
            .status,
        200,
        "the maker works"
    );
    for token in &bad {
        let client = shop.client.with_token(token);
        client
            .get("/api/users/me/")
            .await
            .is_error(401, "token_not_valid");
        client
            .get("/.well-known/jwks.json")
            .await
            .is_error(401, "token_not_valid");
    }
    for token in bad
        .iter()
        .filter(|token| **token != user.refresh)
        .chain([&user.access])
    {
        refresh(&shop.client, token)
            .await
            .is_error(401, "token_not_valid");
    }
    // A role in the token opens nothing that the account may not have.
    let staff = changed(json!({ "roles": ["staff", "admin"] }));
    shop.client
        .with_token(&staff)
        .get("/api/users/")
        .await
        .is_error(403, "permission_denied");
}

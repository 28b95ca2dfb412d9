//! Forged and misused tokens against the service itself; the verifier alone has its own attacks in
//! kit.

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use crate::common::{PASSWORD, SAMPLE, Shop, claims_of, refresh};

// attack(alg none, HS256, key headers, exp and nbf, claims): `alg` none, HS256 with the public PEM, foreign or missing `kid`, bad `exp`, `nbf`, `iss`, `aud`, type, on private and public endpoints and at the refresh -> 401
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

// attack(roles in a body): roles in a registration, a profile or a token -> ignored, 403
#[tokio::test]
async fn nobody_gives_himself_a_role() {
    let shop = Shop::start().await;
    let roles = json!({
        "roles": ["admin"], "is_staff": true, "is_admin": 1, "is_active": true, "id": 1, "user_id": 1,
    });
    let mut body = json!({ "username": "eve", "email": "eve@mail.test", "password": PASSWORD });
    body.as_object_mut()
        .unwrap()
        .extend(roles.as_object().unwrap().clone());
    let made = shop.client.post("/api/users/register/", &body).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(made.body["user"]["roles"], json!([]));
    let eve = shop.login("eve", PASSWORD).await;
    let own = format!("/api/users/{}/", eve.id);
    for path in ["/api/users/me/", own.as_str()] {
        let changed = eve.client.patch(path, &roles).await;
        assert_eq!(
            (changed.status.as_u16(), &changed.body["roles"]),
            (200, &json!([]))
        );
    }
    for path in ["/api/users/", "/api/users/audit/", "/api/users/1/"] {
        eve.client
            .get(path)
            .await
            .is_error(403, "permission_denied");
    }
}

// attack(claims): access token where a refresh token belongs, and the other way round -> 401
#[tokio::test]
async fn a_token_is_good_for_one_thing() {
    let shop = Shop::start().await;
    let user = shop.login("user0", SAMPLE).await;
    refresh(&shop.client, &user.access)
        .await
        .is_error(401, "token_not_valid");
    shop.client
        .with_token(&user.refresh)
        .get("/api/users/me/")
        .await
        .is_error(401, "token_not_valid");
    // Neither mistake has used anything up.
    assert_eq!(refresh(&shop.client, &user.refresh).await.status, 200);
}

// attack: internal feed of revocations without the secret, with a wrong one, with a token -> 401
#[tokio::test]
async fn the_feed_is_for_services_alone() {
    let shop = Shop::start().await;
    let path = kit::auth::feed::FEED_PATH;
    let admin = shop.login("admin", SAMPLE).await;
    for client in [
        shop.client.clone(),
        admin.client,
        shop.client.with_token("test-secre"),
        shop.client.with_token("test-secret2"),
        shop.client.with_header("authorization", "test-secret"),
    ] {
        client.get(path).await.is_error(401, "not_authenticated");
    }
    let feed = shop.client.with_token("test-secret").get(path).await;
    assert_eq!(feed.status, 200, "{}", feed.body);
    assert_eq!(feed.body["keys"], json!([crate::common::key().kid()]));
}

// attack(others' users, path tricks): other users' accounts, read or changed by id, by method, slash and %2e tricks -> 403 or 404, nothing changes
#[tokio::test]
async fn another_account_is_out_of_reach() {
    let shop = Shop::start().await;
    let (eve, ann) = (shop.customer("eve").await, shop.customer("ann").await);
    let change = json!({ "email": "eve2@mail.test", "first_name": "Eve" });
    for path in [
        format!("/api/users/{}/", ann.id),
        format!("/api/users/{}", ann.id),
        format!("/api/users/{}/%2e%2e/{}/", eve.id, ann.id),
        format!("/api/users/%2e/{}/", ann.id),
        format!("/api//users/{}/", ann.id),
        format!("/api/users/{}//", ann.id),
        format!("/api/users/+{}/", ann.id),
        format!("/api/users/0{}/", ann.id),
        format!("/api/users/{}%00/", ann.id),
        format!("/API/USERS/{}/", ann.id),
    ] {
        for answer in [
            eve.client.get(&path).await,
            eve.client.put(&path, &change).await,
            eve.client.patch(&path, &change).await,
            eve.client.delete(&path).await,
            eve.client
                .with_header("x-http-method-override", "PATCH")
                .post(&path, &change)
                .await,
        ] {
            let status = answer.status.as_u16();
            assert!(
                matches!(status, 308 | 400 | 403 | 404 | 405),
                "{path}: {status}"
            );
        }
    }
    let me = ann.client.get("/api/users/me/").await.body;
    assert_eq!(
        (&me["email"], &me["first_name"]),
        (&json!("ann@mail.test"), &json!(""))
    );
}

//! Forged tokens against the verifier that every service has.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use kit::auth::{TokenError, TokenType};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::common::{
    KID, Service, UserService, claims, claims_with, header, jwk, key, pem, sign, sign_with,
    strange_key, verifier,
};

#[test]
fn the_maker_of_tokens_makes_good_ones() {
    let principal = verifier().verify(&sign(&claims())).unwrap();
    assert_eq!(principal.user_id, 7);
    assert!(principal.roles.staff && !principal.roles.admin);
}

// attack(alg none): `alg` none, in any spelling, with and without a signature -> 401
#[test]
fn alg_none_is_refused() {
    let good = sign(&claims());
    let signature = good.rsplit('.').next().unwrap();
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!(
            "{}.{}",
            part(json!({ "alg": alg, "kid": KID })),
            part(claims())
        );
        for token in [
            format!("{message}."),
            format!("{message}.{signature}"),
            message.clone(),
        ] {
            assert_eq!(verifier().verify(&token), Err(TokenError::Invalid), "{alg}");
        }
    }
}

// attack(HS256): HS256 (HS384, HS512) with the public PEM as the secret -> 401
#[test]
fn a_public_key_is_no_secret() {
    let pem = pem(key());
    for secret in [pem.as_bytes(), pem.trim().as_bytes()] {
        for alg in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let mut header = Header::new(alg);
            header.kid = Some(KID.into());
            let token = encode(&header, &claims(), &EncodingKey::from_secret(secret)).unwrap();
            assert_eq!(verifier().verify(&token), Err(TokenError::Invalid));
        }
    }
    for alg in ["RS384", "RS512", "PS256", "ES256", "EdDSA"] {
        let header = json!({ "alg": alg, "kid": KID });
        let token = sign_with(key(), &header, &claims().to_string());
        assert!(verifier().verify(&token).is_err(), "{alg}");
    }
}

// attack(key headers, key refetch): `jku`, `x5u`, `jwk`, `kid` tricks in the header -> 401, no outbound call, no key refetch before 30 s
#[tokio::test]
async fn a_header_names_no_key_of_its_own() {
    let users = UserService::start().await;
    let service = Service::start("order", &users.url).await;
    let fetches = users.key_fetches();
    // Whoever would call the address in the header is counted here.
    let trap = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", trap.local_addr().unwrap());
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    tokio::spawn(async move {
        while trap.accept().await.is_ok() {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    let own = jwk(strange_key(), KID);
    let headers = [
        json!({ "alg": "RS256", "kid": KID, "jku": url }),
        json!({ "alg": "RS256", "kid": KID, "x5u": url }),
        json!({ "alg": "RS256", "kid": KID, "jwk": own }),
        json!({ "alg": "RS256", "jwk": own }),
        json!({ "alg": "RS256", "kid": "strange", "jku": url, "jwk": own }),
        json!({ "alg": "RS256", "kid": url }),
        json!({ "alg": "RS256", "kid": "../../../../dev/null" }),
        json!({ "alg": "RS256", "kid": "' OR '1'='1" }),
        json!({ "alg": "RS256", "kid": "" }),
        json!({ "alg": "RS256", "kid": null }),
        json!({ "alg": "RS256", "kid": 7 }),
        json!({ "alg": "RS256", "kid": [KID] }),
        json!({ "alg": "RS256", "kid": "k".repeat(5000) }),
    ];
    for header in &headers {
        let token = sign_with(strange_key(), header, &claims().to_string());
        for path in ["/api/who/", "/api/open/"] {
            let (status, body) = service.get(path, &token).await;
            assert_eq!(
                (status, body["code"].as_str()),
                (401, Some("token_not_valid")),
                "{header}"
            );
        }
    }
    for n in 0..200 {
        let header = json!({ "alg": "RS256", "kid": format!("unknown-{n}"), "jku": url });
        let token = sign_with(strange_key(), &header, &claims().to_string());
        assert_eq!(service.status(&token).await, 401);
    }
    assert_eq!(calls.load(Ordering::SeqCst), 0, "no outbound call");
    assert_eq!(users.key_fetches(), fetches, "no key refetch");
    assert_eq!(service.status(&sign(&claims())).await, 200);
}

// attack(exp and nbf): `exp` as text, null, missing, 1e400, negative, in the past -> 401
#[test]
fn every_token_ends() {
    let now = kit::time::now_ms() / 1000;
    for exp in [
        json!((now + 900).to_string()),
        Value::Null,
        json!(1e300),
        json!(-1),
        json!(now - 6),
        json!(0),
        json!(true),
        json!([now + 900]),
        json!({ "at": now + 900 }),
    ] {
        let token = sign(&claims_with(&[("exp", exp.clone())]));
        assert!(verifier().verify(&token).is_err(), "{exp}");
    }
    raw_numbers_are_refused("exp");
    missing_is_refused("exp");
    let expired = sign(&claims_with(&[("exp", json!(now - 60))]));
    assert_eq!(verifier().verify(&expired), Err(TokenError::Expired));
}

// attack(exp and nbf): `nbf` as text, null, 1e400, in the future -> 401
#[test]
fn no_token_begins_later() {
    let now = kit::time::now_ms() / 1000;
    for nbf in [
        json!((now - 900).to_string()),
        Value::Null,
        json!(1e300),
        json!(-1),
        json!(now + 60),
        json!(true),
        json!([]),
    ] {
        let token = sign(&claims_with(&[("nbf", nbf.clone())]));
        assert!(verifier().verify(&token).is_err(), "{nbf}");
    }
    raw_numbers_are_refused("nbf");
    // Ours have none; one that has begun does no harm.
    let begun = sign(&claims_with(&[("nbf", json!(now - 60))]));
    assert!(verifier().verify(&begun).is_ok());
}

/// Numbers that serde_json's own writer would not write.
fn raw_numbers_are_refused(name: &str) {
    for number in [
        "1e400",
        "-1e400",
        "1e19",
        "99999999999999999999",
        "NaN",
        "Infinity",
    ] {
        let text = claims_with(&[(name, json!("@"))]).to_string();
        let text = text.replace("\"@\"", number);
        let token = sign_with(key(), &header(), &text);
        assert!(verifier().verify(&token).is_err(), "{name}: {number}");
    }
}

fn missing_is_refused(name: &str) {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    assert!(verifier().verify(&sign(&claims)).is_err(), "without {name}");
}

// attack(claims): wrong or missing `iss`, `aud`, `sub`, `token_type`, `user_id`, `sid` -> 401
#[test]
fn a_token_is_of_this_shop_and_of_the_right_kind() {
    for (name, value) in [
        ("iss", json!("evil")),
        ("iss", json!(["evil"])),
        ("iss", Value::Null),
        ("aud", json!("other")),
        ("aud", json!(["other"])),
        ("aud", Value::Null),
        ("token_type", json!("refresh")),
        ("token_type", json!("admin")),
        ("token_type", json!("ACCESS")),
        ("user_id", json!("7")),
        ("user_id", json!(7.5)),
        ("user_id", Value::Null),
        ("iat_ms", Value::Null),
        ("sid", json!(7)),
        ("roles", json!("admin")),
    ] {
        let token = sign(&claims_with(&[(name, value.clone())]));
        assert!(verifier().verify(&token).is_err(), "{name}: {value}");
    }
    for name in [
        "iss",
        "aud",
        "sub",
        "token_type",
        "user_id",
        "iat_ms",
        "sid",
        "roles",
        "jti",
    ] {
        missing_is_refused(name);
    }
    let refresh = sign(&claims_with(&[("token_type", json!("refresh"))]));
    assert_eq!(verifier().verify(&refresh), Err(TokenError::WrongType));
    assert!(verifier().claims(&refresh, TokenType::Refresh).is_ok());
    let access = sign(&claims());
    assert_eq!(
        verifier().claims(&access, TokenType::Refresh),
        Err(TokenError::WrongType)
    );
}

// attack: a changed body, header or signature; parts left out or added -> 401
#[test]
fn a_changed_token_is_refused() {
    let token = sign(&claims());
    let parts: Vec<&str> = token.split('.').collect();
    let other = URL_SAFE_NO_PAD.encode(claims_with(&[("user_id", json!(1))]).to_string());
    let reversed: String = parts[2].chars().rev().collect();
    for bad in [
        format!("{}.{other}.{}", parts[0], parts[2]),
        format!("{}.{}.{reversed}", parts[0], parts[1]),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{}", parts[0], parts[1]),
        format!("{token}."),
        format!("{token}.{}", parts[2]),
        format!("{token}="),
        format!(" {token}"),
        format!("{token}\0"),
        "a.b.c".to_owned(),
        "..".to_owned(),
        String::new(),
        format!("{}{token}", "a".repeat(8192)),
    ] {
        assert!(verifier().verify(&bad).is_err(), "{bad}");
    }
}

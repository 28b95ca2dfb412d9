//! Accounts with the second factor on, and the two steps of their log-in.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use crate::common::{Answer, Client, Customer, PASSWORD, Shop};
use serde_json::json;
use totp_rs::{Builder, Secret, Totp};

const LOGIN: &str = "/api/users/2fa/verify-login/";

/// A customer with the second factor on.
pub struct Guarded {
    pub customer: Customer,
    pub totp: Totp,
    pub backup_tokens: Vec<String>,
}

pub fn generator(secret: &str) -> Totp {
    Builder::new()
        .with_secret(Secret::try_from_base32(secret).unwrap())
        .with_account_name("x")
        .build()
        .unwrap()
}

pub fn code_at(shop: &Shop, totp: &Totp, offset_s: i64) -> String {
    let now_s = shop.clock.now_ms() / 1000 + offset_s;
    totp.generate(u64::try_from(now_s).unwrap()).to_string()
}

/// Six digits that are right at no time near.
pub fn wrong_code(shop: &Shop, totp: &Totp) -> String {
    let right: Vec<String> = (-5..=5).map(|n| code_at(shop, totp, n * 30)).collect();
    (0..)
        .map(|n| format!("{n:06}"))
        .find(|code| !right.contains(code))
        .unwrap()
}

pub async fn guarded(shop: &Shop, name: &str) -> Guarded {
    let customer = shop.customer(name).await;
    let setup = customer
        .client
        .post("/api/users/2fa/setup/", &json!({}))
        .await;
    assert_eq!(setup.status, 200, "{}", setup.body);
    let totp = generator(&setup.text("secret_key"));
    let body = json!({ "device_id": setup.body["device_id"], "token": code_at(shop, &totp, 0) });
    let verified = customer
        .client
        .post("/api/users/2fa/verify-setup/", &body)
        .await;
    assert_eq!(
        (verified.status.as_u16(), &verified.body["verified"]),
        (200, &json!(true)),
        "{}",
        verified.body
    );
    let backup_tokens = serde_json::from_value(setup.body["backup_tokens"].clone()).unwrap();
    // The code of the set-up is used up: the next step's is the first for a log-in.
    shop.clock.advance(60_000);
    Guarded {
        customer,
        totp,
        backup_tokens,
    }
}

/// The password step; the client has its cookie.
pub async fn password_step(shop: &Shop, name: &str) -> Client {
    let answer = shop
        .client
        .post(
            "/api/token/",
            &json!({ "username": name, "password": PASSWORD }),
        )
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(
        (&answer.body["requires_2fa"], &answer.body["username"]),
        (&json!(true), &json!(name))
    );
    assert!(answer.body["message"].is_string());
    for key in ["access", "refresh", "user"] {
        assert!(answer.body.get(key).is_none(), "{}", answer.body);
    }
    assert!(answer.set_cookie("shop_refresh").is_none());
    let cookie = answer.set_cookie("shop_login").unwrap();
    for part in ["HttpOnly", "SameSite=Strict", "Max-Age=300"] {
        assert!(cookie.contains(part), "{part} in {cookie}");
    }
    shop.client
        .with_header("cookie", &answer.cookie("shop_login"))
}

pub async fn second_step(client: &Client, name: &str, token: &str) -> Answer {
    client
        .post(LOGIN, &json!({ "username": name, "token": token }))
        .await
}

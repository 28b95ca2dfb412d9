//! The second factor from set-up to removal.

use std::collections::HashSet;

use crate::common::{PASSWORD, Shop};
use serde_json::{Value, json};
use totp_rs::Secret;

use crate::guarded::{code_at, generator, guarded, password_step, second_step, wrong_code};

#[tokio::test]
async fn set_up_shows_everything_once() {
    let shop = Shop::start().await;
    shop.client
        .post("/api/users/2fa/setup/", &json!({}))
        .await
        .is_error(401, "not_authenticated");
    let ann = shop.customer("ann").await;
    let off = ann.client.get("/api/users/2fa/status/").await;
    assert_eq!(off.body["enabled"], false);
    assert_eq!(
        (
            &off.body["device_name"],
            &off.body["backup_tokens_remaining"]
        ),
        (&Value::Null, &json!(0))
    );

    let setup = ann
        .client
        .send(reqwest::Method::POST, "/api/users/2fa/setup/", None)
        .await;
    let png = setup.text("qr_code");
    let png = data_encoding::BASE64
        .decode(
            png.strip_prefix("data:image/png;base64,")
                .unwrap()
                .as_bytes(),
        )
        .unwrap();
    assert!(png.starts_with(b"\x89PNG"));
    assert_eq!(
        Secret::try_from_base32(setup.text("secret_key"))
            .unwrap()
            .as_bytes()
            .len(),
        20
    );
    assert!(setup.text("otpauth_url").starts_with("otpauth://totp/"));
    assert!(
        setup
            .text("otpauth_url")
            .contains(&setup.text("secret_key"))
    );
    let tokens: HashSet<String> =
        serde_json::from_value(setup.body["backup_tokens"].clone()).unwrap();
    assert_eq!(tokens.len(), 10);
    assert!(
        tokens
            .iter()
            .all(|t| t.len() == 32 && t.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
    );
    assert_eq!(
        ann.client.get("/api/users/2fa/status/").await.body["enabled"],
        false,
        "not confirmed yet"
    );
    shop.login("ann", PASSWORD).await;
}

#[tokio::test]
async fn only_a_right_code_for_the_newest_device_turns_it_on() {
    let shop = Shop::start().await;
    let ann = shop.customer("ann").await;
    let bob = shop.customer("bob").await;
    let path = "/api/users/2fa/verify-setup/";
    let old = ann.client.post("/api/users/2fa/setup/", &json!({})).await;
    let setup = ann.client.post("/api/users/2fa/setup/", &json!({})).await;
    let (old_totp, totp) = (
        generator(&old.text("secret_key")),
        generator(&setup.text("secret_key")),
    );
    let body = |device: &Value, code: String| json!({ "device_id": device, "token": code });
    let (old_id, id) = (&old.body["device_id"], &setup.body["device_id"]);
    for (client, body) in [
        (&ann.client, body(id, wrong_code(&shop, &totp))),
        (&ann.client, body(old_id, code_at(&shop, &old_totp, 0))),
        (
            &ann.client,
            body(id, setup.body["backup_tokens"][0].as_str().unwrap().into()),
        ),
        (&bob.client, body(id, code_at(&shop, &totp, 0))),
    ] {
        let answer = client.post(path, &body).await;
        answer.is_error(400, "invalid_token");
        assert_eq!(answer.body["verified"], false);
    }
    let missing = ann.client.post(path, &json!({})).await;
    missing.is_invalid(&["device_id", "token"]);
    assert_eq!(missing.body["verified"], false);

    let right = body(id, code_at(&shop, &totp, 0));
    assert_eq!(ann.client.post(path, &right).await.status, 200);
    ann.client
        .post(path, &right)
        .await
        .is_error(400, "invalid_token");
    ann.client
        .post("/api/users/2fa/setup/", &json!({}))
        .await
        .is_error(400, "two_factor_enabled");
    let on = ann.client.get("/api/users/2fa/status/").await.body;
    assert_eq!(
        (&on["enabled"], &on["backup_tokens_remaining"]),
        (&json!(true), &json!(10))
    );
    assert!(on["device_name"].is_string());
}

#[tokio::test]
async fn a_code_completes_the_log_in_and_works_once() {
    let shop = Shop::start().await;
    let ann = guarded(&shop, "ann").await;
    let client = password_step(&shop, "ann").await;
    let code = code_at(&shop, &ann.totp, 0);
    let done = second_step(&client, "ann", &code).await;
    assert_eq!(done.status, 200, "{}", done.body);
    assert_eq!(
        (&done.body["verified"], &done.body["user"]["username"]),
        (&json!(true), &json!("ann"))
    );
    assert!(done.body.get("backup_token_used").is_none());
    assert!(
        done.set_cookie("shop_refresh")
            .unwrap()
            .contains(&done.text("refresh"))
    );
    let me = shop
        .client
        .with_token(&done.text("access"))
        .get("/api/users/me/")
        .await;
    assert_eq!(me.body["id"], json!(ann.customer.id));

    second_step(&client, "ann", &code_at(&shop, &ann.totp, 30))
        .await
        .is_error(401, "authentication_failed");
    let again = password_step(&shop, "ann").await;
    second_step(&again, "ann", &code)
        .await
        .is_error(401, "authentication_failed");
    let later = code_at(&shop, &ann.totp, 30);
    assert_eq!(
        second_step(&again, "ann", &later).await.status,
        200,
        "the next step's code"
    );
    let third = password_step(&shop, "ann").await;
    second_step(&third, "ann", &code)
        .await
        .is_error(401, "authentication_failed");
    second_step(&third, "ann", &later)
        .await
        .is_error(401, "authentication_failed");
}

#[tokio::test]
async fn a_backup_token_works_once_and_counts_down() {
    let shop = Shop::start().await;
    let ann = guarded(&shop, "ann").await;
    let token = &ann.backup_tokens[3];
    let client = password_step(&shop, "ann").await;
    let done = second_step(&client, "ann", token).await;
    assert_eq!(done.status, 200, "{}", done.body);
    assert_eq!(
        (
            &done.body["backup_token_used"],
            &done.body["remaining_backup_tokens"]
        ),
        (&json!(true), &json!(9))
    );
    let again = password_step(&shop, "ann").await;
    second_step(&again, "ann", token)
        .await
        .is_error(401, "authentication_failed");
    let status = ann.customer.client.get("/api/users/2fa/status/").await;
    assert_eq!(status.body["backup_tokens_remaining"], 9);
    assert_eq!(
        second_step(&again, "ann", &ann.backup_tokens[4].to_uppercase())
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn disabling_and_new_tokens_need_the_password() {
    let shop = Shop::start().await;
    let ann = guarded(&shop, "ann").await;
    let client = &ann.customer.client;
    let plain = shop.customer("plain").await;
    let right = json!({ "password": PASSWORD });
    for path in [
        "/api/users/2fa/disable/",
        "/api/users/2fa/regenerate-backup-tokens/",
    ] {
        shop.client
            .post(path, &right)
            .await
            .is_error(401, "not_authenticated");
        client
            .post(path, &json!({}))
            .await
            .is_invalid(&["password"]);
        client
            .post(path, &json!({ "password": "wrong" }))
            .await
            .is_invalid(&["password"]);
        plain
            .client
            .post(path, &right)
            .await
            .is_error(400, "two_factor_disabled");
    }
    let renewed = client
        .post("/api/users/2fa/regenerate-backup-tokens/", &right)
        .await;
    let tokens: Vec<String> =
        serde_json::from_value(renewed.body["backup_tokens"].clone()).unwrap();
    assert_eq!(tokens.len(), 10);
    let login = password_step(&shop, "ann").await;
    second_step(&login, "ann", &ann.backup_tokens[0])
        .await
        .is_error(401, "authentication_failed");
    assert_eq!(second_step(&login, "ann", &tokens[0]).await.status, 200);

    let pending = password_step(&shop, "ann").await;
    assert_eq!(
        client.post("/api/users/2fa/disable/", &right).await.status,
        200
    );
    assert_eq!(
        client.get("/api/users/2fa/status/").await.body["enabled"],
        false
    );
    second_step(&pending, "ann", &tokens[1])
        .await
        .is_error(401, "authentication_failed");
    shop.login("ann", PASSWORD).await;
    // Set up anew, the tokens of before stay void.
    let setup = client.post("/api/users/2fa/setup/", &json!({})).await;
    let totp = generator(&setup.text("secret_key"));
    let body = json!({ "device_id": setup.body["device_id"], "token": code_at(&shop, &totp, 0) });
    assert_eq!(
        client
            .post("/api/users/2fa/verify-setup/", &body)
            .await
            .status,
        200
    );
    let login = password_step(&shop, "ann").await;
    second_step(&login, "ann", &tokens[1])
        .await
        .is_error(401, "authentication_failed");
}

#[tokio::test]
async fn tokens_come_as_an_ascii_file() {
    let shop = Shop::start().await;
    let ann = shop.customer("änne").await;
    let path = "/api/users/2fa/download-backup-tokens/";
    shop.client
        .post(path, &json!({ "tokens": ["a"] }))
        .await
        .is_error(401, "not_authenticated");
    let tokens = [
        "0123456789abcdef0123456789abcdef",
        "fedcba9876543210fedcba9876543210",
    ];
    let file = ann.client.post(path, &json!({ "tokens": tokens })).await;
    assert_eq!(
        (file.status.as_u16(), &file.body["mime_type"]),
        (200, &json!("text/plain"))
    );
    assert!(file.text("filename").ends_with(".txt"));
    let text = String::from_utf8(
        data_encoding::BASE64
            .decode(file.text("content").as_bytes())
            .unwrap(),
    )
    .unwrap();
    assert!(
        text.is_ascii() && tokens.iter().all(|token| text.contains(token)),
        "{text}"
    );
    for bad in [
        json!({}),
        json!({ "tokens": [] }),
        json!({ "tokens": "x" }),
        json!({ "tokens": [1] }),
        json!({ "tokens": ["ä"] }),
        json!({ "tokens": ["x\ny"] }),
    ] {
        ann.client.post(path, &bad).await.is_invalid(&["tokens"]);
    }
}

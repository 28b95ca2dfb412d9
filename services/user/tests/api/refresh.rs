//! Refresh rotation, log-out, and their cookies.

use std::collections::HashSet;

use crate::common::{REFRESH, SAMPLE, Shop, claims_of, refresh};
use serde_json::json;

const LOGOUT: &str = "/api/token/logout/";

#[tokio::test]
async fn refresh_rotates_and_the_new_pair_works() {
    let shop = Shop::start().await;
    let user = shop.login("user0", SAMPLE).await;
    let next = refresh(&shop.client, &user.refresh).await;
    assert_eq!(next.status, 200, "{}", next.body);
    assert_ne!(next.text("refresh"), user.refresh);
    assert_eq!(
        claims_of(&next.text("refresh"))["sid"],
        claims_of(&user.refresh)["sid"]
    );
    let cookie = next.set_cookie("shop_refresh").unwrap();
    assert!(cookie.contains(&next.text("refresh")) && cookie.contains("HttpOnly"));
    let me = shop
        .client
        .with_token(&next.text("access"))
        .get("/api/users/me/")
        .await;
    assert_eq!(me.body["username"], "user0");
    assert_eq!(
        refresh(&shop.client, &next.text("refresh")).await.status,
        200
    );
}

#[tokio::test]
async fn within_the_grace_the_same_successor_comes_again() {
    let shop = Shop::start().await;
    let user = shop.login("user0", SAMPLE).await;
    let first = refresh(&shop.client, &user.refresh).await;
    shop.clock.advance(5_000);
    let second = refresh(&shop.client, &user.refresh).await;
    assert_eq!(second.status, 200, "{}", second.body);
    assert_eq!(first.body, second.body, "byte for byte");
}

#[tokio::test]
async fn after_the_grace_the_family_is_revoked() {
    let shop = Shop::start().await;
    let user = shop.login("user0", SAMPLE).await;
    let other = shop.login("user0", SAMPLE).await;
    let next = refresh(&shop.client, &user.refresh).await;
    shop.clock.advance(10_001);
    refresh(&shop.client, &user.refresh)
        .await
        .is_error(401, "token_not_valid");
    refresh(&shop.client, &next.text("refresh"))
        .await
        .is_error(401, "token_not_valid");
    shop.client
        .with_token(&next.text("access"))
        .get("/api/users/me/")
        .await
        .is_error(401, "token_not_valid");
    assert_eq!(
        refresh(&shop.client, &other.refresh).await.status,
        200,
        "another log-in lives on"
    );
}

#[tokio::test]
async fn once_the_successor_was_used_the_family_is_revoked() {
    let shop = Shop::start().await;
    let user = shop.login("user0", SAMPLE).await;
    let next = refresh(&shop.client, &user.refresh).await;
    let after = refresh(&shop.client, &next.text("refresh")).await;
    refresh(&shop.client, &user.refresh)
        .await
        .is_error(401, "token_not_valid");
    refresh(&shop.client, &after.text("refresh"))
        .await
        .is_error(401, "token_not_valid");
}

#[tokio::test]
async fn of_32_at_once_all_get_one_successor() {
    let shop = Shop::start().await;
    let user = shop.login("user0", SAMPLE).await;
    let all = (0..32).map(|_| {
        let (client, token) = (shop.client.clone(), user.refresh.clone());
        tokio::spawn(async move { refresh(&client, &token).await })
    });
    let mut successors = HashSet::new();
    for answer in all.collect::<Vec<_>>() {
        let answer = answer.await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
        successors.insert((answer.text("refresh"), answer.text("access")));
    }
    assert_eq!(successors.len(), 1);
    let (next, _) = successors.into_iter().next().unwrap();
    assert_eq!(refresh(&shop.client, &next).await.status, 200);
}

#[tokio::test]
async fn log_out_ends_the_family() {
    let shop = Shop::start().await;
    let user = shop.login("user0", SAMPLE).await;
    let next = refresh(&shop.client, &user.refresh).await;
    let out = shop
        .client
        .post(LOGOUT, &json!({ "refresh": next.text("refresh") }))
        .await;
    assert_eq!(out.status, 200);
    let cookie = out.set_cookie("shop_refresh").unwrap();
    assert!(
        cookie.contains("shop_refresh=;")
            && cookie.contains("Max-Age=0")
            && cookie.contains("Path=/api/token/")
    );
    refresh(&shop.client, &next.text("refresh"))
        .await
        .is_error(401, "token_not_valid");
    shop.client
        .with_token(&next.text("access"))
        .get("/api/users/me/")
        .await
        .is_error(401, "token_not_valid");
    assert_eq!(
        shop.client
            .post(LOGOUT, &json!({ "refresh": "nonsense" }))
            .await
            .status,
        200
    );
    assert_eq!(shop.client.post(LOGOUT, &json!({})).await.status, 200);
    assert_eq!(
        shop.client
            .send(reqwest::Method::POST, LOGOUT, None)
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn our_shops_cookie_serves_without_a_body() {
    let shop = Shop::start().await;
    let body = json!({ "username": "user1", "password": SAMPLE });
    let login = shop.client.post("/api/token/", &body).await;
    let with_cookie = shop
        .client
        .with_header("cookie", &login.cookie("shop_refresh"));
    let post = reqwest::Method::POST;
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("origin", "http://evil.test"),
        ("origin", "null"),
    ] {
        let foreign = with_cookie.with_header(name, value);
        for path in [REFRESH, LOGOUT] {
            foreign
                .send(post.clone(), path, None)
                .await
                .is_error(403, "permission_denied");
        }
    }
    // With the token in the body the cookie decides nothing, so no site can misuse it.
    let foreign = with_cookie.with_header("sec-fetch-site", "cross-site");
    let other = shop.login("user1", SAMPLE).await;
    assert_eq!(refresh(&foreign, &other.refresh).await.status, 200);
    let own = with_cookie
        .with_header("sec-fetch-site", "same-origin")
        .with_header("origin", &shop.client.base);
    let next = own.send(post.clone(), REFRESH, None).await;
    assert_eq!(next.status, 200, "{}", next.body);
    assert!(
        next.set_cookie("refresh_token").is_none(),
        "only who has one gets one"
    );
    let with_next = shop
        .client
        .with_header("cookie", &next.cookie("shop_refresh"));
    assert_eq!(with_next.send(post.clone(), LOGOUT, None).await.status, 200);
    with_next
        .send(post.clone(), REFRESH, None)
        .await
        .is_error(401, "token_not_valid");
    shop.client
        .send(post, REFRESH, None)
        .await
        .is_error(401, "token_not_valid");
}

#[tokio::test]
async fn a_clients_script_readable_cookie_is_renewed() {
    let shop = Shop::start().await;
    let user = shop.login("user2", SAMPLE).await;
    let client = shop
        .client
        .with_header("cookie", &format!("refresh_token={}", user.refresh));
    let next = refresh(&client, &user.refresh).await;
    let cookie = next.set_cookie("refresh_token").unwrap();
    assert!(cookie.starts_with(&format!("refresh_token={};", next.text("refresh"))));
    for part in ["Path=/", "Max-Age=86400", "SameSite=Lax"] {
        assert!(cookie.contains(part), "{part} in {cookie}");
    }
    assert!(!cookie.contains("HttpOnly"));
}

#[tokio::test]
async fn a_refresh_token_ends_with_its_day() {
    let shop = Shop::start().await;
    let user = shop.login("user0", SAMPLE).await;
    shop.clock.advance(24 * 60 * 60 * 1000);
    refresh(&shop.client, &user.refresh)
        .await
        .is_error(401, "token_not_valid");
}

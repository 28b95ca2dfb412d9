//! The feed of revocations, followed by services over HTTP.

use kit::auth::feed::{EndedFamily, FeedPage, NotBefore};
use serde_json::{Value, json};

use crate::common::{
    Service, UserService, claims, claims_with, header, jwk, key, sign, sign_with, strange_key,
    until,
};

fn ended(sid: &str) -> FeedPage {
    FeedPage {
        families: vec![EndedFamily {
            sid: sid.into(),
            at_ms: kit::time::now_ms(),
        }],
        ..FeedPage::default()
    }
}

fn token(user_id: i64, sid: &str) -> String {
    sign(&claims_with(&[
        ("user_id", json!(user_id)),
        ("sid", json!(sid)),
    ]))
}

// attack(after log-out): access token after log-out, in the services that follow the user service -> refused within 5 s
#[tokio::test]
async fn an_ended_family_is_refused_in_every_service() {
    let users = UserService::start().await;
    let order = Service::start("order", &users.url).await;
    let product = Service::start("product", &users.url).await;
    let (gone, living) = (token(7, "gone"), token(7, "living"));
    for service in [&order, &product] {
        assert_eq!(service.status(&gone).await, 200);
    }
    users.tell(ended("gone"));
    for service in [&order, &product] {
        until("refused", || async { service.status(&gone).await == 401 }).await;
        let (_, body) = service.get("/api/open/", &gone).await;
        assert_eq!(body["code"], "token_not_valid");
        assert_eq!(body["messages"][0]["message"], "Token has been revoked");
        assert_eq!(service.status(&living).await, 200);
    }
}

// attack(after deactivation, after role loss): access token after deactivation or role loss, in the services that follow the user service -> refused within 5 s
#[tokio::test]
async fn a_time_before_which_no_token_counts() {
    let users = UserService::start().await;
    let order = Service::start("order", &users.url).await;
    let old = token(8, "a");
    let old_ms = kit::time::now_ms();
    users.tell(FeedPage {
        users: vec![NotBefore {
            user_id: 8,
            all_ms: old_ms + 1,
            ..NotBefore::default()
        }],
        ..FeedPage::default()
    });
    until("refused", || async { order.status(&old).await == 401 }).await;
    let fresh = sign(&claims_with(&[
        ("user_id", json!(8)),
        ("iat_ms", json!(old_ms + 1)),
    ]));
    assert_eq!(order.status(&fresh).await, 200, "a newer token");
    assert_eq!(order.status(&token(9, "a")).await, 200, "another account");
}

#[tokio::test]
async fn without_the_user_service_a_verifier_goes_on_with_what_it_knows() {
    let users = UserService::start().await;
    let order = Service::start("order", &users.url).await;
    users.tell(ended("gone"));
    let (gone, living) = (token(7, "gone"), token(7, "living"));
    until("refused", || async { order.status(&gone).await == 401 }).await;
    users.end().await;
    // Longer than a look at the feed takes to fail.
    for _ in 0..20 {
        assert_eq!(order.status(&gone).await, 401);
        assert_eq!(order.status(&living).await, 200);
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn any_replica_will_do() {
    let users = UserService::start().await;
    let down = UserService::start().await;
    let list = format!("{},{}", down.url, users.url);
    down.end().await;
    let order = Service::start("order", &list).await;
    users.tell(ended("gone"));
    let gone = token(7, "gone");
    until("refused", || async { order.status(&gone).await == 401 }).await;
}

#[tokio::test]
async fn a_new_key_is_fetched_before_anything_is_signed_with_it() {
    let users = UserService::start().await;
    let order = Service::start("order", &users.url).await;
    let mut next: Value = header();
    next["kid"] = json!("next");
    let token = sign_with(strange_key(), &next, &claims().to_string());
    assert_eq!(order.status(&token).await, 401, "nobody knows that key");
    users.publish_key(jwk(strange_key(), "next"));
    // By the feed; a token with an unknown key id alone would have to wait 30 s.
    until("the new key", || async {
        order.status(&token).await == 200
    })
    .await;
    let old = sign_with(key(), &header(), &claims().to_string());
    assert_eq!(order.status(&old).await, 200, "the old key goes on");
}

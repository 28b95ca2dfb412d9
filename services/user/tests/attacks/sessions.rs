//! Refresh families: theft, races, and what ends them.

use std::collections::HashSet;

use serde_json::json;

use crate::common::{Answer, Client, PASSWORD, SAMPLE, Shop, refresh};

async fn is_ended(client: &Client, refresh_token: &str, access: &str) {
    refresh(client, refresh_token)
        .await
        .is_error(401, "token_not_valid");
    client
        .with_token(access)
        .get("/api/users/me/")
        .await
        .is_error(401, "token_not_valid");
}

// attack(spent refresh): spent refresh token after the grace -> family revoked, thief and owner are out
#[tokio::test]
async fn a_spent_refresh_token_ends_its_family() {
    let shop = Shop::start().await;
    let user = shop.login("user0", SAMPLE).await;
    let next = refresh(&shop.client, &user.refresh).await;
    shop.clock.advance(10_001);
    is_ended(&shop.client, &user.refresh, &user.access).await;
    is_ended(&shop.client, &next.text("refresh"), &next.text("access")).await;
}

// attack(spent refresh): spent refresh token within the grace, once its successor was used -> family revoked
#[tokio::test]
async fn a_used_successor_ends_the_grace() {
    let shop = Shop::start().await;
    let user = shop.login("user0", SAMPLE).await;
    let next = refresh(&shop.client, &user.refresh).await;
    let third = refresh(&shop.client, &next.text("refresh")).await;
    is_ended(&shop.client, &user.refresh, &user.access).await;
    is_ended(&shop.client, &third.text("refresh"), &third.text("access")).await;
}

// attack(32 refreshes at once): one refresh token 32 times at once, at two replicas -> one successor, byte for byte
#[tokio::test]
async fn of_32_at_once_there_is_one_successor() {
    let shop = Shop::start().await;
    let replica = shop.replica().await;
    let user = shop.login("user0", SAMPLE).await;
    let all = (0..32).map(|n| {
        let client = [&shop, &replica][n % 2].client.clone();
        let token = user.refresh.clone();
        tokio::spawn(async move { refresh(&client, &token).await })
    });
    let mut successors = HashSet::new();
    for answer in all.collect::<Vec<_>>() {
        let answer: Answer = answer.await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
        successors.insert((answer.text("refresh"), answer.text("access")));
    }
    assert_eq!(successors.len(), 1);
    let (next, _) = successors.into_iter().next().unwrap();
    assert_eq!(refresh(&replica.client, &next).await.status, 200);
}

// attack: refresh token after log-out -> 401
#[tokio::test]
async fn a_log_out_ends_the_family_for_good() {
    let shop = Shop::start().await;
    let user = shop.login("user0", SAMPLE).await;
    let body = json!({ "refresh": user.refresh });
    assert_eq!(
        shop.client.post("/api/token/logout/", &body).await.status,
        200
    );
    is_ended(&shop.client, &user.refresh, &user.access).await;
}

// attack: refresh token of a deactivated account -> 401 user_inactive
#[tokio::test]
async fn a_refresh_asks_whether_the_account_is_active() {
    let shop = Shop::start().await;
    let ann = shop.customer("ann").await;
    let admin = shop.login("admin", SAMPLE).await;
    let path = format!("/api/users/{}/", ann.id);
    assert_eq!(admin.client.delete(&path).await.status, 204);
    refresh(&shop.client, &ann.refresh)
        .await
        .is_error(401, "user_inactive");
}

// attack: refresh token of another session after a password change -> 401; the session that changed it goes on
#[tokio::test]
async fn a_new_password_ends_the_other_sessions() {
    let shop = Shop::start().await;
    let ann = shop.customer("ann").await;
    let thief = shop.login("ann", PASSWORD).await;
    let body = json!({ "old_password": PASSWORD, "new_password": "an even longer, wilder stream" });
    let changed = ann.client.post("/api/users/me/password/", &body).await;
    assert_eq!(changed.status, 200, "{}", changed.body);
    is_ended(&shop.client, &thief.refresh, &thief.access).await;
    assert_eq!(refresh(&shop.client, &ann.refresh).await.status, 200);
}

// attack(cross-site refresh, cross-site log-out): cross-site refresh and log-out by our cookie -> 403
#[tokio::test]
async fn another_site_can_not_use_our_cookie() {
    let shop = Shop::start().await;
    let body = json!({ "username": "user1", "password": SAMPLE });
    let login = shop.client.post("/api/token/", &body).await;
    let client = shop
        .client
        .with_header("cookie", &login.cookie("shop_refresh"));
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("origin", "http://evil.test"),
        ("origin", "null"),
    ] {
        for path in ["/api/token/refresh/", "/api/token/logout/"] {
            client
                .with_header(name, value)
                .post(path, &json!({}))
                .await
                .is_error(403, "permission_denied");
        }
    }
    let own = client.post("/api/token/refresh/", &json!({})).await;
    assert_eq!(own.status, 200, "the session lives: {}", own.body);
}

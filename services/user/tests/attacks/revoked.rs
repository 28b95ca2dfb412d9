//! Access tokens that ended before their time, at the services that check tokens by themselves.

use serde_json::json;

use crate::common::{Other, PASSWORD, SAMPLE, Shop, refresh, until};

// attack(after log-out): access token after log-out -> refused in every service within 5 s
#[tokio::test]
async fn after_a_log_out() {
    let shop = Shop::start().await;
    let (order, product) = (
        Other::start(&shop.client.base).await,
        Other::start(&shop.client.base).await,
    );
    let user = shop.login("user0", SAMPLE).await;
    let elsewhere = shop.login("user0", SAMPLE).await;
    let next = refresh(&shop.client, &user.refresh).await;
    for token in [&user.access, &next.text("access")] {
        order.takes(token).await;
    }
    let body = json!({ "refresh": next.text("refresh") });
    assert_eq!(
        shop.client.post("/api/token/logout/", &body).await.status,
        200
    );
    for other in [&order, &product] {
        for token in [&user.access, &next.text("access")] {
            other.refuses(token).await;
        }
        other.takes(&elsewhere.access).await;
    }
}

// attack(spent refresh): access token of a family whose spent refresh token came back -> refused in every service within 5 s
#[tokio::test]
async fn after_a_theft_was_noticed() {
    let shop = Shop::start().await;
    let order = Other::start(&shop.client.base).await;
    let user = shop.login("user0", SAMPLE).await;
    let next = refresh(&shop.client, &user.refresh).await;
    shop.clock.advance(10_001);
    refresh(&shop.client, &user.refresh)
        .await
        .is_error(401, "token_not_valid");
    order.refuses(&next.text("access")).await;
}

// attack(after deactivation): access token after deactivation -> refused in every service within 5 s
#[tokio::test]
async fn after_a_deactivation() {
    let shop = Shop::start().await;
    let order = Other::start(&shop.client.base).await;
    let ann = shop.customer("ann").await;
    let bob = shop.customer("bob").await;
    order.takes(&ann.access).await;
    let path = format!("/api/users/{}/", ann.id);
    assert_eq!(ann.client.delete(&path).await.status, 204);
    order.refuses(&ann.access).await;
    order.takes(&bob.access).await;
}

// attack(after password change): access token of another session after a password change -> refused in every service within 5 s
#[tokio::test]
async fn after_a_password_change() {
    let shop = Shop::start().await;
    let order = Other::start(&shop.client.base).await;
    let ann = shop.customer("ann").await;
    let thief = shop.login("ann", PASSWORD).await;
    let new = "an even longer, wilder stream";
    let body = json!({ "old_password": PASSWORD, "new_password": new });
    let changed = ann.client.post("/api/users/me/password/", &body).await;
    assert_eq!(changed.status, 200, "{}", changed.body);
    order.refuses(&thief.access).await;
    order.takes(&ann.access).await;
    let again = shop.login("ann", new).await;
    order.takes(&again.access).await;
}

// attack(after role loss): staff's access token after the role was taken away -> refused in every service within 5 s
#[tokio::test]
async fn after_the_loss_of_a_role() {
    let shop = Shop::start().await;
    let order = Other::start(&shop.client.base).await;
    let staff = shop.login("staff", SAMPLE).await;
    assert_eq!(order.status("/api/staff/", &staff.access).await, 200);
    let (done, text) = shop.run(&["set-role", "staff", "none"], None).await;
    assert!(done, "{text}");
    order.refuses(&staff.access).await;
    // Here it is the account that counts: at once.
    staff
        .client
        .get("/api/users/")
        .await
        .is_error(403, "permission_denied");
    // The session lives; its next token tells of the role as it is now.
    let next = refresh(&shop.client, &staff.refresh).await;
    assert_eq!(next.status, 200, "{}", next.body);
    order.takes(&next.text("access")).await;
    assert_eq!(order.status("/api/staff/", &next.text("access")).await, 403);
    for bad in [
        &["set-role", "staff"][..],
        &["set-role", "staff", "king"],
        &["set-role", "x", "none"],
    ] {
        assert!(!shop.run(bad, None).await.0, "{bad:?}");
    }
}

// attack(after log-out): access token after a log-out at another replica, one replica down -> refused in every service within 5 s
#[tokio::test]
async fn with_several_replicas() {
    let shop = Shop::start().await;
    let replica = shop.replica().await;
    let gone = shop.replica().await;
    let list = format!(
        "{},{},{}",
        gone.client.base, shop.client.base, replica.client.base
    );
    gone.running.shutdown().await;
    let order = Other::start(&list).await;
    let user = replica.login("user0", SAMPLE).await;
    order.takes(&user.access).await;
    let body = json!({ "refresh": user.refresh });
    assert_eq!(
        replica
            .client
            .post("/api/token/logout/", &body)
            .await
            .status,
        200
    );
    order.refuses(&user.access).await;
}

// attack(after log-out): access token after log-out, the user service gone since -> still refused, good ones still taken
#[tokio::test]
async fn while_the_user_service_is_down() {
    let shop = Shop::start().await;
    let order = Other::start(&shop.client.base).await;
    let user = shop.login("user0", SAMPLE).await;
    let good = shop.login("user1", SAMPLE).await;
    let body = json!({ "refresh": user.refresh });
    assert_eq!(
        shop.client.post("/api/token/logout/", &body).await.status,
        200
    );
    order.refuses(&user.access).await;
    shop.running.shutdown().await;
    for _ in 0..20 {
        assert_eq!(order.status("/api/who/", &user.access).await, 401);
        order.takes(&good.access).await;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

// attack(after log-out): more log-outs at once than a page of the feed holds -> all refused within 5 s
#[tokio::test]
async fn after_more_log_outs_than_a_page_holds() {
    let shop = Shop::start().await;
    let order = Other::start(&shop.client.base).await;
    let user = shop.login("user0", SAMPLE).await;
    order.takes(&user.access).await;
    let sid = crate::common::claims_of(&user.access)["sid"]
        .as_str()
        .unwrap()
        .to_owned();
    let db = shop.database().await;
    let now_ms = shop.clock.now_ms();
    sqlx::query(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12000)
         INSERT INTO sessions (sid, user_id, created_ms, expires_ms, revoked_ms, revoked_why)
         SELECT 'many-' || i, $1, $2, $2 + 86400000, $2, 'logged_out' FROM n",
    )
    .bind(user.id)
    .bind(now_ms)
    .execute(&db.write)
    .await
    .unwrap();
    sqlx::query("UPDATE sessions SET revoked_ms = $2 WHERE sid = $1")
        .bind(sid)
        .bind(now_ms + 1)
        .execute(&db.write)
        .await
        .unwrap();
    db.close().await;
    until("refused", || async {
        order.status("/api/who/", &user.access).await == 401
    })
    .await;
}

//! Accounts by id, their list, and tokens of accounts that are no more.

use crate::common::{PASSWORD, SAMPLE, Shop};
use serde_json::{Value, json};

#[tokio::test]
async fn accounts_by_id_are_for_oneself_and_staff() {
    let shop = Shop::start().await;
    let (ann, bob) = (shop.customer("ann").await, shop.customer("bob").await);
    let staff = shop.login("staff", SAMPLE).await;
    let path = format!("/api/users/{}/", ann.id);
    shop.client
        .get(&path)
        .await
        .is_error(401, "not_authenticated");
    bob.client
        .get(&path)
        .await
        .is_error(403, "permission_denied");
    bob.client
        .put(&path, &json!({ "email": "b@mail.test" }))
        .await
        .is_error(403, "permission_denied");
    bob.client
        .patch(&path, &json!({}))
        .await
        .is_error(403, "permission_denied");
    bob.client
        .delete(&path)
        .await
        .is_error(403, "permission_denied");
    bob.client
        .get("/api/users/999999/")
        .await
        .is_error(403, "permission_denied");

    let own = ann.client.get(&path).await;
    assert_eq!((own.status.as_u16(), &own.body["roles"]), (200, &json!([])));
    let theirs = staff.client.get(&path).await;
    assert_eq!(
        (theirs.status.as_u16(), theirs.body.get("roles")),
        (200, None),
        "roles are one's own only"
    );
    staff
        .client
        .get("/api/users/999999/")
        .await
        .is_error(404, "not_found");
    for id in ["abc", "-1", "1.5", "99999999999999999999"] {
        staff
            .client
            .get(&format!("/api/users/{id}/"))
            .await
            .is_error(404, "not_found");
    }
    staff
        .client
        .put(&path, &json!({ "first_name": "A" }))
        .await
        .is_invalid(&["email"]);
    let put = ann
        .client
        .put(
            &path,
            &json!({ "email": "a2@mail.test", "first_name": "A" }),
        )
        .await;
    assert_eq!(
        (put.status.as_u16(), &put.body["email"]),
        (200, &json!("a2@mail.test"))
    );
    let patched = staff
        .client
        .patch(&path, &json!({ "last_name": "Z" }))
        .await;
    assert_eq!(
        (&patched.body["first_name"], &patched.body["last_name"]),
        (&json!("A"), &json!("Z"))
    );
    staff
        .client
        .patch("/api/users/999999/", &json!({}))
        .await
        .is_error(404, "not_found");
}

#[tokio::test]
async fn a_deactivated_account_is_out_at_once() {
    let shop = Shop::start().await;
    let (ann, staff) = (
        shop.customer("ann").await,
        shop.login("staff", SAMPLE).await,
    );
    let path = format!("/api/users/{}/", ann.id);
    let deleted = staff.client.delete(&path).await;
    assert_eq!(
        (deleted.status.as_u16(), &deleted.body),
        (204, &Value::Null)
    );
    assert_eq!(staff.client.delete(&path).await.status, 204, "again");
    staff
        .client
        .delete("/api/users/999999/")
        .await
        .is_error(404, "not_found");
    ann.client
        .get("/api/users/me/")
        .await
        .is_error(401, "user_inactive");
    let refresh = json!({ "refresh": ann.refresh });
    shop.client
        .post("/api/token/refresh/", &refresh)
        .await
        .is_error(401, "user_inactive");
    let login = json!({ "username": "ann", "password": PASSWORD });
    shop.client
        .post("/api/token/", &login)
        .await
        .is_error(401, "authentication_failed");
    assert_eq!(
        staff.client.get(&path).await.status,
        200,
        "nothing is deleted"
    );

    let bob = shop.customer("bob").await;
    assert_eq!(
        bob.client
            .delete(&format!("/api/users/{}/", bob.id))
            .await
            .status,
        204,
        "oneself"
    );
    bob.client
        .get("/api/users/me/")
        .await
        .is_error(401, "user_inactive");
}

#[tokio::test]
async fn the_token_of_an_account_that_is_gone() {
    let shop = Shop::start().await;
    let ids = user_service::domain::session::PairIds {
        refresh_jti: "r".into(),
        access_jti: "a".into(),
    };
    let roles = kit::auth::Roles {
        staff: true,
        admin: true,
    };
    let grant = user_service::domain::session::Grant::new(
        424_242,
        "s".into(),
        roles,
        ids,
        shop.clock.now_ms(),
    );
    let token = crate::common::key()
        .sign(&grant.claims(kit::auth::TokenType::Access))
        .unwrap();
    let client = shop.client.with_token(&token);
    client
        .get("/api/users/me/")
        .await
        .is_error(401, "user_not_found");
    client
        .get("/api/users/")
        .await
        .is_error(401, "user_not_found");
}

#[tokio::test]
async fn the_list_is_for_staff_paged_and_searched() {
    let shop = Shop::start().await;
    let staff = shop.login("staff", SAMPLE).await;
    let ann = shop.customer("ann_100").await;
    shop.client
        .get("/api/users/")
        .await
        .is_error(401, "not_authenticated");
    ann.client
        .get("/api/users/")
        .await
        .is_error(403, "permission_denied");

    let all = staff.client.get("/api/users/?page_size=5").await;
    assert_eq!((all.status.as_u16(), &all.body["count"]), (200, &json!(13)));
    let ids: Vec<i64> = all.body["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|u| u["id"].as_i64().unwrap())
        .collect();
    assert_eq!(ids, [1, 2, 3, 4, 5]);
    assert_eq!(all.body["previous"], Value::Null);
    let next = all.text("next");
    assert_eq!(
        next,
        format!("{}/api/users/?page_size=5&page=2", shop.client.base)
    );
    let path = next.strip_prefix(&shop.client.base).unwrap();
    assert_eq!(staff.client.get(path).await.body["results"][0]["id"], 6);
    staff
        .client
        .get("/api/users/?page=9")
        .await
        .is_error(404, "not_found");
    let last = staff.client.get("/api/users/?page=last&page_size=5").await;
    assert_eq!(last.body["results"][2]["username"], "ann_100");

    for (search, count) in [
        ("USER", 10),
        ("user3", 1),
        ("user3@example.com", 1),
        ("_100", 1),
        ("n_1", 1),
        ("a_n", 0),
        ("%25", 0),
        ("u%25r3", 0),
        ("zzz", 0),
        ("sample", 12),
    ] {
        let found = staff
            .client
            .get(&format!("/api/users/?search={search}"))
            .await;
        assert_eq!(
            (found.status.as_u16(), &found.body["count"]),
            (200, &json!(count)),
            "{search}"
        );
    }
}

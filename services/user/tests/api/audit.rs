//! The audit log as staff read it.

use serde_json::{Value, json};

use crate::common::{Client, PASSWORD, SAMPLE, Shop, refresh, until};

const PATH: &str = "/api/users/audit/";

async fn kinds(client: &Client, user_id: i64) -> Vec<String> {
    let page = client
        .get(&format!("{PATH}?user_id={user_id}&page_size=100"))
        .await;
    assert_eq!(page.status, 200, "{}", page.body);
    let events = page.body["results"].as_array().unwrap();
    let kinds = events
        .iter()
        .map(|event| event["event"].as_str().unwrap().to_owned());
    kinds.collect()
}

#[tokio::test]
async fn what_happens_to_an_account_is_kept_newest_first() {
    let shop = Shop::start().await;
    let staff = shop.login("staff", SAMPLE).await;
    let ann = shop.customer("ann").await;
    let wrong = json!({ "username": "ANN", "password": "wrong" });
    shop.client
        .with_header("x-forwarded-for", "198.51.100.7")
        .with_header("x-request-id", "the-wrong-one")
        .post("/api/token/", &wrong)
        .await;
    refresh(&shop.client, &ann.refresh).await;
    shop.clock.advance(10_001);
    refresh(&shop.client, &ann.refresh).await;
    let again = shop.login("ann", PASSWORD).await;
    let patch = json!({ "email": "new@mail.test" });
    assert_eq!(
        again.client.patch("/api/users/me/", &patch).await.status,
        200
    );
    let change =
        json!({ "old_password": PASSWORD, "new_password": "an even longer, wilder stream" });
    again.client.post("/api/users/me/password/", &change).await;
    let body = json!({ "refresh": again.refresh });
    shop.client.post("/api/token/logout/", &body).await;
    let path = format!("/api/users/{}/", ann.id);
    assert_eq!(staff.client.delete(&path).await.status, 204);

    let expected = [
        "deactivated",
        "logged_out",
        "password_changed",
        "email_changed",
        "logged_in",
        "refresh_reused",
        "login_refused",
        "logged_in",
        "registered",
    ];
    until("all rows", || async {
        kinds(&staff.client, ann.id).await.len() == expected.len()
    })
    .await;
    assert_eq!(kinds(&staff.client, ann.id).await, expected);

    let page = staff
        .client
        .get(&format!("{PATH}?user_id={}&event=login_refused", ann.id))
        .await;
    assert_eq!(page.body["count"], 1);
    let event = &page.body["results"][0];
    assert_eq!(
        (&event["address"], &event["request_id"], &event["actor_id"]),
        (
            &json!("198.51.100.7"),
            &json!("the-wrong-one"),
            &Value::Null
        )
    );
    let gone = staff.client.get(&format!("{PATH}?event=deactivated")).await;
    assert_eq!(gone.body["results"][0]["actor_id"], staff.id);
    assert_eq!(
        staff.client.get(&format!("{PATH}?user_id=x")).await.body["count"],
        0
    );
    assert_eq!(
        staff.client.get(&format!("{PATH}?page=99")).await.status,
        404
    );
}

#[tokio::test]
async fn only_staff_read_it_and_after_ninety_days_nobody() {
    let shop = Shop::start().await;
    let staff = shop.login("staff", SAMPLE).await;
    let user = shop.login("user0", SAMPLE).await;
    shop.client
        .get(PATH)
        .await
        .is_error(401, "not_authenticated");
    user.client
        .get(PATH)
        .await
        .is_error(403, "permission_denied");
    until("a row", || async {
        !kinds(&staff.client, user.id).await.is_empty()
    })
    .await;
    // A replica sweeps when it starts.
    shop.clock.advance(90 * 24 * 60 * 60 * 1000);
    let replica = shop.replica().await;
    let admin = replica.login("admin", SAMPLE).await;
    until("the old ones are gone", || async {
        kinds(&admin.client, user.id).await.is_empty()
    })
    .await;
    until("the newest is there", || async {
        kinds(&admin.client, admin.id).await == ["logged_in"]
    })
    .await;
}

#[tokio::test]
async fn a_flood_of_failures_is_one_event_each_and_the_slow_down_one_more() {
    let shop = Shop::start().await;
    shop.clock.stop();
    let staff = shop.login("staff", SAMPLE).await;
    let wrong = json!({ "username": "user0", "password": "wrong" });
    for _ in 0..15 {
        shop.client.post("/api/token/", &wrong).await;
    }
    let id = 3;
    until("all rows", || async {
        kinds(&staff.client, id).await.len() >= 11
    })
    .await;
    let kinds = kinds(&staff.client, id).await;
    let count = |kind: &str| kinds.iter().filter(|one| *one == kind).count();
    assert_eq!(
        (count("login_refused"), count("login_slowed")),
        (10, 1),
        "{kinds:?}"
    );
}

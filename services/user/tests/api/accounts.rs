//! Registration, profiles and passwords.

use crate::common::{PASSWORD, Shop};
use serde_json::{Value, json};

#[tokio::test]
async fn registration_answers_the_user_and_confirms_the_password() {
    let shop = Shop::start().await;
    let mut body = json!({
        "username": "Zoë.1", "email": "Zoe@Mail.test", "password": PASSWORD,
        "password_confirm": PASSWORD, "first_name": "Zoë", "last_name": "Ä",
        "roles": ["admin"], "is_staff": true,
    });
    let made = shop.client.post("/api/users/", &body).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert!(made.body["message"].is_string());
    let user = &made.body["user"];
    assert!(user["id"].is_i64());
    assert_eq!(
        (&user["username"], &user["email"]),
        (&json!("Zoë.1"), &json!("Zoe@Mail.test"))
    );
    assert_eq!(
        (&user["first_name"], &user["last_name"]),
        (&json!("Zoë"), &json!("Ä"))
    );
    assert!(user["date_joined"].as_str().unwrap().ends_with('Z'));
    assert_eq!(user["roles"], json!([]), "roles of a body are ignored");
    assert!(!made.body.to_string().contains("password"), "{}", made.body);

    body["username"] = json!("zoe2");
    body["email"] = json!("zoe2@mail.test");
    body["password_confirm"] = json!("something else");
    shop.client
        .post("/api/users/", &body)
        .await
        .is_invalid(&["non_field_errors"]);
    shop.client
        .post("/api/users/register/", &body)
        .await
        .is_invalid(&["non_field_errors"]);
    body.as_object_mut().unwrap().remove("password_confirm");
    shop.client
        .post("/api/users/", &body)
        .await
        .is_invalid(&["password_confirm"]);
    assert_eq!(
        shop.client.post("/api/users/register/", &body).await.status,
        201
    );
}

#[tokio::test]
async fn blanks_around_names_do_not_count_and_in_passwords_they_do() {
    let shop = Shop::start().await;
    let body = json!({ "username": " ann ", "email": " ann@mail.test ", "password": "          " });
    let made = shop.client.post("/api/users/register/", &body).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(made.body["user"]["username"], "ann");
    assert_eq!(made.body["user"]["email"], "ann@mail.test");
    shop.login(" ann ", "          ").await;
    let fewer = json!({ "username": "ann", "password": "         " });
    shop.client
        .post("/api/token/", &fewer)
        .await
        .is_error(401, "authentication_failed");
    let none = json!({ "username": "ann", "password": "" });
    shop.client
        .post("/api/token/", &none)
        .await
        .is_invalid(&["password"]);
}

#[tokio::test]
async fn every_wrong_field_is_named() {
    let shop = Shop::start().await;
    let register = |body: Value| {
        let client = shop.client.clone();
        async move { client.post("/api/users/register/", &body).await }
    };
    register(json!({}))
        .await
        .is_invalid(&["username", "email", "password"]);
    register(
        json!({ "username": "a b", "email": "nope", "password": "short", "first_name": "a\u{1}" }),
    )
    .await
    .is_invalid(&["username", "email", "password", "first_name"]);
    register(json!({ "username": "x".repeat(151), "email": "a@b.c", "password": PASSWORD }))
        .await
        .is_invalid(&["username"]);
    for (password, why) in [
        (json!("password123"), "common"),
        (json!("Jolanthe-77"), "like the name"),
        (json!("x".repeat(129)), "too long"),
        (json!("1234567"), "too short"),
        (json!(["a"]), "no text"),
    ] {
        let body = json!({ "username": "jolanthe", "email": "j@mail.test", "password": password });
        let answer = register(body).await;
        assert_eq!(answer.status, 400, "{why}");
        answer.is_invalid(&["password"]);
    }
}

#[tokio::test]
async fn names_and_addresses_are_unique_whatever_the_case() {
    let shop = Shop::start().await;
    shop.customer("Maria").await;
    let body =
        |name: &str, email: &str| json!({ "username": name, "email": email, "password": PASSWORD });
    let client = &shop.client;
    client
        .post("/api/users/register/", &body("mARIA", "x@y.zz"))
        .await
        .is_invalid(&["username"]);
    client
        .post("/api/users/register/", &body("other", "MARIA@mail.TEST"))
        .await
        .is_invalid(&["email"]);
    client
        .post("/api/users/register/", &body("maria", "maria@mail.test"))
        .await
        .is_invalid(&["username", "email"]);
    // One log-in finds the account however its name is written.
    shop.login("MARIA", PASSWORD).await;
}

#[tokio::test]
async fn of_many_registrations_at_once_one_wins() {
    let shop = Shop::start().await;
    let attempts = (0..8).map(|n| {
        let name = if n % 2 == 0 { "racer" } else { "RACER" };
        let body =
            json!({ "username": name, "email": format!("r{n}@mail.test"), "password": PASSWORD });
        let client = shop.client.clone();
        tokio::spawn(async move { client.post("/api/users/register/", &body).await })
    });
    let mut made = 0;
    for attempt in attempts.collect::<Vec<_>>() {
        let answer = attempt.await.unwrap();
        if answer.status == 201 {
            made += 1;
        } else {
            answer.is_invalid(&["username"]);
        }
    }
    assert_eq!(made, 1);
}

#[tokio::test]
async fn ones_own_profile() {
    let shop = Shop::start().await;
    shop.client
        .get("/api/users/me/")
        .await
        .is_error(401, "not_authenticated");
    let ann = shop.customer("ann").await;
    let me = ann.client.get("/api/users/me/").await;
    assert_eq!(
        (me.status.as_u16(), &me.body["username"], &me.body["roles"]),
        (200, &json!("ann"), &json!([]))
    );

    let change = json!({ "first_name": "Ann", "email": "new@mail.test", "username": "eve", "roles": ["admin"], "id": 1 });
    let changed = ann.client.patch("/api/users/me/", &change).await;
    assert_eq!(changed.status, 200);
    let now = ann.client.get("/api/users/me/").await.body;
    assert_eq!(now, changed.body);
    assert_eq!(
        (&now["username"], &now["first_name"], &now["email"]),
        (&json!("ann"), &json!("Ann"), &json!("new@mail.test"))
    );
    assert_eq!((&now["roles"], &now["id"]), (&json!([]), &json!(ann.id)));

    ann.client
        .patch("/api/users/me/", &json!({ "email": "USER0@example.com" }))
        .await
        .is_invalid(&["email"]);
    ann.client
        .patch("/api/users/me/", &json!({ "email": null }))
        .await
        .is_invalid(&["email"]);
    ann.client
        .patch(
            "/api/users/me/",
            &json!({ "email": "x", "last_name": "y".repeat(151) }),
        )
        .await
        .is_invalid(&["email", "last_name"]);
    // One's own address in another case is no clash.
    assert_eq!(
        ann.client
            .patch("/api/users/me/", &json!({ "email": "NEW@mail.test" }))
            .await
            .status,
        200
    );
    ann.client
        .put("/api/users/me/", &json!({}))
        .await
        .is_error(405, "method_not_allowed");
}

#[tokio::test]
async fn a_new_password_ends_the_other_sessions_only() {
    let shop = Shop::start().await;
    let ann = shop.customer("ann").await;
    let elsewhere = shop.login("ann", PASSWORD).await;
    let path = "/api/users/me/password/";
    let new = "an even longer, wilder stream";
    let change = |old: &str, new: &str| json!({ "old_password": old, "new_password": new });
    shop.client
        .post(path, &change(PASSWORD, new))
        .await
        .is_error(401, "not_authenticated");
    ann.client
        .post(path, &json!({}))
        .await
        .is_invalid(&["old_password", "new_password"]);
    ann.client
        .post(path, &change("wrong", new))
        .await
        .is_invalid(&["old_password"]);
    ann.client
        .post(path, &change(PASSWORD, "annmail1"))
        .await
        .is_invalid(&["new_password"]);
    ann.client
        .post(path, &change(PASSWORD, "qwertyuiop"))
        .await
        .is_invalid(&["new_password"]);
    assert_eq!(
        ann.client.post(path, &change(PASSWORD, new)).await.status,
        200
    );

    assert_eq!(ann.client.get("/api/users/me/").await.status, 200);
    elsewhere
        .client
        .get("/api/users/me/")
        .await
        .is_error(401, "token_not_valid");
    let refresh = |token: &str| json!({ "refresh": token });
    shop.client
        .post("/api/token/refresh/", &refresh(&elsewhere.refresh))
        .await
        .is_error(401, "token_not_valid");
    assert_eq!(
        shop.client
            .post("/api/token/refresh/", &refresh(&ann.refresh))
            .await
            .status,
        200
    );
    let old = json!({ "username": "ann", "password": PASSWORD });
    shop.client
        .post("/api/token/", &old)
        .await
        .is_error(401, "authentication_failed");
    shop.login("ann", new).await;
}

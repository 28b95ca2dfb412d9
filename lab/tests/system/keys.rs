//! Keys changed while customers use the shop.

use std::process::Command;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Connection as _;

use crate::crowd::{Crowd, Shop, expect};
use crate::harness::{Lab, programs, text, until};

const SERVICES: [(&str, &str); 2] = [("user-service", "user"), ("order-service", "order")];

/// A service's own command, with the surroundings that the lab gives the service.
fn command(lab: &Lab, service: &str, words: &[&str]) -> Command {
    let (_, database) = SERVICES.iter().find(|(name, _)| *name == service).unwrap();
    let file = lab.data().join(format!("db/{database}.db"));
    let mut command = Command::new(programs().join(service));
    command
        .args(words)
        .env_clear()
        .env("LAB_MODE", "1")
        .env("DATABASE_URL", format!("sqlite://{}", file.display()))
        .env("SERVICE_SECRET", lab.secret("SERVICE_SECRET"))
        .env("FIELD_ENCRYPTION_KEYS", lab.secret("FIELD_ENCRYPTION_KEYS"));
    if service == "user-service" {
        command.env("JWT_PRIVATE_KEY_PATH", lab.data().join("keys/jwt.pem"));
    }
    command
}

/// Runs it beside what goes on; what it said.
async fn done(mut command: Command) -> String {
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = output.await.unwrap();
    assert!(output.status.success(), "{}", text(&output));
    text(&output)
}

/// The id of the key that a token is signed with.
fn kid(token: &str) -> String {
    let header = token.split('.').next().unwrap();
    let header = URL_SAFE_NO_PAD.decode(header).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    header["kid"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_signing_key_is_changed_under_load_and_no_request_fails() {
    let mut lab = Lab::new();
    lab.up_with(&["--replicas", "user-service=2"]).await;
    let shop = Arc::new(Shop::open(&lab).await);
    let old = kid(&shop.catalogue.customers[0].access);
    let crowd = Crowd::start(&shop, true);
    until("there is load", async || crowd.asked() > 100).await;
    done(command(
        &lab,
        "user-service",
        &["keys", "rotate", "--lead", "10"],
    ))
    .await;
    let mut new = old.clone();
    until("tokens are signed with the new key", async || {
        let session = shop.log_in(0).await.unwrap();
        new = kid(session["access"].as_str().unwrap());
        new != old
    })
    .await;
    // Both replicas, every verifier, tokens of both keys.
    let since = crowd.asked();
    until("customers have used both", async || {
        crowd.asked() > since + 1_500
    })
    .await;
    crowd.stop().await.nothing_failed(&shop).await;
    let keys = shop.from(Method::GET, "/.well-known/jwks.json", "192.0.2.1");
    let keys = expect(keys, 200).await.unwrap();
    let ids: Vec<&str> = keys["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key["kid"].as_str().unwrap())
        .collect();
    assert!(
        ids.contains(&old.as_str()) && ids.contains(&new.as_str()),
        "{ids:?}"
    );
}

/// Puts other field keys into the lab's secrets, and has both services take them over.
async fn change_keys(lab: &Lab, keys: &str) {
    let file = lab.data().join("secrets.toml");
    let secrets = std::fs::read_to_string(&file).unwrap();
    let old = lab.secret("FIELD_ENCRYPTION_KEYS");
    std::fs::write(&file, secrets.replace(&old, keys)).unwrap();
    let mut restart = lab.front(&["restart", "--rolling", "user-service", "order-service"]);
    assert!(restart.ended().await.success(), "{}", restart.said());
}

/// How many sealed values there are in a column, and how many of them another key sealed.
async fn sealed(lab: &Lab, (database, table, column): (&str, &str, &str), key: &str) -> (i64, i64) {
    let url = format!(
        "sqlite://{}?mode=ro",
        lab.data().join(format!("db/{database}.db")).display()
    );
    let mut db = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let count = format!(
        "SELECT COUNT({column}), COALESCE(SUM({column} NOT LIKE 'v1.{key}.%'), 0) FROM {table}"
    );
    let query = sqlx::query_as(sqlx::AssertSqlSafe(count));
    query.fetch_one(&mut db).await.unwrap()
}

const SEALED: [(&str, &str, &str); 4] = [
    ("order", "orders", "user_cipher"),
    ("order", "orders", "contact_cipher"),
    ("order", "idempotency_keys", "answer_cipher"),
    ("user", "totp_devices", "secret"),
];

/// A customer with a second factor; the secret as the authenticator has it.
async fn second_factor(lab: &Lab, shop: &Shop, place: usize) -> String {
    let setup = shop.request(Method::POST, "/api/users/2fa/setup/", place);
    let setup = expect(setup.json(&json!({})), 200).await;
    let setup = setup.unwrap();
    let secret = setup["secret_key"].as_str().unwrap().to_owned();
    let body = json!({ "device_id": setup["device_id"], "token": code(lab, &secret) });
    let confirm = shop.request(Method::POST, "/api/users/2fa/verify-setup/", place);
    expect(confirm.json(&body), 200).await.unwrap();
    secret
}

fn code(lab: &Lab, secret: &str) -> String {
    let shown = lab.run(&["totp", secret]);
    String::from_utf8(shown.stdout).unwrap().trim().to_owned()
}

/// The sealed secret opens: a code is checked with it. A code works once, so it may take until the
/// next one.
async fn logs_in_with_a_code(lab: &Lab, shop: &Shop, place: usize, secret: &str) {
    let customer = &shop.catalogue.customers[place];
    let address = customer.address.to_string();
    until("a fresh code is taken", async || {
        let body = json!({
            "username": customer.username, "password": shop.catalogue.password
        });
        let first = shop.from(Method::POST, "/api/token/", &address).json(&body);
        let first = first.send().await.unwrap();
        let cookie = first.headers()["set-cookie"].to_str().unwrap();
        let cookie = cookie.split(';').next().unwrap().to_owned();
        let body = json!({ "username": customer.username, "token": code(lab, secret) });
        let path = "/api/users/2fa/verify-login/";
        let second = shop.from(Method::POST, path, &address).json(&body);
        let second = second.header("cookie", cookie).send().await.unwrap();
        second.status() == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn field_keys_are_changed_under_load_and_no_request_fails() {
    let mut lab = Lab::new();
    lab.up_with(&["--replicas", "user-service=2,order-service=2"])
        .await;
    let shop = Arc::new(Shop::open(&lab).await);
    let last = shop.catalogue.customers.len() - 1;
    let secret = second_factor(&lab, &shop, last).await;
    let keyed = shop.request(Method::POST, "/api/orders/", last);
    let keyed = || keyed.try_clone().unwrap().header("idempotency-key", "k-1");
    let item = json!({ "product_id": shop.catalogue.products[0].id, "quantity": 1 });
    let body = json!({ "items": [item] });
    let first = expect(keyed().json(&body), 201).await.unwrap();

    let crowd = Crowd::start(&shop, false);
    until("there is load", async || crowd.asked() > 500).await;
    // docs/IDENTITY.md: all can open what the new key seals before one seals with it.
    let old = lab.secret("FIELD_ENCRYPTION_KEYS");
    let new = format!("next:{}", STANDARD.encode(rand::random::<[u8; 32]>()));
    change_keys(&lab, &format!("{old},{new},{old}")).await;
    change_keys(&lab, &format!("{new},{old}")).await;
    let before = sealed(&lab, SEALED[0], "next").await;
    assert!(before.1 > 0, "there is something to seal anew: {before:?}");
    let (orders, secrets) = tokio::join!(
        done(command(&lab, "order-service", &["keys", "rotate"])),
        done(command(&lab, "user-service", &["keys", "rotate-fields"])),
    );
    print!("{orders}{secrets}");
    let since = crowd.asked();
    until("customers have gone on", async || {
        crowd.asked() > since + 500
    })
    .await;
    let mut tally = crowd.stop().await;
    // The one with the key came before the crowd.
    *tally.ordered.entry(last).or_default() += 1;
    tally.nothing_failed(&shop).await;
    for column in SEALED {
        let (all, others) = sealed(&lab, column, "next").await;
        println!("{column:?}: {all} sealed, {others} by another key");
        assert!(all > 0 && others == 0, "{column:?}: {others} of {all}");
    }
    // Sealed anew is not lost: owners, the kept answer, the second factor.
    let again = expect(keyed().json(&body), 201).await.unwrap();
    assert_eq!(first, again);
    logs_in_with_a_code(&lab, &shop, last, &secret).await;
}

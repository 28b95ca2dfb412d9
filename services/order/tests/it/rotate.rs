//! `order-service keys rotate`: what was encrypted with an old key is encrypted anew while the
//! service runs.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use crate::common;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use common::{BUYER, Shop, read};
use kit::{cli::Service as _, crypto::FieldKeys};
use order_service::{App, config::Config};

/// The lab's key with a new one before it.
fn both() -> FieldKeys {
    let new = STANDARD.encode([7; 32]);
    FieldKeys::parse(&format!("new:{new},{}", FieldKeys::LAB)).unwrap()
}

async fn ciphers(shop: &Shop) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT user_cipher FROM orders UNION ALL SELECT contact_cipher FROM orders \
         UNION ALL SELECT answer_cipher FROM idempotency_keys",
    )
    .fetch_all(&shop.sql().await)
    .await
    .unwrap()
}

async fn rotate(config: Config) {
    let words = ["keys", "rotate"].map(str::to_owned);
    assert!(App::command(&words, config).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_rotate_under_requests_and_old_values_stay_readable() {
    let mut shop = Shop::patient().await;
    for n in 0..30 {
        let post = shop.post_keyed(BUYER, &format!("k{n}"), &[(n + 1, 1)]);
        assert_eq!(read(post).await.0, 201);
    }
    let (_, first) = read(shop.post_keyed(BUYER, "k0", &[(1, 1)])).await;
    shop.restart_with(|config| config.field_keys = both()).await;
    // Old values are read with the old key still.
    let (_, page) = read(shop.get(BUYER, "/api/orders/?page_size=1")).await;
    assert_eq!(page["count"], 30);
    let config = shop.config().clone();
    let rotating = tokio::spawn(async move {
        for _ in 0..3 {
            rotate(config.clone()).await;
        }
    });
    let mut made = 0;
    while !rotating.is_finished() || made < 5 {
        let post = shop.post_keyed(BUYER, &format!("while-{made}"), &[(2, 1)]);
        let (status, body) = read(post).await;
        assert_eq!(status, 201, "{body}");
        let (status, body) = read(shop.get(BUYER, "/api/orders/")).await;
        assert_eq!(status, 200, "{body}");
        made += 1;
    }
    rotating.await.unwrap();
    rotate(shop.config().clone()).await;
    let all = ciphers(&shop).await;
    assert_eq!(all.len(), 3 * (30 + made));
    assert!(
        all.iter().all(|value| value.starts_with("v1.new.")),
        "{all:?}"
    );
    // Found by the same index, answered the same.
    let (_, again) = read(shop.post_keyed(BUYER, "k0", &[(1, 1)])).await;
    assert_eq!(again, first);
    let (_, page) = read(shop.get(BUYER, "/api/orders/?page_size=1")).await;
    assert_eq!(page["count"], 30 + made);
}

#[tokio::test]
async fn words_that_are_no_command_are_not_taken() {
    let shop = Shop::open().await;
    for words in [&["keys"] as &[&str], &["keys", "turn"], &["rotate"]] {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        assert!(!App::command(&words, shop.config().clone()).await.unwrap());
    }
}

//! Second-factor secrets under several keys, and their re-encryption while the service serves.

use kit::crypto::FieldKeys;
use serde_json::json;
use sqlx::Row as _;

use crate::{
    common::Shop,
    guarded::{code_at, guarded, password_step, second_step},
};

/// The key of lab mode, which seals what the tests set up.
const OLD: &str = "lab:bGFiLW1vZGUtZmllbGQta2V5LW5vdC1hLXNlY3JldC4=";
const NEW: &str = "2031:AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";

async fn sealed(shop: &Shop) -> Vec<String> {
    let db = shop.database().await;
    let rows = sqlx::query("SELECT secret FROM totp_devices ORDER BY id")
        .fetch_all(&db.read)
        .await
        .unwrap();
    db.close().await;
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn secrets_are_sealed_anew_while_the_service_serves() {
    let shop = Shop::start().await;
    let (ann, bob) = (guarded(&shop, "ann").await, guarded(&shop, "bob").await);
    let both = format!("{NEW},{OLD}");
    let replica = shop
        .replica_with(|config| config.field_keys = FieldKeys::parse(&both).unwrap())
        .await;
    let before = sealed(&shop).await;
    assert!(
        before.iter().all(|secret| secret.starts_with("v1.lab.")),
        "{before:?}"
    );

    // Without the old key nothing is changed, and nothing is lost.
    let alone = [("FIELD_ENCRYPTION_KEYS", NEW)];
    let (done, text) = shop
        .binary()
        .run(&["keys", "rotate-fields"], None, &alone)
        .await;
    assert!(!done && text.contains("lab"), "{text}");
    assert_eq!(sealed(&shop).await, before);

    let variables = [("FIELD_ENCRYPTION_KEYS", both.as_str())];
    let (done, text) = shop
        .binary()
        .run(&["keys", "rotate-fields"], None, &variables)
        .await;
    assert!(done && text.starts_with("2 "), "{text}");
    let after = sealed(&shop).await;
    assert!(
        after.iter().all(|secret| secret.starts_with("v1.2031.")),
        "{after:?}"
    );
    let (done, text) = shop
        .binary()
        .run(&["keys", "rotate-fields"], None, &variables)
        .await;
    assert!(done && text.starts_with("0 "), "again: {text}");

    for (name, owner) in [("ann", &ann), ("bob", &bob)] {
        let client = password_step(&replica, name).await;
        let code = code_at(&replica, &owner.totp, 0);
        assert_eq!(
            second_step(&client, name, &code).await.status,
            200,
            "{name}"
        );
    }
    // Backup tokens hang on the last key, which is the old one still.
    let client = password_step(&replica, "ann").await;
    let done = second_step(&client, "ann", &ann.backup_tokens[0]).await;
    assert_eq!(done.body["backup_token_used"], json!(true), "{}", done.body);
}

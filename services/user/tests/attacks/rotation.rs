//! A new signing key while the shop is at work.

use std::{
    collections::BTreeSet,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use data_encoding::BASE64URL_NOPAD;
use serde_json::Value;

use crate::common::{Customer, Other, SAMPLE, Shop, refresh, until};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

fn kid_of(token: &str) -> String {
    let header = BASE64URL_NOPAD
        .decode(token.split('.').next().unwrap().as_bytes())
        .unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    header["kid"].as_str().unwrap().to_owned()
}

async fn published(shop: &Shop) -> Vec<String> {
    let jwks = shop.client.get("/.well-known/jwks.json").await;
    let keys = jwks.body["keys"].as_array().unwrap();
    let kids = keys
        .iter()
        .map(|key| key["kid"].as_str().unwrap().to_owned());
    kids.collect()
}

/// Makes a key that signs in a minute, and gives back its id.
async fn rotate(shop: &Shop) -> String {
    let before: BTreeSet<_> = published(shop).await.into_iter().collect();
    let binary = shop.binary();
    let (done, text) = binary
        .run(&["keys", "rotate", "--lead", "60"], None, &[])
        .await;
    assert!(done, "{text}");
    until("the new key is published", || async {
        published(shop).await.len() > before.len()
    })
    .await;
    let after = published(shop).await;
    let new = after.into_iter().find(|kid| !before.contains(kid)).unwrap();
    assert!(text.contains(&new), "{text}");
    new
}

/// One user who refreshes and goes to another service, over and over; gives back the ids of the
/// keys that signed.
async fn keep_going(
    shop: &Shop,
    replica: &Shop,
    order: &Other,
    name: String,
    stop: Arc<AtomicBool>,
) -> BTreeSet<String> {
    let Customer { mut refresh, .. } = shop.login(&name, SAMPLE).await;
    let mut kids = BTreeSet::new();
    let mut turn = 0;
    while !stop.load(Ordering::SeqCst) {
        turn += 1;
        let there = [shop, replica][turn % 2];
        let next = crate::common::refresh(&there.client, &refresh).await;
        assert_eq!(next.status, 200, "{}", next.body);
        refresh = next.text("refresh");
        let access = next.text("access");
        kids.insert(kid_of(&access));
        order.takes(&access).await;
        let me = there.client.with_token(&access).get("/api/users/me/").await;
        assert_eq!(me.status, 200, "{}", me.body);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    kids
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_keys_rotate() {
    let shop = Shop::with_own_keys().await;
    let replica = shop.replica().await;
    let order = Other::start(&format!("{},{}", shop.client.base, replica.client.base)).await;
    let stop = Arc::new(AtomicBool::new(false));
    let users = (0..4).map(|n| {
        keep_going(
            &shop,
            &replica,
            &order,
            format!("user{n}"),
            Arc::clone(&stop),
        )
    });
    let rotation = async {
        let old = kid_of(&shop.login("user9", SAMPLE).await.access);
        let new = rotate(&shop).await;
        until("the other replica publishes it", || async {
            published(&replica).await.contains(&new)
        })
        .await;
        let user = shop.login("user9", SAMPLE).await;
        assert_eq!(kid_of(&user.access), old, "it is published before it signs");
        knows_new_key(&shop, &order).await;
        shop.clock.advance(60_000);
        until("the new key signs", || async {
            kid_of(&shop.login("user9", SAMPLE).await.access) == new
        })
        .await;
        // Tokens of before go on, and are exchanged for new ones.
        order.takes(&user.access).await;
        assert_eq!(refresh(&replica.client, &user.refresh).await.status, 200);
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        stop.store(true, Ordering::SeqCst);
        BTreeSet::from([old, new])
    };
    let (both, seen) = tokio::join!(rotation, futures_util::future::join_all(users));
    for kids in seen {
        assert_eq!(kids, both, "signed before and after, and none failed");
    }
}

/// Waits until the other service takes what the newest key has signed.
async fn knows_new_key(shop: &Shop, order: &Other) {
    let newest = key_files(shop).pop().unwrap();
    let key = user_service::keys::SigningKey::load(&newest).unwrap();
    let now_ms = shop.clock.now_ms();
    let claims = kit::auth::Claims {
        token_type: kit::auth::TokenType::Access,
        exp: now_ms / 1000 + 60,
        iat: now_ms / 1000,
        iat_ms: now_ms,
        jti: "j".into(),
        user_id: 3,
        iss: kit::auth::ISSUER.into(),
        aud: kit::auth::AUDIENCE.into(),
        sub: "3".into(),
        roles: Vec::new(),
        sid: "s".into(),
    };
    let token = key.sign(&claims).unwrap();
    until("verifiers know the new key", || async {
        order.status("/api/who/", &token).await == 200
    })
    .await;
}

fn key_files(shop: &Shop) -> Vec<PathBuf> {
    let folder = std::fs::read_dir(shop.keys.parent().unwrap()).unwrap();
    let mut files: Vec<PathBuf> = folder.map(|entry| entry.unwrap().path()).collect();
    // `jwt.1790000000000.pem` before `jwt.pem`: the first one is the oldest.
    files.sort();
    files.rotate_right(1);
    files
}

// attack: an old key after a rotation -> kept until the last token signed with it has expired, and not longer
#[tokio::test]
async fn an_old_key_is_published_for_a_day() {
    let shop = Shop::with_own_keys().await;
    let old = published(&shop).await.pop().unwrap();
    let user = shop.login("user0", SAMPLE).await;
    let new = rotate(&shop).await;
    for file in key_files(&shop) {
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
    assert_eq!(published(&shop).await, [new.clone(), old.clone()]);
    shop.clock.advance(60_000);
    let last = refresh(&shop.client, &user.refresh).await;
    assert_eq!(kid_of(&last.text("refresh")), new);
    for path in [
        "/api/users/auth/public-key/",
        "/api/auth/public-key/",
        "/api/users/public-key/",
    ] {
        assert_eq!(shop.client.get(path).await.body["key_id"], new, "{path}");
        let named = shop.client.get(&format!("{path}?key_id={old}")).await;
        assert_eq!(named.body["key_id"], old, "{path}");
        shop.client
            .get(&format!("{path}?key_id=other"))
            .await
            .is_error(404, "not_found");
    }
    shop.clock.advance(DAY_MS);
    assert_eq!(published(&shop).await.len(), 2);
    shop.clock.advance(2 * 60_000);
    assert_eq!(published(&shop).await, [new]);
}

#[tokio::test]
async fn a_repeat_within_the_grace_is_signed_with_the_key_of_its_time() {
    let shop = Shop::with_own_keys().await;
    let user = shop.login("user0", SAMPLE).await;
    rotate(&shop).await;
    let file = key_files(&shop).pop().unwrap();
    let name = file.file_stem().unwrap().to_str().unwrap();
    let from_ms: i64 = name.rsplit('.').next().unwrap().parse().unwrap();
    shop.clock.advance(from_ms - shop.clock.now_ms() - 3_000);
    let first = refresh(&shop.client, &user.refresh).await;
    shop.clock.advance(5_000);
    let second = refresh(&shop.client, &user.refresh).await;
    assert_eq!(first.body, second.body);
    let third = refresh(&shop.client, &second.text("refresh")).await;
    assert_ne!(
        kid_of(&third.text("refresh")),
        kid_of(&second.text("refresh"))
    );
}

#[tokio::test]
async fn a_rotation_that_can_not_be_read_changes_nothing() {
    let shop = Shop::with_own_keys().await;
    for args in [
        &["keys"][..],
        &["keys", "turn"],
        &["keys", "rotate", "--lead"],
        &["keys", "rotate", "--lead", "-1"],
        &["keys", "rotate", "--lead", "soon"],
        &["keys", "rotate", "now"],
    ] {
        let (done, text) = shop.run(args, None).await;
        assert!(!done && !text.is_empty(), "{args:?}: {text}");
    }
    assert_eq!(key_files(&shop).len(), 1);
}

// attack: tokens signed with a signing key that leaked, once its file was removed -> 401 everywhere within 5 s
#[tokio::test]
async fn a_leaked_key_is_taken_back() {
    let shop = Shop::with_own_keys().await;
    let order = Other::start(&shop.client.base).await;
    let user = shop.login("user0", SAMPLE).await;
    let new = rotate(&shop).await;
    shop.clock.advance(60_000);
    std::fs::remove_file(&shop.keys).unwrap();
    order.refuses(&user.access).await;
    until("refused here", || async {
        let client = shop.client.with_token(&user.access);
        client.get("/api/users/me/").await.status == 401
    })
    .await;
    refresh(&shop.client, &user.refresh)
        .await
        .is_error(401, "token_not_valid");
    assert_eq!(published(&shop).await, [new]);
    let again = shop.login("user0", SAMPLE).await;
    order.takes(&again.access).await;
}

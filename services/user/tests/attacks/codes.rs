//! Attacks on the second factor, and races for it.

use crate::common::{PASSWORD, Shop};
use serde_json::json;
use sqlx::Row as _;

use crate::guarded::{code_at, guarded, password_step, second_step, wrong_code};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

// attack(pending login): verify-login without, with a forged, with another's pending login; wrong code -> one 401, not sooner one than another
#[tokio::test]
async fn without_its_own_password_step_nothing_completes() {
    let shop = Shop::start().await;
    let (ann, _bob) = (guarded(&shop, "ann").await, guarded(&shop, "bob").await);
    let of_bob = password_step(&shop, "bob").await;
    let of_ann = password_step(&shop, "ann").await;
    let code = code_at(&shop, &ann.totp, 0);
    let forged = shop
        .client
        .with_header("cookie", &format!("shop_login={}", "0".repeat(32)));
    let mut answers = Vec::new();
    for (client, name, token) in [
        (&shop.client, "ann", code.as_str()),
        (&forged, "ann", &code),
        (&of_bob, "ann", &code),
        (&of_ann, "nobody", &code),
        (&of_ann, "ann", &wrong_code(&shop, &ann.totp)),
        (&of_ann, "ann", &"0".repeat(32)),
        (&of_ann, "ann", "rubbish"),
    ] {
        let begun = tokio::time::Instant::now();
        let answer = second_step(client, name, token).await;
        answer.is_error(401, "authentication_failed");
        assert!(
            begun.elapsed().as_millis() >= 100,
            "no refusal comes sooner than another"
        );
        let mut body = answer.body;
        body.as_object_mut().unwrap().remove("trace_id");
        answers.push(body);
    }
    assert!(
        answers.iter().all(|body| *body == answers[0]),
        "{answers:?}"
    );
    second_step(&of_ann, "", "")
        .await
        .is_invalid(&["username", "token"]);
    // None of that used the right code up.
    assert_eq!(second_step(&of_ann, "ANN", &code).await.status, 200);
}

// attack(pending login): verify-login with a pending login that is too old or from before a password change -> 401
#[tokio::test]
async fn a_pending_login_ends_with_its_five_minutes_and_with_the_password() {
    let shop = Shop::start().await;
    let ann = guarded(&shop, "ann").await;
    let late = password_step(&shop, "ann").await;
    shop.clock.advance(5 * 60 * 1000);
    second_step(&late, "ann", &code_at(&shop, &ann.totp, 0))
        .await
        .is_error(401, "authentication_failed");
    let stale = password_step(&shop, "ann").await;
    let change =
        json!({ "old_password": PASSWORD, "new_password": "an even longer, wilder stream" });
    assert_eq!(
        ann.customer
            .client
            .post("/api/users/me/password/", &change)
            .await
            .status,
        200
    );
    second_step(&stale, "ann", &code_at(&shop, &ann.totp, 0))
        .await
        .is_error(401, "authentication_failed");
}

// attack: one backup token 32 times at once -> one log-in, the other 31 refused
#[tokio::test]
async fn a_race_for_a_backup_token_has_one_winner() {
    let shop = Shop::start().await;
    let ann = guarded(&shop, "ann").await;
    let mut clients = Vec::new();
    for _ in 0..32 {
        clients.push(password_step(&shop, "ann").await);
    }
    let token = ann.backup_tokens[0].clone();
    let race = clients.into_iter().map(|client| {
        let token = token.clone();
        tokio::spawn(async move { second_step(&client, "ann", &token).await.status.as_u16() })
    });
    let mut statuses = Vec::new();
    for runner in race.collect::<Vec<_>>() {
        statuses.push(runner.await.unwrap());
    }
    let count = |wanted| statuses.iter().filter(|status| **status == wanted).count();
    // What is looked at counts as a guess until it turns out right: past 20 at once it waits.
    assert_eq!((count(200), statuses.len()), (1, 32), "{statuses:?}");
    assert_eq!(count(401) + count(429), 31, "{statuses:?}");
}

// attack(guess counter): restart of the log-in to reset the guess counter -> no extra guess: 20 wrong codes a day, then 429
#[tokio::test]
async fn wrong_codes_are_limited_for_the_account_and_not_for_the_log_in() {
    let shop = Shop::start().await;
    let ann = guarded(&shop, "ann").await;
    let wrong = wrong_code(&shop, &ann.totp);
    for n in 0..20 {
        // A new log-in each time: it does not set the counter back.
        let client = password_step(&shop, "ann").await;
        let answer = second_step(&client, "ann", &wrong).await;
        assert_eq!(answer.status, 401, "guess {n}: {}", answer.body);
    }
    let client = password_step(&shop, "ann").await;
    for token in [
        wrong.as_str(),
        &code_at(&shop, &ann.totp, 0),
        &ann.backup_tokens[0],
    ] {
        let answer = second_step(&client, "ann", token).await;
        answer.is_error(429, "throttled");
        assert_eq!(answer.headers["ratelimit-limit"], "20");
        assert_eq!(answer.headers["ratelimit-remaining"], "0");
        let wait: i64 = answer.headers["retry-after"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!((86_000..=86_400).contains(&wait), "{wait}");
    }
    // Nobody without the password learns of it, or can cause it.
    second_step(&shop.client, "ann", &wrong)
        .await
        .is_error(401, "authentication_failed");
    shop.clock.advance(DAY_MS);
    let client = password_step(&shop, "ann").await;
    assert_eq!(
        second_step(&client, "ann", &code_at(&shop, &ann.totp, 0))
            .await
            .status,
        200
    );
}

// attack(parallel guesses): parallel guesses past the limit -> no extra guess: of 40 at once 20 are looked at, the others get 429
#[tokio::test]
async fn guesses_at_once_get_no_extra_one_and_right_codes_count_for_nothing() {
    let shop = Shop::start().await;
    let ann = guarded(&shop, "ann").await;
    for n in 0..3 {
        shop.clock.advance(60_000);
        let client = password_step(&shop, "ann").await;
        assert_eq!(
            second_step(&client, "ann", &code_at(&shop, &ann.totp, 0))
                .await
                .status,
            200,
            "{n}"
        );
    }
    let client = password_step(&shop, "ann").await;
    let wrong = wrong_code(&shop, &ann.totp);
    let guesses = (0..40).map(|_| {
        let (client, wrong) = (client.clone(), wrong.clone());
        tokio::spawn(async move { second_step(&client, "ann", &wrong).await.status.as_u16() })
    });
    let mut statuses = Vec::new();
    for guess in guesses.collect::<Vec<_>>() {
        statuses.push(guess.await.unwrap());
    }
    let count = |wanted| statuses.iter().filter(|status| **status == wanted).count();
    assert_eq!((count(401), count(429)), (20, 20));
}

// attack(TOTP code again): one TOTP code several times at once -> one log-in
#[tokio::test]
async fn a_race_of_one_code_has_one_winner() {
    let shop = Shop::start().await;
    let ann = guarded(&shop, "ann").await;
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(password_step(&shop, "ann").await);
    }
    let code = code_at(&shop, &ann.totp, 0);
    let race = clients.into_iter().map(|client| {
        let code = code.clone();
        tokio::spawn(async move { second_step(&client, "ann", &code).await.status.as_u16() })
    });
    let mut winners = 0;
    for runner in race.collect::<Vec<_>>() {
        winners += usize::from(runner.await.unwrap() == 200);
    }
    assert_eq!(winners, 1);
}

// attack(swapped ciphertext): ciphertext of a second factor swapped between rows -> refused
#[tokio::test]
async fn secrets_are_sealed_at_rest_and_bound_to_their_row() {
    let shop = Shop::start().await;
    let (ann, bob) = (guarded(&shop, "ann").await, guarded(&shop, "bob").await);
    let db = shop.database().await;
    let rows = sqlx::query("SELECT user_id, secret FROM totp_devices ORDER BY id")
        .fetch_all(&db.read)
        .await
        .unwrap();
    let secrets: Vec<String> = rows.iter().map(|row| row.get("secret")).collect();
    for (sealed, owner) in secrets.iter().zip([&ann, &bob]) {
        assert!(sealed.starts_with("v1."), "{sealed}");
        assert!(!sealed.contains(&owner.totp.secret().to_base32()));
    }
    let hashes = sqlx::query("SELECT token_hash FROM backup_tokens")
        .fetch_all(&db.read)
        .await
        .unwrap();
    assert_eq!(hashes.len(), 20);
    for row in hashes {
        let hash: String = row.get(0);
        assert!(!ann.backup_tokens.contains(&hash) && !bob.backup_tokens.contains(&hash));
    }
    for (owner, sealed) in [(&ann, &secrets[1]), (&bob, &secrets[0])] {
        sqlx::query("UPDATE totp_devices SET secret = $1 WHERE user_id = $2")
            .bind(sealed)
            .bind(owner.customer.id)
            .execute(&db.write)
            .await
            .unwrap();
    }
    db.close().await;
    // Bob's secret in Ann's row opens nothing, neither with her code nor with his.
    let client = password_step(&shop, "ann").await;
    for totp in [&ann.totp, &bob.totp] {
        let answer = second_step(&client, "ann", &code_at(&shop, totp, 0)).await;
        answer.is_error(500, "internal_error");
    }
}

// attack(TOTP code again): TOTP code again, or an earlier step after a later one -> 401
#[tokio::test]
async fn a_code_works_once_and_never_after_a_later_one() {
    let shop = Shop::start().await;
    let ann = guarded(&shop, "ann").await;
    let (code, later) = (code_at(&shop, &ann.totp, 0), code_at(&shop, &ann.totp, 30));
    let client = password_step(&shop, "ann").await;
    assert_eq!(second_step(&client, "ann", &later).await.status, 200);
    for spent in [&later, &code] {
        let client = password_step(&shop, "ann").await;
        second_step(&client, "ann", spent)
            .await
            .is_error(401, "authentication_failed");
    }
    // The step of before is right by the clock, but older than one that worked.
    shop.clock.advance(30_000);
    let client = password_step(&shop, "ann").await;
    second_step(&client, "ann", &later)
        .await
        .is_error(401, "authentication_failed");
    let next = code_at(&shop, &ann.totp, 30);
    assert_eq!(second_step(&client, "ann", &next).await.status, 200);
}

// attack(pending login): completing another's pending login, or one's own twice -> 401
#[tokio::test]
async fn a_pending_login_is_its_owners_and_ends_with_its_use() {
    let shop = Shop::start().await;
    let (ann, bob) = (guarded(&shop, "ann").await, guarded(&shop, "bob").await);
    let of_bob = password_step(&shop, "bob").await;
    for (name, totp) in [("ann", &bob.totp), ("ann", &ann.totp), ("bob", &ann.totp)] {
        second_step(&of_bob, name, &code_at(&shop, totp, 0))
            .await
            .is_error(401, "authentication_failed");
    }
    let code = code_at(&shop, &bob.totp, 0);
    assert_eq!(second_step(&of_bob, "bob", &code).await.status, 200);
    second_step(&of_bob, "bob", &bob.backup_tokens[0])
        .await
        .is_error(401, "authentication_failed");
}

//! Sample accounts have a password that everybody knows.

use crate::common::Shop;

/// Gives accounts a password that is nobody's but their own.
async fn change_password(shop: &Shop, username: &str) {
    let db = shop.database().await;
    let sql = "UPDATE users SET password_hash = (SELECT password_hash FROM users WHERE username = 'ann') \
               WHERE username LIKE $1";
    let changed = sqlx::query(sql).bind(username).execute(&db.write).await;
    assert!(changed.unwrap().rows_affected() > 0);
}

// attack(sample accounts): production on a database that the lab has used -> does not start, names the accounts
#[tokio::test]
async fn production_does_not_start_over_sample_accounts() {
    let lab = Shop::start().await;
    lab.customer("ann").await;
    let why = lab.refused_in_production().await.expect("it started");
    for name in ["admin", "staff", "user0", "user9"] {
        assert!(why.contains(name), "{name}: {why}");
    }
    assert!(!why.contains("ann"), "{why}");
    change_password(&lab, "user%").await;
    change_password(&lab, "admin").await;
    // One that was forgotten is enough.
    let why = lab.refused_in_production().await.expect("it started");
    assert!(why.contains("(staff)"), "{why}");
    change_password(&lab, "staff").await;
    assert_eq!(lab.refused_in_production().await, None);
}

//! The stock as the metrics show it. A binary of its own, since the recorder is
//! one a process.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "it/common/mod.rs"]
mod common;

use std::time::Duration;

use common::Shop;
use serde_json::json;

/// What the line of a metric says that has this label; any line of it without.
async fn sample(shop: &Shop, name: &str, label: &str) -> Option<f64> {
    let url = format!("http://{}/metrics", shop.running.metrics.unwrap());
    let text = reqwest::get(url).await.unwrap().text().await.unwrap();
    let mut lines = text.lines().filter(|line| line.starts_with(name));
    let line = lines.find(|line| line.contains(label))?;
    line.rsplit(' ').next()?.parse().ok()
}

async fn gauge(shop: &Shop, product: &str) -> Option<f64> {
    sample(shop, "shop_stock_units{", &format!("product=\"{product}\"")).await
}

async fn until(shop: &Shop, product: &str, units: f64) {
    let wait = async {
        while gauge(shop, product).await != Some(units) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait)
        .await
        .unwrap();
}

#[tokio::test]
async fn samples_have_a_gauge_each_and_all_others_one() {
    let shop = Shop::with_samples().await;
    until(&shop, "6", 150.0).await;
    until(&shop, "19", 0.0).await;
    shop.control(
        "/lab/fixtures",
        json!({ "products": 40, "units": 100, "run": "r" }),
    )
    .await;
    shop.reserve("k", &[(6, 50), (21, 3)]).await.unwrap();
    until(&shop, "6", 100.0).await;
    until(&shop, "21", 97.0).await;
    // Ids 21 to 60: 30 of them have a gauge of their own.
    until(&shop, "other", 1000.0).await;
    assert_eq!(gauge(&shop, "51").await, None);
    rows_and_ledger(&shop).await;
}

/// Units that are in a row and in no ledger are counted, until they are mended.
async fn rows_and_ledger(shop: &Shop) {
    let mismatch = async |units: f64| {
        while sample(shop, "shop_stock_mismatch_units", "").await != Some(units) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let db = shop.db().await;
    for (change, expected) in [("+ 7", 7.0), ("- 9", 2.0), ("+ 2", 0.0)] {
        let sql = format!("UPDATE products SET available = available {change} WHERE id = 6");
        let update = sqlx::query(sqlx::AssertSqlSafe(sql));
        update.execute(&db.write).await.unwrap();
        let wait = tokio::time::timeout(Duration::from_secs(20), mismatch(expected));
        wait.await.unwrap();
    }
}

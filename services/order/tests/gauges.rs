//! `shop_sagas_open{state}`. A binary of its own, since the recorder is one a process.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[path = "it/common/mod.rs"]
mod common;

use common::{BUYER, Shop, Wish, fakes::Fault::Fail, poll, read};
use tonic::Code;

async fn until(shop: &Shop, state: &str, count: &str) {
    poll(&format!("{count} {state}"), || async {
        let text = shop.metrics().await;
        let labelled = format!("state=\"{state}\"");
        let mut lines = text
            .lines()
            .filter(|line| line.starts_with("shop_sagas_open{"));
        let line = lines.find(|line| line.contains(&labelled))?;
        line.ends_with(&format!(" {count}")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn open_sagas_are_counted_by_state_until_they_end() {
    let shop = Shop::with(Wish {
        metrics: true,
        ..Wish::default()
    })
    .await;
    for state in ["open", "placed", "committed", "undoing", "cancelling"] {
        until(&shop, state, "0").await;
    }
    shop.order(BUYER, &[(1, 1)]).await;
    shop.order(BUYER, &[(1, 1)]).await;
    shop.settled().await;
    let calls = &shop.products.calls;
    calls.plan("ReturnReservation", vec![Fail(Code::Unavailable); 40]);
    for order in [1, 2] {
        assert_eq!(read(shop.cancel(BUYER, order)).await.0, 200);
    }
    until(&shop, "cancelling", "2").await;
    let text = shop.metrics().await;
    assert!(!text.contains("state=\"done\""), "what is over is not open");
    calls.forget("ReturnReservation");
    until(&shop, "cancelling", "0").await;
    assert_eq!(shop.sagas().await, ["cancelled", "cancelled"]);
}

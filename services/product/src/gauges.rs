//! `shop_stock_units{product}`: what can be sold; `shop_stock_mismatch_units`: by how much rows and
//! ledger differ, which is 0 unless something is wrong.
//!
//! The label is bounded: the products with ids up to 50 (the sample data, and a
//! small shop's own) have one each, all others are summed up as `other`.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use crate::store::{Audit, Store, Units};

const LABELLED: i64 = 50;
const EVERY: Duration = Duration::from_secs(5);

/// Keeps the gauges current for as long as it is polled.
pub async fn run(store: Arc<dyn Store>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut shown = BTreeSet::new();
    let mut audit = Audit::default();
    loop {
        ticks.tick().await;
        match store.units(LABELLED).await {
            Ok(units) => shown = show(&units, &shown),
            Err(error) => tracing::debug!(%error, "stock was not counted"),
        }
        match store.mismatch(&mut audit).await {
            Ok(units) => metrics::gauge!("shop_stock_mismatch_units").set(units as f64),
            Err(error) => tracing::debug!(%error, "stock was not audited"),
        }
    }
}

/// Sets the gauges; those of products that have gone since are set to 0, since a
/// gauge would show its last value for ever.
fn show(units: &[Units], before: &BTreeSet<i64>) -> BTreeSet<i64> {
    let now: BTreeSet<i64> = units.iter().filter_map(|u| u.product_id).collect();
    let gone = before.difference(&now).map(|id| Units {
        product_id: Some(*id),
        available: 0,
    });
    for Units {
        product_id,
        available,
    } in units.iter().cloned().chain(gone)
    {
        let product = product_id.map_or_else(|| "other".to_owned(), |id| id.to_string());
        // A gauge is a float; units beyond 2^53 are out of reach.
        metrics::gauge!("shop_stock_units", "product" => product).set(available as f64);
    }
    now
}

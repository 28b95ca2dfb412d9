//! Keeps the customers' tokens fresh while a load goes on.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::sleep;

use crate::error::LoadError;
use crate::fixtures::Renewal;
use crate::people::{People, Population};
use crate::target::Customer;

/// So long before the first token ends, the next ones must be there; minting thousands (RSA-4096)
/// takes a while, and the user service should not do it in a hurry.
const MARGIN: Duration = Duration::from_secs(180);
/// Between two renewals, should the new tokens have ended already.
const SHORTEST: Duration = Duration::from_secs(1);
/// Between two tries.
const AGAIN: Duration = Duration::from_secs(10);

/// Renews before tokens end, for ever; returns only when they have ended and no new ones could be
/// had, with the reason.
pub(crate) async fn keep_fresh(
    people: Arc<Population>,
    renewal: Renewal,
    first_end: Option<SystemTime>,
) -> LoadError {
    let mut end = first_end;
    loop {
        let Some(ends) = end else {
            // Tokens that don't say when they end don't.
            return std::future::pending().await;
        };
        let left = until(ends);
        sleep(left.saturating_sub(margin(left)).max(SHORTEST)).await;
        end = loop {
            match renewed(&people, &renewal).await {
                Ok(next) => break next,
                Err(error) if until(ends).is_zero() => return error,
                Err(_) => sleep(AGAIN.min(until(ends))).await,
            }
        };
    }
}

/// Three minutes, of short-lived tokens a third of what is left.
fn margin(left: Duration) -> Duration {
    MARGIN.min(left / 3)
}

fn until(end: SystemTime) -> Duration {
    end.duration_since(SystemTime::now()).unwrap_or_default()
}

async fn renewed(people: &Population, renewal: &Renewal) -> Result<Option<SystemTime>, LoadError> {
    let n = people.now().visitors.len();
    let (customers, password) = renewal.fixtures.customers(n, &renewal.run).await?;
    let end = customers.iter().filter_map(Customer::token_ends).min();
    people.replace(People::new(&customers, Some(&password))?);
    Ok(end)
}

//! What faults know of a request, and how it follows the request to where the service calls its
//! cache and database.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use resilience::deadline::Deadline;

use super::draw::Of;
use crate::Ctx;

tokio::task_local! {
    /// The request that is being served.
    static CURRENT: Arc<Seen>;
}

/// One attempt, as whoever is asked sees it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// `order-product`, `product-cache`.
    pub(super) link: String,
    /// Whether the link is that of a client of this service: its cache, its database.
    pub(super) client: bool,
    pub(super) caller: Arc<str>,
    /// A gRPC method, a REST method and route template, or an operation on cache or database.
    pub(super) method: String,
    pub(super) request_id: Arc<str>,
    /// 1 for the first.
    pub(super) attempt: u32,
    pub(super) user: Option<i64>,
    /// The deadline that came with the request.
    pub(super) deadline: Deadline,
}

impl Seen {
    /// A request of `caller`.
    pub(super) fn at_server(service: &str, caller: &str, method: String, ctx: &Ctx) -> Self {
        Self {
            link: format!("{caller}-{service}"),
            client: false,
            caller: caller.into(),
            method,
            request_id: Arc::clone(&ctx.request_id),
            attempt: 1,
            user: None,
            deadline: ctx.deadline,
        }
    }

    /// An operation of the current request on the cache or database behind `link`. What no request
    /// asked for (health, gauges) has ids of its own, a new one each time.
    pub(super) fn at_client(link: &str, operation: &str) -> Self {
        let of_request = CURRENT.try_with(|seen| Self {
            link: link.to_owned(),
            client: true,
            method: operation.to_owned(),
            ..Self::clone(seen)
        });
        of_request.unwrap_or_else(|_| Self {
            link: link.to_owned(),
            client: true,
            caller: "-".into(),
            method: operation.to_owned(),
            request_id: own_id(),
            attempt: 1,
            user: None,
            deadline: Deadline::NONE,
        })
    }

    pub(super) fn of<'a>(&'a self, seed: u64, fault: &'a str) -> Of<'a> {
        Of {
            seed,
            fault,
            request_id: &self.request_id,
            link: &self.link,
            method: &self.method,
            attempt: self.attempt,
        }
    }
}

fn own_id() -> Arc<str> {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("internal-{}", NEXT.fetch_add(1, Ordering::Relaxed)).into()
}

/// Runs `work` as part of serving that request.
pub(super) async fn serving<F: Future>(seen: Arc<Seen>, work: F) -> F::Output {
    CURRENT.scope(seen, work).await
}

/// Lets faults recognise the current request in work that goes on as a task of its own: wrap what
/// is spawned. Outside of lab mode it changes nothing.
pub fn carry<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let current = CURRENT.try_with(Arc::clone).ok();
    async move {
        match current {
            Some(seen) => serving(seen, work).await,
            None => work.await,
        }
    }
}

/// Says which attempt `work` is, where a service repeats a database operation of its own accord.
/// They count on from the attempt of the request itself, so that neither kind of repeat meets the
/// fate of the first.
pub fn attempt<F: Future>(number: u32, work: F) -> impl Future<Output = F::Output> {
    let current = CURRENT.try_with(|seen| {
        Arc::new(Seen {
            attempt: seen.attempt.saturating_add(number).saturating_sub(1),
            ..Seen::clone(seen)
        })
    });
    async move {
        match current {
            Ok(seen) => serving(seen, work).await,
            Err(_) => work.await,
        }
    }
}

#[cfg(test)]
impl Seen {
    pub(super) fn server(service: &str, caller: &str, method: &str) -> Self {
        Self::at_server(service, caller, method.to_owned(), &Ctx::internal("r-1"))
    }

    pub(super) fn client(link: &str, operation: &str, user: Option<i64>) -> Self {
        Self {
            user,
            ..Self::at_client(link, operation)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_is_known_where_the_cache_is_asked_and_in_tasks_that_carry_it() {
        let seen = Arc::new(Seen {
            user: Some(7),
            ..Seen::server("product", "order", "GetProducts")
        });
        let lookup = || Seen::at_client("product-cache", "get");
        serving(seen, async move {
            assert_eq!((&*lookup().request_id, lookup().user), ("r-1", Some(7)));
            let carried = tokio::spawn(carry(async move { lookup() })).await.unwrap();
            assert_eq!((&*carried.request_id, &*carried.caller), ("r-1", "order"));
            let bare = tokio::spawn(async move { lookup() }).await.unwrap();
            assert!(bare.request_id.starts_with("internal-"));
            let third = attempt(3, async move { lookup() }).await;
            assert_eq!((&*third.request_id, third.attempt), ("r-1", 3));
        })
        .await;
        assert_ne!(lookup().request_id, lookup().request_id, "each of its own");
    }
}

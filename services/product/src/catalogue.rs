//! The catalogue as it is read: through a cache that is ten seconds fresh and,
//! while the database fails, ten minutes stale.
//!
//! A write does not throw entries away, since they are what is left to serve
//! when the database fails next; it notes when it happened, and an entry read no
//! later than that is asked for again. Noting the moment also wins the race
//! against a reader that read before the write and keeps what it read after it.
//! A change of stock is noted for the product's detail alone: lists may show
//! stock that is ten seconds old.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::SeqCst},
    },
};

use kit::{
    cache::{Cache, Cached, Served},
    time::now_ms,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::domain::{Product, Query};
use crate::store::{Store, StoreError};

/// Products whose ids are equal modulo this share their moment of change.
const SLOTS: usize = 1024;

/// A page of the list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Listing {
    /// How many products match in all.
    pub count: i64,
    /// Those of the page; none when it is out of range.
    pub products: Vec<Product>,
}

/// Something kept, and when its reading began.
#[derive(Clone, Serialize, Deserialize)]
struct Kept<T> {
    read_ms: i64,
    value: T,
}

/// Reads the catalogue through the cache.
pub struct Catalogue {
    store: Arc<dyn Store>,
    cache: Arc<dyn Cache>,
    lists: Cached,
    details: Cached,
    lists_changed: AtomicI64,
    details_changed: Vec<AtomicI64>,
}

impl Catalogue {
    /// Over a store and a cache; `service` labels the cache's metrics.
    pub fn new(store: Arc<dyn Store>, cache: Arc<dyn Cache>, service: &'static str) -> Self {
        Self {
            store,
            lists: Cached::new(Arc::clone(&cache), service, "list"),
            details: Cached::new(Arc::clone(&cache), service, "detail"),
            cache,
            lists_changed: AtomicI64::new(0),
            details_changed: (0..SLOTS).map(|_| AtomicI64::new(0)).collect(),
        }
    }

    /// A page of the list. `page` is its name in the cache; `rows` says which rows
    /// it covers, given how many there are, and nothing when it is out of range.
    ///
    /// # Errors
    /// As the store, when nothing stale is left either.
    pub async fn list<W>(
        &self,
        query: &Query,
        page: &str,
        rows: W,
    ) -> Result<Served<Listing>, StoreError>
    where
        W: Fn(i64) -> Option<(i64, i64)>,
    {
        let key = format!("product:list:{page}:{query:?}");
        let fetch = || async {
            let count = self.store.count(query).await?;
            let products = match rows(count) {
                Some((offset, limit)) if count > 0 => self.store.list(query, offset, limit).await?,
                _ => Vec::new(),
            };
            Ok(Listing { count, products })
        };
        read_through(&self.lists, &key, &self.lists_changed, fetch).await
    }

    /// One product.
    ///
    /// # Errors
    /// As the store, when nothing stale is left either.
    pub async fn detail(&self, id: i64) -> Result<Served<Option<Product>>, StoreError> {
        let key = format!("product:detail:{id}");
        read_through(&self.details, &key, self.changed_at(id), || {
            self.store.find(id)
        })
        .await
    }

    /// An admin changed, made or deleted a product.
    pub fn product_changed(&self, id: i64) {
        self.stock_changed(id);
        self.lists_changed.fetch_max(now_ms(), SeqCst);
    }

    /// A product's stock changed.
    pub fn stock_changed(&self, id: i64) {
        self.changed_at(id).fetch_max(now_ms(), SeqCst);
    }

    /// Forgets everything.
    pub async fn clear(&self) {
        if let Err(error) = self.cache.clear().await {
            tracing::warn!(%error, "the cache did not forget");
        }
    }

    fn changed_at(&self, id: i64) -> &AtomicI64 {
        let slot = usize::try_from(id.rem_euclid(SLOTS as i64)).unwrap_or(0);
        &self.details_changed[slot]
    }
}

async fn read_through<T, F, W>(
    cached: &Cached,
    key: &str,
    changed: &AtomicI64,
    fetch: F,
) -> Result<Served<T>, StoreError>
where
    T: Clone + Serialize + DeserializeOwned,
    F: Fn() -> W,
    W: Future<Output = Result<T, StoreError>>,
{
    let fetch = || async {
        let read_ms = now_ms();
        Ok::<_, StoreError>(Kept {
            read_ms,
            value: fetch().await?,
        })
    };
    let served = cached.get_or(key, fetch).await?;
    let current = served.age.is_none() || served.value.read_ms > changed.load(SeqCst);
    if current || served.stale {
        return Ok(served.map(|kept| kept.value));
    }
    let Ok(kept) = fetch().await else {
        return Ok(Served {
            stale: true,
            ..served
        }
        .map(|kept| kept.value));
    };
    cached.invalidate(key).await;
    let keep = || async { Ok::<_, StoreError>(kept.clone()) };
    cached.get_or(key, keep).await?;
    Ok(Served {
        value: kept.value,
        age: None,
        stale: false,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize};

    use kit::cache::MemoryCache;

    use super::*;

    struct Source {
        cached: Cached,
        changed: AtomicI64,
        reads: AtomicUsize,
        down: AtomicBool,
    }

    impl Source {
        fn new() -> Self {
            Self {
                cached: Cached::new(Arc::new(MemoryCache::new(1 << 20)), "product", "test"),
                changed: AtomicI64::new(0),
                reads: AtomicUsize::new(0),
                down: AtomicBool::new(false),
            }
        }

        async fn read(&self) -> Result<Served<usize>, StoreError> {
            let fetch = || async {
                if self.down.load(SeqCst) {
                    return Err(sqlx::Error::PoolTimedOut.into());
                }
                Ok(self.reads.fetch_add(1, SeqCst) + 1)
            };
            read_through(&self.cached, "k", &self.changed, fetch).await
        }

        fn change(&self) {
            self.changed.fetch_max(now_ms(), SeqCst);
        }
    }

    #[tokio::test]
    async fn what_was_read_before_a_change_is_read_again() {
        let source = Source::new();
        assert_eq!(source.read().await.unwrap().value, 1);
        source.change();
        let served = source.read().await.unwrap();
        assert_eq!((served.value, served.stale), (2, false));
    }

    #[tokio::test]
    async fn a_change_leaves_something_to_serve_when_the_source_fails() {
        let source = Source::new();
        source.read().await.unwrap();
        source.change();
        source.down.store(true, SeqCst);
        let served = source.read().await.unwrap();
        assert_eq!((served.value, served.stale), (1, true));
        assert!(served.age.is_some());
    }

    #[tokio::test]
    async fn without_a_change_the_source_is_left_alone() {
        let source = Source::new();
        source.changed.store(now_ms() - 1, SeqCst);
        source.read().await.unwrap();
        assert_eq!(source.read().await.unwrap().value, 1);
    }

    #[tokio::test]
    async fn a_failure_without_anything_kept_is_passed_on() {
        let source = Source::new();
        source.down.store(true, SeqCst);
        assert!(source.read().await.is_err());
    }
}

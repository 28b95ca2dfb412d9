//! A response cache that outlives the failure of its source: fresh for a short
//! while, stale for a long one.

use std::{future::Future, sync::Arc, time::Duration};

use ::http::{HeaderName, HeaderValue, header};
use async_trait::async_trait;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use moka::future::Cache as Moka;
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::{Instant, timeout};

use crate::telemetry::names;

/// For this long an entry is served without asking its source.
pub const FRESH: Duration = Duration::from_secs(10);
/// For this long it is served while the source fails.
pub const STALE: Duration = Duration::from_secs(600);

/// A cache that takes longer is worth less than its source: the request goes on without it.
const PATIENCE: Duration = Duration::from_millis(250);

/// Marks an answer that is not what the source would say now.
pub const DEGRADED: HeaderName = HeaderName::from_static("x-degraded");

/// Something kept.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What was kept.
    pub bytes: Bytes,
    /// For how long it has been.
    pub age: Duration,
}

/// The cache did not answer.
#[derive(Debug, thiserror::Error)]
#[error("cache: {0}")]
pub struct CacheError(pub String);

/// A key-value store with a time to live; in memory here, Redis behind the same
/// trait where one is configured.
#[async_trait]
pub trait Cache: Send + Sync {
    /// What is kept under a key.
    async fn get(&self, key: &str) -> Result<Option<Entry>, CacheError>;
    /// Keeps bytes for at most `ttl`.
    async fn set(&self, key: &str, bytes: Bytes, ttl: Duration) -> Result<(), CacheError>;
    /// Forgets one key.
    async fn del(&self, key: &str) -> Result<(), CacheError>;
    /// Forgets everything.
    async fn clear(&self) -> Result<(), CacheError>;
}

/// [`Cache`] in this process' memory, bounded in bytes.
#[derive(Clone, Debug)]
pub struct MemoryCache {
    entries: Moka<String, Kept>,
}

#[derive(Clone, Debug)]
struct Kept {
    bytes: Bytes,
    at: Instant,
    ttl: Duration,
}

impl MemoryCache {
    /// Holds at most that many bytes; entries go after [`STALE`] at the latest.
    pub fn new(max_bytes: u64) -> Self {
        let weigh = |key: &String, kept: &Kept| {
            u32::try_from(key.len() + kept.bytes.len() + 64).unwrap_or(u32::MAX)
        };
        Self {
            entries: Moka::builder()
                .max_capacity(max_bytes)
                .weigher(weigh)
                .time_to_live(STALE)
                .build(),
        }
    }
}

#[async_trait]
impl Cache for MemoryCache {
    async fn get(&self, key: &str) -> Result<Option<Entry>, CacheError> {
        let kept = self.entries.get(key).await;
        Ok(kept
            .filter(|kept| kept.at.elapsed() < kept.ttl)
            .map(|kept| Entry {
                age: kept.at.elapsed(),
                bytes: kept.bytes,
            }))
    }

    async fn set(&self, key: &str, bytes: Bytes, ttl: Duration) -> Result<(), CacheError> {
        self.entries
            .insert(
                key.to_owned(),
                Kept {
                    bytes,
                    at: Instant::now(),
                    ttl,
                },
            )
            .await;
        Ok(())
    }

    async fn del(&self, key: &str) -> Result<(), CacheError> {
        self.entries.invalidate(key).await;
        Ok(())
    }

    async fn clear(&self) -> Result<(), CacheError> {
        self.entries.invalidate_all();
        Ok(())
    }
}

/// An answer, and whether it came from the cache.
#[derive(Clone, Debug)]
pub struct Served<T> {
    /// The answer.
    pub value: T,
    /// How old it is, when it was kept.
    pub age: Option<Duration>,
    /// Whether the source failed and an old answer stands in.
    pub stale: bool,
}

impl<T> Served<T> {
    /// The value changed, the rest as it was.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Served<U> {
        Served {
            value: change(self.value),
            age: self.age,
            stale: self.stale,
        }
    }
}

impl<T: IntoResponse> IntoResponse for Served<T> {
    fn into_response(self) -> Response {
        let mut response = self.value.into_response();
        if self.stale {
            response
                .headers_mut()
                .insert(DEGRADED, HeaderValue::from_static("stale"));
        }
        if let (true, Some(age)) = (self.stale, self.age) {
            response
                .headers_mut()
                .insert(header::AGE, HeaderValue::from(age.as_secs()));
        }
        response
    }
}

/// Reads through a [`Cache`]: fresh entries at once, else the source, else what
/// is left of older days.
#[derive(Clone)]
pub struct Cached {
    cache: Arc<dyn Cache>,
    service: &'static str,
    operation: &'static str,
}

impl Cached {
    /// `service` and `operation` label the metrics.
    pub fn new(cache: Arc<dyn Cache>, service: &'static str, operation: &'static str) -> Self {
        Self {
            cache,
            service,
            operation,
        }
    }

    /// What is kept under `key`, or what `fetch` says. An error of the source is
    /// passed on when nothing is kept; an answer that is an error of the caller's
    /// making should be part of `T`, not of `E`.
    ///
    /// # Errors
    /// What `fetch` said, when nothing was kept.
    pub async fn get_or<T, E, F>(
        &self,
        key: &str,
        fetch: impl FnOnce() -> F,
    ) -> Result<Served<T>, E>
    where
        T: Serialize + DeserializeOwned,
        F: Future<Output = Result<T, E>>,
    {
        let looked_up = self.kept::<T>(key).await;
        let answers = looked_up.is_ok();
        let kept = match looked_up.ok().flatten() {
            Some((value, age)) if age < FRESH => {
                self.count(names::CACHE_HITS);
                return Ok(Served {
                    value,
                    age: Some(age),
                    stale: false,
                });
            }
            other => other,
        };
        self.count(names::CACHE_MISSES);
        match (fetch().await, kept) {
            (Ok(value), _) => {
                // One that has just failed to answer would only hold this request up again.
                if answers {
                    self.keep(key, &value).await;
                }
                Ok(Served {
                    value,
                    age: None,
                    stale: false,
                })
            }
            (Err(_), Some((value, age))) => Ok(Served {
                value,
                age: Some(age),
                stale: true,
            }),
            (Err(error), None) => Err(error),
        }
    }

    /// Forgets a key, after a write of one's own.
    pub async fn invalidate(&self, key: &str) {
        if let Err(error) = in_time(self.cache.del(key)).await {
            tracing::debug!(%error, "the cache did not forget");
        }
    }

    /// What is kept and for how long it has been; an error when the cache does not say.
    async fn kept<T: DeserializeOwned>(
        &self,
        key: &str,
    ) -> Result<Option<(T, Duration)>, CacheError> {
        let begun = Instant::now();
        let entry = in_time(self.cache.get(key)).await;
        metrics::histogram!(names::CACHE_DURATION, "service" => self.service, "operation" => self.operation)
            .record(begun.elapsed().as_secs_f64());
        let entry =
            entry.inspect_err(|error| tracing::debug!(%error, "the cache did not answer"))?;
        Ok(entry.and_then(|e| {
            serde_json::from_slice(&e.bytes)
                .ok()
                .map(|value| (value, e.age))
        }))
    }

    async fn keep<T: Serialize>(&self, key: &str, value: &T) {
        let Ok(bytes) = serde_json::to_vec(value) else {
            return;
        };
        if let Err(error) = in_time(self.cache.set(key, bytes.into(), STALE)).await {
            tracing::debug!(%error, "the cache did not keep");
        }
    }

    fn count(&self, name: &'static str) {
        metrics::counter!(name, "service" => self.service, "operation" => self.operation)
            .increment(1);
    }
}

async fn in_time<T>(
    operation: impl Future<Output = Result<T, CacheError>>,
) -> Result<T, CacheError> {
    let late = |_| CacheError(format!("no answer within {} ms", PATIENCE.as_millis()));
    timeout(PATIENCE, operation).await.map_err(late)?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cached() -> Cached {
        Cached::new(Arc::new(MemoryCache::new(1 << 20)), "test", "list")
    }

    #[tokio::test(start_paused = true)]
    async fn fresh_is_served_without_asking_and_stale_only_while_the_source_fails() {
        let cached = cached();
        let ok = |n: u32| move || async move { Ok::<u32, &str>(n) };
        let down = || async { Err::<u32, &str>("down") };
        assert_eq!(cached.get_or("k", ok(1)).await.unwrap().value, 1);
        assert_eq!(cached.get_or("k", ok(2)).await.unwrap().value, 1, "fresh");
        tokio::time::advance(Duration::from_secs(11)).await;
        let served = cached.get_or("k", down).await.unwrap();
        assert!(served.stale && served.value == 1);
        assert_eq!(served.age.unwrap().as_secs(), 11);
        let served = cached.get_or("k", ok(3)).await.unwrap();
        assert!(!served.stale && served.value == 3);
        tokio::time::advance(STALE).await;
        assert_eq!(cached.get_or("k", down).await.unwrap_err(), "down");
    }

    /// Fails or hangs, and counts how often it is asked.
    struct Dead {
        hangs: bool,
        asked: std::sync::atomic::AtomicUsize,
    }

    impl Dead {
        async fn answer<T>(&self) -> Result<T, CacheError> {
            self.asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            if self.hangs {
                std::future::pending().await
            } else {
                Err(CacheError("connection refused".to_owned()))
            }
        }
    }

    #[async_trait]
    impl Cache for Dead {
        async fn get(&self, _: &str) -> Result<Option<Entry>, CacheError> {
            self.answer().await
        }
        async fn set(&self, _: &str, _: Bytes, _: Duration) -> Result<(), CacheError> {
            self.answer().await
        }
        async fn del(&self, _: &str) -> Result<(), CacheError> {
            self.answer().await
        }
        async fn clear(&self) -> Result<(), CacheError> {
            self.answer().await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_cache_fails_no_request_and_is_asked_once_for_each() {
        for hangs in [false, true] {
            let cache = Arc::new(Dead {
                hangs,
                asked: std::sync::atomic::AtomicUsize::new(0),
            });
            let cached = Cached::new(cache.clone(), "test", "list");
            let begun = Instant::now();
            let served = cached.get_or("k", || async { Ok::<u32, ()>(7) }).await;
            assert_eq!(served.unwrap().value, 7);
            let waited = if hangs { PATIENCE } else { Duration::ZERO };
            // The timer rounds up to its tick.
            assert!(begun.elapsed() <= waited + Duration::from_millis(1));
            assert_eq!(
                cache.asked.load(std::sync::atomic::Ordering::SeqCst),
                1,
                "not kept"
            );
            cached.invalidate("k").await;
        }
    }

    #[tokio::test]
    async fn a_write_of_ones_own_is_seen() {
        let cached = cached();
        let ok = |n: u32| move || async move { Ok::<u32, ()>(n) };
        assert_eq!(cached.get_or("k", ok(1)).await.unwrap().value, 1);
        cached.invalidate("k").await;
        assert_eq!(cached.get_or("k", ok(2)).await.unwrap().value, 2);
    }
}

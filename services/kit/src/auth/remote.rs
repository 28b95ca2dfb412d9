use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use tokio::{sync::Notify, time::Instant};

use super::{
    KeySet,
    feed::{Cursor, FEED_PATH, FeedPage},
};
use crate::{http::PRIORITY, replicas};

/// Between tries while the user service does not answer.
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_MOST: Duration = Duration::from_secs(5);
/// However many unknown key ids arrive, keys are fetched at most this often.
const REFETCH_EVERY: Duration = Duration::from_secs(30);
/// The feed names other keys than are known: it comes from the user service itself, so that this is
/// no stranger's doing, and keys are fetched sooner.
const ANNOUNCED_EVERY: Duration = Duration::from_secs(1);
/// Between two looks at the feed, and how long one may take. What has ended is refused everywhere
/// within 5 s, one replica that hangs included.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_secs(2);
/// Looks in a row that fail before it is worth a line in the log.
const WORTH_A_LINE: u32 = 3;

/// Fetches the key set, at start and when an unknown key id was seen, and follows the feed of
/// revocations.
#[derive(Debug)]
pub(super) struct Fetcher {
    /// Of each replica.
    bases: Vec<String>,
    /// The replica that answered last.
    last: AtomicUsize,
    wanted: Wanted,
}

/// Why keys are fetched again, and how soon.
#[derive(Debug, Default)]
struct Wanted {
    unknown: Notify,
    announced: Notify,
}

impl Wanted {
    /// Returns when keys fetched at that time are to be fetched again.
    async fn again(&self, fetched: Instant) {
        let unknown = async {
            self.unknown.notified().await;
            tokio::time::sleep_until(fetched + REFETCH_EVERY).await;
        };
        let announced = async {
            self.announced.notified().await;
            tokio::time::sleep_until(fetched + ANNOUNCED_EVERY).await;
        };
        tokio::select! {
            () = unknown => {}
            () = announced => {}
        }
    }
}

/// Why the user service gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    /// On the wire, or a refusal.
    #[error("{0}")]
    Http(#[from] reqwest::Error),
    /// What it said.
    #[error(transparent)]
    Keys(#[from] super::KeyError),
    /// A key set without a key would lock everybody out.
    #[error("the key set is empty")]
    NoKeys,
    /// There is nobody to ask.
    #[error("no address of the user service is configured")]
    Nobody,
}

impl Fetcher {
    pub(super) fn new(bases: &str) -> Self {
        Self {
            bases: replicas::addresses(bases),
            last: AtomicUsize::new(0),
            wanted: Wanted::default(),
        }
    }

    /// An unknown key id was seen in a token.
    pub(super) fn unknown_key(&self) {
        self.wanted.unknown.notify_one();
    }

    /// Keeps the keys current.
    pub(super) async fn follow_keys(&self, mut put: impl FnMut(KeySet)) {
        let client = client(Duration::from_secs(5));
        loop {
            put(self.fetch_until_it_works(&client).await);
            self.wanted.again(Instant::now()).await;
        }
    }

    async fn fetch_until_it_works(&self, client: &reqwest::Client) -> KeySet {
        let mut wait = RETRY_FIRST;
        loop {
            match self.ask(|base| keys(client, base)).await {
                Ok(keys) => {
                    tracing::info!(keys = ?keys, "verification keys fetched");
                    return keys;
                }
                Err(error) => tracing::debug!(%error, wait_ms = wait.as_millis(), "no keys yet"),
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(RETRY_MOST);
        }
    }

    /// Hands on every page of the feed; `known` tells the ids of the keys at hand. While nobody
    /// answers nothing changes: what is known stays known.
    pub(super) async fn follow_feed(
        &self,
        secret: &SecretString,
        known: impl Fn() -> BTreeSet<String>,
        mut take: impl FnMut(FeedPage),
    ) {
        let client = client(LOOK);
        let mut cursor = Cursor::default();
        let mut failures = 0_u32;
        loop {
            match self.ask(|base| page(&client, base, secret, &cursor)).await {
                Ok(page) => {
                    if failures >= WORTH_A_LINE {
                        tracing::info!("the feed of revocations answers again");
                    }
                    failures = 0;
                    cursor = page.next.clone();
                    if page.keys.iter().cloned().collect::<BTreeSet<_>>() != known() {
                        self.wanted.announced.notify_one();
                    }
                    let more = page.more;
                    take(page);
                    if more {
                        continue;
                    }
                }
                Err(error) => {
                    failures = failures.saturating_add(1);
                    if failures == WORTH_A_LINE {
                        tracing::warn!(%error, "the feed of revocations does not answer: tokens are checked by what is known");
                    }
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Asks the replica that answered last, then the others; the first answer counts.
    async fn ask<'a, T, F>(&'a self, ask: impl Fn(&'a str) -> F) -> Result<T, FetchError>
    where
        F: Future<Output = Result<T, FetchError>>,
    {
        let first = self.last.load(Ordering::Relaxed);
        let mut outcome = Err(FetchError::Nobody);
        for n in 0..self.bases.len() {
            let at = (first + n) % self.bases.len();
            outcome = ask(&self.bases[at]).await;
            if outcome.is_ok() {
                self.last.store(at, Ordering::Relaxed);
                break;
            }
        }
        outcome
    }
}

fn client(timeout: Duration) -> reqwest::Client {
    reqwest::Client::builder()
        .timeout(timeout)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap_or_default()
}

async fn keys(client: &reqwest::Client, base: &str) -> Result<KeySet, FetchError> {
    let response = client
        .get(format!("{base}/.well-known/jwks.json"))
        .send()
        .await?;
    let body = response.error_for_status()?.bytes().await?;
    let keys = KeySet::from_jwks(&body)?;
    if keys.is_empty() {
        Err(FetchError::NoKeys)
    } else {
        Ok(keys)
    }
}

async fn page(
    client: &reqwest::Client,
    base: &str,
    secret: &SecretString,
    cursor: &Cursor,
) -> Result<FeedPage, FetchError> {
    let Cursor {
        family_ms,
        sid,
        user_ms,
        user_id,
    } = cursor;
    let url = format!(
        "{base}{FEED_PATH}?family_ms={family_ms}&sid={sid}&user_ms={user_ms}&user_id={user_id}"
    );
    let request = client
        .get(url)
        .bearer_auth(secret.expose_secret())
        .header(PRIORITY, "critical-plus");
    read(request.send().await?).await
}

async fn read<T: DeserializeOwned>(response: reqwest::Response) -> Result<T, FetchError> {
    Ok(response.error_for_status()?.json().await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    // attack(key refetch): unknown key ids by the thousand -> keys are fetched at most once in 30 s
    #[tokio::test(start_paused = true)]
    async fn strangers_cause_one_fetch_in_thirty_seconds() {
        let wanted = Wanted::default();
        let begun = Instant::now();
        let mut fetched = begun;
        for n in 1..=5 {
            (0..1000).for_each(|_| wanted.unknown.notify_one());
            wanted.again(fetched).await;
            fetched = Instant::now();
            assert_eq!(fetched - begun, n * REFETCH_EVERY);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_user_service_announces_is_fetched_at_once() {
        let wanted = Wanted::default();
        let fetched = Instant::now();
        tokio::time::advance(Duration::from_secs(5)).await;
        // A stranger's unknown key id does not hold it up.
        wanted.unknown.notify_one();
        wanted.announced.notify_one();
        wanted.again(fetched).await;
        assert_eq!(fetched.elapsed(), Duration::from_secs(5));
    }

    #[tokio::test]
    async fn the_replica_that_answered_is_asked_first() {
        let fetcher = Fetcher::new("http://a, http://b,http://c/");
        let asked = parking_lot::Mutex::new(Vec::new());
        let ask = |up: &'static str| {
            let asked = &asked;
            fetcher.ask(move |base| {
                asked.lock().push(base.to_owned());
                std::future::ready(match base.ends_with(up) {
                    true => Ok(base.to_owned()),
                    false => Err(FetchError::NoKeys),
                })
            })
        };
        assert_eq!(ask("b").await.unwrap(), "http://b");
        assert_eq!(ask("b").await.unwrap(), "http://b");
        assert_eq!(ask("a").await.unwrap(), "http://a");
        assert!(ask("d").await.is_err());
        let asked = asked.lock().join(" ").replace("http://", "");
        assert_eq!(asked, "a b b b c a a b c");
        assert!(
            Fetcher::new("")
                .ask(|_| std::future::ready(Ok(())))
                .await
                .is_err()
        );
    }
}

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{Count, Counted, Key, Quotas, Shared, Subject, WINDOW};

/// Subjects that are remembered at once, in each of two windows: about 10 MB.
const SUBJECTS: usize = 50_000;
/// Looked at for the one that is forgotten when there are more.
const SAMPLE: usize = 8;
/// Replicas hear of a subject that has used this share of its limit (one in so many).
const BUSY: u32 = 10;
/// How often they do.
const EXCHANGE_EVERY: Duration = Duration::from_secs(1);

/// Counts requests against [`Quotas`]. Its memory is bounded: with more subjects than it can
/// remember it forgets one that sent little.
#[derive(Debug)]
pub struct Limiter {
    quotas: Quotas,
    /// The clock's zero, in ms since the epoch: windows are the same in all replicas.
    epoch_ms: u64,
    began: Instant,
    windows: Mutex<Windows>,
}

#[derive(Debug, Default)]
struct Windows {
    /// Number of the present one since the epoch.
    number: u64,
    present: HashMap<Key, Used>,
    previous: HashMap<Key, Used>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Used {
    /// By this process.
    here: u32,
    /// By the others, as far as they have told.
    elsewhere: u32,
    /// Of `here`, what they were told.
    told: u32,
}

impl Used {
    fn all(self) -> u32 {
        self.here.saturating_add(self.elsewhere)
    }
}

impl Limiter {
    /// With nothing counted yet.
    pub fn new(quotas: Quotas) -> Self {
        let now = crate::time::now_ms();
        Self {
            quotas,
            epoch_ms: u64::try_from(now).unwrap_or(0),
            began: Instant::now(),
            windows: Mutex::default(),
        }
    }

    /// Counts one more request; none where there is no limit.
    pub fn take(&self, key: Key) -> Option<Count> {
        let limit = self.quotas.of(key.class)?;
        let (number, elapsed) = self.now();
        let mut windows = self.windows.lock();
        windows.turn_to(number);
        let faded = windows.faded(key, elapsed);
        let used = windows.entry(key);
        let before = used.all().saturating_add(faded);
        let allowed = before < limit;
        if allowed {
            used.here += 1;
        }
        let remaining = limit.saturating_sub(before + u32::from(allowed));
        let reset = WINDOW - elapsed;
        Some(Count {
            allowed,
            limit,
            remaining,
            reset,
            retry_after: next_place(limit, used.all(), faded, elapsed),
        })
    }

    /// Begins anew.
    pub fn forget(&self) {
        *self.windows.lock() = Windows::default();
    }

    /// The number of the present window, and how much of it is over.
    fn now(&self) -> (u64, Duration) {
        let since = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let now = self.epoch_ms.saturating_add(since);
        let window = u64::try_from(WINDOW.as_millis()).unwrap_or(u64::MAX);
        (now / window, Duration::from_millis(now % window))
    }

    /// Tells the other replicas what busy subjects sent here, and hears what they sent there;
    /// until it is dropped. While the store does not answer, each replica counts alone.
    pub async fn follow(&self, shared: Arc<dyn Shared>) {
        let mut every = tokio::time::interval(EXCHANGE_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut failing = false;
        loop {
            every.tick().await;
            match self.exchange(&*shared).await {
                Ok(()) => failing = false,
                Err(error) if !failing => {
                    failing = true;
                    tracing::warn!(%error, "rate limits are counted by each replica alone");
                }
                Err(_) => {}
            }
        }
    }

    async fn exchange(&self, shared: &dyn Shared) -> Result<(), super::SharedError> {
        let (number, told) = self.to_tell();
        if told.is_empty() {
            return Ok(());
        }
        let totals = shared.exchange(number, &told).await?;
        let mut windows = self.windows.lock();
        if windows.number != number {
            return Ok(());
        }
        for (counted, total) in told.iter().zip(totals) {
            if let Some(used) = windows.present.get_mut(&counted.key) {
                used.told += counted.more;
                used.elsewhere = total.saturating_sub(used.told);
            }
        }
        Ok(())
    }

    fn to_tell(&self) -> (u64, Vec<Counted>) {
        let (number, _) = self.now();
        let mut windows = self.windows.lock();
        windows.turn_to(number);
        let busy = windows.present.iter().filter_map(|(key, used)| {
            let limit = self.quotas.of(key.class)?;
            let is_busy = used.here > limit / BUSY || used.told > 0;
            is_busy.then_some(Counted {
                key: *key,
                more: used.here - used.told,
            })
        });
        (number, busy.collect())
    }
}

/// When the sliding count will have fallen below the limit.
fn next_place(limit: u32, present: u32, faded: u32, elapsed: Duration) -> Duration {
    let left = WINDOW.saturating_sub(elapsed);
    if present >= limit || faded == 0 {
        // Not in this window; in the next one, once this one has faded by one request.
        return left + WINDOW / limit.max(1);
    }
    // It fades evenly over what is left of the window.
    let too_many = (present + faded + 1).saturating_sub(limit);
    left.mul_f64((f64::from(too_many) / f64::from(faded)).min(1.0))
}

impl Windows {
    fn turn_to(&mut self, number: u64) {
        if number == self.number {
            return;
        }
        let is_next = number == self.number + 1;
        let over = std::mem::take(&mut self.present);
        self.previous = if is_next { over } else { HashMap::new() };
        self.number = number;
    }

    /// What still counts of the previous window.
    fn faded(&self, key: Key, elapsed: Duration) -> u32 {
        let Some(used) = self.previous.get(&key) else {
            return 0;
        };
        let window = WINDOW.as_millis();
        let left = window.saturating_sub(elapsed.as_millis());
        u32::try_from(u128::from(used.all()) * left / window).unwrap_or(u32::MAX)
    }

    fn entry(&mut self, key: Key) -> &mut Used {
        if self.present.len() >= SUBJECTS && !self.present.contains_key(&key) {
            self.forget_one();
        }
        self.present.entry(key).or_default()
    }

    /// Of a few, the one that sent least; accounts stay before addresses, which cost nothing.
    fn forget_one(&mut self) {
        let sample = self.present.iter().take(SAMPLE);
        let least = sample
            .min_by_key(|(key, used)| (used.all(), matches!(key.subject, Subject::Account(_))));
        if let Some(key) = least.map(|(key, _)| *key) {
            self.present.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::limits::{Class, SharedError};
    use std::net::IpAddr;
    use tokio::time::advance;

    fn key(n: u32) -> Key {
        Key {
            class: Class::Login,
            subject: Subject::Address(IpAddr::from(n.to_be_bytes())),
        }
    }

    /// At the begin of a window.
    async fn limiter(login: u32) -> Limiter {
        let limiter = Limiter::new(Quotas::per_minute([0, 0, 0, login]));
        let (_, elapsed) = limiter.now();
        advance(WINDOW - elapsed).await;
        limiter
    }

    fn allowed(limiter: &Limiter, key: Key, tries: u32) -> usize {
        let tries = (0..tries).filter(|_| limiter.take(key).is_some_and(|c| c.allowed));
        tries.count()
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_the_limit_and_each_on_his_own() {
        let limiter = limiter(5).await;
        assert_eq!(allowed(&limiter, key(1), 9), 5);
        assert_eq!(allowed(&limiter, key(2), 5), 5);
        let refused = limiter.take(key(1)).unwrap();
        assert_eq!((refused.limit, refused.remaining), (5, 0));
        assert_eq!(refused.reset, WINDOW);
        let free = Key {
            class: Class::User,
            ..key(1)
        };
        assert_eq!(limiter.take(free), None, "0 is no limit");
    }

    #[tokio::test(start_paused = true)]
    async fn a_window_fades_instead_of_ending() {
        let limiter = limiter(10).await;
        assert_eq!(allowed(&limiter, key(1), 10), 10);
        advance(WINDOW).await;
        assert_eq!(allowed(&limiter, key(1), 9), 0, "all ten still count");
        advance(WINDOW / 2).await;
        assert_eq!(allowed(&limiter, key(1), 9), 5);
        advance(2 * WINDOW).await;
        assert_eq!(allowed(&limiter, key(1), 20), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_comes_back_when_told_to_has_a_place() {
        let limiter = limiter(10).await;
        for step in [0, 7, 13, 29] {
            advance(Duration::from_secs(step)).await;
            while let Some(Count { allowed: true, .. }) = limiter.take(key(1)) {}
            let told = limiter.take(key(1)).unwrap().retry_after;
            advance(told + Duration::from_secs(1)).await;
            assert!(limiter.take(key(1)).unwrap().allowed, "{step} {told:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded_and_the_busy_are_not_forgotten() {
        let limiter = limiter(5).await;
        assert_eq!(allowed(&limiter, key(0), 9), 5);
        for n in 1..=60_000 {
            limiter.take(key(n));
        }
        assert!(limiter.windows.lock().present.len() <= SUBJECTS);
        assert_eq!(allowed(&limiter, key(0), 9), 0);
    }

    /// One row a key, as a database has it.
    #[derive(Default)]
    struct Table(Mutex<HashMap<(u64, Key), u32>>);

    #[async_trait::async_trait]
    impl Shared for Table {
        async fn exchange(&self, window: u64, told: &[Counted]) -> Result<Vec<u32>, SharedError> {
            let mut rows = self.0.lock();
            let add = |counted: &Counted| {
                let row = rows.entry((window, counted.key)).or_default();
                *row += counted.more;
                *row
            };
            Ok(told.iter().map(add).collect())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn replicas_share_their_counts() {
        let table = Table::default();
        let (one, two) = (limiter(100).await, limiter(100).await);
        // Of a minute that both are in.
        advance(2 * WINDOW).await;
        assert_eq!(allowed(&one, key(1), 60), 60);
        assert_eq!(allowed(&two, key(1), 20), 20);
        for replica in [&one, &two, &one] {
            replica.exchange(&table).await.unwrap();
        }
        assert_eq!(allowed(&one, key(1), 100), 20);
        one.exchange(&table).await.unwrap();
        two.exchange(&table).await.unwrap();
        assert_eq!(allowed(&two, key(1), 100), 0);
        allowed(&one, key(2), 5);
        one.exchange(&table).await.unwrap();
        assert_eq!(table.0.lock().len(), 1, "the quiet are nobody's business");
    }
}

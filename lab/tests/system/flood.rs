//! Log-ins by the thousand, while others browse.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use loadtest::customer_address;
use reqwest::Method;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::crowd::{Shop, expect};
use crate::harness::{Lab, night};

/// How much more than can be done is asked for.
const TIMES: f64 = 10.0;
/// Requests a second of those who browse.
const BROWSING: u64 = 60;
/// No log-in takes longer, however it ends.
const LONGEST: Duration = Duration::from_secs(10);
/// Below it, what the machine does besides is all that is measured.
const FLOOR: Duration = Duration::from_millis(20);

/// How a measurement is made.
struct Form {
    /// Pairs of windows, one without and one with the flood.
    pairs: usize,
    window: Duration,
    floor: Duration,
}

impl Form {
    fn of_today() -> Self {
        if night() {
            let window = Duration::from_secs(10);
            let floor = Duration::ZERO;
            return Self {
                pairs: 9,
                window,
                floor,
            };
        }
        let window = Duration::from_secs(5);
        Self {
            pairs: 5,
            window,
            floor: FLOOR,
        }
    }
}

/// What log-ins were answered: how often each status, and how long the slowest took.
#[derive(Debug, Default)]
struct Answers {
    statuses: BTreeMap<u16, usize>,
    wrong: Vec<String>,
    longest: Duration,
}

impl Answers {
    fn add(&mut self, answer: Result<(u16, bool), String>, took: Duration) {
        self.longest = self.longest.max(took);
        match answer {
            Ok((status, retry_after)) => {
                *self.statuses.entry(status).or_default() += 1;
                let fine =
                    matches!(status, 200 | 401) || (matches!(status, 429 | 503) && retry_after);
                if !fine && self.wrong.len() < 10 {
                    self.wrong
                        .push(format!("{status}, Retry-After: {retry_after}"));
                }
            }
            Err(error) => self.wrong.push(error),
        }
    }

    fn all(&self) -> usize {
        self.statuses.values().sum()
    }

    fn checked(&self) -> usize {
        [200, 401].iter().filter_map(|s| self.statuses.get(s)).sum()
    }

    fn join(&mut self, other: Self) {
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        self.wrong.extend(other.wrong);
        self.longest = self.longest.max(other.longest);
    }
}

/// The n-th log-in of a botnet: addresses and names differ, so that neither limits nor the slow-down
/// of accounts stands before the hashes. Every eighth is an owner's.
async fn log_in(shop: &Shop, n: usize) -> (Result<(u16, bool), String>, Duration) {
    let customers = &shop.catalogue.customers;
    let body = if n.is_multiple_of(8) {
        let owner = &customers[n / 8 % customers.len()].username;
        json!({ "username": owner, "password": shop.catalogue.password })
    } else {
        json!({ "username": format!("nobody{n}"), "password": "a wrong password" })
    };
    let address = customer_address(10_000 + n).to_string();
    let begun = Instant::now();
    let request = shop.from(Method::POST, "/api/token/", &address).json(&body);
    let answer = request.send().await;
    let answer = answer.map_err(|error| format!("{error:?}")).map(|answer| {
        let retry_after = answer.headers().get("retry-after");
        let retry_after = retry_after.and_then(|value| value.to_str().ok()?.parse::<u32>().ok());
        (answer.status().as_u16(), retry_after.is_some_and(|s| s > 0))
    });
    (answer, begun.elapsed())
}

/// Log-ins a second that the shop can do.
async fn capacity(shop: &Arc<Shop>, numbers: &Arc<AtomicUsize>) -> f64 {
    let begun = Instant::now();
    let mut askers = JoinSet::new();
    for _ in 0..4 {
        let (shop, numbers) = (Arc::clone(shop), Arc::clone(numbers));
        askers.spawn(async move {
            let mut done = 0_u32;
            while begun.elapsed() < Duration::from_secs(3) {
                let (answer, _) = log_in(&shop, numbers.fetch_add(1, Ordering::Relaxed)).await;
                assert!(matches!(answer, Ok((200 | 401, _))), "{answer:?}");
                done += 1;
            }
            done
        });
    }
    let done: u32 = askers.join_all().await.into_iter().sum();
    f64::from(done) / begun.elapsed().as_secs_f64()
}

/// Log-ins at that rate, whatever is answered, for that time.
async fn flood(shop: &Arc<Shop>, numbers: &Arc<AtomicUsize>, rate: f64, time: Duration) -> Answers {
    let begun = Instant::now();
    // Several at a tick: a timer has no finer grain than a millisecond.
    let mut ticks = interval(Duration::from_millis(10));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut under_way = JoinSet::new();
    let mut sent = 0_u32;
    let mut answers = Answers::default();
    while begun.elapsed() < time {
        ticks.tick().await;
        while f64::from(sent) < rate * begun.elapsed().as_secs_f64() {
            let (shop, n) = (Arc::clone(shop), numbers.fetch_add(1, Ordering::Relaxed));
            under_way.spawn(async move { log_in(&shop, n).await });
            sent += 1;
        }
        while let Some(done) = under_way.try_join_next() {
            let (answer, took) = done.unwrap();
            answers.add(answer, took);
        }
    }
    while let Some(done) = under_way.join_next().await {
        let (answer, took) = done.unwrap();
        answers.add(answer, took);
    }
    answers
}

/// The p99 of browsing over that time: requests leave at their times, and count from then.
async fn browse(shop: &Arc<Shop>, time: Duration) -> Duration {
    let begun = Instant::now();
    let mut ticks = interval(Duration::from_micros(1_000_000 / BROWSING));
    let mut under_way = JoinSet::new();
    let mut n = 0;
    while begun.elapsed() < time {
        let due = ticks.tick().await;
        let shop = Arc::clone(shop);
        n += 1;
        under_way.spawn(async move {
            let path = match n % 3 {
                0 => "/api/products/?page_size=10".to_owned(),
                _ => format!("/api/products/{}/", shop.catalogue.products[n % 20].id),
            };
            let request = shop.request(Method::GET, &path, n % 64);
            expect(request, 200).await.map(|_| due.elapsed())
        });
    }
    let mut times: Vec<Duration> = under_way
        .join_all()
        .await
        .into_iter()
        .map(|took| took.expect("browsing is served"))
        .collect();
    times.sort_unstable();
    times[times.len() * 99 / 100]
}

fn median<T: Copy + PartialOrd>(mut values: Vec<T>) -> T {
    values.sort_by(|a, b| a.partial_cmp(b).unwrap());
    values[values.len() / 2]
}

// attack(browsing in a login flood): login flood at ten times capacity -> 200, 401, or 429 and 503 with Retry-After; none hangs; browsing's p99 at most doubles
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_flood_at_ten_times_capacity_leaves_browsing_as_it_was() {
    let form = Form::of_today();
    let mut lab = Lab::new();
    lab.up().await;
    let shop = Arc::new(Shop::open(&lab).await);
    let numbers = Arc::new(AtomicUsize::new(0));
    browse(&shop, Duration::from_secs(2)).await;
    let capacity = capacity(&shop, &numbers).await;
    let rate = TIMES * capacity;
    let mut answers = Answers::default();
    let (mut steadies, mut among, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..form.pairs {
        let steady = browse(&shop, form.window).await;
        let (flooded, answered) = tokio::join!(
            browse(&shop, form.window),
            flood(&shop, &numbers, rate, form.window)
        );
        answers.join(answered);
        let base = steady.max(form.floor / 2);
        ratios.push(flooded.as_secs_f64() / base.as_secs_f64());
        println!("p99 {steady:?} steady, {flooded:?} in the flood");
        steadies.push(steady);
        among.push(flooded);
    }
    let ratio = median(ratios);
    println!(
        "capacity {capacity:.0}/s, flood {rate:.0}/s: p99 {:?} steady, {:?} in it, ratio {ratio:.2} \
         (medians of {} pairs); {answers:?}",
        median(steadies),
        median(among),
        form.pairs
    );
    assert!(answers.wrong.is_empty(), "{answers:?}");
    assert!(answers.longest < LONGEST, "{answers:?}");
    assert!(answers.checked() > 0, "log-ins go on: {answers:?}");
    let sent = form.window.as_secs_f64() * rate * form.pairs as f64;
    assert!(answers.all() as f64 > 0.8 * sent, "of {sent}: {answers:?}");
    assert!(
        answers.checked() < answers.all() / 2,
        "it was a flood: {answers:?}"
    );
    assert!(ratio <= 2.0, "p99 in the flood is {ratio:.2} times as much");
}

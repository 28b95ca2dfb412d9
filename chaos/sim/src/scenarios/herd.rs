//! `herd`: everybody lost the same server, and everybody comes back.
//!
//! All clients lose the server at one moment and try to reach it again until they have an answer.
//! Each makes one call through a slot with a retry policy (first wait 100 ms, doubled up to 10 s);
//! while the server is down attempts are refused. Counted is who arrives when. Without jitter the
//! clients keep their step: after the outage they all come at once, after a pause in which the
//! server was up and nobody asked. With full jitter they come spread over the cap.
//!
//! The server answers everybody, so that the figures are the herd's own; what such a peak does to a
//! real server is another question (`metastable`).
//!
//! Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015; "Site
//! Reliability Engineering", chapter 22, on synchronised retries.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use resilience::backoff::Jitter;
use resilience::observe::Fanout;
use resilience::retry::RetryConfig;
use resilience::{Call, Deadline, FailureKind, Policy, Slot, SlotName};
use tokio::task::JoinSet;

use crate::error::{SimError, within};
use crate::kernel::{Clock, Seed, SimRng, scale, world};
use crate::model::{ModelError, Network};
use crate::report::chart::{Axis, Chart, Lines, Panel, Series, Style};
use crate::report::{Outcome, Rows, Value};
use crate::run::Run;

/// What it is called.
pub const NAME: &str = "herd";

/// What it shows.
pub const SHOWS: &str = "clients that come back after an outage: the peak with and without jitter";

/// Arrivals are counted by this,
const BIN: Duration = Duration::from_millis(10);

/// and told by so many bins together: 100 ms.
const WINDOW: usize = 10;

const BASE: Duration = Duration::from_millis(100);
const CAP: Duration = Duration::from_secs(10);

const KINDS: [(&str, Jitter); 5] = [
    ("none", Jitter::None),
    ("proportional", Jitter::Proportional(0.2)),
    ("equal", Jitter::Equal),
    ("decorrelated", Jitter::Decorrelated),
    ("full", Jitter::Full),
];

/// Parameters.
#[derive(Clone, Debug)]
pub struct Params {
    /// How many lost the server (`--clients`), 10 to 200 000.
    pub clients: u32,
    /// How long it is down (`--outage`), 1 s to 10 minutes.
    pub outage: Duration,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            clients: 10_000,
            outage: Duration::from_secs(30),
        }
    }
}

/// Runs it.
///
/// # Errors
/// [`SimError::Parameter`] for a parameter out of its range.
pub fn run(params: &Params, run: &Run) -> Result<Outcome, SimError> {
    within("--clients", params.clients, 10..=200_000)?;
    within("--outage", params.outage.as_secs_f64(), 1.0..=600.0)?;
    let root = run.root(NAME);
    let results = run.repeat(KINDS.len(), 1, |kind, _| {
        let (name, jitter) = KINDS[kind];
        come_back(params, jitter, root.role(name))
    });
    let logs: Vec<Log> = results.into_iter().flatten().collect();
    Ok(Outcome {
        name: NAME,
        title: "Herd: everybody comes back after an outage".to_owned(),
        seed: run.seed,
        parameters: vec![
            ("seed", run.seed.to_string()),
            ("clients", params.clients.to_string()),
            (
                "outage",
                humantime::format_duration(params.outage).to_string(),
            ),
            ("first wait", "100 ms".to_owned()),
            ("cap", "10 s".to_owned()),
            ("each way of the network", "normal(10, 2) ms".to_owned()),
        ],
        rows: rows(params, &logs),
        tables: Vec::new(),
        notes: vec![
            "peak: the most arrivals within 100 ms after the server is up again, and when that \
             was; all back: when the last client had its answer, both counted from then."
                .to_owned(),
        ],
        chart: chart(&logs),
    })
}

/// What the server saw, and when the last client had its answer.
#[derive(Clone, Debug)]
struct Log {
    /// Attempts while it was down.
    refused: u64,
    /// Arrivals after that, by [`BIN`].
    bins: Vec<u64>,
    /// From the recovery to the last answer.
    all_back: Duration,
}

impl Log {
    /// The fullest 100 ms, wherever they begin: their first bin, and how many came.
    fn peak(&self) -> (usize, u64) {
        let last = self.bins.len().saturating_sub(WINDOW);
        let windows = (0..=last).map(|first| (first, self.arrivals(first)));
        windows
            .rev()
            .max_by_key(|(_, count)| *count)
            .unwrap_or((0, 0))
    }

    /// Arrivals within the 100 ms that begin with a bin.
    fn arrivals(&self, first: usize) -> u64 {
        self.bins.iter().skip(first).take(WINDOW).sum()
    }
}

/// The server's end: down until the recovery, then it answers everybody.
#[derive(Debug)]
struct Door {
    opens: Duration,
    log: Mutex<Log>,
}

impl Door {
    fn knock(&self, now: Duration) -> Result<(), ModelError> {
        let mut log = self.log.lock();
        let Some(since) = now.checked_sub(self.opens) else {
            log.refused += 1;
            return Err(ModelError(FailureKind::NotProcessed));
        };
        let bin = (since.as_micros() / BIN.as_micros()) as usize;
        if log.bins.len() <= bin {
            log.bins.resize(bin + 1, 0);
        }
        log.bins[bin] += 1;
        Ok(())
    }
}

fn come_back(params: &Params, jitter: Jitter, seed: Seed) -> Log {
    world(|clock| async move {
        let door = Arc::new(Door {
            opens: params.outage,
            log: Mutex::new(Log {
                refused: 0,
                bins: Vec::new(),
                all_back: Duration::ZERO,
            }),
        });
        let slot = Slot::new(
            SlotName::new("client-server", "client", "server"),
            policy(jitter),
            Arc::new(Fanout::default()),
            seed.role("waits").value(),
        );
        let mut clients = JoinSet::new();
        for client in 0..params.clients {
            let ways = seed.role("network").nth(client.into()).rng();
            clients.spawn(reconnect(slot.clone(), door.clone(), clock, ways));
        }
        while clients.join_next().await.is_some() {}
        let mut log = door.log.lock().clone();
        log.all_back = clock.now().saturating_sub(params.outage);
        log
    })
}

/// Retries until it works, waiting as told.
fn policy(jitter: Jitter) -> Policy {
    let mut policy = resilience::preset::none();
    policy.deadline = None;
    policy.retry = Some(RetryConfig {
        max_attempts: u32::MAX,
        base: BASE,
        multiplier: 2.0,
        cap: CAP,
        jitter,
        obey_pushback: true,
    });
    scale::policy(policy)
}

async fn reconnect(slot: Slot, door: Arc<Door>, clock: Clock, ways: SimRng) {
    let network = Network::contention();
    let ways = Mutex::new(ways);
    let call = Call {
        method: "Connect",
        request_id: "",
        idempotent: true,
        deadline: Deadline::NONE,
    };
    let answer = slot.call(call, |_| async {
        let (there, back) = {
            let mut ways = ways.lock();
            (network.way(&mut *ways), network.way(&mut *ways))
        };
        clock.sleep(there).await;
        let answer = door.knock(clock.now());
        clock.sleep(back).await;
        answer
    });
    // It retries until it is answered, so there is no other end.
    let _ = answer.await;
}

fn rows(params: &Params, logs: &[Log]) -> Rows {
    let mut rows = Rows::new([
        "clients",
        "jitter",
        "attempts_while_down",
        "peak_per_100ms",
        "peak_share",
        "peak_after_s",
        "all_back_after_s",
    ]);
    for ((name, _), log) in KINDS.iter().zip(logs) {
        let (bin, peak) = log.peak();
        rows.push([
            Value::Count(params.clients.into()),
            Value::name(*name),
            Value::Count(log.refused),
            Value::Count(peak),
            Value::Real(peak as f64 / f64::from(params.clients), 4),
            Value::Real(seconds(bin), 2),
            Value::Real(log.all_back.as_secs_f64(), 2),
        ]);
    }
    rows
}

/// Where a bin begins.
fn seconds(bin: usize) -> f64 {
    bin as f64 * BIN.as_secs_f64()
}

fn chart(logs: &[Log]) -> Chart {
    let series = KINDS.iter().zip(logs).map(|((name, _), log)| Series {
        name: (*name).to_owned(),
        style: Style::Line,
        points: outline(log),
    });
    Chart {
        title: "Arrivals after an outage, by kind of jitter".to_owned(),
        panels: vec![Panel::Lines(Lines {
            title: "The server is up again at 0".to_owned(),
            x: Axis::linear("time since the server is up again (s)"),
            y: Axis::log("arrivals per 100 ms"),
            series: series.collect(),
        })],
    }
}

/// Arrivals per 100 ms as steps; none at all is drawn at the foot of the axis.
fn outline(log: &Log) -> Vec<(f64, f64)> {
    let steps = (0..log.bins.len()).step_by(WINDOW).flat_map(|bin| {
        let height = (log.arrivals(bin) as f64).max(0.5);
        [(seconds(bin), height), (seconds(bin + WINDOW), height)]
    });
    let end = log.bins.len().next_multiple_of(WINDOW);
    steps.chain([(seconds(end), 0.5)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARAMS: Params = Params {
        clients: 2_000,
        outage: Duration::from_secs(30),
    };

    fn log(jitter: Jitter) -> Log {
        come_back(&PARAMS, jitter, Seed::new(5))
    }

    /// Waits of 0.1, 0.2, … 6.4, 10, 10 s and nineteen ways of 10 ms put everybody's tenth attempt
    /// at 32.89 s, deviation 2·√19 ms; the nine before were in vain.
    #[test]
    fn without_jitter_everybody_comes_at_once_and_late() {
        let log = log(Jitter::None);
        let (bin, peak) = log.peak();
        assert_eq!(log.refused, 9 * 2_000);
        assert!(peak > 1_980, "{peak}");
        assert!((2.8..2.9).contains(&seconds(bin)), "{}", seconds(bin));
    }

    /// Long into an outage a client's waits are U(0, cap), one after the other: the time until its
    /// next attempt has density 2(1 − x/cap)/cap (renewal theory), at most 2 % per 100 ms at first.
    /// 2 000 clients make 40 in the first 100 ms, deviation 6.3; the fullest such window of
    /// all is less than six deviations above.
    #[test]
    fn with_full_jitter_they_come_spread_over_the_cap() {
        let log = log(Jitter::Full);
        let (bin, peak) = log.peak();
        assert!((40..78).contains(&peak), "{peak}");
        assert!(seconds(bin) < 3.0, "{}", seconds(bin));
        assert_eq!(log.bins.iter().sum::<u64>(), 2_000);
        assert!(log.all_back < CAP + Duration::from_millis(100));
    }

    #[test]
    fn out_of_range_names_the_flag() {
        let params = Params {
            clients: 9,
            ..Params::default()
        };
        let error = run(&params, &Run::new(1)).unwrap_err().to_string();
        assert_eq!(error, "--clients 9 is not in 10 to 200000");
    }
}

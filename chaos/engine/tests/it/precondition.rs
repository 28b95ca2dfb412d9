//! Preconditions in whole runs against the fake shop, in real time: a request that
//! fails before the fault makes its trial void, and the trial is run again.
#![allow(
    clippy::unwrap_used,
    reason = "a test stops where something is not as it should be"
)]

use crate::fake;

use chaos_engine::{Options, Progress, RunResult, Scenario, Update, Verdict, VoidTrial, run};
use fake::{Stumble, Wrong};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// Two seconds of warm-up are 80 orders, and the second before the fault is the 40
/// after them: the hundredth order of a trial is `before`, however slow the machine.
const STUMBLE: u32 = 100;

const SCENARIO: &str = r#"
schema_version = 1
name = "fake-outage"
shows = "preconditions"
hypothesis = "what fails before the fault fails no policy"
repeats = 1
[load]
warm_up = "2s"
duration = "3s"
[[load.stream]]
mix = "order"
rate = 40
arrivals = "constant"
[[timeline]]
name = "outage"
at = "1s"
for = "1s"
link = "order-product"
action = "down"
[arms.none]
order-product = "none"
[arms.fast]
order-product = { preset = "fast", breaker = { reset = "500ms" } }
[[check]]
id = "healthy"
that = "unsuccessful(*) == 0 before outage"
because = "nothing is wrong yet"
precondition = true
[[check]]
id = "opens"
that = "opened_after_failures(fast) == 5"
because = "five in a row"
[[check]]
id = "spares"
that = "attempts(fast) < attempts(none) during outage"
because = "most calls are refused"
"#;

/// Remembers the news of trials.
#[derive(Default)]
struct News(Mutex<Vec<Update>>);

impl Progress for News {
    fn on(&self, update: &Update) {
        if matches!(
            update,
            Update::Trial { .. } | Update::Void { .. } | Update::Counted
        ) {
            self.0.lock().push(update.clone());
        }
    }
}

struct Ran {
    result: RunResult,
    json: Value,
    news: Vec<Update>,
}

async fn ran(in_trials: u32) -> Ran {
    let dir = tempfile::tempdir().unwrap();
    let wrong = Wrong {
        stumbles: Some(Stumble {
            in_trials,
            at_order: STUMBLE,
        }),
        ..Wrong::default()
    };
    let (_shop, target) = fake::start(wrong).await;
    let scenario = Scenario::parse(SCENARIO, "fake.toml").unwrap_or_else(|e| panic!("{e}"));
    let options = Options {
        seed: Some(11),
        out: dir.path().to_owned(),
        ..Options::default()
    };
    let news = News::default();
    let result = run(
        &scenario,
        &target,
        &options,
        &news,
        CancellationToken::new(),
    )
    .await;
    let result = result.unwrap_or_else(|e| panic!("{e}"));
    let written = std::fs::read_to_string(dir.path().join("result.json")).unwrap();
    let again = RunResult::from_dir(dir.path()).unwrap();
    assert_eq!(again.to_json().unwrap(), written.trim_end());
    Ran {
        json: serde_json::from_str(&written).unwrap(),
        news: news.0.into_inner(),
        result,
    }
}

const WHY: &str = "precondition healthy: unsuccessful 1, expected 0";

fn trial(arm: &str, done: u32, go: u32) -> Update {
    Update::Trial {
        arm: arm.to_owned(),
        repeat: 1,
        done,
        of: 2,
        go,
    }
}

fn void(again: bool) -> Update {
    let why = WHY.to_owned();
    Update::Void { why, again }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trial_that_stumbles_before_the_fault_is_run_again_and_counts_then() {
    let r = ran(1).await;
    assert_eq!(r.result.verdict, Verdict::Pass, "{}", r.result.table());
    let want = json!([{"arm": "none", "repeat": 1, "try": 1, "reason": WHY}]);
    assert_eq!(r.json["void_trials"], want);
    let table = r.result.table();
    let line = format!("1 trial was void and was run again: none, repeat 1: {WHY}");
    assert!(table.contains(&line), "{table}");
    // The same load again, and the trial's place among the others is unmoved.
    let trials = &r.result.run.trials;
    let starts: Vec<_> = trials
        .iter()
        .map(|t| (t.start.arm.as_str(), t.start.go))
        .collect();
    assert_eq!(starts, [("none", 1), ("none", 2), ("fast", 1)]);
    assert!(trials.iter().all(|t| t.start.seed == trials[0].start.seed));
    let news = [
        trial("none", 0, 1),
        void(true),
        trial("none", 0, 2),
        Update::Counted,
        trial("fast", 1, 1),
        Update::Counted,
    ];
    assert_eq!(r.news, news);
    assert_eq!(r.result.arms[0].repeats[0].phases["before"].failed, 0);
    assert_eq!(r.result.arms[0].repeats[0].void, [WHY]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trial_that_stumbles_every_time_makes_the_run_inconclusive() {
    let r = ran(u32::MAX).await;
    assert_eq!(r.result.exit_code(), 2, "{}", r.result.table());
    assert_eq!(
        r.result.reasons[0],
        format!("none: 0 of 1 repeats count; {WHY}")
    );
    let tries: Vec<u32> = r
        .result
        .void_trials
        .iter()
        .map(|v: &VoidTrial| v.number)
        .collect();
    assert_eq!(tries, [1, 2, 3]);
    assert_eq!(r.json["checks"][0]["verdict"], "inconclusive");
    assert_eq!(
        r.news.last(),
        Some(&void(false)),
        "nothing is run after the last try"
    );
}

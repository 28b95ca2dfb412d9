use std::collections::BTreeMap;

use super::*;
use crate::checks::{Metric, percentile_needs};
use crate::figures::Figures;
use crate::result::RunResult;
use crate::synthetic::{self, Model};

fn written(model: &Model) -> (RunResult, tempfile::TempDir) {
    let made = synthetic::make(model);
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(&dir.path().join(FILE)).unwrap();
    for (trial, counted) in &made.rows {
        writer.write(trial, counted).unwrap();
    }
    writer.finish().unwrap();
    (RunResult::from_entries(&made.entries).unwrap(), dir)
}

fn rows(dir: &Path) -> Vec<Row> {
    read(&dir.join(FILE)).unwrap().map(|r| r.unwrap()).collect()
}

/// A percentile, as the figures have it: between two order statistics.
fn percentile(us: &[i64], q: f64, metric: Metric) -> Option<f64> {
    if (us.len() as u64) < percentile_needs(metric)? {
        return None;
    }
    let rank = (us.len() as f64 + 1.0 / 3.0) * q + 1.0 / 3.0;
    let order = |r: f64| us[(r as usize).clamp(1, us.len()) - 1] as f64 / 1e3;
    let (low, high) = (order(rank.floor()), order(rank.floor() + 1.0));
    Some(low + rank.fract() * (high - low))
}

fn recomputed(rows: &[&Row]) -> Figures {
    let count = |o: Outcome| rows.iter().filter(|r| r.outcome == o).count() as u64;
    let mut us: Vec<i64> = rows.iter().map(|r| r.ended_us - r.scheduled_us).collect();
    us.sort_unstable();
    let n = rows.len() as u64;
    let (ok, degraded) = (count(Outcome::Ok), count(Outcome::Degraded));
    let told = |r: &&&Row| r.retry_after && !r.outcome.is_success();
    Figures {
        requests: n,
        ok,
        degraded,
        rejected: count(Outcome::Rejected),
        failed: count(Outcome::Failed),
        success_rate: (n > 0).then(|| (ok + degraded) as f64 / n as f64),
        p50_ms: percentile(&us, 0.5, Metric::P50),
        p90_ms: percentile(&us, 0.9, Metric::P90),
        p99_ms: percentile(&us, 0.99, Metric::P99),
        p999_ms: percentile(&us, 0.999, Metric::P999),
        max_ms: us.last().map(|us| *us as f64 / 1e3),
        retry_after: rows.iter().filter(told).count() as u64,
        ..Figures::default()
    }
}

/// Everything of `result.json` that is about requests alone follows from the rows.
fn same(figures: &Figures, again: &Figures, what: &str) {
    let counts = |f: &Figures| {
        let outcomes = [f.requests, f.ok, f.degraded, f.rejected, f.failed];
        (outcomes, f.success_rate, f.retry_after)
    };
    assert_eq!(counts(figures), counts(again), "{what}");
    let times = |f: &Figures| [f.p50_ms, f.p90_ms, f.p99_ms, f.p999_ms, f.max_ms];
    for (a, b) in times(figures).into_iter().zip(times(again)) {
        // The histogram has three digits.
        let near = match (a, b) {
            (Some(a), Some(b)) => (a - b).abs() <= b * 0.001 + 0.001,
            (a, b) => a == b,
        };
        assert!(near, "{what}: {a:?} and {b:?}");
    }
}

#[test]
fn the_figures_of_the_result_follow_from_the_rows() {
    let model = Model {
        refusal_ms: 80,
        stumbles: 1,
        ..Model::default()
    };
    let (result, dir) = written(&model);
    let rows = rows(dir.path());
    let counted: Vec<u32> = result
        .run
        .trials
        .iter()
        .filter(|t| t.void.is_none())
        .map(|t| t.start.trial)
        .collect();
    assert!(counted.len() < result.run.trials.len(), "a try was void");
    let mut checked = 0;
    for arm in &result.arms {
        for repeat in &arm.repeats {
            let mut by_phase: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
            let of = |r: &&Row| {
                counted.contains(&r.trial) && r.arm == arm.name && r.repeat == repeat.repeat
            };
            for row in rows.iter().filter(of) {
                by_phase.entry(row.phase.as_str()).or_default().push(row);
            }
            let all: Vec<&Row> = by_phase.values().flatten().copied().collect();
            let what = format!("{} {}", arm.name, repeat.repeat);
            same(&repeat.total.figures, &recomputed(&all), &what);
            for (phase, figures) in &repeat.phases {
                let of_phase = by_phase.get(phase.as_str()).cloned().unwrap_or_default();
                same(figures, &recomputed(&of_phase), &format!("{what} {phase}"));
                checked += figures.requests;
            }
        }
    }
    assert!(checked > 15_000, "{checked}");
    // The totals have percentiles that stand on enough requests, so some were compared.
    assert!(result.arms[2].repeats[0].total.figures.p99_ms.is_some());
}

#[test]
fn a_row_says_what_became_of_a_request() {
    let (_, dir) = written(&Model {
        refusal_ms: 3,
        ..Model::default()
    });
    let rows = rows(dir.path());
    let refused = rows.iter().find(|r| r.refused).unwrap();
    assert_eq!((refused.arm.as_str(), refused.op), ("fast", Op::Order));
    assert_eq!((refused.status, refused.outcome), (503, Outcome::Rejected));
    assert_eq!(refused.faults().collect::<Vec<_>>(), ["outage"]);
    assert_eq!((refused.phase, refused.retry_after), (Phase::During, true));
    assert_eq!(refused.priority.as_deref(), Some("critical"));
    assert_eq!(
        (refused.stream.as_str(), refused.error.as_deref()),
        ("0", None)
    );
    assert_eq!(refused.ended_us - refused.scheduled_us, 3_000);
    let before = rows.iter().find(|r| r.phase == Phase::Before).unwrap();
    assert_eq!(before.faults().count(), 0);
}

#[test]
fn names_and_errors_survive_whatever_is_in_them() {
    let made = synthetic::make(&Model {
        quick: true,
        repeats: 1,
        ..Model::default()
    });
    let (trial, mut counted) = made.rows[0].clone();
    counted.record.error = Some("broken: \"a, b\"\nand more".to_owned());
    counted.faults = vec!["one".to_owned(), "two".to_owned()];
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(&dir.path().join(FILE)).unwrap();
    writer.write(&trial, &counted).unwrap();
    writer.finish().unwrap();
    let read = rows(dir.path());
    assert_eq!(read, [Row::new(&trial, &counted)]);
    assert_eq!(read[0].faults().collect::<Vec<_>>(), ["one", "two"]);
}

#[test]
fn a_file_that_is_none_is_an_error_and_not_an_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    std::fs::write(&path, b"trial,arm\n0,fast\n").unwrap();
    assert!(read(&path).is_err());
    // One that was cut off.
    let (_, whole) = written(&Model {
        quick: true,
        repeats: 1,
        ..Model::default()
    });
    let bytes = std::fs::read(whole.path().join(FILE)).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 100]).unwrap();
    assert!(read(&path).unwrap().any(|row| row.is_err()));
    assert!(read(&dir.path().join("missing")).is_err());
}

//! The checker against the model shop: no alarm without a bug, and every bug found.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::io::Write;
use std::sync::Arc;

use integrity::model::{Defect, Run, run_seed};
use integrity::{Report, Verdict};
use parking_lot::Mutex;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn logged(seed: u64) -> (Vec<u8>, Report) {
    let log = Log::default();
    let report = run_seed(Run::new(seed, None), Some(Box::new(log.clone())));
    let bytes = log.0.lock().clone();
    (bytes, report)
}

#[test]
fn a_thousand_seeds_of_the_healthy_model_raise_no_alarm() {
    for seed in 0..1_000 {
        let report = run_seed(Run::new(seed, None), None);
        assert_eq!(report.verdict, Verdict::Held, "{}", report.table());
        assert!(
            report.counts.faults >= 3,
            "seed {seed}: {:?}",
            report.counts
        );
        assert!(report.counts.info > 0 && report.counts.repeated > 0);
    }
}

#[test]
fn each_defect_is_found_within_five_seeds() {
    for defect in Defect::ALL {
        let found = (0..5).find_map(|seed| {
            let report = run_seed(Run::new(seed, Some(defect)), None);
            let hit = report
                .stories
                .iter()
                .any(|s| defect.breaks().contains(&s.violation.rule));
            (hit && report.verdict == Verdict::Broken).then_some(report)
        });
        let report = found.unwrap_or_else(|| panic!("{} was not found", defect.name()));
        assert!(report.table().contains("tell it"), "{}", report.table());
    }
}

#[test]
fn a_seed_repeats_a_run_to_the_byte() {
    let (first, report) = logged(11);
    let (second, _) = logged(11);
    assert!(report.counts.operations > 500);
    assert_eq!(first, second);
    assert_ne!(first, logged(12).0);
}

#[test]
fn a_log_that_was_written_is_judged_alike_when_read_back() {
    let (bytes, report) = logged(5);
    let (records, tail) = integrity::history::read(bytes.as_slice()).unwrap();
    assert_eq!(tail, integrity::history::Tail::Whole);
    let limits = integrity::Limits {
        reset: std::time::Duration::ZERO,
        ..integrity::Limits::default()
    };
    let again = Report::of(records, &limits, Vec::new());
    assert_eq!(again.json(), report.json());
}

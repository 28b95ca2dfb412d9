use super::*;
use crate::synthetic::{self, Model};

fn run(model: &Model) -> RunResult {
    RunResult::from_entries(&synthetic::run(model)).unwrap()
}

/// A run whose every repeat is changed.
fn changed(
    base: &RunResult,
    change: impl Fn(usize, &mut crate::result::RepeatResult),
) -> RunResult {
    let mut new = base.clone();
    for arm in &mut new.arms {
        for (i, repeat) in arm.repeats.iter_mut().enumerate() {
            change(i, repeat);
        }
    }
    new
}

fn row<'a>(c: &'a Comparison, arm: &str, figure: &str) -> &'a Row {
    let arm = c.arms.iter().find(|a| a.name == arm).unwrap();
    arm.rows.iter().find(|r| r.figure == figure).unwrap()
}

#[test]
fn a_run_is_as_good_as_itself() {
    let base = run(&Model::default());
    let c = compare(&base, &base).unwrap();
    assert!(c.paired && !c.regressed(), "{:?}", c.regressions);
    let all = c.arms.iter().flat_map(|a| &a.rows);
    assert!(all.clone().count() > 100);
    assert!(
        all.clone().all(|r| r.change == Change::Same),
        "{:?}",
        all.last()
    );
    assert!(
        c.table().starts_with("NO REGRESSION  product-outage"),
        "{}",
        c.table()
    );
    assert!(c.table().contains("all 11 checks came out as before"));
}

#[test]
fn a_figure_that_surely_got_worse_is_a_regression() {
    let base = run(&Model::default());
    let new = changed(&base, |i, r| {
        let slower = 40.0 + i as f64 * 0.001;
        r.total.figures.p50_ms = r.total.figures.p50_ms.map(|x| x + slower);
    });
    let c = compare(&base, &new).unwrap();
    assert_eq!(row(&c, "fast", "p50_ms").change, Change::Worse);
    assert!(
        c.regressions
            .iter()
            .any(|r| r.starts_with("fast: p50_ms went from"))
    );
    assert!(c.table().contains("WORSE") && c.table().starts_with("3 REGRESSIONS"));
    // The other way round it got better, and that is none.
    let c = compare(&new, &base).unwrap();
    assert_eq!(row(&c, "fast", "p50_ms").change, Change::Better);
    assert!(!c.regressed());
}

#[test]
fn what_may_be_chance_is_not_named() {
    let base = run(&Model::default());
    let noisy = changed(&base, |i, r| {
        let noise = [30.0, -25.0, 2.0][i];
        r.total.figures.p50_ms = r.total.figures.p50_ms.map(|x| x + noise);
    });
    let c = compare(&base, &noisy).unwrap();
    assert_eq!(row(&c, "none", "p50_ms").change, Change::Unknown);
    assert!(!c.regressed());
    // A difference that is certain and that nobody would notice.
    let slight = changed(&base, |_, r| {
        r.total.figures.p50_ms = r.total.figures.p50_ms.map(|x| x + 0.5);
    });
    let c = compare(&base, &slight).unwrap();
    assert_eq!(row(&c, "none", "p50_ms").change, Change::Same);
}

#[test]
fn of_single_repeats_nothing_can_be_said_but_facts_and_checks() {
    let quick = Model {
        quick: true,
        repeats: 1,
        ..Model::default()
    };
    let base = run(&quick);
    let new = changed(&base, |_, r| {
        r.total.figures.p50_ms = Some(9e9);
        r.total.lost_orders = Some(1);
    });
    let mut new = new;
    new.checks[0].verdict = Verdict::Fail;
    new.checks[1].verdict = Verdict::Inconclusive;
    let c = compare(&base, &new).unwrap();
    assert_eq!(row(&c, "fast", "p50_ms").change, Change::Unknown);
    let worse = &c.regressions;
    assert_eq!(worse.len(), 4, "{worse:?}");
    assert_eq!(worse[0], "the check healthy-before passed and fails");
    assert_eq!(worse[1], "none: lost_orders went from 0 to 1");
    assert!(
        c.table()
            .contains("check healthy-after: PASS, now INCONCLUSIVE")
    );
    assert!(c.to_json().unwrap().contains("\"change\": \"unknown\""));
}

#[test]
fn seeds_of_their_own_are_not_paired() {
    let base = run(&Model::default());
    let new = changed(&base, |_, r| r.seed += 100);
    let c = compare(&base, &new).unwrap();
    assert!(!c.paired && c.table().contains("Welch"));
}

#[test]
fn runs_that_have_nothing_in_common_are_refused() {
    let base = run(&Model::default());
    let mut other = base.clone();
    other.scenario = "steady".to_owned();
    assert!(
        compare(&base, &other)
            .unwrap_err()
            .contains("different scenarios")
    );
    let mut other = base.clone();
    other.arms.clear();
    assert!(compare(&base, &other).unwrap_err().contains("no arm"));
}

#[test]
fn kinds_of_figures() {
    for (figure, want) in [
        ("during.p99_ms", "p99_ms"),
        ("amplification.order-product", "amplification"),
        ("during.calls.order-product", "calls"),
        ("breaker.order-product.opens", "opens"),
        ("fault.seen", "fault"),
        ("recovery_s", "recovery_s"),
    ] {
        assert_eq!(kind(figure), want);
    }
    assert_eq!(better("after.success_rate"), Some(true));
    assert_eq!(better("breaker.order-product.open_s"), None);
}

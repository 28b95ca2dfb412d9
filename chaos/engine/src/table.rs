//! The verdict table for a terminal: verdict, arms by phase, every check, a legend of the columns.

mod judged;

use std::fmt::Write as _;

use crate::checks::{CheckResult, Metric, Selector, Window};
use crate::figures::window_of;
use crate::measure::{Lengths, Trial, pooled};
use crate::result::{ArmResult, RunResult, VoidTrial};
use crate::runlog::Phase;
use crate::verdict::Verdict;

/// The columns of the first table, each with its line of the legend.
const COLUMNS: [(&str, &str); 11] = [
    (
        "arm",
        "the policy set under test; every arm met the same seeded load and fault",
    ),
    (
        "phase",
        "before: ended before the fault · during: overlapped it · recovering: due from the \
         clearing until the breaker's reset + 2 s · after: due later · any other name: a stretch \
         of time that the scenario looks at",
    ),
    (
        "requests",
        "requests of customers in that phase, over all repeats that count",
    ),
    (
        "served",
        "share of them answered well: a 2xx (fallbacks included) or an expected 4xx",
    ),
    (
        "refused",
        "turned away on purpose: 429, or a 503 by a breaker or by overload",
    ),
    (
        "failed",
        "everything else: errors, time-outs, broken connections",
    ),
    (
        "p50 ms",
        "half of the requests took at most so long, from when they were due",
    ),
    (
        "p99 ms",
        "99 of 100 did; `-` below 1 000 requests, where it would be a guess",
    ),
    (
        "calls",
        "calls that the shop wanted to make over the faulted link",
    ),
    (
        "attempts",
        "attempts that reached it; the difference is retries, or calls refused at once",
    ),
    (
        "per call",
        "attempts / calls: above 1 the policy multiplies the load, below 1 it spares it",
    ),
];

pub(crate) fn render(result: &RunResult) -> String {
    let mut out = String::new();
    headline(&mut out, result);
    measured(&mut out, result);
    for arm in &result.arms {
        arm_line(&mut out, result, arm);
    }
    judged::judged(&mut out, result);
    void(&mut out, &result.void_trials);
    out.push('\n');
    checks(&mut out, result);
    legend(&mut out, result);
    out
}

/// Writing to a string can't fail.
macro_rules! say {
    ($out:expr, $($what:tt)*) => {{ let _ = writeln!($out, $($what)*); }};
}

fn headline(out: &mut String, result: &RunResult) {
    let of = |v: Verdict| {
        let ids = result
            .checks
            .iter()
            .filter(|c| c.verdict == v)
            .map(|c| c.id.as_str());
        ids.collect::<Vec<_>>()
    };
    let (failed, open) = (of(Verdict::Fail), of(Verdict::Inconclusive));
    let all = result.checks.len();
    let why = match result.verdict {
        Verdict::Pass => format!("all {all} checks hold"),
        Verdict::Fail => format!(
            "{} of {all} checks failed: {}",
            failed.len(),
            failed.join(", ")
        ),
        Verdict::Inconclusive if result.reasons.is_empty() => {
            format!(
                "{} of {all} checks can't be decided: {}",
                open.len(),
                open.join(", ")
            )
        }
        Verdict::Inconclusive => result.reasons.join("; "),
    };
    say!(
        out,
        "{}  {}: {why}",
        result.verdict.words(),
        result.scenario
    );
    // That its checks must not hold goes before all that they came to.
    let control = result.negative_control();
    say!(out, "  {}", control.as_ref().unwrap_or(&result.shows));
    let repeats = result.run.header.repeats;
    let environment = &result.environment;
    let quick = if result.quick {
        " · quick: about this run only"
    } else {
        ""
    };
    say!(
        out,
        "  seed {} · {} arms, {repeats} repeats each · {} on {}, {} cores{quick}\n",
        result.seed,
        result.arms.len(),
        environment.kind,
        environment.os,
        environment.cores
    );
}

fn faulted_link(result: &RunResult) -> Option<String> {
    let fault = result.timeline.first()?;
    Some(fault.get("link")?.as_str()?.to_owned())
}

fn measured(out: &mut String, result: &RunResult) {
    let link = faulted_link(result);
    let shown = if link.is_some() {
        COLUMNS.len()
    } else {
        COLUMNS.len() - 3
    };
    let head: Vec<String> = COLUMNS[..shown].iter().map(|c| c.0.to_owned()).collect();
    let mut rows = vec![head];
    for arm in &result.arms {
        let trials = result.trials(&arm.name);
        for (name, window) in stretches(&trials) {
            if let Some(row) = row([&arm.name, &name], &window, &trials, link.as_deref()) {
                rows.push(row);
            }
        }
    }
    grid(out, &rows);
    out.push('\n');
}

/// What gets a row: the phases where a fault makes some, else the whole; then the stretches of
/// time to which the scenario gave a name.
fn stretches(trials: &[&Trial]) -> Vec<(String, Window)> {
    let Some(first) = trials.first() else {
        return Vec::new();
    };
    let mut all: Vec<(String, Window)> = if first.injected.is_empty() {
        vec![("whole".to_owned(), Window::Whole)]
    } else {
        let phase = |p: Phase| (p.as_str().to_owned(), window_of(p));
        Phase::COUNTED.map(phase).into()
    };
    let named = |name: &String| (name.clone(), Window::DuringFault(name.clone()));
    all.extend(first.windows.iter().map(|w| named(&w.name)));
    all
}

fn row(
    [arm, stretch]: [&str; 2],
    window: &Window,
    trials: &[&Trial],
    link: Option<&str>,
) -> Option<Vec<String>> {
    let all = pooled(trials, window, &Selector::All);
    if all.requests() == 0 {
        return None;
    }
    let ms = |metric: Metric| {
        let need = crate::checks::percentile_needs(metric).unwrap_or(0);
        let seconds = all
            .figure(metric, None, 0.0)
            .filter(|_| all.requests() >= need);
        seconds.map_or_else(|| "-".to_owned(), |s| format!("{:.1}", s * 1e3))
    };
    let mut row = vec![
        arm.to_owned(),
        stretch.to_owned(),
        all.requests().to_string(),
        all.success_rate().map_or_else(String::new, percent),
        all.outcomes.rejected.to_string(),
        all.outcomes.failed.to_string(),
        ms(Metric::P50),
        ms(Metric::P99),
    ];
    if let Some(link) = link {
        let calls = pooled(trials, window, &Selector::Link(link.to_owned()));
        let times = calls.figure(Metric::Amplification, None, 0.0);
        row.push(calls.counts.calls.to_string());
        row.push(calls.counts.attempts.to_string());
        row.push(times.map_or_else(|| "-".to_owned(), |x| format!("{x:.2}")));
    }
    Some(row)
}

/// 100 % only when nothing is missing.
fn percent(share: f64) -> String {
    if share >= 1.0 {
        return "100 %".to_owned();
    }
    // Cut, not rounded: 99.996 % must not look like all.
    format!("{:.2} %", (share * 1e4).floor() / 1e2)
}

/// Breakers, recovery and orders of an arm, in a sentence.
fn arm_line(out: &mut String, result: &RunResult, arm: &ArmResult) {
    let trials = result.trials(&arm.name);
    if trials.is_empty() {
        say!(out, "  {}: no repeat counts", arm.name);
        return;
    }
    let mut parts = Vec::new();
    if let Some(link) = faulted_link(result) {
        parts.push(breaker_words(&trials, &link));
    }
    if let Some(s) = arm.summary.get("recovery_s") {
        parts.push(format!(
            "served as before again {:.1} s after the clearing",
            s.median
        ));
    }
    let facts: Vec<_> = trials.iter().filter_map(|t| t.facts).collect();
    if !facts.is_empty() {
        let sum = |of: fn(&crate::runlog::Facts) -> u64| facts.iter().map(of).sum::<u64>();
        parts.push(format!(
            "{} orders acknowledged, {} lost, {} duplicate, {} units oversold",
            sum(|f| f.acknowledged),
            sum(|f| f.lost_orders),
            sum(|f| f.duplicate_orders),
            sum(|f| f.oversold)
        ));
    }
    if !parts.is_empty() {
        say!(out, "  {}: {}", arm.name, parts.join("; "));
    }
}

fn breaker_words(trials: &[&Trial], link: &str) -> String {
    let middle = |metric: Metric| {
        let values: Vec<f64> = trials
            .iter()
            .filter_map(|t| t.breaker_figure(metric, link, &Window::Whole, Lengths::default()))
            .collect();
        crate::stats::median(&values).filter(|x| x.is_finite())
    };
    let Some(opened) = middle(Metric::OpenedWithin) else {
        return "no breaker opened".to_owned();
    };
    let failures = middle(Metric::OpenedAfterFailures).unwrap_or_default();
    let closed = middle(Metric::ClosedWithin).map_or_else(
        || "did not close again".to_owned(),
        |s| format!("closed {s:.1} s after the clearing"),
    );
    format!(
        "breaker opened {opened:.2} s into the fault, after {failures:.0} failures in a row, and {closed}"
    )
}

/// The trials that were run again, and why. What stayed void is in the headline.
fn void(out: &mut String, trials: &[VoidTrial]) {
    let again: Vec<&VoidTrial> = trials.iter().filter(|v| v.run_again).collect();
    let line = |v: &VoidTrial| {
        let again = match v.number {
            1 => String::new(),
            n => format!(", try {n}"),
        };
        format!("{}, repeat {}{again}: {}", v.arm, v.repeat, v.reason)
    };
    match again.as_slice() {
        [] => {}
        [one] => say!(out, "  1 trial was void and was run again: {}", line(one)),
        all => {
            let n = all.len();
            say!(out, "  {n} trials were void and were run again:");
            all.iter().for_each(|v| say!(out, "    {}", line(v)));
        }
    }
}

fn checks(out: &mut String, result: &RunResult) {
    let width = result
        .checks
        .iter()
        .map(|c| c.id.chars().count())
        .max()
        .unwrap_or(0);
    for check in &result.checks {
        let mark = match check.verdict {
            Verdict::Pass => "ok  ",
            Verdict::Fail => "FAIL",
            Verdict::Inconclusive => "?   ",
        };
        say!(out, "{mark}  {:width$}  {}", check.id, check.statement);
        say!(out, "      {:width$}  {}", "", evidence(check));
        if check.verdict != Verdict::Pass {
            say!(
                out,
                "      {:width$}  expected because {}",
                "",
                check.because
            );
        }
    }
    out.push('\n');
}

fn evidence(check: &CheckResult) -> String {
    let (role, note) = match (check.precondition, check.this_run_only) {
        (true, _) => ("precondition: ", ""),
        (false, true) => ("", " (this run only)"),
        (false, false) => ("", ""),
    };
    format!("{role}{}{note}", check.evidence)
}

fn legend(out: &mut String, result: &RunResult) {
    say!(out, "columns");
    let link = faulted_link(result);
    let shown = if link.is_some() {
        COLUMNS.len()
    } else {
        COLUMNS.len() - 3
    };
    for (name, meaning) in &COLUMNS[..shown] {
        say!(out, "  {name:9} {meaning}");
    }
    if let Some(link) = link {
        say!(out, "  The faulted link is {link}.");
    }
    say!(
        out,
        "checks\n  ok: it holds · FAIL: it does not · ?: this run can't tell. [a to b] is the 95 % \
         interval;\n  a check holds when the whole of it lies on the right side of the limit."
    );
    if !result.dir.as_os_str().is_empty() {
        say!(out, "files\n  {}", result.dir.display());
    }
}

/// Rows under each other; words to the left, numbers to the right.
pub(crate) fn grid(out: &mut String, rows: &[Vec<String>]) {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |c: usize| rows.iter().map(|r| r[c].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        let mut line = String::new();
        for (c, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let _ = match c {
                0 | 1 => write!(line, "  {cell:<width$}"),
                _ => write!(line, "  {cell:>width$}"),
            };
        }
        say!(out, "{}", line.trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_not_rounded_up_to_all() {
        assert_eq!(percent(1.0), "100 %");
        assert_eq!(percent(0.999_96), "99.99 %");
        assert_eq!(percent(0.0), "0.00 %");
    }

    #[test]
    fn grids_line_up() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let mut out = String::new();
        grid(
            &mut out,
            &[row(["arm", "phase", "n"]), row(["é", "before", "100"])],
        );
        assert_eq!(out, "  arm  phase     n\n  é    before  100\n");
    }
}

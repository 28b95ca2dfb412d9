//! The table of checks.

use chaos_engine::checks::{CheckResult, Unit, Window};
use chaos_engine::{RunResult, Scenario};

use crate::data::{ArmData, Data};
use crate::markup::{El, Markup, el, slug};
use crate::scale::short;
use crate::verdict::Shown;
use crate::words::{plural, seconds};

/// A check as the table and the Markdown show it.
pub(crate) struct Row {
    pub(crate) shown: Shown,
    pub(crate) id: String,
    pub(crate) statement: String,
    pub(crate) because: String,
    pub(crate) notes: Vec<String>,
    pub(crate) observed: String,
    pub(crate) interval: String,
    pub(crate) limit: String,
    pub(crate) margin: String,
    pub(crate) n: String,
    pub(crate) window: String,
    pub(crate) evidence: String,
    /// The arm to look at, and when.
    pub(crate) moment: Option<(String, f64)>,
}

pub(crate) fn rows(result: &RunResult, scenario: &Scenario, data: &Data) -> Vec<Row> {
    let window = |id: &str| {
        let check = scenario.checks.iter().find(|c| c.id == id)?;
        Some(check.under(result.quick).predicate.window)
    };
    let row = |check: &CheckResult| row(check, &window(&check.id).unwrap_or(Window::Whole), data);
    result.checks.iter().map(row).collect()
}

fn row(check: &CheckResult, window: &Window, data: &Data) -> Row {
    let unit = check.unit.unwrap_or(Unit::Ratio);
    let show = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |v| shown(unit, v));
    let interval = match (check.low, check.high) {
        (Some(low), Some(high)) => format!("{} to {}", shown(unit, low), shown(unit, high)),
        _ => "–".to_owned(),
    };
    let mut notes = Vec::new();
    if check.precondition {
        notes.push("precondition: decides which trials count".to_owned());
    }
    if check.this_run_only {
        notes.push("this run only".to_owned());
    }
    if let Some(n) = check.more_repeats {
        notes.push(format!("{} more would decide", plural(n as u64, "repeat")));
    }
    Row {
        shown: Shown::of(check.verdict),
        id: check.id.clone(),
        statement: check.statement.clone(),
        because: check.because.clone(),
        notes,
        observed: show(check.measured),
        interval,
        limit: show(check.bound),
        margin: margin(check),
        n: check.n.to_string(),
        window: window.words(),
        evidence: check.evidence.clone(),
        moment: moment(check, window, data),
    }
}

fn shown(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Seconds if value.is_finite() => seconds(value),
        _ => unit.show(value),
    }
}

/// How far the observed value is from the limit, as a share of the limit.
fn margin(check: &CheckResult) -> String {
    match (check.measured, check.bound) {
        (Some(m), Some(b)) if m.is_finite() && b.is_finite() && b != 0.0 => {
            let share = (m - b) / b.abs() * 100.0;
            let digits = if share.abs() < 10.0 { 1 } else { 0 };
            let sign = if share > 0.0 { "+" } else { "" };
            format!("{sign}{} %", short(share, digits)).replace('-', "−")
        }
        (Some(m), Some(b)) if m == b => "0".to_owned(),
        _ => "–".to_owned(),
    }
}

/// Where the curves show what the check is about: the worst second of its arm if
/// it speaks of failures, else where its window begins.
fn moment(check: &CheckResult, window: &Window, data: &Data) -> Option<(String, f64)> {
    let named = |arm: &&ArmData| {
        check.arm.as_deref() == Some(&arm.name) || mentions(&check.statement, &arm.name)
    };
    let arm = data.arms.iter().find(named).or(data.arms.first())?;
    let first = arm
        .bands
        .iter()
        .map(|b| b.from)
        .min_by(f64::total_cmp)
        .unwrap_or(0.0);
    let last = arm
        .bands
        .iter()
        .map(|b| b.to)
        .max_by(f64::total_cmp)
        .unwrap_or(0.0);
    let at = match window {
        Window::Before => 0.0,
        Window::Recovering | Window::After => last,
        _ if check.statement.starts_with("closed_within") => last,
        _ => first,
    };
    Some((arm.name.clone(), at.min(data.time.to)))
}

/// Whether a check's text has the word.
fn mentions(statement: &str, arm: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    statement.split(|c| !part(c)).any(|word| word == arm)
}

pub(crate) fn section(rows: &[Row], traced: &[String]) -> El {
    let head = [
        "Verdict",
        "Check",
        "Observed",
        "95 % interval",
        "Limit",
        "Margin",
        "n",
        "Window",
    ];
    let numbers = 2..7;
    let cells = head.iter().enumerate().map(|(i, name)| {
        let th = el("th").attr("scope", "col");
        if numbers.contains(&i) {
            th.class("num").text(name)
        } else {
            th.text(name)
        }
    });
    let table = el("table")
        .class("checks")
        .child(el("thead").child(el("tr").children(cells)))
        .children(rows.iter().map(|row| body(row, traced)));
    el("section")
        .id("checks")
        .child(el("h2").text("Checks"))
        .child(el("p").class("note").text(
            "A check passes when the whole interval lies on the right side of its limit, fails when all of it lies on the \
             wrong side, and is inconclusive across it. Margin: how far the observed value is from the limit.",
        ))
        .child(crate::page::scrolls("Checks", table))
}

fn body(row: &Row, traced: &[String]) -> El {
    let num = |text: &str| el("td").class("num").text(text);
    let first = el("tr")
        .child(el("td").class("verdict").child(row.shown.badge()))
        .child(
            el("th")
                .attr("scope", "row")
                .child(el("code").class("statement").text(&row.statement))
                .child(el("span").class("id").text(&row.id)),
        )
        .child(num(&row.observed))
        .child(num(&row.interval))
        .child(num(&row.limit))
        .child(num(&row.margin))
        .child(num(&row.n))
        .child(el("td").text(&row.window));
    let notes = row
        .notes
        .iter()
        .map(|note| el("span").class("tag").text(note));
    let link = row.moment.as_ref().map(|(arm, at)| {
        let words = format!("{arm} at {} s", short(*at, 1));
        let look = el("a")
            .attr("href", format!("#arm-{}", slug(arm)))
            .attr("data-go", short(*at, 2))
            .child(Markup::text("Look: "))
            .text(words);
        let traces = traced.contains(arm).then(|| {
            el("a")
                .attr("href", format!("#traces-{}", slug(arm)))
                .text("Traces")
        });
        el("span").class("look").child(look).child(traces)
    });
    let second = el("tr").class("evidence").child(el("td")).child(
        el("td")
            .attr("colspan", 7)
            .child(el("p").child(el("b").text(&row.evidence)).children(notes))
            .child(
                el("p")
                    .class("because")
                    .text(format!("Expected because {}", row.because)),
            )
            .child(link),
    );
    el("tbody")
        .class(row.shown.class())
        .child(first)
        .child(second)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaos_engine::Verdict;

    fn check(measured: Option<f64>, bound: Option<f64>) -> CheckResult {
        CheckResult {
            id: "a".into(),
            statement: "p99(fast) < 50ms".into(),
            because: "b".into(),
            precondition: false,
            verdict: Verdict::Pass,
            measured,
            low: measured,
            high: measured,
            bound,
            n: 3,
            arm: None,
            this_run_only: true,
            more_repeats: Some(2),
            evidence: "e".into(),
            unit: Some(Unit::Seconds),
        }
    }

    #[test]
    fn margins_are_shares_of_the_limit() {
        let of = |m, b| margin(&check(m, b));
        assert_eq!(of(Some(0.04), Some(0.05)), "−20 %");
        assert_eq!(of(Some(0.051), Some(0.05)), "+2 %");
        assert_eq!(of(Some(5.0), Some(5.0)), "0 %");
        assert_eq!(of(Some(f64::INFINITY), Some(5.0)), "–");
        assert_eq!(of(Some(0.0), Some(0.0)), "0");
        assert_eq!(of(None, Some(5.0)), "–");
    }

    #[test]
    fn arms_are_found_as_whole_words() {
        assert!(mentions("p99(fast) < 50ms", "fast"));
        assert!(!mentions("p99(fast-2) < 50ms", "fast"));
        assert!(mentions("p99(full-jitter) < 2 * p99(fast)", "full-jitter"));
    }

    #[test]
    fn a_row_says_what_is_special() {
        let data = Data {
            time: crate::scale::Time { from: 0.0, to: 9.0 },
            links: vec![],
            arms: vec![],
        };
        let row = row(&check(Some(0.04), Some(0.05)), &Window::During, &data);
        assert_eq!(row.notes, ["this run only", "2 repeats more would decide"]);
        assert_eq!(
            (row.observed.as_str(), row.window.as_str()),
            ("40 ms", "during the fault")
        );
        assert!(row.moment.is_none());
    }
}

//! The table of checks.

use chaos_engine::checks::{CheckResult, Claim, Predicate, Unit, Window};
use chaos_engine::{RunResult, Scenario, Verdict};

use crate::data::{ArmData, Data, Second};
use crate::markup::{El, el, slug};
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
    pub(crate) moment: Option<Moment>,
}

/// A second of an arm.
pub(crate) struct Moment {
    pub(crate) arm: String,
    pub(crate) at: f64,
    /// Whether it speaks against the check.
    pub(crate) violation: bool,
}

pub(crate) fn rows(result: &RunResult, scenario: &Scenario, data: &Data) -> Vec<Row> {
    let window = |id: &str| {
        let check = scenario.checks.iter().find(|c| c.id == id)?;
        Some(looked_at(&check.under(result.quick).predicate))
    };
    let stretches = &scenario.schedule(result.quick).windows;
    let row = |check: &CheckResult| {
        let window = window(&check.id).unwrap_or(Window::Whole);
        let named = stretches.iter().find(|w| is_named(&window, &w.name));
        let stretch = named.map(|w| (w.at.as_secs_f64(), (w.at + w.lasts).as_secs_f64()));
        row(check, &window, stretch, data)
    };
    result.checks.iter().map(row).collect()
}

/// The part of the run that a check is about: what its first metric says of itself, else its own.
fn looked_at(predicate: &Predicate) -> Window {
    let (Claim::Compare { left, .. } | Claim::Approx { left, .. }) = &predicate.claim;
    let own = left.measured().into_iter().find_map(|m| m.window.clone());
    own.unwrap_or_else(|| predicate.window.clone())
}

fn is_named(window: &Window, name: &str) -> bool {
    matches!(window, Window::DuringFault(of) if of == name)
}

fn row(check: &CheckResult, window: &Window, stretch: Option<(f64, f64)>, data: &Data) -> Row {
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
        window: when(check, window),
        evidence: check.evidence.clone(),
        moment: moment(check, window, stretch, data),
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

fn when(check: &CheckResult, window: &Window) -> String {
    match check.statement.trim_end() {
        s if s.ends_with("after clear") => "after the clearing".to_owned(),
        s if s.ends_with("after fault") => "after the injection".to_owned(),
        _ => window.words(),
    }
}

/// Where the curves show what the check is about: the first second that speaks
/// against it, else where its window begins.
fn moment(
    check: &CheckResult,
    window: &Window,
    stretch: Option<(f64, f64)>,
    data: &Data,
) -> Option<Moment> {
    let named = |arm: &&ArmData| {
        check.arm.as_ref() == Some(&arm.name)
            || first_named(&check.statement, data) == Some(&arm.name)
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
    let (from, to) = match window {
        _ if stretch.is_some() => stretch?,
        Window::Before => (0.0, first),
        Window::During | Window::DuringFault(_) => (first, last),
        Window::Recovering | Window::After => (last, data.time.to),
        _ => (0.0, data.time.to),
    };
    let against = (check.verdict != Verdict::Pass)
        .then(|| {
            arm.seconds
                .iter()
                .filter(|s| (from..to).contains(&(s.at as f64)))
        })
        .and_then(|mut seconds| seconds.find(|s| speaks_against(check, s)));
    let at = match against {
        Some(second) => second.at as f64,
        None if check.statement.trim_end().ends_with("after clear") => last,
        None if *window == Window::Whole => first,
        None => from,
    };
    Some(Moment {
        arm: arm.name.clone(),
        at: at.min(data.time.to),
        violation: against.is_some(),
    })
}

/// Whether a second alone is on the wrong side of what is claimed.
fn speaks_against(check: &CheckResult, second: &Second) -> bool {
    let [.., rejected, failed] = second.outcomes;
    let bound = check.bound.unwrap_or(f64::INFINITY);
    let over = |i: usize| second.quantiles().is_some_and(|q| q[i] > bound);
    match check.statement.split('(').next().unwrap_or_default() {
        "unsuccessful" | "success_rate" => rejected + failed > 0.0,
        "failed" => failed > 0.0,
        "rejected" => rejected > 0.0,
        "p50" => over(0),
        "p99" | "p999" => over(2),
        "max" => over(3),
        _ => false,
    }
}

/// The arm that a check names first.
fn first_named<'a>(statement: &str, data: &'a Data) -> Option<&'a String> {
    let part = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    statement
        .split(|c| !part(c))
        .find_map(|word| data.arms.iter().map(|a| &a.name).find(|name| *name == word))
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
    let link = row.moment.as_ref().map(|m| look(m, traced));
    let second = el("tr").class("evidence").child(el("td")).child(
        el("td")
            .attr("colspan", 7)
            .child(
                el("p")
                    .child(el("b").text(&row.evidence))
                    .text(" ")
                    .children(notes),
            )
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

/// The way to the curves, and to the arm's traces.
fn look(m: &Moment, traced: &[String]) -> El {
    let what = if m.violation {
        "First violation"
    } else {
        "Look"
    };
    let words = format!("{what}: {} at {} s", m.arm, short(m.at, 1));
    let look = el("a")
        .attr("href", format!("#arm-{}", slug(&m.arm)))
        .attr("data-go", short(m.at, 2))
        .text(words);
    let href = format!("#traces-{}", slug(&m.arm));
    let traces = traced.contains(&m.arm).then(|| {
        el("a")
            .attr("href", href)
            .text(format!("Traces of {}", m.arm))
    });
    el("span").class("look").child(look).child(traces)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scale::Time;

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

    fn two_arms() -> Data {
        let seconds = (0..9).map(|at| Second {
            at,
            outcomes: [1.0, 0.0, 0.0, if at == 4 { 1.0 } else { 0.0 }],
            ..Second::default()
        });
        let arm = |name: &str| ArmData {
            name: name.to_owned(),
            repeats: 1,
            counts: true,
            seconds: seconds.clone().collect(),
            bands: Vec::new(),
            strips: Vec::new(),
        };
        Data {
            time: Time { from: 0.0, to: 9.0 },
            links: vec![],
            arms: vec![arm("fast"), arm("fast-2")],
        }
    }

    #[test]
    fn the_arm_that_is_named_first_is_looked_at() {
        let data = two_arms();
        let of = |statement| first_named(statement, &data).map(String::as_str);
        assert_eq!(of("p99(fast) < 50ms"), Some("fast"));
        assert_eq!(of("p99(fast-2) < 2 * p99(fast)"), Some("fast-2"));
        assert_eq!(of("lost_orders == 0"), None);
    }

    #[test]
    fn a_failed_check_leads_to_its_first_violation() {
        let mut failed = check(Some(1.0), Some(0.0));
        failed.statement = "unsuccessful(fast-2) == 0".to_owned();
        failed.verdict = Verdict::Fail;
        let m = moment(&failed, &Window::Whole, None, &two_arms()).unwrap();
        assert_eq!((m.arm.as_str(), m.at, m.violation), ("fast-2", 4.0, true));
        failed.verdict = Verdict::Pass;
        let m = moment(&failed, &Window::Whole, None, &two_arms()).unwrap();
        assert!(!m.violation);
    }

    #[test]
    fn a_row_says_what_is_special() {
        let data = Data {
            time: Time { from: 0.0, to: 9.0 },
            links: vec![],
            arms: vec![],
        };
        let row = row(&check(Some(0.04), Some(0.05)), &Window::During, None, &data);
        assert_eq!(row.notes, ["this run only", "2 repeats more would decide"]);
        assert_eq!(
            (row.observed.as_str(), row.window.as_str()),
            ("40 ms", "during the fault")
        );
        assert!(row.moment.is_none());
    }
}

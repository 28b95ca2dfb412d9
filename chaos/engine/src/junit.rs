//! `junit.xml`: a test case a check, for CI systems.
//!
//! A check that failed is a `<failure>`; one that can't be decided is an `<error>`, which is
//! what JUnit means by it (the test could not say) and what GitHub, GitLab, Jenkins and Azure
//! show apart from failures. A run that could not measure what it should have (void trials,
//! a fault that did not act) is a case of its own, `the-run`, with an error, since none of
//! its checks may be believed.

use std::fmt::Write as _;

use crate::checks::CheckResult;
use crate::result::RunResult;
use crate::verdict::Verdict;

/// The file's name in a run's folder.
pub const FILE: &str = "junit.xml";

/// The file of a run. `time_s` is how long the run took.
#[must_use]
pub fn render(result: &RunResult, time_s: f64) -> String {
    let count = |v: Verdict| result.checks.iter().filter(|c| c.verdict == v).count();
    let untold = usize::from(!result.reasons.is_empty());
    let totals = format!(
        r#"tests="{}" failures="{}" errors="{}" time="{time_s:.3}""#,
        result.checks.len() + untold,
        count(Verdict::Fail),
        count(Verdict::Inconclusive) + untold,
    );
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let name = attribute(&result.scenario);
    let at = attribute(&result.environment.started_at);
    // Writing to a string can't fail.
    let _ = writeln!(out, "<testsuites name=\"faultline\" {totals}>");
    let _ = writeln!(
        out,
        "  <testsuite name=\"{name}\" {totals} timestamp=\"{at}\">"
    );
    let _ = writeln!(out, "    <properties>");
    let control = result.negative_control();
    let control = control.map(|words| ("negative_control", words));
    let properties = [
        ("seed", result.seed.to_string()),
        ("quick", result.quick.to_string()),
        ("verdict", result.verdict.words().to_lowercase()),
        ("environment", result.environment.kind.clone()),
    ];
    for (key, value) in control.into_iter().chain(properties) {
        let value = attribute(&value);
        let _ = writeln!(out, "      <property name=\"{key}\" value=\"{value}\"/>");
    }
    let _ = writeln!(out, "    </properties>");
    if untold > 0 {
        let why = result.reasons.join("; ");
        let message = attribute(&why);
        let _ = writeln!(
            out,
            "    <testcase classname=\"{name}\" name=\"the-run\">\n      <error type=\"inconclusive\" message=\"{message}\">{}</error>\n    </testcase>",
            text(&why)
        );
    }
    for check in &result.checks {
        case(&mut out, &name, check);
    }
    out.push_str("  </testsuite>\n</testsuites>\n");
    out
}

fn case(out: &mut String, scenario: &str, check: &CheckResult) {
    let id = attribute(&check.id);
    let said = format!(
        "{}\n{}\nexpected because {}",
        check.statement, check.evidence, check.because
    );
    let message = attribute(&format!("{}: {}", check.statement, check.evidence));
    let body = match check.verdict {
        Verdict::Pass => format!("      <system-out>{}</system-out>\n", text(&said)),
        Verdict::Fail => format!(
            "      <failure type=\"fail\" message=\"{message}\">{}</failure>\n",
            text(&said)
        ),
        Verdict::Inconclusive => format!(
            "      <error type=\"inconclusive\" message=\"{message}\">{}</error>\n",
            text(&said)
        ),
    };
    let _ = write!(
        out,
        "    <testcase classname=\"{scenario}\" name=\"{id}\">\n{body}    </testcase>\n"
    );
}

/// XML 1.0 has no place for control characters, however they are written.
fn allowed(c: char) -> bool {
    !c.is_control() || matches!(c, '\n' | '\t')
}

fn text(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    for c in raw.chars().filter(|c| allowed(*c)) {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
    }
    out
}

fn attribute(raw: &str) -> String {
    let escaped = text(raw).replace('"', "&quot;");
    escaped.replace('\n', "&#10;").replace('\t', "&#9;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::{self, Model};

    fn xml(model: &Model) -> String {
        let result = RunResult::from_entries(&synthetic::run(model)).unwrap();
        render(&result, 412.5)
    }

    #[test]
    fn a_check_is_a_case() {
        let xml = xml(&Model::default());
        assert!(xml.contains(r#"<testsuite name="product-outage" tests="11" failures="0" errors="0" time="412.500""#), "{xml}");
        assert_eq!(xml.matches("<testcase ").count(), 11);
        assert!(xml.contains(r#"name="breaker-opens-at-five""#));
        assert!(xml.contains("attempts(fast) &lt; 0.1 * attempts(naive) during outage"));
        assert!(!xml.contains("<failure") && !xml.contains("<error"));
    }

    #[test]
    fn failed_and_undecided_are_told_apart() {
        let off = "order-product = { preset = \"fast\", breaker = \"off\" }";
        let source = synthetic::OUTAGE.replacen("order-product = \"fast\"", off, 1);
        let xml = xml(&Model {
            source,
            no_breaker: true,
            ..Model::default()
        });
        assert_eq!(xml.matches("<failure ").count(), 3, "{xml}");
        // Nobody was refused, so there is nothing to take a share of.
        assert_eq!(xml.matches("<error ").count(), 1);
        assert!(xml.contains(r#"failures="3" errors="1""#));
        assert_eq!(xml.matches("</testcase>").count(), 11);
    }

    #[test]
    fn a_run_that_measured_nothing_is_an_error_of_its_own() {
        let xml = xml(&Model {
            idle: true,
            ..Model::default()
        });
        assert!(
            xml.contains(r#"name="the-run""#) && xml.contains(r#"tests="12""#),
            "{xml}"
        );
        assert!(xml.contains("did not act on order-product"));
    }

    #[test]
    fn whatever_is_said_stays_xml() {
        assert_eq!(
            text("a < b && \u{0}c\u{1b}[1m > d"),
            "a &lt; b &amp;&amp; c[1m &gt; d"
        );
        assert_eq!(attribute("say \"no\"\n"), "say &quot;no&quot;&#10;");
    }
}

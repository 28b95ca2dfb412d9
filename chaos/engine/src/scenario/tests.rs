mod format;
mod map;
mod mistakes;
mod negative;
mod preconditions;
mod schema;
mod storm;

use super::*;
use crate::diagnostics::Severity;

const OUTAGE: &str = include_str!("../../../scenarios/product-outage.toml");

fn outage() -> Scenario {
    Scenario::parse(OUTAGE, "product-outage.toml").unwrap_or_else(|e| panic!("{e}"))
}

/// The outage scenario with one text replaced, and what is said about it.
fn changed(from: &str, to: &str) -> Result<Scenario, Diagnostics> {
    assert!(OUTAGE.contains(from), "{from}");
    Scenario::parse(&OUTAGE.replacen(from, to, 1), "f.toml")
}

/// The only error of a changed file: place and text.
fn error(from: &str, to: &str) -> (usize, usize, String) {
    let Err(problems) = changed(from, to) else {
        panic!("`{to}` is accepted")
    };
    let errors: Vec<_> = problems
        .items
        .iter()
        .filter(|i| i.severity == Severity::Error)
        .collect();
    assert_eq!(errors.len(), 1, "{problems}");
    (errors[0].line, errors[0].column, errors[0].text())
}

fn place_of(needle: &str, in_text: &str) -> (usize, usize) {
    let at = in_text.find(needle).unwrap();
    let line = in_text[..at].matches('\n').count() + 1;
    let column = at - in_text[..at].rfind('\n').map_or(0, |i| i + 1) + 1;
    (line, column)
}

#[test]
fn the_outage_scenario_reads_as_written() {
    let s = outage();
    assert_eq!(s.name, "product-outage");
    assert!(s.warnings.is_empty(), "{:?}", s.warnings);
    assert_eq!(s.full.repeats, 4);
    assert_eq!(
        s.arms.iter().map(|a| a.name.as_str()).collect::<Vec<_>>(),
        ["none", "naive", "fast"]
    );
    let fault = &s.full.faults[0];
    assert_eq!(
        (fault.at, fault.lasts),
        (Duration::from_secs(10), Duration::from_secs(10))
    );
    assert_eq!(
        (fault.link.as_str(), &fault.action),
        ("order-product", &Action::Down)
    );
    let quick = s.schedule(true);
    assert_eq!(
        (quick.repeats, quick.faults[0].at),
        (1, Duration::from_secs(6))
    );
    assert_eq!(quick.streams, s.full.streams);
    assert_eq!(s.takes(false), Duration::from_secs(420));
    // Every phase fits: cleared + reset + 2 s comes before the end of the load.
    for plan in [&s.full, quick] {
        let cleared = plan.faults[0].at + plan.faults[0].lasts;
        assert!(
            cleared + Duration::from_secs(5) + RECOVERY_GRACE + Duration::from_secs(3)
                <= plan.duration
        );
    }
}

#[test]
fn slots_that_an_arm_does_not_name_have_their_default() {
    let s = outage();
    let naive = s.arm("naive").unwrap();
    assert_eq!(naive.specs["order-product"], "naive");
    assert_eq!(naive.specs["order-user"], "fast");
    assert_eq!(naive.specs["gateway-order"], "none");
    assert_eq!(naive.reset(["order-product"]), Duration::ZERO);
    assert_eq!(naive.reset(["order-user"]), Duration::from_secs(5));
    assert_eq!(
        s.arm("fast").unwrap().reset(["order-product"]),
        Duration::from_secs(5)
    );
}

#[test]
fn a_misspelt_metric_has_line_column_and_suggestion() {
    let to = "succes_rate(naive) >= 0.99 during outage";
    let from = "attempts(fast) < 0.1 * attempts(naive) during outage";
    let (line, column, text) = error(from, to);
    assert_eq!(
        (line, column),
        place_of("succes_rate", &OUTAGE.replacen(from, to, 1))
    );
    assert_eq!(
        text,
        "unknown metric `succes_rate`; did you mean `success_rate`?"
    );
}

#[test]
fn unknown_names_get_suggestions() {
    for (from, to, want) in [
        (
            "takes = \"7m\"",
            "takse = \"7m\"",
            "unknown key in the scenario: `takse`; did you mean `takes`?",
        ),
        ("rate = 20", "rte = 20\nrate = 20", "did you mean `rate`?"),
        (
            "link = \"order-product\"",
            "link = \"order-prodcut\"",
            "unknown link `order-prodcut`; did you mean `order-product`?",
        ),
        (
            "order-product = \"naive\"",
            "order-produt = \"naive\"",
            "unknown policy slot `order-produt`; did you mean `order-product`?",
        ),
        (
            "order-product = \"naive\"",
            "order-product = \"niave\"",
            "did you mean `naive`?",
        ),
        (
            "order-product = \"naive\"",
            "order-product = { preset = \"fast\", brekaer = \"off\" }",
            "did you mean `breaker`?",
        ),
        ("mix = \"order\"", "mix = \"ordr\"", "did you mean `order`?"),
        (
            "action = \"down\"",
            "action = \"dwon\"",
            "unknown action `dwon`; did you mean `down`?",
        ),
        (
            "action = \"down\"",
            "action = { toxic = \"latncy\" }",
            "unknown toxic `latncy`; did you mean `latency`?",
        ),
        (
            "timeline = { outage =",
            "timeline = { outrage =",
            "unknown fault `outrage`; did you mean `outage`?",
        ),
        ("arrivals = \"poisson\"", "arrivals = \"poison\"", "poisson"),
        (
            "unsuccessful(*, browse)",
            "unsuccessful(*, brwose)",
            "unknown selector `brwose`; did you mean `browse`?",
        ),
        (
            "closed_within(fast)",
            "closed_within(fats)",
            "unknown arm `fats`; did you mean `fast`?",
        ),
        (
            "== 0 before outage",
            "== 0 before outtage",
            "unknown fault `outtage`; did you mean `outage`?",
        ),
    ] {
        let (.., text) = error(from, to);
        assert!(text.contains(want), "{to}: {text}");
    }
}

#[test]
fn values_that_make_no_sense_are_refused() {
    for (from, to, want) in [
        (
            "schema_version = 1",
            "schema_version = 2",
            "this engine reads 1",
        ),
        ("repeats = 4", "repeats = 0", "from 1 to 200"),
        ("rate = 20", "rate = 0", "above zero"),
        (
            "rate = 20",
            "rate = \"20\"",
            "must be a number, not a string",
        ),
        ("duration = \"31s\"", "duration = \"31\"", "is no duration"),
        (
            "duration = \"31s\"",
            "duration = \"15s\"",
            "cleared at 20s, but the load ends at 15s",
        ),
        ("warm_up = \"3s\"", "warm_up = \"1s\"", "at least 2s"),
        ("for = \"10s\"", "for = \"0s\"", "above zero"),
        (
            "id = \"healthy-after\"",
            "id = \"healthy-before\"",
            "there is a check `healthy-before` already",
        ),
        (
            "name = \"outage\"",
            "name = \"recovery\"",
            "is a word of the checks",
        ),
        (
            "action = \"down\"",
            "action = { toxic = \"latency\", latency = -1 }",
            "can't be negative",
        ),
        (
            "action = \"down\"",
            "action = { toxic = \"latency\", toxicity = 2 }",
            "at most 1",
        ),
        ("because = \"a shop", "becuase = \"a shop", "because"),
    ] {
        let Err(problems) = changed(from, to) else {
            panic!("`{to}` is accepted")
        };
        assert!(problems.to_string().contains(want), "{to}:\n{problems}");
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let text = OUTAGE
        .replacen("rate = 20", "rate = 0", 1)
        .replacen("succ", "suc", 9)
        .replacen("action = \"down\"", "action = \"up\"", 1);
    let problems = Scenario::parse(&text, "f.toml").unwrap_err();
    let errors = problems
        .items
        .iter()
        .filter(|i| i.severity == Severity::Error)
        .count();
    assert!(errors >= 4, "{problems}");
    let lines: Vec<usize> = problems.items.iter().map(|i| i.line).collect();
    assert!(lines.is_sorted(), "{lines:?}");
}

#[test]
fn broken_toml_has_a_place() {
    let (line, column, text) = error("repeats = 4", "repeats = ");
    assert!(text.starts_with("not TOML: "), "{text}");
    assert_eq!(line, place_of("repeats = ", OUTAGE).0);
    assert!(column > 1);
}

#[test]
fn a_fault_that_never_comes_is_a_warning() {
    let late = changed("at = \"10s\"", "at = \"90s\"").unwrap();
    assert!(
        late.warnings
            .iter()
            .any(|w| w.message.contains("never injected"))
    );
    assert_eq!(late.full.injected().count(), 0);
    let off = changed("action = \"down\" ", "inject = false\naction = \"down\" ").unwrap();
    assert!(
        off.warnings
            .iter()
            .any(|w| w.message.contains("inject = false"))
    );
    assert_eq!(off.full.injected().count(), 0);
}

#[test]
fn a_breaker_switched_off_is_a_good_scenario() {
    let arm = "order-product = { preset = \"fast\", breaker = \"off\" }";
    let s = changed("order-product = \"fast\"", arm).unwrap();
    assert_eq!(
        s.arm("fast").unwrap().reset(["order-product"]),
        Duration::ZERO
    );
}

#[test]
fn toxics_are_read_with_their_numbers() {
    let s = changed(
        "action = \"down\" ",
        "action = { toxic = \"latency\", latency = 800, jitter = 200, stream = \"upstream\" } ",
    )
    .unwrap();
    let Action::Toxic(t) = &s.full.faults[0].action else {
        panic!()
    };
    assert_eq!(
        (t.kind.as_str(), t.stream.as_str(), t.toxicity),
        ("latency", "upstream", 1.0)
    );
    assert_eq!(t.attributes["latency"], 800);
}

#[test]
fn places_inside_escaped_strings_fall_back_to_the_string() {
    let (line, column, _) = error("\"oversold == 0\"", "\"oversld\\u0020== 0\"");
    let text = OUTAGE.replacen("\"oversold == 0\"", "\"oversld\\u0020== 0\"", 1);
    assert_eq!((line, column), place_of("\"oversld", &text));
}

#[test]
fn a_check_may_ask_for_less_of_a_quick_run() {
    let s = outage();
    let check = s.checks.iter().find(|c| c.id == "refused-fast").unwrap();
    assert!(check.under(false).that.ends_with(">= 99%"));
    assert!(check.under(true).that.ends_with(">= 95%"));
    assert_ne!(check.under(true).predicate, check.under(false).predicate);
    let plain = s.checks.iter().find(|c| c.id == "no-order-lost").unwrap();
    assert_eq!(&plain.under(true), plain);
    let from = "quick = \"share_under(fast, 50ms, refused)";
    let (.., text) = error(from, "quick = \"shere_under(fast, 50ms, refused)");
    assert!(text.contains("share_under"), "{text}");
}

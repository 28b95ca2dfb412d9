use super::{OUTAGE, Scenario, changed, error, outage, place_of};

const HEALTHY: &str = "unsuccessful(*) == 0 before outage";

#[test]
fn a_precondition_is_marked_as_one() {
    let s = outage();
    let marked: Vec<&str> = s
        .checks
        .iter()
        .filter(|c| c.precondition)
        .map(|c| c.id.as_str())
        .collect();
    assert_eq!(marked, ["healthy-before"]);
    assert!(s.checks[0].under(true).precondition);
    let off = changed("precondition = true", "precondition = false").unwrap();
    assert!(off.checks.iter().all(|c| !c.precondition));
    for text in [
        "unsuccessful(*) <= 2 before outage",
        "failed(fast) + rejected(fast) < 3 before fault",
        "requests(*, order) >= 100 before outage",
        "attempts(*) == calls(*) before outage",
        "rejected(*, order-product) != 7 before outage",
    ] {
        assert!(changed(HEALTHY, text).is_ok(), "{text}");
    }
}

#[test]
fn what_can_not_decide_whether_a_trial_counts_is_marked_where_it_stands() {
    for (text, marked, want) in [
        (
            "success_rate(*) >= 99% before outage",
            "success_rate",
            "is no count",
        ),
        (
            "failed(*) * 2 <= amplification(*) before outage",
            "amplification",
            "is no count",
        ),
        ("p99(*, browse) < 1s before outage", "p99", "is no count"),
        ("lost_orders == 0", "lost_orders", "what a trial comes to"),
        (
            "opens(fast, order-user) == 0",
            "opens",
            "what a trial comes to",
        ),
        (
            "approx(requests(*), 600, within 5%) before outage",
            "approx",
            "compare counts",
        ),
        (
            "attempts(fast) <= attempts(naive) before outage",
            "attempts(fast) <= attempts(naive) before outage",
            "a trial has one arm",
        ),
        (
            "failed(*) == 0",
            "failed(*) == 0",
            "before the fault: end it with `before fault`",
        ),
        (
            "failed(*, browse) == 0 during outage",
            "during outage",
            "before the fault",
        ),
        (
            "failed(*, browse) == 0 after recovery",
            "after recovery",
            "before the fault",
        ),
        (
            "failed(*, browse) == 0 while recovering",
            "while recovering",
            "before the fault",
        ),
    ] {
        let (line, column, said) = error(HEALTHY, text);
        let quoted = format!("that = \"{text}");
        let start = place_of(&quoted, &OUTAGE.replacen(HEALTHY, text, 1));
        let inside = "that = \"".len() + text.find(marked).unwrap();
        assert_eq!((line, column), (start.0, start.1 + inside), "{text}");
        assert!(said.contains(want), "{text}: {said}");
        // As a plain check it is fine.
        let plain = OUTAGE.replacen("precondition = true", "", 1);
        let plain = plain.replacen(HEALTHY, text, 1);
        assert!(Scenario::parse(&plain, "f.toml").is_ok(), "{text}");
    }
}

#[test]
fn the_quick_statement_of_a_precondition_is_held_to_the_same() {
    let from = "precondition = true";
    let to = "precondition = true\nquick = \"success_rate(*) >= 99% before outage\"";
    let (line, column, said) = error(from, to);
    assert!(said.contains("`success_rate` is no count"), "{said}");
    let changed = OUTAGE.replacen(from, to, 1);
    assert_eq!((line, column), place_of("success_rate", &changed));
    let (.., said) = error(from, "precondition = \"yes\"");
    assert!(
        said.contains("`precondition` must be true or false, not a string"),
        "{said}"
    );
    let (.., said) = error(from, "precondtion = true");
    assert!(said.contains("did you mean `precondition`?"), "{said}");
}

#[test]
fn without_a_fault_nothing_comes_before_it() {
    let text = r#"
schema_version = 1
name = "calm"
shows = "x"
hypothesis = "x"
[load]
duration = "5s"
[[load.stream]]
mix = "browse"
rate = 5
[arms.shop]
[[check]]
id = "calm"
that = "failed(*) == 0"
because = "x"
precondition = true
"#;
    let problems = Scenario::parse(text, "f.toml").unwrap_err().to_string();
    assert!(problems.contains("the scenario has no fault"), "{problems}");
}

use super::*;

fn names() -> Names {
    Names {
        arms: ["none", "naive", "fast", "full-jitter"]
            .map(str::to_owned)
            .to_vec(),
        faults: vec![("outage".to_owned(), "order-product".to_owned())],
        windows: vec!["five-times".to_owned()],
        streams: vec!["shoppers".to_owned()],
        ..Names::default()
    }
}

fn good(text: &str) -> Predicate {
    parse(text, &names()).unwrap_or_else(|e| panic!("{text}: {e:?}"))
}

/// The text that is marked, and what is said about it.
fn bad(text: &str) -> (&str, String, Option<String>) {
    match parse(text, &names()) {
        Ok(p) => panic!("{text}: {p:?}"),
        Err(e) => (&text[e.span], e.message, e.suggestion),
    }
}

fn compare(p: &Predicate) -> (&Expr, Comparison, &Expr) {
    match &p.claim {
        Claim::Compare { left, op, right } => (left, *op, right),
        Claim::Approx { .. } => panic!("{p:?}"),
    }
}

fn link() -> Selector {
    Selector::Link("order-product".to_owned())
}

#[test]
fn the_examples_of_the_specification_are_checks() {
    for text in [
        "success_rate(fast) >= 0.99 during outage",
        "p99(fast) < 50ms during outage",
        "amplification(fast) <= 1.2",
        "opened_within(fast) <= 2s after fault",
        "closed_within(fast) <= reset + 2s after clear",
        "approx(attempts_per_call(naive), 3, within 5%) during outage",
        "goodput(full-jitter) > goodput(none)",
        "lost_orders == 0",
        "duplicate_orders == 0",
        "oversold == 0",
        "unsuccessful(*) == 0 before outage",
        "unsuccessful(*, browse) == 0",
        "p99(fast, browse) <= 2 * p99(none, browse) + 20ms while recovering",
        "share_under(fast, 50ms, refused) >= 99%",
        "attempts(fast) < 0.1 * attempts(naive) during outage",
        "recovery_s(fast) <= reset(fast) + 2s after clear",
        "success_rate(none, gateway-product) >= 99.9% after recovery",
        "attempts(none, order-user) >= 1_000 before fault",
    ] {
        good(text);
    }
}

#[test]
fn the_parts_of_a_check() {
    let p = good("share_under(fast, 50ms, refused) >= 99% during outage");
    let (left, op, right) = compare(&p);
    let want = Measured {
        metric: Metric::ShareUnder,
        arm: ArmRef::Named("fast".to_owned()),
        selector: Selector::Refused,
        limit: Some(0.05),
        window: None,
    };
    assert_eq!(left, &Expr::Measured(want));
    assert_eq!((op, right), (Comparison::AtLeast, &Expr::Number(0.99)));
    assert_eq!(p.window, Window::DuringFault("outage".to_owned()));
}

#[test]
fn what_is_left_out_has_a_meaning() {
    let every = good("lost_orders == 0");
    assert_eq!(compare(&every).0.measured()[0].arm, ArmRef::Each);
    assert_eq!(every.window, Window::Whole);
    let faulted = good("attempts(fast) < 5");
    assert_eq!(compare(&faulted).0.measured()[0].selector, link());
    assert_eq!(
        good("failed(fast) == 0 during fault").window,
        Window::During
    );
    let p = good("closed_within(fast) <= reset + 2s after clear");
    assert_eq!(p.window, Window::Whole);
    let Expr::Both(Operation::Add, reset, two) = compare(&p).2 else {
        panic!()
    };
    assert_eq!(**reset, Expr::Reset(ArmRef::Named("fast".to_owned())));
    assert_eq!(**two, Expr::Number(2.0));
}

#[test]
fn products_bind_tighter_than_sums() {
    let p = good("attempts(fast) < 1 + 2 * attempts(naive)");
    let Expr::Both(Operation::Add, one, product) = compare(&p).2 else {
        panic!()
    };
    assert_eq!(**one, Expr::Number(1.0));
    assert!(matches!(**product, Expr::Both(Operation::Mul, ..)));
    let p = good("attempts(fast) < (1 + 2) * attempts(naive)");
    assert!(matches!(compare(&p).2, Expr::Both(Operation::Mul, ..)));
}

#[test]
fn mistakes_are_marked_where_they_stand() {
    for (text, marked, message, suggestion) in [
        (
            "succes_rate(fast) >= 1",
            "succes_rate",
            "unknown metric",
            Some("success_rate"),
        ),
        ("failed(fats) == 0", "fats", "unknown arm", Some("fast")),
        (
            "failed(fast, ordr) == 0",
            "ordr",
            "unknown selector",
            Some("order"),
        ),
        (
            "attempts(fast, order-prod) < 1",
            "order-prod",
            "unknown link",
            Some("order-product"),
        ),
        (
            "failed(fast) == 0 during outge",
            "outge",
            "unknown fault",
            Some("outage"),
        ),
        (
            "failed(fast) == 0 durng outage",
            "durng",
            "expected the end",
            Some("during"),
        ),
        (
            "failed(fast) == 0 after recvery",
            "recvery",
            "unknown part",
            Some("recovery"),
        ),
        (
            "failed(fast) = 0",
            "=",
            "is not part of a check",
            Some("=="),
        ),
        (
            "p99(fast) < 50 during outage",
            "50",
            "must be a duration",
            None,
        ),
        (
            "failed(fast) < 50ms",
            "50ms",
            "must be a plain number",
            None,
        ),
        ("p99(fast) < 50mss", "mss", "unknown unit", None),
        (
            "p99(fast) * p50(fast) < 1s",
            "p99(fast) * p50(fast)",
            "no duration",
            None,
        ),
        ("1 < 2", "1 < 2", "nothing measured", None),
        (
            "share_under(fast) >= 99%",
            "share_under(fast)",
            "needs a limit",
            None,
        ),
        ("failed(fast, 50ms) == 0", "50ms", "takes no", None),
        (
            "failed(fast, browse, order) == 0",
            "order",
            "takes no",
            None,
        ),
        (
            "lost_orders(fast, browse) == 0",
            "browse",
            "takes an arm and nothing else",
            None,
        ),
        (
            "lost_orders == 0 during outage",
            "during outage",
            "of the whole repeat",
            None,
        ),
        (
            "closed_within(fast) <= 2s during outage",
            "during outage",
            "of the whole repeat",
            None,
        ),
        (
            "failed(fast) == 0 after fault",
            "fault",
            "goes with opened_within",
            None,
        ),
        (
            "opened_within(fast) <= 2s after clear",
            "clear",
            "closed_within",
            None,
        ),
        (
            "acted(fast)@during >= 1",
            "acted(fast)@during >= 1",
            "of the whole repeat",
            None,
        ),
        (
            "p99(fast)@befor <= 1s",
            "befor",
            "unknown part of the run",
            Some("before"),
        ),
        ("p99(fast)@5 <= 1s", "5", "expected a part of the run", None),
        (
            "p99(fast, shopers) <= 1s",
            "shopers",
            "unknown selector",
            Some("shoppers"),
        ),
        (
            "shed(fast, order-produkt) == 0",
            "order-produkt",
            "unknown link",
            Some("order-product"),
        ),
        (
            "in_flight(fast, order) <= 9",
            "order",
            "takes an arm and nothing else",
            None,
        ),
        (
            "acted(fast, outrage) >= 1",
            "outrage",
            "unknown fault",
            Some("outage"),
        ),
        (
            "failed(fast) == 0 before five-times",
            "five-times",
            "is a window and no fault",
            None,
        ),
        ("max(1s, 5) <= max(fast)", "5", "must be a duration", None),
        ("1 / p99(fast) <= 1", "1 / p99(fast)", "neither", None),
        ("max(5) <= 1", ")", "expected `,`", None),
        ("failed(fast)", "", "expected a comparison", None),
        ("failed(fast == 0", "==", "expected `)`", None),
        ("failed() == 0", ")", "expected an arm", None),
        ("approx(failed(fast), 3, within 5)", "5", "a margin", None),
        (
            "approx(failed(fast), 3, 5%)",
            "5%",
            "expected `within`",
            None,
        ),
        (
            "closed_within(fast) <= reset + closed_within(none)",
            "reset",
            "whose reset",
            None,
        ),
        ("failed(fast) - 1 == 0", "-", "is not part of a check", None),
        ("failed(fast) == 1.2.3", "1.2.3", "is no number", None),
        ("", "", "expected a metric", None),
    ] {
        let (found, said, near) = bad(text);
        assert_eq!(found, marked, "{text}: {said}");
        assert!(said.contains(message), "{text}: {said}");
        assert_eq!(near.as_deref(), suggestion, "{text}: {said}");
    }
}

#[test]
fn without_a_fault_nothing_can_be_about_one() {
    let steady = Names {
        arms: vec!["shop".to_owned()],
        ..Names::default()
    };
    let said = |text: &str| parse(text, &steady).unwrap_err().message;
    assert!(said("failed(shop) == 0 during fault").contains("no fault"));
    assert!(said("failed(shop) == 0 after recovery").contains("no fault"));
    assert!(said("share_under(shop, 1s, refused) >= 1").contains("no fault"));
    assert!(said("opens == 0").contains("needs a link"));
    assert!(parse("opens(*, order-product) == 0", &steady).is_ok());
    assert!(parse("failed(shop) == 0", &steady).is_ok());
}

#[test]
fn a_metric_may_have_a_part_of_the_run_of_its_own() {
    let p = good("p99(fast) <= max(2 * p99(fast)@before, p99(fast)@before + 20ms) during outage");
    let (left, _, right) = compare(&p);
    assert_eq!(left.measured()[0].window, None);
    assert_eq!(p.window, Window::DuringFault("outage".to_owned()));
    let own: Vec<_> = right.measured().iter().map(|m| m.window.clone()).collect();
    assert_eq!(own, [Some(Window::Before), Some(Window::Before)]);
    assert!(matches!(right, Expr::Both(Operation::Max, ..)));
    for (text, want) in [
        ("five-times", Window::DuringFault("five-times".to_owned())),
        ("outage", Window::DuringFault("outage".to_owned())),
        ("whole", Window::Whole),
        ("during", Window::During),
        ("recovering", Window::Recovering),
        ("after", Window::After),
    ] {
        let p = good(&format!(
            "goodput(fast)@{text} >= 0.8 * goodput(fast)@before"
        ));
        assert_eq!(compare(&p).0.measured()[0].window, Some(want));
    }
}

#[test]
fn max_is_a_metric_before_an_arm_and_a_choice_otherwise() {
    let metric = |text: &str| match compare(&good(text)).0 {
        Expr::Measured(m) => m.metric == Metric::Max,
        _ => false,
    };
    assert!(metric("max(fast) <= 2s"));
    assert!(metric("max(*, order) <= 2s"));
    assert!(metric("max <= 2s"));
    assert!(!metric("max(failed(fast), 3) <= 4"));
    assert!(!metric("max(failed, rejected) <= 4"));
    assert!(!metric("min(p50(fast), 3s, p90(fast)) <= 4s"));
    assert_eq!(Operation::Max.apply(1.0, 2.0), 2.0);
    assert_eq!(Operation::Min.apply(1.0, 2.0), 1.0);
    assert_eq!(Operation::Div.apply(1.0, 2.0), 0.5);
    let p = good("goodput(fast) / goodput(none) >= 0.8");
    assert_eq!(Operation::Div.words("a", "b"), "a / b");
    assert!(matches!(compare(&p).0, Expr::Both(Operation::Div, ..)));
}

#[test]
fn streams_priorities_doors_and_the_load_are_selectors() {
    for (text, want) in [
        (
            "p99(fast, shoppers) < 1s",
            Selector::Stream("shoppers".to_owned()),
        ),
        (
            "success_rate(fast, critical-plus) >= 99%",
            Selector::Priority("critical-plus".to_owned()),
        ),
        ("recovery_s(fast, order) < 9s", Selector::Op(Op::Order)),
        (
            "shed(fast, product.server) > 0",
            Selector::Link("product.server".to_owned()),
        ),
        ("shed(fast) > 0", Selector::AnyLink),
        ("wasted_work(fast) < 1s", Selector::AnyLink),
        (
            "peak_attempts(fast, load) < 9",
            Selector::Link("load".to_owned()),
        ),
        (
            "acted(fast, outage) > 0",
            Selector::Fault("outage".to_owned()),
        ),
    ] {
        assert_eq!(
            compare(&good(text)).0.measured()[0].selector,
            want,
            "{text}"
        );
    }
}

#[test]
fn a_condition_names_the_link_where_no_fault_does() {
    let names = Names {
        arms: vec!["a".to_owned()],
        conditions: vec![("capacity".to_owned(), "gateway-product".to_owned())],
        windows: vec!["five-times".to_owned()],
        ..Names::default()
    };
    let p = parse("attempts(a) >= 1 during five-times", &names).unwrap();
    let link = Selector::Link("gateway-product".to_owned());
    assert_eq!(compare(&p).0.measured()[0].selector, link);
    assert!(parse("acted(a, capacity) >= 1", &names).is_ok());
    assert!(parse("goodput(a)@during >= 1", &names).is_err());
}

#[test]
fn every_metric_has_its_row() {
    for name in Metric::names() {
        assert_eq!(Metric::named(name).map(Metric::name), Some(name));
    }
    // One row a variant: Violations is the last of them.
    assert_eq!(Metric::names().count(), Metric::Violations as usize + 1);
}

#[test]
fn comparisons_forgive_the_last_digits_only() {
    assert!(Comparison::Equal.holds(0.1 + 0.2, 0.3));
    assert!(!Comparison::Above.holds(0.1 + 0.2, 0.3));
    assert!(Comparison::AtMost.holds(f64::INFINITY, f64::INFINITY));
    assert!(!Comparison::AtMost.holds(f64::INFINITY, 7.0));
    assert!(!Comparison::Equal.holds(f64::INFINITY, 5.0));
    assert!(Comparison::NotEqual.holds(1.0, 1.1));
}

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
            "opens(fast) == 1 during outage",
            "during outage",
            "of the whole repeat",
            None,
        ),
        (
            "failed(fast) == 0 after fault",
            "fault",
            "opened_within only",
            None,
        ),
        (
            "opened_within(fast) <= 2s after clear",
            "clear",
            "closed_within",
            None,
        ),
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
fn every_metric_has_its_row() {
    for name in Metric::names() {
        assert_eq!(Metric::named(name).map(Metric::name), Some(name));
    }
    // One row a variant: Oversold is the last of them.
    assert_eq!(Metric::names().count(), Metric::Oversold as usize + 1);
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

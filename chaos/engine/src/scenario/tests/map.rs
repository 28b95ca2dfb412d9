//! `[map]`.

use std::time::Duration;

use super::Severity;
use crate::runlog::Header;
use crate::scenario::map::{LOOK, Point};
use crate::scenario::{Action, Effect, RequestFault, Scenario};

const STORM: &str = include_str!("../../../../scenarios/retry-storm.toml");

const S: fn(u64) -> Duration = Duration::from_secs;

fn storm() -> Scenario {
    Scenario::parse(STORM, "retry-storm.toml").unwrap_or_else(|e| panic!("{e}"))
}

fn point(trigger: u64, rate: f64) -> Point {
    Point {
        trigger: S(trigger),
        rate,
    }
}

#[test]
fn the_points_are_every_trigger_with_every_rate() {
    let map = storm().map.unwrap();
    let points = map.points();
    assert_eq!(points.len(), 9);
    assert_eq!(
        points[0],
        Point {
            trigger: Duration::from_millis(200),
            rate: 50.0
        }
    );
    assert_eq!((points[4], points[8]), (point(2, 100.0), point(5, 150.0)));
    assert_eq!(map.arms, ["naive", "grpc-a6"]);
    assert_eq!(
        (map.look(false).settle, map.look(true).settle),
        (S(30), S(20))
    );
}

#[test]
fn the_model_is_the_conditions_capacity_and_the_arms_policies() {
    let model = storm().map.unwrap().model;
    assert_eq!((model.at_once, model.left, model.queue), (10, 3, 10_000));
    assert!((model.capacity() - 200.0).abs() < 1e-9 && model.poisson);
    let [naive, budget] = model.arms.as_slice() else {
        panic!()
    };
    assert_eq!(
        naive.policy.attempt_timeout,
        Some(Duration::from_millis(250))
    );
    assert_eq!(
        (budget.policy.deadline, &*budget.policy.preset),
        (Some(S(1)), "grpc-a6")
    );
    assert!(budget.policy.budget.is_some() && naive.policy.budget.is_none());
    assert_eq!(naive.door.preset, "unlimited");
}

#[test]
fn at_a_point_trigger_and_load_are_the_points_and_the_rest_stays() {
    let storm = storm();
    let at = storm.at(&point(2, 100.0)).unwrap();
    for (quick, begin, look, end) in [(false, S(5), S(37), S(47)), (true, S(3), S(25), S(33))] {
        let schedule = at.schedule(quick);
        let [dip] = schedule.faults.as_slice() else {
            panic!()
        };
        assert_eq!((dip.at, dip.lasts), (begin, S(2)));
        let cut = matches!(&dip.action, Action::Request(RequestFault { effect: Effect::Capacity(c), .. }) if c.at_once == 3);
        assert!(cut, "{:?}", dip.action);
        let [window] = schedule.windows.as_slice() else {
            panic!()
        };
        assert_eq!(
            (&*window.name, window.at, window.at + window.lasts),
            (LOOK, look, end)
        );
        assert_eq!(schedule.duration, end);
        let json = serde_json::to_value(&schedule.streams).unwrap();
        assert_eq!(json[0]["rate"], 100.0);
        assert_eq!(
            (&json[0]["mix"], &json[0]["arrivals"]),
            (&"view".into(), &"poisson".into())
        );
        assert_eq!(schedule.conditions, storm.schedule(quick).conditions);
    }
    assert_eq!(at.arms, storm.arms);
    let [check] = at.checks.as_slice() else {
        panic!("{:?}", at.checks)
    };
    assert!(check.precondition, "{}", check.that);
    assert_eq!(
        check.that,
        "unsuccessful(*) <= 0.05 * requests(*) before dip"
    );
}

#[test]
fn a_runs_log_says_which_point_it_was() {
    let header = Header {
        source: STORM.to_owned(),
        point: Some(point(5, 150.0)),
        ..Header::default()
    };
    let line = serde_json::to_string(&header).unwrap();
    assert!(
        line.contains(r#""point":{"trigger":"5s","rate":150.0}"#),
        "{line}"
    );
    let back: Header = serde_json::from_str(&line).unwrap();
    assert_eq!(back.scenario().unwrap().full.faults[0].lasts, S(5));
    // Logs of before are read as well.
    let line = serde_json::to_string(&Header::default()).unwrap();
    assert!(!line.contains("point"), "{line}");
}

/// The only error of the scenario with one text of `[map]` (or else of the whole file) replaced.
fn error(from: &str, to: &str) -> (usize, usize, String) {
    let (before, map) = STORM.split_once("[map]").unwrap();
    let text = if map.contains(from) {
        format!("{before}[map]{}", map.replacen(from, to, 1))
    } else {
        assert!(before.contains(from), "{from}");
        format!("{}[map]{map}", before.replacen(from, to, 1))
    };
    let Err(problems) = Scenario::parse(&text, "f.toml") else {
        panic!("`{to}` is accepted")
    };
    let errors = problems
        .items
        .iter()
        .filter(|i| i.severity == Severity::Error);
    let errors: Vec<_> = errors.collect();
    assert_eq!(errors.len(), 1, "{problems}");
    let line = text.lines().nth(errors[0].line - 1).unwrap();
    assert!(errors[0].column <= line.chars().count(), "{problems}");
    (errors[0].line, errors[0].column, errors[0].text())
}

#[test]
fn names_that_are_not_there_are_told_with_their_place() {
    let line = STORM.lines().position(|l| l == "fault = \"dip\"").unwrap() + 1;
    let told = error("fault = \"dip\"", "fault = \"dib\"");
    assert_eq!(
        told,
        (
            line,
            9,
            "unknown fault `dib`; did you mean `dip`?".to_owned()
        )
    );
    for (from, to, told) in [
        (
            "capacity = \"capacity\"",
            "capacity = \"capcity\"",
            "unknown condition `capcity`; did you mean `capacity`?",
        ),
        (
            "[\"naive\", \"grpc-a6\"]",
            "[\"naive\", \"grpc-a7\"]",
            "unknown arm `grpc-a7`; did you mean `grpc-a6`?",
        ),
        (
            "[\"naive\", \"grpc-a6\"]",
            "[\"naive\", \"naive\"]",
            "`naive` is there already",
        ),
        ("rates =", "rate =", "needs `rates`"),
        (
            "watch = \"8s\"",
            "watsch = \"8s\"",
            "unknown key in [quick]: `watsch`; did you mean `watch`?",
        ),
    ] {
        let text = if from == "rates =" {
            let all = Scenario::parse(&STORM.replacen(from, to, 1), "f.toml").unwrap_err();
            all.to_string()
        } else {
            error(from, to).2
        };
        assert!(text.contains(told), "{text}");
    }
}

#[test]
fn values_that_make_no_map_are_told() {
    for (from, to, told) in [
        ("[50, 100, 150]", "[50, 150, 100]", "`rates` must rise"),
        (
            "[50, 100, 150]",
            "[0, 100, 150]",
            "a rate is a number above zero",
        ),
        (
            "[50, 100, 150]",
            "[1, 2, 3, 4, 5, 6, 7, 8, 9]",
            "at most 8 `rates`",
        ),
        ("\"5s\"]", "\"2s\"]", "`triggers` must rise"),
        ("\"5s\"]", "\"61s\"]", "at most 60s"),
        ("settle = \"30s\"", "settle = \"100ms\"", "at least 1s"),
    ] {
        let (_, _, text) = error(from, to);
        assert!(text.contains(told), "{text}");
    }
}

#[test]
fn what_the_simulator_can_not_follow_is_told() {
    let naive =
        "[arms.naive]\ngateway-product = { preset = \"naive\", propagate_deadline = false }";
    for (from, to, told) in [
        ("at_once = 3,", "at_once = 30,", "a smaller `at_once`"),
        (
            "at_once = 3, service_time = \"50ms\"",
            "at_once = 3, service_time = \"60ms\"",
            "all else equal",
        ),
        (
            "\"naive\", \"grpc-a6\"]",
            "\"shedding\"]",
            "propagate_deadline = false",
        ),
        (
            naive,
            "[arms.naive]\ngateway-product = [{ weight = 1, policy = \"naive\" }, { weight = 1, policy = \"fast\" }]",
            "splits its calls",
        ),
        (
            "rate = 150\narrivals = \"poisson\"",
            "customers = 150",
            "it needs one with `rate`",
        ),
        (
            "[[load.stream]]",
            "[[load.stream]]\nmix = \"browse\"\nrate = 1\n\n[[load.stream]]",
            "a load of one stream",
        ),
    ] {
        let (_, _, text) = error(from, to);
        assert!(text.contains(told), "{text}");
    }
    let look = STORM
        .replace("name = \"late\"", "name = \"look\"")
        .replace("@late", "@look");
    let look = look.replace("window = { late", "window = { look");
    let told = Scenario::parse(&look, "f.toml").unwrap_err().to_string();
    assert!(told.contains("name yours otherwise"), "{told}");
}

#[test]
fn a_scenario_without_a_map_has_no_points() {
    assert!(super::outage().at(&point(1, 1.0)).is_none());
}

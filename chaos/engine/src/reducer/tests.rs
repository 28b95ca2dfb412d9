use std::collections::BTreeMap;

use loadtest::Op;

use super::*;
use crate::event::{CallRef, Event, Kind};
use crate::measure::Run;
use crate::runlog::{BreakerState, Environment, Header, LinkCounts, SCHEMA_VERSION, TrialStart};

pub(super) const S: u64 = 1_000_000_000;
pub(super) const MS: u64 = 1_000_000;
/// Second 0 of the tests, far from zero as a real clock is.
pub(super) const T0: u64 = 1_000 * S;

pub(super) fn spec() -> TrialSpec {
    TrialSpec {
        trial: 0,
        t0_ns: T0,
        warm_up_ns: 2 * S,
        recovering_ns: 7 * S,
        faults: vec![("outage".to_owned(), "order-product".to_owned())],
        ..TrialSpec::default()
    }
}

pub(super) fn record(id: &str, op: Op, scheduled: u64, took: u64, outcome: Outcome) -> Record {
    let scheduled_ns = T0 + scheduled;
    Record {
        index: 0,
        request_id: id.to_owned(),
        op,
        scheduled_ns,
        started_ns: scheduled_ns,
        ended_ns: scheduled_ns + took,
        status: if outcome == Outcome::Ok { 200 } else { 503 },
        outcome,
        code: None,
        order_id: None,
        degraded: false,
        error: None,
        sent: true,
        customer: 1,
        lines: Vec::new(),
        stream: String::new(),
        priority: None,
        retry_after: false,
        attempts: 1,
        bytes: 0,
    }
}

pub(super) fn call(id: &str) -> CallRef {
    CallRef {
        link: "order-product".to_owned(),
        method: "GetProducts".to_owned(),
        request_id: id.to_owned(),
    }
}

pub(super) fn told(t: u64, kind: Kind) -> Told {
    Told::Event(Event {
        seq: 1,
        t_ns: T0 + t,
        service: "order".to_owned(),
        kind,
    })
}

pub(super) fn attempt(
    id: &str,
    number: u32,
    started: u64,
    ended: u64,
    failure: Option<&str>,
) -> Told {
    let kind = Kind::Attempt {
        call: call(id),
        attempt: number,
        started_ns: T0 + started,
        ok: failure.is_none(),
        status: None,
        failure: failure.map(str::to_owned),
        cancelled: failure == Some("cancelled"),
    };
    told(ended, kind)
}

pub(super) fn called(id: &str, attempts: u32, started: u64, ended: u64, outcome: &str) -> Told {
    let outcome = outcome.to_owned();
    told(
        ended,
        Kind::Call {
            call: call(id),
            outcome,
            attempts,
            started_ns: T0 + started,
        },
    )
}

pub(super) fn breaker(t: u64, from: BreakerState, to: BreakerState) -> Told {
    told(
        t,
        Kind::Breaker {
            link: "order-product".to_owned(),
            from,
            to,
        },
    )
}

pub(super) fn frames(entries: &[Entry]) -> Vec<&crate::runlog::Frame> {
    let frame = |e: &'_ Entry| matches!(e, Entry::Frame(_));
    entries
        .iter()
        .filter(|e| frame(e))
        .map(|e| match e {
            Entry::Frame(f) => f,
            _ => unreachable!(),
        })
        .collect()
}

/// Where each operation's requests were counted, in the order of the cells.
fn phases(entries: &[Entry]) -> Vec<(i64, Phase, u64)> {
    frames(entries)
        .iter()
        .flat_map(|f| {
            f.cells
                .iter()
                .map(|c| (f.second, c.phase, c.outcomes.total()))
        })
        .collect()
}

/// A fault from 10 s to 20 s, each step taking 20 ms.
pub(super) fn outage(r: &mut Reducer) {
    r.inject_begins("outage", T0 + 10 * S);
    r.inject_done("outage", T0 + 10 * S, T0 + 10 * S + 20 * MS);
    r.cleared("outage", T0 + 20 * S - 20 * MS, T0 + 20 * S);
}

#[test]
fn a_request_has_the_phase_of_its_life() {
    for (scheduled, took, want) in [
        (9 * S, S - 1, Phase::Before),
        // Its life touches the begin of the injection.
        (9 * S, S, Phase::During),
        (15 * S, MS, Phase::During),
        (20 * S, MS, Phase::During),
        (20 * S + 1, MS, Phase::Recovering),
        (27 * S - 1, 5 * S, Phase::Recovering),
        (27 * S, MS, Phase::After),
        // Longer than everything.
        (S, 40 * S, Phase::During),
    ] {
        let mut r = Reducer::new(spec());
        outage(&mut r);
        r.record(&record("a", Op::Browse, scheduled, took, Outcome::Ok));
        let second = ((scheduled + took) / S) as i64;
        assert_eq!(
            phases(&r.finish(T0 + 60 * S)),
            [(second, want, 1)],
            "{scheduled} {took}"
        );
    }
}

#[test]
fn the_warm_up_is_apart_and_must_be_steady() {
    let mut r = Reducer::new(spec());
    let mut early = record("a", Op::Browse, 0, MS, Outcome::Failed);
    for (before, outcome) in [
        (3 * S, Outcome::Failed),
        (S, Outcome::Ok),
        (S, Outcome::Rejected),
    ] {
        early.scheduled_ns = T0 - before;
        early.ended_ns = early.scheduled_ns + MS;
        early.outcome = outcome;
        r.record(&early);
    }
    assert_eq!((r.health().steady, r.health().unsteady), (2, 1));
    let entries = r.finish(T0);
    assert!(
        phases(&entries)
            .iter()
            .all(|(_, phase, _)| *phase == Phase::WarmUp)
    );
    assert_eq!(
        phases(&entries).iter().map(|p| p.0).collect::<Vec<_>>(),
        [-3, -1]
    );
}

#[test]
fn attempts_are_joined_by_request_whichever_comes_first() {
    let mut r = Reducer::new(spec());
    r.told(attempt("a", 1, 5 * S, 5 * S + MS, Some("unavailable")));
    r.told(attempt("a", 2, 5 * S + 2 * MS, 5 * S + 3 * MS, None));
    r.record(&record("a", Op::Order, 5 * S, 10 * MS, Outcome::Ok));
    // The call's end is told after the answer has been read.
    r.told(called("a", 2, 5 * S, 5 * S + 3 * MS, "ok"));
    let entries = r.tick(T0 + 7 * S);
    let links: Vec<_> = frames(&entries)
        .iter()
        .flat_map(|f| f.links.clone())
        .collect();
    assert_eq!(links.len(), 1);
    let want = LinkCounts {
        calls: 1,
        tried: 1,
        attempts: 2,
        attempts_failed: 1,
        retries: 1,
        ..LinkCounts::default()
    };
    assert_eq!((links[0].phase, links[0].counts), (Phase::Before, want));
    assert_eq!(links[0].outcomes.ok, 1);
}

#[test]
fn an_order_cut_off_at_its_second_call_had_a_first_one_that_was_not() {
    let mut r = Reducer::new(spec());
    outage(&mut r);
    let (first, second) = (10 * S - 50 * MS, 10 * S - MS);
    r.told(attempt("a", 1, first, first + MS, None));
    r.told(called("a", 1, first, first + MS, "ok"));
    for number in 1..=3 {
        let began = second + u64::from(number) * 10 * MS;
        r.told(attempt(
            "a",
            number,
            began,
            began + MS,
            Some("not_processed"),
        ));
    }
    r.told(called("a", 3, second, second + 40 * MS, "failed"));
    let scheduled = first - MS;
    r.record(&record(
        "a",
        Op::Order,
        scheduled,
        100 * MS,
        Outcome::Failed,
    ));
    let entries = r.finish(T0 + 60 * S);
    assert_eq!(phases(&entries), [(10, Phase::During, 1)]);
    let links = frames(&entries)
        .iter()
        .flat_map(|f| f.links.clone())
        .map(|l| (l.phase, l.counts.calls, l.counts.attempts))
        .collect::<Vec<_>>();
    assert_eq!(links, [(Phase::Before, 1, 1), (Phase::During, 1, 3)]);
}

#[test]
fn a_request_waits_for_its_events_and_later_ones_are_counted_in_its_place() {
    let mut r = Reducer::new(spec());
    r.record(&record("a", Op::Order, 5 * S, 900 * MS, Outcome::Failed));
    assert_eq!(phases(&r.tick(T0 + 5 * S + 900 * MS + HOLD_NS - 1)), []);
    let first = r.tick(T0 + 7 * S);
    assert_eq!(phases(&first), [(5, Phase::Before, 1)]);
    // Its frame is out already: the attempt comes in another of the same second.
    r.told(attempt("a", 1, 5 * S, 5 * S + MS, Some("timeout")));
    let second = r.tick(T0 + 7 * S + 50 * MS);
    let late: Vec<_> = frames(&second)
        .into_iter()
        .filter(|f| f.second == 5)
        .collect();
    assert_eq!(late.len(), 1);
    assert_eq!(
        (late[0].links[0].counts.attempts, late[0].cells.len()),
        (1, 0)
    );
}

#[test]
fn every_second_has_a_frame_even_an_empty_one() {
    let mut r = Reducer::new(spec());
    let entries = r.tick(T0 + 3 * S);
    let seconds: Vec<i64> = frames(&entries).iter().map(|f| f.second).collect();
    assert_eq!(seconds, [-2, -1, 0, 1]);
    assert_eq!(frames(&r.tick(T0 + 3 * S + 500 * MS)).len(), 1);
}

#[test]
fn refused_at_the_first_attempt_is_a_class_of_its_own() {
    let mut r = Reducer::new(spec());
    for (id, number) in [("first", 1), ("second", 2)] {
        r.told(told(
            12 * S,
            Kind::Refused {
                call: call(id),
                attempt: number,
                reason: "breaker".to_owned(),
            },
        ));
        r.record(&record(id, Op::Order, 12 * S, MS, Outcome::Rejected));
    }
    let elsewhere = CallRef {
        link: "order-user".to_owned(),
        method: String::new(),
        request_id: "third".to_owned(),
    };
    r.told(told(
        12 * S,
        Kind::Refused {
            call: elsewhere,
            attempt: 1,
            reason: "breaker".to_owned(),
        },
    ));
    r.record(&record("third", Op::Order, 12 * S, MS, Outcome::Rejected));
    let entries = r.finish(T0 + 20 * S);
    let cells = &frames(&entries)[0].cells;
    let by_class: Vec<_> = cells
        .iter()
        .map(|c| (c.refused, c.outcomes.rejected))
        .collect();
    assert_eq!(by_class, [(false, 2), (true, 1)]);
    let refused: u64 = frames(&entries)[0]
        .links
        .iter()
        .map(|l| l.counts.refused)
        .sum();
    assert_eq!(refused, 3);
}

#[test]
fn failures_in_a_row_are_counted_from_the_attempts() {
    let mut r = Reducer::new(spec());
    let outcomes = [
        Some("unavailable"),
        None,
        Some("timeout"),
        Some("not_processed"),
        Some("cancelled"), // nothing was learnt
        Some("internal"),
        Some("caller"), // an answer
        Some("unavailable"),
        Some("unavailable"),
    ];
    let mut in_a_row = Vec::new();
    for (i, failure) in outcomes.into_iter().enumerate() {
        let t = 10 * S + i as u64 * MS;
        r.told(attempt("a", 1, t, t, failure));
        r.told(breaker(t, BreakerState::Closed, BreakerState::Open));
        for entry in r.tick(T0 + t) {
            if let Entry::Breaker {
                failed_in_a_row, ..
            } = entry
            {
                in_a_row.push(failed_in_a_row);
            }
        }
    }
    assert_eq!(in_a_row, [1, 0, 1, 2, 2, 3, 0, 1, 2]);
}

#[test]
fn frames_show_the_breakers_of_their_own_second() {
    let mut r = Reducer::new(spec());
    r.told(breaker(2 * S + 1, BreakerState::Closed, BreakerState::Open));
    r.told(breaker(
        4 * S + 1,
        BreakerState::Open,
        BreakerState::HalfOpen,
    ));
    let entries = r.tick(T0 + 6 * S);
    let states: Vec<_> = frames(&entries)
        .iter()
        .filter(|f| f.second >= 0)
        .map(|f| f.breakers.get("order-product").copied())
        .collect();
    let want = [
        BreakerState::Closed,
        BreakerState::Closed,
        BreakerState::Open,
        BreakerState::Open,
        BreakerState::HalfOpen,
    ];
    assert_eq!(states, want.map(Some));
}

fn seen(entries: &[Entry]) -> Vec<crate::runlog::Seen> {
    entries
        .iter()
        .filter_map(|e| match e {
            Entry::Seen { seen, .. } => Some(*seen),
            _ => None,
        })
        .collect()
}

#[test]
fn what_a_fault_did_is_seen_in_the_attempts_of_its_window() {
    let mut r = Reducer::new(spec());
    let mut one = |id: &str, at: u64, took: u64, failure: Option<&str>| {
        r.told(attempt(id, 1, at, at + took, failure));
        r.record(&record(id, Op::Order, at, took, Outcome::Ok));
    };
    for i in 0..100_u64 {
        one(&format!("b{i}"), i * 10 * MS, (i + 1) * 100_000, None);
    }
    one("slow", 12 * S, 50 * MS, None);
    one("fine", 12 * S, MS, None);
    one("failed", 12 * S, MS, Some("not_processed"));
    one("own fault", 12 * S, MS, Some("caller"));
    one("after", 25 * S, 90 * MS, Some("unavailable"));
    outage(&mut r);
    let entries = r.finish(T0 + 40 * S);
    let want = crate::runlog::Seen {
        attempts: 4,
        failed: 1,
        slow: 1,
        attempts_before: 100,
        failed_before: 0,
    };
    assert_eq!(seen(&entries), [want]);
}

#[test]
fn a_fault_that_never_began_was_seen_by_nobody() {
    let mut r = Reducer::new(spec());
    r.record(&record("a", Op::Order, 12 * S, MS, Outcome::Failed));
    let entries = r.finish(T0 + 40 * S);
    assert_eq!(seen(&entries), []);
    assert_eq!(phases(&entries), [(12, Phase::Before, 1)]);
}

#[test]
fn phases_are_told_as_they_begin() {
    let mut r = Reducer::new(spec());
    let mut begun = r.tick(T0);
    outage(&mut r);
    begun.extend(r.tick(T0 + 21 * S));
    begun.extend(r.tick(T0 + 28 * S));
    let told: Vec<_> = begun
        .iter()
        .filter_map(|e| match e {
            Entry::Phase { phase, t_us, .. } => Some((*phase, *t_us)),
            _ => None,
        })
        .collect();
    use Phase::{After, Before, During, Recovering};
    assert_eq!(
        told,
        [
            (Before, 0),
            (During, 10_000_000),
            (Recovering, 20_000_000),
            (After, 27_000_000)
        ]
    );
}

#[test]
fn lost_events_are_told_and_remembered() {
    let mut r = Reducer::new(spec());
    r.told(Told::Gap {
        t_ns: T0 + S,
        service: "order".to_owned(),
        why: "3 missed".to_owned(),
    });
    assert!(r.health().gap);
    assert!(
        r.tick(T0 + S)
            .iter()
            .any(|e| matches!(e, Entry::Gap { .. }))
    );
}

#[test]
fn several_faults_have_a_hull_and_each_its_own_window() {
    let mut spec = spec();
    spec.faults
        .push(("slow".to_owned(), "order-user".to_owned()));
    let mut r = Reducer::new(spec);
    outage(&mut r);
    r.record(&record("a", Op::Browse, 22 * S, MS, Outcome::Ok));
    r.inject_begins("slow", T0 + 25 * S);
    r.cleared("slow", T0 + 26 * S, T0 + 26 * S);
    r.record(&record("b", Op::Browse, 25 * S + MS, MS, Outcome::Ok));
    r.record(&record("c", Op::Browse, 30 * S, MS, Outcome::Ok));
    let entries = r.finish(T0 + 60 * S);
    let cells: Vec<_> = frames(&entries)
        .iter()
        .flat_map(|f| f.cells.iter().map(|c| (c.phase, c.faults.clone())))
        .collect();
    assert_eq!(
        cells,
        [
            (Phase::During, vec![]),
            (Phase::During, vec!["slow".to_owned()]),
            (Phase::Recovering, vec![])
        ]
    );
}

/// Events that are delivered late, twenty to a second, give the same totals as
/// events that come at once.
#[test]
fn totals_do_not_depend_on_when_events_arrive() {
    let totals = |delay: u64| {
        let mut r = Reducer::new(spec());
        let mut entries = vec![Entry::Run(Box::new(header())), Entry::Trial(start())];
        let mut later: VecDeque<(u64, Told)> = VecDeque::new();
        for i in 0..600_u64 {
            let (t, id) = (i * 50 * MS, format!("r{i}"));
            if i == 200 {
                r.inject_begins("outage", T0 + 10 * S);
            }
            if i == 400 {
                r.cleared("outage", T0 + 20 * S, T0 + 20 * S);
            }
            let down = (200..400).contains(&i);
            let failure = down.then_some("not_processed");
            let tries = if down { 3 } else { 1 };
            for number in 1..=tries {
                later.push_back((t + delay, attempt(&id, number, t, t + MS, failure)));
            }
            let outcome = if down { "failed" } else { "ok" };
            later.push_back((t + delay, called(&id, tries, t, t + MS, outcome)));
            let judged = if down { Outcome::Failed } else { Outcome::Ok };
            r.record(&record(&id, Op::Order, t, 2 * MS, judged));
            while later.front().is_some_and(|(due, _)| *due <= t) {
                r.told(later.pop_front().unwrap().1);
            }
            entries.extend(r.tick(T0 + t));
        }
        later.into_iter().for_each(|(_, t)| r.told(t));
        entries.extend(r.finish(T0 + 40 * S));
        let run = Run::from_entries(&entries).unwrap();
        let trial = run.trials[0].clone();
        let all = [
            Phase::Before,
            Phase::During,
            Phase::Recovering,
            Phase::After,
        ];
        all.map(|phase| {
            let window = crate::figures::window_of(phase);
            let link = crate::checks::Selector::Link("order-product".to_owned());
            let t = trial.tally(&window, &crate::checks::Selector::All);
            let l = trial.tally(&window, &link);
            (t.requests(), t.outcomes.failed, l.counts, l.latency.len())
        })
    };
    let at_once = totals(0);
    assert_eq!(at_once.map(|p| p.0), [200, 201, 139, 60]);
    assert_eq!(
        at_once[1].2.attempts, 601,
        "three each, and one that was due at the clearing"
    );
    assert_eq!(totals(100 * MS), at_once);
    // Beyond the hold they are counted late, but counted.
    assert_eq!(totals(900 * MS), at_once);
}

pub(super) fn header() -> Header {
    Header {
        schema_version: SCHEMA_VERSION,
        scenario: "s".to_owned(),
        file: "s.toml".to_owned(),
        source: String::new(),
        seed: 1,
        quick: false,
        negative_control: false,
        defects: Vec::new(),
        point: None,
        repeats: 1,
        arms: vec!["a".to_owned()],
        environment: Environment {
            version: "0".to_owned(),
            kind: "test".to_owned(),
            os: "any".to_owned(),
            cores: 2,
            memory_bytes: None,
            started_at: String::new(),
        },
    }
}

pub(super) fn start() -> TrialStart {
    TrialStart {
        trial: 0,
        arm: "a".to_owned(),
        repeat: 1,
        go: 1,
        seed: 1,
        reset_us: 5_000_000,
        policies: BTreeMap::new(),
    }
}

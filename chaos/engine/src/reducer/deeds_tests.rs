//! What policies, doors and injectors did, from the events to the figures that checks name.

use loadtest::Op;
use proptest::prelude::*;

use super::tests::{
    MS, S, T0, attempt, breaker, call, called, header, outage, record, spec, start, told,
};
use super::*;
use crate::checks::{ArmTrials, Check, Measurements, Names, evaluate, parse};
use crate::event::{CallRef, Kind};
use crate::measure::Run;
use crate::runlog::BreakerState;

/// The trial that a reducer's lines are.
fn trial(mut entries: Vec<Entry>) -> crate::measure::Trial {
    let mut all = vec![Entry::Run(Box::new(header())), Entry::Trial(start())];
    all.append(&mut entries);
    // What is written can be read.
    let again: Vec<Entry> = all
        .iter()
        .map(|e| serde_json::from_str(&serde_json::to_string(e).unwrap()).unwrap())
        .collect();
    assert_eq!(again, all);
    Run::from_entries(&again).unwrap().trials.remove(0)
}

fn names() -> Names {
    Names {
        arms: vec!["a".to_owned()],
        faults: vec![("outage".to_owned(), "order-product".to_owned())],
        windows: vec!["peak".to_owned()],
        streams: vec!["vip".to_owned()],
        ..Names::default()
    }
}

/// What a metric is in this trial: `None` without data.
fn value(trial: &crate::measure::Trial, metric: &str) -> Option<f64> {
    let seconds = metric.contains("wait") || metric.contains("wasted") || metric.contains("max(");
    let that = format!("{metric} != {}", if seconds { "999s" } else { "999" });
    let check = Check {
        id: "c".to_owned(),
        predicate: parse(&that, &names()).unwrap_or_else(|e| panic!("{that}: {e:?}")),
        that,
        because: String::new(),
        precondition: false,
        quick: None,
    };
    let bound = Measurements {
        arms: vec![ArmTrials {
            name: "a",
            reset_s: 5.0,
            trials: vec![trial],
        }],
        duration_s: 40.0,
        seed: 1,
    };
    let result = evaluate(&check, &bound);
    if result.measured.is_none() && !result.evidence.contains("too few") {
        return None;
    }
    result.measured
}

fn kind(t: u64, kind: Kind) -> Told {
    told(t, kind)
}

/// One order that waits twice, hedges once, is shed once and leaves work behind.
fn eventful(r: &mut Reducer, id: &str, at: u64) {
    let c = || call(id);
    let door = CallRef {
        link: "product.server".to_owned(),
        ..c()
    };
    let attempt_2 = |what: fn(CallRef) -> Kind| kind(at + 20 * MS, what(call(id)));
    for event in [
        attempt(id, 1, at, at + 10 * MS, Some("unavailable")),
        kind(
            at + 10 * MS,
            Kind::Wait {
                call: c(),
                attempt: 2,
                wait_us: 100_000,
            },
        ),
        attempt_2(|call| Kind::Hedge {
            call,
            attempt: 2,
            after_us: 5,
        }),
        attempt_2(|call| Kind::HedgeWon { call, attempt: 2 }),
        attempt(id, 2, at + 110 * MS, at + 120 * MS, Some("unavailable")),
        kind(
            at + 120 * MS,
            Kind::Wait {
                call: c(),
                attempt: 3,
                wait_us: 300_000,
            },
        ),
        kind(
            at + 121 * MS,
            Kind::Shed {
                call: door.clone(),
                priority: None,
                reason: "limit".to_owned(),
            },
        ),
        attempt(id, 3, at + 420 * MS, at + 430 * MS, None),
        called(id, 3, at, at + 430 * MS, "ok"),
        // Work goes on after the answer.
        kind(
            at + 800 * MS,
            Kind::Wasted {
                call: door,
                took_us: 250_000,
            },
        ),
    ] {
        r.told(event);
    }
    r.record(&record(id, Op::Order, at, 440 * MS, Outcome::Ok));
}

#[test]
fn waits_hedges_doors_and_wasted_work_are_counted_where_they_belong() {
    let mut r = Reducer::new(spec());
    outage(&mut r);
    eventful(&mut r, "x", 2 * S);
    eventful(&mut r, "y", 12 * S);
    let t = trial(r.finish(T0 + 40 * S));
    for (metric, want) in [
        ("hedges(a)@before", 1.0),
        ("hedges(a)@during", 1.0),
        ("shed(a)", 2.0),
        ("shed(a, product.server)@during", 1.0),
        ("shed(a, order.server)", 0.0),
        ("attempts(a)", 6.0),
        ("retries(a)", 4.0),
        ("peak_attempts(a)", 1.0),
    ] {
        assert_eq!(value(&t, metric), Some(want), "{metric}");
    }
    let tally = t.tally(
        &crate::checks::Window::During,
        &crate::checks::Selector::AnyLink,
    );
    assert_eq!(
        (tally.counts.wasted_us, tally.counts.hedges_won),
        (250_000, 1)
    );
    assert_eq!(tally.waits[&2].sum_us, 100_000);
    assert_eq!(value(&t, "first_wait_max(a)"), Some(0.1));
    assert_eq!(value(&t, "second_wait_max(a)"), Some(0.3));
    assert_eq!(value(&t, "second_wait_max(a, order-user)"), None);
    let mean = tally.figure(crate::checks::Metric::SecondWaitMean, None, 0.0);
    assert_eq!(mean, Some(0.3));
}

#[test]
fn peaks_are_of_tenths_of_a_second_and_of_the_window() {
    let mut spec = spec();
    spec.marks = vec![("peak".to_owned(), 5_000_000, 6_000_000)];
    let mut r = Reducer::new(spec);
    // Thirty requests in a tenth of a second that hang for three, one by one else.
    for i in 0..30_u64 {
        r.record(&record(
            &format!("h{i}"),
            Op::Order,
            5 * S + i * MS,
            3 * S,
            Outcome::Failed,
        ));
    }
    for i in 0..20_u64 {
        let mut quick = record(&format!("q{i}"), Op::Browse, i * S, MS, Outcome::Ok);
        quick.stream = "vip".to_owned();
        r.record(&quick);
    }
    let t = trial(r.finish(T0 + 40 * S));
    for (metric, want) in [
        ("in_flight(a)", 30.0),
        ("in_flight(a)@peak", 30.0),
        ("peak_requests(a)@peak", 31.0),
        ("requests(a, vip)", 20.0),
        ("requests(a)@peak", 31.0),
        ("peak_attempts(a, load)", 0.0),
    ] {
        assert_eq!(value(&t, metric), Some(want), "{metric}");
    }
    // They were due in the window and answered after it.
    let answered = t.ended_in(&(5..6), &crate::checks::Selector::All);
    assert_eq!(answered[&5].requests(), 1);
    assert_eq!(t.named("peak").unwrap().from_s, 5.0);
    assert!((value(&t, "max(a)").unwrap() - 3.0).abs() < 0.01);
}

#[test]
fn what_goes_through_a_breaker_is_counted_from_the_attempts() {
    use BreakerState::{Closed, HalfOpen, Open};
    let mut r = Reducer::new(spec());
    r.inject_begins("outage", T0 + 10 * S);
    r.inject_done("outage", T0 + 10 * S, T0 + 10 * S + MS);
    let one = |r: &mut Reducer, at: u64, failure: Option<&str>| {
        r.told(attempt("a", 1, at, at + 2 * MS, failure));
    };
    one(&mut r, 9 * S, None);
    for i in 0..5 {
        one(&mut r, 10 * S + i * 100 * MS, Some("unavailable"));
    }
    r.told(breaker(10 * S + 450 * MS, Closed, Open));
    // Let through before it opened, begun a moment after.
    one(&mut r, 10 * S + 452 * MS, Some("unavailable"));
    // Against the rule.
    one(&mut r, 12 * S, Some("unavailable"));
    r.told(breaker(15 * S, Open, HalfOpen));
    one(&mut r, 15 * S - MS, Some("unavailable"));
    one(&mut r, 15 * S + MS, Some("unavailable"));
    r.told(breaker(15 * S + 5 * MS, HalfOpen, Open));
    r.cleared("outage", T0 + 20 * S, T0 + 20 * S);
    r.told(breaker(21 * S, Open, HalfOpen));
    one(&mut r, 21 * S, None);
    r.told(breaker(21 * S + 3 * MS, HalfOpen, Closed));
    let t = trial(r.finish(T0 + 40 * S));
    for (metric, want) in [
        ("attempts_while_open(a)", 1.0),
        ("trials_at_once(a)", 2.0),
        ("opened_after_calls(a)", 5.0),
        ("opened_after_failures(a)", 5.0),
        ("transitions(a)", 5.0),
        ("transitions(a)@outage", 3.0),
        ("opens(a)@during", 2.0),
        ("opens(a)@before", 0.0),
    ] {
        assert_eq!(value(&t, metric), Some(want), "{metric}");
    }
}

#[test]
fn injections_of_one_fault_are_one_window_with_gaps() {
    let mut spec = spec();
    spec.injections.insert("outage".to_owned(), 2);
    let mut r = Reducer::new(spec);
    for at in [10, 14] {
        r.inject_begins("outage", T0 + at * S);
        r.inject_done("outage", T0 + at * S, T0 + at * S);
        r.cleared("outage", T0 + (at + 2) * S, T0 + (at + 2) * S);
        // In the gap it is neither before nor recovering.
        r.record(&record(
            &format!("on{at}"),
            Op::Order,
            (at + 1) * S,
            MS,
            Outcome::Ok,
        ));
        r.record(&record(
            &format!("off{at}"),
            Op::Order,
            (at + 3) * S,
            MS,
            Outcome::Ok,
        ));
    }
    let t = trial(r.finish(T0 + 40 * S));
    for (metric, want) in [
        ("requests(a)@outage", 2.0),
        ("requests(a)@during", 3.0),
        ("requests(a)@recovering", 1.0),
    ] {
        assert_eq!(value(&t, metric), Some(want), "{metric}");
    }
    let window = crate::checks::Window::DuringFault("outage".to_owned());
    let length = t.length(&window, crate::measure::Lengths::default());
    assert_eq!(length, Some(4.0));
}

#[test]
fn who_acted_is_told_by_the_injector_first() {
    use crate::scenario::Action;
    let hit = |id: &str| Kind::Fault {
        fault: "flaky".to_owned(),
        call: call(id),
        attempt: 1,
        action: "fail".to_owned(),
        delay_us: None,
    };
    let mut r = Reducer::new(spec());
    r.told(told(S, hit("a")));
    r.told(told(2 * S, hit("b")));
    let mut entries = r.finish(T0 + 40 * S);
    let acted = |fault: &str, by: &str, acted| Entry::Acted {
        trial: 0,
        fault: fault.to_owned(),
        by: by.to_owned(),
        matched: Some(9),
        acted,
    };
    entries.extend([
        acted("slow", "l7", 3),
        acted("slow", "l7", 4),
        acted("idle", "l7", 0),
        acted("outage", "proxy", 0),
    ]);
    let t = trial(entries);
    assert_eq!(t.acted(Some("flaky")), Some(2));
    assert_eq!(t.acted(Some("slow")), Some(7));
    assert_eq!(
        (t.acted["slow"].matched, t.hits["flaky"][&1]),
        (Some(18), 1)
    );
    assert_eq!(t.acted(None), Some(9));
    assert_eq!(t.acted(Some("nobody")), None);
    let acted = |name| crate::verdict::acted(&t, name, &Action::Down);
    assert!(acted("flaky") && acted("slow") && !acted("idle"));
    assert!(!acted("outage"), "nothing was counted and nothing seen");
    assert!(crate::verdict::condition_acted(&t, "slow"));
    assert!(!crate::verdict::condition_acted(&t, "nobody"));
}

#[test]
fn a_fault_on_a_part_shows_on_every_link_to_it() {
    use super::story::breaks;
    assert!(breaks("user-service", "order-user") && breaks("user-service", "gateway-user"));
    assert!(!breaks("user-service", "order-product") && !breaks("gateway", "gateway-user"));
    assert!(breaks("order-product.2", "order-product"));
}

#[test]
fn rows_are_handed_out_once_and_only_when_wanted() {
    let mut r = Reducer::new(TrialSpec {
        rows: true,
        ..spec()
    });
    outage(&mut r);
    r.record(&record("x", Op::Order, 12 * S, 7 * MS, Outcome::Failed));
    r.tick(T0 + 12 * S);
    assert!(r.counted().is_empty(), "it waits for its events");
    r.tick(T0 + 13 * S);
    let rows = r.counted();
    assert_eq!(rows.len(), 1);
    assert_eq!(
        (rows[0].scheduled_us, rows[0].ended_us),
        (12_000_000, 12_007_000)
    );
    assert_eq!(
        (rows[0].phase, rows[0].faults.as_slice()),
        (Phase::During, &["outage".to_owned()][..])
    );
    assert!(r.counted().is_empty());
    let mut silent = Reducer::new(spec());
    silent.record(&record("x", Op::Order, 12 * S, 7 * MS, Outcome::Failed));
    silent.finish(T0 + 20 * S);
    assert!(silent.counted().is_empty());
}

/// What is told of a request, and what is not its events' order.
#[derive(Clone, Debug)]
enum Piece {
    Told(Told),
    Record(Record),
}

fn pieces() -> Vec<Piece> {
    let mut all = Vec::new();
    for i in 0..12_u64 {
        let (id, at) = (format!("r{i}"), 2 * S + i * 700 * MS);
        let failure = (i % 3 == 0).then_some("unavailable");
        all.push(Piece::Told(attempt(&id, 1, at, at + MS, failure)));
        if failure.is_some() {
            let wait = Kind::Wait {
                call: call(&id),
                attempt: 2,
                wait_us: i,
            };
            all.push(Piece::Told(told(at + MS, wait)));
            all.push(Piece::Told(attempt(&id, 2, at + 2 * MS, at + 3 * MS, None)));
        }
        let tries = if failure.is_some() { 2 } else { 1 };
        all.push(Piece::Told(called(&id, tries, at, at + 3 * MS, "ok")));
        let waste = Kind::Wasted {
            call: call(&id),
            took_us: 10 + i,
        };
        all.push(Piece::Told(told(at + 5 * MS, waste)));
        all.push(Piece::Record(record(
            &id,
            Op::Order,
            at,
            4 * MS,
            Outcome::Ok,
        )));
    }
    all
}

fn sums(order: &[Piece], ticks: bool) -> (u64, LinkSums, Vec<u64>) {
    let mut r = Reducer::new(spec());
    let mut entries = Vec::new();
    for (i, piece) in order.iter().enumerate() {
        match piece {
            Piece::Told(t) => r.told(t.clone()),
            Piece::Record(record) => r.record(record),
        }
        if ticks {
            entries.extend(r.tick(T0 + i as u64 * 400 * MS));
        }
    }
    entries.extend(r.finish(T0 + 40 * S));
    let t = trial(entries);
    let whole = crate::checks::Window::Whole;
    let link = crate::checks::Selector::Link("order-product".to_owned());
    let l = t.tally(&whole, &link);
    let waits = l.waits.iter().map(|(n, w)| (*n, w.n, w.sum_us)).collect();
    let begun: Vec<u64> = t.begun["order-product"]
        .values()
        .map(|tenths| tenths.iter().map(|n| u64::from(*n)).sum())
        .collect();
    let requests = t.tally(&whole, &crate::checks::Selector::All).requests();
    (requests, (l.counts, l.outcomes, waits), begun)
}

type LinkSums = (crate::runlog::LinkCounts, Outcomes, Vec<(u32, u64, u64)>);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However records and events are interleaved, and whenever the clock is looked at.
    #[test]
    fn any_order_gives_the_same_sums(order in Just(pieces()).prop_shuffle(), ticks: bool) {
        prop_assert_eq!(sums(&order, ticks), sums(&pieces(), false));
    }
}

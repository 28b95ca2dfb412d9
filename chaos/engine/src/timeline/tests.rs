//! The time line with an injector that only writes down, on the paused clock.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::scenario::{
    Again, Condition, Effect, Fault, Fixtures, ProcessAction, RequestFault, Schedule, Share,
};

/// Writes down what it is told, with the time, and fails where it is told to.
struct Notes {
    clock: Instant,
    log: Mutex<Vec<String>>,
    /// Answers `clear` with errors so often.
    clears_failing: Mutex<u32>,
    /// Injections of this fault fail.
    refuses: Option<&'static str>,
    /// Renewals fail.
    loses_leases: bool,
    /// How long an injection takes.
    takes: Duration,
}

impl Notes {
    fn new() -> Self {
        Self {
            clock: Instant::now(),
            log: Mutex::default(),
            clears_failing: Mutex::new(0),
            refuses: None,
            loses_leases: false,
            takes: Duration::ZERO,
        }
    }

    fn note(&self, what: &str) {
        let at = self.clock.elapsed().as_millis();
        self.log.lock().push(format!("{at} {what}"));
    }

    fn told(&self, of: &str) -> Vec<String> {
        let log = self.log.lock();
        log.iter()
            .filter(|line| line.contains(of))
            .cloned()
            .collect()
    }
}

fn failed() -> EngineError {
    EngineError::http("a test", "as it was told")
}

#[async_trait::async_trait]
impl Injector for Notes {
    async fn inject(&self, order: Order<'_>) -> Result<(), EngineError> {
        self.note(&format!("inject {}", order.name));
        tokio::time::sleep(self.takes).await;
        match self.refuses {
            Some(name) if name == order.name => Err(failed()),
            _ => Ok(()),
        }
    }

    async fn renew(&self, order: Order<'_>) -> Result<(), EngineError> {
        self.note(&format!("renew {}", order.name));
        if self.loses_leases {
            Err(failed())
        } else {
            Ok(())
        }
    }

    async fn clear(&self, order: Order<'_>) -> Result<Count, EngineError> {
        self.note(&format!("clear {}", order.name));
        let mut failing = self.clears_failing.lock();
        if *failing > 0 {
            *failing -= 1;
            return Err(failed());
        }
        Ok(Count {
            matched: None,
            acted: Some(3),
        })
    }

    async fn clear_all(&self) -> Result<(), EngineError> {
        self.note("clear all");
        Ok(())
    }
}

fn fault(name: &str, at: u64, lasts: u64) -> Fault {
    Fault {
        name: name.to_owned(),
        at: Duration::from_secs(at),
        lasts: Duration::from_secs(lasts),
        again: None,
        drawn: None,
        link: "order-product".to_owned(),
        action: Action::Down,
        inject: true,
    }
}

fn schedule(faults: Vec<Fault>) -> Schedule {
    Schedule {
        repeats: 1,
        warm_up: Duration::ZERO,
        duration: Duration::from_secs(60),
        streams: Vec::new(),
        history: None,
        fixtures: Fixtures::default(),
        conditions: Vec::new(),
        faults,
        windows: Vec::new(),
        storm: None,
    }
}

/// Plays a schedule that begins now; returns what came of it, and what was told.
async fn played(
    notes: &Notes,
    faults: Vec<Fault>,
    stop: CancellationToken,
) -> (Result<(), EngineError>, Vec<Step>) {
    let (steps, mut told) = mpsc::channel(256);
    let clock = Clock::now();
    let schedule = schedule(faults);
    let played = play(&schedule, clock.now_ns(), clock, notes, steps, stop).await;
    let mut all = Vec::new();
    while let Some(step) = told.recv().await {
        all.push(step);
    }
    (played, all)
}

fn acted(steps: &[Step], name: &str) -> Option<u64> {
    steps.iter().find_map(|step| match step {
        Step::Acted { fault, count, .. } if fault == name => count.acted,
        _ => None,
    })
}

#[tokio::test(start_paused = true)]
async fn faults_come_and_go_at_their_times_and_are_renewed_in_between() {
    let notes = Notes::new();
    let faults = vec![fault("long", 10, 12), fault("short", 12, 3)];
    let (played, steps) = played(&notes, faults, CancellationToken::new()).await;
    played.unwrap();
    assert_eq!(
        notes.log.into_inner(),
        [
            "10000 inject long",
            "12000 inject short",
            "15000 renew long",
            "15000 clear short",
            "20000 renew long",
            "22000 clear long",
        ]
    );
    assert_eq!(
        (acted(&steps, "long"), acted(&steps, "short")),
        (Some(3), Some(3))
    );
    let kinds = |name: &str| -> Vec<&'static str> {
        steps
            .iter()
            .filter_map(|step| match step {
                Step::InjectBegins { fault, .. } if fault == name => Some("begins"),
                Step::Injected { fault, .. } if fault == name => Some("injected"),
                Step::Cleared { fault, .. } if fault == name => Some("cleared"),
                Step::Acted { fault, .. } if fault == name => Some("acted"),
                _ => None,
            })
            .collect()
    };
    assert_eq!(kinds("long"), ["begins", "injected", "cleared", "acted"]);
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_comes_again_is_counted_in_all() {
    let notes = Notes::new();
    let mut flap = fault("flap", 1, 1);
    flap.again = Some(Again {
        every: Duration::from_secs(2),
        times: 3,
    });
    let (played, steps) = played(&notes, vec![flap], CancellationToken::new()).await;
    played.unwrap();
    assert_eq!(
        notes.log.into_inner(),
        [
            "1000 inject flap",
            "2000 clear flap",
            "3000 inject flap",
            "4000 clear flap",
            "5000 inject flap",
            "6000 clear flap",
        ]
    );
    assert_eq!(acted(&steps, "flap"), Some(9));
    let told = steps.iter().filter(|s| matches!(s, Step::Acted { .. }));
    assert_eq!(told.count(), 1, "one fault, one count");
}

#[tokio::test(start_paused = true)]
async fn a_slow_injector_keeps_no_other_fault_waiting() {
    let mut notes = Notes::new();
    notes.takes = Duration::from_secs(3);
    let faults = vec![fault("a", 1, 10), fault("b", 2, 10)];
    let (played, _) = played(&notes, faults, CancellationToken::new()).await;
    played.unwrap();
    assert_eq!(notes.told("inject"), ["1000 inject a", "2000 inject b"]);
    assert_eq!(notes.told("clear"), ["11000 clear a", "12000 clear b"]);
}

#[tokio::test(start_paused = true)]
async fn a_restart_is_over_when_the_part_is_healthy() {
    let mut notes = Notes::new();
    notes.takes = Duration::from_secs(4);
    let mut restart = fault("restart", 1, 0);
    restart.action = Action::Process(ProcessAction::Restart);
    let (played, _) = played(&notes, vec![restart], CancellationToken::new()).await;
    played.unwrap();
    assert_eq!(notes.told("clear"), ["5000 clear restart"]);
}

#[tokio::test(start_paused = true)]
async fn stopped_early_it_clears_what_is_on_and_injects_nothing_more() {
    let notes = Notes::new();
    let stop = CancellationToken::new();
    let stopping = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        stop.cancel();
    };
    let faults = vec![fault("on", 1, 30), fault("later", 20, 5)];
    let (done, ()) = tokio::join!(played(&notes, faults, stop.clone()), stopping);
    done.0.unwrap();
    assert_eq!(notes.log.into_inner(), ["1000 inject on", "5000 clear on"]);
}

#[tokio::test(start_paused = true)]
async fn an_injection_that_fails_is_cleared_and_ends_the_others() {
    let mut notes = Notes::new();
    notes.refuses = Some("bad");
    let faults = vec![fault("good", 1, 30), fault("bad", 4, 5)];
    let (played, _) = played(&notes, faults, CancellationToken::new()).await;
    assert!(played.unwrap_err().to_string().contains("as it was told"));
    assert_eq!(
        notes.log.into_inner(),
        [
            "1000 inject good",
            "4000 inject bad",
            "4000 clear bad",
            "4000 clear good"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_clearing_is_tried_again_and_then_everything_is_cleared() {
    let notes = Notes::new();
    *notes.clears_failing.lock() = 2;
    let (twice, _) = played(&notes, vec![fault("a", 1, 1)], CancellationToken::new()).await;
    twice.unwrap();
    assert_eq!(notes.told("clear").len(), 3);

    let notes = Notes::new();
    *notes.clears_failing.lock() = u32::MAX;
    let (never, _) = played(&notes, vec![fault("a", 1, 1)], CancellationToken::new()).await;
    assert!(never.is_err());
    assert_eq!(notes.told("clear all").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_can_not_be_renewed_ends_the_run_before_it_is_over() {
    let mut notes = Notes::new();
    notes.loses_leases = true;
    let (played, _) = played(&notes, vec![fault("a", 0, 50)], CancellationToken::new()).await;
    assert!(played.is_err());
    assert_eq!(
        notes.told("renew"),
        ["5000 renew a", "10000 renew a", "15000 renew a"]
    );
    assert_eq!(notes.told("clear"), ["15000 clear a"]);
}

fn condition(name: &str) -> Condition {
    Condition {
        name: name.to_owned(),
        link: "gateway-product".to_owned(),
        action: Action::Request(RequestFault {
            methods: Vec::new(),
            callers: Vec::new(),
            users: Vec::new(),
            effect: Effect::Hang(Share { share: 0.5 }),
        }),
        inject: true,
    }
}

#[tokio::test(start_paused = true)]
async fn conditions_hold_from_the_beginning_to_the_end() {
    let notes = Notes::new();
    let conditions = [condition("a"), condition("b")];
    put(conditions.iter(), &notes).await.unwrap();
    assert_eq!(notes.log.lock().as_slice(), ["0 inject a", "0 inject b"]);
    let (steps, mut told) = mpsc::channel(16);
    let over = CancellationToken::new();
    let ending = async {
        tokio::time::sleep(Duration::from_secs(7)).await;
        over.cancel();
    };
    let kept = keep(conditions.iter(), &notes, steps, over.clone());
    let (kept, ()) = tokio::join!(kept, ending);
    kept.unwrap();
    assert_eq!(notes.told("renew"), ["5000 renew a", "5000 renew b"]);
    assert_eq!(notes.told("clear"), ["7000 clear a", "7000 clear b"]);
    let Some(Step::Acted { fault, by, count }) = told.recv().await else {
        panic!("a condition needs proof too")
    };
    assert_eq!((fault.as_str(), by, count.acted), ("a", "l7", Some(3)));
}

#[tokio::test(start_paused = true)]
async fn of_conditions_that_can_not_all_be_had_none_stays() {
    let mut notes = Notes::new();
    notes.refuses = Some("b");
    let conditions = [condition("a"), condition("b")];
    assert!(put(conditions.iter(), &notes).await.is_err());
    assert_eq!(notes.told("clear"), ["0 clear all"]);
}

#[test]
fn counts_add_up_and_nobody_counting_is_not_zero() {
    let of = |matched, acted| Count { matched, acted };
    assert_eq!(of(None, None).plus(of(None, None)), Count::default());
    assert_eq!(
        of(Some(2), Some(1)).plus(of(Some(3), None)),
        of(Some(5), Some(1))
    );
}

use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::state::{Arrived, State, Waits};
use super::*;
use crate::limit::LimitConfig;
use crate::policy::PolicyError;

const MS: fn(u64) -> Duration = Duration::from_millis;
use Priority::{Critical, CriticalPlus, Sheddable, SheddablePlus};

fn policy(change: &Value) -> ServerPolicy {
    let mut spec = json!({"preset": "static", "limit": {"max": 2}, "queue": {"max_waiting": 3}});
    for (field, value) in change.as_object().unwrap() {
        spec[field] = value.clone();
    }
    ServerSpec::try_from(spec).unwrap().resolve().unwrap()
}

/// A door whose two slots are taken. Waiters are called by a number each.
struct Full {
    state: State<u32>,
    next: u32,
}

impl Full {
    fn new(change: &Value) -> Self {
        let mut state = State::new(&policy(change));
        for _ in 0..2 {
            let arrived = state.arrive(CriticalPlus, None, Instant::now(), || (0, ()));
            assert!(matches!(arrived, Arrived::In));
        }
        Self { state, next: 0 }
    }

    fn arrive(&mut self, level: Priority) -> Result<Waits<u32, ()>, ShedReason> {
        self.next += 1;
        let ticket = self.next;
        match self
            .state
            .arrive(level, None, Instant::now(), || (ticket, ()))
        {
            Arrived::Waits(waits) => Ok(waits),
            Arrived::Refused(reason) => Err(reason),
            Arrived::In => panic!("let in beyond the limit"),
        }
    }

    /// One is done after `took`; who is let in for it?
    fn done(&mut self, took: Duration) -> Vec<u32> {
        self.state.release(Some(took), Some(false), Instant::now());
        self.granted()
    }

    fn granted(&mut self) -> Vec<u32> {
        let grants = self.state.grant(Instant::now());
        grants.first.into_iter().chain(grants.more).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn who_matters_more_comes_first_and_equals_in_their_order() {
    let mut door = Full::new(&json!({"queue": {"max_waiting": 4}}));
    for level in [Sheddable, Critical, CriticalPlus, Critical] {
        door.arrive(level).unwrap();
    }
    let order: Vec<u32> = (0..4).flat_map(|_| door.done(MS(1))).collect();
    assert_eq!(order, [3, 2, 4, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_gives_way_to_who_matters_more() {
    let mut door = Full::new(&json!({}));
    for level in [Sheddable, Critical, Sheddable] {
        door.arrive(level).unwrap();
    }
    assert_eq!(door.arrive(Sheddable).unwrap_err(), ShedReason::Full);
    let displaced = |waits: Waits<u32, ()>| waits.displaced;
    assert_eq!(
        door.arrive(SheddablePlus).map(displaced),
        Ok(Some(3)),
        "the newest"
    );
    assert_eq!(door.arrive(CriticalPlus).map(displaced), Ok(Some(1)));
    assert_eq!(door.arrive(Critical).map(displaced), Ok(Some(5)));
    assert_eq!(
        door.arrive(Critical).unwrap_err(),
        ShedReason::Full,
        "nobody displaces an equal"
    );
    assert_eq!(door.state.view().waiting, 3);
}

#[tokio::test(start_paused = true)]
async fn a_share_is_kept_for_those_above() {
    let shed =
        json!({"critical_plus": 1.0, "critical": 1.0, "sheddable_plus": 0.5, "sheddable": 0.0});
    let mut state = State::new(&policy(&json!({"shed": shed})));
    let now = Instant::now();
    let mut arrive = |level| state.arrive(level, None, now, || (9, ()));
    assert!(matches!(arrive(SheddablePlus), Arrived::In));
    assert!(
        matches!(arrive(SheddablePlus), Arrived::Waits(_)),
        "half of two is one"
    );
    assert!(
        matches!(arrive(Sheddable), Arrived::Refused(ShedReason::Priority)),
        "shut out altogether"
    );
    assert!(
        matches!(arrive(Critical), Arrived::In),
        "past those who wait"
    );
    state.release(Some(MS(1)), Some(false), now);
    assert!(
        state.grant(now).first.is_none(),
        "one is under way: still all of that level's share"
    );
    state.release(Some(MS(1)), Some(false), now);
    assert_eq!(state.grant(now).first, Some(9));
}

#[tokio::test(start_paused = true)]
async fn without_a_queue_it_is_told_whether_the_level_or_the_limit_is_in_the_way() {
    let shed =
        json!({"critical_plus": 1.0, "critical": 1.0, "sheddable_plus": 0.5, "sheddable": 0.5});
    let mut state = State::new(&policy(&json!({"shed": shed, "queue": "off"})));
    let now = Instant::now();
    let mut arrive = |level| state.arrive(level, None, now, || (0, ()));
    assert!(matches!(arrive(Sheddable), Arrived::In));
    assert!(matches!(
        arrive(Sheddable),
        Arrived::Refused(ShedReason::Priority)
    ));
    assert!(matches!(arrive(Critical), Arrived::In));
    assert!(matches!(
        arrive(Sheddable),
        Arrived::Refused(ShedReason::Full)
    ));
    assert!(matches!(
        arrive(CriticalPlus),
        Arrived::Refused(ShedReason::Full)
    ));
}

#[tokio::test(start_paused = true)]
async fn a_standing_queue_cuts_the_wait_of_newcomers() {
    let codel = json!({"target": "5ms", "interval": "20ms"});
    let mut door = Full::new(&json!({"queue": {"max_waiting": 3, "codel": codel}}));
    let start = Instant::now();
    let first = door.arrive(Critical).unwrap();
    assert_eq!(first.until, Some(start + MS(100)));
    tokio::time::advance(MS(19)).await;
    let second = door.arrive(Critical).unwrap();
    assert_eq!(second.until, Some(start + MS(119)), "not for long enough");
    tokio::time::advance(MS(1)).await;
    let third = door.arrive(Critical).unwrap();
    assert_eq!(third.until, Some(start + MS(25)));
    assert_eq!([door.done(MS(1)), door.done(MS(1))], [[1], [2]]);
    assert!(door.state.leave(third.place));
    assert_eq!(
        door.arrive(Critical).unwrap().until,
        Some(start + MS(120)),
        "it has been empty"
    );
}

#[tokio::test(start_paused = true)]
async fn the_earlier_of_deadline_and_patience_counts() {
    let mut state = Full::new(&json!({})).state;
    let now = Instant::now();
    let mut until = |deadline| match state.arrive(Critical, deadline, now, || (0, ())) {
        Arrived::Waits(waits) => (waits.until, waits.late),
        other => panic!("{other:?}"),
    };
    assert_eq!(until(None), (Some(now + MS(100)), ShedReason::Wait));
    let early = Some(now + MS(99));
    assert_eq!(until(early), (early, ShedReason::Deadline));
    let late = Some(now + MS(101));
    assert_eq!(until(late), (Some(now + MS(100)), ShedReason::Wait));
}

#[tokio::test(start_paused = true)]
async fn who_is_late_gets_no_slot() {
    let mut door = Full::new(&json!({"queue": {"max_waiting": 3, "max_wait": "50ms"}}));
    door.arrive(Critical).unwrap();
    tokio::time::advance(MS(30)).await;
    door.arrive(Critical).unwrap();
    tokio::time::advance(MS(20)).await;
    door.state
        .release(Some(MS(50)), Some(false), Instant::now());
    let grants = door.state.grant(Instant::now());
    assert_eq!((grants.first, grants.late), (Some(2), vec![1]));
}

#[tokio::test(start_paused = true)]
async fn come_back_when_the_queue_will_have_been_served() {
    let mut door = Full::new(&json!({}));
    assert_eq!(door.state.retry_after(), MS(10), "nothing known yet");
    door.state
        .release(Some(MS(400)), Some(false), Instant::now());
    let _ = door
        .state
        .arrive(Critical, None, Instant::now(), || (0, ()));
    assert_eq!(
        door.state.retry_after(),
        MS(400),
        "at least one request's time"
    );
    for _ in 0..3 {
        door.arrive(Critical).unwrap();
    }
    assert_eq!(door.state.retry_after(), MS(800), "four turns at two slots");
    assert_eq!(door.done(MS(1_200)).len(), 1);
    // The mean moves by an eighth: 500 ms; three turns left.
    assert_eq!(door.state.retry_after(), MS(750));
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_falls_admits_nobody_and_one_that_rises_several() {
    let limit = json!({
        "kind": "aimd", "initial": 2, "min": 1, "max": 10, "backoff": 0.5,
        "slow_after": "50ms", "window": "0s",
    });
    let mut door = Full::new(&json!({"limit": limit}));
    for _ in 0..3 {
        door.arrive(Critical).unwrap();
    }
    assert!(door.done(MS(51)).is_empty(), "1 of 1 is under way");
    assert_eq!(door.state.view().limit, Some(1));
    assert_eq!(door.done(MS(10)), [1, 2], "the limit is 2 again");
    assert_eq!(door.done(MS(10)), [3]);
}

fn resolve(spec: Value) -> Result<ServerPolicy, PolicyError> {
    ServerSpec::try_from(spec)?.resolve()
}

#[test]
fn changes_are_merged_field_by_field() {
    let policy = resolve(json!({
        "preset": "shed", "limit": {"max": 16}, "queue": {"codel": "off"}, "shed": {"sheddable": 0.25},
    }))
    .unwrap();
    let shed = preset::shed();
    assert_eq!(
        policy,
        ServerPolicy {
            limit: Some(LimitConfig::Fixed { max: 16 }),
            queue: Some(QueueConfig {
                codel: None,
                ..shed.queue.unwrap()
            }),
            shed: Some(ShedConfig {
                sheddable: 0.25,
                ..shed.shed.unwrap()
            }),
            ..shed
        }
    );
    assert_eq!(
        ServerSpec::from("vegas").resolve().unwrap(),
        preset::vegas()
    );
}

#[test]
fn a_limit_of_another_kind_is_given_whole() {
    let error =
        resolve(json!({"preset": "static", "limit": {"kind": "vegas", "max": 9}})).unwrap_err();
    assert_eq!(error.to_string(), "`limit.initial` is missing");
    let vegas = json!({
        "kind": "vegas", "initial": 5, "min": 1, "max": 9, "smoothing": 1.0, "window": "1s",
    });
    let policy = resolve(json!({"preset": "static", "limit": vegas})).unwrap();
    assert!(matches!(
        policy.limit,
        Some(LimitConfig::Vegas { max: 9, .. })
    ));
}

#[test]
fn presets_of_the_other_end_are_told_as_such() {
    let error = resolve(json!("fast")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "preset `fast` is a caller's; a server's presets are: \
         unlimited, static, aimd, gradient2, vegas, shed"
    );
    assert_eq!(error.path(), "preset");
    let error = crate::PolicySpec::from("vegas")
        .resolve()
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("preset `vegas` is a server's; a caller's presets are: none"),
        "{error}"
    );
    let error = resolve(json!("gradient")).unwrap_err().to_string();
    assert!(error.contains("did you mean `gradient2`?"), "{error}");
}

#[test]
fn every_wrong_value_is_named_by_its_field() {
    let gradient2 =
        |field: &str, value: Value| json!({"preset": "gradient2", "limit": {field: value}});
    let shed = |part: &str, change: Value| json!({"preset": "shed", part: change});
    let wrong = [
        (shed("limit", json!({"max": 0})), "limit.max"),
        (shed("limit", json!({"maximum": 1})), "limit.maximum"),
        (shed("limit", json!({"kind": "statik"})), "limit.kind"),
        (shed("limit", json!("on")), "limit"),
        (gradient2("min", json!(0)), "limit.min"),
        (gradient2("max", json!(3)), "limit.max"),
        (gradient2("initial", json!(201)), "limit.initial"),
        (gradient2("tolerance", json!(0.9)), "limit.tolerance"),
        (gradient2("smoothing", json!(0.0)), "limit.smoothing"),
        (gradient2("long_window", json!(0)), "limit.long_window"),
        (gradient2("window", json!("2years")), "limit.window"),
        (
            json!({"preset": "aimd", "limit": {"backoff": 1.0}}),
            "limit.backoff",
        ),
        (
            json!({"preset": "aimd", "limit": {"slow_after": "0s"}}),
            "limit.slow_after",
        ),
        (
            json!({"preset": "vegas", "limit": {"smoothing": 1.1}}),
            "limit.smoothing",
        ),
        (
            shed("queue", json!({"max_waiting": 0})),
            "queue.max_waiting",
        ),
        (shed("queue", json!({"max_wait": "0s"})), "queue.max_wait"),
        (shed("queue", json!({"max_wait": 100})), "queue.max_wait"),
        (
            shed("queue", json!({"codel": {"target": "101ms"}})),
            "queue.codel.target",
        ),
        (
            shed("queue", json!({"codel": {"interval": "0s"}})),
            "queue.codel.interval",
        ),
        (shed("shed", json!({"critical": 1.5})), "shed.critical"),
        (
            shed("shed", json!({"sheddable": 0.8})),
            "shed.sheddable_plus",
        ),
        (
            shed("shed", json!({"critical_plus": 0.9})),
            "shed.critical_plus",
        ),
        (shed("sched", json!("off")), "sched"),
        (json!({"limit": "off"}), "preset"),
        (json!(7), "policy"),
    ];
    for (spec, path) in wrong {
        let error = resolve(spec.clone()).unwrap_err();
        assert_eq!(error.path(), path, "{spec}: {error}");
        assert!(error.to_string().contains(path), "{error}");
    }
}

#[test]
fn every_preset_survives_being_written() {
    for name in preset::names() {
        let policy = preset::get(name).unwrap();
        let json = serde_json::to_string(&policy).unwrap();
        assert_eq!(serde_json::from_str::<ServerPolicy>(&json).unwrap(), policy);
        let toml = toml::to_string(&policy).unwrap();
        assert_eq!(toml::from_str::<ServerPolicy>(&toml).unwrap(), policy);
        let spec = ServerSpec::from(&policy);
        assert_eq!(spec.resolve().unwrap(), policy);
        let written = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<ServerSpec>(&written).unwrap(), spec);
    }
}

proptest! {
    #[test]
    fn any_value_is_read_or_refused_without_a_panic(field in "[a-z_.]{0,12}", value in ".{0,12}") {
        let mut spec = json!({"preset": "shed", "limit": {}, "queue": {}, "shed": {}});
        for part in ["limit", "queue", "shed"] {
            spec[part][&field] = json!(value);
        }
        let _ = resolve(spec.clone());
        spec["limit"] = json!(value);
        let _ = resolve(spec);
    }
}

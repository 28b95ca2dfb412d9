use std::sync::atomic::AtomicUsize;

use super::{
    super::serve::{Ending, serve},
    *,
};
use crate::lab::events::Listener;

fn faults() -> Faults {
    let faults = Faults::new("product", EventBus::new("product"));
    faults.serve_client("product-cache");
    faults
}

fn add(faults: &Faults, id: &str, action: Value) -> Value {
    let body = json!({ "id": id, "seed": 3, "link": "order-product", "action": action });
    faults.add(body.to_string().as_bytes()).unwrap()
}

fn seen(request_id: &str, attempt: u32) -> Seen {
    Seen {
        request_id: request_id.into(),
        attempt,
        ..Seen::server("product", "order", "GetProducts")
    }
}

/// Serves a request whose handler answers 7 at once.
fn ask(faults: &Faults, seen: Seen) -> impl Future<Output = Ending<u32>> + Send + 'static {
    let plan = faults.decide(&seen);
    serve(faults.clone(), Arc::new(seen), plan, None, async { 7 })
}

async fn next(listener: &mut Listener, kind: &str) -> Value {
    loop {
        let line = listener.next().await.unwrap();
        let event: Value = serde_json::from_slice(&line).unwrap();
        if event["kind"] == kind {
            return event;
        }
    }
}

fn answered(ending: &Ending<u32>) -> bool {
    matches!(ending, Ending::Answered(7))
}

#[tokio::test(start_paused = true)]
async fn a_fault_goes_with_its_lease_and_stays_while_it_is_renewed() {
    let faults = faults();
    let mut events = faults.0.bus.listen();
    let shown = add(&faults, "f", json!({"hang": {}}));
    assert_eq!(shown["expires_in_ms"], 15_000);
    tokio::time::sleep(Duration::from_secs(14)).await;
    let renewed = faults.renew("f", br#"{"lease":"10s"}"#).unwrap().unwrap();
    assert_eq!(renewed["expires_in_ms"], 10_000);
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert!(faults.any());
    let expired = next(&mut events, "fault_expired").await;
    assert_eq!(
        (&expired["fault"], &expired["link"]),
        (&json!("f"), &json!("order-product"))
    );
    assert!(!faults.any() && faults.all().is_empty());
    assert_eq!(faults.renew("f", br#"{"lease":"10s"}"#).unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn the_same_request_meets_the_same_fate_in_every_process() {
    let action = json!({"fail": {"share": 0.3, "status": "UNAVAILABLE"}});
    let fates = |faults: &Faults| -> Vec<bool> {
        let of = |n: u32| {
            !faults
                .decide(&seen(&format!("r-{n}"), 1 + n % 3))
                .is_empty()
        };
        (0..500).map(of).collect()
    };
    let (one, other) = (faults(), faults());
    add(&one, "f", action.clone());
    add(
        &other,
        "before",
        json!({"delay": {"share": 0.5, "time": "1s"}}),
    );
    other.remove("before");
    add(&other, "f", action);
    let first = fates(&one);
    assert_eq!(first, fates(&other));
    assert_eq!(
        first,
        fates(&one),
        "nor does it matter what was asked before"
    );
    assert!(first.contains(&true) && first.contains(&false));
}

#[tokio::test(start_paused = true)]
async fn it_counts_what_it_matched_and_acted_on_and_tells() {
    let faults = faults();
    add(
        &faults,
        "f",
        json!({"fail": {"first": 1, "of": "call", "status": "ABORTED"}}),
    );
    let mut events = faults.0.bus.listen();
    let Ending::Failed(by, failure) = ask(&faults, seen("r", 1)).await else {
        panic!("the first attempt fails");
    };
    assert_eq!((&*by, failure.code), ("f", tonic::Code::Aborted));
    assert!(answered(&ask(&faults, seen("r", 2)).await));
    let stranger = Seen::server("product", "gateway", "GetProducts");
    assert!(answered(&ask(&faults, stranger).await));
    let event = next(&mut events, "fault").await;
    for (key, value) in [
        ("fault", json!("f")),
        ("link", json!("order-product")),
        ("method", json!("GetProducts")),
        ("request_id", json!("r")),
        ("attempt", json!(1)),
        ("action", json!("fail")),
        ("delay_us", Value::Null),
    ] {
        assert_eq!(event[key], value, "{key}");
    }
    let last = faults.remove("f").unwrap();
    assert_eq!((&last["matched"], &last["acted"]), (&json!(2), &json!(1)));
    assert_eq!(faults.remove("f"), None);
}

#[tokio::test(start_paused = true)]
async fn an_id_is_held_once_and_its_counters_begin_anew() {
    let faults = faults();
    let fail = json!({"fail": {"first": 1, "of": "all"}});
    add(&faults, "f", fail.clone());
    assert!(!answered(&ask(&faults, seen("a", 1)).await));
    assert!(answered(&ask(&faults, seen("b", 1)).await));
    add(&faults, "f", fail);
    assert_eq!(faults.all().len(), 1);
    assert_eq!(faults.one("f").unwrap()["matched"], 0);
    assert!(!answered(&ask(&faults, seen("c", 1)).await));
}

#[tokio::test(start_paused = true)]
async fn a_delay_ends_with_its_caller_and_work_does_not() {
    for (action, works_on) in [("delay", false), ("work", true)] {
        let faults = faults();
        add(&faults, "slow", json!({action: {"time": "500ms"}}));
        let mut events = faults.0.bus.listen();
        let handled = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&handled);
        let handler = async move { count.fetch_add(1, SeqCst) };
        let seen = seen("r", 1);
        let plan = faults.decide(&seen);
        let served = serve(faults.clone(), Arc::new(seen), plan, None, handler);
        let left = tokio::time::timeout(Duration::from_millis(100), served).await;
        assert!(left.is_err());
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(handled.load(SeqCst), usize::from(works_on), "{action}");
        if works_on {
            let wasted = next(&mut events, "wasted").await;
            let took = wasted["took_us"].as_u64().unwrap();
            assert!((500_000..510_000).contains(&took), "{wasted}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn work_stops_at_a_deadline_that_came_with_the_request_and_is_not_wasted() {
    let faults = faults();
    add(&faults, "slow", json!({"work": {"time": "500ms"}}));
    let mut events = faults.0.bus.listen();
    let begun = Instant::now();
    let late = Seen {
        deadline: resilience::deadline::Deadline::after(Duration::from_millis(100)),
        ..seen("r", 1)
    };
    assert!(matches!(ask(&faults, late).await, Ending::Late));
    assert!(begun.elapsed() < Duration::from_millis(110));
    // The caller of the next leaves: its work is the first that is wasted.
    drop(tokio::time::timeout(Duration::from_millis(1), ask(&faults, seen("next", 1))).await);
    assert_eq!(next(&mut events, "wasted").await["request_id"], "next");
}

#[tokio::test(start_paused = true)]
async fn a_hang_ends_with_the_fault_or_the_deadline() {
    let faults = faults();
    add(&faults, "f", json!({"hang": {}}));
    let late = Seen {
        deadline: resilience::deadline::Deadline::after(Duration::from_secs(1)),
        ..seen("r", 1)
    };
    assert!(matches!(ask(&faults, late).await, Ending::Late));
    let hung = tokio::spawn(ask(&faults, seen("r", 2)));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(!hung.is_finished());
    faults.remove("f");
    assert!(answered(&hung.await.unwrap()));
}

#[tokio::test(start_paused = true)]
async fn of_several_capacities_the_last_applies_and_its_queue_moves_on_when_it_goes() {
    let faults = faults();
    let capacity = |n: u32, time: &str| json!({"capacity": {"at_once": n, "service_time": time}});
    add(&faults, "usual", capacity(2, "100ms"));
    add(&faults, "cut", capacity(1, "10s"));
    let begun = Instant::now();
    let asked: Vec<_> = (0..5)
        .map(|n| tokio::spawn(ask(&faults, seen(&format!("r-{n}"), 1))))
        .collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let usual = faults.one("usual").unwrap();
    assert_eq!((&usual["matched"], &usual["acted"]), (&json!(5), &json!(0)));
    faults.remove("cut");
    let mut took = Vec::new();
    for one in asked {
        assert!(answered(&one.await.unwrap()));
        took.push(begun.elapsed().as_millis());
    }
    // The first is under way for its ten seconds; the other four are served two at a time.
    assert!((10_000..10_010).contains(&took[0]), "{took:?}");
    assert_eq!(faults.one("usual").unwrap()["acted"], 4);
    let begun = Instant::now();
    let last: Vec<_> = (0..4)
        .map(|n| ask(&faults, seen(&format!("q-{n}"), 1)))
        .collect();
    let last = tokio::spawn(futures_util::future::join_all(last));
    tokio::time::sleep(Duration::from_millis(50)).await;
    faults.remove("usual");
    assert!(last.await.unwrap().iter().all(answered));
    assert!(
        begun.elapsed() < Duration::from_millis(110),
        "the waiting went on at once"
    );
}

#[tokio::test(start_paused = true)]
async fn who_leaves_the_queue_still_takes_a_turn_unless_the_deadline_has_passed() {
    let faults = faults();
    add(
        &faults,
        "k",
        json!({"capacity": {"at_once": 1, "service_time": "1s"}}),
    );
    let begun = Instant::now();
    let first = tokio::spawn(ask(&faults, seen("first", 1)));
    let left = ask(&faults, seen("left", 1));
    drop(tokio::time::timeout(Duration::from_millis(10), left).await);
    let late = Seen {
        deadline: resilience::deadline::Deadline::after(Duration::from_millis(10)),
        ..seen("late", 1)
    };
    assert!(matches!(ask(&faults, late).await, Ending::Late));
    assert!(answered(&ask(&faults, seen("last", 1)).await));
    let took = begun.elapsed();
    assert!(
        took > Duration::from_millis(2_990) && took < Duration::from_millis(3_020),
        "{took:?}"
    );
    first.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_leaves_the_work_done_even_when_the_caller_goes() {
    let faults = faults();
    add(&faults, "f", json!({"lose_reply": {}}));
    assert!(matches!(ask(&faults, seen("r", 1)).await, Ending::Lost(7)));
    let (done, is_done) = tokio::sync::oneshot::channel();
    let seen = seen("s", 1);
    let plan = faults.decide(&seen);
    let handler = async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        done.send(()).unwrap();
    };
    let served = serve(faults.clone(), Arc::new(seen), plan, None, handler);
    drop(tokio::time::timeout(Duration::from_millis(1), served).await);
    is_done.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn whatever_order_they_come_in_they_act_in_one() {
    let faults = faults();
    add(&faults, "lose", json!({"lose_reply": {}}));
    add(&faults, "one", json!({"fail": {"share": 1, "status": 500}}));
    add(
        &faults,
        "other",
        json!({"fail": {"share": 1, "status": 503}}),
    );
    add(&faults, "slow", json!({"delay": {"time": "200ms"}}));
    let begun = Instant::now();
    let Ending::Failed(by, _) = ask(&faults, seen("r", 1)).await else {
        panic!("fails");
    };
    assert_eq!(by, "one", "the first decides");
    assert!(
        begun.elapsed() >= Duration::from_millis(200),
        "after the delay"
    );
    let acted = |id: &str| faults.one(id).unwrap()["acted"].clone();
    assert_eq!(
        [acted("lose"), acted("one"), acted("other"), acted("slow")],
        [0, 1, 0, 1]
    );
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_process_lets_everything_go() {
    let faults = faults();
    add(&faults, "w", json!({"work": {"time": "60s"}}));
    add(
        &faults,
        "k",
        json!({"capacity": {"at_once": 1, "service_time": "60s"}}),
    );
    let asked: Vec<_> = (0..3)
        .map(|n| tokio::spawn(ask(&faults, seen(&format!("r-{n}"), 1))))
        .collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let begun = Instant::now();
    faults.end().await;
    assert!(begun.elapsed() < Duration::from_millis(10));
    for one in asked {
        assert!(answered(&one.await.unwrap()));
    }
    assert!(faults.all().is_empty());
}

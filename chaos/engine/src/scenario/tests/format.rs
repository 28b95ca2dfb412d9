//! The whole of the format.

use super::mistakes::errors;
use super::*;

/// Everything that a scenario can say, in one file.
pub(super) const ALL: &str = r#"
schema_version = 1
name = "everything"
shows = "x"
hypothesis = "x"

[topology]
replicas = { product-service = 2 }
links = ["client-nginx"]

[fixtures]
customers = 500
products = 100

[load]
duration = "60s"
[[load.stream]]
name = "payments"
mix = "quote"
rate = { from = 20, to = 100, start = "5s", over = "30s" }
priority = "critical-plus"
[[load.stream]]
mix = { view = 3, order = 1 }
rate = 40
[[load.stream]]
name = "patient"
mix = "view"
customers = 50
think = "1s"

[[condition]]
name = "capacity"
link = "gateway-product"
action = { capacity = { at_once = 10, service_time = { uniform = ["40ms", "60ms"] } } }

[[timeline]]
name = "flaky"
at = "10s"
for = "5s"
link = "order-product.2"
action = { fail = { share = 0.2, status = "UNAVAILABLE" }, methods = ["GetProducts"], callers = ["order"], users = [7] }
[[timeline]]
name = "first-two"
at = "16s"
for = "2s"
link = "gateway-order"
action = { fail = { first = 2, of = "call", status = 503 }, methods = ["GET /api/orders/{id}/"] }
[[timeline]]
name = "flap"
at = "20s"
for = "1s"
every = "2s"
times = 5
link = "order-product"
action = "down"
[[timeline]]
name = "slow"
at = "20s"
for = "5s"
link = "*-product"
action = { delay = { share = 0.5, time = { normal = ["800ms", "200ms"] } } }
[[timeline]]
name = "slices"
at = "30s"
for = "5s"
link = "order-user"
action = { toxic = "slicer", average_size = 100, size_variation = 50, delay = 10, stream = "upstream", toxicity = 0.5 }
[[timeline]]
name = "cache"
at = "30s"
for = "5s"
link = "product-cache"
action = { fail = { share = 1.0 } }
[[timeline]]
name = "crash"
at = "40s"
for = "5s"
part = "user-service"
action = "kill"
[[timeline]]
name = "again"
at = "50s"
part = "product-service.2"
action = "restart"

[[window]]
name = "calm"
at = "56s"
for = "4s"

[arms.shop]
order-database = "none"
load = "naive"
orders = "keyed"

[[check]]
id = "a"
that = "failed(shop, view) >= 0"
because = "x"

[quick]
repeats = 2
stream = { payments = { rate = 10 }, 1 = { rate = { from = 1, to = 2 } }, patient = { customers = 5 } }
fixtures = { customers = 60 }
timeline = { flap = { at = "19s", times = 2, every = "3s", for = "2s" } }
window = { calm = { for = "1s" } }

[abort_when]
served_below = 0.5
slower_than = "2s"
for = "10s"
"#;

fn all() -> Scenario {
    Scenario::parse(ALL, "all.toml").unwrap_or_else(|e| panic!("{e}"))
}

fn fault<'a>(s: &'a Schedule, name: &str) -> &'a Fault {
    s.faults.iter().find(|f| f.name == name).unwrap()
}

#[test]
fn everything_reads_as_written() {
    let s = all();
    assert_eq!(s.replicas["product-service"], 2);
    assert_eq!(s.links, ["client-nginx"]);
    assert_eq!(
        (s.full.fixtures.customers, s.full.fixtures.units),
        (500, 1_000_000)
    );
    assert_eq!(s.full.streams.len(), 3);
    assert_eq!(s.full.streams[0].name.as_deref(), Some("payments"));
    assert!(matches!(
        s.full.streams[2].source,
        loadtest::Source::Closed { customers: 50, .. }
    ));
    assert_eq!(s.full.windows[0].name, "calm");
    let abort = s.abort_when.unwrap();
    assert_eq!((abort.served_below, abort.seconds), (Some(0.5), 10));
    assert_eq!(abort.slower_than, Some(Duration::from_secs(2)));
    let shop = s.arm("shop").unwrap();
    assert!(shop.named.contains("load") && !shop.named.contains("order-user"));
    assert_eq!(shop.orders, loadtest::Orders::Keyed);
    assert!(!shop.specs.contains_key("orders"));
    let spells = fault(&s.full, "flap").spells();
    let times: Vec<u64> = spells.iter().map(|spell| spell.at.as_secs()).collect();
    assert_eq!(times, [20, 22, 24, 26, 28]);
    assert_eq!(fault(&s.full, "flap").ends(), Duration::from_secs(29));
    assert_eq!(fault(&s.full, "again").lasts, Duration::ZERO);
    assert_eq!(
        fault(&s.full, "crash").links(),
        ["gateway-user", "order-user"]
    );
    assert_eq!(
        fault(&s.full, "slow").links(),
        ["gateway-product", "order-product"]
    );
    assert_eq!(fault(&s.full, "flaky").links(), ["order-product"]);
}

#[test]
fn quick_changes_every_part_that_it_names() {
    let s = all();
    let quick = s.schedule(true);
    let flap = fault(quick, "flap");
    assert_eq!(flap.again.unwrap().times, 2);
    assert_eq!(flap.ends(), Duration::from_secs(24));
    assert_eq!(quick.windows[0].lasts, Duration::from_secs(1));
    assert_eq!(
        (quick.fixtures.customers, quick.fixtures.products),
        (60, 100)
    );
    assert_eq!(
        quick.streams[0].rate().map(loadtest::Profile::peak),
        Some(10.0)
    );
    assert_eq!(quick.streams[0].priority, s.full.streams[0].priority);
    assert_eq!(
        quick.streams[1].rate().map(loadtest::Profile::peak),
        Some(2.0)
    );
    assert!(matches!(
        quick.streams[2].source,
        loadtest::Source::Closed { customers: 5, .. }
    ));
}

#[test]
fn faults_per_request_go_out_as_the_control_api_takes_them() {
    let s = all();
    let wire = |action: &Action| match action {
        Action::Request(fault) => serde_json::to_value(fault).unwrap(),
        _ => panic!("{action:?}"),
    };
    assert_eq!(
        wire(&fault(&s.full, "flaky").action),
        serde_json::json!({
            "methods": ["GetProducts"], "callers": ["order"], "users": [7],
            "action": {"fail": {"share": 0.2, "status": "UNAVAILABLE"}},
        })
    );
    assert_eq!(
        wire(&fault(&s.full, "first-two").action)["action"],
        serde_json::json!({"fail": {"first": 2, "of": "call", "status": 503}})
    );
    assert_eq!(
        wire(&fault(&s.full, "slow").action),
        serde_json::json!({"action": {"delay": {"share": 0.5, "time": {"normal": ["800ms", "200ms"]}}}})
    );
    assert_eq!(
        wire(&s.full.conditions[0].action)["action"],
        serde_json::json!({"capacity": {
            "at_once": 10, "service_time": {"uniform": ["40ms", "60ms"]}, "queue": 10000,
        }})
    );
    // What was written can be read again: the run log holds faults.
    for fault in &s.full.faults {
        let text = serde_json::to_string(fault).unwrap();
        assert_eq!(&serde_json::from_str::<Fault>(&text).unwrap(), fault);
    }
}

/// A fault beside `flap`, whose link is down for a second from 20 s on, every 2 s.
fn beside(at: &str, lasts: &str, link: &str) -> Result<Scenario, Diagnostics> {
    let fault = format!(
        "[[timeline]]\nname = \"second\"\nat = \"{at}\"\nfor = \"{lasts}\"\nlink = \"{link}\"\naction = \"down\"\n[[window]]"
    );
    Scenario::parse(&ALL.replacen("[[window]]", &fault, 1), "f.toml")
}

#[test]
fn a_link_is_not_taken_down_twice_at_a_time() {
    for (at, lasts, link) in [
        ("22s", "500ms", "order-product"),
        ("10s", "15s", "order-product"),
        ("24500ms", "100ms", "order-product.1"),
    ] {
        let problems = beside(at, lasts, link).unwrap_err().to_string();
        assert!(
            problems.contains("clearing the one would end the other"),
            "{at}: {problems}"
        );
    }
    for (at, lasts, link) in [
        ("21100ms", "500ms", "order-product"),
        ("22s", "500ms", "order-user"),
        ("10s", "2s", "order-product"),
    ] {
        beside(at, lasts, link).unwrap_or_else(|e| panic!("{at}: {e}"));
    }
}

#[test]
fn what_a_proxy_may_not_be_there_for_is_a_warning() {
    let on = |link: &str| {
        let s = ALL.replacen("link = \"order-user\"", &format!("link = \"{link}\""), 1);
        let s = Scenario::parse(&s, "f.toml").unwrap_or_else(|e| panic!("{e}"));
        s.warnings
            .iter()
            .map(|w| w.message.clone())
            .collect::<Vec<_>>()
    };
    assert!(on("order-user").is_empty());
    assert!(on("client-nginx").is_empty());
    assert!(on("product-database")[0].contains("no wire"));
    assert!(on("order-keys")[0].contains("no caller reports attempts"));
}

#[test]
fn a_condition_can_not_stop_a_process() {
    let to = "part = \"user-service\"\naction = \"kill\"\n[[condition]]\nname = \"x\"\nlink = \"gateway-product\"";
    let told = errors("link = \"gateway-product\"", to);
    assert!(
        told.iter()
            .any(|(.., text)| text.contains("use [[timeline]]")),
        "{told:?}"
    );
}

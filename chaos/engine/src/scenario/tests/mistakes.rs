//! Each mistake is told once, and where it is.

use super::format::ALL;
use crate::diagnostics::Severity;
use crate::scenario::Scenario;

/// Every error of the file after one replacement: line, column, text.
pub(super) fn errors(from: &str, to: &str) -> Vec<(usize, usize, String)> {
    assert!(ALL.contains(from), "{from}");
    let Err(problems) = Scenario::parse(&ALL.replacen(from, to, 1), "f.toml") else {
        panic!("`{to}` is accepted")
    };
    let errors = problems
        .items
        .iter()
        .filter(|i| i.severity == Severity::Error);
    errors.map(|i| (i.line, i.column, i.text())).collect()
}

#[test]
fn each_mistake_is_told_once_and_where_it_is() {
    let mut wrong = Vec::new();
    for (from, to, marked, want) in [
        // Topology and fixtures.
        (
            "product-service = 2",
            "product-servce = 2",
            "product-servce",
            "did you mean `product-service`?",
        ),
        (
            "product-service = 2",
            "product-service = 20",
            "20",
            "from 1 to 9",
        ),
        (
            "product-service = 2",
            "gateway = 2",
            "2 }",
            "there is one of it",
        ),
        (
            "links = [\"client-nginx\"]",
            "links = [\"order-user\"]",
            "\"order-user\"",
            "a link of the shop already",
        ),
        (
            "customers = 500",
            "customers = 50000",
            "50000",
            "from 1 to 10000",
        ),
        (
            "products = 100",
            "product = 100",
            "product = 100",
            "did you mean `products`?",
        ),
        // The guard.
        ("served_below = 0.5", "served_below = 50", "50", "at most 1"),
        (
            "for = \"10s\"\n",
            "for = \"1500ms\"\n",
            "\"1500ms\"",
            "whole seconds",
        ),
        // Load.
        (
            "from = 20, to = 100",
            "from = 20, tto = 100",
            "100, start",
            "did you mean `to`?",
        ),
        (
            "from = 20, to = 100",
            "from = 20, to = \"x\"",
            "\"x\", start",
            "rate.to",
        ),
        (
            "from = 20, to = 100",
            "from = 20, to = 1e9",
            "1e9",
            "rate.to",
        ),
        (
            "name = \"payments\"",
            "name = \"view\"",
            "\"view\"",
            "the name of an operation already",
        ),
        (
            "name = \"payments\"",
            "name = \"sheddable\"",
            "\"sheddable\"",
            "the name of a priority",
        ),
        (
            "name = \"patient\"",
            "name = \"payments\"",
            "\"payments\"\nmix = \"view\"",
            "another stream",
        ),
        (
            "priority = \"critical-plus\"",
            "priority = \"high\"",
            "\"high\"",
            "critical-plus",
        ),
        (
            "customers = 50\n",
            "customers = 0\n",
            "0\nthink",
            "customers",
        ),
        (
            "customers = 50\n",
            "customers = 50\nrate = 3\n",
            "50\nrate",
            "either a `rate` or `customers`",
        ),
        // Conditions.
        (
            "name = \"capacity\"",
            "name = \"flaky\"",
            "\"flaky\"\nat",
            "taken already",
        ),
        ("at_once = 10, ", "", "{ service_time", "needs `at_once`"),
        ("at_once = 10", "at_once = 0", "0, serv", "above zero"),
        (
            "uniform = [\"40ms\", \"60ms\"]",
            "uniform = [\"40ms\", \"30ms\"]",
            "\"30ms\"",
            "must be above the first",
        ),
        (
            "uniform = [\"40ms\", \"60ms\"]",
            "unform = [\"40ms\", \"60ms\"]",
            "unform",
            "unknown distribution `unform`; did you mean `uniform`?",
        ),
        (
            "uniform = [\"40ms\", \"60ms\"]",
            "pareto = [\"40ms\", 0]",
            "0] }",
            "a number above zero",
        ),
        (
            "uniform = [\"40ms\", \"60ms\"]",
            "uniform = [\"40ms\", \"60\"]",
            "\"60\"",
            "is no duration",
        ),
        // Faults per request.
        (
            "share = 0.2",
            "share = 2",
            "2, status",
            "above 0 and at most 1",
        ),
        (
            "share = 0.2, status = \"UNAVAILABLE\"",
            "share = 0.2",
            "{ share = 0.2 }",
            "needs `status`",
        ),
        (
            "\"UNAVAILABLE\"",
            "\"UNAVAILBLE\"",
            "\"UNAVAILBLE\"",
            "unknown gRPC status `UNAVAILBLE`; did you mean `UNAVAILABLE`?",
        ),
        ("status = 503", "status = 200", "200 }", "from 400 to 599"),
        (
            "of = \"call\"",
            "of = \"cal\"",
            "\"cal\"",
            "did you mean `call`?",
        ),
        (
            "first = 2, of",
            "share = 0.5, of",
            "\"call\"",
            "`of` goes with `first`",
        ),
        (
            "first = 2, of",
            "first = 2, share = 0.5, of",
            "0.5",
            "not both",
        ),
        (
            "{ fail = { share = 0.2,",
            "{ fial = { share = 0.2,",
            "fial",
            "unknown action `fial`; did you mean `fail`?",
        ),
        (
            "[\"GetProducts\"]",
            "[\"GetProdcts\"]",
            "\"GetProdcts\"",
            "did you mean `GetProducts`?",
        ),
        (
            "[\"GetProducts\"]",
            "[]",
            "[], callers",
            "leave it out to mean all",
        ),
        (
            "[\"GET /api/orders/{id}/\"]",
            "[\"GET /api/order/{id}/\"]",
            "\"GET /api/order/",
            "did you mean `GET /api/orders/{id}/`?",
        ),
        (
            "callers = [\"order\"]",
            "callers = [\"gateway\"]",
            "\"gateway\"], users",
            "only `order` calls over this link",
        ),
        ("users = [7]", "users = [\"bob\"]", "\"bob\"", "user ids"),
        (
            "{ fail = { share = 1.0 } }",
            "{ work = { time = \"1s\" } }",
            "{ work",
            "can't `work`",
        ),
        (
            ", time = { normal = [\"800ms\", \"200ms\"] }",
            "",
            "{ share = 0.5 }",
            "needs `time`",
        ),
        (
            "{ fail = { share = 1.0 } }",
            "{ fail = {}, methods = [\"gte\"] }",
            "\"gte\"",
            "did you mean `get`?",
        ),
        (
            "[\"800ms\", \"200ms\"]",
            "[\"2m\", \"200ms\"]",
            "\"2m\"",
            "at most 60s",
        ),
        (
            "link = \"order-user\"",
            "link = \"load-gateway\"",
            "\"load-gateway\"",
            "no fault proxy stands",
        ),
        // The proxies' toxics.
        (
            "average_size = 100, ",
            "",
            "{ toxic = \"slicer\"",
            "needs `average_size`",
        ),
        (
            "size_variation = 50",
            "size_variation = 100",
            "{ toxic = \"slicer\"",
            "below `average_size`",
        ),
        ("delay = 10", "dely = 10", "dely", "did you mean `delay`?"),
        (
            "toxicity = 0.5",
            "toxicity = 1.5",
            "1.5",
            "share of connections",
        ),
        // Again and again.
        ("every = \"2s\"\n", "", "5\nlink", "`times` needs `every`"),
        ("times = 5\n", "", "\"2s\"\nlink", "`every` needs `times`"),
        (
            "every = \"2s\"",
            "every = \"1s\"",
            "\"1s\"\ntimes",
            "longer than `for`",
        ),
        (
            "times = 5",
            "times = 25",
            "\"20s\"\nfor = \"1s\"",
            "cleared at 1m 9s",
        ),
        // Processes.
        (
            "part = \"user-service\"",
            "part = \"usr-service\"",
            "\"usr-service\"",
            "did you mean `user-service`?",
        ),
        (
            "part = \"user-service\"",
            "link = \"order-user\"",
            "\"order-user\"\naction = \"kill\"",
            "name a `part`",
        ),
        (
            "action = \"kill\"",
            "action = \"kil\"",
            "\"kil\"",
            "did you mean `kill`?",
        ),
        (
            "action = \"kill\"",
            "action = \"down\"",
            "\"user-service\"",
            "name a `link`",
        ),
        (
            "at = \"50s\"\n",
            "at = \"50s\"\nfor = \"1s\"\n",
            "\"1s\"\npart",
            "leave `for` out",
        ),
        (
            "link = \"*-product\"",
            "link = \"*-prodct\"",
            "\"*-prodct\"",
            "unknown link",
        ),
        // Windows and quick.
        (
            "at = \"56s\"",
            "at = \"58s\"",
            "\"58s\"",
            "ends at 1m 2s, but the load ends at 1m",
        ),
        (
            "{ payments = { rate = 10 }",
            "{ payment = { rate = 10 }",
            "payment =",
            "did you mean `payments`?",
        ),
        (
            "patient = { customers = 5 }",
            "patient = { rate = 5 }",
            "{ rate = 5 }",
            "either a `rate` or `customers`",
        ),
        (
            "times = 2, every = \"3s\", for = \"2s\"",
            "every = \"1s\"",
            "\"1s\" } }",
            "longer than `for`",
        ),
        (
            "window = { calm",
            "window = { clam",
            "clam",
            "unknown window `clam`; did you mean `calm`?",
        ),
        // Arms.
        ("load = \"naive\"", "load = \"nave\"", "\"nave\"", "naive"),
        (
            "orders = \"keyed\"",
            "orders = \"keydd\"",
            "\"keydd\"",
            "did you mean `keyed`?",
        ),
        ("orders = \"keyed\"", "orders = 4711", "4711", "is a string"),
        (
            "load = \"naive\"\norders = \"keyed\"",
            "orders = \"repeated\"",
            "[arms.shop]",
            "repeats nothing without a policy",
        ),
    ] {
        let changed = ALL.replacen(from, to, 1);
        let told = errors(from, to);
        let [(line, column, text)] = told.as_slice() else {
            wrong.push(format!("{to}: {told:?}"));
            continue;
        };
        // Of several equal texts the first or the last is meant.
        let at = |index: Option<usize>| place_of_index(index.unwrap(), &changed);
        let places = [at(changed.find(marked)), at(changed.rfind(marked))];
        if !text.contains(want) || !places.contains(&(*line, *column)) {
            wrong.push(format!("{to}: {line}:{column}, not {places:?}: {text}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn place_of_index(at: usize, text: &str) -> (usize, usize) {
    let line = text[..at].matches('\n').count() + 1;
    let column = at - text[..at].rfind('\n').map_or(0, |i| i + 1) + 1;
    (line, column)
}

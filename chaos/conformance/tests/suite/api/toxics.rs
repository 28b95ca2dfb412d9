//! Toxics: making, seeing, changing, deleting them.

use serde_json::{Value, json};

use super::{BAD, Step, error, latency, proxy, step, timeout};

pub fn script() -> Vec<Step> {
    let exists = error(409, "toxic already exists");
    let kind = error(400, "invalid toxic type");
    let stream = error(
        400,
        "stream was invalid, can be either upstream or downstream",
    );
    let not_found = error(404, "toxic not found");
    let no_proxy = error(404, "proxy not found");
    let first = latency("latency_downstream", "downstream", 1.0, 100, 0);
    let second = timeout("gone", "timeout", "upstream", 5);
    let third = timeout("reset_peer_upstream", "reset_peer", "upstream", 0);
    let all = json!([second, third, first]);
    vec![
        step(
            "POST",
            "/proxies",
            r#"{"name":"p","listen":"127.0.0.1:0","upstream":"up:1"}"#,
            201,
            proxy("p", "up:1", true, json!([])),
        ),
        step("GET", "/proxies/p/toxics", "", 200, json!([])),
        step(
            "POST",
            "/proxies/p/toxics",
            r#"{"type":"latency","attributes":{"latency":100}}"#,
            200,
            first.clone(),
        ),
        step(
            "POST",
            "/proxies/p/toxics",
            r#"{"type":"timeout","name":"gone","stream":"upstream","attributes":{"TIMEOUT":5,"other":"x"}}"#,
            200,
            second,
        ),
        step(
            "POST",
            "/proxies/p/toxics",
            r#"{"type":"reset_peer","stream":"upstream","toxicity":1}"#,
            200,
            third,
        ),
        step("GET", "/proxies/p/toxics", "", 200, all.clone()),
        step("GET", "/proxies/p", "", 200, proxy("p", "up:1", true, all)),
        step(
            "GET",
            "/proxies/p/toxics/latency_downstream",
            "",
            200,
            first,
        ),
        step(
            "POST",
            "/proxies/p/toxics",
            r#"{"type":"latency"}"#,
            409,
            exists.clone(),
        ),
        step(
            "POST",
            "/proxies/p/toxics",
            r#"{"type":"latency","name":"gone","attributes":{"latency":"x"}}"#,
            409,
            exists,
        ),
        step(
            "POST",
            "/proxies/p/toxics",
            r#"{"type":"nonsense"}"#,
            400,
            kind.clone(),
        ),
        step(
            "POST",
            "/proxies/p/toxics",
            r#"{"type":"noop"}"#,
            200,
            json!({ "name": "noop_downstream", "type": "noop", "stream": "downstream", "toxicity": 1, "attributes": {} }),
        ),
        step("DELETE", "/proxies/p/toxics/noop_downstream", "", 204, None),
        step("POST", "/proxies/p/toxics", "{}", 400, kind.clone()),
        step(
            "POST",
            "/proxies/p/toxics",
            r#"{"type":"Latency"}"#,
            400,
            kind,
        ),
        step(
            "POST",
            "/proxies/p/toxics",
            r#"{"type":"nonsense","stream":"sideways"}"#,
            400,
            stream,
        ),
        step("POST", "/proxies/p/toxics", "", 400, error(400, BAD)),
        step(
            "POST",
            "/proxies/p/toxics",
            r#"{"type":"latency","name":"n","toxicity":"1"}"#,
            400,
            error(400, BAD),
        ),
        step(
            "POST",
            "/proxies/p/toxics",
            r#"{"type":"latency","name":"n","attributes":{"latency":"1"}}"#,
            400,
            error(400, BAD),
        ),
        step(
            "POST",
            "/proxies/p/toxics",
            r#"{"type":"latency","name":"n","attributes":{"latency":1.5}}"#,
            400,
            error(400, BAD),
        ),
        step(
            "POST",
            "/proxies/p/toxics",
            r#"{"type":"latency","name":"n","attributes":[]}"#,
            400,
            error(400, BAD),
        ),
        step(
            "POST",
            "/proxies/p/toxics",
            r#"{"type":"latency","name":"n","stream":"UPstream","toxicity":0.25,"attributes":null}"#,
            200,
            latency("n", "UPstream", 0.25, 0, 0),
        ),
        step(
            "PATCH",
            "/proxies/p/toxics/n",
            r#"{"attributes":{"jitter":7},"toxicity":0,"name":"m","type":"x","stream":"y"}"#,
            200,
            latency("n", "UPstream", 0.0, 0, 7),
        ),
        step(
            "POST",
            "/proxies/p/toxics/n",
            r#"{"attributes":{"latency":9}}"#,
            200,
            latency("n", "UPstream", 0.0, 9, 7),
        ),
        step(
            "POST",
            "/proxies/p/toxics/n",
            "{}",
            200,
            latency("n", "UPstream", 0.0, 9, 7),
        ),
        step("POST", "/proxies/p/toxics/n", "", 400, error(400, BAD)),
        step(
            "POST",
            "/proxies/p/toxics/n",
            r#"{"toxicity":"x"}"#,
            400,
            error(400, BAD),
        ),
        step("GET", "/proxies/p/toxics/none", "", 404, not_found.clone()),
        step(
            "PATCH",
            "/proxies/p/toxics/none",
            "",
            404,
            not_found.clone(),
        ),
        step("DELETE", "/proxies/p/toxics/none", "", 404, not_found),
        step("DELETE", "/proxies/p/toxics/n", "", 204, None),
        step("POST", "/proxies/p", r#"{"enabled":false}"#, 200, None),
        step("POST", "/reset", "", 204, None),
        step(
            "GET",
            "/proxies/p",
            "",
            200,
            proxy("p", "up:1", true, json!([])),
        ),
        step("GET", "/proxies/none/toxics", "", 404, no_proxy.clone()),
        step("POST", "/proxies/none/toxics", "{", 404, no_proxy.clone()),
        step("GET", "/proxies/none/toxics/t", "", 404, no_proxy.clone()),
        step(
            "PATCH",
            "/proxies/none/toxics/t",
            "{}",
            404,
            no_proxy.clone(),
        ),
        step("DELETE", "/proxies/none/toxics/t", "", 404, no_proxy),
    ]
}

/// A toxic of each type, without attributes and with one of them.
pub fn types() -> Vec<Step> {
    let shown = |kind: &str, attributes: Value| {
        json!({ "name": format!("{kind}_downstream"), "type": kind, "stream": "downstream",
                "toxicity": 1, "attributes": attributes })
    };
    let mut steps = vec![step(
        "POST",
        "/proxies",
        r#"{"name":"p","listen":"127.0.0.1:0","upstream":"up:1"}"#,
        201,
        None,
    )];
    let types = [
        ("bandwidth", json!({ "rate": 0 })),
        ("latency", json!({ "latency": 0, "jitter": 0 })),
        ("limit_data", json!({ "bytes": 0 })),
        ("noop", json!({})),
        ("reset_peer", json!({ "timeout": 0 })),
        (
            "slicer",
            json!({ "average_size": 0, "size_variation": 0, "delay": 0 }),
        ),
        ("slow_close", json!({ "delay": 0 })),
        ("timeout", json!({ "timeout": 0 })),
    ];
    for (kind, mut attributes) in types {
        let add = format!(r#"{{"type":"{kind}"}}"#).leak();
        let path = format!("/proxies/p/toxics/{kind}_downstream").leak();
        steps.push(step(
            "POST",
            "/proxies/p/toxics",
            add,
            200,
            shown(kind, attributes.clone()),
        ));
        let names = attributes.as_object_mut().expect("an object");
        if let Some((name, value)) = names.iter_mut().next() {
            let bad = format!(r#"{{"attributes":{{"{name}":"x"}}}}"#).leak();
            steps.push(step("POST", path, bad, 400, error(400, BAD)));
            *value = json!(7);
            let change = format!(r#"{{"attributes":{{"{name}":7}}}}"#).leak();
            steps.push(step("POST", path, change, 200, shown(kind, attributes)));
        }
        steps.push(step("DELETE", path, "", 204, None));
    }
    steps
}

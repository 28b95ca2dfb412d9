//! Many proxies at once.

use serde_json::json;

use super::{BAD, Step, error, latency, proxy, step};

pub fn script() -> Vec<Step> {
    let one = |upstream, enabled| proxy("a", upstream, enabled, json!([]));
    let two = r#"[{"name":"a","listen":"127.0.0.1:0","upstream":"up:2","toxics":[]},{"name":"b","listen":"127.0.0.1:0","upstream":"up:1","enabled":false}]"#;
    vec![
        step("POST", "/populate", "[]", 201, json!({ "proxies": null })),
        step("POST", "/populate", "null", 201, json!({ "proxies": null })),
        step(
            "POST",
            "/populate",
            r#"[{"name":"a","listen":"127.0.0.1:0","upstream":"up:1"}]"#,
            201,
            json!({ "proxies": [one("up:1", true)] }),
        ),
        step(
            "POST",
            "/proxies/a/toxics",
            r#"{"type":"latency"}"#,
            200,
            latency("latency_downstream", "downstream", 1.0, 0, 0),
        ),
        // Other addresses: a new proxy, without the old one's toxics.
        step(
            "POST",
            "/populate",
            two,
            201,
            json!({ "proxies": [one("up:2", true), proxy("b", "up:1", false, json!([]))] }),
        ),
        step("GET", "/proxies/a", "", 200, one("up:2", true)),
        step(
            "POST",
            "/populate",
            r#"[{"name":"c","upstream":"u:1"},{"upstream":"u:1"}]"#,
            400,
            json!({ "error": "missing required field: name at proxy 2", "status": 400, "proxies": null }),
        ),
        step(
            "POST",
            "/populate",
            r#"[{"name":"c"}]"#,
            400,
            json!({ "error": "missing required field: upstream at proxy 1", "status": 400, "proxies": null }),
        ),
        step(
            "POST",
            "/populate",
            "{}",
            400,
            json!({ "error": BAD, "status": 400, "proxies": null }),
        ),
        step(
            "POST",
            "/populate",
            "",
            400,
            json!({ "error": BAD, "status": 400, "proxies": null }),
        ),
        step(
            "POST",
            "/populate",
            r#"[{"name":"d","listen":"127.0.0.1:0","upstream":"up:1"},{"name":"e","listen":"x","upstream":"up:1"}]"#,
            500,
            json!({ "error": "listen tcp: address x: missing port in address", "status": 500, "proxies": [proxy("d", "up:1", true, json!([]))] }),
        ),
        step("GET", "/proxies/c", "", 404, error(404, "proxy not found")),
        step(
            "GET",
            "/proxies/d",
            "",
            200,
            proxy("d", "up:1", true, json!([])),
        ),
    ]
}

//! Proxies: making, seeing, changing, deleting them.

use serde_json::json;

use super::{BAD, Step, error, proxy, step};

pub fn script() -> Vec<Step> {
    let missing = |what: &str| error(400, &format!("missing required field: {what}"));
    let not_found = error(404, "proxy not found");
    let made = |name| proxy(name, "up:1", true, json!([]));
    vec![
        step("GET", "/proxies", "", 200, json!({})),
        step(
            "POST",
            "/proxies",
            r#"{"name":"a","listen":"127.0.0.1:0","upstream":"up:1"}"#,
            201,
            made("a"),
        ),
        step(
            "POST",
            "/proxies",
            r#"{"name":"a","listen":"127.0.0.1:0","upstream":"up:1"}"#,
            409,
            error(409, "proxy already exists"),
        ),
        step(
            "POST",
            "/proxies",
            r#"{"NAME":"b","Listen":"127.0.0.1:0","upStream":"up:1","enabled":null,"more":1} {"#,
            201,
            made("b"),
        ),
        step(
            "POST",
            "/proxies",
            r#"{"name":"off","listen":"127.0.0.1:1","upstream":"up:1","enabled":false}"#,
            201,
            proxy("off", "up:1", false, json!([])),
        ),
        step("POST", "/proxies", "", 400, error(400, BAD)),
        step("POST", "/proxies", "{", 400, error(400, BAD)),
        step("POST", "/proxies", "[]", 400, error(400, BAD)),
        step(
            "POST",
            "/proxies",
            r#"{"name":1,"upstream":"u:1"}"#,
            400,
            error(400, BAD),
        ),
        step(
            "POST",
            "/proxies",
            r#"{"name":"c","upstream":"u:1","enabled":"yes"}"#,
            400,
            error(400, BAD),
        ),
        step("POST", "/proxies", "null", 400, missing("name")),
        step(
            "POST",
            "/proxies",
            r#"{"upstream":"up:1"}"#,
            400,
            missing("name"),
        ),
        step(
            "POST",
            "/proxies",
            r#"{"name":"c"}"#,
            400,
            missing("upstream"),
        ),
        step(
            "POST",
            "/proxies",
            r#"{"name":"c","upstream":"up:1","listen":"nonsense"}"#,
            500,
            error(500, "listen tcp: address nonsense: missing port in address"),
        ),
        step(
            "POST",
            "/proxies",
            r#"{"name":"c","upstream":"up:1","listen":"127.0.0.1:99999"}"#,
            500,
            error(500, "listen tcp: address 99999: invalid port"),
        ),
        step("GET", "/proxies/c", "", 404, not_found.clone()),
        step("GET", "/proxies/a", "", 200, made("a")),
        step(
            "POST",
            "/proxies/a",
            r#"{"enabled":false}"#,
            200,
            proxy("a", "up:1", false, json!([])),
        ),
        step(
            "POST",
            "/proxies/a",
            r#"{"enabled":false}"#,
            200,
            proxy("a", "up:1", false, json!([])),
        ),
        step(
            "PATCH",
            "/proxies/a",
            r#"{"enabled":true,"name":"z"}"#,
            200,
            made("a"),
        ),
        step(
            "PATCH",
            "/proxies/a",
            r#"{"upstream":"up:2"}"#,
            200,
            proxy("a", "up:2", true, json!([])),
        ),
        step(
            "PATCH",
            "/proxies/a",
            r#"{"enabled":false,"listen":"127.0.0.1:0"}"#,
            200,
            proxy("a", "up:2", false, json!([])),
        ),
        step(
            "PATCH",
            "/proxies/a",
            "{}",
            200,
            proxy("a", "up:2", false, json!([])),
        ),
        step("PATCH", "/proxies/a", "", 400, error(400, BAD)),
        step(
            "PATCH",
            "/proxies/a",
            r#"{"listen":"nonsense"}"#,
            500,
            error(500, "address nonsense: missing port in address"),
        ),
        step("PATCH", "/proxies/none", "{}", 404, not_found.clone()),
        step("POST", "/proxies/none", "{", 404, not_found.clone()),
        step("POST", "/reset", "", 204, None),
        step(
            "GET",
            "/proxies",
            "",
            200,
            json!({ "a": proxy("a", "up:2", true, json!([])), "b": made("b"), "off": proxy("off", "up:1", true, json!([])) }),
        ),
        step("DELETE", "/proxies/a", "", 204, None),
        step("DELETE", "/proxies/a", "", 404, not_found),
    ]
}

//! The HTTP API, request by request: the same scripts against both servers, whose
//! answers must be those of the scripts' tables.

mod populate;
mod proxies;
mod toxics;

use conformance::{Answer, Running, cases};
use serde_json::{Value, json};

cases!(
    proxies_are_as_in_the_table: "making, showing, changing and deleting proxies: every answer and error",
    populating_is_as_in_the_table: "`/populate`: what is made, replaced, kept and refused",
    toxics_are_as_in_the_table: "making, showing, changing and deleting toxics: every answer and error",
    every_type_has_its_attributes: "each of the eight toxic types has its attributes and defaults",
    unknown_routes_and_methods_are_as_in_the_table: "404 for unknown routes, 405 for wrong methods, `HEAD` included",
    browsers_are_refused: "403 for browsers",
    every_answer_has_a_request_id: "`X-Toxiproxy-Request-Id` on the answers of its routes",
    a_taken_listen_address_is_named: "a listen address that is taken is named",
);

/// One request and what is answered.
struct Step {
    method: &'static str,
    path: &'static str,
    body: &'static str,
    status: u16,
    /// The normalised body (see [`normal`]); `None` where it is not JSON.
    answer: Option<Value>,
}

fn step(
    method: &'static str,
    path: &'static str,
    body: &'static str,
    status: u16,
    answer: impl Into<Option<Value>>,
) -> Step {
    Step {
        method,
        path,
        body,
        status,
        answer: answer.into(),
    }
}

fn error(status: u16, message: &str) -> Value {
    json!({ "error": message, "status": status })
}

fn proxy(name: &str, upstream: &str, enabled: bool, toxics: Value) -> Value {
    json!({ "name": name, "listen": "127.0.0.1:PORT", "upstream": upstream, "enabled": enabled,
            "toxics": toxics })
}

fn latency(name: &str, stream: &str, toxicity: f64, latency: i64, jitter: i64) -> Value {
    json!({ "name": name, "type": "latency", "stream": stream, "toxicity": toxicity,
            "attributes": { "latency": latency, "jitter": jitter } })
}

fn timeout(name: &str, kind: &str, stream: &str, timeout: i64) -> Value {
    json!({ "name": name, "type": kind, "stream": stream, "toxicity": 1,
            "attributes": { "timeout": timeout } })
}

const BAD: &str = "bad request body";

/// Routes that are none, and methods that are not theirs.
fn routes() -> Vec<Step> {
    vec![
        step("GET", "/", "", 404, None),
        step("GET", "/nonsense", "", 404, None),
        step("GET", "/proxies/", "", 404, None),
        step("PUT", "/proxies", "", 405, None),
        step("DELETE", "/version", "", 405, None),
        step("GET", "/reset", "", 405, None),
        step("GET", "/populate", "", 405, None),
        step("PUT", "/proxies/p/toxics/t", "", 405, None),
        step("HEAD", "/proxies", "", 405, None),
        step("HEAD", "/nonsense", "", 404, None),
    ]
}

/// The body with what may differ taken out: ports, the form of numbers, and
/// what follows "bad request body", which is the JSON library's own wording.
fn normal(value: &Value) -> Value {
    match value {
        Value::Number(n) => json!(n.as_f64()),
        Value::Array(items) => items.iter().map(normal).collect(),
        // Toxiproxy 2.12 shows an empty `Logger` with every proxy, by mistake.
        Value::Object(map) => map
            .iter()
            .filter(|(k, _)| *k != "Logger")
            .map(|(k, v)| (k.clone(), normal(v)))
            .collect(),
        Value::String(text) if text.starts_with(BAD) => json!(BAD),
        Value::String(text) => match text.strip_prefix("127.0.0.1:") {
            Some(_) => json!("127.0.0.1:PORT"),
            None => value.clone(),
        },
        other => other.clone(),
    }
}

/// Runs a script and holds every answer against the table.
fn run(running: &Running, script: &[Step]) {
    for step in script {
        let Answer {
            status, json, text, ..
        } = running
            .api
            .send(step.method, step.path, step.body, "conformance");
        let what = format!("{} {} {}", step.method, step.path, step.body);
        assert_eq!(status, step.status, "{what}\nanswered {text}");
        if let Some(expected) = &step.answer {
            assert_eq!(normal(&json), normal(expected), "{what}");
        }
    }
}

fn proxies_are_as_in_the_table(running: &Running) {
    run(running, &proxies::script());
}

fn populating_is_as_in_the_table(running: &Running) {
    run(running, &populate::script());
}

fn toxics_are_as_in_the_table(running: &Running) {
    run(running, &toxics::script());
}

fn every_type_has_its_attributes(running: &Running) {
    run(running, &toxics::types());
}

fn unknown_routes_and_methods_are_as_in_the_table(running: &Running) {
    run(running, &routes());
}

fn browsers_are_refused(running: &Running) {
    let answer = running.api.send("GET", "/proxies", "", "Mozilla/5.0 (X11)");
    assert_eq!(
        (answer.status, answer.text.as_str()),
        (403, "User agent not allowed\n")
    );
    let fine = running.api.send("GET", "/proxies", "", "NotMozilla/5.0");
    assert_eq!(fine.status, 200);
}

fn every_answer_has_a_request_id(running: &Running) {
    let ids = [
        running.api.get("/version"),
        running.api.get("/proxies/none"),
        running.api.send("GET", "/proxies", "", "Mozilla/5.0"),
    ]
    .map(|answer| answer.request_id.expect("an id"));
    assert!(ids.iter().all(|id| id.len() == 20), "{ids:?}");
    assert!(ids[0] != ids[1] && ids[1] != ids[2], "{ids:?}");
    assert_eq!(running.api.get("/nonsense").request_id, None);
}

fn a_taken_listen_address_is_named(running: &Running) {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap();
    let body = format!(r#"{{"name":"a","listen":"{taken}","upstream":"up:1"}}"#);
    let answer = running.api.post("/proxies", &body);
    let message = format!("listen tcp {taken}: bind: address already in use");
    assert_eq!(answer.json, error(500, &message));
    assert_eq!(running.api.get("/proxies").json, json!({}));
}

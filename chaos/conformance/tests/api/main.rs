//! The HTTP API, request by request: the same script against both servers,
//! whose answers must be those of the table, and each other's.

mod populate;
mod proxies;
mod toxics;

use conformance::{Answer, Server};
use serde_json::{Value, json};

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
fn run(server: Server, name: &str, script: &[Step]) -> Option<Vec<(u16, Value)>> {
    let running = server.start(name, &[])?;
    let answers = script.iter().map(|step| {
        let Answer {
            status, json, text, ..
        } = running
            .api
            .send(step.method, step.path, step.body, "conformance");
        let what = format!("{server:?}: {} {} {}", step.method, step.path, step.body);
        assert_eq!(status, step.status, "{what}\nanswered {text}");
        let answer = normal(&json);
        if let Some(expected) = &step.answer {
            assert_eq!(answer, normal(expected), "{what}");
        }
        (status, answer)
    });
    Some(answers.collect())
}

fn compare(name: &str, script: &[Step]) {
    let ours = run(Server::Ours, name, script);
    if let Some(real) = run(Server::Real, name, script) {
        assert_eq!(ours, Some(real));
    }
}

#[test]
fn proxies_are_as_in_the_table() {
    compare("proxies_are_as_in_the_table", &proxies::script());
}

#[test]
fn populating_is_as_in_the_table() {
    compare("populating_is_as_in_the_table", &populate::script());
}

#[test]
fn toxics_are_as_in_the_table() {
    compare("toxics_are_as_in_the_table", &toxics::script());
}

#[test]
fn unknown_routes_and_methods_are_as_in_the_table() {
    compare("unknown_routes_and_methods_are_as_in_the_table", &routes());
}

#[test]
fn browsers_are_refused() {
    for server in [Server::Ours, Server::Real] {
        server.check("browsers_are_refused", |running| {
            let answer = running.api.send("GET", "/proxies", "", "Mozilla/5.0 (X11)");
            assert_eq!(
                (answer.status, answer.text.as_str()),
                (403, "User agent not allowed\n")
            );
            assert_eq!(
                running
                    .api
                    .send("GET", "/proxies", "", "NotMozilla/5.0")
                    .status,
                200
            );
        });
    }
}

#[test]
fn a_taken_listen_address_is_named() {
    for server in [Server::Ours, Server::Real] {
        server.check("a_taken_listen_address_is_named", |running| {
            let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let taken = holder.local_addr().unwrap();
            let body = format!(r#"{{"name":"a","listen":"{taken}","upstream":"up:1"}}"#);
            let answer = running.api.post("/proxies", &body);
            let message = format!("listen tcp {taken}: bind: address already in use");
            assert_eq!(answer.json, error(500, &message));
            assert_eq!(running.api.get("/proxies").json, json!({}));
        });
    }
}

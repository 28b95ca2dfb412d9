//! Numbers and names as people read them.

use serde_json::Value;

use crate::scale::short;

/// 100 % only when nothing is missing.
pub(crate) fn percent(share: f64) -> String {
    if share >= 1.0 {
        return "100 %".to_owned();
    }
    if share <= 0.0 {
        return "0 %".to_owned();
    }
    // Cut, not rounded: 99.996 % must not look like all.
    format!("{:.2} %", (share * 1e4).floor() / 1e2)
}

/// A duration, given in seconds.
pub(crate) fn seconds(s: f64) -> String {
    match s.abs() {
        0.0 => "0 s".to_owned(),
        x if x < 0.001 => format!("{} µs", short(s * 1e6, 0)),
        x if x < 0.01 => format!("{} ms", short(s * 1e3, 1)),
        x if x < 1.0 => format!("{} ms", short(s * 1e3, 0)),
        x if x < 10.0 => format!("{} s", short(s, 2)),
        x if x < 120.0 => format!("{} s", short(s, 1)),
        _ => format!("{} min {:02} s", (s / 60.0).floor(), (s % 60.0).floor()),
    }
}

/// A moment in seconds, without its unit.
pub(crate) fn short_s(s: f64) -> String {
    short(s, 1)
}

/// A count with its thousands set off.
pub(crate) fn count(n: f64) -> String {
    let text = short(
        n,
        if n.abs() < 10.0 && n.fract() != 0.0 {
            1
        } else {
            0
        },
    );
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut out = String::new();
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i) % 3 == 0 && digit.is_ascii_digit() && !out.ends_with('-') {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out + rest
}

/// `1 order`, `2 orders`.
pub(crate) fn plural(n: u64, one: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{} {one}{s}", count(n as f64))
}

/// `a, b and c`.
pub(crate) fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

/// What a fault does, from the time line of `result.json`: `went down`, ….
pub(crate) fn action(what: &Value) -> String {
    if let Some(word) = what.as_str() {
        return match word {
            "down" => "was taken down: connections refused, open ones closed".to_owned(),
            "kill" => "was killed (SIGKILL)".to_owned(),
            "pause" => "was stopped (SIGSTOP)".to_owned(),
            "restart" => "was restarted".to_owned(),
            other => format!("suffered `{other}`"),
        };
    }
    let Some((kind, spec)) = what.as_object().and_then(|o| o.iter().next()) else {
        return "was disturbed".to_owned();
    };
    match kind.as_str() {
        "process" => action(spec),
        "request" => format!(
            "{}{}",
            action(spec.get("action").unwrap_or(&Value::Null)),
            narrowed(spec)
        ),
        "toxic" => toxic(spec),
        "fail" => fail(spec),
        "delay" => format!("answered {} {} late", share(spec), time(spec)),
        "work" => format!("worked {} longer on {}", time(spec), share(spec)),
        "hang" => format!("gave no answer to {}", share(spec)),
        "capacity" => format!(
            "could serve {} at a time, {} each",
            plain(spec.get("at_once")),
            plain(spec.get("service_time"))
        ),
        "lose_reply" => format!("did the work of {} and lost the reply", share(spec)),
        other => format!("suffered `{other}`"),
    }
}

/// Which requests alone meet the fault: ` (GetProducts only)`.
fn narrowed(spec: &Value) -> String {
    let of = |key: &str| {
        spec.get(key)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
    };
    let only: Vec<String> = ["methods", "callers", "users"]
        .into_iter()
        .flat_map(of)
        .map(|one| plain(Some(one)))
        .collect();
    if only.is_empty() {
        return String::new();
    }
    format!(" ({} only)", list(&only))
}

fn toxic(spec: &Value) -> String {
    let kind = spec
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or("a toxic");
    let numbers: Vec<String> = spec
        .get("attributes")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    let toxicity = spec.get("toxicity").and_then(Value::as_f64).unwrap_or(1.0);
    let some = match toxicity {
        x if x >= 1.0 => String::new(),
        x => format!(" on {} of connections", percent(x)),
    };
    let numbers = match numbers.is_empty() {
        true => String::new(),
        false => format!(" ({})", numbers.join(", ")),
    };
    format!("got the toxic {kind}{numbers}{some}")
}

fn fail(spec: &Value) -> String {
    let status = plain(spec.get("status"));
    match spec.get("first") {
        Some(first) if spec.get("of").and_then(Value::as_str) == Some("all") => {
            format!("failed the first {first} attempts with {status}")
        }
        Some(first) => format!("failed the first {first} attempts of each call with {status}"),
        None => format!("failed {} with {status}", share(spec)),
    }
}

fn share(spec: &Value) -> String {
    match spec.get("share").and_then(Value::as_f64) {
        Some(x) if x < 1.0 => format!("{} % of requests", short(x * 100.0, 2)),
        _ => "all requests".to_owned(),
    }
}

fn time(spec: &Value) -> String {
    plain(spec.get("time"))
}

/// A value of a scenario without quotes and braces.
fn plain(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "an error".to_owned(),
        Some(Value::String(s)) => s.clone(),
        Some(Value::Array(all)) => {
            let all: Vec<String> = all.iter().map(|v| plain(Some(v))).collect();
            all.join(" and ")
        }
        Some(Value::Object(o)) => {
            let all: Vec<String> = o
                .iter()
                .map(|(k, v)| format!("{k} {}", plain(Some(v))))
                .collect();
            all.join(", ")
        }
        Some(other) => other.to_string(),
    }
}

/// `order-product` as `order → product`.
pub(crate) fn link(link: &str) -> String {
    link.replacen('-', " → ", 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers() {
        assert_eq!(percent(0.999_96), "99.99 %");
        assert_eq!(percent(1.0), "100 %");
        assert_eq!(seconds(0.0043), "4.3 ms");
        assert_eq!(seconds(0.25), "250 ms");
        assert_eq!(seconds(2.138), "2.14 s");
        assert_eq!(seconds(125.0), "2 min 05 s");
        assert_eq!(count(1_234_567.0), "1\u{202f}234\u{202f}567");
        assert_eq!(count(-100.0), "-100");
        assert_eq!(count(0.3), "0.3");
        assert_eq!(plural(1, "order"), "1 order");
        assert_eq!(list(&["a", "b", "c"].map(str::to_owned)), "a, b and c");
    }

    #[test]
    fn faults_in_words() {
        let says =
            |value, words: &str| assert!(action(&value).contains(words), "{}", action(&value));
        says(json!("down"), "taken down");
        says(json!("kill"), "killed");
        says(
            json!({"toxic": {"type": "latency", "toxicity": 0.5, "attributes": {"latency": 100}}}),
            "latency (latency 100) on 50.00 % of connections",
        );
        says(
            json!({"fail": {"share": 0.2, "status": "UNAVAILABLE"}}),
            "20 % of requests with UNAVAILABLE",
        );
        says(
            json!({"fail": {"first": 2, "of": "call", "status": 503}}),
            "first 2 attempts of each call",
        );
        says(
            json!({"capacity": {"at_once": 10, "service_time": "50ms"}}),
            "10 at a time, 50ms each",
        );
        says(
            json!({"work": {"share": 1.0, "time": {"normal": ["800ms", "200ms"]}}}),
            "normal 800ms and 200ms",
        );
        says(json!({"process": "kill"}), "killed");
        says(
            json!({"request": {"action": {"hang": {"share": 1.0}}, "methods": ["GetProducts"]}}),
            "no answer to all requests (GetProducts only)",
        );
        says(json!({"something_new": {}}), "something_new");
        says(json!(7), "disturbed");
    }
}

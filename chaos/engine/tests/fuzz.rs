//! Scenario files and event lines come from people and from the wire: whatever they hold, the answer
//! is a value or a diagnosis, never a panic.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{path::Path, sync::OnceLock};

use chaos_engine::{Scenario, event::Event};
use proptest::{prelude::*, sample::Index};

/// `CASES` raises them, to a million for a night.
fn config() -> ProptestConfig {
    let cases = std::env::var("CASES").ok().and_then(|n| n.parse().ok());
    ProptestConfig {
        cases: cases.unwrap_or(256),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// The scenarios that are there.
fn files() -> &'static [String] {
    static FILES: OnceLock<Vec<String>> = OnceLock::new();
    FILES.get_or_init(|| {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
        let files = std::fs::read_dir(dir)
            .unwrap()
            .map(|file| file.unwrap().path());
        let mut files: Vec<_> = files.collect();
        files.sort();
        let texts: Vec<String> = files
            .iter()
            .filter(|path| path.extension().is_some_and(|e| e == "toml"))
            .map(|path| std::fs::read_to_string(path).unwrap())
            .collect();
        assert!(texts.len() > 10, "there are scenarios");
        texts
    })
}

/// What is written by mistake, or on purpose.
fn splinter() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "\\PC{0,8}",
        Just("\n[[faults]]\n".to_owned()),
        Just("\n[arms.x]\n".to_owned()),
        Just("= {".to_owned()),
        Just("\"".to_owned()),
        Just("'''".to_owned()),
        Just("99999999999999999999".to_owned()),
        Just("-1".to_owned()),
        Just("1e400".to_owned()),
        Just("nan".to_owned()),
        Just("\"1000000000000000h\"".to_owned()),
        Just("\"0s\"".to_owned()),
        Just("((((((((".to_owned()),
        Just(" within 5% within 5%".to_owned()),
        Just("@@".to_owned()),
        Just("\u{feff}".to_owned()),
        Just("\u{1f4a5}".to_owned()),
    ]
}

/// A scenario that was there, torn at a few places.
fn torn() -> impl Strategy<Value = String> {
    let cut = (any::<Index>(), 0..40_usize, splinter());
    (any::<Index>(), prop::collection::vec(cut, 1..6)).prop_map(|(file, cuts)| {
        let mut text: Vec<char> = files()[file.index(files().len())].chars().collect();
        for (at, length, splinter) in cuts {
            let from = at.index(text.len() + 1);
            let to = (from + length).min(text.len());
            text.splice(from..to, splinter.chars());
        }
        text.into_iter().collect()
    })
}

/// Two whole lines of two scenarios, put together.
fn mixed() -> impl Strategy<Value = String> {
    let line = (any::<Index>(), any::<Index>());
    prop::collection::vec(line, 0..60).prop_map(|lines| {
        let line = |(file, line): &(Index, Index)| {
            let lines: Vec<&str> = files()[file.index(files().len())].lines().collect();
            lines[line.index(lines.len())]
        };
        lines.iter().map(line).collect::<Vec<_>>().join("\n")
    })
}

fn event() -> impl Strategy<Value = Vec<u8>> {
    let kinds = [
        "hello",
        "gap",
        "attempt",
        "call",
        "refused",
        "transition",
        "fault",
        "routed",
        "shed",
        "",
    ];
    let number = prop_oneof![
        any::<u64>().prop_map(|n| n.to_string()),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_map(|n| n.to_string()),
        Just("null".to_owned()),
        Just("\"\"".to_owned()),
        Just("[]".to_owned()),
    ];
    let names = [
        "seq",
        "t_ns",
        "missed",
        "wait_us",
        "after_us",
        "took_us",
        "delay_us",
        "attempt",
        "ok",
        "request_id",
        "link",
        "service",
        "reason",
        "from",
        "to",
    ];
    let field = (prop::sample::select(names.to_vec()), number);
    let fields = prop::collection::vec(field, 0..10);
    let made = (prop::sample::select(kinds.to_vec()), fields).prop_map(|(kind, fields)| {
        let fields = fields
            .into_iter()
            .map(|(name, value)| format!(",\"{name}\":{value}"));
        let fields: String = fields.collect();
        format!("{{\"kind\":\"{kind}\"{fields}}}").into_bytes()
    });
    prop_oneof![made, prop::collection::vec(any::<u8>(), 0..200)]
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_torn_scenario_is_read_or_diagnosed(text in torn()) {
        diagnosed(&text);
    }

    #[test]
    fn lines_in_any_order_are_read_or_diagnosed(text in mixed()) {
        diagnosed(&text);
    }

    #[test]
    fn any_text_is_read_or_diagnosed(text in "\\PC{0,300}") {
        diagnosed(&text);
    }

    #[test]
    fn any_event_line_is_read_or_refused(line in event()) {
        let _ = Event::parse(&line);
    }
}

fn diagnosed(text: &str) {
    match Scenario::parse(text, "f.toml") {
        // What can be read can be asked how long it takes.
        Ok(scenario) => drop(scenario.takes(true)),
        Err(problems) => assert!(!problems.to_string().is_empty()),
    }
}

//! `report.html` as a whole, from run logs.
#![allow(clippy::unwrap_used, reason = "a test that can't unwrap has failed")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{Arm, Model};

fn report(model: &Model) -> String {
    let dir = tempfile::tempdir().unwrap();
    // To look at: `REPORT_SAMPLES=/tmp/x cargo test -p chaos-report --test report`.
    let place = std::env::var_os("REPORT_SAMPLES").map_or_else(
        || dir.path().to_owned(),
        |keep| {
            Path::new(&keep).join(format!(
                "{}-{}x{}",
                model.name,
                model.arms.len(),
                model.repeats
            ))
        },
    );
    std::fs::create_dir_all(&place).unwrap();
    model.write(&place);
    let path = chaos_report::write(&place).unwrap();
    assert_eq!(path, place.join("report.html"));
    std::fs::read_to_string(&path).unwrap()
}

/// What is between two marks.
fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let at = text.find(from).unwrap_or_else(|| panic!("no {from}")) + from.len();
    let end = text[at..]
        .find(to)
        .unwrap_or_else(|| panic!("no {to} after {from}"));
    &text[at..at + end]
}

/// Whether every element is closed where it should be; returns how often each
/// occurs. What is in script and style is not looked at.
fn elements(html: &str) -> BTreeMap<String, usize> {
    const VOID: [&str; 4] = ["meta", "input", "br", "!doctype"];
    let mut open: Vec<String> = Vec::new();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let end = rest.find('>').expect("a tag ends");
        let tag = &rest[..end];
        assert!(!tag.contains('<'), "a tag in a tag: {tag}");
        let name = tag
            .trim_start_matches('/')
            .split([' ', '\n'])
            .next()
            .unwrap()
            .to_owned();
        rest = &rest[end + 1..];
        if tag.starts_with('/') {
            assert_eq!(
                open.pop().as_deref(),
                Some(name.as_str()),
                "before {}",
                &rest[..rest.len().min(80)]
            );
        } else if !VOID.contains(&name.as_str()) {
            *seen.entry(name.clone()).or_default() += 1;
            if name == "script" || name == "style" {
                let close = format!("</{name}>");
                rest = &rest[rest.find(&close).expect("it is closed") + close.len()..];
            } else {
                open.push(name);
            }
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
    seen
}

#[test]
fn everything_is_there_without_a_script() {
    let html = report(&Model {
        void: true,
        ..Model::default()
    });
    let seen = elements(&html);
    assert_eq!(seen["article"], 3 + 3, "three arms, a trace of each");
    assert_eq!(seen["script"], 2, "the numbers and the script");
    for words in [
        // The verdict before everything else, the story, the checks.
        "id=\"verdict\"",
        "at second 6 order → product was taken down: connections refused, open ones closed, for 6 s.",
        "made 720 attempts on order → product for 240 calls: ×3.00",
        "Its breaker opened 300 ms into the fault, after 5 failed attempts in a row",
        "p50(fast) &lt; 100ms",
        // Void trials, seed, the command, the scenario, the log.
        "naive, repeat 1, try 1",
        "cargo lab chaos run product-outage --seed 7</pre>",
        "schema_version = 1",
        "href=\"data:application/gzip;base64,",
        // Traces.
        "refused: breaker",
        "fault outage: fail",
    ] {
        assert!(html.contains(words), "{words}");
    }
    let order = [
        "id=\"verdict\"",
        "id=\"story\"",
        "id=\"checks\"",
        "id=\"curves\"",
        "id=\"compare\"",
    ];
    let places: Vec<usize> = order.iter().map(|id| html.find(id).unwrap()).collect();
    assert!(places.is_sorted());
    for id in [
        "hatch-fault",
        "band",
        "heat5",
        "p99",
        "limit",
        "breaker-open",
        "wf-refused",
    ] {
        assert!(
            html.contains(&format!("\"{id}")) || html.contains(&format!("{id}\"")),
            "{id}"
        );
    }
    for never in ["NaN%", "\"NaN", " NaN", ">NaN", "inf%", "\"inf", ">inf"] {
        assert!(!html.contains(never), "{never}");
    }
}

#[test]
fn the_policy_allows_what_is_inlined_and_nothing_else() {
    let html = report(&Model::default());
    let policy = between(
        &html,
        "http-equiv=\"Content-Security-Policy\" content=\"",
        "\"",
    )
    .replace("&#39;", "'");
    let hash = |text: &str| {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
        format!("'sha256-{}'", STANDARD.encode(digest))
    };
    let script = html
        .rsplit("<script>")
        .next()
        .unwrap()
        .split("</script>")
        .next()
        .unwrap();
    assert!(script.len() > 1_000);
    let style = between(&html, "<style>", "</style>");
    assert_eq!(
        policy,
        format!(
            "default-src 'none'; style-src {}; script-src {}; img-src data:; base-uri 'none'; form-action 'none'",
            hash(style),
            hash(script)
        )
    );
    // What the policy would forbid, and what would ask a network for something.
    for never in [
        " style=",
        " onclick=",
        " onload=",
        "src=\"",
        "<iframe",
        "<link",
        "@import",
        "url(http",
        "javascript:",
    ] {
        assert!(!html.contains(never), "{never}");
    }
    for never in [
        "fetch(",
        "XMLHttpRequest",
        "new Worker",
        "history.",
        "localStorage",
    ] {
        assert!(!script.contains(never), "{never}");
    }
}

#[test]
fn what_others_wrote_stays_text() {
    let words = "\"'><script>alert(1)</script></style></pre><img src=x onerror=alert(1)>&amp;`|${x} javascript:1";
    let html = report(&Model {
        words,
        void: true,
        repeats: 2,
        ..Model::default()
    });
    let seen = elements(&html);
    assert_eq!(seen["script"], 2);
    assert_eq!(seen["style"], 1);
    assert!(!seen.contains_key("img"));
    // In what others wrote, `<` is `&lt;`, or `\u003c` in the numbers.
    assert!(!html.contains("<script>alert") && !html.contains("</pre><img"));
    assert!(html.contains("&lt;script&gt;alert(1)"));
}

#[test]
fn the_four_verdicts_are_told_apart() {
    let word = |model: &Model| {
        let html = report(model);
        between(
            between(&html, "id=\"verdict\"", "</section>"),
            "class=\"word\">",
            "<",
        )
        .to_owned()
    };
    assert_eq!(word(&Model::default()), "Pass");
    let storm = vec![("none", Arm::None), ("fast", Arm::Storm)];
    assert_eq!(
        word(&Model {
            arms: storm,
            ..Model::default()
        }),
        "Fail"
    );
    assert_eq!(
        word(&Model {
            injected: false,
            ..Model::default()
        }),
        "Inconclusive"
    );
    assert_eq!(
        word(&Model {
            complete: false,
            ..Model::default()
        }),
        "Error"
    );
}

#[test]
fn a_negative_control_says_so_first() {
    let html = report(&Model {
        control: true,
        ..Model::default()
    });
    let hero = between(&html, "id=\"verdict\"", "</section>");
    let said = "Negative control: run without what its checks are about, because nothing shields the link; \
                its checks must not hold (fast-answers), but it shows nothing: `fast-answers` holds";
    assert!(hero.contains(said), "{hero}");
    assert!(hero.find("Negative control").unwrap() < hero.find("checks hold").unwrap());
    for words in [
        "(negative control) – Faultline</title>",
        "--seed 7 --negative-control</pre>",
        "**Negative control",
    ] {
        assert!(html.contains(words), "{words}");
    }
    assert!(!report(&Model::default()).contains("egative control"));
}

#[test]
fn ten_minutes_of_five_arms_fit() {
    let arms = vec![
        ("naive", Arm::Naive),
        ("full-jitter", Arm::Storm),
        ("grpc-a6", Arm::None),
        ("breaker", Arm::Breaker),
        ("shedding", Arm::Breaker),
    ];
    let model = Model {
        name: "retry-storm",
        seconds: 600,
        fault: (120, 240),
        repeats: 3,
        rate: 120,
        arms,
        ..Model::default()
    };
    let html = report(&model);
    assert!(html.len() <= 1_500_000, "{} bytes", html.len());
    elements(&html);
    assert!(
        html.contains("too large for this page"),
        "it says what the log in it lacks"
    );
}

#[test]
fn a_report_is_made_again_byte_for_byte() {
    let model = Model {
        repeats: 3,
        ..Model::default()
    };
    assert_eq!(report(&model), report(&model));
}

#[test]
fn without_a_log_there_is_no_report() {
    let dir = tempfile::tempdir().unwrap();
    let error = chaos_report::write(dir.path()).unwrap_err().to_string();
    assert!(error.contains("run.ndjson"), "{error}");
    std::fs::write(dir.path().join("run.ndjson"), "{\"no\": \"log\"}\n").unwrap();
    assert!(chaos_report::write(dir.path()).is_err());
    assert!(!dir.path().join("report.html").exists());
}

/// The story of a recorded folder, word by word. `UPDATE_STORY=1` writes it anew.
#[test]
fn the_story_of_the_recorded_run() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/product-outage");
    let dir = tempfile::tempdir().unwrap();
    for file in ["run.ndjson", "decisions.jsonl"] {
        std::fs::copy(data.join(file), dir.path().join(file)).unwrap();
    }
    let html = std::fs::read_to_string(chaos_report::write(dir.path()).unwrap()).unwrap();
    let markdown = between(&html, "aria-label=\"Markdown\">", "</pre>");
    let story = markdown.split("\n|").next().unwrap().trim_end().to_owned() + "\n";
    let golden = data.join("story.md");
    if std::env::var_os("UPDATE_STORY").is_some() {
        std::fs::write(&golden, &story).unwrap();
    }
    assert_eq!(story, std::fs::read_to_string(&golden).unwrap());
}

#[test]
fn repeats_have_intervals_and_breaker_strips_of_their_own() {
    let html = report(&Model {
        repeats: 3,
        ..Model::default()
    });
    assert!(html.contains("95 % interval of the mean"));
    for words in [
        "Breaker of order-product, repeat 3",
        ">r3<",
        "rates are a repeat",
    ] {
        assert!(html.contains(words), "{words}");
    }
}

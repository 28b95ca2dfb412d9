//! `lab chaos rerun`: the same requests are hit.

use crate::harness::{Lab, text};

const SCENARIO: &str = r#"
schema_version = 1
name = "again"
shows = "a share of requests that fails"
hypothesis = "the same ones each time"
repeats = 1

[load]
warm_up = "2s"
duration = "15s"
[[load.stream]]
mix = "browse"
rate = 40

[[timeline]]
name = "flaky"
at = "2s"
for = "6s"
link = "gateway-product"
action = { fail = { share = 0.3, status = 503 } }

[arms.only]

[[check]]
id = "some-fail"
that = "success_rate(only) < 0.9 during flaky"
because = "a third of the requests fails"
"#;

#[test]
fn a_rerun_hits_the_same_requests_and_two_runs_can_be_compared() {
    let lab = Lab::new();
    let file = lab.data().join("again.toml");
    std::fs::write(&file, SCENARIO).unwrap();
    let [first, second] = ["first", "second"].map(|name| lab.data().join(name));
    let [first, second] = [&first, &second].map(|dir| dir.to_str().unwrap());
    let run = lab.run(&["chaos", "run", file.to_str().unwrap(), "--out", first]);
    assert_eq!(run.status.code(), Some(0), "{}", text(&run));
    std::fs::remove_file(file).unwrap();

    let again = lab.run(&["chaos", "rerun", first, "--out", second]);
    let said = text(&again);
    assert_eq!(again.status.code(), Some(0), "{said}");
    assert!(said.contains("the same requests were hit"), "{said}");

    let compared = lab.run(&["report", "compare", first, second]);
    assert_eq!(compared.status.code(), Some(0), "{}", text(&compared));
    let json = lab.run(&["report", "compare", first, second, "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["scenario"], "again");

    // Another seed draws other requests.
    let other = lab.data().join("other");
    std::fs::create_dir_all(&other).unwrap();
    for name in ["run.ndjson", "decisions.jsonl", "requests.csv.zst"] {
        std::fs::copy(format!("{first}/{name}"), other.join(name)).unwrap();
    }
    let log = std::fs::read_to_string(other.join("run.ndjson")).unwrap();
    let (head, rest) = log.split_once('\n').unwrap();
    let mut header: serde_json::Value = serde_json::from_str(head).unwrap();
    header["seed"] = (header["seed"].as_u64().unwrap() ^ 1).into();
    std::fs::write(other.join("run.ndjson"), format!("{header}\n{rest}")).unwrap();
    let third = lab.data().join("third");
    let differs = lab.run(&[
        "chaos",
        "rerun",
        other.to_str().unwrap(),
        "--out",
        third.to_str().unwrap(),
    ]);
    assert_eq!(differs.status.code(), Some(1), "{}", text(&differs));
}

#[test]
fn a_folder_without_a_run_is_told() {
    let lab = Lab::new();
    let refused = lab.run(&["chaos", "rerun", lab.data().to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(3));
    assert!(
        text(&refused).contains("no run that can be repeated"),
        "{}",
        text(&refused)
    );
}

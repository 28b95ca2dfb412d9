//! `lab report` and `lab runs`, and what keeps a run from beginning.

use crate::harness::{Lab, client, status, text, until};

fn a_run(lab: &Lab, name: &str) -> String {
    let dir = lab.data().join("runs").join(name);
    std::fs::create_dir_all(&dir).unwrap();
    let result = r#"{"verdict": "pass", "seed": 7}"#;
    std::fs::write(dir.join("result.json"), result).unwrap();
    std::fs::write(dir.join("report.html"), "<!doctype html><p>told").unwrap();
    dir.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_report_is_served_on_loopback_until_ctrl_c() {
    let lab = Lab::new();
    let dir = a_run(&lab, "one");
    let mut served = lab.front(&["report", &dir]);
    until("it says where", async || served.said().contains("http://")).await;
    let url = served.said().lines().next().unwrap().to_owned();
    let page = client().get(&url).send().await.unwrap();
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    assert!(page.text().await.unwrap().contains("told"));
    assert_eq!(status(&format!("{url}result.json")).await, Some(200));
    assert_eq!(status(&format!("{url}none")).await, Some(404));
    served.kill("-INT");
    assert_eq!(served.ended().await.code(), Some(0));
}

#[test]
fn what_cannot_be_served_is_told() {
    let lab = Lab::new();
    let dir = a_run(&lab, "one");
    let held = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = held.local_addr().unwrap().port().to_string();
    let empty = lab.data().join("runs").to_str().unwrap().to_owned();
    for (args, told) in [
        (vec!["report", &dir, "--port", &port], "is taken by"),
        (vec!["report", &empty], "holds no run"),
        (vec!["report", "nowhere"], "no folder"),
    ] {
        let refused = lab.run(&args);
        assert_eq!(refused.status.code(), Some(3), "{}", text(&refused));
        assert!(text(&refused).contains(told), "{}", text(&refused));
    }
}

#[test]
fn runs_are_listed_and_old_ones_removed() {
    let lab = Lab::new();
    for name in ["one", "two", "three"] {
        a_run(&lab, name);
    }
    let list = text(&lab.run(&["runs", "list"]));
    assert!(list.contains("three") && list.contains("pass"), "{list}");
    let pruned = lab.run(&["runs", "prune", "--keep", "1"]);
    assert_eq!(pruned.status.code(), Some(0), "{}", text(&pruned));
    assert!(
        text(&pruned).contains("2 runs removed, 1 kept"),
        "{}",
        text(&pruned)
    );
    let left = std::fs::read_dir(lab.data().join("runs")).unwrap().count();
    assert_eq!(left, 1);
}

#[test]
fn what_keeps_a_run_from_beginning_is_told_before_anything_starts() {
    let lab = Lab::new();
    let file = lab.data().join("file");
    std::fs::write(&file, "x = ").unwrap();
    let file = file.to_str().unwrap();
    let below = format!("{file}/out");
    let missing = lab.data().join("none.toml");
    let missing = missing.to_str().unwrap();
    for (args, told) in [
        (vec!["--out", &below], "cannot write into"),
        (vec!["--target", missing], "none.toml"),
        (vec!["--target", file], "file"),
        (vec!["--attach"], "lab up"),
        (vec!["--i-may-break-this"], "--target"),
    ] {
        let refused = lab.run(&[&["chaos", "run", "product-outage"], args.as_slice()].concat());
        assert_eq!(
            refused.status.code(),
            Some(3),
            "{args:?}: {}",
            text(&refused)
        );
        assert!(
            text(&refused).contains(told),
            "{args:?}: {}",
            text(&refused)
        );
        assert!(!lab.data().join("shops").exists());
    }
    let missing = lab
        .command(&["chaos", "run", "product-outage"])
        .env("LAB_BIN_DIR", lab.data())
        .output()
        .unwrap();
    assert_eq!(missing.status.code(), Some(3), "{}", text(&missing));
    assert!(
        text(&missing).contains("missing programs"),
        "{}",
        text(&missing)
    );
}

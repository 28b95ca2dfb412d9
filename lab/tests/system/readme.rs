//! What the README tells people to type.

use std::process::{Command, Stdio};

use crate::harness::Lab;

const MARK: &str = "<!-- walk-through -->";

/// The shell block behind the mark.
fn walk_through() -> String {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
    let text = std::fs::read_to_string(readme).unwrap();
    let (_, rest) = text.split_once(MARK).expect("the README has its mark");
    let (_, rest) = rest.split_once("```bash\n").unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

fn installed(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Register, log in, list, search, order, history, 2FA with a backup token and with a code: as
/// written, but for the address. It waits half a minute by the clock, as a reader has to: a code
/// works once, and the next one is the server's to give.
#[tokio::test]
async fn the_walk_through_works_as_written() {
    if let Some(missing) = ["bash", "curl", "jq"]
        .into_iter()
        .find(|tool| !installed(tool))
    {
        let required = std::env::var_os("LAB_REQUIRE_ALL").is_some();
        assert!(!required, "{missing} is not installed");
        println!("left out: {missing} not installed (the README's walk-through)");
        return;
    }
    let mut lab = Lab::new();
    lab.up().await;
    // `cargo lab` is this very program.
    let script = format!(
        "set -eu\ncargo() {{ shift; \"$LAB\" \"$@\"; }}\n{}",
        walk_through()
    );
    let output = Command::new("bash")
        .args(["-c", &script])
        .env("SHOP", lab.url(""))
        .env("LAB", env!("CARGO_BIN_EXE_lab"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complained}");
    // The last two lines: the log-in asks for the second factor, and the code is taken.
    let last: Vec<&str> = said.lines().rev().take(2).collect();
    assert_eq!(last, ["true", "true"], "{said}");
    assert!(said.contains("\"remaining_backup_tokens\": 9"), "{said}");
}

//! The committed script and style are what `frontend/report` builds.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Says that the test was left out, which is a failure where nothing may be.
fn left_out(why: &str) {
    println!("left out: {why} (report assets)");
    assert!(
        std::env::var_os("LAB_REQUIRE_ALL").is_none_or(|v| v != "1"),
        "left out: {why}"
    );
}

fn tree() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn the_assets_are_current() {
    let frontend = tree().join("frontend");
    let npm = |args: &[&str], out: &Path| {
        let mut command = Command::new("npm");
        command
            .args(args)
            .current_dir(&frontend)
            .env("REPORT_ASSETS", out)
            .output()
    };
    let out = tempfile::tempdir().unwrap();
    if npm(&["--version"], out.path()).is_err() {
        return left_out("node not installed");
    }
    if !frontend.join("node_modules/vite").is_dir() {
        return left_out("frontend/node_modules not installed: run `npm ci` in frontend");
    }
    let built = npm(&["run", "build", "--workspace", "report"], out.path()).unwrap();
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
    for file in ["report.js", "report.css"] {
        let new = std::fs::read(out.path().join(file)).unwrap();
        let committed = std::fs::read(tree().join("chaos/report/assets").join(file)).unwrap();
        assert!(
            new == committed,
            "{file} is stale: run `npm run build` in frontend and commit it"
        );
        assert!(new.len() < 200_000);
    }
}

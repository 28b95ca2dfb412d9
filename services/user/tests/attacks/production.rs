//! Production mode, with the real binary: what is missing or known to everybody is named at once, and
//! nothing starts.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::process::Command;

/// What it says on its way out.
fn refused(variables: &[(&str, &str)]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_user-service"))
        .env_clear()
        .current_dir(std::env::temp_dir())
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    text
}

// attack(default secrets): user-service without its secrets in production -> does not start, names each and how to set it
#[test]
fn what_is_missing_is_named_all_at_once() {
    let text = refused(&[("APP_ENV", "production")]);
    for name in ["SERVICE_SECRET", "FIELD_ENCRYPTION_KEYS"] {
        assert!(text.contains(name), "{name}: {text}");
    }
}

// attack(default secrets, sample accounts): user-service with lab mode, default secrets or sample accounts in production -> does not start, names each
#[test]
fn what_everybody_knows_is_refused() {
    let text = refused(&[
        ("APP_ENV", "production"),
        ("LAB_MODE", "1"),
        ("LAB_CONTROL_PORT", "0"),
        ("LAB_TOKEN", "t"),
        ("SEED_SAMPLE_DATA", "1"),
        ("SERVICE_SECRET", "changeme"),
    ]);
    for name in [
        "LAB_MODE",
        "LAB_TOKEN",
        "SEED_SAMPLE_DATA",
        "SERVICE_SECRET",
    ] {
        assert!(text.contains(name), "{name}: {text}");
    }
    let lab = [
        ("APP_ENV", "production"),
        ("SERVICE_SECRET", "lab-service-secret"),
    ];
    assert!(refused(&lab).contains("placeholder that everybody knows"));
}

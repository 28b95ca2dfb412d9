//! Production mode, with the real binary.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::process::Command;

// attack(default secrets): the gateway with lab mode, or half of TLS, in production -> does not start, names each
#[test]
fn a_gateway_of_the_lab_does_not_start_in_production() {
    let output = Command::new(env!("CARGO_BIN_EXE_gateway"))
        .env_clear()
        .envs([
            ("APP_ENV", "production"),
            ("LAB_MODE", "1"),
            ("LAB_CONTROL_PORT", "0"),
            ("LAB_TOKEN", "t"),
            ("GATEWAY_TLS_CERT", "/nowhere.pem"),
            ("TRUSTED_PROXIES", "everybody"),
            ("RATE_LIMIT_ANONYMOUS", "many"),
        ])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for name in [
        "LAB_MODE",
        "LAB_CONTROL_PORT",
        "GATEWAY_TLS_KEY",
        "TRUSTED_PROXIES",
        "RATE_LIMIT_ANONYMOUS",
    ] {
        let told = text.lines().filter(|line| line.contains(name));
        assert_eq!(told.count(), 1, "{name}: {text}");
    }
}

//! What stands in the log, and what must not.

use std::io::{BufRead as _, BufReader, Read as _};

use data_encoding::{BASE32_NOPAD, BASE64, BASE64URL_NOPAD, HEXLOWER};
use serde_json::{Value, json};

use crate::common::{Answer, Binary, Client, key_path};
use crate::guarded::generator;

const PASSWORD: &str = "a long and quiet river";
const WRONG: &str = "hunter2-is-no-password";

/// The binary as a process of its own, its log in our hands.
struct Process {
    child: std::process::Child,
    client: Client,
    reader: std::thread::JoinHandle<Vec<String>>,
}

impl Process {
    fn start(folder: &std::path::Path) -> Self {
        let binary = Binary {
            database: folder.join("users.db"),
            keys: key_path(),
        };
        let variables = [
            ("HTTP_PORT", "0"),
            ("GRPC_PORT", "0"),
            ("LOG_LEVEL", "trace"),
        ];
        let mut child = binary.command(&["serve"], &variables).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut seen = Vec::new();
        let address = loop {
            let line = lines.next().unwrap().unwrap();
            let event: Value = serde_json::from_str(&line).unwrap();
            seen.push(line);
            if event["message"] == "listening" {
                break event["http"].as_str().unwrap().to_owned();
            }
        };
        let reader = std::thread::spawn(move || {
            seen.extend(lines.map_while(Result::ok));
            seen
        });
        Self {
            child,
            client: Client::new(format!("http://{address}")),
            reader,
        }
    }

    /// Ends it; its log, whole.
    fn end(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let mut lines = self.reader.join().unwrap();
        let mut errors = String::new();
        let mut stderr = self.child.stderr.take().unwrap();
        stderr.read_to_string(&mut errors).unwrap();
        lines.extend(errors.lines().map(str::to_owned));
        lines
    }
}

async fn log_in(client: &Client, name: &str, password: &str) -> Answer {
    let body = json!({ "username": name, "password": password });
    client.post("/api/token/", &body).await
}

/// Every way in which a secret may be written down.
fn encodings(secret: &str) -> Vec<String> {
    let bytes = secret.as_bytes();
    let mut all = vec![
        secret.to_owned(),
        BASE64.encode(bytes),
        BASE64URL_NOPAD.encode(bytes),
        HEXLOWER.encode(bytes),
        bytes
            .iter()
            .map(u8::to_string)
            .collect::<Vec<_>>()
            .join(", "),
        secret.replace(' ', "+"),
        secret.replace(' ', "%20"),
    ];
    if let Ok(raw) = BASE32_NOPAD.decode(bytes) {
        all.extend([HEXLOWER.encode(&raw), BASE64.encode(&raw)]);
    }
    all
}

// attack(secrets in logs): secrets in logs, at the finest level, in any encoding -> none: passwords, tokens, codes, cookies, second-factor secrets
#[tokio::test]
async fn no_secret_stands_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path());
    let client = process.client.clone();
    let mut secrets = vec![PASSWORD.to_owned(), WRONG.to_owned()];
    let body = json!({ "username": "ann", "email": "ann@mail.test", "password": PASSWORD });
    let made = client.post("/api/users/register/", &body).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let login = log_in(&client, "ann", PASSWORD).await;
    let ann = client.with_token(&login.text("access"));
    secrets.extend([login.text("access"), login.text("refresh")]);
    assert_eq!(log_in(&client, "ann", WRONG).await.status, 401);
    // Typed into the wrong field.
    assert_eq!(log_in(&client, WRONG, "x").await.status, 401);
    let refresh = json!({ "refresh": login.text("refresh") });
    let next = client.post("/api/token/refresh/", &refresh).await;
    secrets.extend([next.text("access"), next.text("refresh")]);
    let setup = ann.post("/api/users/2fa/setup/", &json!({})).await;
    secrets.push(setup.text("secret_key"));
    let backup = setup.body["backup_tokens"][0].as_str().unwrap().to_owned();
    secrets.push(backup.clone());
    let totp = generator(&setup.text("secret_key"));
    let now_s = u64::try_from(kit::time::now_ms() / 1000).unwrap();
    let code = totp.generate(now_s).to_string();
    let body = json!({ "device_id": setup.body["device_id"], "token": code });
    assert_eq!(
        ann.post("/api/users/2fa/verify-setup/", &body).await.status,
        200
    );
    let step = log_in(&client, "ann", PASSWORD).await;
    let pending = step.cookie("shop_login");
    secrets.push(pending.split_once('=').unwrap().1.to_owned());
    let second = client.with_header("cookie", &pending);
    for token in ["424242", backup.as_str()] {
        let body = json!({ "username": "ann", "token": token });
        second.post("/api/users/2fa/verify-login/", &body).await;
    }
    let body = json!({ "old_password": WRONG, "new_password": "x" });
    assert_eq!(ann.post("/api/users/me/password/", &body).await.status, 400);
    client
        .with_token(&format!("{}x", login.text("access")))
        .get("/api/users/me/")
        .await;

    let log = process.end();
    assert!(log.len() > 10, "{log:?}");
    for line in &log {
        for secret in &secrets {
            for text in encodings(secret) {
                assert!(!line.contains(&text), "{text} in {line}");
            }
        }
    }
    // Signatures alone would do for a thief who guesses the rest.
    for token in secrets
        .iter()
        .filter(|secret| secret.matches('.').count() == 2)
    {
        let signature = token.rsplit('.').next().unwrap();
        assert!(log.iter().all(|line| !line.contains(signature)));
    }
    let events: Vec<Value> = log
        .iter()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|line: &Value| line["target"] == "audit")
        .collect();
    let kinds: Vec<&str> = events
        .iter()
        .map(|e| e["event"].as_str().unwrap())
        .collect();
    for kind in [
        "registered",
        "logged_in",
        "login_refused",
        "second_factor_on",
        "second_factor_asked",
        "second_factor_refused",
        "backup_token_used",
        "password_refused",
    ] {
        assert!(kinds.contains(&kind), "{kind} in {kinds:?}");
    }
}

// attack(log injection): log injection by names, headers and query -> escaped: every line is one JSON object of ours
#[tokio::test]
async fn nobody_writes_a_line_of_his_own() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path());
    let client = process.client.clone();
    let line =
        "x\n{\"level\":\"INFO\",\"target\":\"audit\",\"event\":\"forged\"}\r\n\u{1b}[2J\u{2028}";
    log_in(&client, line, line).await;
    let body = json!({ "username": line, "email": line, "password": PASSWORD, "first_name": line });
    client.post("/api/users/register/", &body).await;
    client
        .post("/api/token/refresh/", &json!({ "refresh": line }))
        .await;
    client
        .with_header("x-request-id", "a\"},{\"event\":\"forged")
        .get("/api/users/me/")
        .await;
    client
        .with_header("x-forwarded-for", "1.2.3.4\",\"event\":\"forged")
        .post(
            "/api/token/",
            &json!({ "username": "user0", "password": "wrong" }),
        )
        .await;
    client
        .get("/api/users/?search=%0A%7B%22event%22%3A%22forged%22%7D")
        .await;
    let log = process.end();
    assert!(
        log.iter().any(|line| line.contains("login_refused")),
        "{log:?}"
    );
    for line in &log {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line:?}"));
        assert_ne!(event["event"], "forged", "{line}");
        assert!(
            event["timestamp"].is_string() && event["service"] == "user",
            "{line}"
        );
        assert!(!line.contains('\u{1b}'), "{line:?}");
    }
}

//! What runs beside the service: its binary, and services that check tokens by themselves.

use std::{
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use axum::{Json, Router, routing::get};
use kit::{
    Common, Running, Server,
    auth::{Staff, User, Verifier},
};
use serde_json::json;

use super::Client;

/// The binary on a database and a key folder.
#[derive(Clone)]
pub struct Binary {
    pub database: PathBuf,
    pub keys: PathBuf,
}

impl Binary {
    /// In lab mode, with further variables.
    pub fn command(&self, args: &[&str], variables: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_user-service"));
        command
            .args(args)
            .env_clear()
            .env("LAB_MODE", "1")
            .env(
                "DATABASE_URL",
                format!("sqlite://{}?mode=rwc", self.database.display()),
            )
            .env("JWT_PRIVATE_KEY_PATH", &self.keys)
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs it to its end; success, and what it printed. The services of this process go on
    /// meanwhile: one that stood still within a transaction would keep the database from it.
    pub async fn run(
        &self,
        args: &[&str],
        input: Option<&str>,
        variables: &[(&str, &str)],
    ) -> (bool, String) {
        let mut child = self.command(args, variables).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.unwrap_or("").as_bytes()).unwrap();
        drop(stdin);
        let ended = tokio::task::spawn_blocking(move || child.wait_with_output());
        let output = ended.await.unwrap().unwrap();
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        (output.status.success(), text)
    }
}

/// A service like order or product: it checks tokens by keys and revocations that it gets from the
/// user service.
pub struct Other {
    pub running: Running,
    pub client: Client,
}

impl Other {
    /// `users`: the user service's addresses.
    pub async fn start(users: &str) -> Self {
        let common = Common::for_test("order");
        let who = |User(principal): User| async move { Json(json!({ "id": principal.user_id })) };
        let staff =
            |Staff(principal): Staff| async move { Json(json!({ "id": principal.user_id })) };
        let router = Router::new()
            .route("/api/who/", get(who))
            .route("/api/staff/", get(staff));
        let verifier = Verifier::remote(users);
        let running = Server::new(&common)
            .rest(router)
            .auth(Arc::clone(&verifier))
            .start()
            .await
            .unwrap();
        let client = Client::new(format!("http://{}", running.http));
        until("keys arrive", || std::future::ready(verifier.is_ready())).await;
        Self { running, client }
    }

    pub async fn status(&self, path: &str, token: &str) -> u16 {
        let answer = self.client.with_token(token).get(path).await;
        answer.status.as_u16()
    }

    /// Waits until a token is refused here.
    pub async fn refuses(&self, token: &str) {
        until("refused", || async {
            self.status("/api/who/", token).await == 401
        })
        .await;
    }

    #[track_caller]
    pub fn takes(&self, token: &str) -> impl Future<Output = ()> {
        let (client, token) = (self.client.clone(), token.to_owned());
        async move {
            let answer = client.with_token(&token).get("/api/who/").await;
            assert_eq!(answer.status, 200, "{}", answer.body);
        }
    }
}

/// Waits until something holds, and fails when it does not within the 5 s of the contract.
pub async fn until<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    let begun = tokio::time::Instant::now();
    while !holds().await {
        assert!(begun.elapsed().as_secs() < 5, "{what}: not within 5 s");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

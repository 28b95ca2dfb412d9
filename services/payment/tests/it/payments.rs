//! The simulator over real gRPC.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use kit::{Common, Running, cli::Service as _};
use payment_service::{App, Config};
use proto::payment::{
    AuthorizeRequest, PaymentRequest, PaymentState, payment_service_client::PaymentServiceClient,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tonic::{Code, Request, transport::Channel};

struct Bank {
    running: Running,
    client: PaymentServiceClient<Channel>,
    url: String,
    _dir: TempDir,
}

impl Bank {
    async fn open(limit_cents: Option<i64>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}?mode=rwc", dir.path().join("p.db").display());
        let mut common = Common::for_test("payment");
        common.database_url = Some(url.clone());
        let running = App::start(Config {
            common,
            limit_cents,
        })
        .await
        .unwrap();
        let address = format!("http://{}", running.grpc.unwrap());
        let client = PaymentServiceClient::connect(address).await.unwrap();
        Self {
            running,
            client,
            url,
            _dir: dir,
        }
    }

    async fn authorize(&self, key: &str, amount_cents: i64) -> Result<PaymentState, Code> {
        let request = with_secret(AuthorizeRequest {
            order_key: key.into(),
            amount_cents,
            requesting_service: "test".into(),
        });
        let answer = self.client.clone().authorize(request).await;
        answer.map(|a| a.into_inner().state()).map_err(|s| s.code())
    }

    async fn capture(&self, key: &str) -> PaymentState {
        let answer = self.client.clone().capture(of(key)).await;
        answer.unwrap().into_inner().state()
    }

    async fn void(&self, key: &str) -> PaymentState {
        let answer = self.client.clone().void(of(key)).await;
        answer.unwrap().into_inner().state()
    }

    async fn status(&self, key: &str) -> PaymentState {
        let answer = self.client.clone().get_status(of(key)).await;
        answer.unwrap().into_inner().state()
    }

    /// What the ledger says was paid, in cents, and in how many steps.
    async fn paid(&self, key: &str) -> (i64, i64) {
        let db = kit::db::Db::open("test", &self.url).await.unwrap();
        sqlx::query_as(
            "SELECT COALESCE(SUM(CASE event WHEN 'capture' THEN amount_cents \
             ELSE -amount_cents END), 0), COUNT(*) FROM payment_ledger WHERE order_key = $1",
        )
        .bind(key.to_owned())
        .fetch_one(&db.read)
        .await
        .unwrap()
    }

    async fn books(&self, query: &str, token: &str) -> (u16, Value) {
        let control = self.running.control.unwrap();
        let url = format!("http://{control}/lab/integrity{query}");
        let get = reqwest::Client::new().get(url).bearer_auth(token);
        let answer = get.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    async fn switch(&self, defect: &str) -> u16 {
        let url = format!(
            "http://{}/lab/defects/{defect}",
            self.running.control.unwrap()
        );
        let put = reqwest::Client::new().put(url).bearer_auth("test-token");
        put.send().await.unwrap().status().as_u16()
    }
}

fn with_secret<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let secret = "Bearer test-secret".parse().unwrap();
    request.metadata_mut().insert("authorization", secret);
    request
}

fn of(key: &str) -> Request<PaymentRequest> {
    with_secret(PaymentRequest {
        order_key: key.into(),
        requesting_service: "test".into(),
    })
}

#[tokio::test]
async fn every_call_may_be_repeated_and_moves_money_once() {
    let bank = Bank::open(None).await;
    assert_eq!(bank.status("k").await, PaymentState::Unknown);
    for _ in 0..2 {
        assert_eq!(bank.authorize("k", 990).await, Ok(PaymentState::Authorized));
    }
    for _ in 0..3 {
        assert_eq!(bank.capture("k").await, PaymentState::Captured);
    }
    assert_eq!(bank.paid("k").await, (990, 1));
    for _ in 0..3 {
        assert_eq!(bank.void("k").await, PaymentState::Refunded);
    }
    assert_eq!(bank.paid("k").await, (0, 2));
    assert_eq!(bank.capture("k").await, PaymentState::Refunded);
    assert_eq!(bank.status("k").await, PaymentState::Refunded);
}

#[tokio::test]
async fn a_void_keeps_a_late_authorise_out() {
    let bank = Bank::open(None).await;
    assert_eq!(bank.void("late").await, PaymentState::Voided);
    assert_eq!(bank.authorize("late", 5).await, Ok(PaymentState::Voided));
    assert_eq!(bank.capture("late").await, PaymentState::Voided);
    assert_eq!(bank.paid("late").await, (0, 0));
}

#[tokio::test]
async fn what_is_above_the_limit_is_declined_for_good() {
    let bank = Bank::open(Some(100)).await;
    assert_eq!(bank.authorize("a", 100).await, Ok(PaymentState::Authorized));
    assert_eq!(bank.authorize("b", 101).await, Ok(PaymentState::Declined));
    assert_eq!(bank.capture("b").await, PaymentState::Declined);
}

// attack(gRPC secret): gRPC of the payment service without the secret -> UNAUTHENTICATED
#[tokio::test]
async fn another_amount_and_a_key_that_is_none_are_refused() {
    let bank = Bank::open(None).await;
    bank.authorize("k", 5).await.unwrap();
    assert_eq!(bank.authorize("k", 6).await, Err(Code::FailedPrecondition));
    assert_eq!(bank.authorize("", 6).await, Err(Code::InvalidArgument));
    assert_eq!(bank.authorize("n", -1).await, Err(Code::InvalidArgument));
    let bare = Request::new(of("k").into_inner());
    let refused = bank.client.clone().capture(bare).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn the_seeded_defect_captures_twice() {
    let bank = Bank::open(None).await;
    bank.authorize("k", 5).await.unwrap();
    bank.capture("k").await;
    assert_eq!(bank.switch("capture_twice").await, 200);
    bank.capture("k").await;
    assert_eq!(bank.paid("k").await, (10, 2));
    assert_eq!(bank.switch("no_such_thing").await, 400);
}

#[tokio::test]
async fn the_books_tell_every_payment_as_it_is() {
    let bank = Bank::open(Some(1000)).await;
    for key in ["a", "b", "c", "d"] {
        bank.authorize(key, 500).await.unwrap();
    }
    bank.authorize("declined", 1001).await.unwrap();
    bank.capture("b").await;
    bank.capture("c").await;
    bank.void("c").await;
    bank.capture("d").await;
    bank.switch("capture_twice").await;
    bank.capture("d").await;
    bank.void("tombstone").await;
    let row = |key: &str, amount: i64, captured: i64, refunded: i64| json!({ "order_key": key, "amount": amount, "captured": captured, "refunded": refunded });
    let expected = json!({ "payments": [
        row("a", 500, 0, 0), row("b", 500, 500, 0), row("c", 500, 500, 500),
        row("d", 500, 1000, 0), row("declined", 1001, 0, 0), row("tombstone", 0, 0, 0),
    ]});
    assert_eq!(bank.books("", "test-token").await, (200, expected));
    assert_eq!(bank.books("", "wrong").await.0, 401);
    assert_eq!(bank.books("?only=stock", "test-token").await.0, 400);
}

#[tokio::test]
async fn outside_of_lab_mode_there_is_no_control_port() {
    let dir = tempfile::tempdir().unwrap();
    let mut common = Common::for_test("payment");
    let file = dir.path().join("p.db");
    common.database_url = Some(format!("sqlite://{}?mode=rwc", file.display()));
    common.lab = None;
    let limit_cents = None;
    let running = App::start(Config {
        common,
        limit_cents,
    })
    .await
    .unwrap();
    assert_eq!(running.control, None);
    let url = format!("http://{}/lab/integrity", running.http);
    assert_eq!(reqwest::get(url).await.unwrap().status(), 404);
    running.shutdown().await;
}

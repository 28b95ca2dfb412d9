//! A process that dies, as by `kill -9`, at each failpoint: the call that was cut short can be
//! repeated, and moves money once.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{
    net::TcpListener, os::unix::process::ExitStatusExt as _, path::Path, process::Stdio,
    time::Duration,
};

use kit::db::Db;
use payment_service::store::FAILPOINTS;
use proto::payment::{
    AuthorizeRequest, PaymentRequest, PaymentState, payment_service_client::PaymentServiceClient,
};
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};
use tonic::{Request, transport::Channel};

struct Process {
    child: Child,
    grpc: u16,
    control: u16,
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn database(dir: &Path) -> String {
    format!("sqlite://{}?mode=rwc", dir.join("payment.db").display())
}

impl Process {
    /// Starts it; again on other ports when somebody else has taken one meanwhile.
    async fn start(dir: &Path) -> Self {
        loop {
            if let Some(process) = Self::try_start(dir).await {
                return process;
            }
        }
    }

    async fn try_start(dir: &Path) -> Option<Self> {
        let (http, grpc, control) = (free_port(), free_port(), free_port());
        let child = Command::new(env!("CARGO_BIN_EXE_payment-service"))
            .env_clear()
            .env("LAB_MODE", "1")
            .env("LAB_TOKEN", "test-token")
            .env("LAB_CONTROL_PORT", control.to_string())
            .env("HTTP_PORT", http.to_string())
            .env("GRPC_PORT", grpc.to_string())
            .env("SERVICE_SECRET", "test-secret")
            .env("LOG_LEVEL", "error")
            .env("DATABASE_URL", database(dir))
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut this = Self {
            child,
            grpc,
            control,
        };
        let end = Instant::now() + Duration::from_secs(60);
        while this.client().await.is_none() {
            if this.child.try_wait().unwrap().is_some() {
                return None;
            }
            assert!(Instant::now() < end, "it does not start");
            sleep(Duration::from_millis(20)).await;
        }
        Some(this)
    }

    async fn client(&self) -> Option<PaymentServiceClient<Channel>> {
        let url = format!("http://127.0.0.1:{}", self.grpc);
        PaymentServiceClient::connect(url).await.ok()
    }

    async fn arm(&self, point: &str) {
        let control = self.control;
        let url = format!("http://127.0.0.1:{control}/lab/failpoints/{point}");
        let put = reqwest::Client::new().put(url).bearer_auth("test-token");
        assert_eq!(put.send().await.unwrap().status(), 200, "{point}");
    }

    /// The state that an operation leads to; none when the process dies of it.
    async fn ask(&self, operation: &str) -> Option<PaymentState> {
        let mut client = self.client().await?;
        let request = with_secret(PaymentRequest {
            order_key: "k".into(),
            requesting_service: "test".into(),
        });
        let answer = match operation {
            "authorize" => {
                let request = with_secret(AuthorizeRequest {
                    order_key: "k".into(),
                    amount_cents: 990,
                    requesting_service: "test".into(),
                });
                client.authorize(request).await
            }
            "capture" => client.capture(request).await,
            _ => client.void(request).await,
        };
        Some(answer.ok()?.into_inner().state())
    }
}

fn with_secret<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let secret = "Bearer test-secret".parse().unwrap();
    request.metadata_mut().insert("authorization", secret);
    request
}

const LIFE: [(&str, PaymentState); 3] = [
    ("authorize", PaymentState::Authorized),
    ("capture", PaymentState::Captured),
    ("void", PaymentState::Refunded),
];

async fn killed_at(point: &str) {
    let dir = tempfile::tempdir().unwrap();
    let operation = point.split('.').nth(1).unwrap();
    let mut process = Process::start(dir.path()).await;
    process.arm(point).await;
    for (step, state) in LIFE {
        let answer = process.ask(step).await;
        if step == operation {
            assert_eq!(answer, None, "{point}");
            break;
        }
        assert_eq!(answer, Some(state), "{point} {step}");
    }
    let end = timeout(Duration::from_secs(30), process.child.wait()).await;
    let end = end
        .unwrap_or_else(|_| panic!("{point} killed nothing"))
        .unwrap();
    assert_eq!(end.signal(), Some(9), "{point}");
    let process = Process::start(dir.path()).await;
    let rest = LIFE.iter().skip_while(|(step, _)| *step != operation);
    for (step, state) in rest {
        for _ in 0..2 {
            assert_eq!(process.ask(step).await, Some(*state), "{point} {step}");
        }
    }
    let db = Db::open("test", &database(dir.path())).await.unwrap();
    let events: Vec<String> = sqlx::query_scalar("SELECT event FROM payment_ledger ORDER BY id")
        .fetch_all(&db.read)
        .await
        .unwrap();
    assert_eq!(events, ["capture", "refund"], "{point}");
}

#[tokio::test]
async fn whatever_dies_at_a_failpoint_moves_money_once() {
    for point in FAILPOINTS {
        killed_at(point).await;
    }
}

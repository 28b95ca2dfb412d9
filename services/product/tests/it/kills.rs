//! A process that dies, as by `kill -9`, at each failpoint: rows and ledger agree afterwards, and
//! the call that was cut short can be repeated.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{net::TcpListener, os::unix::process::ExitStatusExt as _, path::Path, process::Stdio};
use std::{sync::Arc, time::Duration};

use kit::{Cents, db::Db};
use product_service::{
    domain::NewProduct,
    store::{FAILPOINTS, SqlStore, Store as _, migrate},
};
use proto::product::{
    ReservationRequest, ReservationState, ReserveStockRequest, StockLine,
    product_service_client::ProductServiceClient,
};
use sqlx::Row as _;
use tokio::{
    process::{Child, Command},
    task::JoinSet,
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
    format!("sqlite://{}?mode=rwc", dir.join("product.db").display())
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
        let child = Command::new(env!("CARGO_BIN_EXE_product-service"))
            .env_clear()
            .env("LAB_MODE", "1")
            .env("LAB_TOKEN", "test-token")
            .env("LAB_CONTROL_PORT", control.to_string())
            .env("HTTP_PORT", http.to_string())
            .env("GRPC_PORT", grpc.to_string())
            .env("SERVICE_SECRET", "test-secret")
            .env("SEED_SAMPLE_DATA", "0")
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

    async fn client(&self) -> Option<ProductServiceClient<Channel>> {
        let url = format!("http://127.0.0.1:{}", self.grpc);
        ProductServiceClient::connect(url).await.ok()
    }

    async fn arm(&self, point: &str) {
        let control = self.control;
        let url = format!("http://127.0.0.1:{control}/lab/failpoints/{point}");
        let put = reqwest::Client::new().put(url).bearer_auth("test-token");
        assert_eq!(put.send().await.unwrap().status(), 200, "{point}");
    }

    /// The state that an operation leads to; none when the process dies of it.
    async fn ask(&self, operation: &str) -> Option<ReservationState> {
        let mut client = self.client().await?;
        let request = with_secret(ReservationRequest {
            order_key: "k".into(),
            requesting_service: "test".into(),
        });
        let answer = match operation {
            "reserve" => {
                let request = ReserveStockRequest {
                    order_key: "k".into(),
                    lines: vec![StockLine {
                        product_id: 1,
                        quantity: 4,
                    }],
                    requesting_service: "test".into(),
                    ttl_ms: 0,
                };
                let answer = client.reserve_stock(with_secret(request)).await.ok()?;
                assert!(answer.into_inner().reserved);
                return Some(ReservationState::Held);
            }
            "commit" => client.commit_reservation(request).await,
            "release" => client.release_reservation(request).await,
            _ => client.return_reservation(request).await,
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

/// What a reservation's life looks like up to that operation.
fn life(operation: &str) -> &'static [(&'static str, ReservationState)] {
    use ReservationState::{Committed, Held, Released, Returned};
    match operation {
        "reserve" => &[("reserve", Held)],
        "commit" => &[("reserve", Held), ("commit", Committed)],
        "release" => &[("reserve", Held), ("release", Released)],
        _ => &[
            ("reserve", Held),
            ("commit", Committed),
            ("return", Returned),
        ],
    }
}

async fn killed_at(point: &'static str) {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open("test", &database(dir.path())).await.unwrap();
    migrate(&db).await.unwrap();
    let store = SqlStore::new(db.clone()).unwrap();
    let product = NewProduct {
        name: "A".into(),
        description: String::new(),
        price: Cents(100),
        units: 10,
        category: None,
    };
    store.create(product, 0).await.unwrap();
    let operation = point.split('.').nth(1).unwrap();
    if operation == "sweep" {
        swept(dir.path(), &db, point).await;
    } else {
        asked(dir.path(), &db, point, operation).await;
    }
}

async fn asked(dir: &Path, db: &Db, point: &str, operation: &str) {
    let mut process = Process::start(dir).await;
    process.arm(point).await;
    for (step, state) in life(operation) {
        let answer = process.ask(step).await;
        let last = *step == operation;
        assert_eq!(
            answer,
            if last { None } else { Some(*state) },
            "{point} {step}"
        );
    }
    dead(&mut process, point).await;
    agrees(db, point).await;
    let process = Process::start(dir).await;
    for _ in 0..2 {
        let (step, state) = life(operation).last().unwrap();
        assert_eq!(process.ask(step).await, Some(*state), "{point}");
    }
    agrees(db, point).await;
    let left = match operation {
        "reserve" | "commit" => 6,
        _ => 10,
    };
    assert_eq!(available(db).await, left, "{point}");
}

async fn swept(dir: &Path, db: &Db, point: &str) {
    let mut process = Process::start(dir).await;
    process.arm(point).await;
    let request = ReserveStockRequest {
        order_key: "k".into(),
        lines: vec![StockLine {
            product_id: 1,
            quantity: 4,
        }],
        requesting_service: "test".into(),
        ttl_ms: 100,
    };
    let mut client = process.client().await.unwrap();
    let answer = client.reserve_stock(with_secret(request)).await.unwrap();
    assert!(answer.into_inner().reserved);
    dead(&mut process, point).await;
    agrees(db, point).await;
    let _process = Process::start(dir).await;
    let end = Instant::now() + Duration::from_secs(10);
    while available(db).await != 10 {
        assert!(Instant::now() < end, "{point}: nothing was swept");
        sleep(Duration::from_millis(20)).await;
    }
    agrees(db, point).await;
}

async fn dead(process: &mut Process, point: &str) {
    let end = timeout(Duration::from_secs(30), process.child.wait()).await;
    let end = end
        .unwrap_or_else(|_| panic!("{point} killed nothing"))
        .unwrap();
    assert_eq!(end.signal(), Some(9), "{point}");
}

async fn available(db: &Db) -> i64 {
    let row = sqlx::query("SELECT available FROM products WHERE id = 1");
    row.fetch_one(&db.read).await.unwrap().get(0)
}

/// The ledger replays to the row, and the reservation explains it.
async fn agrees(db: &Db, point: &str) {
    let row = sqlx::query(
        "SELECT (SELECT SUM(delta) FROM stock_ledger), (SELECT available FROM products), \
         (SELECT COALESCE(SUM(l.quantity), 0) FROM reservation_lines l JOIN reservations r \
          ON r.order_key = l.order_key WHERE r.state IN ('held', 'committed') \
          AND r.returned_ms IS NULL)",
    )
    .fetch_one(&db.read)
    .await
    .unwrap();
    let [ledger, available, taken] = [0, 1, 2].map(|n| row.get::<i64, _>(n));
    assert_eq!((ledger, available + taken), (available, 10), "{point}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_dies_at_a_failpoint_leaves_stock_that_adds_up() {
    let places = Arc::new(tokio::sync::Semaphore::new(4));
    let mut all = JoinSet::new();
    for point in FAILPOINTS {
        let places = Arc::clone(&places);
        all.spawn(async move {
            let _place = places.acquire().await.unwrap();
            killed_at(point).await;
        });
    }
    while let Some(one) = all.join_next().await {
        one.unwrap();
    }
}

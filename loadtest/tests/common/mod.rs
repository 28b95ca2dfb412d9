//! A shop of a few lines on a free port, which keeps what it was asked and answers when told to.
#![allow(
    dead_code,
    reason = "each test binary uses its own part of this module"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::{IntoResponse, Response};
use loadtest::{Arrivals, Customer, LoadTarget, Mix, Plan, Record, customer_address};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio::task::JoinHandle;

/// One request as it came over the wire.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    pub method: String,
    pub uri: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
    pub port: u16,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }
}

pub struct Shop {
    pub base: url::Url,
    pub seen: Arc<Mutex<Vec<Seen>>>,
    pub count: Arc<AtomicUsize>,
    /// One permit lets one answer out.
    pub gate: Arc<Semaphore>,
    server: JoinHandle<()>,
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[derive(Clone)]
struct Inner {
    seen: Arc<Mutex<Vec<Seen>>>,
    count: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
    answer: Arc<dyn Fn(&Seen) -> Response + Send + Sync>,
}

impl Shop {
    /// A shop that answers at once.
    pub async fn open(answer: impl Fn(&Seen) -> Response + Send + Sync + 'static) -> Self {
        Self::start(Semaphore::MAX_PERMITS, answer).await
    }

    /// A shop that answers nothing until `gate` gets permits.
    pub async fn hanging() -> Self {
        Self::start(0, |_| "{}".into_response()).await
    }

    async fn start(
        permits: usize,
        answer: impl Fn(&Seen) -> Response + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let inner = Inner {
            seen: Arc::default(),
            count: Arc::default(),
            gate: Arc::new(Semaphore::new(permits)),
            answer: Arc::new(answer),
        };
        let app = Router::new().fallback(handle).with_state(inner.clone());
        let app = app.into_make_service_with_connect_info::<std::net::SocketAddr>();
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let base = format!("http://{address}").parse().unwrap();
        Self {
            base,
            seen: inner.seen,
            count: inner.count,
            gate: inner.gate,
            server,
        }
    }

    /// Waits until `n` requests have arrived.
    pub async fn arrived(&self, n: usize) {
        let polling = async {
            while self.count.load(Ordering::SeqCst) < n {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let limit = Duration::from_secs(60);
        tokio::time::timeout(limit, polling)
            .await
            .expect("the requests never arrived");
    }

    pub fn target(&self) -> LoadTarget {
        let customer = |n: usize| Customer {
            user_id: n as i64 + 1,
            username: format!("customer{n}"),
            access: format!("token{n}"),
            address: customer_address(n),
        };
        LoadTarget {
            lab_token: Some("lab-token".to_owned()),
            customers: (0..20).map(customer).collect(),
            products: (1..=30).collect(),
            password: Some("password123".to_owned()),
            run: "t".to_owned(),
            ..LoadTarget::new(self.base.clone())
        }
    }
}

async fn handle(
    State(inner): State<Inner>,
    ConnectInfo(peer): ConnectInfo<std::net::SocketAddr>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let headers = head.headers.iter().map(|(name, value)| {
        (
            name.to_string(),
            String::from_utf8_lossy(value.as_bytes()).into_owned(),
        )
    });
    let seen = Seen {
        method: head.method.to_string(),
        uri: head.uri.to_string(),
        headers: headers.collect(),
        body: String::from_utf8(to_bytes(body, 1 << 20).await.unwrap().to_vec()).unwrap(),
        port: peer.port(),
    };
    inner.seen.lock().await.push(seen.clone());
    inner.count.fetch_add(1, Ordering::SeqCst);
    inner.gate.acquire().await.unwrap().forget();
    (inner.answer)(&seen)
}

/// `n` evenly spread arrivals of `mix` within a second.
pub fn plan(mix: &str, n: u32, seed: u64) -> Plan {
    let mix = Mix::named(mix).unwrap();
    Plan::single(
        mix,
        f64::from(n),
        Arrivals::Constant,
        Duration::from_secs(1),
        seed,
    )
}

/// All records, once the generator has dropped its end.
pub async fn drain(mut records: mpsc::Receiver<Record>) -> Vec<Record> {
    let mut all = Vec::new();
    while let Some(record) = records.recv().await {
        all.push(record);
    }
    all.sort_by_key(|record| record.index);
    all
}

//! A gateway, and services that die when they are told to.

#![allow(dead_code, reason = "not every test file uses all of it")]

use std::{net::SocketAddr, time::Duration};

use axum::Router;
use gateway::{Config, routes::Upstream};
use kit::{Common, Running, http::serve, replicas::addresses};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::Value;
use tokio::{net::TcpListener, time::Instant};
use tokio_util::sync::CancellationToken;

/// A gateway all of whose services are at one address (or at several, commas between).
pub struct Gateway {
    running: Running,
    client: Client,
}

impl Gateway {
    pub async fn start(services: &str) -> Self {
        Self::start_with(services, |_| {}).await
    }

    /// The same, otherwise configured.
    pub async fn start_with(services: &str, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config {
            common: Common {
                grpc_port: None,
                trusted_proxies: kit::http::TrustedProxies::default(),
                ..Common::for_test("gateway")
            },
            upstreams: Upstream::ALL.map(|upstream| (upstream, addresses(services))),
            policy: resilience::preset::none(),
            cors_origins: Vec::new(),
        };
        change(&mut config);
        Self {
            running: gateway::start(config).await.unwrap(),
            client: Client::new(),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.running.http
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("http://{}{path}", self.running.http);
        self.client.request(method, url)
    }

    pub async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    pub async fn post(&self, path: &str) -> Response {
        self.request(Method::POST, path).send().await.unwrap()
    }

    fn control(&self, path: &str) -> String {
        format!("http://{}{path}", self.running.control.unwrap())
    }

    /// Puts a policy in a slot.
    pub async fn set(&self, slot: &str, policy: Value) {
        let url = self.control(&format!("/lab/policies/{slot}"));
        let put = self.client.put(url).bearer_auth("test-token");
        let answer = put.json(&policy).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    }

    /// The decisions from now on.
    pub async fn events(&self) -> Events {
        let get = self.client.get(self.control("/lab/events"));
        let stream = get.bearer_auth("test-token").send().await.unwrap();
        let mut events = Events {
            stream,
            text: String::new(),
        };
        events.until(|line| line["kind"] == "hello", 1).await;
        events
    }
}

/// The gateway's decisions as they happen.
pub struct Events {
    stream: Response,
    text: String,
}

impl Events {
    /// All up to the `n`th that is `last`.
    pub async fn until(&mut self, last: impl Fn(&Value) -> bool, n: usize) -> Vec<Value> {
        let mut seen = Vec::new();
        let mut found = 0;
        while found < n {
            while !self.text.contains('\n') {
                let chunk = self.stream.chunk().await.unwrap().unwrap();
                self.text.push_str(std::str::from_utf8(&chunk).unwrap());
            }
            let (line, rest) = self.text.split_once('\n').unwrap();
            let line: Value = serde_json::from_str(line).unwrap();
            self.text = rest.to_owned();
            found += usize::from(last(&line));
            seen.push(line);
        }
        seen
    }
}

/// A service that ends, connections and all, when it is told to.
pub struct Service {
    pub url: String,
    end: CancellationToken,
    ended: tokio::task::JoinHandle<()>,
}

impl Service {
    /// On a free port, behind the server of our own services, which hears when a caller leaves.
    pub async fn start(app: Router) -> Self {
        Self::start_at("127.0.0.1:0", app).await
    }

    /// On the port that an earlier one had.
    pub async fn start_at(address: &str, app: Router) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let end = CancellationToken::new();
        let limits = serve::Limits {
            drain: Duration::ZERO,
            ..serve::Limits::default()
        };
        let app = tower::util::BoxCloneSyncService::new(app);
        let ended = tokio::spawn(serve::serve(listener, app, limits, end.clone()));
        Self { url, end, ended }
    }

    pub fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// When this returns its port refuses and its idle connections are gone.
    pub async fn kill(&mut self) {
        self.end.cancel();
        (&mut self.ended).await.unwrap();
    }
}

/// Looks again until it is so, for ten seconds at most.
pub async fn poll<F: Future<Output = bool>>(what: &str, is_so: impl Fn() -> F) {
    let end = Instant::now() + Duration::from_secs(10);
    while !is_so().await {
        assert!(Instant::now() < end, "not within 10 s: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

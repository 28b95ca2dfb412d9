//! A proxy inside the test, an upstream, and the few requests the tests make.

use std::net::SocketAddr;
use std::time::Duration;

use chaos_proxy::{Options, Server};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Longer than anything here takes; a test that waits for it has failed.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A running server and a client for its API.
pub struct Lab {
    api: SocketAddr,
    http: reqwest::Client,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<chaos_proxy::Result<()>>,
}

impl Lab {
    pub async fn start(seed: u64) -> Self {
        let options = Options {
            port: 0,
            seed: Some(seed),
            ..Options::default()
        };
        let server = Server::bind(&options).await.unwrap();
        let api = server.api_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(server.run(async move {
            let _ = stopped.await;
        }));
        Self {
            api,
            http: reqwest::Client::new(),
            stop: Some(stop),
            running,
        }
    }

    pub async fn stop(mut self) {
        drop(self.stop.take());
        tokio::time::timeout(PATIENCE, self.running)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
    }

    pub async fn post(&self, path: &str, body: &str) -> (u16, Value) {
        let url = format!("http://{}{path}", self.api);
        read(
            self.http
                .post(url)
                .body(body.to_owned())
                .send()
                .await
                .unwrap(),
        )
        .await
    }

    pub async fn put(&self, path: &str, body: &str) -> (u16, Value) {
        let url = format!("http://{}{path}", self.api);
        let request = self.http.put(url).body(body.to_owned());
        read(request.send().await.unwrap()).await
    }

    pub async fn json(&self, path: &str) -> Value {
        serde_json::from_str(&self.text(path).await).unwrap()
    }

    /// The event stream, from now on.
    pub async fn events(&self) -> Events {
        let url = format!("http://{}/faultline/events", self.api);
        let response = self.http.get(url).send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "application/x-ndjson");
        let mut events = Events {
            response,
            buffer: Vec::new(),
        };
        assert_eq!(events.next().await.unwrap()["kind"], "hello");
        events
    }

    pub async fn delete(&self, path: &str) -> u16 {
        let url = format!("http://{}{path}", self.api);
        self.http
            .delete(url)
            .send()
            .await
            .unwrap()
            .status()
            .as_u16()
    }

    pub async fn text(&self, path: &str) -> String {
        let url = format!("http://{}{path}", self.api);
        self.http
            .get(url)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
    }

    /// A proxy on a free port to `upstream`; returns where it listens.
    pub async fn proxy(&self, name: &str, upstream: SocketAddr) -> SocketAddr {
        let body = format!(r#"{{"name":"{name}","listen":"127.0.0.1:0","upstream":"{upstream}"}}"#);
        let (status, made) = self.post("/proxies", &body).await;
        assert_eq!(status, 201, "{made}");
        made["listen"].as_str().unwrap().parse().unwrap()
    }

    pub async fn toxic(&self, proxy: &str, body: &str) {
        let (status, answer) = self.post(&format!("/proxies/{proxy}/toxics"), body).await;
        assert_eq!(status, 200, "{answer}");
    }
}

/// A reader of `/faultline/events`.
pub struct Events {
    response: reqwest::Response,
    buffer: Vec<u8>,
}

impl Events {
    /// The next event; `None` when the server ended the stream.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await;
            self.buffer
                .extend(chunk.expect("no event").unwrap().as_ref()?);
        }
    }

    /// The next event of that kind; those before it are passed over.
    pub async fn find(&mut self, kind: &str) -> Value {
        loop {
            let event = self.next().await.expect("the stream goes on");
            if event["kind"] == kind {
                return event;
            }
        }
    }
}

async fn read(response: reqwest::Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let body = response.bytes().await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

/// An upstream that sends everything back, and half-closes when its client does.
pub async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
                let _ = write.shutdown().await;
            });
        }
    });
    address
}

/// Sends `data` through an echo and returns what came back.
pub async fn round_trip(stream: &mut TcpStream, data: &[u8]) -> std::io::Result<Vec<u8>> {
    stream.write_all(data).await?;
    let mut back = vec![0; data.len()];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut back))
        .await
        .expect("no answer")?;
    Ok(back)
}

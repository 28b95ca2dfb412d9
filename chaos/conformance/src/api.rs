//! A raw client: sees status, headers and text as they are.

use std::net::SocketAddr;

use reqwest::Method;
use reqwest::blocking::Client;
use reqwest::header::{CONTENT_TYPE, USER_AGENT};
use serde_json::Value;

use crate::PATIENCE;

/// The API of one server.
pub struct Api {
    /// Where it listens.
    pub address: SocketAddr,
    client: Client,
}

/// What it answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The media type, without parameters.
    pub media_type: String,
    /// The header `X-Toxiproxy-Request-Id`, if there is one.
    pub request_id: Option<String>,
    /// The body as it came.
    pub text: String,
    /// The body as JSON, null if it is none.
    pub json: Value,
}

impl Api {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let client = Client::builder().timeout(PATIENCE).no_proxy().build();
        Self {
            address,
            client: client.expect("a client"),
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.client
            .get(format!("http://{}/version", self.address))
            .send()
            .is_ok()
    }

    /// One request.
    ///
    /// # Panics
    /// If there is no answer.
    pub fn send(&self, method: &str, path: &str, body: &str, agent: &str) -> Answer {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let response = self
            .client
            .request(method, format!("http://{}{path}", self.address))
            .header(USER_AGENT, agent)
            .body(body.to_owned())
            .send()
            .expect("an answer");
        let media_type = response
            .headers()
            .get(CONTENT_TYPE)
            .map(|v| v.to_str().expect("text"));
        let media_type = media_type
            .and_then(|v| v.split(';').next())
            .unwrap_or("")
            .to_owned();
        let status = response.status().as_u16();
        let id = response.headers().get("x-toxiproxy-request-id");
        let request_id = id.map(|v| v.to_str().expect("text").to_owned());
        let text = response.text().expect("text");
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Answer {
            status,
            media_type,
            request_id,
            text,
            json,
        }
    }

    /// GET.
    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "", "conformance")
    }

    /// POST.
    pub fn post(&self, path: &str, body: &str) -> Answer {
        self.send("POST", path, body, "conformance")
    }

    /// DELETE.
    pub fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, "", "conformance")
    }
}

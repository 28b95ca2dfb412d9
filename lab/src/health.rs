//! Asks the parts how they are, without ever waiting long for an answer.

use std::time::Duration;

use anyhow::{Context as _, Result};
use reqwest::{Client, StatusCode};
use serde_json::Value;

/// How long a part may take to say how it is: its own checks may take two seconds.
const PATIENCE: Duration = Duration::from_secs(4);

/// How a part is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It can serve.
    Healthy,
    /// It can serve, but not everything: what it says about it.
    Degraded(String),
    /// It can't serve: why.
    Unhealthy(String),
}

impl Health {
    /// Whether requests are answered.
    pub fn serves(&self) -> bool {
        !matches!(self, Self::Unhealthy(_))
    }

    /// In a word or a line.
    pub fn text(&self) -> String {
        match self {
            Self::Healthy => "healthy".to_owned(),
            Self::Degraded(why) => format!("degraded: {why}"),
            Self::Unhealthy(why) => format!("unhealthy: {why}"),
        }
    }
}

/// A client for loopback: no proxy of the environment, no waiting.
///
/// # Errors
/// When the TLS library can't be set up.
pub fn client() -> Result<Client> {
    Client::builder()
        .no_proxy()
        .timeout(PATIENCE)
        .connect_timeout(PATIENCE)
        .build()
        .context("HTTP client")
}

/// Asks one health address.
pub async fn probe(client: &Client, url: &str) -> Health {
    let answer = match client.get(url).send().await {
        Ok(answer) => answer,
        Err(error) => return Health::Unhealthy(reason(&error).to_owned()),
    };
    let status = answer.status();
    let body = answer.text().await.unwrap_or_default();
    judge(status, &body)
}

fn reason(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        "no answer within four seconds"
    } else if error.is_connect() {
        "connection refused"
    } else {
        "connection broken"
    }
}

/// Reads `{status, checks}`, the body of the contract's health endpoints; any other 200 will do.
fn judge(status: StatusCode, body: &str) -> Health {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    if status != StatusCode::OK {
        return Health::Unhealthy(format!("answers {}{}", status.as_u16(), failing(&body)));
    }
    match body["status"].as_str() {
        Some("unhealthy") => Health::Unhealthy(format!("says so itself{}", failing(&body))),
        Some("degraded") => Health::Degraded(failing(&body).trim_start_matches(": ").to_owned()),
        _ => Health::Healthy,
    }
}

/// Names the checks that are not well.
fn failing(body: &Value) -> String {
    let Some(checks) = body["checks"]
        .as_object()
        .or_else(|| body["services"].as_object())
    else {
        return String::new();
    };
    let names: Vec<&str> = checks
        .iter()
        .filter(|(_, check)| !is_well(check))
        .map(|(name, _)| name.as_str())
        .collect();
    if names.is_empty() {
        String::new()
    } else {
        format!(": {}", names.join(", "))
    }
}

fn is_well(check: &Value) -> bool {
    let word = check.as_str().or_else(|| check["status"].as_str());
    word.is_some_and(|word| matches!(word, "healthy" | "ok" | "up"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_degraded_part_serves_and_an_unhealthy_one_does_not() {
        let degraded = judge(
            StatusCode::OK,
            r#"{"status":"degraded","checks":{"database":"healthy","keys":"unhealthy"}}"#,
        );
        assert_eq!(degraded, Health::Degraded("keys".to_owned()));
        assert!(degraded.serves());
        assert!(!judge(StatusCode::OK, r#"{"status":"unhealthy"}"#).serves());
        assert!(!judge(StatusCode::SERVICE_UNAVAILABLE, "{}").serves());
    }

    #[test]
    fn a_version_page_counts_as_health() {
        assert_eq!(
            judge(StatusCode::OK, r#"{"version":"2.12.0"}"#),
            Health::Healthy
        );
        assert_eq!(judge(StatusCode::OK, "2.12.0"), Health::Healthy);
    }

    #[tokio::test]
    async fn a_port_where_nobody_listens_is_unhealthy() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let health = probe(&client().unwrap(), &format!("http://{address}/health/")).await;
        assert_eq!(health, Health::Unhealthy("connection refused".to_owned()));
    }
}

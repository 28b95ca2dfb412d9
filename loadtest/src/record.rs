//! What became of a request.

#[cfg(test)]
mod tests;

use std::time::Duration;

use http::header::RETRY_AFTER;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::client::{Answer, Interrupted, TransportError};
use crate::mix::Op;
use crate::request::Line;

/// The load's view of an outcome. Success is `Ok` or `Degraded`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// 2xx, or a 4xx that the operation must expect: for an order that is the 400 `Insufficient
    /// inventory` alone; requests of the load are well-formed and name what exists, so any other
    /// 4xx (a 401, a 404) is a failure.
    Ok,
    /// 2xx answered by a fallback (header `x-degraded`).
    Degraded,
    /// 429, or a 503 by refusal (code `service_unavailable`: a breaker, or overload), or refused by
    /// the load's own policy.
    Rejected,
    /// The rest, a missing or broken answer included.
    Failed,
}

impl Outcome {
    /// Whether the customer was served.
    #[must_use]
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Ok | Self::Degraded)
    }
}

/// What an order has done to the shop, as far as its answer tells (`reliability.md`: a time-out, a
/// reset, a 5xx after sending is unknown for ever, never "not done").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Nothing: it was never sent, or refused with a 4xx.
    None,
    /// It was acknowledged.
    Done,
    /// It may or may not have been carried out.
    Unknown,
}

/// One finished request. Times are nanoseconds of `CLOCK_MONOTONIC`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The arrival's number.
    pub index: u64,
    /// The `x-request-id` it was sent with.
    pub request_id: String,
    /// What it did.
    pub op: Op,
    /// When it should have started: latency counts from here.
    pub scheduled_ns: u64,
    /// When it did start.
    pub started_ns: u64,
    /// When its answer had been read, or it was given up.
    pub ended_ns: u64,
    /// The HTTP status; 0 if no answer began.
    pub status: u16,
    /// How it counts.
    pub outcome: Outcome,
    /// The `code` of an error's body.
    pub code: Option<String>,
    /// The order that was made.
    pub order_id: Option<i64>,
    /// Whether the answer said `x-degraded`.
    pub degraded: bool,
    /// What went wrong on the way: a [`TransportError`]'s text, [`crate::GENERATOR_FULL`],
    /// [`crate::STOPPED`], or what is wrong with a 2xx's body.
    pub error: Option<String>,
    /// Whether any of it can have reached the target.
    pub sent: bool,
    /// The customer's user id; 0 if it was nobody's.
    pub customer: i64,
    /// What was ordered or quoted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<Line>,
    /// Its stream: the name, or the place in the plan ([`crate::Plan::stream_name`]).
    #[serde(default)]
    pub stream: String,
    /// The stream's priority, as it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<String>,
    /// Whether the final answer was a 429 or 503 that said when to come back.
    #[serde(default)]
    pub retry_after: bool,
    /// Attempts begun, by the policy of the load's own slot; one without a policy, 0 if it was never
    /// begun.
    #[serde(default)]
    pub attempts: u32,
    /// Bytes of the final answer's body.
    #[serde(default)]
    pub bytes: u64,
}

/// What the shop answers while the first request of an idempotency key is under way.
const IN_FLIGHT: &str = "idempotency_key_in_flight";

impl Record {
    /// From when it should have started until its answer had been read.
    #[must_use]
    pub fn latency(&self) -> Duration {
        Duration::from_nanos(self.ended_ns.saturating_sub(self.scheduled_ns))
    }

    /// How much later than it should have it started: the generator's own delay.
    #[must_use]
    pub fn lateness(&self) -> Duration {
        Duration::from_nanos(self.started_ns.saturating_sub(self.scheduled_ns))
    }

    /// What the request has done to the shop's orders; only an order can have done anything.
    #[must_use]
    pub fn effect(&self) -> Effect {
        match self.status {
            _ if self.op != Op::Order || !self.sent => Effect::None,
            200..=299 if self.order_id.is_some() => Effect::Done,
            // An attempt before the last, or the key's first request, may have made it.
            400..=499 if self.attempts > 1 => Effect::Unknown,
            409 if self.code.as_deref() == Some(IN_FLIGHT) => Effect::Unknown,
            400..=499 => Effect::None,
            _ => Effect::Unknown,
        }
    }
}

/// The part of a record that its answer decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// See [`Record::status`].
    pub status: u16,
    /// See [`Record::outcome`].
    pub outcome: Outcome,
    /// See [`Record::code`].
    pub code: Option<String>,
    /// See [`Record::order_id`].
    pub order_id: Option<i64>,
    /// See [`Record::degraded`].
    pub degraded: bool,
    /// See [`Record::error`].
    pub error: Option<String>,
    /// See [`Record::sent`].
    pub sent: bool,
    /// See [`Record::retry_after`].
    pub retry_after: bool,
    /// See [`Record::bytes`].
    pub bytes: u64,
}

impl Judgement {
    /// A request without a (whole) answer.
    pub(crate) fn failed(status: u16, error: impl Into<String>, sent: bool) -> Self {
        Self::without_answer(status, Outcome::Failed, error.into(), sent)
    }

    /// A request that the load's own policy refused to make.
    pub(crate) fn refused(reason: resilience::Reason, sent: bool) -> Self {
        let error = format!("refused: {}", reason.as_str());
        Self::without_answer(0, Outcome::Rejected, error, sent)
    }

    fn without_answer(status: u16, outcome: Outcome, error: String, sent: bool) -> Self {
        Self {
            status,
            outcome,
            code: None,
            order_id: None,
            degraded: false,
            error: Some(error),
            sent,
            retry_after: false,
            bytes: 0,
        }
    }
}

/// Judges what came back to a request of kind `op`: a pure function, see [`Outcome`].
#[must_use]
pub fn judge(op: Op, result: &Result<Answer, Interrupted>) -> Judgement {
    match result {
        Ok(answer) if answer.status.is_success() => success(op, answer),
        Ok(answer) => refusal(op, answer),
        Err(Interrupted { status, error }) => {
            let sent = !matches!(error, TransportError::Connect(_));
            Judgement::failed(status.map_or(0, |s| s.as_u16()), error.to_string(), sent)
        }
    }
}

fn success(op: Op, answer: &Answer) -> Judgement {
    let degraded = answer.headers.contains_key("x-degraded");
    let mut judgement = Judgement {
        status: answer.status.as_u16(),
        outcome: if degraded {
            Outcome::Degraded
        } else {
            Outcome::Ok
        },
        code: None,
        order_id: None,
        degraded,
        error: None,
        sent: true,
        retry_after: false,
        bytes: answer.body.len() as u64,
    };
    if op == Op::Order {
        let body = serde_json::from_slice::<Value>(&answer.body).ok();
        judgement.order_id = body.and_then(|body| body.get("id")?.as_i64());
        if judgement.order_id.is_none() {
            // Acknowledged, but nobody could ever find the order: no customer calls that served.
            judgement.outcome = Outcome::Failed;
            judgement.error = Some("body: an order without an id".to_owned());
        }
    }
    judgement
}

fn refusal(op: Op, answer: &Answer) -> Judgement {
    let status = answer.status.as_u16();
    let body = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
    let text = |key: &str| body.get(key).and_then(Value::as_str);
    let code = text("code");
    let no_stock =
        code == Some("insufficient_inventory") || text("error") == Some("Insufficient inventory");
    let outcome = match status {
        400 if op == Op::Order && no_stock => Outcome::Ok,
        429 => Outcome::Rejected,
        503 if code == Some("service_unavailable") => Outcome::Rejected,
        _ => Outcome::Failed,
    };
    let code = code.map(str::to_owned);
    Judgement {
        status,
        outcome,
        code,
        order_id: None,
        degraded: false,
        error: None,
        sent: true,
        retry_after: matches!(status, 429 | 503) && answer.headers.contains_key(RETRY_AFTER),
        bytes: answer.body.len() as u64,
    }
}

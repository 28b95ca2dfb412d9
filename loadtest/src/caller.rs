//! One request from first attempt to final answer: through the slot `load` if it has a policy, else
//! as a single attempt.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderName, HeaderValue, Request, StatusCode};
use http_body_util::Full;
use resilience::observe::Observer;
use resilience::{
    Attempt, Call, CallError, Classify, Deadline, FailureKind, Policy, Pushback, Slot, SlotName,
};

use crate::client::{Answer, HttpClient, Interrupted, TransportError};
use crate::mix::Op;
use crate::record::Judgement;
use crate::request::Prepared;

type Body = Full<bytes::Bytes>;

/// Which attempt of a request it is; absent on the first.
const ATTEMPT: HeaderName = HeaderName::from_static("x-attempt");
/// What is read of an answer at most.
const MAX_BODY: usize = 1 << 20;

/// The name of the slot, of its link and of who calls.
pub(crate) const SLOT: &str = "load";

/// Makes the calls of a run.
pub(crate) struct Caller {
    client: HttpClient,
    slot: Option<Slot>,
    /// When a request, all its attempts together, is given up.
    bound: Duration,
}

impl Caller {
    /// Without policies a request is one attempt and nothing is observed.
    pub(crate) fn new(
        policies: &[(u32, Policy)],
        observer: Arc<dyn Observer>,
        bound: Duration,
        seed: u64,
    ) -> Self {
        let slot = policies.first().map(|(_, first)| {
            let name = SlotName::new(SLOT, SLOT, "gateway");
            let slot = Slot::new(name, first.clone(), observer, seed);
            if policies.len() > 1 {
                slot.set_split(policies.to_vec());
            }
            slot
        });
        Self {
            client: HttpClient::new(),
            slot,
            bound,
        }
    }

    /// Makes the request, and says how it ended and after how many attempts. `attempts` counts
    /// them as they begin, for whoever drops this call on its way.
    pub(crate) async fn call(&self, op: Op, prepared: &Prepared, made: &Made) -> Judgement {
        let Some(slot) = &self.slot else {
            made.begin();
            let request = prepared.request.clone();
            let answered = self.client.send(request, self.bound, MAX_BODY).await;
            return prepared.judge(op, &answered);
        };
        let call = Call {
            method: op.as_str(),
            request_id: &prepared.request_id,
            idempotent: prepared.repeatable,
            deadline: Deadline::after(self.bound),
        };
        let answered = slot
            .call(call, |attempt| {
                self.attempt(&prepared.request, attempt, made)
            })
            .await;
        let mut judged = match answered {
            Ok(answer) => prepared.judge(op, &Ok(answer)),
            Err(CallError::Failed { error, .. }) => prepared.judge(op, &error.0),
            Err(CallError::TimedOut { .. }) => {
                Judgement::failed(0, TransportError::Timeout.to_string(), true)
            }
            // Refused on the way: what the attempt before said is still the best answer.
            Err(CallError::Rejected {
                last: Some(error), ..
            }) => prepared.judge(op, &error.0),
            Err(CallError::Rejected { reason, .. }) => Judgement::refused(reason, true),
        };
        judged.sent = made.sent();
        judged
    }

    async fn attempt(
        &self,
        request: &Request<Body>,
        attempt: Attempt,
        made: &Made,
    ) -> Result<Answer, Unserved> {
        made.begin();
        let mut request = request.clone();
        if attempt.number > 1 {
            let number = HeaderValue::from(attempt.number);
            request.headers_mut().insert(ATTEMPT, number);
        }
        let result = self.client.send(request, self.bound, MAX_BODY).await;
        if let Err(Interrupted {
            error: TransportError::Connect(_),
            ..
        }) = &result
        {
            made.never_left();
        }
        match result {
            Ok(answer) if kind(answer.status).is_none() => Ok(answer),
            other => Err(Unserved(other)),
        }
    }
}

/// Attempts of one request.
#[derive(Default)]
pub(crate) struct Made {
    begun: AtomicU32,
    unsent: AtomicU32,
}

impl Made {
    fn begin(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    fn never_left(&self) {
        self.unsent.fetch_add(1, Ordering::Relaxed);
    }

    /// How many were begun.
    pub(crate) fn begun(&self) -> u32 {
        self.begun.load(Ordering::Relaxed)
    }

    /// Whether any can have reached the target. One that was cut short counts as sent, because
    /// nobody knows.
    pub(crate) fn sent(&self) -> bool {
        self.begun() > self.unsent.load(Ordering::Relaxed)
    }
}

/// An attempt that brought no answer to be content with.
#[derive(Debug)]
struct Unserved(Result<Answer, Interrupted>);

/// How a status speaks against the target; none if it doesn't, as every 4xx but 429.
fn kind(status: StatusCode) -> Option<FailureKind> {
    match status {
        StatusCode::TOO_MANY_REQUESTS => Some(FailureKind::Exhausted),
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE => Some(FailureKind::Unavailable),
        StatusCode::GATEWAY_TIMEOUT => Some(FailureKind::Timeout),
        status if status.is_server_error() => Some(FailureKind::Internal),
        _ => None,
    }
}

impl Classify for Unserved {
    fn failure(&self) -> FailureKind {
        match &self.0 {
            Ok(answer) => kind(answer.status).unwrap_or(FailureKind::Unknown),
            Err(interrupted) => match interrupted.error {
                TransportError::Connect(_) => FailureKind::NotProcessed,
                TransportError::Broken(_) => FailureKind::Unavailable,
                TransportError::Timeout => FailureKind::Timeout,
                TransportError::TooLarge(_) => FailureKind::Unknown,
            },
        }
    }

    fn code(&self) -> &str {
        match &self.0 {
            Ok(answer) => match answer.status.as_u16() {
                429 => "429",
                500 => "500",
                502 => "502",
                503 => "503",
                504 => "504",
                _ => "5xx",
            },
            Err(interrupted) => match interrupted.error {
                TransportError::Connect(_) => "connect",
                TransportError::Broken(_) => "broken",
                TransportError::Timeout => "timeout",
                TransportError::TooLarge(_) => "too_large",
            },
        }
    }

    /// `Retry-After` of a 429 or 503, in seconds (RFC 9110, section 10.2.3); a date is read as
    /// nothing said.
    fn pushback(&self) -> Option<Pushback> {
        let answer = self.0.as_ref().ok()?;
        if !matches!(answer.status.as_u16(), 429 | 503) {
            return None;
        }
        let seconds = answer.headers.get(RETRY_AFTER)?.to_str().ok()?;
        let seconds = seconds.trim().parse().ok()?;
        Some(Pushback::Wait(Duration::from_secs(seconds)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;

    fn answered(status: u16, retry_after: Option<&'static str>) -> Unserved {
        let mut headers = HeaderMap::new();
        if let Some(value) = retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(value));
        }
        Unserved(Ok(Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers,
            body: bytes::Bytes::new(),
        }))
    }

    #[test]
    fn statuses_and_transport_errors_are_classified() {
        use FailureKind::{Exhausted, Internal, NotProcessed, Timeout, Unavailable, Unknown};
        for (status, expected, code) in [
            (429, Exhausted, "429"),
            (500, Internal, "500"),
            (502, Unavailable, "502"),
            (503, Unavailable, "503"),
            (504, Timeout, "504"),
            (507, Internal, "5xx"),
        ] {
            let error = answered(status, None);
            assert_eq!((error.failure(), error.code()), (expected, code));
        }
        for status in [200, 304, 400, 401, 404, 409] {
            assert_eq!(
                kind(StatusCode::from_u16(status).unwrap()),
                None,
                "{status}"
            );
        }
        for (error, expected) in [
            (TransportError::Connect(String::new()), NotProcessed),
            (TransportError::Broken(String::new()), Unavailable),
            (TransportError::Timeout, Timeout),
            (TransportError::TooLarge(1), Unknown),
        ] {
            let status = None;
            let error = Unserved(Err(Interrupted { status, error }));
            assert_eq!(error.failure(), expected);
        }
    }

    #[test]
    fn retry_after_pushes_back() {
        let wait = |seconds| Some(Pushback::Wait(Duration::from_secs(seconds)));
        assert_eq!(answered(503, Some("3")).pushback(), wait(3));
        assert_eq!(answered(429, Some(" 0 ")).pushback(), wait(0));
        assert_eq!(answered(502, Some("3")).pushback(), None);
        let date = "Wed, 21 Oct 2015 07:28:00 GMT";
        assert_eq!(answered(503, Some(date)).pushback(), None);
        assert_eq!(answered(503, None).pushback(), None);
    }
}

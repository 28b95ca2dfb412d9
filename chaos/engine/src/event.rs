//! The events that the parts tell, one JSON object a line.

use serde::Deserialize;

use crate::runlog::BreakerState;

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its number in the part's stream.
    pub seq: u64,
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub t_ns: u64,
    /// The part's `service` label.
    pub service: String,
    /// What happened.
    pub kind: Kind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// The stream has begun.
    Hello,
    /// The reader was too slow.
    Gap {
        /// How many events were dropped.
        missed: u64,
    },
    /// An attempt has ended.
    Attempt {
        /// Which call.
        call: CallRef,
        /// Its number, from 1.
        attempt: u32,
        /// When it began.
        started_ns: u64,
        /// Whether it succeeded.
        ok: bool,
        /// The kind of its failure.
        failure: Option<String>,
        /// Whether its caller left.
        cancelled: bool,
    },
    /// An attempt was not made.
    Refused {
        /// Which call.
        call: CallRef,
        /// The number it would have had.
        attempt: u32,
    },
    /// A logical call has ended.
    Call {
        /// Which call.
        call: CallRef,
        /// `ok`, `failed`, `rejected`, `degraded` or `cancelled`.
        outcome: String,
        /// How many attempts it made.
        attempts: u32,
        /// When it began.
        started_ns: u64,
    },
    /// A breaker changed its state.
    Breaker {
        /// The breaker's link.
        link: String,
        /// Before.
        from: BreakerState,
        /// After.
        to: BreakerState,
    },
    /// Something that measures nothing here (a wait, a policy swapped, …).
    Other,
}

/// A call: whose request, over which link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallRef {
    /// The link.
    pub link: String,
    /// The request that it is part of.
    pub request_id: String,
}

/// A line as it is written. Flat, because that is the fastest to read.
#[derive(Deserialize)]
struct Line {
    seq: u64,
    t_ns: u64,
    #[serde(default)]
    service: String,
    kind: String,
    link: Option<String>,
    request_id: Option<String>,
    attempt: Option<u32>,
    attempts: Option<u32>,
    started_ns: Option<u64>,
    ok: Option<bool>,
    failure: Option<String>,
    #[serde(default)]
    cancelled: bool,
    outcome: Option<String>,
    from: Option<BreakerState>,
    to: Option<BreakerState>,
    missed: Option<u64>,
}

impl Event {
    /// Reads a line.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(line: &[u8]) -> Result<Self, String> {
        let line: Line = serde_json::from_slice(line).map_err(|e| e.to_string())?;
        let (seq, t_ns, service) = (line.seq, line.t_ns, line.service.clone());
        let name = line.kind.clone();
        let kind = line
            .kind()
            .ok_or_else(|| format!("a field of `{name}` is missing"))?;
        Ok(Self {
            seq,
            t_ns,
            service,
            kind,
        })
    }
}

impl Line {
    fn kind(self) -> Option<Kind> {
        Some(match self.kind.as_str() {
            "hello" => Kind::Hello,
            "gap" => Kind::Gap {
                missed: self.missed?,
            },
            "attempt" => Kind::Attempt {
                attempt: self.attempt?,
                started_ns: self.started_ns?,
                ok: self.ok?,
                cancelled: self.cancelled,
                failure: self.failure.clone(),
                call: self.call()?,
            },
            "refused" => Kind::Refused {
                attempt: self.attempt?,
                call: self.call()?,
            },
            "call" => Kind::Call {
                outcome: self.outcome.clone()?,
                attempts: self.attempts?,
                started_ns: self.started_ns?,
                call: self.call()?,
            },
            "breaker" => Kind::Breaker {
                from: self.from?,
                to: self.to?,
                link: self.link?,
            },
            _ => Kind::Other,
        })
    }

    fn call(self) -> Option<CallRef> {
        Some(CallRef {
            link: self.link?,
            request_id: self.request_id?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kinds_of_the_control_api_are_read() {
        let parse = |rest: &str| {
            let line = format!("{{\"seq\":3,\"t_ns\":5,\"service\":\"order\",{rest}}}");
            Event::parse(line.as_bytes())
        };
        let call = CallRef {
            link: "order-product".into(),
            request_id: "r-1".into(),
        };
        let common = r#""link":"order-product","method":"GetProducts","request_id":"r-1""#;
        let kind = |rest: &str| parse(rest).unwrap().kind;
        assert_eq!(kind(r#""kind":"hello""#), Kind::Hello);
        assert_eq!(kind(r#""kind":"gap","missed":4"#), Kind::Gap { missed: 4 });
        assert_eq!(
            kind(&format!(
                r#""kind":"attempt",{common},"attempt":2,"started_ns":1,"ok":false,"status":"UNAVAILABLE","failure":"not_processed","cancelled":false"#
            )),
            Kind::Attempt {
                call: call.clone(),
                attempt: 2,
                started_ns: 1,
                ok: false,
                failure: Some("not_processed".into()),
                cancelled: false
            }
        );
        assert_eq!(
            kind(&format!(
                r#""kind":"refused",{common},"attempt":1,"reason":"breaker","retry_after_ms":4000"#
            )),
            Kind::Refused {
                call: call.clone(),
                attempt: 1
            }
        );
        assert_eq!(
            kind(&format!(
                r#""kind":"call",{common},"outcome":"rejected","attempts":0,"started_ns":9"#
            )),
            Kind::Call {
                call,
                outcome: "rejected".into(),
                attempts: 0,
                started_ns: 9
            }
        );
        assert_eq!(
            kind(
                r#""kind":"breaker","link":"order-product","from":"closed","to":"open","failures_in_a_row":5,"retry_after_ms":5000"#
            ),
            Kind::Breaker {
                link: "order-product".into(),
                from: BreakerState::Closed,
                to: BreakerState::Open
            }
        );
        assert_eq!(
            kind(r#""kind":"policy","link":"order-product","policy":"fast""#),
            Kind::Other
        );
        assert!(
            parse(r#""kind":"attempt""#)
                .unwrap_err()
                .contains("attempt")
        );
        assert!(Event::parse(b"{").is_err());
    }
}

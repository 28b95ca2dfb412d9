//! The events that the parts tell, one JSON object a line, and those of the load's own
//! policy, which come by no wire.

mod observed;
mod wire;

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
        /// The status it failed with: a gRPC code's name, an HTTP status, `no answer`.
        status: Option<String>,
        /// The kind of its failure.
        failure: Option<String>,
        /// Whether its caller left.
        cancelled: bool,
    },
    /// A wait before another attempt has begun.
    Wait {
        /// Which call.
        call: CallRef,
        /// The attempt to come.
        attempt: u32,
        /// How long it will be.
        wait_us: u64,
    },
    /// An attempt was not made.
    Refused {
        /// Which call.
        call: CallRef,
        /// The number it would have had.
        attempt: u32,
        /// By what.
        reason: String,
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
    /// A second copy of a slow attempt was sent.
    Hedge {
        /// Which call.
        call: CallRef,
        /// The copy's number.
        attempt: u32,
        /// How long the first had had.
        after_us: u64,
    },
    /// The second copy answered first.
    HedgeWon {
        /// Which call.
        call: CallRef,
        /// The copy's number.
        attempt: u32,
    },
    /// A server turned a request away at its door.
    Shed {
        /// Which request; its link is the door, such as `product.server`.
        call: CallRef,
        /// How much the request matters.
        priority: Option<String>,
        /// Why.
        reason: String,
    },
    /// Work has ended that was for nobody: its caller had left, or the deadline had passed.
    Wasted {
        /// Which request.
        call: CallRef,
        /// How long the work was.
        took_us: u64,
    },
    /// A fault acted on a request.
    Fault {
        /// The fault's id.
        fault: String,
        /// Which request; its link is the fault's.
        call: CallRef,
        /// The attempt it hit.
        attempt: u32,
        /// `fail`, `delay`, …
        action: String,
        /// For how long, if it delays.
        delay_us: Option<u64>,
    },
    /// A fault's lease was not renewed, and it is gone.
    FaultExpired {
        /// The fault's id.
        fault: String,
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
    /// A policy took effect with fresh state.
    Policy {
        /// The slot.
        link: String,
        /// Its label.
        policy: String,
    },
    /// Something that measures nothing here.
    Other,
}

/// A call: whose request, over which link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallRef {
    /// The link; of a link to replicas, the link to all of them.
    pub link: String,
    /// The method or route.
    pub method: String,
    /// The request that it is part of.
    pub request_id: String,
}

/// The link to all replicas: `order-product` of `order-product.2`.
#[must_use]
pub fn plain_link(link: &str) -> &str {
    match link.rsplit_once('.') {
        Some((all, number)) if number.bytes().all(|b| b.is_ascii_digit()) && !number.is_empty() => {
            all
        }
        _ => link,
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
            method: "GetProducts".into(),
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
                status: Some("UNAVAILABLE".into()),
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
                attempt: 1,
                reason: "breaker".into()
            }
        );
        assert_eq!(
            kind(&format!(
                r#""kind":"call",{common},"outcome":"rejected","attempts":0,"started_ns":9"#
            )),
            Kind::Call {
                call: call.clone(),
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
            Kind::Policy {
                link: "order-product".into(),
                policy: "fast".into()
            }
        );
        assert_eq!(kind(r#""kind":"spin","link":"x""#), Kind::Other);
        let (attempt, fault) = (2, "flaky".to_owned());
        for (line, want) in [
            (
                format!(r#""kind":"wait",{common},"attempt":2,"wait_us":700"#),
                Kind::Wait {
                    call: call.clone(),
                    attempt,
                    wait_us: 700,
                },
            ),
            (
                format!(r#""kind":"hedge",{common},"attempt":2,"after_us":50000"#),
                Kind::Hedge {
                    call: call.clone(),
                    attempt,
                    after_us: 50_000,
                },
            ),
            (
                format!(r#""kind":"hedge_won",{common},"attempt":2"#),
                Kind::HedgeWon {
                    call: call.clone(),
                    attempt,
                },
            ),
            (
                format!(
                    r#""kind":"shed",{common},"priority":"critical","reason":"limit","retry_after_ms":20"#
                ),
                Kind::Shed {
                    call: call.clone(),
                    priority: Some("critical".into()),
                    reason: "limit".into(),
                },
            ),
            (
                format!(r#""kind":"wasted",{common},"took_us":81000"#),
                Kind::Wasted {
                    call: call.clone(),
                    took_us: 81_000,
                },
            ),
            (
                format!(
                    r#""kind":"fault","fault":"flaky",{common},"attempt":2,"action":"delay","delay_us":900"#
                ),
                Kind::Fault {
                    fault: fault.clone(),
                    call: call.clone(),
                    attempt,
                    action: "delay".into(),
                    delay_us: Some(900),
                },
            ),
            (
                r#""kind":"fault_expired","fault":"flaky","link":"order-product""#.to_owned(),
                Kind::FaultExpired { fault },
            ),
        ] {
            assert_eq!(kind(&line), want, "{line}");
        }
        assert!(
            parse(r#""kind":"attempt""#)
                .unwrap_err()
                .contains("attempt")
        );
        assert!(Event::parse(b"{").is_err());
    }
    #[test]
    fn replicas_are_summed_under_the_plain_link() {
        for (link, plain) in [
            ("order-product.2", "order-product"),
            ("order-product", "order-product"),
            ("product.server", "product.server"),
            ("odd.", "odd."),
        ] {
            assert_eq!(plain_link(link), plain);
        }
    }
}

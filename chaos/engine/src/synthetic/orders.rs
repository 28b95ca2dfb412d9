//! Orders, and the breaker that some of them meet.

use loadtest::{Op, Outcome};

use super::{MS, Shop, T0};
use crate::event::{CallRef, Kind};
use crate::runlog::BreakerState;

impl Shop<'_> {
    fn moved(&mut self, ms: u64, from: BreakerState, to: BreakerState) {
        self.tell(
            ms,
            Kind::Breaker {
                link: "order-product".to_owned(),
                from,
                to,
            },
        );
    }

    pub(super) fn order(&mut self, ms: u64) {
        let id = format!("{}-order-{ms}", self.repeat);
        let call = CallRef {
            link: "order-product".to_owned(),
            method: "GetProducts".to_owned(),
            request_id: id,
        };
        let breaker = self.arm == "fast" && !self.model.no_breaker;
        let tries = if self.arm == "none" { 1 } else { 3 };
        let (mut attempts, mut now, mut outcome) = (0, ms, Outcome::Failed);
        while attempts < tries {
            if breaker && !self.admits(now) {
                self.tell(
                    now,
                    Kind::Refused {
                        call: call.clone(),
                        attempt: attempts + 1,
                        reason: "breaker".to_owned(),
                    },
                );
                outcome = Outcome::Rejected;
                break;
            }
            attempts += 1;
            let ok = !self.down(now);
            let kind = Kind::Attempt {
                call: call.clone(),
                attempt: attempts,
                started_ns: T0 + now * MS,
                ok,
                status: (!ok).then(|| "UNAVAILABLE".to_owned()),
                failure: (!ok).then(|| "not_processed".to_owned()),
                cancelled: false,
            };
            self.tell(now + 1, kind);
            if breaker {
                self.learn(now + 1, ok);
            }
            now += 1;
            if ok {
                outcome = Outcome::Ok;
                break;
            }
        }
        let ended = match outcome {
            Outcome::Ok => "ok",
            Outcome::Rejected => "rejected",
            _ => "failed",
        };
        let took = if outcome == Outcome::Rejected {
            self.model.refusal_ms
        } else {
            now - ms + 4
        };
        let (outcome_text, started_ns) = (ended.to_owned(), T0 + ms * MS);
        self.tell(
            now,
            Kind::Call {
                call,
                outcome: outcome_text,
                attempts,
                started_ns,
            },
        );
        self.request(ms, Op::Order, took, outcome);
    }

    fn admits(&mut self, ms: u64) -> bool {
        match self.open_until_ms {
            Some(until) if ms < until => false,
            Some(_) => {
                self.moved(ms, BreakerState::Open, BreakerState::HalfOpen);
                true
            }
            None => true,
        }
    }

    fn learn(&mut self, ms: u64, ok: bool) {
        let trial = self.open_until_ms.is_some();
        self.in_a_row = if ok { 0 } else { self.in_a_row + 1 };
        if ok && trial {
            self.open_until_ms = None;
            self.moved(ms, BreakerState::HalfOpen, BreakerState::Closed);
        }
        if !ok && (trial || self.in_a_row == 5) {
            let from = if trial {
                BreakerState::HalfOpen
            } else {
                BreakerState::Closed
            };
            self.open_until_ms = Some(ms + 5_000);
            self.moved(ms, from, BreakerState::Open);
        }
    }
}

//! An event's line, as the control API writes it.

use serde::Deserialize;

use super::{CallRef, Event, Kind, plain_link};
use crate::runlog::BreakerState;

/// A line as it is written. Flat, because that is the fastest to read.
#[derive(Deserialize)]
struct Line {
    seq: u64,
    t_ns: u64,
    #[serde(default)]
    service: String,
    kind: String,
    link: Option<String>,
    #[serde(default)]
    method: Option<String>,
    request_id: Option<String>,
    attempt: Option<u32>,
    attempts: Option<u32>,
    started_ns: Option<u64>,
    ok: Option<bool>,
    status: Option<String>,
    failure: Option<String>,
    #[serde(default)]
    cancelled: bool,
    outcome: Option<String>,
    from: Option<BreakerState>,
    to: Option<BreakerState>,
    missed: Option<u64>,
    wait_us: Option<u64>,
    after_us: Option<u64>,
    took_us: Option<u64>,
    delay_us: Option<u64>,
    reason: Option<String>,
    priority: Option<String>,
    fault: Option<String>,
    action: Option<String>,
    policy: Option<String>,
}

impl Event {
    /// Reads a line.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(line: &[u8]) -> Result<Self, String> {
        let mut line: Line = serde_json::from_slice(line).map_err(|e| e.to_string())?;
        let (seq, t_ns) = (line.seq, line.t_ns);
        let service = std::mem::take(&mut line.service);
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
    fn kind(mut self) -> Option<Kind> {
        let kind = std::mem::take(&mut self.kind);
        Some(match kind.as_str() {
            "hello" => Kind::Hello,
            "gap" => Kind::Gap {
                missed: self.missed?,
            },
            "attempt" => Kind::Attempt {
                attempt: self.attempt?,
                started_ns: self.started_ns?,
                ok: self.ok?,
                cancelled: self.cancelled,
                // That of a success says no more than that it was one.
                status: self.status.take().filter(|_| self.ok == Some(false)),
                failure: self.failure.take(),
                call: self.call()?,
            },
            "wait" => Kind::Wait {
                attempt: self.attempt?,
                wait_us: self.wait_us?,
                call: self.call()?,
            },
            "refused" => Kind::Refused {
                attempt: self.attempt?,
                reason: self.reason.take().unwrap_or_default(),
                call: self.call()?,
            },
            "call" => Kind::Call {
                outcome: self.outcome.take()?,
                attempts: self.attempts?,
                started_ns: self.started_ns?,
                call: self.call()?,
            },
            "hedge" => Kind::Hedge {
                attempt: self.attempt?,
                after_us: self.after_us?,
                call: self.call()?,
            },
            "hedge_won" => Kind::HedgeWon {
                attempt: self.attempt?,
                call: self.call()?,
            },
            "shed" => Kind::Shed {
                priority: self.priority.take(),
                reason: self.reason.take().unwrap_or_default(),
                call: self.call()?,
            },
            "wasted" => Kind::Wasted {
                took_us: self.took_us?,
                call: self.call()?,
            },
            _ => return self.of_the_lab(&kind),
        })
    }

    /// What has no call, or is the lab's own doing.
    fn of_the_lab(mut self, kind: &str) -> Option<Kind> {
        Some(match kind {
            "breaker" => Kind::Breaker {
                from: self.from?,
                to: self.to?,
                link: plain_link(&self.link?).to_owned(),
            },
            "policy" => Kind::Policy {
                link: self.link?,
                policy: self.policy?,
            },
            "fault" => Kind::Fault {
                fault: self.fault.take()?,
                attempt: self.attempt.unwrap_or(1),
                action: self.action.take().unwrap_or_default(),
                delay_us: self.delay_us,
                call: self.call()?,
            },
            "fault_expired" => Kind::FaultExpired { fault: self.fault? },
            _ => Kind::Other,
        })
    }

    fn call(self) -> Option<CallRef> {
        Some(CallRef {
            link: plain_link(&self.link?).to_owned(),
            method: self.method.unwrap_or_default(),
            request_id: self.request_id?,
        })
    }
}

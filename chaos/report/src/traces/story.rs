//! Which requests are shown, and what happened to each.

use std::collections::BTreeMap;

use chaos_engine::runlog::TrialStart;
use serde_json::Value;

use super::read::{Line, Requests};

/// A request with everything that was decided on it. Times are microseconds from
/// second 0 of its repeat.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    pub(crate) arm: String,
    pub(crate) trial: u32,
    pub(crate) repeat: u32,
    pub(crate) request_id: String,
    /// Why this one is shown.
    pub(crate) why: &'static str,
    pub(crate) request: Option<Request>,
    pub(crate) calls: Vec<Call>,
}

/// The request as the load saw it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Request {
    pub(crate) op: String,
    pub(crate) due_us: i64,
    pub(crate) sent_us: i64,
    pub(crate) ended_us: i64,
    pub(crate) status: u16,
    pub(crate) outcome: String,
}

/// A logical call over one link.
#[derive(Clone, Debug, Default)]
pub(crate) struct Call {
    pub(crate) link: String,
    pub(crate) method: String,
    pub(crate) from_us: i64,
    pub(crate) to_us: i64,
    /// `None`: nobody told.
    pub(crate) outcome: Option<String>,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) waits: Vec<Wait>,
    pub(crate) refused: Vec<Refused>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) deadline_us: Option<i64>,
    told_end: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Attempt {
    pub(crate) number: u32,
    pub(crate) from_us: i64,
    pub(crate) to_us: i64,
    pub(crate) ok: bool,
    pub(crate) words: String,
    /// Its caller left: the loser of a hedge, or a call that was given up.
    pub(crate) cancelled: bool,
    pub(crate) hedge: bool,
    /// Nobody told when it was made: it follows from the waits around it.
    pub(crate) inferred: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wait {
    pub(crate) before: u32,
    pub(crate) from_us: i64,
    pub(crate) to_us: i64,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refused {
    pub(crate) at_us: i64,
    pub(crate) attempt: u32,
    pub(crate) reason: String,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fault {
    pub(crate) at_us: i64,
    pub(crate) attempt: u32,
    pub(crate) name: String,
    pub(crate) action: String,
}

/// Up to three of a trial's requests, each for another reason.
pub(super) fn chosen(start: &TrialStart, requests: Requests) -> Vec<Trace> {
    let refused = |lines: &[Line]| {
        lines
            .iter()
            .any(|l| l.kind == "refused" || l.kind == "shed")
    };
    let hedged = |lines: &[Line]| lines.iter().any(|l| l.kind == "hedge_won");
    let tries = |lines: &[Line]| lines.iter().filter_map(|l| l.attempt).max().unwrap_or(0);
    let touched = |lines: &[Line]| lines.iter().any(|l| l.kind == "fault");
    let took = |lines: &[Line]| {
        let (from, to) = (
            lines.iter().map(from_us).min(),
            lines.iter().map(|l| l.t_us).max(),
        );
        to.unwrap_or(0) - from.unwrap_or(0)
    };
    type Rank<'a> = Box<dyn Fn(&[Line]) -> Option<i64> + 'a>;
    let ranks: [(&'static str, Rank<'_>); 4] = [
        (
            "the most attempts",
            Box::new(move |l| Some(i64::from(tries(l))).filter(|n| *n > 1 && !refused(l))),
        ),
        (
            "refused by the policy",
            Box::new(move |l| refused(l).then(|| -i64::from(tries(l)))),
        ),
        (
            "a second copy that won",
            Box::new(move |l| hedged(l).then_some(0)),
        ),
        (
            "met the fault",
            Box::new(move |l| touched(l).then(|| took(l))),
        ),
    ];
    let mut left = requests;
    let mut traces = Vec::new();
    for (why, rank) in ranks {
        let best = left
            .iter()
            // Of equals the earliest, which is what the maximum of the negative gives.
            .filter_map(|(id, lines)| Some((rank(lines)?, -lines[0].t_us, id)))
            .max()
            .map(|(.., id)| id.clone());
        if let Some((id, lines)) = best.and_then(|id| left.remove_entry(&id))
            && traces.len() < 3
        {
            traces.push(trace(start, id, why, &lines));
        }
    }
    traces
}

fn from_us(line: &Line) -> i64 {
    line.started_us.unwrap_or(line.t_us)
}

fn trace(start: &TrialStart, request_id: String, why: &'static str, lines: &[Line]) -> Trace {
    let mut calls: BTreeMap<(String, String), Call> = BTreeMap::new();
    for line in lines.iter().filter(|l| !l.link.is_empty()) {
        let key = (line.link.clone(), line.method.clone());
        let call = calls.entry(key).or_insert_with(|| Call {
            link: line.link.clone(),
            method: line.method.clone(),
            from_us: from_us(line),
            to_us: line.t_us,
            deadline_us: start.policies.get(&line.link).and_then(deadline_us),
            ..Call::default()
        });
        call.hears(line);
    }
    let mut calls: Vec<Call> = calls.into_values().collect();
    calls.sort_by_key(|c| c.from_us);
    Trace {
        arm: start.arm.clone(),
        trial: start.trial,
        repeat: start.repeat,
        request_id,
        why,
        request: None,
        calls,
    }
}

/// A policy's deadline for the whole call, as the services tell it.
fn deadline_us(policy: &Value) -> Option<i64> {
    let value = policy.get("deadline").or_else(|| policy.get("timeout"))?;
    let time = humantime::parse_duration(value.as_str()?).ok()?;
    i64::try_from(time.as_micros()).ok()
}

impl Call {
    fn hears(&mut self, line: &Line) {
        self.from_us = self.from_us.min(from_us(line));
        self.to_us = self.to_us.max(line.t_us);
        let number = line.attempt.unwrap_or(1);
        match line.kind.as_str() {
            "attempt" => {
                let failed = line.status.clone().unwrap_or_else(|| "failed".to_owned());
                let hedge = self.attempts.iter().any(|a| a.number == number && a.hedge);
                self.attempts.retain(|a| a.number != number);
                self.attempts.push(Attempt {
                    number,
                    from_us: from_us(line),
                    to_us: line.t_us,
                    ok: line.ok.unwrap_or(false),
                    words: if line.ok == Some(true) {
                        "ok".to_owned()
                    } else {
                        failed
                    },
                    cancelled: line.cancelled,
                    hedge,
                    inferred: false,
                });
            }
            "call" => {
                self.outcome.clone_from(&line.outcome);
                self.told_end = true;
            }
            "wait" => {
                let to_us = line.t_us + i64::try_from(line.wait_us.unwrap_or(0)).unwrap_or(0);
                self.waits.push(Wait {
                    before: number,
                    from_us: line.t_us,
                    to_us,
                });
                self.to_us = self.to_us.max(to_us);
            }
            "hedge" => self.attempts.push(Attempt {
                number,
                from_us: line.t_us,
                to_us: line.t_us,
                hedge: true,
                inferred: true,
                words: "second copy".to_owned(),
                ..Attempt::default()
            }),
            "hedge_won" => {
                if let Some(a) = self.attempts.iter_mut().find(|a| a.number == number) {
                    (a.ok, a.to_us, a.words) = (true, line.t_us, "answered first".to_owned());
                }
            }
            "refused" | "shed" => self.refused.push(Refused {
                at_us: line.t_us,
                attempt: number,
                reason: line.reason.clone().unwrap_or_default(),
            }),
            "fault" => {
                let delay = line.delay_us.map_or_else(String::new, |us| {
                    format!(" {}", crate::words::seconds(us as f64 / 1e6))
                });
                self.faults.push(Fault {
                    at_us: line.t_us,
                    attempt: number,
                    name: line.fault.clone().unwrap_or_default(),
                    action: line.action.clone().unwrap_or_default() + &delay,
                });
            }
            _ => {}
        }
    }

    /// Attempts that nobody told of, from what lies between the waits: each wait
    /// begins where an attempt failed and ends where the next begins.
    fn infer(&mut self, begin_us: i64, end_us: i64) {
        self.waits.sort_by_key(|w| w.from_us);
        let mut from_us = begin_us.min(self.from_us);
        let known = |number: u32, all: &[Attempt]| all.iter().any(|a| a.number == number);
        for wait in &self.waits {
            let number = wait.before.saturating_sub(1).max(1);
            if !known(number, &self.attempts) {
                self.attempts
                    .push(inferred(number, from_us, wait.from_us, false));
            }
            from_us = wait.to_us;
        }
        let last = self.waits.last().map_or(1, |w| w.before);
        let never = self.refused.iter().any(|r| r.attempt == last);
        if !never && !known(last, &self.attempts) {
            let ok = self.faults.iter().all(|f| f.attempt != last);
            self.attempts
                .push(inferred(last, from_us, end_us.max(from_us), ok));
        }
        self.attempts.sort_by_key(|a| a.number);
    }
}

fn inferred(number: u32, from_us: i64, to_us: i64, ok: bool) -> Attempt {
    let words = if ok { "" } else { "failed" };
    Attempt {
        number,
        from_us,
        to_us,
        ok,
        words: words.to_owned(),
        inferred: true,
        ..Attempt::default()
    }
}

impl Trace {
    /// Fills in what follows from the rest, when all of it has been read.
    pub(super) fn complete(&mut self) {
        let request = self.request.as_ref();
        for call in self.calls.iter_mut() {
            let begin = request.map_or(call.from_us, |r| r.sent_us);
            let end = request.map_or(call.to_us, |r| r.ended_us);
            if !call.told_end {
                call.infer(begin, end);
            }
            call.attempts.sort_by_key(|a| (a.from_us, a.number));
            let spans = call.attempts.iter().map(|a| (a.from_us, a.to_us));
            let (from, to) = spans.fold((call.from_us, call.to_us), |(f, t), a| {
                (f.min(a.0), t.max(a.1))
            });
            (call.from_us, call.to_us) = (from, to);
        }
    }

    /// From when to when it is drawn.
    pub(super) fn ends_us(&self) -> (i64, i64) {
        let request = self.request.iter().map(|r| (r.due_us, r.ended_us));
        let calls = self.calls.iter().map(|c| (c.from_us, c.to_us));
        let all: Vec<(i64, i64)> = request.chain(calls).collect();
        let from = all.iter().map(|a| a.0).min().unwrap_or(0);
        let to = all.iter().map(|a| a.1).max().unwrap_or(0);
        // A moment alone still needs an axis.
        (from, to.max(from + 1_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn start() -> TrialStart {
        serde_json::from_value(json!({
            "trial": 3, "arm": "naive", "repeat": 1, "go": 1, "seed": 1, "reset_us": 0,
            "policies": {"order-product": {"deadline": "2s"}}
        }))
        .unwrap()
    }

    fn line(id: &str, t_us: i64, more: Value) -> Line {
        let mut all = json!({
            "trial": 3, "t_us": t_us, "service": "order", "link": "order-product",
            "method": "GetProducts", "request_id": id
        });
        all.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        serde_json::from_value(all).unwrap()
    }

    fn of(lines: Vec<Line>) -> Requests {
        let mut all = Requests::new();
        lines
            .into_iter()
            .for_each(|l| all.entry(l.request_id.clone()).or_default().push(l));
        all
    }

    #[test]
    fn attempts_follow_from_the_waits_around_them() {
        let mut found = chosen(
            &start(),
            of(vec![
                line(
                    "a",
                    1_000,
                    json!({"kind": "wait", "attempt": 2, "wait_us": 500}),
                ),
                line(
                    "a",
                    1_700,
                    json!({"kind": "wait", "attempt": 3, "wait_us": 0}),
                ),
                line(
                    "b",
                    900,
                    json!({"kind": "wait", "attempt": 2, "wait_us": 10}),
                ),
            ]),
        );
        let mut trace = found.remove(0);
        assert_eq!(
            (trace.why, trace.request_id.as_str()),
            ("the most attempts", "a")
        );
        trace.request = Some(Request {
            op: "order".into(),
            due_us: 0,
            sent_us: 100,
            ended_us: 2_000,
            status: 503,
            outcome: "failed".into(),
        });
        trace.complete();
        let call = &trace.calls[0];
        let spans: Vec<_> = call
            .attempts
            .iter()
            .map(|a| (a.number, a.from_us, a.to_us))
            .collect();
        assert_eq!(
            spans,
            [(1, 100, 1_000), (2, 1_500, 1_700), (3, 1_700, 2_000)]
        );
        assert_eq!(call.deadline_us, Some(2_000_000));
        assert_eq!(trace.ends_us(), (0, 2_000));
    }

    #[test]
    fn told_attempts_are_believed_and_refusals_end_a_call() {
        let mut found = chosen(
            &start(),
            of(vec![
                line(
                    "a",
                    300,
                    json!({"kind": "attempt", "attempt": 1, "started_us": 200, "ok": false, "status": "UNAVAILABLE"}),
                ),
                line(
                    "a",
                    301,
                    json!({"kind": "refused", "attempt": 2, "reason": "breaker"}),
                ),
                line(
                    "a",
                    302,
                    json!({"kind": "call", "outcome": "rejected", "attempts": 1, "started_us": 199}),
                ),
            ]),
        );
        let mut trace = found.remove(0);
        trace.complete();
        assert_eq!(trace.why, "refused by the policy");
        let call = &trace.calls[0];
        assert_eq!(call.attempts.len(), 1);
        assert!(!call.attempts[0].inferred && call.attempts[0].words == "UNAVAILABLE");
        assert_eq!((call.from_us, call.to_us), (199, 302));
        assert_eq!(call.refused[0].reason, "breaker");
    }

    #[test]
    fn deadlines_are_read_as_they_are_written() {
        let of = |text: &str| deadline_us(&json!({"deadline": text}));
        assert_eq!(of("250ms"), Some(250_000));
        assert_eq!(of("1.5s"), Some(1_500_000));
        assert_eq!(of("none"), None);
    }
}

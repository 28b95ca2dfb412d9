//! Which requests are shown, and what happened to each.

use chaos_engine::runlog::TrialStart;
use serde_json::Value;

use super::call::{self, Call};
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
    let failed = |lines: &[Line]| {
        let failed = |l: &Line| l.kind == "attempt" && l.ok == Some(false) && !l.cancelled;
        lines.iter().any(failed)
    };
    let took = |lines: &[Line]| {
        let (from, to) = (
            lines.iter().map(|l| l.started_us.unwrap_or(l.t_us)).min(),
            lines.iter().map(|l| l.t_us).max(),
        );
        to.unwrap_or(0) - from.unwrap_or(0)
    };
    type Rank<'a> = Box<dyn Fn(&[Line]) -> Option<i64> + 'a>;
    let ranks: [(&'static str, Rank<'_>); 5] = [
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
        (
            "an attempt that failed",
            Box::new(move |l| failed(l).then(|| took(l))),
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

fn trace(start: &TrialStart, request_id: String, why: &'static str, lines: &[Line]) -> Trace {
    let deadline_us = |link: &str| start.policies.get(link).and_then(deadline_us);
    Trace {
        arm: start.arm.clone(),
        trial: start.trial,
        repeat: start.repeat,
        request_id,
        why,
        request: None,
        calls: call::of(lines, deadline_us),
    }
}

/// A policy's deadline for the whole call, as the services tell it.
fn deadline_us(policy: &Value) -> Option<i64> {
    let value = policy.get("deadline").or_else(|| policy.get("timeout"))?;
    let time = humantime::parse_duration(value.as_str()?).ok()?;
    i64::try_from(time.as_micros()).ok()
}

impl Trace {
    /// Fills in what follows from the rest, when all of it has been read.
    pub(super) fn complete(&mut self) {
        let request = self.request.as_ref();
        for call in self.calls.iter_mut() {
            let begin = request.map_or(call.from_us, |r| r.sent_us);
            let end = request.map_or(call.to_us, |r| r.ended_us);
            call.complete(begin, end);
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

    /// A request that makes the same call twice, the second time with a copy that won.
    #[test]
    fn calls_are_told_apart_by_their_times() {
        let attempt = |t_us, started_us, more: Value| {
            let mut all = json!({"kind": "attempt", "started_us": started_us});
            all.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            line("a", t_us, all)
        };
        let mut found = chosen(
            &start(),
            of(vec![
                attempt(200, 100, json!({"attempt": 1})),
                line(
                    "a",
                    201,
                    json!({"kind": "call", "outcome": "ok", "attempts": 1, "started_us": 99}),
                ),
                line(
                    "a",
                    700,
                    json!({"kind": "hedge", "attempt": 2, "after_us": 300}),
                ),
                attempt(800, 702, json!({"attempt": 2})),
                line("a", 800, json!({"kind": "hedge_won", "attempt": 2})),
                attempt(
                    801,
                    400,
                    json!({"attempt": 1, "ok": false, "status": "CANCELLED", "cancelled": true}),
                ),
                line("a", 790, json!({"kind": "wasted", "took_us": 90})),
                line(
                    "a",
                    802,
                    json!({"kind": "call", "outcome": "ok", "attempts": 2, "started_us": 399}),
                ),
            ]),
        );
        let mut trace = found.remove(0);
        trace.request = Some(Request {
            op: "order".into(),
            due_us: 0,
            sent_us: 10,
            ended_us: 900,
            status: 200,
            outcome: "ok".into(),
        });
        trace.complete();
        let lives: Vec<_> = trace.calls.iter().map(|c| (c.from_us, c.to_us)).collect();
        assert_eq!(
            lives,
            [(99, 201), (399, 802)],
            "their own, not the request's"
        );
        assert!(
            trace
                .calls
                .iter()
                .all(|c| c.attempts.iter().all(|a| !a.inferred))
        );
        let second = &trace.calls[1];
        let drawn: Vec<_> = second
            .attempts
            .iter()
            .map(|a| (a.number, a.from_us, a.to_us, a.words.as_str(), a.hedge))
            .collect();
        assert_eq!(
            drawn,
            [
                (1, 400, 801, "CANCELLED", false),
                (2, 702, 800, "answered first", true)
            ]
        );
        assert!(second.attempts[0].cancelled && second.wasted == [(700, 790)]);
    }

    #[test]
    fn deadlines_are_read_as_they_are_written() {
        let of = |text: &str| deadline_us(&json!({"deadline": text}));
        assert_eq!(of("250ms"), Some(250_000));
        assert_eq!(of("1.5s"), Some(1_500_000));
        assert_eq!(of("none"), None);
    }
}

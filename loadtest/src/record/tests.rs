use super::*;
use http::{HeaderMap, HeaderValue, StatusCode};

fn answer(status: u16, degraded: bool, body: &str) -> Result<Answer, Interrupted> {
    let mut headers = HeaderMap::new();
    if degraded {
        headers.insert("x-degraded", HeaderValue::from_static("stale"));
    }
    let status = StatusCode::from_u16(status).unwrap();
    Ok(Answer {
        status,
        headers,
        body: body.to_owned().into(),
    })
}

fn broken(status: Option<u16>, error: TransportError) -> Result<Answer, Interrupted> {
    Err(Interrupted {
        status: status.map(|s| StatusCode::from_u16(s).unwrap()),
        error,
    })
}

#[test]
fn outcomes_follow_the_table() {
    use Outcome::{Degraded, Failed, Ok, Rejected};
    let stock = r#"{"error":"Insufficient inventory","detail":"x"}"#;
    let stock_code = r#"{"error":"?","code":"insufficient_inventory"}"#;
    let refused = r#"{"error":"Service temporarily unavailable","code":"service_unavailable"}"#;
    let failed = r#"{"error":"Service communication error","code":"service_communication_error"}"#;
    let table = [
        (Op::Browse, 200, false, "{}", Ok),
        (Op::Browse, 200, true, "{}", Degraded),
        (Op::Order, 201, false, r#"{"id":7}"#, Ok),
        (Op::Order, 201, true, r#"{"id":7}"#, Degraded),
        (Op::Order, 201, false, r#"{"id":"7"}"#, Failed),
        (Op::Order, 201, false, "<html>", Failed),
        (Op::Order, 400, false, stock, Ok),
        (Op::Order, 400, false, stock_code, Ok),
        (Op::Quote, 400, false, stock, Failed),
        (
            Op::Order,
            400,
            false,
            r#"{"error":"Product validation failed"}"#,
            Failed,
        ),
        (Op::Order, 400, true, "not json", Failed),
        (
            Op::History,
            401,
            false,
            r#"{"code":"token_not_valid"}"#,
            Failed,
        ),
        (
            Op::Login,
            401,
            false,
            r#"{"code":"authentication_failed"}"#,
            Failed,
        ),
        (Op::View, 404, false, "{}", Failed),
        (Op::Login, 429, false, "", Rejected),
        (Op::Order, 503, false, refused, Rejected),
        (Op::Order, 503, false, failed, Failed),
        (Op::Browse, 503, false, "", Failed),
        (Op::Browse, 502, false, refused, Failed),
        (Op::Browse, 500, false, r#"[1]"#, Failed),
        (Op::Browse, 308, false, "", Failed),
    ];
    for (op, status, degraded, body, outcome) in table {
        let judged = judge(op, &answer(status, degraded, body));
        assert_eq!(
            (judged.outcome, judged.status),
            (outcome, status),
            "{op} {status} {body}"
        );
        assert!(judged.sent);
        assert_eq!(judged.degraded, degraded && (200..300).contains(&status));
    }
    assert_eq!(
        judge(Op::Order, &answer(503, false, failed))
            .code
            .as_deref(),
        Some("service_communication_error")
    );
    assert_eq!(
        judge(Op::Order, &answer(201, false, r#"{"id":7}"#)).order_id,
        Some(7)
    );
    assert!(Ok.is_success() && Degraded.is_success());
    assert!(!Rejected.is_success() && !Failed.is_success());
}

#[test]
fn being_told_when_to_come_back_is_noted() {
    let with = |status, header: Option<&'static str>| {
        let mut answer = answer(status, false, "no").unwrap();
        if let Some(value) = header {
            let value = HeaderValue::from_static(value);
            answer.headers.insert(RETRY_AFTER, value);
        }
        let judged = judge(Op::View, &Ok(answer));
        assert_eq!(judged.bytes, 2);
        judged.retry_after
    };
    assert!(with(429, Some("1")) && with(503, Some("30")));
    assert!(!with(503, None) && !with(502, Some("1")) && !with(200, Some("1")));
}

#[test]
fn a_missing_answer_is_a_failure_and_tells_whether_it_was_sent() {
    let table = [
        (
            None,
            TransportError::Connect("Connection refused".to_owned()),
            0,
            false,
        ),
        (None, TransportError::Broken("reset".to_owned()), 0, true),
        (None, TransportError::Timeout, 0, true),
        (
            Some(201),
            TransportError::Broken("cut".to_owned()),
            201,
            true,
        ),
        (Some(200), TransportError::TooLarge(1), 200, true),
    ];
    for (head, error, status, sent) in table {
        let judged = judge(Op::Order, &broken(head, error.clone()));
        assert_eq!(judged, Judgement::failed(status, error.to_string(), sent));
    }
}

#[test]
fn effects_are_never_guessed() {
    let effect = |op, result: Result<Answer, Interrupted>| {
        let judged = judge(op, &result);
        record(op, judged).effect()
    };
    assert_eq!(
        effect(Op::Order, answer(201, false, r#"{"id":7}"#)),
        Effect::Done
    );
    assert_eq!(effect(Op::Order, answer(201, false, "")), Effect::Unknown);
    assert_eq!(effect(Op::Order, answer(400, false, "")), Effect::None);
    assert_eq!(effect(Op::Order, answer(503, false, "")), Effect::Unknown);
    assert_eq!(
        effect(Op::Order, broken(None, TransportError::Timeout)),
        Effect::Unknown
    );
    let refused = TransportError::Connect(String::new());
    assert_eq!(effect(Op::Order, broken(None, refused)), Effect::None);
    // The key's first request is under way: what comes of it is not known.
    let in_flight = r#"{"code":"idempotency_key_in_flight"}"#;
    assert_eq!(
        effect(Op::Order, answer(409, false, in_flight)),
        Effect::Unknown
    );
    assert_eq!(effect(Op::Order, answer(409, false, "{}")), Effect::None);
    // Nor what an attempt before the last has done.
    let judged = judge(Op::Order, &answer(400, false, ""));
    let again = Record {
        attempts: 2,
        ..record(Op::Order, judged)
    };
    assert_eq!(again.effect(), Effect::Unknown);
    assert_eq!(
        effect(Op::Quote, broken(None, TransportError::Timeout)),
        Effect::None
    );
}

fn record(op: Op, judged: Judgement) -> Record {
    Record {
        index: 0,
        request_id: "r".to_owned(),
        op,
        scheduled_ns: 5,
        started_ns: 7,
        ended_ns: 30,
        status: judged.status,
        outcome: judged.outcome,
        code: judged.code,
        order_id: judged.order_id,
        degraded: judged.degraded,
        error: judged.error,
        sent: judged.sent,
        customer: 1,
        lines: Vec::new(),
        stream: "0".to_owned(),
        priority: None,
        retry_after: judged.retry_after,
        attempts: 1,
        bytes: judged.bytes,
    }
}

#[test]
fn latency_counts_from_the_schedule_and_records_round_trip() {
    let record = record(Op::Browse, judge(Op::Browse, &answer(200, true, "")));
    assert_eq!(record.latency(), Duration::from_nanos(25));
    assert_eq!(record.lateness(), Duration::from_nanos(2));
    let text = serde_json::to_string(&record).unwrap();
    assert!(text.contains(r#""outcome":"degraded""#) && text.contains(r#""op":"browse""#));
    assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
}

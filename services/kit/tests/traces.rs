//! Traces leave the process: a collector hears of a call, of each of its attempts,
//! and of the trace that the caller began.

#![allow(clippy::unwrap_used)] // helpers beside the test

use std::{collections::BTreeMap, fmt};

use kit::{Common, Slots, telemetry};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::any_value::Value,
    trace::v1::Span,
};
use resilience::{Call, Classify, Deadline, FailureKind};
use tokio::{net::TcpListener, sync::mpsc};
use tonic::{Request, Response, Status, transport::server::TcpIncoming};
use tracing::Instrument as _;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

struct Collector(mpsc::UnboundedSender<Span>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.into_inner().resource_spans.into_iter();
        let scopes = resources.flat_map(|resource| resource.scope_spans);
        for span in scopes.flat_map(|scope| scope.spans) {
            let _ = self.0.send(span);
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

async fn collector() -> (String, mpsc::UnboundedReceiver<Span>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, receiver) = mpsc::unbounded_channel();
    let server = tonic::transport::Server::builder()
        .add_service(TraceServiceServer::new(Collector(sender)))
        .serve_with_incoming(TcpIncoming::from(listener));
    tokio::spawn(server);
    (url, receiver)
}

#[derive(Debug)]
struct Down;

impl fmt::Display for Down {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("down")
    }
}

impl Classify for Down {
    fn failure(&self) -> FailureKind {
        FailureKind::NotProcessed
    }

    fn code(&self) -> &str {
        "UNAVAILABLE"
    }
}

/// An attribute as text, whichever kind of number it came as.
fn attribute(span: &Span, key: &str) -> Option<String> {
    let found = span
        .attributes
        .iter()
        .find(|attribute| attribute.key == key)?;
    match found.value.clone()?.value? {
        Value::IntValue(number) => Some(number.to_string()),
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_attempt_is_a_span_under_its_call_in_the_callers_trace() {
    let (url, mut spans) = collector().await;
    let common = Common {
        otlp_endpoint: Some(url),
        log_level: "info".into(),
        ..Common::for_test("order")
    };
    let telemetry = telemetry::init(&common).unwrap();
    let slot = Slots::new(&common).client("order-product", "product");

    let mut headers = http::HeaderMap::new();
    let parent = format!("00-{TRACE}-b7ad6b7169203331-01");
    headers.insert("traceparent", parent.parse().unwrap());
    let request = tracing::info_span!("request");
    telemetry::adopt(&request, &headers);
    let call = Call {
        method: "GetProducts",
        request_id: "r-1",
        idempotent: true,
        deadline: Deadline::NONE,
    };
    let work = slot.call(call, |attempt| async move {
        if attempt.number < 3 {
            Err(Down)
        } else {
            Ok(())
        }
    });
    work.instrument(request).await.unwrap();
    tokio::task::spawn_blocking(move || telemetry.shutdown())
        .await
        .unwrap();

    let mut by_name: BTreeMap<String, Vec<Span>> = BTreeMap::new();
    while let Ok(span) = spans.try_recv() {
        assert_eq!(hex(&span.trace_id), TRACE, "{}", span.name);
        by_name.entry(span.name.clone()).or_default().push(span);
    }
    let [request] = &by_name["request"][..] else {
        panic!("one request")
    };
    let [call] = &by_name["call"][..] else {
        panic!("one call")
    };
    assert_eq!(hex(&request.parent_span_id), "b7ad6b7169203331");
    assert_eq!(call.parent_span_id, request.span_id);
    let waits = call.events.iter().filter(|event| event.name == "retry");
    assert_eq!(
        waits.count(),
        2,
        "each decision is an event of its span, at any log level"
    );
    let mut numbers = Vec::new();
    for attempt in &by_name["attempt"] {
        assert_eq!(attempt.parent_span_id, call.span_id);
        let number = attribute(attempt, "attempt.number").expect("each attempt has its number");
        numbers.push(number);
    }
    numbers.sort_unstable();
    assert_eq!(numbers, ["1", "2", "3"]);
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

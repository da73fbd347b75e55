//! A receiver of traces: OTLP over real HTTP, as collectors take it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Bytes, extract::State, http::StatusCode, routing::post};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::Span as Received,
};
use prost::Message as _;
use tokio::{net::TcpListener, sync::Notify, time::timeout};

/// Exporters hand over what they have every few seconds.
const PATIENCE: Duration = Duration::from_mins(1);

/// One span, as far as tests look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The program's name.
    pub service: String,
    pub name: String,
    pub trace: String,
    pub id: String,
    /// Empty for the first of a trace.
    pub parent: String,
    pub attributes: BTreeMap<String, String>,
    /// Traces that it also belongs to.
    pub links: Vec<String>,
}

/// Keeps every span that it gets.
#[derive(Clone)]
pub struct TraceReceiver {
    url: String,
    received: Arc<Spans>,
}

#[derive(Default)]
struct Spans {
    all: Mutex<Vec<Span>>,
    more: Notify,
}

impl TraceReceiver {
    /// Runs as long as the tokio runtime does.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let received = Arc::<Spans>::default();
        let router = Router::new().route("/v1/traces", post(receive)).with_state(received.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, received }
    }

    /// For `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// All spans, once they are what the test waits for. Panics when they don't become so.
    pub async fn wait_for(&self, what: &str, are_there: impl Fn(&[Span]) -> bool) -> Vec<Span> {
        let waiting = async {
            loop {
                // Made before looking, so that what comes right after looking wakes it.
                let more = self.received.more.notified();
                let spans = self.spans();
                if are_there(&spans) {
                    return spans;
                }
                more.await;
            }
        };
        let found = timeout(PATIENCE, waiting).await;
        found.unwrap_or_else(|_| panic!("no {what} among {:#?}", self.spans()))
    }

    pub fn spans(&self) -> Vec<Span> {
        self.received.all.lock().expect("no panic while held").clone()
    }
}

async fn receive(State(spans): State<Arc<Spans>>, body: Bytes) -> StatusCode {
    let Ok(request) = ExportTraceServiceRequest::decode(body) else { return StatusCode::BAD_REQUEST };
    for resource in request.resource_spans {
        let attributes = texts(resource.resource.map(|resource| resource.attributes).unwrap_or_default());
        let service = attributes.get("service.name").cloned().unwrap_or_default();
        let received = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
        let received = received.map(|span| read(&service, span));
        spans.all.lock().expect("no panic while held").extend(received);
    }
    spans.more.notify_waiters();
    StatusCode::OK
}

fn read(service: &str, span: Received) -> Span {
    Span {
        service: service.to_owned(),
        name: span.name,
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        attributes: texts(span.attributes),
        links: span.links.iter().map(|link| hex(&link.trace_id)).collect(),
    }
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: Value| match value {
        Value::StringValue(text) => text,
        Value::BoolValue(value) => value.to_string(),
        Value::IntValue(value) => value.to_string(),
        other => format!("{other:?}"),
    };
    let value = |attribute: KeyValue| attribute.value.and_then(|value| value.value).map(text);
    attributes
        .into_iter()
        .map(|attribute| (attribute.key.clone(), value(attribute).unwrap_or_default()))
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

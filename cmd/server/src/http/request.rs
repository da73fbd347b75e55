//! What every request gets: an id, a span, a line in the log and a place in the metrics.

use std::time::Instant;

use axum::{
    extract::{MatchedPath, Request, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, Method,
        header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS},
    },
    middleware::Next,
    response::Response,
};
use release_api::REQUEST_ID_HEADER;
use release_telemetry::{JAEGER_TRACE_HEADER, Metrics, RequestId, TRACE_HEADER, TraceContext, name_span};
use tracing::{Instrument, field::Empty};

use super::error::Reason;

const CLUSTER_STATE: &str = "/api/v1/cluster-state";

/// For browsers, which have no business here: keep nothing, guess nothing, run nothing, tell nobody.
const SECURITY_HEADERS: [(HeaderName, HeaderValue); 4] = [
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
];

tokio::task_local! {
    static CURRENT: RequestId;
}

/// The id of the request that is being answered; a fresh one outside of any.
pub(crate) fn current_id() -> RequestId {
    CURRENT.try_with(Clone::clone).unwrap_or_else(|_| RequestId::random())
}

/// The outermost layer.
pub(super) async fn observe(
    State(metrics): State<Metrics>,
    route: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let id = id_of(request.headers());
    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str);
    let method = request.method().clone();
    // Handlers fill in what they learn from the request with `Span::record`. Of the highest level,
    // so that errors have the id also where only errors are logged.
    let span = tracing::error_span!(
        "request",
        "otel.name" = Empty,
        "otel.kind" = "server",
        requestId = id.as_str(),
        method = method_label(&method),
        route,
        caller = Empty,
        login = Empty,
        service = Empty,
        environment = Empty,
        "artifact-id" = Empty,
        event = Empty,
        releaser = Empty,
        intent = Empty,
    );
    if let Some(trace) = trace_of(request.headers()) {
        trace.adopt(&span);
    }
    name_span(&span, &format!("{} {route}", method_label(&method)));
    let started = Instant::now();
    let answer = async {
        let response = next.run(request).await;
        log(&method, route, &response);
        response
    };
    let mut response = CURRENT.scope(id.clone(), answer.instrument(span)).await;

    metrics.observe_request(route, method_label(&method), response.status().as_u16(), started.elapsed());
    let echo = HeaderValue::from_str(id.as_str()).expect("request ids are visible ASCII");
    response.headers_mut().insert(REQUEST_ID_HEADER, echo);
    response.headers_mut().extend(SECURITY_HEADERS);
    response
}

fn trace_of(headers: &HeaderMap) -> Option<TraceContext> {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let w3c = header(TRACE_HEADER).and_then(TraceContext::from_w3c);
    w3c.or_else(|| header(JAEGER_TRACE_HEADER).and_then(TraceContext::from_jaeger))
}

fn id_of(headers: &HeaderMap) -> RequestId {
    let given = headers.get(REQUEST_ID_HEADER).and_then(|value| value.to_str().ok());
    given.and_then(RequestId::from_client).unwrap_or_else(RequestId::random)
}

/// A method is any text; a label must not be.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// One line for each request. Writes are always told, reads only when they fail by our fault.
fn log(method: &Method, route: &str, response: &Response) {
    let status = response.status().as_u16();
    let reason = response.extensions().get().map(|Reason(reason)| reason.as_str());
    match (status, reason) {
        (500, _) => tracing::error!(status, reason, "Request failed"),
        (503, Some(_)) => tracing::warn!(status, reason, "Request not served"),
        // Not even writes: whoever is limited would fill the log.
        (429, _) => tracing::debug!(status, reason, "Request limited"),
        _ if method.is_safe() => tracing::debug!(status, reason, "Request answered"),
        (400.., _) => tracing::info!(status, reason, "Request refused"),
        // Each daemon does it every second.
        _ if route == CLUSTER_STATE => tracing::debug!(status, "Request done"),
        _ => tracing::info!(status, "Request done"),
    }
}

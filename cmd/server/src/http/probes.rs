//! What Kubernetes and Prometheus ask.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
};
use release_api::v1::ReadyResponse;
use release_telemetry::metrics;

use super::AppState;

/// `GET /ping`: the process lives.
pub(super) async fn ping() -> &'static str {
    "pong"
}

/// `GET /ready`: the server can do its work, or why it cannot.
pub(super) async fn ready(State(state): State<AppState>) -> (StatusCode, Json<ReadyResponse>) {
    let problems = match state.flow() {
        Ok(flow) => flow.problems().await,
        Err(starting) => vec![starting.to_string()],
    };
    let ready = problems.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(ReadyResponse { ready, problems }))
}

/// `GET /metrics`
pub(super) async fn metrics(State(state): State<AppState>) -> impl IntoResponse {
    observe(&state).await;
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], state.metrics().encode())
}

/// The last numbers stay when something cannot be read; `/ready` says so.
async fn observe(state: &AppState) {
    let Ok(flow) = state.flow() else { return };
    if let Ok(events) = flow.event_counts().await {
        state.metrics().set_events(events.pending, events.dead);
    }
    if let Err(error) = flow.observe_clusters().await {
        tracing::warn!("the clusters cannot be compared with the config repository: {error}");
    }
}

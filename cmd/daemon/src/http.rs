//! Probes, metrics, and the webhook of Flux.

#[cfg(test)]
mod tests;

use std::{
    net::Ipv6Addr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use anyhow::Context;
use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::{get, post},
    serve::Listener,
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use release_api::v1::ReadyResponse;
use release_cluster::Cluster;
use release_core::full_message;
use release_telemetry::{DaemonMetrics, metrics};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::timeout::TimeoutLayer;

use crate::{flux, health::Health, spool::Spool};

const MAX_BODY: usize = 1 << 20;
const TIMEOUT: Duration = Duration::from_secs(20);
/// How long a client may take to send the headers of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// What the endpoints share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct AppState(Arc<Shared>);

struct Shared {
    spool: Arc<Spool>,
    health: Health,
    metrics: DaemonMetrics,
    cluster: OnceLock<Cluster>,
}

impl AppState {
    pub(crate) fn new(spool: Arc<Spool>, health: Health, metrics: DaemonMetrics) -> Self {
        Self(Arc::new(Shared { spool, health, metrics, cluster: OnceLock::new() }))
    }

    /// This replica watches from now on. Called once.
    pub(crate) fn watching(&self, cluster: Cluster) {
        assert!(self.0.cluster.set(cluster).is_ok(), "the daemon begins to watch once");
    }

    /// `None`: another replica watches, or none does.
    pub(crate) fn cluster(&self) -> Option<&Cluster> {
        self.0.cluster.get()
    }

    pub(crate) fn spool(&self) -> &Spool {
        &self.0.spool
    }

    /// What keeps this replica from its work.
    async fn problems(&self) -> Vec<String> {
        let mut problems = self.cluster().map(Cluster::problems).unwrap_or_default();
        if let Err(error) = self.0.spool.counts().await {
            problems.push(format!("reports cannot be kept: {}", full_message(&error)));
        }
        problems
    }
}

pub(crate) fn router(state: AppState) -> Router {
    Router::new()
        .route("/ping", get(async || "pong"))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/webhook/flux2-alerts", post(flux::alerts))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, TIMEOUT))
        .with_state(state)
}

/// `GET /ready`: the daemon can do its work, or why it cannot. A replica that waits for its turn is ready. So is
/// one whose server is away, which it says: what Flux tells it meanwhile is kept.
async fn ready(State(state): State<AppState>) -> (StatusCode, Json<ReadyResponse>) {
    let mut problems = state.problems().await;
    let ready = problems.is_empty();
    problems.extend(state.0.health.problem());
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(ReadyResponse { ready, problems }))
}

/// `GET /metrics`
async fn metrics(State(state): State<AppState>) -> impl IntoResponse {
    let metrics = &state.0.metrics;
    metrics.set_leader(state.cluster().is_some());
    metrics.set_workloads(state.cluster().map_or(0, Cluster::managed_workloads));
    // The last number stays when the spool cannot be read; `/ready` says so.
    if let Ok(counts) = state.0.spool.counts().await {
        metrics.set_waiting(counts.pending);
    }
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics.encode())
}

/// On all addresses, of IPv6 and IPv4 where the machine has both.
pub(crate) async fn listen(port: u16) -> anyhow::Result<TcpListener> {
    if let Ok(listener) = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
        return Ok(listener);
    }
    TcpListener::bind(("0.0.0.0", port))
        .await
        .with_context(|| format!("port {port} cannot be listened on; choose another with --http-port"))
}

/// Serves until `stop`, and then until the requests that are being answered are done.
pub(crate) async fn serve(mut listener: TcpListener, router: Router, stop: CancellationToken) {
    let connections = GracefulShutdown::new();
    loop {
        let (stream, _) = tokio::select! {
            accepted = Listener::accept(&mut listener) => accepted,
            () = stop.cancelled() => break,
        };
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router.clone()));
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = &error as &dyn std::error::Error, "Connection broke");
            }
        });
    }
    drop(listener);
    connections.shutdown().await;
}

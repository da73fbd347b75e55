//! The HTTP API: one file for each group of endpoints, and the layers around them.

mod access;
mod artifacts;
pub(crate) mod auth;
mod daemon;
mod describe;
mod error;
mod fields;
mod limits;
pub(crate) mod login;
mod policies;
mod probes;
mod release;
mod request;
mod serve;
mod status;
mod strangers;
mod v1;
pub(crate) mod webhook;

use std::{
    any::Any,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use axum::{
    Router,
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
    routing::{get, patch, post},
};
use release_flow::{Flow, FlowError};
use release_storage::DirectoryStore;
use release_telemetry::Metrics;
use tower_http::catch_panic::CatchPanicLayer;

use auth::Audience;
use error::ApiError;
use login::Logins;
pub(crate) use serve::serve;
use strangers::Strangers;
use webhook::Webhook;

/// How long one upload may take. The signed URL is asked for anew after that anyway.
const UPLOAD_TIMEOUT: Duration = Duration::from_mins(15);

/// What does the work behind the endpoints.
pub(crate) struct Backend {
    pub(crate) flow: Flow,
    /// `None` when uploads go past the server.
    pub(crate) uploads: Option<DirectoryStore>,
    pub(crate) webhook: Webhook,
}

/// What the endpoints share. Cheap to clone.
///
/// Starts without a backend: opening the config repository can take minutes, and
/// until then probes are answered and everything else is told to wait.
#[derive(Clone)]
pub(crate) struct AppState(Arc<Shared>);

struct Shared {
    metrics: Metrics,
    strangers: Strangers,
    backend: OnceLock<Backend>,
}

impl AppState {
    pub(crate) fn new(metrics: Metrics) -> Self {
        Self(Arc::new(Shared { metrics, strangers: Strangers::new(), backend: OnceLock::new() }))
    }

    /// From now on the endpoints work. Called once.
    pub(crate) fn started(&self, backend: Backend) {
        assert!(self.0.backend.set(backend).is_ok(), "the server is started once");
    }

    fn backend(&self) -> Result<&Backend, ApiError> {
        self.0.backend.get().ok_or(ApiError::Starting)
    }

    fn flow(&self) -> Result<&Flow, ApiError> {
        self.backend().map(|backend| &backend.flow)
    }

    fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    fn strangers(&self) -> &Strangers {
        &self.0.strangers
    }

    /// Awaits a use case and observes how long it took.
    async fn timed<T>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<T, FlowError>>,
    ) -> Result<T, ApiError> {
        let started = Instant::now();
        let result = work.await;
        let outcome = match &result {
            Ok(_) => "success",
            Err(FlowError::Invalid(_)) => "invalid",
            Err(FlowError::NotFound(_)) => "not_found",
            Err(FlowError::Unavailable(_)) => "unavailable",
            Err(FlowError::Internal(_)) => "failed",
        };
        self.metrics().observe_flow(operation, outcome, started.elapsed());
        result.map_err(ApiError::Flow)
    }
}

/// All endpoints. `timeout` is for each request but uploads, which have 15 minutes.
pub(crate) fn router(state: AppState, logins: &Logins, timeout: Duration) -> Router {
    let login = |audience| from_fn_with_state((logins.clone(), audience), login::require);
    let for_hamctl = Router::new()
        .route("/release", post(release::release))
        .route("/status", get(status::status))
        .route("/describe/release/{service}/{environment}", get(describe::releases))
        .route("/describe/artifact/{service}", get(describe::artifacts))
        .route("/describe/latest-artifact/{service}", get(describe::latest_artifact))
        .route("/policies", get(policies::list).delete(policies::delete))
        .route("/policies/auto-release", patch(policies::apply_auto_release))
        .route("/policies/branch-restriction", patch(policies::apply_branch_restriction))
        .merge(v1::router(v1::for_hamctl()))
        .route_layer(login(Audience::Hamctl));
    let for_artifact = Router::new()
        .route("/artifacts/create", post(artifacts::create))
        .route_layer(login(Audience::Artifact));
    let for_daemon = Router::new()
        .route("/webhook/daemon/k8s/deploy", post(daemon::succeeded))
        .route("/webhook/daemon/k8s/error", post(daemon::pod_failed))
        .route("/webhook/daemon/k8s/joberror", post(daemon::job_failed))
        .merge(v1::router(v1::for_daemon()))
        .route_layer(login(Audience::Daemon));
    let for_everyone = Router::new()
        .route("/metrics", get(probes::metrics))
        .route("/webhook/github", post(webhook::github))
        .merge(v1::router(v1::for_everyone()))
        .route_layer(from_fn_with_state(state.clone(), strangers::admit));
    // Whoever is killed when they get no answer must always get one.
    let probes = Router::new().route("/ping", get(probes::ping)).route("/ready", get(probes::ready));
    let in_time = for_hamctl
        .merge(for_artifact)
        .merge(for_daemon)
        .merge(for_everyone)
        .merge(probes)
        .layer(from_fn_with_state(timeout, limits::within));
    let uploads = v1::router(v1::with_signed_url()).layer(from_fn_with_state(UPLOAD_TIMEOUT, limits::within));
    with_layers(in_time.merge(uploads), state)
}

/// What holds for every route, and for what is no route.
fn with_layers(routes: Router<AppState>, state: AppState) -> Router {
    let metrics = state.metrics().clone();
    routes
        .fallback(error::no_such_route)
        .method_not_allowed_fallback(error::no_such_method)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(state.clone(), strangers::count_refusals))
        .layer(from_fn_with_state(metrics, request::observe))
        .with_state(state)
}

/// The panic hook has logged it.
#[allow(clippy::needless_pass_by_value)] // the signature is tower-http's
fn panicked(_: Box<dyn Any + Send>) -> Response {
    ApiError::Panicked.into_response()
}

#[cfg(test)]
mod tests;

//! `/api/v1/…`: what this platform adds to the compatible surface.
//!
//! The routes are lists, so that a test can hold `openapi.json` against them.

mod cluster_state;
mod dora;
mod events;
mod names;
mod openapi;
mod releases;
mod status;
mod uploads;

use axum::{
    Router,
    routing::{MethodRouter, delete, get, post, put},
};

use super::AppState;

type Route = (&'static str, MethodRouter<AppState>);

pub(super) fn for_hamctl() -> Vec<Route> {
    vec![
        ("/api/v1/releases/{id}", get(releases::status)),
        ("/api/v1/status", get(status::status)),
        ("/api/v1/metrics/dora", get(dora::figures)),
        ("/api/v1/environments", get(names::environments)),
        ("/api/v1/services", get(names::services)),
        ("/api/v1/events", get(events::list)),
        ("/api/v1/events/{id}", delete(events::forget)),
        ("/api/v1/events/{id}/retry", post(events::retry)),
    ]
}

pub(super) fn for_daemon() -> Vec<Route> {
    vec![("/api/v1/cluster-state", post(cluster_state::receive))]
}

/// The address itself is the permission.
pub(super) fn with_signed_url() -> Vec<Route> {
    vec![("/api/v1/uploads/{service}/{artifact_id}", put(uploads::receive))]
}

pub(super) fn for_everyone() -> Vec<Route> {
    vec![("/api/v1/openapi.json", get(openapi::document))]
}

pub(super) fn router(routes: Vec<Route>) -> Router<AppState> {
    routes.into_iter().fold(Router::new(), |router, (path, methods)| router.route(path, methods))
}

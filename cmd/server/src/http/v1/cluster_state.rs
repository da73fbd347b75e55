//! `POST /api/v1/cluster-state`: what runs in a cluster, as its daemon sees it.

use axum::{Json, body::Body, extract::State};
use release_core::{
    Name,
    rollout::{ClusterState, Report},
};
use serde_json::{Map, Value};
use tokio::task::spawn_blocking;
use tracing::Span;
use uuid::Uuid;

use crate::http::{AppState, error::ApiError, fields, request};

/// Of some ten thousand workloads.
const MAX_BODY_BYTES: usize = 16 << 20;

pub(super) async fn receive(
    State(state): State<AppState>,
    body: Body,
) -> Result<Json<Map<String, Value>>, ApiError> {
    let body = fields::read_up_to(MAX_BODY_BYTES, body).await?;
    // Reading megabytes of JSON takes a while.
    let cluster = spawn_blocking(move || parse(&body)).await.map_err(|_| ApiError::Panicked)??;
    Span::current().record("environment", &cluster.environment);
    let flow = state.flow()?;
    let request_id = request::current_id().to_string();
    let report = flow.report(Uuid::new_v4(), Report::State(cluster), request_id);
    state.timed("cluster_state", report).await?;
    Ok(Json(Map::new()))
}

fn parse(body: &[u8]) -> Result<ClusterState, ApiError> {
    let state: ClusterState = serde_json::from_slice(body).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => ApiError::Fields(vec![format!("the state has a {error}")]),
        _ if body.trim_ascii().is_empty() => ApiError::NoBody,
        _ => ApiError::NotJson(error),
    })?;
    match Name::new(&state.environment) {
        Ok(_) => Ok(state),
        Err(problem) => Err(ApiError::Fields(vec![format!("environment {problem}")])),
    }
}

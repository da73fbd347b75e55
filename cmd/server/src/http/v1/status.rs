//! `GET /api/v1/status`

use axum::{Json, extract::State};
use release_api::v1::StatusResponse;

use crate::http::{AppState, error::ApiError, fields::Address};

pub(super) async fn status(
    State(state): State<AppState>,
    Address(mut fields): Address,
) -> Result<Json<StatusResponse>, ApiError> {
    let service = fields.name("service");
    let namespace = fields.optional_name("namespace");
    let (service, namespace) = fields.finish(|| Ok((service?, namespace?)))?;
    let flow = state.flow()?;
    state.timed("status", flow.status_with_rollouts(service, namespace)).await.map(Json)
}

//! How far accepted releases have come.

use axum::{Json, extract::State};
use release_api::v1::ReleaseStatus;

use crate::http::{AppState, error::ApiError, fields::Address};

/// `GET /api/v1/releases/{id}`
pub(super) async fn status(
    State(state): State<AppState>,
    Address(mut fields): Address,
) -> Result<Json<ReleaseStatus>, ApiError> {
    let id = fields.uuid("id");
    let id = fields.finish(|| id)?;
    let flow = state.flow()?;
    let status = state.timed("release_status", flow.release_status(id)).await?;
    status.map(Json).ok_or(ApiError::NoSuchRelease(id))
}

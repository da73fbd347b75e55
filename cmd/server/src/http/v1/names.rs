//! What there is to release, and where to.

use axum::{Json, extract::State};
use release_api::v1::{EnvironmentsResponse, ServicesResponse};

use crate::http::{AppState, error::ApiError};

/// `GET /api/v1/environments`
pub(super) async fn environments(
    State(state): State<AppState>,
) -> Result<Json<EnvironmentsResponse>, ApiError> {
    let flow = state.flow()?;
    let environments = state.timed("environments", flow.environments()).await?;
    Ok(Json(EnvironmentsResponse { environments }))
}

/// `GET /api/v1/services`
pub(super) async fn services(State(state): State<AppState>) -> Result<Json<ServicesResponse>, ApiError> {
    let flow = state.flow()?;
    let services = state.timed("services", flow.services()).await?;
    Ok(Json(ServicesResponse { services }))
}

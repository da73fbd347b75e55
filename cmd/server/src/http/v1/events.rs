//! The accepted events, for an operator.

use axum::{Json, extract::State, http::StatusCode};
use release_api::v1::EventsResponse;
use tracing::Span;
use uuid::Uuid;

use crate::http::{
    AppState,
    error::ApiError,
    fields::{Address, Fields},
};

/// `GET /api/v1/events`
pub(super) async fn list(State(state): State<AppState>) -> Result<Json<EventsResponse>, ApiError> {
    let flow = state.flow()?;
    state.timed("events", flow.events()).await.map(Json)
}

/// `POST /api/v1/events/{id}/retry`
pub(super) async fn retry(
    State(state): State<AppState>,
    Address(fields): Address,
) -> Result<StatusCode, ApiError> {
    let id = event_id(fields)?;
    let flow = state.flow()?;
    state.timed("retry_event", flow.retry_event(id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /api/v1/events/{id}`
pub(super) async fn forget(
    State(state): State<AppState>,
    Address(fields): Address,
) -> Result<StatusCode, ApiError> {
    let id = event_id(fields)?;
    let flow = state.flow()?;
    state.timed("drop_event", flow.drop_event(id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn event_id(mut fields: Fields) -> Result<Uuid, ApiError> {
    let id = fields.uuid("id");
    let id = fields.finish(|| id)?;
    Span::current().record("event", tracing::field::display(id));
    Ok(id)
}

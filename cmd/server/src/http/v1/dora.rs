//! `GET /api/v1/metrics/dora`: how software is delivered.

use axum::{Json, extract::State};
use release_api::v1::DoraResponse;
use release_flow::Scope;

use crate::http::{AppState, error::ApiError, fields::Address};

pub(super) async fn figures(
    State(state): State<AppState>,
    Address(mut fields): Address,
) -> Result<Json<DoraResponse>, ApiError> {
    let service = fields.optional_name("service");
    let squad = fields.optional_text("squad");
    let environment = fields.optional_name("environment");
    let period = fields.days("days");
    let scope = fields.finish(|| {
        Ok(Scope {
            service: service?,
            squad: Some(squad?).filter(|squad| !squad.is_empty()),
            environment: environment?,
            period: period?,
        })
    })?;
    let flow = state.flow()?;
    state.timed("dora", flow.dora(scope)).await.map(Json)
}

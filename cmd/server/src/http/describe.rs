//! `GET /describe/…`

use axum::{Json, extract::State};
use release_api::{DescribeArtifactResponse, DescribeReleaseResponse};

use super::{AppState, error::ApiError, fields::Address};

/// `GET /describe/release/{service}/{environment}`
pub(super) async fn releases(
    State(state): State<AppState>,
    Address(mut fields): Address,
) -> Result<Json<DescribeReleaseResponse>, ApiError> {
    let service = fields.name("service");
    let environment = fields.name("environment");
    let namespace = fields.optional_name("namespace");
    let count = fields.count("count");
    let (service, environment, namespace, count) =
        fields.finish(|| Ok((service?, environment?, namespace?, count?)))?;
    let flow = state.flow()?;
    let releases = flow.describe_release(service, environment, namespace, count);
    state.timed("describe_release", releases).await.map(Json)
}

/// `GET /describe/artifact/{service}`
pub(super) async fn artifacts(
    State(state): State<AppState>,
    Address(mut fields): Address,
) -> Result<Json<DescribeArtifactResponse>, ApiError> {
    let service = fields.name("service");
    let branch = fields.optional_text("branch");
    let count = fields.count("count");
    let (service, branch, count) = fields.finish(|| Ok((service?, branch?, count?)))?;
    let branch = Some(branch).filter(|branch| !branch.is_empty());
    let flow = state.flow()?;
    let artifacts = flow.describe_artifacts(service, branch, count);
    state.timed("describe_artifact", artifacts).await.map(Json)
}

/// `GET /describe/latest-artifact/{service}`
pub(super) async fn latest_artifact(
    State(state): State<AppState>,
    Address(mut fields): Address,
) -> Result<Json<DescribeArtifactResponse>, ApiError> {
    let service = fields.name("service");
    let branch = fields.text("branch");
    let (service, branch) = fields.finish(|| Ok((service?, branch?)))?;
    let flow = state.flow()?;
    let latest = flow.latest_artifact(service, branch);
    state.timed("describe_latest_artifact", latest).await.map(Json)
}

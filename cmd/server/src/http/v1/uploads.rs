//! `PUT /api/v1/uploads/{service}/{artifact_id}`: takes what an upload URL was made for.

use axum::{
    body::Body,
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, StatusCode},
};
use chrono::Utc;
use release_core::event::NewArtifact;
use release_storage::{UploadError, UploadQuery};
use tracing::Span;

use crate::http::{AppState, Backend, error::ApiError, fields::Address, request};

const CONTENT_MD5: &str = "content-md5";

pub(super) async fn receive(
    State(state): State<AppState>,
    Address(mut fields): Address,
    query: Result<Query<UploadQuery>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, ApiError> {
    let service = fields.name("service");
    let artifact_id = fields.name("artifact_id");
    let (service, artifact_id) = fields.finish(|| Ok((service?, artifact_id?)))?;
    Span::current().record("service", service.as_str()).record("artifact-id", artifact_id.as_str());

    let Query(query) = query.map_err(|_| ApiError::Upload(UploadError::BadSignature))?;
    let content_md5 = headers.get(CONTENT_MD5).and_then(|value| value.to_str().ok());
    let Backend { uploads, flow, .. } = state.backend()?;
    let uploads = uploads.as_ref().ok_or(ApiError::NoSuchRoute)?;
    uploads
        .receive(&service, &artifact_id, &query, content_md5, body.into_data_stream(), Utc::now())
        .await
        .map_err(ApiError::Upload)?;
    // Only then is the upload answered: an answered one is never forgotten, and one that was not
    // is sent again, which makes the same event.
    let artifact = NewArtifact { service, artifact_id };
    let request_id = request::current_id().to_string();
    let stored = flow.artifact_stored(artifact, content_md5.unwrap_or_default(), request_id);
    state.timed("artifact_stored", stored).await?;
    Ok(StatusCode::OK)
}

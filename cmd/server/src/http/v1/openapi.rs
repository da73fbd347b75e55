//! `GET /api/v1/openapi.json`

use axum::{
    http::{HeaderName, header::CONTENT_TYPE},
    response::IntoResponse,
};

const DOCUMENT: &str = include_str!("openapi.json");
const JSON: (HeaderName, &str) = (CONTENT_TYPE, "application/json");

pub(super) async fn document() -> impl IntoResponse {
    ([JSON], DOCUMENT)
}

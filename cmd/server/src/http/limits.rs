//! Time limits.

use std::time::Duration;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};

use super::error::ApiError;

/// Layer: gives up on a request after a while, also when it is the caller who is slow.
pub(super) async fn within(
    State(limit): State<Duration>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    tokio::time::timeout(limit, next.run(request)).await.map_err(|_| ApiError::Timeout)
}

//! Answers as an API server words them.

use axum::{
    body::Body,
    http::{StatusCode, header},
    response::Response,
};
use serde_json::{Value, json};

use super::store::{Gone, WriteError};

pub(super) fn object(status: u16, object: &Value) -> Response {
    json_text(status, object.to_string())
}

pub(super) fn json_text(status: u16, text: impl Into<Body>) -> Response {
    Response::builder()
        .status(StatusCode::from_u16(status).expect("a status"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(text.into())
        .expect("a response")
}

/// An object of kind `Status`.
pub(super) fn failure(status: u16, message: &str) -> Response {
    object(status, &status_object(status, message))
}

pub(super) fn status_object(status: u16, message: &str) -> Value {
    let reason = match status {
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        405 => "MethodNotAllowed",
        410 => "Expired",
        415 => "UnsupportedMediaType",
        422 => "Invalid",
        429 => "TooManyRequests",
        500 => "InternalError",
        _ => "Unknown",
    };
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": status,
    })
}

pub(super) fn written(status: u16, written: Result<Value, WriteError>) -> Response {
    match written {
        Ok(value) => object(status, &value),
        Err(WriteError::NotFound) => failure(404, "the object is not there"),
        Err(WriteError::AlreadyExists) => conflict("AlreadyExists", "the object is there already"),
        Err(WriteError::Conflict) => conflict(
            "Conflict",
            "the object has been modified; please apply your changes to the latest version",
        ),
        Err(WriteError::Invalid(message)) => failure(422, &message),
    }
}

fn conflict(reason: &str, message: &str) -> Response {
    let mut status = status_object(409, message);
    status["reason"] = json!(reason);
    object(409, &status)
}

pub(super) const TOO_OLD: &str = "the resource version is too old";

pub(super) fn gone(_: Gone) -> Response {
    failure(410, TOO_OLD)
}

pub(super) fn too_many_requests(retry_after: u32) -> Response {
    let mut response = failure(429, "too many requests, please try again later");
    response.headers_mut().insert(header::RETRY_AFTER, retry_after.into());
    response
}

/// The connection breaks at the beginning of the body.
pub(super) fn broken() -> Response {
    let body = futures::stream::iter([Ok("{"), Err(std::io::Error::other("cut"))]);
    json_text(200, Body::from_stream(body))
}

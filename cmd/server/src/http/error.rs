//! Every sentence that an HTTP error says.

use std::{
    error::Error,
    fmt::{Display, Write},
};

use axum::{
    Json,
    http::{
        HeaderValue, StatusCode,
        header::{RETRY_AFTER, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
};
use release_api::ErrorResponse;
use release_flow::FlowError;
use release_storage::UploadError;
use uuid::Uuid;

use super::{login::Refused, request};

/// The longest JSON body, in bytes. An artifact spec is a few kilobytes.
pub(super) const MAX_BODY_BYTES: usize = 1 << 20;

/// Why a request is not answered as asked. The text is a sentence for the caller.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    /// What is wrong with each bad field, beginning with the field's name.
    #[error("The request is not valid: {}.", .0.join("; "))]
    Fields(Vec<String>),
    #[error("The request has no body; send a JSON object.")]
    NoBody,
    #[error("The body is not valid JSON: {0}.")]
    NotJson(serde_json::Error),
    #[error("The body must be a JSON object.")]
    NotAnObject,
    #[error("The body is longer than {0} bytes.")]
    BodyTooLong(usize),
    #[error("The body ended too early; send the request again.")]
    BodyCutOff,
    #[error("The address is not valid UTF-8.")]
    AddressNotUtf8,
    #[error("The token is missing or not accepted; log in again or ask for a valid one.")]
    Unauthorized(#[source] Refused),
    #[error("Too many requests without a valid token come from this address; try again in a moment.")]
    TooManyRequests,
    #[error("The delivery is not signed with the webhook's secret.")]
    BadSignature,
    #[error("There is nothing at this address; check the base URL.")]
    NoSuchRoute,
    #[error("This address does not take this method.")]
    NoSuchMethod,
    #[error("There is no release '{0}'; very old ones are forgotten.")]
    NoSuchRelease(Uuid),
    #[error("The server did not finish in time; try again in a moment.")]
    Timeout,
    #[error("The server is starting; try again in a moment.")]
    Starting,
    #[error("The handler panicked.")]
    Panicked,
    #[error("{}", sentence(.0))]
    Flow(FlowError),
    #[error("{}", sentence(.0))]
    Upload(UploadError),
}

/// Why a request failed, for the log. Rides in the extensions of the response.
#[derive(Debug, Clone)]
pub(super) struct Reason(pub(super) String);

impl ApiError {
    fn status(&self) -> StatusCode {
        match self {
            Self::Fields(_)
            | Self::NoBody
            | Self::NotJson(_)
            | Self::NotAnObject
            | Self::BodyCutOff
            | Self::AddressNotUtf8
            | Self::Flow(FlowError::Invalid(_)) => StatusCode::BAD_REQUEST,
            Self::Unauthorized(_) | Self::BadSignature => StatusCode::UNAUTHORIZED,
            Self::Upload(error) => upload_status(error),
            Self::NoSuchRoute | Self::NoSuchRelease(_) | Self::Flow(FlowError::NotFound(_)) => {
                StatusCode::NOT_FOUND
            }
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::NoSuchMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTooLong(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Timeout | Self::Starting | Self::Flow(FlowError::Unavailable(_)) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Panicked | Self::Flow(FlowError::Internal(_)) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What the caller reads: nothing of our insides, but how to find them in the log.
    fn message(&self) -> String {
        if self.status() != StatusCode::INTERNAL_SERVER_ERROR {
            return self.to_string();
        }
        let id = request::current_id();
        format!("Something went wrong in the server; its log has the cause under request id {id}.")
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        let body = ErrorResponse { status: status.as_u16(), message: self.message() };
        let mut response = (status, Json(body)).into_response();
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if status == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response.extensions_mut().insert(Reason::of(&self));
        response
    }
}

impl Reason {
    /// With the causes, which callers do not get to see.
    fn of(error: &ApiError) -> Self {
        let mut reason = error.to_string();
        let mut cause = match error {
            ApiError::Upload(upload) => upload.source(),
            other => other.source(),
        };
        while let Some(error) = cause {
            write!(reason, " {error}").expect("a String takes any text");
            cause = error.source();
        }
        Self(reason)
    }
}

fn upload_status(error: &UploadError) -> StatusCode {
    match error {
        UploadError::BadSignature | UploadError::Expired => StatusCode::FORBIDDEN,
        UploadError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        UploadError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        UploadError::Md5Header { .. }
        | UploadError::Md5Mismatch { .. }
        | UploadError::CutOff(_)
        | UploadError::BadArchive(_) => StatusCode::BAD_REQUEST,
    }
}

/// Errors of libraries begin in lower case and end without a full stop.
fn sentence(error: &impl Display) -> String {
    let text = error.to_string();
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_uppercase().to_string());
    let end = if text.ends_with(['.', '?', '!']) { "" } else { "." };
    first.unwrap_or_default() + chars.as_str() + end
}

pub(super) async fn no_such_route() -> ApiError {
    ApiError::NoSuchRoute
}

pub(super) async fn no_such_method() -> ApiError {
    ApiError::NoSuchMethod
}

//! Sentences for what S3 and SQS answer when they do not do what was asked.

use std::{error::Error, io};

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use release_core::full_message;

use crate::entry::shown;

/// Why a call of S3 or SQS failed. The SDK has tried it again by then, where that made sense.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error(
        "there are no credentials; give AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role of \
         the machine or the pod"
    )]
    NoCredentials,
    #[error("the credentials are not accepted ({0}); check them, or renew them if they have expired")]
    BadCredentials(String),
    #[error(
        "access is denied ({0}); give the server's credentials the permissions that docs/operations.md lists"
    )]
    Denied(String),
    #[error("there is no such bucket ({0}); the server makes it as soon as it is allowed to")]
    NoBucket(String),
    #[error("the name of the bucket is somebody else's ({0}); choose another")]
    BucketTaken(String),
    #[error("the bucket is in another region ({0}); give it as --s3-artifact-storage-region")]
    OtherRegion(String),
    #[error("the clock of this machine is wrong ({0}); set it")]
    ClockSkew(String),
    #[error("the service refuses ({0})")]
    Refused(String),
    #[error("the service has trouble ({0})")]
    Down(String),
    #[error("the service did not answer in time")]
    TimedOut,
    #[error("the service cannot be reached: {0}")]
    Unreachable(String),
    #[error("the answer was cut off: {0}")]
    CutOff(String),
}

impl Trouble {
    pub(super) fn of<E>(error: &SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        match error {
            SdkError::ServiceError(service) => {
                let (code, message) = (service.err().code(), service.err().message());
                Self::of_answer(service.raw().status().as_u16(), code, message)
            }
            SdkError::TimeoutError(_) => Self::TimedOut,
            SdkError::ResponseError(_) => Self::CutOff(root_cause(error)),
            other if mentions_credentials(other) => Self::NoCredentials,
            other => Self::Unreachable(root_cause(other)),
        }
    }

    fn of_answer(status: u16, code: Option<&str>, message: Option<&str>) -> Self {
        let answer = match (code, message) {
            (Some(code), Some(message)) => format!("{}: {}", shown(code), shown(message)),
            (Some(code), None) => shown(code),
            (None, _) => format!("status {status}"),
        };
        match (code.unwrap_or_default(), status) {
            ("NoSuchBucket", _) => Self::NoBucket(answer),
            ("BucketAlreadyExists", _) => Self::BucketTaken(answer),
            ("RequestTimeTooSkewed" | "RequestExpired", _) => Self::ClockSkew(answer),
            (
                "PermanentRedirect"
                | "AuthorizationHeaderMalformed"
                | "IllegalLocationConstraintException"
                | "TemporaryRedirect",
                _,
            )
            | (_, 301 | 307) => Self::OtherRegion(answer),
            (
                "InvalidAccessKeyId"
                | "SignatureDoesNotMatch"
                | "InvalidClientTokenId"
                | "InvalidToken"
                | "UnrecognizedClientException"
                | "ExpiredToken"
                | "ExpiredTokenException",
                _,
            )
            | (_, 401) => Self::BadCredentials(answer),
            ("AccessDenied" | "AccessDeniedException" | "AllAccessDisabled", _) | (_, 403) => {
                Self::Denied(answer)
            }
            ("SlowDown" | "Throttling" | "ThrottlingException" | "RequestThrottled", _)
            | (_, 429 | 500..=599) => Self::Down(answer),
            _ => Self::Refused(answer),
        }
    }
}

impl From<Trouble> for io::Error {
    fn from(trouble: Trouble) -> Self {
        Self::other(trouble)
    }
}

/// The SDK's type for it is not public.
fn mentions_credentials(error: &(dyn Error + 'static)) -> bool {
    full_message(error).contains("credential")
}

pub(super) fn root_cause(mut error: &(dyn Error + 'static)) -> String {
    while let Some(cause) = error.source() {
        error = cause;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_refusal_says_what_to_do() {
        for (status, code, advice) in [
            (403, Some("AccessDenied"), "permissions"),
            (403, None, "permissions"),
            (404, Some("NoSuchBucket"), "no such bucket"),
            (409, Some("BucketAlreadyExists"), "choose another"),
            (403, Some("InvalidAccessKeyId"), "credentials are not accepted"),
            (403, Some("SignatureDoesNotMatch"), "credentials are not accepted"),
            (400, Some("ExpiredToken"), "renew"),
            (301, Some("PermanentRedirect"), "--s3-artifact-storage-region"),
            (400, Some("AuthorizationHeaderMalformed"), "--s3-artifact-storage-region"),
            (301, None, "--s3-artifact-storage-region"),
            (403, Some("RequestTimeTooSkewed"), "clock"),
            (503, Some("SlowDown"), "has trouble"),
            (500, None, "has trouble (status 500)"),
            (400, Some("InvalidArgument"), "refuses"),
        ] {
            let said = Trouble::of_answer(status, code, None).to_string();
            assert!(said.contains(advice), "{status} {code:?}: {said}");
        }
    }

    #[test]
    fn a_hostile_answer_is_shown_on_one_short_line() {
        let message = "x\n\u{1b}[31m".repeat(10_000);
        let said = Trouble::of_answer(403, Some("AccessDenied"), Some(&message)).to_string();
        assert!(said.len() < 3_000 && !said.contains(['\n', '\u{1b}']), "{said}");
    }
}

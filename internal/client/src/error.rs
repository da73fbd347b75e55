use std::time::Duration;

use uuid::Uuid;

use crate::TokenError;

/// Why a call did not work. Nothing in it comes from a token or a query.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("the request cannot be made: {cause}")]
    Setup { cause: String },
    #[error(transparent)]
    NoToken(TokenError),
    #[error("'{0}' cannot be the name of anything on the server")]
    BadName(String),
    #[error("the server at {url} cannot be reached: {cause}")]
    Unreachable { url: String, cause: String },
    #[error("the server at {url} did not answer within {} s", timeout.as_secs_f32())]
    TimedOut { url: String, timeout: Duration, request_id: Uuid },
    /// The request may or may not have been worked on.
    #[error("the connection to {url} broke before the answer was complete: {cause}")]
    Interrupted { url: String, cause: String, request_id: Uuid },
    #[error("{message}")]
    Unauthorized { message: String, request_id: Uuid },
    /// The server understood and said no (4xx); the message is the server's own.
    #[error("{message}")]
    Refused { status: u16, message: String, request_id: Uuid },
    /// The server has trouble (5xx).
    #[error("the server answered {status}: {message}")]
    ServerFailed { status: u16, message: String, request_id: Uuid },
    /// Redirects are not followed: a POST would silently become a GET.
    #[error("the server at {url} answered {status} and wants to be called at {location}")]
    Redirected { url: String, status: u16, location: String, request_id: Uuid },
    #[error("{url} answered {status} with something that is not from a release server")]
    NotTheServer { url: String, status: u16, request_id: Uuid },
    #[error("the server's answer cannot be understood: {cause}")]
    Unreadable { cause: String, request_id: Uuid },
    #[error("the server's answer is larger than {} MiB", limit / (1024 * 1024))]
    TooLarge { limit: usize, request_id: Uuid },
    /// Only from calls under `/api/v1/`.
    #[error("the server is too old to {what}")]
    Unsupported { what: &'static str, request_id: Uuid },
    #[error("service '{service}' has no artifact of branch '{branch}'")]
    NoArtifact { service: String, branch: String },
    #[error("the file to upload cannot be read: {cause}")]
    File { cause: String },
    /// The artifact store said no to an upload.
    #[error("the upload was refused with {status}: {message}")]
    UploadRefused { status: u16, message: String, request_id: Uuid },
}

impl ClientError {
    /// Finds the request in the server's logs; `None` when no server saw it.
    pub fn request_id(&self) -> Option<Uuid> {
        match self {
            Self::TimedOut { request_id, .. }
            | Self::Interrupted { request_id, .. }
            | Self::Unauthorized { request_id, .. }
            | Self::Refused { request_id, .. }
            | Self::ServerFailed { request_id, .. }
            | Self::Redirected { request_id, .. }
            | Self::NotTheServer { request_id, .. }
            | Self::Unreadable { request_id, .. }
            | Self::TooLarge { request_id, .. }
            | Self::Unsupported { request_id, .. }
            | Self::UploadRefused { request_id, .. } => Some(*request_id),
            Self::Setup { .. }
            | Self::BadName(_)
            | Self::NoToken(_)
            | Self::Unreachable { .. }
            | Self::NoArtifact { .. }
            | Self::File { .. } => None,
        }
    }

    /// The HTTP status of the answer, where there was one that says why.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Unauthorized { .. } => Some(401),
            Self::Refused { status, .. }
            | Self::ServerFailed { status, .. }
            | Self::Redirected { status, .. }
            | Self::NotTheServer { status, .. }
            | Self::UploadRefused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether the server may have done what was asked although this error came back.
    pub fn is_ambiguous(&self) -> bool {
        matches!(
            self,
            Self::TimedOut { .. }
                | Self::Interrupted { .. }
                | Self::Unreadable { .. }
                | Self::TooLarge { .. }
                | Self::ServerFailed { status: 500 | 502 | 504, .. }
                | Self::NotTheServer { status: 502 | 504, .. }
        )
    }

    /// Nothing was worked on: there was no connection, or the server said "not now".
    pub(crate) fn was_not_accepted(&self) -> bool {
        let was_not_sent = match self {
            Self::Unreachable { .. } => true,
            Self::NoToken(error) => error.is_transient(),
            _ => false,
        };
        was_not_sent || self.status() == Some(503)
    }

    /// The same call may work in a moment.
    pub(crate) fn is_transient(&self) -> bool {
        let by_proxy = matches!(self.status(), Some(502 | 504));
        self.was_not_accepted() || by_proxy || matches!(self, Self::Interrupted { .. })
    }
}

/// The innermost cause; the layers around it only say "error sending request".
pub(crate) fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

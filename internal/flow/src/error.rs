use release_broker::BrokerError;
use release_core::full_message;
use release_storage::StorageError;

/// Why a use case was refused. The text is a whole sentence for the caller.
#[derive(Debug, thiserror::Error)]
pub enum FlowError {
    /// The request cannot be fulfilled as it is: HTTP 400.
    #[error("{0}")]
    Invalid(String),
    /// HTTP 404.
    #[error("{0}")]
    NotFound(String),
    /// A backend is away or a conflict is transient; try again in a moment: HTTP 503.
    #[error("{0}")]
    Unavailable(String),
    /// Our fault; never shown to the caller: HTTP 500.
    #[error("{0}")]
    Internal(String),
}

impl From<StorageError> for FlowError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::NotFound { .. }
            | StorageError::UnknownEnvironment { .. }
            | StorageError::BadArtifact { .. } => Self::Invalid(full_message(&error)),
            StorageError::Unavailable { .. } => {
                Self::Unavailable(format!("{}; try again in a moment", full_message(&error)))
            }
        }
    }
}

impl From<BrokerError> for FlowError {
    fn from(error: BrokerError) -> Self {
        Self::Unavailable(full_message(&error))
    }
}

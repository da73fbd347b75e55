//! Use cases of the release platform: plan purely, then act.

use release_api::{
    DescribeArtifactResponse, DescribeReleaseResponse, StatusResponse,
    v1::{EventsResponse, ReleaseStatus},
};
use release_core::{Intent, Name, Person, Spec};
use uuid::Uuid;

/// The use cases, over one config repository, one storage and one broker. Cheap to clone.
#[derive(Clone)]
pub struct Flow {}

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

/// What `POST /release` asks for, checked as far as its form goes.
#[derive(Debug, Clone)]
pub struct ReleaseRequest {
    pub service: Name,
    pub environment: Name,
    pub artifact_id: Name,
    pub actor: Person,
    pub intent: Intent,
    /// The caller's key, if it sent one: the same key and request is the same release.
    pub idempotency_key: Option<String>,
    /// The HTTP request id; follows the release through logs and broker.
    pub request_id: String,
}

/// What became of a release request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// Durable; it will become one commit.
    Queued { release_id: Uuid },
    /// The environment already runs the artifact.
    Unchanged,
}

impl Flow {
    pub async fn release(&self, _request: ReleaseRequest) -> Result<Accepted, FlowError> {
        unimplemented!()
    }

    /// How far a release has come; `None` when no such release is known.
    pub async fn release_status(&self, _id: Uuid) -> Result<Option<ReleaseStatus>, FlowError> {
        unimplemented!()
    }

    pub async fn status(
        &self,
        _service: Name,
        _namespace: Option<Name>,
    ) -> Result<StatusResponse, FlowError> {
        unimplemented!()
    }

    pub async fn describe_release(
        &self,
        _service: Name,
        _environment: Name,
        _namespace: Option<Name>,
        _count: usize,
    ) -> Result<DescribeReleaseResponse, FlowError> {
        unimplemented!()
    }

    /// Newest first, of all branches or of one.
    pub async fn describe_artifacts(
        &self,
        _service: Name,
        _branch: Option<String>,
        _count: usize,
    ) -> Result<DescribeArtifactResponse, FlowError> {
        unimplemented!()
    }

    /// The URL that takes the zip of this artifact, `md5` being its MD5 in base64.
    pub async fn create_artifact(&self, _spec: Spec, _md5: String) -> Result<String, FlowError> {
        unimplemented!()
    }

    pub async fn environments(&self) -> Result<Vec<String>, FlowError> {
        unimplemented!()
    }

    pub async fn services(&self) -> Result<Vec<String>, FlowError> {
        unimplemented!()
    }

    pub async fn events(&self) -> Result<EventsResponse, FlowError> {
        unimplemented!()
    }

    /// Puts a dead event back into the queue.
    pub async fn retry_event(&self, _id: Uuid) -> Result<(), FlowError> {
        unimplemented!()
    }

    /// Removes a dead event for good.
    pub async fn drop_event(&self, _id: Uuid) -> Result<(), FlowError> {
        unimplemented!()
    }

    /// What keeps the server from doing its work, one sentence each.
    pub fn problems(&self) -> Vec<String> {
        unimplemented!()
    }
}

//! What this platform adds to the compatible surface, under `/api/v1/`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// How far an accepted release has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReleaseState {
    /// Accepted and durable; others are in front of it.
    Queued,
    /// The writer has it.
    Releasing,
    /// Its commit is on the remote.
    Released,
    /// The environment already ran the artifact; nothing was committed.
    Unchanged,
    /// Refused for good; it waits among the dead events for an operator.
    Failed,
}

impl ReleaseState {
    /// Whether nothing more will happen to the release by itself.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Released | Self::Unchanged | Self::Failed)
    }
}

/// `GET /api/v1/releases/{id}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseStatus {
    pub release_id: Uuid,
    pub service: String,
    pub environment: String,
    pub artifact_id: String,
    pub state: ReleaseState,
    /// How many accepted events are in front of this one; only while queued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_position: Option<usize>,
    /// The commit on the remote; only when released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Why it waits or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// `GET /api/v1/environments`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentsResponse {
    pub environments: Vec<String>,
}

/// `GET /api/v1/services`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServicesResponse {
    pub services: Vec<String>,
}

/// `GET /api/v1/events`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventsResponse {
    /// Accepted events that are not done, oldest first.
    pub pending: Vec<QueuedEvent>,
    /// Events that failed for good, oldest first.
    pub dead: Vec<QueuedEvent>,
}

/// One event of the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueuedEvent {
    pub id: Uuid,
    #[serde(rename = "type")]
    pub kind: String,
    pub accepted_at: DateTime<Utc>,
    /// The request that caused it, as found in the logs.
    pub request_id: String,
    /// Why it is dead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub body: serde_json::Value,
}

/// `GET /ready`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadyResponse {
    pub ready: bool,
    /// What is wrong, one sentence each; empty when ready.
    #[serde(default)]
    pub problems: Vec<String>,
}

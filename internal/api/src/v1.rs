//! What this platform adds to the compatible surface, under `/api/v1/`.

use chrono::{DateTime, Utc};
use release_core::rollout::Phase;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Environment;

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
    /// What became of it in the cluster; only when released and while no later release
    /// to the same place has been.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// The artifact of a later release to the same place; only when released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<String>,
}

/// What became of a release in the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    pub state: RolloutState,
    /// When it came into this state.
    pub since: DateTime<Utc>,
    /// Replicas of this release that are available, of all its workloads.
    pub available: i32,
    /// Replicas that there should be.
    pub desired: i32,
    /// The first error, in the cluster's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// How far a release has come in its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RolloutState {
    /// On the remote; the cluster does not have it yet, or nobody tells.
    Released,
    /// The cluster has it; no replica of it is available yet.
    Applying,
    /// Some replicas are available.
    Running,
    /// All of them are.
    Healthy,
    /// The cluster told of an error, and of nothing better since.
    Failed,
}

/// `GET /api/v1/status`: `GET /status` with what is true in the clusters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StatusResponse {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub default_namespaces: bool,
    pub environments: Vec<EnvironmentStatus>,
}

/// What should run in one environment, and what does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentStatus {
    #[serde(flatten)]
    pub environment: Environment,
    /// `None` when nothing is released there, or no daemon has ever told of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// Of the service, as the daemon has told of them last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workloads: Vec<WorkloadStatus>,
    /// When its daemon was heard of last; only when that is too long ago to rely on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_heard: Option<DateTime<Utc>>,
}

/// Without anything about the cluster.
impl From<Environment> for EnvironmentStatus {
    fn from(environment: Environment) -> Self {
        Self { environment, rollout: None, workloads: Vec::new(), last_heard: None }
    }
}

/// One workload in the cluster, compared with the config repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadStatus {
    pub kind: String,
    pub namespace: String,
    pub name: String,
    pub truth: Truth,
    /// What differs from the config repository, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<String>,
    /// Empty when it is missing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub artifact_id: String,
    pub available: i32,
    pub desired: i32,
    /// `None` when it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// How a workload compares with the config repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Truth {
    InSync,
    /// The cluster has an older release still.
    Pending,
    /// Somebody changed it by hand.
    Drifted,
    /// The config repository has it, the cluster does not.
    Missing,
    /// The cluster has it, the config repository does not.
    Unknown,
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

/// `GET /api/v1/metrics/dora`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DoraResponse {
    /// The figures are of releases since then.
    pub since: DateTime<Utc>,
    pub until: DateTime<Utc>,
    /// `since` is later than what was asked for: there are more releases than the server reads for one answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_cut: bool,
    /// Of all services that were asked for together.
    pub overall: DoraFigures,
    /// Of each service, in the order of their squads and names.
    pub services: Vec<ServiceFigures>,
}

/// The four figures of software delivery. Durations are medians in seconds; `None` where nothing shows them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DoraFigures {
    pub deployments: usize,
    pub deployments_per_day: f64,
    /// From the start of a build until all of it runs, or is released where no daemon tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lead_time_seconds: Option<i64>,
    /// Deployments that failed or were rolled back.
    pub failures: usize,
    /// Their share of the deployments that are no rollbacks: 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_failure_rate: Option<f64>,
    /// From a failure until the next deployment there works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_to_restore_seconds: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceFigures {
    /// Empty where artifacts do not say it.
    pub squad: String,
    pub service: String,
    #[serde(flatten)]
    pub figures: DoraFigures,
}

/// `GET /ready`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadyResponse {
    pub ready: bool,
    /// What is wrong, one sentence each; empty when ready.
    #[serde(default)]
    pub problems: Vec<String>,
}

//! What a daemon tells about the workloads of its cluster.
//!
//! [`Succeeded`], [`PodFailed`] and [`JobFailed`] are happenings: each is told at least
//! once, under an id that is the same when it is told again. Their JSON is shared with
//! daemons and servers in the field. [`ClusterState`] is what is there right now: the
//! newest counts, and one that gets lost is made up for by the next.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::event::EventError;

pub mod record;

/// Anything that a daemon tells. Over HTTP each kind has an endpoint of its own; in a
/// broker each has a type name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    Succeeded(Succeeded),
    PodFailed(PodFailed),
    JobFailed(JobFailed),
    State(ClusterState),
}

impl Report {
    pub const SUCCEEDED: &'static str = "rollout.succeeded";
    pub const POD_FAILED: &'static str = "rollout.podFailed";
    pub const JOB_FAILED: &'static str = "rollout.jobFailed";
    pub const STATE: &'static str = "rollout.state";

    /// The type name in a broker.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Succeeded(_) => Self::SUCCEEDED,
            Self::PodFailed(_) => Self::POD_FAILED,
            Self::JobFailed(_) => Self::JOB_FAILED,
            Self::State(_) => Self::STATE,
        }
    }

    pub fn to_json(&self) -> Vec<u8> {
        let json = match self {
            Self::Succeeded(body) => serde_json::to_vec(body),
            Self::PodFailed(body) => serde_json::to_vec(body),
            Self::JobFailed(body) => serde_json::to_vec(body),
            Self::State(body) => serde_json::to_vec(body),
        };
        json.expect("a report has only texts, numbers and times")
    }

    pub fn from_json(kind: &str, body: &[u8]) -> Result<Self, EventError> {
        fn read<T: DeserializeOwned>(kind: &'static str, body: &[u8]) -> Result<T, EventError> {
            serde_json::from_slice(body).map_err(|source| EventError::Body { kind, source })
        }
        match kind {
            Self::SUCCEEDED => read(Self::SUCCEEDED, body).map(Self::Succeeded),
            Self::POD_FAILED => read(Self::POD_FAILED, body).map(Self::PodFailed),
            Self::JOB_FAILED => read(Self::JOB_FAILED, body).map(Self::JobFailed),
            Self::STATE => read(Self::STATE, body).map(Self::State),
            other => Err(EventError::UnknownType(other.to_owned())),
        }
    }

    pub fn environment(&self) -> &str {
        match self {
            Self::Succeeded(body) => &body.environment,
            Self::PodFailed(body) => &body.environment,
            Self::JobFailed(body) => &body.environment,
            Self::State(body) => &body.environment,
        }
    }

    /// Empty for a state, which is of many.
    pub fn artifact_id(&self) -> &str {
        match self {
            Self::Succeeded(body) => &body.artifact_id,
            Self::PodFailed(body) => &body.artifact_id,
            Self::JobFailed(body) => &body.artifact_id,
            Self::State(_) => "",
        }
    }

    /// Reports with the same key are told and executed in order: a pod's failure and its workload's
    /// success must not change places.
    pub fn ordering_key(&self) -> String {
        // No environment is called so: its name would be empty.
        match self {
            Self::Succeeded(Succeeded { environment, namespace, artifact_id, .. })
            | Self::PodFailed(PodFailed { environment, namespace, artifact_id, .. })
            | Self::JobFailed(JobFailed { environment, namespace, artifact_id, .. }) => {
                format!("/{environment}/{namespace}/{artifact_id}")
            }
            Self::State(state) => format!("/{}", state.environment),
        }
    }
}

/// All replicas of a workload run an artifact.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Succeeded {
    /// Of the workload.
    pub name: String,
    pub namespace: String,
    /// `Deployment`, `StatefulSet` or `DaemonSet`.
    pub resource_type: String,
    pub available_pods: i32,
    /// How many there should be.
    pub replicas: i32,
    pub artifact_id: String,
    pub author_email: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub squad: String,
    pub environment: String,
}

/// Containers of a pod do not run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodFailed {
    pub pod_name: String,
    pub namespace: String,
    pub errors: Vec<ContainerError>,
    pub author_email: String,
    pub environment: String,
    pub artifact_id: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub squad: String,
    /// The channel to alert; none when empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub alert_squad: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerError {
    /// Of the container.
    pub name: String,
    /// Its own words, for instance the last lines of its log.
    pub message: String,
    /// Such as `CrashLoopBackOff`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// A job has failed for good.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobFailed {
    pub job_name: String,
    pub namespace: String,
    pub errors: Vec<ConditionError>,
    pub author_email: String,
    pub environment: String,
    pub artifact_id: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub squad: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConditionError {
    pub reason: String,
    pub message: String,
}

/// The managed workloads of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterState {
    pub environment: String,
    pub observed_at: DateTime<Utc>,
    /// Whether these are all; else only those that changed, and [`ClusterState::gone`].
    pub is_complete: bool,
    pub workloads: Vec<Workload>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<WorkloadId>,
    /// Always all of them: what brings the config repository into the cluster.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub appliers: Vec<Applier>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WorkloadId {
    /// `Deployment`, `StatefulSet`, `DaemonSet` or `Job`.
    pub kind: String,
    pub namespace: String,
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Workload {
    #[serde(flatten)]
    pub id: WorkloadId,
    pub artifact_id: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub squad: String,
    /// Of its containers, in their order, init containers first.
    pub images: Vec<String>,
    /// Replicas that there should be.
    pub desired: i32,
    /// Replicas of the newest version that are available.
    pub available: i32,
    pub phase: Phase,
    /// When it came into this phase, as far as the daemon knows.
    pub since: DateTime<Utc>,
    /// The first error, in the cluster's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    Progressing,
    Healthy,
    Failed,
}

/// An Argo CD `Application`, or a Flux `Kustomization` or `HelmRelease`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Applier {
    #[serde(flatten)]
    pub id: WorkloadId,
    /// The commit that it has applied last, where it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    pub phase: Phase,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_by_its_type_name() {
        let report = Report::JobFailed(JobFailed { job_name: "migrate".into(), ..JobFailed::default() });
        assert_eq!(Report::from_json(report.kind(), &report.to_json()).unwrap(), report);
        assert!(Report::from_json("rollout.else", b"{}").is_err());
        assert!(Report::from_json(Report::STATE, b"{}").is_err());
    }

    #[test]
    fn a_pods_failure_and_its_workloads_success_stay_in_order() {
        let (environment, namespace, artifact_id) = ("dev".to_owned(), "shop".to_owned(), "m-1".to_owned());
        let failed = Report::PodFailed(PodFailed {
            pod_name: "api-7d-x".into(),
            environment: environment.clone(),
            namespace: namespace.clone(),
            artifact_id: artifact_id.clone(),
            ..PodFailed::default()
        });
        let succeeded = Report::Succeeded(Succeeded {
            name: "api".into(),
            environment,
            namespace,
            artifact_id,
            ..Succeeded::default()
        });
        assert_eq!(failed.ordering_key(), "/dev/shop/m-1");
        assert_eq!(succeeded.ordering_key(), failed.ordering_key());
    }

    /// What the field's daemon sends.
    #[test]
    fn happenings_have_the_fields_names() {
        let succeeded = Succeeded {
            name: "svc".into(),
            namespace: "dev".into(),
            resource_type: "Deployment".into(),
            available_pods: 2,
            replicas: 2,
            artifact_id: "master-1-2".into(),
            author_email: "j@x.io".into(),
            squad: String::new(),
            environment: "dev".into(),
        };
        assert_eq!(
            serde_json::to_string(&succeeded).unwrap(),
            r#"{"name":"svc","namespace":"dev","resourceType":"Deployment","availablePods":2,"replicas":2,"artifactId":"master-1-2","authorEmail":"j@x.io","environment":"dev"}"#
        );
        let failed = PodFailed {
            pod_name: "svc-1".into(),
            namespace: "dev".into(),
            errors: vec![ContainerError {
                name: "svc".into(),
                message: "panic".into(),
                kind: "CrashLoopBackOff".into(),
            }],
            author_email: "j@x.io".into(),
            environment: "dev".into(),
            artifact_id: "master-1-2".into(),
            squad: "aura".into(),
            alert_squad: "#squad-aura-alerts".into(),
        };
        assert_eq!(
            serde_json::to_string(&failed).unwrap(),
            r##"{"podName":"svc-1","namespace":"dev","errors":[{"name":"svc","message":"panic","type":"CrashLoopBackOff"}],"authorEmail":"j@x.io","environment":"dev","artifactId":"master-1-2","squad":"aura","alertSquad":"#squad-aura-alerts"}"##
        );
        let job = JobFailed {
            job_name: "migrate".into(),
            namespace: "dev".into(),
            errors: vec![ConditionError { reason: "BackoffLimitExceeded".into(), message: "gave up".into() }],
            author_email: "j@x.io".into(),
            environment: "dev".into(),
            artifact_id: "master-1-2".into(),
            squad: String::new(),
        };
        assert_eq!(
            serde_json::to_string(&job).unwrap(),
            r#"{"jobName":"migrate","namespace":"dev","errors":[{"reason":"BackoffLimitExceeded","message":"gave up"}],"authorEmail":"j@x.io","environment":"dev","artifactId":"master-1-2"}"#
        );
    }
}

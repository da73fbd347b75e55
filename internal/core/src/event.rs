//! What the server has accepted and still has to do. The JSON bodies and the
//! type names are shared with other systems on the same broker.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    Intent, Name, Person,
    rollout::{ConditionError, ContainerError, JobFailed, PodFailed, Report, Succeeded},
};

/// An accepted event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Release(Release),
    NewArtifact(NewArtifact),
    /// What a daemon told.
    Rollout(Report),
}

/// An artifact was stored: `newArtifact`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewArtifact {
    pub service: Name,
    pub artifact_id: Name,
}

/// Put one artifact into one environment: `release.artifactId`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// Identifies the release from accept to commit. Not in the body: it is the
    /// id of the message.
    #[serde(skip)]
    pub release_id: Uuid,
    pub service: Name,
    pub environment: Name,
    pub namespace: Name,
    #[serde(rename = "artifactID")]
    pub artifact_id: Name,
    #[serde(default)]
    pub branch: String,
    pub actor: Person,
    pub intent: Intent,
    pub enqueued_at: DateTime<Utc>,
}

/// A release is on the remote: `released`. Told to other systems, never executed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Released<'a> {
    /// The service.
    pub name: &'a str,
    pub namespace: &'a str,
    pub artifact_id: &'a str,
    /// Of the change that was built, as are name and squad.
    pub author_email: &'a str,
    pub author_name: &'a str,
    pub squad: &'a str,
    pub environment: &'a str,
    pub intent_type: &'a str,
}

impl Released<'_> {
    pub const KIND: &'static str = "released";

    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("it has only texts")
    }
}

/// All replicas of a workload run an artifact: `releaseSucceeded`. For other systems.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseSucceeded<'a> {
    /// The workload.
    pub name: &'a str,
    pub namespace: &'a str,
    pub resource_type: &'a str,
    pub available_pods: i32,
    pub desired_pods: i32,
    pub artifact_id: &'a str,
    pub author_email: &'a str,
    pub environment: &'a str,
}

/// A pod or a job fails: `releaseFailed`. For other systems.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseFailed<'a> {
    /// Of the pod, or of the job.
    pub pod_name: &'a str,
    pub namespace: &'a str,
    pub errors: Vec<ContainerError>,
    pub author_email: &'a str,
    pub environment: &'a str,
    pub artifact_id: &'a str,
    pub squad: &'a str,
    pub alert_squad: &'a str,
}

/// What other systems are told of a report: the type and the body. `None` for a state.
pub fn rollout_announcement(report: &Report) -> Option<(&'static str, Vec<u8>)> {
    Some(match report {
        Report::Succeeded(body) => (ReleaseSucceeded::KIND, ReleaseSucceeded::of(body).to_json()),
        Report::PodFailed(body) => (ReleaseFailed::KIND, ReleaseFailed::of_pod(body).to_json()),
        Report::JobFailed(body) => (ReleaseFailed::KIND, ReleaseFailed::of_job(body).to_json()),
        Report::State(_) => return None,
    })
}

impl<'a> ReleaseSucceeded<'a> {
    pub const KIND: &'static str = "releaseSucceeded";

    fn of(report: &'a Succeeded) -> Self {
        Self {
            name: &report.name,
            namespace: &report.namespace,
            resource_type: &report.resource_type,
            available_pods: report.available_pods,
            desired_pods: report.replicas,
            artifact_id: &report.artifact_id,
            author_email: &report.author_email,
            environment: &report.environment,
        }
    }

    fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("it has only texts and numbers")
    }
}

impl<'a> ReleaseFailed<'a> {
    pub const KIND: &'static str = "releaseFailed";

    fn of_pod(report: &'a PodFailed) -> Self {
        Self {
            pod_name: &report.pod_name,
            namespace: &report.namespace,
            errors: report.errors.clone(),
            author_email: &report.author_email,
            environment: &report.environment,
            artifact_id: &report.artifact_id,
            squad: &report.squad,
            alert_squad: &report.alert_squad,
        }
    }

    /// A condition of the job stands where a pod has a container.
    fn of_job(report: &'a JobFailed) -> Self {
        let error = |error: &ConditionError| ContainerError {
            name: report.job_name.clone(),
            message: error.message.clone(),
            kind: error.reason.clone(),
        };
        Self {
            pod_name: &report.job_name,
            namespace: &report.namespace,
            errors: report.errors.iter().map(error).collect(),
            author_email: &report.author_email,
            environment: &report.environment,
            artifact_id: &report.artifact_id,
            squad: &report.squad,
            alert_squad: "",
        }
    }

    fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("it has only texts")
    }
}

/// Types that are for other systems. They pass by here, too, because the queue gets everything.
const ANNOUNCEMENTS: [&str; 3] = [Released::KIND, ReleaseSucceeded::KIND, ReleaseFailed::KIND];

/// Whether there is nothing to do for an event of this type.
pub fn is_announcement(kind: &str) -> bool {
    ANNOUNCEMENTS.contains(&kind)
}

/// Why a body is no event.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    #[error("unknown event type '{0}'")]
    UnknownType(String),
    #[error("the body of this {kind} event cannot be read")]
    Body { kind: &'static str, source: serde_json::Error },
}

impl Event {
    pub const RELEASE: &'static str = "release.artifactId";
    pub const NEW_ARTIFACT: &'static str = "newArtifact";

    /// The type name on the wire.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Release(_) => Self::RELEASE,
            Self::NewArtifact(_) => Self::NEW_ARTIFACT,
            Self::Rollout(report) => report.kind(),
        }
    }

    pub fn to_json(&self) -> Vec<u8> {
        let json = match self {
            Self::Release(release) => serde_json::to_vec(release),
            Self::NewArtifact(artifact) => serde_json::to_vec(artifact),
            Self::Rollout(report) => return report.to_json(),
        };
        json.expect("an event has only texts and times")
    }

    pub fn from_json(kind: &str, body: &[u8]) -> Result<Self, EventError> {
        let unreadable = |kind| move |source| EventError::Body { kind, source };
        match kind {
            Self::RELEASE => {
                serde_json::from_slice(body).map(Self::Release).map_err(unreadable(Self::RELEASE))
            }
            Self::NEW_ARTIFACT => {
                serde_json::from_slice(body).map(Self::NewArtifact).map_err(unreadable(Self::NEW_ARTIFACT))
            }
            other => Report::from_json(other, body).map(Self::Rollout),
        }
    }

    /// Events with the same key are executed one after the other, in the order
    /// in which they were accepted.
    pub fn ordering_key(&self) -> String {
        match self {
            Self::Release(release) => format!("{}/{}", release.environment, release.service),
            // No environment is called so: its name would be empty.
            Self::NewArtifact(artifact) => format!("/{}", artifact.service),
            Self::Rollout(report) => report.ordering_key(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the field's implementation puts on the queue.
    const FIELD: &str = r#"{"service":"svc","environment":"dev","namespace":"dev","artifactID":"master-1-2","branch":"master",
        "actor":{"Email":"j@x.io","Name":"Jane"},
        "intent":{"type":"ReleaseBranch","releaseBranch":{"branch":"master"},"promote":{},"rollback":{}},
        "enqueuedAt":"2026-01-02T03:04:05.678Z"}"#;

    #[test]
    fn reads_the_fields_form_and_writes_it_back() {
        let event = Event::from_json("release.artifactId", FIELD.as_bytes()).unwrap();
        let expected: serde_json::Value = serde_json::from_str(FIELD).unwrap();
        let written: serde_json::Value = serde_json::from_slice(&event.to_json()).unwrap();
        assert_eq!(written, expected);
        assert_eq!(event.ordering_key(), "dev/svc");
    }

    #[test]
    fn a_new_artifact_is_read_and_written() {
        const BODY: &str = r#"{"service":"svc","artifactId":"master-1-2"}"#;
        let event = Event::from_json("newArtifact", BODY.as_bytes()).unwrap();
        assert_eq!(event.kind(), "newArtifact");
        assert_eq!(event.to_json(), BODY.as_bytes());
        assert_eq!(event.ordering_key(), "/svc");
        assert!(Event::from_json("newArtifact", br#"{"service":"svc"}"#).is_err());
    }

    #[test]
    fn what_is_for_others_is_written_as_they_read_it_and_passed_over() {
        let released = Released {
            name: "svc",
            namespace: "dev",
            artifact_id: "master-1-2",
            author_email: "j@x.io",
            author_name: "Jane",
            squad: "aura",
            environment: "dev",
            intent_type: "Promote",
        };
        assert_eq!(
            String::from_utf8(released.to_json()).unwrap(),
            r#"{"name":"svc","namespace":"dev","artifactId":"master-1-2","authorEmail":"j@x.io","authorName":"Jane","squad":"aura","environment":"dev","intentType":"Promote"}"#
        );
        let report = Succeeded {
            name: "svc".into(),
            namespace: "dev".into(),
            resource_type: "Deployment".into(),
            available_pods: 2,
            replicas: 3,
            artifact_id: "master-1-2".into(),
            author_email: "j@x.io".into(),
            squad: "aura".into(),
            environment: "dev".into(),
        };
        let job = JobFailed {
            job_name: "migrate".into(),
            namespace: "dev".into(),
            errors: vec![ConditionError { reason: "Deadline".into(), message: "too slow".into() }],
            author_email: "j@x.io".into(),
            environment: "dev".into(),
            artifact_id: "master-1-2".into(),
            squad: "aura".into(),
        };
        for (report, kind, body) in [
            (
                Report::Succeeded(report),
                "releaseSucceeded",
                r#"{"name":"svc","namespace":"dev","resourceType":"Deployment","availablePods":2,"desiredPods":3,"artifactId":"master-1-2","authorEmail":"j@x.io","environment":"dev"}"#,
            ),
            (
                Report::JobFailed(job),
                "releaseFailed",
                r#"{"podName":"migrate","namespace":"dev","errors":[{"name":"migrate","message":"too slow","type":"Deadline"}],"authorEmail":"j@x.io","environment":"dev","artifactId":"master-1-2","squad":"aura","alertSquad":""}"#,
            ),
        ] {
            let (found, json) = rollout_announcement(&report).unwrap();
            assert_eq!((found, String::from_utf8(json).unwrap().as_str()), (kind, body));
        }
        for kind in ["released", "releaseSucceeded", "releaseFailed"] {
            assert!(is_announcement(kind), "{kind}");
        }
        assert!(!is_announcement(Event::RELEASE) && !is_announcement("") && !is_announcement("Released"));
    }

    #[test]
    fn what_is_no_event_says_why() {
        let error = Event::from_json("nonsense", b"{}").unwrap_err();
        assert_eq!(error.to_string(), "unknown event type 'nonsense'");
        assert!(Event::from_json("release.artifactId", b"{}").is_err());
        let path_trick = FIELD.replace("\"svc\"", "\"../svc\"");
        assert!(Event::from_json("release.artifactId", path_trick.as_bytes()).is_err());
    }
}

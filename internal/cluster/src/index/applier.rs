//! What brings the config repository into the cluster: Argo CD and Flux.

use release_core::rollout::Phase;
use serde::Deserialize;

use crate::slim::{Condition, Nothing, Slim, or_default};

/// The kinds of appliers that are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum ApplierKind {
    /// Of Argo CD.
    Application,
    /// Of Flux.
    Kustomization,
    /// Of Flux.
    HelmRelease,
}

impl ApplierKind {
    pub(crate) const ALL: [Self; 3] = [Self::Application, Self::Kustomization, Self::HelmRelease];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Application => "Application",
            Self::Kustomization => "Kustomization",
            Self::HelmRelease => "HelmRelease",
        }
    }
}

/// One of them: what each of them says is in a field of its own.
pub(crate) type ApplierObject = Slim<Nothing, ApplierStatus>;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ApplierStatus {
    #[serde(deserialize_with = "or_default")]
    conditions: Vec<Condition>,
    // Argo CD
    #[serde(deserialize_with = "or_default")]
    health: Health,
    #[serde(deserialize_with = "or_default")]
    sync: Sync,
    #[serde(deserialize_with = "or_default")]
    operation_state: Operation,
    // Flux
    observed_generation: i64,
    #[serde(deserialize_with = "or_default")]
    last_applied_revision: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Health {
    status: String,
    message: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Sync {
    status: String,
    revision: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Operation {
    phase: String,
    message: String,
}

/// What an applier says of itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Applied {
    pub(crate) commit: Option<String>,
    pub(crate) phase: Phase,
    pub(crate) message: Option<String>,
}

pub(crate) fn applied(kind: ApplierKind, object: &ApplierObject) -> Applied {
    match kind {
        ApplierKind::Application => of_argo(&object.status),
        ApplierKind::Kustomization => {
            Applied { commit: commit(&object.status.last_applied_revision), ..of_flux(object) }
        }
        // Its revision is the chart's version.
        ApplierKind::HelmRelease => of_flux(object),
    }
}

fn of_argo(status: &ApplierStatus) -> Applied {
    let operation = &status.operation_state;
    let (phase, message) = if matches!(operation.phase.as_str(), "Failed" | "Error") {
        (Phase::Failed, &operation.message)
    } else if status.health.status == "Degraded" {
        (Phase::Failed, &status.health.message)
    } else if status.health.status == "Healthy" && status.sync.status == "Synced" {
        (Phase::Healthy, &status.health.message)
    } else {
        (Phase::Progressing, &status.health.message)
    };
    let message = Some(message).filter(|message| !message.is_empty());
    let error = status.conditions.iter().find(|condition| condition.kind.ends_with("Error"));
    let message = message.or(error.map(|condition| &condition.message)).cloned();
    Applied { commit: commit(&status.sync.revision), phase, message }
}

fn of_flux(object: &ApplierObject) -> Applied {
    let status = &object.status;
    let ready = status.conditions.iter().find(|condition| condition.kind == "Ready");
    let is_observed = status.observed_generation >= object.metadata.generation.unwrap_or_default();
    let phase = match ready {
        Some(ready) if is_observed && ready.status == "True" => Phase::Healthy,
        Some(ready) if ready.status == "False" && ready.reason != "DependencyNotReady" => Phase::Failed,
        _ => Phase::Progressing,
    };
    let message = ready.map(|ready| ready.message.clone()).filter(|message| !message.is_empty());
    Applied { commit: None, phase, message }
}

/// Flux writes `main@sha1:<commit>`, or `main/<commit>` where it is older.
fn commit(revision: &str) -> Option<String> {
    let commit = revision.rsplit([':', '/']).next().unwrap_or_default();
    let is_commit = matches!(commit.len(), 40 | 64) && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_commit.then(|| commit.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::index::tests::object;

    const COMMIT: &str = "0123456789012345678901234567890123456789";

    #[expect(clippy::needless_pass_by_value, reason = "json! is the argument")]
    fn read(kind: ApplierKind, status: Value) -> (Phase, Option<String>, Option<String>) {
        let applied = applied(kind, &object(json!({"metadata": {"generation": 2}, "status": status})));
        (applied.phase, applied.commit, applied.message)
    }

    #[test]
    fn an_application_is_healthy_when_it_is_in_sync_too() {
        let status = |health: &str, sync: &str, operation: &str| {
            json!({"health": {"status": health, "message": "its health"}, "sync": {"status": sync, "revision": COMMIT},
                "operationState": {"phase": operation, "message": "the sync"}})
        };
        let cases = [
            ("Healthy", "Synced", "Succeeded", Phase::Healthy, "its health"),
            ("Healthy", "OutOfSync", "Running", Phase::Progressing, "its health"),
            ("Progressing", "Synced", "Succeeded", Phase::Progressing, "its health"),
            ("Degraded", "Synced", "Succeeded", Phase::Failed, "its health"),
            ("Healthy", "OutOfSync", "Failed", Phase::Failed, "the sync"),
            ("Missing", "OutOfSync", "Error", Phase::Failed, "the sync"),
        ];
        for (health, sync, operation, phase, message) in cases {
            let expected = (phase, Some(COMMIT.to_owned()), Some(message.to_owned()));
            let found = read(ApplierKind::Application, status(health, sync, operation));
            assert_eq!(found, expected, "{health} {sync} {operation}");
        }
        let broken = json!({"conditions": [{"type": "ComparisonError", "message": "no such path"}]});
        let expected = (Phase::Progressing, None, Some("no such path".to_owned()));
        assert_eq!(read(ApplierKind::Application, broken), expected);
    }

    #[test]
    fn flux_is_as_its_ready_condition_says() {
        let status = |observed: i64, ready: &str, reason: &str| {
            json!({"observedGeneration": observed, "lastAppliedRevision": format!("main@sha1:{COMMIT}"),
                "conditions": [{"type": "Ready", "status": ready, "reason": reason, "message": "words"}]})
        };
        let cases = [
            (2, "True", "ReconciliationSucceeded", Phase::Healthy),
            (1, "True", "ReconciliationSucceeded", Phase::Progressing),
            (2, "False", "BuildFailed", Phase::Failed),
            (2, "False", "DependencyNotReady", Phase::Progressing),
            (2, "Unknown", "Progressing", Phase::Progressing),
        ];
        for (observed, ready, reason, phase) in cases {
            let found = read(ApplierKind::Kustomization, status(observed, ready, reason));
            assert_eq!(found, (phase, Some(COMMIT.to_owned()), Some("words".to_owned())), "{reason}");
            let helm = read(ApplierKind::HelmRelease, status(observed, ready, reason));
            assert_eq!(helm, (phase, None, Some("words".to_owned())), "{reason}");
        }
        assert_eq!(read(ApplierKind::Kustomization, json!({})), (Phase::Progressing, None, None));
    }

    #[test]
    fn only_a_commit_is_taken_for_one() {
        let cases = [
            (COMMIT.to_owned(), true),
            (format!("main/{COMMIT}"), true),
            (format!("main@sha1:{COMMIT}"), true),
            ("1.2.3".to_owned(), false),
            (format!("{COMMIT}0"), false),
            (String::new(), false),
        ];
        for (revision, expected) in cases {
            assert_eq!(commit(&revision).is_some(), expected, "{revision}");
        }
    }
}

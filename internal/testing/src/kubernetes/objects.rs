//! Objects as controllers and kubelets leave them, with what makes them releases.

use serde_json::{Value, json};

/// The e-mail address that is in the annotations.
pub const AUTHOR: &str = "jane@example.com";

/// What makes an object one of a release.
pub fn annotations(artifact_id: &str) -> Value {
    json!({
        "lunarway.com/controlled-by-release-manager": "true",
        "lunarway.com/artifact-id": artifact_id,
        "lunarway.com/author": AUTHOR,
    })
}

fn workload(kind: &str, namespace: &str, name: &str, artifact_id: &str, spec: &Value) -> Value {
    let api_version = if kind == "Job" { "batch/v1" } else { "apps/v1" };
    json!({
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"app": name, "squad": "aura"},
            "annotations": annotations(artifact_id),
        },
        "spec": spec,
        "status": {},
    })
}

fn template(name: &str, artifact_id: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": name, "squad": "aura"}, "annotations": annotations(artifact_id)},
        "spec": {"containers": [{"name": name, "image": format!("example.com/{name}:{artifact_id}")}]},
    })
}

/// That no controller has looked at yet.
pub fn deployment(namespace: &str, name: &str, artifact_id: &str, replicas: u32) -> Value {
    let selector = json!({"matchLabels": {"app": name}});
    let spec = json!({"replicas": replicas, "selector": selector, "template": template(name, artifact_id)});
    workload("Deployment", namespace, name, artifact_id, &spec)
}

pub fn stateful_set(namespace: &str, name: &str, artifact_id: &str, replicas: u32) -> Value {
    let selector = json!({"matchLabels": {"app": name}});
    let spec = json!({
        "replicas": replicas, "serviceName": name, "selector": selector, "template": template(name, artifact_id),
    });
    workload("StatefulSet", namespace, name, artifact_id, &spec)
}

pub fn daemon_set(namespace: &str, name: &str, artifact_id: &str) -> Value {
    let selector = json!({"matchLabels": {"app": name}});
    let spec = json!({"selector": selector, "template": template(name, artifact_id)});
    workload("DaemonSet", namespace, name, artifact_id, &spec)
}

pub fn job(namespace: &str, name: &str, artifact_id: &str) -> Value {
    let mut template = template(name, artifact_id);
    template["spec"]["restartPolicy"] = json!("Never");
    workload("Job", namespace, name, artifact_id, &json!({"template": template, "backoffLimit": 0}))
}

/// Running, without trouble.
pub fn pod(namespace: &str, name: &str, artifact_id: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"app": name, "squad": "aura"},
            "annotations": annotations(artifact_id),
        },
        "spec": {"nodeName": "node-1", "containers": [{"name": "app", "image": "example.com/app"}]},
        "status": {
            "phase": "Running",
            "containerStatuses": [{
                "name": "app", "ready": true, "restartCount": 0, "image": "example.com/app", "imageID": "",
                "state": {"running": {"startedAt": "2026-11-21T10:00:00Z"}},
            }],
        },
    })
}

/// The next version of a workload: another artifact, which no controller has looked at yet.
pub fn release(object: &mut Value, artifact_id: &str) {
    for part in ["/metadata", "/spec/template/metadata"] {
        object.pointer_mut(part).expect("it is a workload")["annotations"]["lunarway.com/artifact-id"] =
            json!(artifact_id);
    }
    let name = object["metadata"]["name"].as_str().expect("it has a name").to_owned();
    object["spec"]["template"]["spec"]["containers"][0]["image"] =
        json!(format!("example.com/{name}:{artifact_id}"));
}

/// What the controller writes when all replicas of the newest version are there.
pub fn roll_out(object: &mut Value, replicas: u32) {
    // As it is when the store has written the object with this change.
    let generation = object["metadata"]["generation"].as_u64().unwrap_or(1);
    let status = match object["kind"].as_str() {
        Some("StatefulSet") => json!({
            "replicas": replicas, "readyReplicas": replicas, "currentReplicas": replicas,
            "updatedReplicas": replicas, "currentRevision": "new", "updateRevision": "new",
        }),
        Some("DaemonSet") => json!({
            "desiredNumberScheduled": replicas, "currentNumberScheduled": replicas, "numberReady": replicas,
            "numberAvailable": replicas, "updatedNumberScheduled": replicas, "numberMisscheduled": 0,
        }),
        _ => json!({
            "replicas": replicas, "readyReplicas": replicas, "availableReplicas": replicas,
            "updatedReplicas": replicas,
        }),
    };
    object["status"] = status;
    object["status"]["observedGeneration"] = json!(generation);
}

/// What the kubelet writes when the first container dies again and again.
pub fn crash(pod: &mut Value, restarts: u32) {
    let status = &mut pod["status"]["containerStatuses"][0];
    status["ready"] = json!(false);
    status["restartCount"] = json!(restarts);
    status["state"] =
        json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off restarting failed container"}});
    status["lastState"] = json!({"terminated": {
        "exitCode": 1, "reason": "Error", "startedAt": "2026-11-21T10:00:00Z", "finishedAt": "2026-11-21T10:00:01Z",
    }});
}

/// What the controller writes when a job is given up.
pub fn fail_job(job: &mut Value) {
    job["status"]["conditions"] = json!([{
        "type": "Failed", "status": "True", "reason": "BackoffLimitExceeded",
        "message": "Job has reached the specified backoff limit",
        "lastTransitionTime": "2026-11-21T10:00:00Z",
    }]);
}

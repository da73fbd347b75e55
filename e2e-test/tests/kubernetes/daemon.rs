//! The daemon with the rights that deploy/ gives it, among real controllers. The tests play
//! the kubelet: they write the status of pods.

use std::path::PathBuf;

use release_testing::{
    control_plane::ControlPlane,
    fake::{ReleaseServer, Report},
    kubernetes::objects,
};
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard, OnceCell};

use crate::{
    harness::{Daemon, LONG, until},
    manifests::{NAMESPACE, apply, kustomization},
};

const NODE: &str = "node-1";

/// A control plane that the tests use in turn, each in a namespace of its own: a daemon watches all of
/// them, and what one daemon has told, no other one tells.
struct Cluster {
    control_plane: ControlPlane,
    /// The daemon's service account, whose rights are those in deploy/.
    kubeconfig: PathBuf,
}

impl Cluster {
    async fn mine() -> MutexGuard<'static, Self> {
        static SHARED: OnceCell<Mutex<Cluster>> = OnceCell::const_new();
        SHARED.get_or_init(async || Mutex::new(Self::start().await)).await.lock().await
    }

    async fn start() -> Self {
        let control_plane = ControlPlane::start().await;
        control_plane.create_namespace(NAMESPACE).await;
        apply(&control_plane, &kustomization("daemon").await, &[]).await;
        // Its pods would be told of; here the daemon is not in the cluster.
        control_plane
            .delete(&format!("apis/apps/v1/namespaces/{NAMESPACE}/deployments/release-daemon"))
            .await;
        let kubeconfig = control_plane.account_kubeconfig(NAMESPACE, "release-daemon").await;
        let ready = json!({"type": "Ready", "status": "True", "reason": "KubeletReady"});
        let node = json!({"metadata": {"name": NODE}, "status": {"conditions": [ready]}});
        control_plane.create("api/v1/nodes", &node).await;
        Self { control_plane, kubeconfig }
    }

    async fn create(&self, plural: &str, object: &Value) {
        let namespace = object["metadata"]["namespace"].as_str().expect("a namespace");
        let api_version = object["apiVersion"].as_str().expect("a version");
        self.control_plane
            .create(&format!("apis/{api_version}/namespaces/{namespace}/{plural}"), object)
            .await;
    }

    /// What the controllers made of a workload, when there are so many.
    async fn pods(&self, namespace: &str, app: &str, count: usize) -> Vec<String> {
        let path = format!("api/v1/namespaces/{namespace}/pods?labelSelector=app={app}");
        until(&format!("{app} has {count} pods"), LONG, async || {
            let pods = self.control_plane.get(&path).await;
            let pods = pods["items"].as_array().expect("a list");
            let names = pods.iter().map(|pod| pod["metadata"]["name"].as_str().expect("a name").to_owned());
            (pods.len() == count).then(|| names.collect())
        })
        .await
    }

    async fn set_pod(&self, namespace: &str, pod: &str, status: &Value) {
        let path = format!("api/v1/namespaces/{namespace}/pods/{pod}/status");
        self.control_plane.patch(&path, &json!({ "status": status })).await;
    }

    /// As the scheduler does.
    async fn bind(&self, namespace: &str, pod: &str) {
        let path = format!("api/v1/namespaces/{namespace}/pods/{pod}/binding");
        let target = json!({"kind": "Node", "name": NODE});
        self.control_plane.create(&path, &json!({"metadata": {"name": pod}, "target": target})).await;
    }

    /// As the kubelet does when its containers run.
    async fn run_pods(&self, namespace: &str, app: &str, count: usize) {
        for pod in self.pods(namespace, app, count).await {
            self.set_pod(namespace, &pod, &running()).await;
        }
    }

    /// `path` is of a workload.
    async fn is_observed(&self, path: &str, artifact_id: &str) {
        until(&format!("{path} is noted as told"), LONG, async || {
            let object = self.control_plane.get(path).await;
            let observed = &object["metadata"]["annotations"]["lunarway.com/observed-artifact-id"];
            (observed == artifact_id).then_some(())
        })
        .await;
    }
}

fn running() -> Value {
    json!({
        "phase": "Running",
        "conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"},
            {"type": "ContainersReady", "status": "True"},
        ],
    })
}

/// Those that are about a namespace.
fn of(namespace: &str, effects: Vec<Report>) -> Vec<Report> {
    effects.into_iter().filter(|report| report.body["namespace"] == namespace).collect()
}

async fn told(server: &ReleaseServer, namespace: &str, count: usize) -> Vec<Report> {
    until(&format!("{count} reports about {namespace}"), LONG, async || {
        let effects = of(namespace, server.effects());
        assert!(effects.len() <= count, "{effects:#?}");
        (effects.len() == count).then_some(effects)
    })
    .await
}

#[tokio::test]
async fn rollouts_of_all_kinds_are_told_once_and_noted() {
    let cluster = Cluster::mine().await;
    let namespace = cluster.control_plane.create_namespace("rollouts").await;
    let server = ReleaseServer::start().await;
    let daemon = Daemon::start(&cluster.kubeconfig, &server.url(), &[]);
    cluster.create("deployments", &objects::deployment(namespace, "svc", "a-1", 2)).await;
    cluster.create("statefulsets", &objects::stateful_set(namespace, "store", "a-1", 1)).await;
    cluster.run_pods(namespace, "svc", 2).await;
    cluster.run_pods(namespace, "store", 1).await;
    let mut reports = told(&server, namespace, 2).await;
    reports.sort_by_key(|report| report.body["name"].to_string());
    let expected = json!({
        "name": "svc", "namespace": namespace, "resourceType": "Deployment", "availablePods": 2, "replicas": 2,
        "artifactId": "a-1", "authorEmail": objects::AUTHOR, "squad": "aura", "environment": "dev",
    });
    assert_eq!(reports[1].body, expected);
    assert_eq!(reports[0].body["resourceType"], "StatefulSet");
    cluster.is_observed(&format!("apis/apps/v1/namespaces/{namespace}/deployments/svc"), "a-1").await;
    cluster.is_observed(&format!("apis/apps/v1/namespaces/{namespace}/statefulsets/store"), "a-1").await;
    told(&server, namespace, 2).await;
    daemon.ready().await;
}

#[tokio::test]
async fn a_daemon_set_is_told_when_its_nodes_run_it() {
    let cluster = Cluster::mine().await;
    let namespace = cluster.control_plane.create_namespace("daemon-sets").await;
    let server = ReleaseServer::start().await;
    let _daemon = Daemon::start(&cluster.kubeconfig, &server.url(), &[]);
    cluster.create("daemonsets", &objects::daemon_set(namespace, "agent", "a-1")).await;
    cluster.run_pods(namespace, "agent", 1).await;
    let path = format!("apis/apps/v1/namespaces/{namespace}/daemonsets/agent");
    let reports = told(&server, namespace, 1).await;
    assert_eq!(reports[0].body["resourceType"], "DaemonSet");
    cluster.is_observed(&path, "a-1").await;
}

#[tokio::test]
async fn a_job_that_fails_and_a_pod_that_crashes_are_told() {
    let cluster = Cluster::mine().await;
    let namespace = cluster.control_plane.create_namespace("failures").await;
    let server = ReleaseServer::start().await;
    let _daemon = Daemon::start(&cluster.kubeconfig, &server.url(), &[]);
    cluster.create("jobs", &objects::job(namespace, "migrate", "a-1")).await;
    let pods = cluster.pods(namespace, "migrate", 1).await;
    cluster.set_pod(namespace, &pods[0], &json!({"phase": "Failed"})).await;
    let reports = told(&server, namespace, 1).await;
    assert_eq!((reports[0].kind.as_str(), &reports[0].body["jobName"]), ("joberror", &json!("migrate")));
    assert_eq!(reports[0].body["errors"][0]["reason"], "BackoffLimitExceeded");
    cluster.is_observed(&format!("apis/batch/v1/namespaces/{namespace}/jobs/migrate"), "a-1").await;

    cluster.create("deployments", &objects::deployment(namespace, "svc", "a-1", 1)).await;
    let pods = cluster.pods(namespace, "svc", 1).await;
    cluster.bind(namespace, &pods[0]).await;
    let waiting = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}});
    let container = json!({"name": "svc", "ready": false, "restartCount": 1, "image": "x", "imageID": "", "state": waiting});
    cluster
        .set_pod(namespace, &pods[0], &json!({"phase": "Running", "containerStatuses": [container]}))
        .await;
    let reports = told(&server, namespace, 2).await;
    assert_eq!(reports[1].kind, "error");
    let error = &reports[1].body["errors"][0];
    assert_eq!((&error["name"], &error["type"]), (&json!("svc"), &json!("CrashLoopBackOff")));
    // There is no kubelet to ask for the log, and the report says so.
    assert!(error["message"].as_str().is_some_and(|message| message.contains("log")), "{error}");
}

#[tokio::test]
async fn a_rollout_that_ends_while_the_daemon_restarts_is_told_once() {
    let cluster = Cluster::mine().await;
    let namespace = cluster.control_plane.create_namespace("restarts").await;
    let server = ReleaseServer::start().await;
    let mut daemon = Daemon::start(&cluster.kubeconfig, &server.url(), &[]);
    cluster.create("deployments", &objects::deployment(namespace, "svc", "a-1", 1)).await;
    cluster.pods(namespace, "svc", 1).await;
    daemon.kill();
    cluster.run_pods(namespace, "svc", 1).await;
    daemon.restart();
    told(&server, namespace, 1).await;
    cluster.is_observed(&format!("apis/apps/v1/namespaces/{namespace}/deployments/svc"), "a-1").await;
    assert!(daemon.terminate().await.success());
    daemon.restart();
    cluster.create("deployments", &objects::deployment(namespace, "other", "a-1", 1)).await;
    cluster.run_pods(namespace, "other", 1).await;
    let reports = told(&server, namespace, 2).await;
    assert_eq!(reports[1].body["name"], "other");
}

/// The only one with a lease: its name is the same for all.
#[tokio::test]
async fn of_two_daemons_one_tells_and_the_other_takes_over() {
    let cluster = Cluster::mine().await;
    let namespace = cluster.control_plane.create_namespace("leaders").await;
    let servers = [ReleaseServer::start().await, ReleaseServer::start().await];
    let start =
        |server: &ReleaseServer| Daemon::start(&cluster.kubeconfig, &server.url(), &["--leader-election"]);
    let mut first = start(&servers[0]);
    leads(&first).await;
    let mut second = start(&servers[1]);
    second.ready().await;
    cluster.create("deployments", &objects::deployment(namespace, "svc", "a-1", 1)).await;
    cluster.run_pods(namespace, "svc", 1).await;
    told(&servers[0], namespace, 1).await;
    cluster.is_observed(&format!("apis/apps/v1/namespaces/{namespace}/deployments/svc"), "a-1").await;
    assert_eq!(second.metric("daemon_leader").await, Some(0));

    // Killed, it cannot give the lease back.
    first.kill();
    cluster.create("deployments", &objects::deployment(namespace, "next", "a-1", 1)).await;
    cluster.run_pods(namespace, "next", 1).await;
    let reports = told(&servers[1], namespace, 1).await;
    assert_eq!(reports[0].body["name"], "next", "the other one was noted");
    first.restart();
    assert!(second.terminate().await.success());
    leads(&first).await;
}

async fn leads(daemon: &Daemon) {
    until("it has the lease", LONG, async || (daemon.metric("daemon_leader").await == Some(1)).then_some(()))
        .await;
}

//! A release server and an API server in one, for tests: it remembers what it was asked, and answers as told.

use std::{
    fs,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{self, Body},
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use clap::Parser;
use release_cluster::{Annotations, Cluster, Happening, Observation, Rules};
use release_core::rollout::{PodFailed, Report, Succeeded, WorkloadId};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{delivery::Delivery, flags::StartFlags, health::Health, spool::Spool, target::Target};

/// For what takes milliseconds on an idle machine.
const LONG: Duration = Duration::from_mins(2);

#[derive(Parser)]
pub(crate) struct Start {
    #[command(flatten)]
    pub(crate) flags: StartFlags,
}

type Answers = Box<dyn Fn(&Asked) -> u16 + Send>;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Asked {
    /// `POST /path`
    pub(crate) line: String,
    /// The idempotency key.
    pub(crate) id: String,
    pub(crate) body: Value,
}

pub(crate) struct World {
    directory: TempDir,
    url: String,
    shared: Arc<Shared>,
    pub(crate) health: Health,
    pub(crate) metrics: release_telemetry::DaemonMetrics,
}

struct Shared {
    asked: Mutex<Vec<Asked>>,
    answers: Mutex<Answers>,
    deployments: Mutex<Vec<Value>>,
}

impl World {
    pub(crate) async fn new() -> Self {
        let shared = Arc::new(Shared {
            asked: Mutex::default(),
            answers: Mutex::new(Box::new(|_| 200)),
            deployments: Mutex::default(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let directory = tempfile::tempdir().unwrap();
        Self {
            directory,
            url,
            shared,
            health: Health::default(),
            metrics: release_telemetry::DaemonMetrics::new(),
        }
    }

    /// From now on.
    pub(crate) fn answer(&self, answers: impl Fn(&Asked) -> u16 + Send + 'static) {
        *self.shared.answers.lock().unwrap() = Box::new(answers);
    }

    pub(crate) fn has_deployment(&self, deployment: Value) {
        self.shared.deployments.lock().unwrap().push(deployment);
    }

    /// What changed something, here or there.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }

    pub(crate) fn flags(&self, more: &[&str]) -> StartFlags {
        let given =
            ["start", "--environment=prod", "--auth-token=hunter2", "--release-manager-url", &self.url];
        Start::try_parse_from(given.iter().chain(more)).ok().unwrap().flags
    }

    pub(crate) async fn cluster(&self) -> Cluster {
        let path = self.directory.path().join("kubeconfig");
        let kubeconfig = json!({"apiVersion": "v1", "kind": "Config", "current-context": "x",
            "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
            "clusters": [{"name": "x", "cluster": {"server": self.url}}], "users": [{"name": "x", "user": {}}]});
        fs::write(&path, kubeconfig.to_string()).unwrap();
        let client = release_cluster::connect(Some(&path)).await.unwrap();
        let rules = Rules {
            environment: "prod".into(),
            annotations: Annotations::new("lunarway.com"),
            crash_modulo: 5,
        };
        Cluster::new(client, rules, Arc::new(|_| {}))
    }

    /// What waits from an earlier spool is in it.
    pub(crate) fn spool(&self) -> Arc<Spool> {
        Arc::new(Spool::open(self.directory.path()).unwrap())
    }

    pub(crate) async fn delivery(&self, spool: &Arc<Spool>, stop: &CancellationToken) -> Delivery {
        let target = Arc::new(Target::open(&self.flags(&[])).unwrap());
        let (health, metrics) = (self.health.clone(), self.metrics.clone());
        Delivery::new(Arc::clone(spool), target, self.cluster().await, health, metrics, stop.clone())
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let path = head.uri.path();
    if head.method == "GET" {
        return look(&shared, path, head.uri.query().unwrap_or_default());
    }
    let body = body::to_bytes(body, usize::MAX).await.unwrap();
    let asked = Asked {
        line: format!("{} {path}", head.method),
        id: head.headers.get("idempotency-key").map_or("", |id| id.to_str().unwrap()).to_owned(),
        body: serde_json::from_slice(&body).unwrap(),
    };
    let status = (shared.answers.lock().unwrap())(&asked);
    shared.asked.lock().unwrap().push(asked);
    if head.method == "PATCH" && status == 200 {
        return respond(status, &json!({"metadata": {"name": "x"}}));
    }
    respond(status, &json!({"status": status, "message": "as told"}))
}

/// Lists have what there is; watches say nothing.
fn look(shared: &Shared, path: &str, query: &str) -> Response {
    if query.contains("watch=true") {
        return Response::new(Body::from_stream(futures::stream::pending::<Result<&str, std::io::Error>>()));
    }
    let items =
        if path.ends_with("/deployments") { shared.deployments.lock().unwrap().clone() } else { Vec::new() };
    respond(
        200,
        &json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items}),
    )
}

fn respond(status: u16, body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !is_so().await {
        assert!(started.elapsed() < LONG, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) fn succeeded(number: u128, name: &str) -> Happening {
    let workload = WorkloadId { kind: "Deployment".into(), namespace: "dev".into(), name: name.to_owned() };
    let report = Succeeded {
        name: name.to_owned(),
        namespace: "dev".into(),
        resource_type: "Deployment".into(),
        artifact_id: format!("a-{number}"),
        ..Succeeded::default()
    };
    Happening {
        id: Uuid::from_u128(number),
        report: Report::Succeeded(report),
        observation: Some(Observation { workload, artifact_id: format!("a-{number}") }),
    }
}

pub(crate) fn pod_failed(number: u128, name: &str) -> Happening {
    let report = PodFailed { pod_name: name.to_owned(), namespace: "dev".into(), ..PodFailed::default() };
    Happening { id: Uuid::from_u128(number), report: Report::PodFailed(report), observation: None }
}

pub(crate) fn deployment(name: &str) -> Value {
    json!({"metadata": {"namespace": "dev", "name": name, "uid": name, "resourceVersion": "1", "annotations": {
            "lunarway.com/controlled-by-release-manager": "true", "lunarway.com/artifact-id": "a-1",
            "lunarway.com/author": "j@x.io"}},
        "spec": {"replicas": 1},
        "status": {"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}})
}

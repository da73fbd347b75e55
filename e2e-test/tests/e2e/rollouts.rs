//! What becomes of releases in their clusters. The tests tell it as daemons do, over HTTP.

use release_api::IDEMPOTENCY_KEY_HEADER;
use release_testing::origin::Origin;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    harness::{Audience, LONG, Order, Server, Setup, answer, until},
    walkthrough::Desk,
};

/// What a daemon posts when a rollout succeeds, a pod fails, or it tells what there is.
fn succeeded(artifact_id: &str) -> (&'static str, Value) {
    let body = json!({
        "name": "api", "namespace": "dev", "resourceType": "Deployment", "availablePods": 3, "replicas": 3,
        "artifactId": artifact_id, "authorEmail": "jane@example.com", "environment": "dev",
    });
    ("/webhook/daemon/k8s/deploy", body)
}

fn failed(artifact_id: &str) -> (&'static str, Value) {
    let body = json!({
        "podName": "api-7d9f-x2x1z", "namespace": "dev", "artifactId": artifact_id, "environment": "dev",
        "errors": [{"name": "api", "message": "no database", "type": "CrashLoopBackOff"}],
        "authorEmail": "jane@example.com", "squad": "aura", "alertSquad": "#squad-aura-alerts",
    });
    ("/webhook/daemon/k8s/error", body)
}

fn state(artifact_id: &str, available: u32, phase: &str) -> (&'static str, Value) {
    let body = json!({
        "environment": "dev", "observedAt": "2026-01-02T03:04:05Z", "isComplete": true,
        "workloads": [{
            "kind": "Deployment", "namespace": "dev", "name": "api", "artifactId": artifact_id,
            "images": ["api:1"], "desired": 3, "available": available, "phase": phase,
            "since": "2026-01-02T03:04:05Z",
        }],
    });
    ("/api/v1/cluster-state", body)
}

impl Server {
    async fn hears(&self, (path, body): (&str, Value), id: Option<Uuid>) {
        let mut request = self.caller(Audience::Daemon).request(Method::POST, path).json(&body);
        if let Some(id) = id {
            request = request.header(IDEMPOTENCY_KEY_HEADER, id.to_string());
        }
        let answer = answer(request).await.expect("an answer");
        assert_eq!((answer.status, &answer.body), (200, &json!({})), "{path}");
    }

    /// Of `api` in dev.
    async fn rollout(&self) -> Value {
        let status = self.get("/api/v1/status?service=api").await;
        assert_eq!(status.status, 200, "{status:?}");
        let environments = status.body["environments"].as_array().expect("a list").clone();
        let here = environments.into_iter().find(|one| one["name"] == "dev").expect("it is released to dev");
        here["rollout"].clone()
    }

    async fn is_in_state(&self, state: &str) {
        until(state, LONG, async || (self.rollout().await["state"] == state).then_some(())).await;
    }

    async fn runs(&self, artifact_id: &str) {
        let current = async || {
            let status = self.get("/status?service=api").await;
            (status.body["environments"][0]["tag"] == artifact_id).then_some(())
        };
        until(artifact_id, LONG, current).await;
    }
}

const RELEASE: &str = "hamctl release --service api --env dev --wait=healthy --artifact";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_is_waited_for_until_it_is_healthy_or_fails_with_the_pods_own_error() {
    let origin = Origin::new();
    let server = Server::start(&origin).await;
    let desk = Desk::at(&server);
    for id in ["master-1", "master-2"] {
        server.push_new("api", id).await;
    }
    let tell = async {
        server.runs("master-1").await;
        server.hears(state("master-1", 1, "progressing"), None).await;
        server.is_in_state("running").await;
        server.hears(state("master-1", 3, "healthy"), None).await;
    };
    let release = format!("{RELEASE} master-1");
    let (run, ()) = tokio::join!(desk.types(&release), tell);
    let shown = run.ok();
    assert!(shown.ends_with("[✓] Release of master-1 to dev is healthy 3/3\n"), "{shown}");
    let status = desk.types("hamctl status --service api").await.ok();
    assert!(status.contains("\n     healthy 3/3 since 2026-01-02 03:04:05\n"), "{status}");

    let tell = async {
        server.runs("master-2").await;
        server.hears(failed("master-2"), Some(Uuid::new_v4())).await;
    };
    let release = format!("{RELEASE} master-2");
    let (run, ()) = tokio::join!(desk.types(&release), tell);
    assert_eq!(run.code, Some(1), "{run:?}");
    let expected =
        "[X] Release of master-2 to dev failed in the cluster: api: CrashLoopBackOff: no database\n";
    assert!(run.stdout.ends_with(expected), "{run:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_for_a_release_is_told_that_another_replaced_it() {
    let origin = Origin::new();
    let server = Server::start(&origin).await;
    let desk = Desk::at(&server);
    for id in ["master-1", "master-2"] {
        server.push_new("api", id).await;
    }
    server.hears(state("master-0", 3, "healthy"), None).await;
    let replace = async {
        server.runs("master-1").await;
        server.accepted(&Order::new("api", "dev", "master-2")).await;
    };
    let release = format!("{RELEASE} master-1");
    let (run, ()) = tokio::join!(desk.types(&release), replace);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stdout.contains("was replaced by a later release, of master-2,"), "{run:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_became_of_a_release_survives_a_kill_and_reaches_another_server() {
    let origin = Origin::new();
    let flags = ["--git-poll-interval=1s"];
    let mut server = Server::start_with(&origin, &Setup { flags: &flags, ..Setup::default() }).await;
    let other = Server::start_with(&origin, &Setup { flags: &flags, ..Setup::default() }).await;
    server.push_new("api", "master-1").await;
    server.accepted(&Order::new("api", "dev", "master-1")).await;
    server.drained().await;
    let id = Uuid::new_v4();
    for _ in 0..3 {
        server.hears(failed("master-1"), Some(id)).await;
        server.drained().await;
    }
    server.kill();
    server.restart().await;
    let rollout = server.rollout().await;
    assert_eq!(
        (&rollout["state"], &rollout["error"]),
        (&json!("failed"), &json!("api: CrashLoopBackOff: no database"))
    );
    let noted = origin.git(&["notes", "--ref=rollouts", "show", &origin.head()]);
    assert_eq!(noted.lines().count(), 1, "{noted}");
    other.is_in_state("failed").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_software_is_delivered_is_known_from_releases_and_what_became_of_them() {
    let origin = Origin::new();
    let server = Server::start(&origin).await;
    let desk = Desk::at(&server);
    for id in ["master-1", "master-2"] {
        server.push_new("api", id).await;
    }
    let nothing = desk.types("hamctl metrics").await.ok();
    assert_eq!(nothing, "There were no releases in the last 30 days.\n");
    for (command, (path, body)) in [
        ("release --artifact master-1", succeeded("master-1")),
        ("release --artifact master-2", failed("master-2")),
        ("rollback", succeeded("master-1")),
    ] {
        desk.types(&format!("hamctl {command} --service api --env dev --wait")).await.ok();
        server.hears((path, body), Some(Uuid::new_v4())).await;
        server.drained().await;
    }
    let said = desk.types("hamctl metrics --env dev --days 7 --output json").await.ok();
    let told: Value = serde_json::from_str(&said).expect("JSON");
    let of_api = &told["services"][0];
    assert_eq!((&of_api["service"], &told["services"][1]), (&json!("api"), &Value::Null), "{said}");
    for figures in [of_api, &told["overall"]] {
        assert_eq!((&figures["deployments"], &figures["failures"]), (&json!(3), &json!(1)), "{said}");
        assert_eq!(figures["changeFailureRate"], 0.5, "{said}");
        assert!(figures["leadTimeSeconds"].is_u64() && figures["timeToRestoreSeconds"].is_u64(), "{said}");
    }
    let metrics = server.http.get(server.url("/metrics")).send().await.expect("an answer");
    let metrics = metrics.text().await.expect("a text");
    for (outcome, count) in [("healthy", 2), ("failed", 1)] {
        let name = "release_manager_rollout_duration_seconds_count";
        let line = format!("{name}{{environment=\"dev\",outcome=\"{outcome}\"}} {count}\n");
        assert!(metrics.contains(&line), "{line} is not in {metrics}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_of_the_field_is_understood_and_what_it_may_not_do_is_refused() {
    let origin = Origin::new();
    let server = Server::start(&origin).await;
    server.push_new("api", "master-1").await;
    server.accepted(&Order::new("api", "dev", "master-1")).await;
    server.drained().await;
    server.hears(failed("master-1"), None).await;
    server.is_in_state("failed").await;
    server.hears(succeeded("master-1"), None).await;
    server.is_in_state("healthy").await;

    let (path, body) = succeeded("master-1");
    for audience in [Audience::Hamctl, Audience::Artifact] {
        let request = server.caller(audience).request(Method::POST, path).json(&body);
        assert_eq!(answer(request).await.expect("an answer").status, 401, "{audience:?}");
    }
}

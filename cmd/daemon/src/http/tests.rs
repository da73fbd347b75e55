use axum::{body::Body, http::Request};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;
use crate::world::{World, deployment, pod_failed, until};

async fn ask(router: &Router, method: &str, path: &str, body: impl Into<Body>) -> (StatusCode, String) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(CONTENT_TYPE, "application/json")
        .body(body.into());
    let response = router.clone().oneshot(request.unwrap()).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

fn event(severity: &str, name: &str) -> String {
    json!({"involvedObject": {"kind": "Deployment", "namespace": "dev", "name": name}, "severity": severity,
        "message": "bad", "reason": "HealthCheckFailed"})
    .to_string()
}

#[tokio::test]
async fn an_alert_of_flux_about_one_of_our_objects_is_kept_and_everything_else_is_not() {
    let world = World::new().await;
    world.has_deployment(deployment("svc"));
    let (spool, cluster) = (world.spool(), world.cluster().await);
    let state = AppState::new(Arc::clone(&spool), world.health.clone(), world.metrics.clone());
    let router = router(state.clone());
    let alerts = "/webhook/flux2-alerts";
    let (status, _) = ask(&router, "POST", alerts, event("error", "svc")).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "it does not watch yet");

    state.watching(cluster.clone());
    let watching = cluster.clone();
    let (happenings, mut told) = tokio::sync::mpsc::channel(8);
    tokio::spawn(async move { watching.watch(happenings).await });
    until("the deployment is known", async || cluster.managed_workloads() == 1).await;
    assert_eq!(told.recv().await.unwrap().report.kind(), "rollout.succeeded");

    for (body, expected) in [
        (event("info", "svc"), StatusCode::OK),
        (event("error", "other"), StatusCode::OK),
        ("{".to_owned(), StatusCode::BAD_REQUEST),
        ("[]".to_owned(), StatusCode::UNPROCESSABLE_ENTITY),
        (r#"{"severity":"error"}"#.to_owned(), StatusCode::UNPROCESSABLE_ENTITY),
        (" ".repeat(MAX_BODY + 1), StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        let (status, answer) = ask(&router, "POST", alerts, body).await;
        assert_eq!(status, expected, "{answer}");
        assert!(serde_json::from_str::<Value>(&answer).is_ok(), "{answer}");
        assert_eq!(spool.counts().await.unwrap().pending, 0);
    }
    for _ in 0..2 {
        assert_eq!(ask(&router, "POST", alerts, event("error", "svc")).await.0, StatusCode::OK);
        assert_eq!(spool.counts().await.unwrap().pending, 1, "the same alert is one report");
    }
    let (status, text) = ask(&router, "GET", "/metrics", "").await;
    assert_eq!(status, StatusCode::OK);
    futures::future::join_all((2..=flux::MAX_WAITING).map(|number| {
        let spool = Arc::clone(&spool);
        async move { spool.keep(&pod_failed(number as u128, "a")).await.unwrap() }
    }))
    .await;
    let another = event("error", "svc").replace("bad", "worse");
    assert_eq!(ask(&router, "POST", alerts, another).await.0, StatusCode::SERVICE_UNAVAILABLE);
    for line in ["daemon_leader 1", "daemon_managed_workloads 1", "daemon_reports_waiting 1"] {
        assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
    }
}

#[tokio::test]
async fn ready_says_what_is_wrong_and_ping_does_not_mind() {
    let world = World::new().await;
    let state = AppState::new(world.spool(), world.health.clone(), world.metrics.clone());
    let router = router(state);
    assert_eq!(ask(&router, "GET", "/ready", "").await.0, StatusCode::OK, "a replica that waits is ready");
    let event = uuid::Uuid::nil();
    world.health.away(event, "nobody listens");
    let (status, body) = ask(&router, "GET", "/ready", "").await;
    assert_eq!(status, StatusCode::OK, "Flux can still tell it something");
    assert_eq!(
        body,
        r#"{"ready":true,"problems":["the server cannot be told of event 00000000-0000-0000-0000-000000000000: nobody listens"]}"#
    );
    assert_eq!(ask(&router, "GET", "/ping", "").await, (StatusCode::OK, "pong".to_owned()));
    world.health.well(event);
    assert_eq!(ask(&router, "GET", "/ready", "").await.1, r#"{"ready":true,"problems":[]}"#);
}

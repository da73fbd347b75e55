//! A daemon that tells over RabbitMQ, and who else hears of it.

use release_testing::{origin::Origin, rabbitmq::RabbitMq};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    flags,
    peer::{Peer, message},
    server,
};
use crate::harness::{LONG, Order, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_daemon_tells_over_rabbitmq_counts_once_and_is_announced() {
    let origin = Origin::new();
    let rabbitmq = RabbitMq::shared().await;
    let virtual_host = rabbitmq.virtual_host().await;
    let server = server(&origin, &flags(rabbitmq.port(), &virtual_host), None).await;
    server.push_new("api", "master-1").await;
    server.accepted(&Order::new("api", "dev", "master-1")).await;
    server.drained().await;

    let peer = Peer::new(rabbitmq.port(), &virtual_host);
    let mut heard = peer.listen().await;
    let id = Uuid::new_v4();
    let succeeded = json!({
        "name": "api", "namespace": "dev", "resourceType": "Deployment", "availablePods": 3, "replicas": 3,
        "artifactId": "master-1", "authorEmail": "jane@example.com", "environment": "dev",
    });
    let succeeded = message("rollout.succeeded", &id.to_string(), &succeeded.to_string());
    peer.publish(&[succeeded.clone(), succeeded]).await;
    let announced = loop {
        let next = heard.next().await;
        if next["properties"]["type"] == "releaseSucceeded" {
            break next;
        }
    };
    assert_eq!(announced["routing_key"], "#.releaseSucceeded");
    let expected = Uuid::new_v5(&id, b"releaseSucceeded").to_string();
    assert_eq!(announced["properties"]["message_id"], json!(expected));
    let body: Value = serde_json::from_str(announced["body"].as_str().expect("a text")).expect("JSON");
    assert_eq!((&body["desiredPods"], &body["artifactId"]), (&json!(3), &json!("master-1")));
    server.drained().await;
    let noted = origin.git(&["notes", "--ref=rollouts", "show", &origin.head()]);
    assert_eq!(noted.lines().count(), 1, "{noted}");

    let state = json!({
        "environment": "dev", "observedAt": "2026-01-02T03:04:05Z", "isComplete": true,
        "workloads": [{
            "kind": "Deployment", "namespace": "dev", "name": "api", "artifactId": "master-1",
            "images": [], "desired": 4, "available": 4, "phase": "healthy", "since": "2026-01-02T03:04:05Z",
            "error": "x".repeat(2 << 20),
        }],
    });
    peer.publish(&[message("rollout.state", &Uuid::new_v4().to_string(), &state.to_string())]).await;
    until("the state", LONG, async || {
        let status = server.get("/api/v1/status?service=api").await;
        (status.body["environments"][0]["rollout"]["desired"] == 4).then_some(())
    })
    .await;
    server.drained().await;
}

//! Both directions, byte for byte, as a program sees it that has none of our code.

use release_testing::{origin::Origin, rabbitmq::RabbitMq};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    flags,
    peer::{Peer, message},
    server, until_released,
};
use crate::harness::{Order, Server};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_program_sees_and_sends_the_fields_messages() {
    let origin = Origin::new();
    let rabbitmq = RabbitMq::shared().await;
    let virtual_host = rabbitmq.virtual_host().await;
    let server = server(&origin, &flags(rabbitmq.port(), &virtual_host), None).await;
    let peer = Peer::new(rabbitmq.port(), &virtual_host);
    we_send(&server, &peer).await;
    we_receive(&server, &peer).await;
}

async fn we_send(server: &Server, peer: &Peer) {
    let mut listener = peer.listen().await;
    server.push_new("svc", "master-1-a").await;
    let uploaded = listener.next().await;
    assert_envelope(&uploaded, "newArtifact");
    assert_eq!(uploaded["body"], r#"{"service":"svc","artifactId":"master-1-a"}"#);

    let release = server.accepted(&Order::new("svc", "dev", "master-1-a")).await;
    let accepted = listener.next().await;
    assert_envelope(&accepted, "release.artifactId");
    assert_eq!(accepted["properties"]["message_id"], release.to_string());
    let body = accepted["body"].as_str().expect("a text");
    let enqueued_at = serde_json::from_str::<Value>(body).expect("JSON")["enqueuedAt"].clone();
    assert_eq!(
        body,
        [
            r#"{"service":"svc","environment":"dev","namespace":"dev","artifactID":"master-1-a","branch":"master","#,
            r#""actor":{"Email":"jane@example.com","Name":"Jane Doe"},"#,
            r#""intent":{"type":"ReleaseArtifact","releaseBranch":{},"promote":{},"rollback":{}},"#,
            &format!(r#""enqueuedAt":{enqueued_at}}}"#),
        ]
        .concat()
    );

    let released = listener.next().await;
    assert_envelope(&released, "released");
    assert_eq!(
        released["body"],
        concat!(
            r#"{"name":"svc","namespace":"dev","artifactId":"master-1-a","authorEmail":"jane@example.com","#,
            r#""authorName":"Jane Doe","squad":"","environment":"dev","intentType":"ReleaseArtifact"}"#
        )
    );
    assert_eq!(released["properties"]["correlation_id"], accepted["properties"]["correlation_id"]);
}

/// Exactly these properties, and no headers.
fn assert_envelope(message: &Value, kind: &str) {
    let properties = &message["properties"];
    let text = |name: &str| properties[name].as_str().unwrap_or_else(|| panic!("{name}: {message}"));
    assert!(Uuid::try_parse(text("message_id")).is_ok(), "{message}");
    assert!(!text("correlation_id").is_empty());
    let now = chrono::Utc::now().timestamp();
    let timestamp = properties["timestamp"].as_i64().expect("seconds");
    assert!((now - 600..=now + 1).contains(&timestamp), "{message}");
    let expected = json!({
        "exchange": "release-manager",
        "routing_key": format!("#.{kind}"),
        "properties": {
            "content_type": "application/json",
            "delivery_mode": 2,
            "correlation_id": text("correlation_id"),
            "message_id": text("message_id"),
            "timestamp": timestamp,
            "type": kind,
        },
        "body": message["body"],
    });
    assert_eq!(*message, expected);
}

async fn we_receive(server: &Server, peer: &Peer) {
    server.push_new("svc", "master-1-b").await;
    let release = Uuid::new_v4();
    let body = concat!(
        r#"{"service":"svc","environment":"prod","namespace":"prod","artifactID":"master-1-b","branch":"master","#,
        r#""actor":{"Email":"john@example.com","Name":"John"},"intent":{"type":"ReleaseBranch","#,
        r#""releaseBranch":{"branch":"master"},"promote":{"fromEnvironment":""},"#,
        r#""rollback":{"previousArtifactId":""}},"enqueuedAt":"2026-01-02T03:04:05.678901+01:00"}"#
    );
    let for_others = message("releaseSucceeded", &Uuid::new_v4().to_string(), r#"{"name":"svc"}"#);
    peer.publish(&[for_others, message("release.artifactId", &release.to_string(), body)]).await;
    until_released(server, release).await;
    server.drained().await;
}

//! Messages that nobody can execute.

use std::time::Instant;

use release_testing::{origin::Origin, rabbitmq::RabbitMq};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    figure, flags,
    peer::{Peer, message},
    server, until_released,
};
use crate::harness::{Audience, LONG, Server, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn poison_is_put_aside_with_its_reason_and_the_next_good_message_passes() {
    let origin = Origin::new();
    let rabbitmq = RabbitMq::shared().await;
    let virtual_host = rabbitmq.virtual_host().await;
    let server = server(&origin, &flags(rabbitmq.port(), &virtual_host), None).await;
    let peer = Peer::new(rabbitmq.port(), &virtual_host);
    server.push_new("svc", "master-1-a").await;

    let (poison, reasons): (Vec<_>, Vec<_>) = poison().into_iter().unzip();
    let good = Uuid::new_v4();
    let mut messages = poison.clone();
    messages.push(message("release.artifactId", &good.to_string(), &release("svc", "master-1-a")));
    peer.publish(&messages).await;
    let started = Instant::now();
    until_released(&server, good).await;
    let dead = dead(&server, poison.len()).await;
    figure(&format!("{} poisoned messages are put aside within {:?}", poison.len(), started.elapsed()));
    for reason in &reasons {
        assert!(dead.iter().any(|dead| dead.contains(reason)), "{reason} is not in {dead:#?}");
    }
    check_letters(&peer, &poison).await;
    origin.assert_clean();
}

/// Each with a part of its reason.
fn poison() -> Vec<(Value, &'static str)> {
    let id = || Uuid::new_v4().to_string();
    let release = release("svc", "master-1-a");
    let mut huge = message("release.artifactId", &id(), "x");
    huge["times"] = json!(9 << 20);
    let mut no_properties = message("", "", "{}");
    no_properties["properties"] = json!({});
    let mut expiring = message("gone", &id(), "{}");
    expiring["properties"]["expiration"] = json!("60000");
    expiring["properties"]["headers"] = json!({"traceparent": "00-1-2-01"});
    expiring["properties"]["user_id"] = json!("guest");
    vec![
        (message("nonsense", &id(), "{}"), "unknown event type 'nonsense'"),
        (message("release.artifactId", "not-a-uuid", "{\"service\":"), "cannot be read"),
        (message("release.artifactId", &id(), &release.replace("\"svc\"", "7")), "cannot be read"),
        (message("release.artifactId", &id(), &release.replace("\"svc\"", "\"../svc\"")), "cannot be read"),
        (message("release.artifactId", &id(), &release.replace("1-a", "1-z")), "has no artifact"),
        (message("newArtifact", &id(), "[]"), "cannot be read"),
        (huge, "9437184 bytes"),
        (no_properties, "unknown event type ''"),
        (expiring, "unknown event type 'gone'"),
    ]
}

fn release(service: &str, artifact_id: &str) -> String {
    json!({
        "service": service, "environment": "dev", "namespace": "dev", "artifactID": artifact_id,
        "branch": "master", "actor": {"Email": "j@x.io", "Name": "J"},
        "intent": {"type": "ReleaseArtifact"}, "enqueuedAt": "2026-01-02T03:04:05Z",
    })
    .to_string()
}

/// The reasons that `server events list` shows, when there are so many.
async fn dead(server: &Server, count: usize) -> Vec<String> {
    let client = server.client(Audience::Hamctl);
    until("all of the poison is dead", LONG, async || {
        let dead = client.events().await.ok()?.dead;
        (dead.len() == count).then(|| dead.into_iter().filter_map(|event| event.reason).collect())
    })
    .await
}

/// With their properties, bodies and reasons, for whoever looks at the queue.
async fn check_letters(peer: &Peer, poison: &[Value]) {
    let letters = peer.take("release-manager.dead").await;
    assert_eq!(letters.len(), poison.len());
    for message in poison.iter().filter(|message| message["times"].is_null()) {
        let (properties, body) = (&message["properties"], &message["body"]);
        let is_it = |letter: &&Value| {
            letter["body"] == *body && letter["properties"]["message_id"] == properties["message_id"]
        };
        let letter = letters.iter().find(is_it).unwrap_or_else(|| panic!("{message} is not in {letters:#?}"));
        for name in ["type", "correlation_id", "content_type", "timestamp"] {
            assert_eq!(letter["properties"][name], properties[name], "{name} of {letter}");
        }
        let headers = &letter["properties"]["headers"];
        for name in ["release-manager-reason", "release-manager-buried-at", "release-manager-event-id"] {
            assert!(headers[name].is_string(), "{name} of {letter}");
        }
        assert_eq!(headers["traceparent"], properties["headers"]["traceparent"]);
        assert_eq!(letter["properties"]["delivery_mode"], 2);
        assert_eq!(letter["properties"]["expiration"], Value::Null, "it would be lost");
    }
}

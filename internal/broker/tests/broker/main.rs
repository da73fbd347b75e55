//! What every broker promises, what the embedded one promises across restarts
//! and crashes, and what RabbitMQ does to us.

mod contract;
mod crash;
mod rabbitmq;
mod restart;

use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use release_broker::{Broker, BrokerError, Lease, Message};
use uuid::Uuid;

/// A message whose content follows from its number.
fn message(number: u128) -> Message {
    Message {
        id: Uuid::from_u128(number),
        kind: "release.artifactId".to_owned(),
        correlation_id: format!("request-{number}"),
        accepted_at: DateTime::UNIX_EPOCH,
        body: format!("{{\"number\":{number}}}").into_bytes(),
        trace: None,
        lease: Lease::default(),
    }
}

fn numbers<'m>(messages: impl IntoIterator<Item = &'m Message>) -> Vec<u128> {
    messages.into_iter().map(|message| message.id.as_u128()).collect()
}

async fn publish(broker: &dyn Broker, numbers: impl IntoIterator<Item = u128>) {
    for number in numbers {
        broker.publish(message(number)).await.unwrap();
    }
}

async fn receive(broker: &dyn Broker, count: usize) -> Vec<u128> {
    let mut received = Vec::new();
    for _ in 0..count {
        let message = tokio::time::timeout(Duration::from_secs(30), broker.receive()).await;
        received.push(message.expect("a delivery").unwrap().id.as_u128());
    }
    received
}

async fn pending(broker: &dyn Broker) -> Vec<u128> {
    numbers(&broker.pending().await.unwrap())
}

async fn dead(broker: &dyn Broker) -> Vec<u128> {
    numbers(broker.dead().await.unwrap().iter().map(|dead| &dead.message))
}

/// Publishes all at once, each from its own task.
async fn publish_together(
    broker: &Arc<dyn Broker>,
    numbers: std::ops::Range<u128>,
) -> Result<(), BrokerError> {
    let tasks: Vec<_> = numbers
        .map(|number| {
            let broker = Arc::clone(broker);
            tokio::spawn(async move { broker.publish(message(number)).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap()?;
    }
    Ok(())
}

//! The promises of [`Broker`], kept by every implementation.

use std::sync::Arc;
use std::time::Duration;

use release_broker::{Broker, BrokerError, Embedded, Memory};
use uuid::Uuid;

use crate::rabbitmq;
use crate::{dead, message, numbers, pending, publish, publish_together, receive};

/// Runs a test on a fresh broker of each kind.
async fn on_each(test: impl AsyncFn(Arc<dyn Broker>)) {
    test(Arc::new(rabbitmq::fresh().await)).await;
    on_each_of_our_own(test).await;
}

/// On those that nobody else uses: they know of every event.
async fn on_each_of_our_own(test: impl AsyncFn(Arc<dyn Broker>)) {
    test(Arc::new(Memory::new(10_000))).await;
    let directory = tempfile::tempdir().unwrap();
    test(Arc::new(Embedded::open(&directory.path().join("events.redb")).unwrap())).await;
}

#[tokio::test]
async fn messages_arrive_whole_and_in_the_order_of_acceptance() {
    on_each(async |broker| {
        publish(&*broker, [3, 1, 2]).await;
        let first = broker.receive().await.unwrap();
        assert_eq!(first, message(3));
        assert_eq!(receive(&*broker, 2).await, [1, 2]);
    })
    .await;
}

#[tokio::test]
async fn a_message_is_delivered_once() {
    on_each(async |broker| {
        publish(&*broker, 0..2).await;
        assert_eq!(receive(&*broker, 2).await, [0, 1]);
        assert_nothing_waits(&*broker).await;
        broker.ack(Uuid::from_u128(0)).await.unwrap();
        assert_nothing_waits(&*broker).await;
        assert_eq!(pending(&*broker).await, [1]);
    })
    .await;
}

#[tokio::test]
async fn publishing_a_known_id_again_changes_nothing() {
    on_each_of_our_own(async |broker| {
        publish(&*broker, [1, 2, 1]).await;
        assert_eq!(receive(&*broker, 2).await, [1, 2]);
        broker.bury(Uuid::from_u128(2), "no such artifact".into()).await.unwrap();
        publish(&*broker, [1, 2]).await;
        assert_nothing_waits(&*broker).await;
        assert_eq!((pending(&*broker).await, dead(&*broker).await), (vec![1], vec![2]));
    })
    .await;
}

#[tokio::test]
async fn receive_waits_for_a_message() {
    on_each(async |broker| {
        let (received, ()) = tokio::join!(broker.receive(), publish(&*broker, [1]));
        assert_eq!(received, Some(message(1)));
    })
    .await;
}

#[tokio::test]
async fn a_receive_that_is_dropped_loses_nothing() {
    on_each(async |broker| {
        assert_nothing_waits(&*broker).await;
        publish(&*broker, [1]).await;
        drop(broker.receive());
        assert_eq!(receive(&*broker, 1).await, [1]);
    })
    .await;
}

#[tokio::test]
async fn a_dead_letter_keeps_its_message_and_reason() {
    on_each_of_our_own(async |broker| {
        publish(&*broker, 1..3).await;
        receive(&*broker, 2).await;
        broker.bury(Uuid::from_u128(2), "unknown event type".into()).await.unwrap();
        broker.bury(Uuid::from_u128(1), "no such artifact".into()).await.unwrap();
        let counts = broker.counts().await.unwrap();
        assert_eq!(counts.pending, broker.pending().await.unwrap().len());
        assert_eq!(counts.dead, broker.dead().await.unwrap().len());
        assert!(counts.dead > 0);
        let dead = broker.dead().await.unwrap();
        assert_eq!(numbers(dead.iter().map(|dead| &dead.message)), [2, 1]);
        assert_eq!((&dead[1].message, dead[1].reason.as_str()), (&message(1), "no such artifact"));
        assert!(dead[0].buried_at <= dead[1].buried_at);
        assert_eq!(pending(&*broker).await, []);
    })
    .await;
}

#[tokio::test]
async fn a_dead_letter_can_be_retried_or_dropped() {
    on_each(async |broker| {
        publish(&*broker, 1..4).await;
        receive(&*broker, 3).await;
        for number in [1, 2] {
            broker.bury(Uuid::from_u128(number), "reason".into()).await.unwrap();
        }
        assert!(broker.retry(Uuid::from_u128(1)).await.unwrap());
        assert!(broker.drop_dead(Uuid::from_u128(2)).await.unwrap());
        assert_eq!(receive(&*broker, 1).await, [1]);
        assert_eq!((pending(&*broker).await, dead(&*broker).await), (vec![3, 1], vec![]));
    })
    .await;
}

#[tokio::test]
async fn what_is_not_there_is_left_alone() {
    on_each_of_our_own(async |broker| {
        publish(&*broker, [1]).await;
        let (here, absent) = (Uuid::from_u128(1), Uuid::from_u128(9));
        broker.ack(absent).await.unwrap();
        broker.bury(absent, "reason".into()).await.unwrap();
        for id in [here, absent] {
            assert!(!broker.retry(id).await.unwrap());
            assert!(!broker.drop_dead(id).await.unwrap());
        }
        assert_eq!((pending(&*broker).await, dead(&*broker).await), (vec![1], vec![]));
    })
    .await;
}

#[tokio::test]
async fn closing_ends_delivery_and_acceptance_but_not_acknowledgement() {
    on_each(async |broker| {
        publish(&*broker, 1..4).await;
        receive(&*broker, 2).await;
        broker.close();
        assert_eq!(broker.receive().await, None);
        assert!(matches!(broker.publish(message(9)).await, Err(BrokerError::Closed)));
        broker.ack(Uuid::from_u128(1)).await.unwrap();
        broker.bury(Uuid::from_u128(2), "reason".into()).await.unwrap();
        assert_eq!((pending(&*broker).await, dead(&*broker).await), (vec![3], vec![2]));
    })
    .await;
}

#[tokio::test]
async fn closing_wakes_whoever_waits() {
    on_each(async |broker| {
        let (received, ()) = tokio::join!(broker.receive(), async { broker.close() });
        assert_eq!(received, None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_publishes_at_once_are_all_delivered_once() {
    on_each(async |broker| {
        let consumer = {
            let broker = Arc::clone(&broker);
            tokio::spawn(async move { receive(&*broker, 1000).await })
        };
        publish_together(&broker, 0..1000).await.unwrap();
        let received = consumer.await.unwrap();
        let mut sorted = received.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..1000).collect::<Vec<_>>());
        assert_eq!(received, pending(&*broker).await, "delivery follows acceptance");
    })
    .await;
}

#[tokio::test]
async fn a_full_memory_queue_refuses_until_something_is_acked() {
    let broker = Memory::new(2);
    publish(&broker, 0..2).await;
    assert!(matches!(broker.publish(message(2)).await, Err(BrokerError::Full)));
    publish(&broker, [1]).await;
    broker.ack(Uuid::from_u128(0)).await.unwrap();
    publish(&broker, [2]).await;
}

async fn assert_nothing_waits(broker: &dyn Broker) {
    // A delivery is handed over before the change that caused it is answered.
    let waiting = tokio::time::timeout(Duration::ZERO, broker.receive()).await;
    assert!(waiting.is_err(), "unexpected delivery: {waiting:?}");
}

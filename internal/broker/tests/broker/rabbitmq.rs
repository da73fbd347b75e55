//! RabbitMQ: lost connections, full disks, other consumers, strange letters.

use std::time::{Duration, Instant};

use release_broker::{Amqp, AmqpConfig, Broker, BrokerError, Message, Publisher};
use release_core::Secret;
use release_testing::proxy::{Network, Proxy};
use release_testing::rabbitmq::{PASSWORD, RabbitMq, USER};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::{dead, message, publish, receive};

/// For what takes milliseconds, or seconds, on an idle machine.
const LONG: Duration = Duration::from_mins(2);

fn config(port: u16, virtual_host: &str) -> AmqpConfig {
    AmqpConfig {
        host: "localhost".into(),
        port,
        user: USER.into(),
        password: Secret::new(PASSWORD),
        virtual_host: virtual_host.into(),
        tls: false,
        ca_certificates: None,
        exchange: "release-manager".into(),
        queue: "release-manager".into(),
        prefetch: 500,
        connection_timeout: LONG,
        init_timeout: LONG,
        reconnection_timeout: Duration::from_millis(200),
        publish_timeout: LONG,
    }
}

/// On a virtual host of its own.
pub(crate) async fn fresh() -> Amqp {
    let rabbitmq = RabbitMq::shared().await;
    let virtual_host = rabbitmq.virtual_host().await;
    Amqp::start(AmqpConfig { prefetch: 2000, ..config(rabbitmq.port(), &virtual_host) })
}

async fn next(broker: &Amqp) -> Message {
    timeout(LONG, broker.receive()).await.expect("a delivery").expect("it is not closed")
}

/// Waits until the broker has, or no longer has, a problem.
async fn until_problem(broker: &Amqp, is_expected: impl Fn(Option<&str>) -> bool) {
    let mut problem = broker.problem();
    let changed = problem.wait_for(|problem| is_expected(problem.as_deref()));
    timeout(LONG, changed).await.expect("it changes").expect("the broker lives");
}

async fn until(what: &str, mut ask: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !ask().await {
        assert!(started.elapsed() < LONG, "not in time: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn what_is_in_flight_when_the_connection_is_lost_comes_again_and_is_acked_there() {
    let rabbitmq = RabbitMq::shared().await;
    let virtual_host = rabbitmq.virtual_host().await;
    let proxy = Proxy::to(rabbitmq.port()).await;
    let broker = Amqp::start(config(proxy.port(), &virtual_host));
    publish(&broker, [1, 2]).await;
    assert_eq!(receive(&broker, 2).await, [1, 2]);

    proxy.cut();
    until("the events are taken back", async || !broker.holds(Uuid::from_u128(1))).await;
    assert_eq!(receive(&broker, 2).await, [1, 2], "in the same order");
    assert!(broker.holds(Uuid::from_u128(1)));
    broker.ack(Uuid::from_u128(1)).await.unwrap();
    broker.ack(Uuid::from_u128(2)).await.unwrap();

    let next_server = Amqp::start(config(rabbitmq.port(), &virtual_host));
    publish(&broker, [3]).await;
    assert_eq!(receive(&broker, 1).await, [3]);
    drop(broker);
    assert_eq!(receive(&next_server, 1).await, [3], "nothing but what was not acked");
}

#[tokio::test]
async fn a_publisher_does_not_notice_a_reconnect_and_is_refused_at_its_limit() {
    let rabbitmq = RabbitMq::shared().await;
    let virtual_host = rabbitmq.virtual_host().await;
    let proxy = Proxy::to(rabbitmq.port()).await;
    let broker = Amqp::start(config(proxy.port(), &virtual_host));
    publish(&broker, [1]).await;
    proxy.set(Network::Refuses);
    proxy.cut();
    until_problem(&broker, |problem| problem.is_some()).await;
    assert!(matches!(broker.counts().await, Err(BrokerError::Unavailable { .. })));
    let come_back = async {
        sleep(Duration::from_millis(300)).await;
        proxy.set(Network::Works);
    };
    let (published, ()) = tokio::join!(broker.publish(message(2)), come_back);
    published.unwrap();
    assert_eq!(receive(&broker, 2).await, [1, 2]);

    let impatient =
        AmqpConfig { publish_timeout: Duration::from_millis(100), ..config(proxy.port(), &virtual_host) };
    proxy.set(Network::Refuses);
    let error = Amqp::start(impatient).publish(message(3)).await.unwrap_err();
    assert!(matches!(error, BrokerError::Unavailable { .. }), "{error}");
}

#[tokio::test]
async fn while_the_disk_is_full_events_are_refused_and_those_that_were_delivered_are_acked() {
    let rabbitmq = RabbitMq::start().await;
    let virtual_host = rabbitmq.virtual_host().await;
    let broker = Amqp::start(config(rabbitmq.port(), &virtual_host));
    publish(&broker, [1]).await;
    assert_eq!(receive(&broker, 1).await, [1]);
    // Now, so that it is not the one that events are delivered to.
    let impatient = Amqp::start(AmqpConfig {
        publish_timeout: Duration::from_secs(1),
        ..config(rabbitmq.port(), &virtual_host)
    });
    rabbitmq.set_disk_alarm(true).await;
    let error = impatient.publish(message(2)).await.unwrap_err();
    assert!(matches!(error, BrokerError::Unavailable { .. }), "{error}");
    until_problem(&impatient, |problem| problem.is_some_and(|it| it.contains("takes no events"))).await;
    broker.ack(Uuid::from_u128(1)).await.unwrap();
    until("the event is gone", async || broker.counts().await.is_ok_and(|counts| counts.pending == 0)).await;
    let alarm_ends = rabbitmq.set_disk_alarm(false);
    let (published, ()) = tokio::join!(broker.publish(message(3)), alarm_ends);
    published.unwrap();
    // The one that was refused had been sent already.
    let mut received = receive(&broker, 2).await;
    received.sort_unstable();
    assert_eq!(received, [2, 3]);
}

#[tokio::test]
async fn one_of_two_servers_works_and_the_other_one_takes_over() {
    let rabbitmq = RabbitMq::shared().await;
    let virtual_host = rabbitmq.virtual_host().await;
    let active = Amqp::start(config(rabbitmq.port(), &virtual_host));
    publish(&active, 0..10).await;
    assert_eq!(receive(&active, 10).await, (0..10).collect::<Vec<_>>());
    let passive = Amqp::start(config(rabbitmq.port(), &virtual_host));
    publish(&passive, [10]).await;
    assert_eq!(receive(&active, 1).await, [10], "the passive one accepts");
    active.ack(Uuid::from_u128(4)).await.unwrap();
    drop(active);
    assert_eq!(receive(&passive, 10).await, [0, 1, 2, 3, 5, 6, 7, 8, 9, 10]);
}

#[tokio::test]
async fn a_queue_that_was_deleted_is_declared_again() {
    let rabbitmq = RabbitMq::shared().await;
    let virtual_host = rabbitmq.virtual_host().await;
    let broker = Amqp::start(config(rabbitmq.port(), &virtual_host));
    publish(&broker, [1]).await;
    receive(&broker, 1).await;
    rabbitmq.delete_queue(&virtual_host, "release-manager").await;
    publish(&broker, [2]).await;
    assert_eq!(receive(&broker, 1).await, [2]);
}

#[tokio::test]
async fn a_queue_with_other_arguments_is_left_alone_and_named() {
    let rabbitmq = RabbitMq::shared().await;
    let virtual_host = rabbitmq.virtual_host().await;
    let classic = serde_json::json!({"x-queue-type": "classic"});
    rabbitmq.declare_queue(&virtual_host, "release-manager", classic).await;
    let broker = Amqp::start(config(rabbitmq.port(), &virtual_host));
    until_problem(&broker, |problem| problem.is_some_and(|it| it.contains("inequivalent arg"))).await;
}

#[tokio::test]
async fn tls_is_spoken_to_whom_the_authority_knows() {
    let rabbitmq = RabbitMq::shared().await;
    let virtual_host = rabbitmq.virtual_host().await;
    let tls = AmqpConfig { tls: true, ..config(rabbitmq.tls_port(), &virtual_host) };
    let authority = std::fs::read_to_string(rabbitmq.authority()).unwrap();
    let stranger = Amqp::start(tls.clone());
    until_problem(&stranger, |problem| problem.is_some_and(|it| it.contains("certificate"))).await;
    let broker = Amqp::start(AmqpConfig { ca_certificates: Some(authority), ..tls });
    publish(&broker, [1]).await;
    assert_eq!(receive(&broker, 1).await, [1]);
}

#[tokio::test]
async fn a_wrong_password_is_told_without_the_password() {
    let rabbitmq = RabbitMq::shared().await;
    let virtual_host = rabbitmq.virtual_host().await;
    let wrong = AmqpConfig { password: Secret::new("hunter2"), ..config(rabbitmq.port(), &virtual_host) };
    let broker = Amqp::start(wrong);
    until_problem(&broker, |problem| problem.is_some_and(|it| it.contains("ACCESS_REFUSED"))).await;
    let error = broker.counts().await.unwrap_err();
    assert!(!format!("{error} {error:?} {broker:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_huge_body_is_buried_at_once_and_the_next_event_passes() {
    let broker = fresh().await;
    let huge = Message { body: vec![b'x'; 9 << 20], ..message(1) };
    broker.publish(huge).await.unwrap();
    publish(&broker, [2]).await;
    assert_eq!(next(&broker).await, message(2));
    until("it is dead", async || dead(&broker).await == [1]).await;
    let letter = broker.dead().await.unwrap().remove(0);
    assert!(letter.reason.contains("9437184 bytes"), "{}", letter.reason);
    assert_eq!(letter.message.body.len(), 1 << 20);
}

#[tokio::test]
async fn dead_letters_survive_being_looked_at_and_are_changed_one_by_one() {
    let broker = fresh().await;
    publish(&broker, 1..5).await;
    receive(&broker, 4).await;
    for number in [4, 2, 3] {
        broker.bury(Uuid::from_u128(number), format!("reason {number}")).await.unwrap();
    }
    for _ in 0..3 {
        assert_eq!(dead(&broker).await, [4, 2, 3]);
    }
    assert_eq!(broker.dead().await.unwrap()[1].reason, "reason 2");
    assert!(!broker.retry(Uuid::from_u128(1)).await.unwrap(), "it is not dead");
    assert!(broker.retry(Uuid::from_u128(2)).await.unwrap());
    assert!(broker.drop_dead(Uuid::from_u128(4)).await.unwrap());
    assert_eq!(dead(&broker).await, [3]);
    assert_eq!(next(&broker).await, message(2));
    until("it is counted", async || broker.counts().await.is_ok_and(|it| (it.pending, it.dead) == (2, 1)))
        .await;
}

#[tokio::test]
async fn a_publisher_tells_the_server_and_says_so_only_when_a_queue_has_it() {
    let rabbitmq = RabbitMq::shared().await;
    let virtual_host = rabbitmq.virtual_host().await;
    let proxy = Proxy::to(rabbitmq.port()).await;
    let publisher = Publisher::new(config(proxy.port(), &virtual_host));
    let refused = publisher.publish(&message(1)).await;
    assert!(matches!(refused, Err(BrokerError::Unavailable { .. })), "no server has declared the exchange");

    let broker = Amqp::start(config(rabbitmq.port(), &virtual_host));
    until_problem(&broker, |problem| problem.is_none()).await;
    publisher.publish(&message(2)).await.unwrap();
    let received = next(&broker).await;
    assert_eq!((received.id, received.kind, received.body), {
        let sent = message(2);
        (sent.id, sent.kind, sent.body)
    });

    proxy.set(Network::Refuses);
    proxy.cut();
    until("RabbitMQ is away", async || publisher.publish(&message(3)).await.is_err()).await;
    proxy.set(Network::Works);
    until("it is back", async || publisher.publish(&message(4)).await.is_ok()).await;
    assert_eq!(next(&broker).await.id, Uuid::from_u128(4));
}

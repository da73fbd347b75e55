//! The connections to RabbitMQ, from their opening to their loss.

use std::time::Duration;

use lapin::options::{
    BasicConsumeOptions, BasicQosOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::tcp::OwnedTLSConfig;
use lapin::types::{AMQPValue, FieldTable};
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{Channel, Connection, ConnectionProperties, Consumer, ExchangeKind};
use tokio::sync::watch;
use tokio::time::timeout;

use super::AmqpConfig;
use super::outlet::Outlet;
use super::wire::{Letter, short};
use crate::Lease;

/// Both sides notice within twice this time that the other one is gone.
const HEARTBEAT_SECONDS: u16 = 10;
/// RabbitMQ 4 throws a letter away that was looked at more than 20 times, unless told otherwise.
const DEAD_DELIVERY_LIMIT: i64 = 1_000_000_000;

/// Why RabbitMQ cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionError {
    #[error("no connection within {} s", .0.as_secs())]
    Slow(Duration),
    #[error("exchange and queues were not declared within {} s", .0.as_secs())]
    SlowSetUp(Duration),
    /// Its text has its cause in it.
    #[error("{0}")]
    Amqp(lapin::Error),
    #[error("no queue is bound to the exchange any more")]
    Unroutable,
    #[error("RabbitMQ refused to store the event")]
    Refused,
    #[error("the consumer was cancelled: was the queue deleted?")]
    Cancelled,
}

impl From<lapin::Error> for SessionError {
    fn from(error: lapin::Error) -> Self {
        Self::Amqp(error)
    }
}

/// Two connections, because RabbitMQ stops to listen to one that publishes while
/// its disk is full, also to its acknowledgements.
#[derive(Debug)]
pub(super) struct Session {
    consuming: Connection,
    outlet: Outlet,
    reader: Channel,
}

impl Session {
    /// Connects, declares everything and begins to consume.
    pub(super) async fn open(config: &AmqpConfig) -> Result<(Self, Consumer), SessionError> {
        let both = async { tokio::try_join!(connect(config, "consumer"), connect(config, "publisher")) };
        let limit = config.connection_timeout;
        let (consuming, publishing) = timeout(limit, both).await.map_err(|_| SessionError::Slow(limit))??;
        let limit = config.init_timeout;
        timeout(limit, Self::set_up(config, consuming, publishing))
            .await
            .map_err(|_| SessionError::SlowSetUp(limit))?
    }

    async fn set_up(
        config: &AmqpConfig,
        consuming: Connection,
        publishing: Connection,
    ) -> Result<(Self, Consumer), SessionError> {
        let reader = consuming.create_channel().await?;
        declare(&reader, config).await?;
        let outlet = Outlet::new(publishing).await?;
        let channel = consuming.create_channel().await?;
        channel.basic_qos(config.prefetch, BasicQosOptions::default()).await?;
        let consumer = channel
            .basic_consume(
                short(&config.queue),
                short(""),
                BasicConsumeOptions::default(),
                FieldTable::default(),
            )
            .await?;
        Ok((Self { consuming, outlet, reader }, consumer))
    }

    /// Returns when RabbitMQ has stored the letter in a queue.
    pub(super) async fn publish(&self, letter: &Letter) -> Result<(), SessionError> {
        self.outlet.publish(letter).await
    }

    /// How many letters wait in a queue, without those that are delivered.
    pub(super) async fn waiting(&self, queue: &str) -> Result<usize, SessionError> {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let declared = self.reader.queue_declare(short(queue), passive, FieldTable::default()).await?;
        Ok(declared.message_count() as usize)
    }

    /// A channel to look through a queue: what it got and did not settle is put back when it is closed.
    pub(super) async fn channel(&self) -> Result<Channel, SessionError> {
        Ok(self.consuming.create_channel().await?)
    }

    /// It is of no use any more: the next one is opened.
    pub(super) fn end(&self) {
        self.outlet.end();
    }

    /// What is delivered on it is ours until it is over.
    pub(super) fn lease(&self) -> Lease {
        Lease(self.outlet.ended())
    }

    pub(super) fn is_over(&self) -> bool {
        self.outlet.is_over()
    }

    pub(super) async fn over(&self) {
        self.outlet.ended().cancelled().await;
    }

    pub(super) fn blocked(&self) -> watch::Receiver<Option<String>> {
        self.outlet.blocked()
    }
}

pub(super) async fn connect(config: &AmqpConfig, role: &str) -> Result<Connection, SessionError> {
    let uri = AMQPUri {
        scheme: if config.tls { AMQPScheme::AMQPS } else { AMQPScheme::AMQP },
        authority: AMQPAuthority {
            userinfo: AMQPUserInfo {
                username: config.user.clone(),
                password: config.password.expose().to_owned(),
            },
            host: config.host.clone(),
            port: config.port,
        },
        vhost: config.virtual_host.clone(),
        query: AMQPQueryString { heartbeat: Some(HEARTBEAT_SECONDS), ..AMQPQueryString::default() },
    };
    let name = format!("release-manager {role}");
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let tls = OwnedTLSConfig { identity: None, cert_chain: config.ca_certificates.clone() };
    Ok(Connection::connect_uri_with_config(uri, properties, tls, lapin::runtime::default_runtime()?).await?)
}

/// What is there already must be the same, so nothing here may ever change: others use it, too.
async fn declare(channel: &Channel, config: &AmqpConfig) -> Result<(), lapin::Error> {
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    let (exchange, queue) = (short(&config.exchange), short(&config.queue));
    channel.exchange_declare(exchange.clone(), ExchangeKind::Topic, durable, FieldTable::default()).await?;
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
    channel.queue_declare(queue.clone(), QueueDeclareOptions::durable(), arguments).await?;
    channel
        .queue_bind(queue, exchange, short("#"), QueueBindOptions::default(), FieldTable::default())
        .await?;
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(DEAD_DELIVERY_LIMIT));
    channel.queue_declare(short(&config.dead_queue()), QueueDeclareOptions::durable(), arguments).await?;
    Ok(())
}

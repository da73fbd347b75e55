//! A connection that publishes.

use futures::StreamExt as _;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{Channel, Confirmation, Connection, Event};
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;

use super::session::SessionError;
use super::wire::Letter;

/// Takes letters until its connection is lost, or somebody ends it.
#[derive(Debug)]
pub(super) struct Outlet {
    connection: Connection,
    /// Locked while a letter is sent: confirms are counted in that order.
    channel: Mutex<Channel>,
    /// Why RabbitMQ takes nothing at the moment.
    blocked: watch::Sender<Option<String>>,
    ended: CancellationToken,
}

impl Outlet {
    pub(super) async fn new(connection: Connection) -> Result<Self, SessionError> {
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let outlet = Self {
            connection,
            channel: Mutex::new(channel),
            blocked: watch::Sender::new(None),
            ended: CancellationToken::new(),
        };
        outlet.watch();
        Ok(outlet)
    }

    /// Notices when RabbitMQ takes no letters, and when the connection is lost.
    fn watch(&self) {
        let (blocked, ended) = (self.blocked.clone(), self.ended.clone());
        let mut events = Box::pin(self.connection.events_listener());
        tokio::spawn(async move {
            while let Some(Some(event)) = ended.run_until_cancelled(events.next()).await {
                match event {
                    Event::ConnectionBlocked(reason) => drop(blocked.send_replace(Some(reason))),
                    Event::ConnectionUnblocked => drop(blocked.send_replace(None)),
                    Event::Error(_) => break,
                    _ => {}
                }
            }
            ended.cancel();
        });
    }

    /// Returns when RabbitMQ has stored the letter in a queue.
    pub(super) async fn publish(&self, letter: &Letter) -> Result<(), SessionError> {
        let Letter { exchange, routing_key, properties, body } = letter.clone();
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let confirm = {
            let channel = self.channel.lock().await;
            channel.basic_publish(exchange, routing_key, options, &body, properties).await?
        };
        match confirm.await? {
            Confirmation::Ack(None) => Ok(()),
            Confirmation::Ack(Some(_)) => Err(SessionError::Unroutable),
            Confirmation::Nack(_) | Confirmation::NotRequested => Err(SessionError::Refused),
        }
    }

    pub(super) fn end(&self) {
        self.ended.cancel();
    }

    pub(super) fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }

    pub(super) fn is_over(&self) -> bool {
        self.ended.is_cancelled()
    }

    pub(super) fn blocked(&self) -> watch::Receiver<Option<String>> {
        self.blocked.subscribe()
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.ended.cancel();
    }
}

//! For programs that only tell RabbitMQ something.

use std::sync::Arc;
use std::time::Duration;

use release_core::full_message;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::AmqpConfig;
use super::outlet::Outlet;
use super::session::{SessionError, connect};
use super::wire::{self, Letter};
use crate::{BrokerError, Message};

/// Publishes to the exchange, and declares nothing: that is the server's business, and the account needs to
/// write to the exchange, no more.
///
/// Connects when there is something to publish. Of its [`AmqpConfig`] what concerns the queue is not used.
#[derive(Debug)]
pub struct Publisher {
    config: AmqpConfig,
    outlet: Mutex<Option<Arc<Outlet>>>,
}

impl Publisher {
    pub fn new(config: AmqpConfig) -> Self {
        Self { config, outlet: Mutex::default() }
    }

    /// Returns when RabbitMQ has stored the message in a queue, or says why not; then it may have it all
    /// the same. [`BrokerError::Unavailable`] after the config's time for publishing at the latest.
    pub async fn publish(&self, message: &Message) -> Result<(), BrokerError> {
        self.send(wire::letter(&self.config.exchange, message)).await
    }

    /// The same, but RabbitMQ throws the message away when nobody has taken it for `lifetime`, or it restarts.
    pub async fn publish_for(&self, lifetime: Duration, message: &Message) -> Result<(), BrokerError> {
        self.send(wire::passing_letter(&self.config.exchange, message, lifetime)).await
    }

    async fn send(&self, letter: Letter) -> Result<(), BrokerError> {
        let outlet = self.outlet().await.map_err(|error| unavailable(full_message(&error)))?;
        let reason = match timeout(self.config.publish_timeout, outlet.publish(&letter)).await {
            Ok(Ok(())) => return Ok(()),
            // The connection is as good as before.
            Ok(Err(error @ (SessionError::Unroutable | SessionError::Refused))) => full_message(&error),
            Ok(Err(error)) => {
                outlet.end();
                full_message(&error)
            }
            Err(_) => {
                outlet.end();
                let blocked = outlet.blocked().borrow().clone();
                blocked.unwrap_or_else(|| "it did not confirm the event in time".to_owned())
            }
        };
        Err(unavailable(reason))
    }

    /// The open connection, or a new one. All who need one wait for the same.
    async fn outlet(&self) -> Result<Arc<Outlet>, SessionError> {
        let mut open = self.outlet.lock().await;
        if let Some(outlet) = open.as_ref().filter(|outlet| !outlet.is_over()) {
            return Ok(Arc::clone(outlet));
        }
        let limit = self.config.connection_timeout;
        let connecting = async { Outlet::new(connect(&self.config, "daemon").await?).await };
        let outlet = timeout(limit, connecting).await.map_err(|_| SessionError::Slow(limit))??;
        Ok(Arc::clone(open.insert(Arc::new(outlet))))
    }
}

fn unavailable(reason: String) -> BrokerError {
    BrokerError::Unavailable { reason }
}

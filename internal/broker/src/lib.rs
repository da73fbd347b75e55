//! Where accepted events wait until they are executed, and where those that
//! cannot be executed are kept for an operator.
//!
//! [`Embedded`] keeps them in a file and survives `kill -9`; [`Amqp`] keeps them
//! in RabbitMQ, where several servers share them; [`Memory`] forgets them with the
//! process. Retries, their delays and the order between events of one service are
//! the consumer's business, not the broker's.

mod amqp;
mod embedded;
mod inbox;
mod memory;

use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use amqp::{Amqp, AmqpConfig, Publisher};
pub use embedded::{Embedded, MAX_PENDING_BYTES};
pub use memory::Memory;

/// One accepted event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Identifies the event: publishing it again does nothing.
    pub id: Uuid,
    /// The event type, such as `release.artifactId`.
    pub kind: String,
    /// The id of the request that caused it.
    pub correlation_id: String,
    pub accepted_at: DateTime<Utc>,
    /// The trace that it belongs to, as the W3C's `traceparent` or Jaeger's `uber-trace-id` says it.
    pub trace: Option<String>,
    /// JSON.
    pub body: Vec<u8>,
    pub lease: Lease,
}

/// How long a delivered event is this process's to execute: until a shared broker
/// loses sight of the process. Then it comes again, here or elsewhere. Events that
/// are equal may have different leases.
#[derive(Debug, Clone, Default)]
pub struct Lease(CancellationToken);

impl Lease {
    pub fn is_over(&self) -> bool {
        self.0.is_cancelled()
    }
}

impl PartialEq for Lease {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Lease {}

/// An event that was given up, with the reason an operator reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadMessage {
    pub message: Message,
    pub reason: String,
    pub buried_at: DateTime<Utc>,
}

/// How many events there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    pub pending: usize,
    pub dead: usize,
}

/// A queue with manual acknowledgement and a dead-letter place.
///
/// An answered change is as durable as the implementation gets. After an error
/// it may or may not have happened: repeating it is always safe.
pub trait Broker: Send + Sync + 'static {
    /// Accepts an event. One whose id is pending or dead already is accepted
    /// without effect; a shared broker cannot know, and delivers it as often as it was
    /// published, but never while it is held. [`BrokerError::Full`],
    /// [`BrokerError::Unavailable`] and [`BrokerError::Closed`] refuse it.
    fn publish(&self, message: Message) -> BoxFuture<'_, Result<(), BrokerError>>;

    /// Makes something known to other systems that listen, at least once. Does
    /// nothing where nobody else can.
    fn announce(&self, _message: Message) -> BoxFuture<'_, Result<(), BrokerError>> {
        std::future::ready(Ok(())).boxed()
    }

    /// Waits for the next event in the order of acceptance; `None` after
    /// [`Broker::close`]. An event is delivered once in the life of a process,
    /// unless its [`Lease`] ends; one that was neither acked nor
    /// buried comes again in the next life. Dropping the future loses nothing.
    fn receive(&self) -> BoxFuture<'_, Option<Message>>;

    /// Whether an event is this process's to settle. What is not held, or has a
    /// [`Lease`] that is over, is not to be begun; acking and burying what is not held
    /// does nothing. Only a shared broker takes back what it delivered.
    fn holds(&self, _id: Uuid) -> bool {
        true
    }

    /// Forgets a delivered event: it has been executed. Does nothing for an
    /// event that is not pending.
    fn ack(&self, id: Uuid) -> BoxFuture<'_, Result<(), BrokerError>>;

    /// Moves a delivered event to the dead-letter place. Does nothing for an
    /// event that is not pending.
    fn bury(&self, id: Uuid, reason: String) -> BoxFuture<'_, Result<(), BrokerError>>;

    /// Whether other servers use this queue, too.
    fn is_shared(&self) -> bool {
        false
    }

    /// How many events are pending and dead. Cheap, unlike reading them.
    fn counts(&self) -> BoxFuture<'_, Result<Counts, BrokerError>>;

    /// Events that are neither acked nor dead, delivered or not, in the order
    /// of acceptance; of a shared broker only those that this process holds.
    fn pending(&self) -> BoxFuture<'_, Result<Vec<Message>, BrokerError>>;

    /// The dead letters, oldest burial first. Dear with a shared broker.
    fn dead(&self) -> BoxFuture<'_, Result<Vec<DeadMessage>, BrokerError>>;

    /// Puts a dead letter at the end of the queue. `false`: there is no such
    /// letter, or it is in a format that this version cannot read.
    /// [`BrokerError::Full`] leaves it where it is.
    fn retry(&self, id: Uuid) -> BoxFuture<'_, Result<bool, BrokerError>>;

    /// Forgets a dead letter for good. `false`: there is no such letter.
    fn drop_dead(&self, id: Uuid) -> BoxFuture<'_, Result<bool, BrokerError>>;

    /// Ends delivery and refuses further events, for a shutdown. Events that
    /// were delivered can still be acked and buried.
    fn close(&self);
}

/// What happened to the store; shared by everyone whose change was in the same
/// transaction.
pub type Cause = Arc<dyn std::error::Error + Send + Sync>;

#[derive(Debug, Clone, thiserror::Error)]
pub enum BrokerError {
    #[error("the queue of accepted events is full; try again when some have been executed")]
    Full,
    #[error("the server is shutting down and accepts no more events; try again")]
    Closed,
    #[error("RabbitMQ cannot be used: {reason}; try again in a moment")]
    Unavailable { reason: String },
    #[error("the queue of accepted events stopped working; restart the server")]
    Stopped,
    #[error(
        "another server uses this data directory: '{}' is locked; stop it or choose another directory",
        path.display()
    )]
    InUse { path: PathBuf },
    #[error(
        "the accepted events in '{}' cannot be read; restore the file from a backup, or move it away to \
         start without the events in it",
        path.display()
    )]
    Unreadable { path: PathBuf, source: Cause },
    #[error(
        "the accepted events in '{}' cannot be opened; check that the directory exists, is writable and has \
         space left",
        path.display()
    )]
    Inaccessible { path: PathBuf, source: Cause },
    #[error(
        "accepted events cannot be saved in '{}'; check that its disk has space left and is healthy",
        path.display()
    )]
    Save { path: PathBuf, source: Cause },
}

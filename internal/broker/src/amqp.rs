//! RabbitMQ as the broker, shared with other servers, the field's implementation
//! and whoever listens.
//!
//! Exchange, queue and messages are as the field's implementation has them. Ours
//! alone is the queue of the dead, `<queue>.dead`. While RabbitMQ is away, one task
//! tries to get back to it; publishers wait so long, within their limit.

mod dead;
mod deliveries;
mod outlet;
mod publisher;
mod session;
mod wire;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use chrono::Utc;
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use lapin::Consumer;
use lapin::message::Delivery;
use lapin::options::BasicAckOptions;
use release_core::{Secret, full_message};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{error, info, warn};
use uuid::Uuid;

pub use self::publisher::Publisher;

use self::deliveries::Deliveries;
use self::session::{Session, SessionError};
use self::wire::Letter;
use crate::inbox::Inbox;
use crate::{Broker, BrokerError, Counts, DeadMessage, Lease, Message};

const MIN_DELAY: Duration = Duration::from_millis(100);
/// It is written to a connection, and nobody answers.
const ACK_TIMEOUT: Duration = Duration::from_secs(2);
/// The problem before the first attempt.
const NOT_YET: &str = "not connected yet";
/// How long a look at a queue may take; `/ready` waits for one.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);

/// Where RabbitMQ is and how to use it.
#[derive(Debug, Clone)]
pub struct AmqpConfig {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: Secret,
    pub virtual_host: String,
    /// Speak TLS, as in `amqps://`.
    pub tls: bool,
    /// Authorities to believe besides those of the machine, as PEM.
    pub ca_certificates: Option<String>,
    pub exchange: String,
    pub queue: String,
    /// How many events are delivered before one of them is settled.
    pub prefetch: u16,
    /// For connecting and logging in.
    pub connection_timeout: Duration,
    /// For declaring exchange and queues once connected.
    pub init_timeout: Duration,
    /// The longest pause between two attempts to connect.
    pub reconnection_timeout: Duration,
    /// How long [`Broker::publish`] waits for RabbitMQ's confirmation.
    pub publish_timeout: Duration,
}

impl AmqpConfig {
    fn dead_queue(&self) -> String {
        format!("{}.dead", self.queue)
    }
}

/// Keeps accepted events in RabbitMQ.
#[derive(Debug)]
pub struct Amqp {
    shared: Arc<Shared>,
    _stop: DropGuard,
}

#[derive(Debug)]
struct Shared {
    config: AmqpConfig,
    inbox: Inbox,
    deliveries: Mutex<Deliveries>,
    /// `None` while RabbitMQ is away.
    session: watch::Sender<Option<Arc<Session>>>,
    problem: watch::Sender<Option<String>>,
    /// Two looks through the queue of the dead would hide letters from each other.
    looking: tokio::sync::Mutex<()>,
}

impl Amqp {
    /// Begins to connect. RabbitMQ need not be there yet.
    pub fn start(config: AmqpConfig) -> Self {
        let shared = Arc::new(Shared {
            config,
            inbox: Inbox::default(),
            deliveries: Mutex::default(),
            session: watch::Sender::new(None),
            problem: watch::Sender::new(Some(NOT_YET.to_owned())),
            looking: tokio::sync::Mutex::default(),
        });
        let stop = CancellationToken::new();
        let keeper = Arc::clone(&shared);
        tokio::spawn(stop.clone().run_until_cancelled_owned(keeper.keep_connected()));
        Self { shared, _stop: stop.drop_guard() }
    }

    /// Why RabbitMQ cannot be used; `None` while it can.
    pub fn problem(&self) -> watch::Receiver<Option<String>> {
        self.shared.problem.subscribe()
    }
}

impl Shared {
    async fn keep_connected(self: Arc<Self>) {
        let mut delays = self.delays();
        loop {
            match Session::open(&self.config).await {
                Ok((session, consumer)) => {
                    delays = self.delays();
                    let reason = self.work(Arc::new(session), consumer).await;
                    self.note(Some(reason));
                }
                Err(error) => self.note(Some(full_message(&error))),
            }
            sleep(delays.next().unwrap_or(self.config.reconnection_timeout)).await;
        }
    }

    fn delays(&self) -> impl Iterator<Item = Duration> + use<> {
        let backoff = ExponentialBuilder::default()
            .with_min_delay(MIN_DELAY)
            .with_max_delay(self.config.reconnection_timeout);
        backoff.with_jitter().without_max_times().build()
    }

    /// Takes deliveries until the session is over; the reason for that.
    async fn work(self: &Arc<Self>, session: Arc<Session>, mut consumer: Consumer) -> String {
        let mut blocked = session.blocked();
        self.session.send_replace(Some(Arc::clone(&session)));
        self.note(None);
        let reason = loop {
            tokio::select! {
                () = session.over() => break "the connection was lost".to_owned(),
                Ok(()) = blocked.changed() => {
                    let reason = blocked.borrow_and_update().clone();
                    self.note(reason.map(|reason| format!("it takes no events at the moment: {reason}")));
                }
                delivery = consumer.next() => match delivery {
                    Some(Ok(delivery)) => self.deliver(delivery, session.lease()),
                    Some(Err(error)) => break full_message(&SessionError::from(error)),
                    None => break SessionError::Cancelled.to_string(),
                },
            }
        };
        self.session.send_replace(None);
        session.end();
        self.deliveries().take_back_all();
        self.inbox.clear();
        reason
    }

    fn deliver(self: &Arc<Self>, delivery: Delivery, lease: Lease) {
        let message = Message { lease, ..wire::message(&delivery.properties, &delivery.data) };
        let (id, bytes) = (message.id, message.body.len());
        if !self.deliveries().add(message.clone(), delivery) {
            return;
        }
        if bytes <= wire::MAX_BODY_BYTES {
            self.inbox.push(message);
        } else {
            let reason = format!("the body has {bytes} bytes; an event has at most {}", wire::MAX_BODY_BYTES);
            tokio::spawn(Arc::clone(self).bury_unread(id, reason));
        }
    }

    /// What nobody else should have to hold in memory.
    async fn bury_unread(self: Arc<Self>, id: Uuid, reason: String) {
        error!(event = %id, reason, "the event failed for good; see 'server events list'");
        while self.bury(id, &reason).await.is_err() {
            sleep(self.config.reconnection_timeout).await;
        }
    }

    /// Logs what changed, not each attempt.
    fn note(&self, problem: Option<String>) {
        let before = self.problem.send_replace(problem.clone());
        let at = format!("{}:{}", self.config.host, self.config.port);
        match (before.filter(|before| before != NOT_YET), problem) {
            (None, Some(reason)) => warn!(reason, at, "RabbitMQ cannot be used"),
            (_, None) => info!(at, "RabbitMQ is connected"),
            (Some(_), Some(_)) => {}
        }
    }

    async fn publish(&self, letter: &Letter) -> Result<(), BrokerError> {
        let limit = self.config.publish_timeout;
        timeout(limit, self.publish_until_confirmed(letter)).await.map_err(|_| self.unavailable())
    }

    /// What was not confirmed on one connection is sent again on the next one: it
    /// may be there twice then, under one id.
    async fn publish_until_confirmed(&self, letter: &Letter) {
        loop {
            let session = self.open_session().await;
            match session.publish(letter).await {
                Ok(()) => return,
                Err(SessionError::Refused) => sleep(MIN_DELAY).await,
                // Also without a queue: the next session declares it again.
                Err(_) => session.end(),
            }
        }
    }

    /// Waits for a session that takes letters.
    async fn open_session(&self) -> Arc<Session> {
        let mut sessions = self.session.subscribe();
        loop {
            let is_open = |session: &Option<Arc<Session>>| session.as_ref().is_some_and(|it| !it.is_over());
            let session = sessions.wait_for(is_open).await.ok().and_then(|session| session.clone());
            let Some(session) = session else { continue };
            let mut blocked = session.blocked();
            tokio::select! {
                Ok(_) = blocked.wait_for(Option::is_none) => {}
                () = session.over() => continue,
            }
            return session;
        }
    }

    /// The session of now, for those who don't wait for one.
    fn session(&self) -> Result<Arc<Session>, BrokerError> {
        self.session.borrow().clone().ok_or_else(|| self.unavailable())
    }

    fn unavailable(&self) -> BrokerError {
        let reason = self.problem.borrow().clone();
        let reason = reason.unwrap_or_else(|| {
            "it did not confirm the event in time, and may have it all the same".to_owned()
        });
        BrokerError::Unavailable { reason }
    }

    async fn ack(&self, id: Uuid) {
        let deliveries = self.deliveries().remove(id);
        for delivery in deliveries {
            // Only a lost connection fails it, or leaves it without an end; then the event comes again.
            let _ = timeout(ACK_TIMEOUT, delivery.ack(BasicAckOptions::default())).await;
        }
    }

    async fn bury(&self, id: Uuid, reason: &str) -> Result<(), BrokerError> {
        let queue = self.config.dead_queue();
        let dead = |delivery: &Delivery| {
            wire::dead_letter(&queue, &delivery.properties, &delivery.data, reason, Utc::now())
        };
        let Some(letter) = self.deliveries().with(id, dead) else { return Ok(()) };
        self.publish(&letter).await?;
        self.ack(id).await;
        Ok(())
    }

    async fn counts(&self) -> Result<Counts, BrokerError> {
        if self.problem.borrow().is_some() {
            return Err(self.unavailable());
        }
        let session = self.session()?;
        let (queue, dead_queue) = (&self.config.queue, self.config.dead_queue());
        let look = async { Ok((session.waiting(queue).await?, session.waiting(&dead_queue).await?)) };
        match timeout(LOOK_TIMEOUT, look).await {
            Ok(Ok((waiting, dead))) => Ok(Counts { pending: waiting + self.deliveries().len(), dead }),
            Ok(Err(error)) => Err(failed(&session, &error)),
            Err(_) => Err(failed(&session, &SessionError::Slow(LOOK_TIMEOUT))),
        }
    }

    fn deliveries(&self) -> MutexGuard<'_, Deliveries> {
        // No change can panic halfway, so poisoned deliveries are whole deliveries.
        self.deliveries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A channel that failed is closed, so the session is opened anew.
fn failed(session: &Session, error: &SessionError) -> BrokerError {
    session.end();
    BrokerError::Unavailable { reason: full_message(error) }
}

impl Broker for Amqp {
    fn publish(&self, message: Message) -> BoxFuture<'_, Result<(), BrokerError>> {
        async move {
            if self.shared.inbox.is_closed() {
                return Err(BrokerError::Closed);
            }
            self.shared.publish(&wire::letter(&self.shared.config.exchange, &message)).await
        }
        .boxed()
    }

    fn announce(&self, message: Message) -> BoxFuture<'_, Result<(), BrokerError>> {
        async move { self.shared.publish(&wire::letter(&self.shared.config.exchange, &message)).await }
            .boxed()
    }

    fn receive(&self) -> BoxFuture<'_, Option<Message>> {
        self.shared.inbox.next().boxed()
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn holds(&self, id: Uuid) -> bool {
        self.shared.deliveries().holds(id)
    }

    fn ack(&self, id: Uuid) -> BoxFuture<'_, Result<(), BrokerError>> {
        async move {
            self.shared.ack(id).await;
            Ok(())
        }
        .boxed()
    }

    fn bury(&self, id: Uuid, reason: String) -> BoxFuture<'_, Result<(), BrokerError>> {
        async move { self.shared.bury(id, &reason).await }.boxed()
    }

    fn counts(&self) -> BoxFuture<'_, Result<Counts, BrokerError>> {
        self.shared.counts().boxed()
    }

    fn pending(&self) -> BoxFuture<'_, Result<Vec<Message>, BrokerError>> {
        async move { Ok(self.shared.deliveries().messages()) }.boxed()
    }

    fn dead(&self) -> BoxFuture<'_, Result<Vec<DeadMessage>, BrokerError>> {
        self.shared.dead().boxed()
    }

    fn retry(&self, id: Uuid) -> BoxFuture<'_, Result<bool, BrokerError>> {
        self.shared.retry(id).boxed()
    }

    fn drop_dead(&self, id: Uuid) -> BoxFuture<'_, Result<bool, BrokerError>> {
        self.shared.drop_dead(id).boxed()
    }

    fn close(&self) {
        self.shared.inbox.close();
    }
}

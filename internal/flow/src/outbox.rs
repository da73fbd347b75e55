//! Notifications that were not delivered yet: kept on disk, delivered one after the
//! other in each lane, tried again with growing delay.
//!
//! A notification is made before the event that causes it is acknowledged, and
//! sent after that. So when the process is killed in between, the event comes
//! again and makes the same notifications again, with the same ids: the broker
//! knows those that still wait, and none was sent yet.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBuilder};
use chrono::Utc;
use futures::future::join_all;
use release_broker::{Broker, Lease, Message};
use release_core::{full_message, rollout::Report};
use release_notify::{DeliveryError, Failed, Notification, Notifiers, Released};
use release_telemetry::{Metrics, TraceContext};
use serde::{Deserialize, Serialize};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, debug, error, info_span, warn};
use uuid::Uuid;

/// The longest that a rate limit is obeyed: GitHub's are for an hour, and nobody
/// should be able to silence us for days.
const MAX_RATE_LIMIT: Duration = Duration::from_hours(1);

/// How long and how often undelivered notifications are tried again.
#[derive(Debug, Clone, Copy)]
pub struct Retries {
    pub min_delay: Duration,
    pub max_delay: Duration,
    /// Counted from the moment the notification was made. Older ones are given up.
    pub give_up_after: Duration,
}

impl Default for Retries {
    /// From one second up to five minutes, for a day.
    fn default() -> Self {
        Self {
            min_delay: Duration::from_secs(1),
            max_delay: Duration::from_mins(5),
            give_up_after: Duration::from_hours(24),
        }
    }
}

/// Makes notifications, keeps them, and delivers them. Cheap to clone.
#[derive(Clone)]
pub struct Outbox {
    notifiers: Arc<Notifiers>,
    broker: Arc<dyn Broker>,
    retries: Retries,
    metrics: Metrics,
    gate: Arc<Gate>,
}

/// Holds the notifications back whose causes are not acknowledged yet.
struct Gate {
    unsettled: Mutex<HashSet<Uuid>>,
    settled: mpsc::UnboundedSender<Uuid>,
    receiver: Mutex<Option<mpsc::UnboundedReceiver<Uuid>>>,
}

/// How a notification is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// The event's id.
    cause: Uuid,
    notification: Notification,
}

impl Outbox {
    /// `broker` is the outbox's own: it gets nothing but notifications.
    pub fn new(notifiers: Notifiers, broker: Arc<dyn Broker>, retries: Retries, metrics: Metrics) -> Self {
        let (settled, receiver) = mpsc::unbounded_channel();
        let gate = Gate { unsettled: Mutex::default(), settled, receiver: Mutex::new(Some(receiver)) };
        Self { notifiers: Arc::new(notifiers), broker, retries, metrics, gate: Arc::new(gate) }
    }

    /// Keeps what a release makes known. To be followed by [`Outbox::settle`] when the
    /// event has been acknowledged.
    pub(crate) async fn released(&self, released: Released<'_>) {
        let notifications = self.notifiers.of_release(released);
        self.keep(released.release.release_id, "released", notifications).await;
    }

    /// The same for a release that cannot be executed.
    pub(crate) async fn failed(&self, failed: Failed<'_>) {
        let notifications = self.notifiers.of_failure(failed);
        self.keep(failed.release.release_id, "failed", notifications).await;
    }

    /// The same for what a daemon told in the event `cause`.
    pub(crate) async fn rollout(&self, cause: Uuid, report: &Report) {
        let notifications = self.notifiers.of_rollout(report);
        self.keep(cause, "rollout", notifications).await;
    }

    /// This event will come; if it comes again, it may have made notifications already.
    pub(crate) fn hold(&self, cause: Uuid) {
        self.gate.unsettled().insert(cause);
    }

    /// The event will not come again: its notifications may go out.
    pub(crate) fn settle(&self, cause: Uuid) {
        if self.gate.unsettled().remove(&cause) {
            // Nobody receives after the stop; then it goes out after the next start.
            let _ = self.gate.settled.send(cause);
        }
    }

    async fn keep(&self, cause: Uuid, occasion: &str, notifications: Vec<Notification>) {
        if notifications.is_empty() {
            return;
        }
        self.hold(cause);
        let kept = notifications.into_iter().map(|notification| self.keep_one(cause, occasion, notification));
        // Together, so that they share one transaction.
        join_all(kept).await;
    }

    /// A release never waits for its notifications, so trouble with the disk loses them.
    async fn keep_one(&self, cause: Uuid, occasion: &str, notification: Notification) {
        let notifier = notification.notifier();
        let key = format!("{occasion}\n{}", notification.key());
        let message = Message {
            id: Uuid::new_v5(&cause, key.as_bytes()),
            kind: notifier.to_owned(),
            correlation_id: cause.to_string(),
            accepted_at: Utc::now(),
            body: serde_json::to_vec(&Kept { cause, notification }).expect("it has only texts and numbers"),
            trace: TraceContext::current_header(),
            lease: Lease::default(),
        };
        if let Err(error) = self.broker.publish(message).await {
            error!(notifier, "a notification cannot be kept and is lost: {}", full_message(&error));
            self.metrics.count_notification(notifier, "lost");
        }
    }

    /// Delivers until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let receiver = self.gate.receiver.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut settled = receiver.expect("an outbox runs once");
        let mut router = Router {
            outbox: self,
            stop,
            held: HashMap::new(),
            lanes: HashMap::new(),
            running: JoinSet::new(),
        };
        loop {
            tokio::select! {
                () = router.stop.cancelled() => break,
                Some(cause) = settled.recv() => router.let_go(cause),
                message = router.outbox.broker.receive() => match message {
                    Some(message) => router.take(message).await,
                    None => break,
                },
            }
        }
        router.lanes.clear();
        while router.running.join_next().await.is_some() {}
    }

    async fn forget(&self, id: Uuid) {
        if let Err(error) = self.broker.ack(id).await {
            error!(
                "a delivered notification cannot be forgotten and may come twice: {}",
                full_message(&error)
            );
        }
    }
}

impl Gate {
    fn unsettled(&self) -> MutexGuard<'_, HashSet<Uuid>> {
        // Sets of ids are whole at any time.
        self.unsettled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hands each notification to its lane.
struct Router {
    outbox: Outbox,
    stop: CancellationToken,
    held: HashMap<Uuid, Vec<Parcel>>,
    lanes: HashMap<String, mpsc::UnboundedSender<Parcel>>,
    running: JoinSet<()>,
}

struct Parcel {
    message: Message,
    notification: Notification,
}

impl Router {
    async fn take(&mut self, message: Message) {
        let Kept { cause, notification } = match serde_json::from_slice(&message.body) {
            Ok(kept) => kept,
            Err(error) => {
                error!("a kept notification cannot be read and is dropped: {error}");
                self.outbox.forget(message.id).await;
                return;
            }
        };
        self.outbox.metrics.add_pending_notifications(notification.notifier(), 1);
        let parcel = Parcel { message, notification };
        if self.outbox.gate.unsettled().contains(&cause) {
            self.held.entry(cause).or_default().push(parcel);
        } else {
            self.route(parcel);
        }
    }

    fn let_go(&mut self, cause: Uuid) {
        for parcel in self.held.remove(&cause).unwrap_or_default() {
            self.route(parcel);
        }
    }

    fn route(&mut self, parcel: Parcel) {
        let Self { outbox, stop, lanes, running, .. } = self;
        let lane = lanes.entry(parcel.notification.lane()).or_insert_with(|| {
            let (sender, parcels) = mpsc::unbounded_channel();
            let lane = Lane { outbox: outbox.clone(), stop: stop.clone() };
            running.spawn(lane.run(parcels));
            sender
        });
        // A lane ends with the stop; what it did not deliver comes again after the next start.
        let _ = lane.send(parcel);
    }
}

/// Delivers to one place.
struct Lane {
    outbox: Outbox,
    stop: CancellationToken,
}

impl Lane {
    async fn run(self, mut parcels: mpsc::UnboundedReceiver<Parcel>) {
        while let Some(parcel) = parcels.recv().await {
            let notifier = parcel.notification.notifier();
            let Some(outcome) = self.deliver(&parcel).await else { return };
            self.outbox.metrics.count_notification(notifier, outcome);
            self.outbox.forget(parcel.message.id).await;
            self.outbox.metrics.add_pending_notifications(notifier, -1);
        }
    }

    /// How it ended; `None` when the server stops before. An attempt that was begun is
    /// finished all the same: it would come twice otherwise.
    async fn deliver(&self, Parcel { message, notification }: &Parcel) -> Option<&'static str> {
        let notifier = notification.notifier();
        let cause = &message.correlation_id;
        let mut delays = self.outbox.retries.delays();
        loop {
            if self.stop.is_cancelled() {
                return None;
            }
            let span = info_span!("notify", notifier);
            if let Some(trace) = message.trace.as_deref().and_then(TraceContext::from_header) {
                trace.adopt(&span);
            }
            let attempt = self.outbox.notifiers.deliver(notification).instrument(span);
            let (reason, retry_after) = match attempt.await {
                Ok(()) => return Some("delivered"),
                Err(DeliveryError::NobodyThere(reason)) => {
                    debug!(notifier, cause, reason, "there is nobody to notify");
                    return Some("nobody");
                }
                Err(DeliveryError::Refused(reason)) => {
                    error!(notifier, cause, reason, "a notification was refused and is dropped");
                    return Some("refused");
                }
                Err(DeliveryError::Unavailable { reason, retry_after }) => (reason, retry_after),
            };
            let age = (Utc::now() - message.accepted_at).to_std().unwrap_or_default();
            if age >= self.outbox.retries.give_up_after {
                error!(notifier, cause, reason, "a notification was tried for too long and is given up");
                return Some("given_up");
            }
            warn!(notifier, cause, reason, "a notification waits");
            self.outbox.metrics.count_notification(notifier, "retried");
            let delay = delays.next().unwrap_or(self.outbox.retries.max_delay);
            let delay = delay.max(retry_after.unwrap_or_default().min(MAX_RATE_LIMIT));
            tokio::select! {
                () = self.stop.cancelled() => return None,
                () = tokio::time::sleep(delay) => {}
            }
        }
    }
}

impl Retries {
    fn delays(self) -> impl Iterator<Item = Duration> {
        let backoff =
            ExponentialBuilder::default().with_min_delay(self.min_delay).with_max_delay(self.max_delay);
        backoff.with_jitter().without_max_times().build()
    }
}

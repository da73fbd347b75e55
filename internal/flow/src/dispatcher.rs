//! Executes accepted events: many at once, those of one service and environment
//! one after the other, each until it is done or cannot be done.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBuilder};
use chrono::Utc;
use release_api::v1::ReleaseState;
use release_broker::Message;
use release_core::{Event, event::Release, full_message};
use release_git::{Change, ObjectId, Outcome, WriteError};
use release_storage::StorageError;
use release_telemetry::metrics::ReleaseLabels;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, error_span, info, warn};
use uuid::Uuid;

use crate::{
    Backends, FlowError, auto_release::auto_release, events::event_of, plan::PreparedRelease,
    tracker::Tracker,
};

/// How many events are worked on or wait for an earlier one of their service.
const MAX_IN_FLIGHT: usize = 1_000;
const MIN_DELAY: Duration = Duration::from_millis(200);
const MAX_DELAY: Duration = Duration::from_secs(15);
/// How often the remote may decline a release while it takes others.
const MAX_DECLINED: u64 = 5;

/// Takes events from the broker and executes them until it is told to stop.
pub struct Dispatcher {
    worker: Worker,
    in_flight: usize,
    /// What waits behind an event of the same service and environment.
    behind: HashMap<String, VecDeque<Message>>,
    /// Each gives back the ordering key of what it executed.
    running: JoinSet<String>,
}

#[derive(Clone)]
struct Worker {
    backends: Backends,
    tracker: Arc<Tracker>,
    stop: CancellationToken,
    /// Counts what the remote accepted, to tell a release that it declines from a remote that declines all.
    committed: Arc<AtomicU64>,
}

/// Why an event was not executed.
enum Failure {
    /// Trying again cannot help.
    Permanent(String),
    /// The remote declines this one.
    Declined(String),
    /// Something is away.
    Transient(String),
    /// The server is stopping; the event stays in the queue.
    Stopping,
}

impl Dispatcher {
    pub(crate) fn new(backends: Backends, tracker: Arc<Tracker>) -> Self {
        let worker = Worker { backends, tracker, stop: CancellationToken::new(), committed: Arc::default() };
        Self { worker, in_flight: 0, behind: HashMap::new(), running: JoinSet::new() }
    }

    /// Cancelling it makes [`Dispatcher::run`] return: what is being written is
    /// finished, what waits goes back to the queue.
    pub fn stop_token(&self) -> CancellationToken {
        self.worker.stop.clone()
    }

    pub async fn run(mut self) {
        let stop = self.worker.stop.clone();
        let broker = self.worker.backends.broker.clone();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(done) = self.running.join_next() => self.finished(done),
                message = broker.receive(), if self.in_flight < MAX_IN_FLIGHT => match message {
                    Some(message) => self.take(message),
                    None => break,
                },
            }
        }
        while self.running.join_next().await.is_some() {}
    }

    fn take(&mut self, message: Message) {
        self.in_flight += 1;
        let key = match event_of(&message) {
            Ok(event) => {
                if let Event::Release(release) = &event {
                    self.worker.tracker.accept(release);
                }
                event.ordering_key()
            }
            // Cannot be executed; what it would be ordered with does not matter.
            Err(_) => message.id.to_string(),
        };
        match self.behind.get_mut(&key) {
            Some(behind) => behind.push_back(message),
            None => {
                self.behind.insert(key.clone(), VecDeque::new());
                self.start(key, message);
            }
        }
    }

    fn start(&mut self, key: String, message: Message) {
        let worker = self.worker.clone();
        let span = error_span!("event", requestId = message.correlation_id, event = %message.id);
        let work = async move {
            worker.execute(message).await;
            key
        };
        self.running.spawn(work.instrument(span));
    }

    fn finished(&mut self, done: Result<String, tokio::task::JoinError>) {
        self.in_flight = self.in_flight.saturating_sub(1);
        let key = match done {
            Ok(key) => key,
            Err(panic) => {
                // Its successors stay in the queue: executing them would change their order.
                error!("executing an event panicked; it is tried again after a restart: {panic}");
                return;
            }
        };
        if let Some(behind) = self.behind.get_mut(&key) {
            match behind.pop_front() {
                Some(next) => self.start(key, next),
                None => {
                    self.behind.remove(&key);
                }
            }
        }
    }
}

impl Worker {
    /// Executes one event to its end.
    async fn execute(&self, message: Message) {
        let id = message.id;
        let event = match event_of(&message) {
            Ok(event) => event,
            Err(error) => return self.bury(id, full_message(&error)).await,
        };
        let mut delays = delays();
        let mut declined = 0;
        let mut accepted_before = 0;
        loop {
            self.tracker.progress(id, ReleaseState::Releasing, None);
            let reason = match self.attempt(&message, &event).await {
                Ok(()) | Err(Failure::Stopping) => return,
                Err(Failure::Permanent(reason)) => return self.bury(id, reason).await,
                Err(Failure::Transient(reason)) => reason,
                Err(Failure::Declined(reason)) => {
                    let accepted = self.committed.load(Ordering::SeqCst);
                    if declined == 0 {
                        accepted_before = accepted;
                    }
                    declined += 1;
                    if declined >= MAX_DECLINED && accepted > accepted_before {
                        return self.bury(id, reason).await;
                    }
                    reason
                }
            };
            warn!(reason, "the event waits");
            self.tracker.progress(id, ReleaseState::Queued, Some(reason));
            if !self.pause(delays.next().unwrap_or(MAX_DELAY)).await {
                return;
            }
        }
    }

    async fn attempt(&self, message: &Message, event: &Event) -> Result<(), Failure> {
        match event {
            Event::Release(release) => {
                let outcome = self.release(release).await?;
                self.done(message, release, outcome).await;
            }
            Event::NewArtifact(artifact) => {
                auto_release(&self.backends, &self.tracker, message, artifact).await?;
                self.ack(message.id).await;
            }
        }
        Ok(())
    }

    async fn release(&self, release: &Release) -> Result<Outcome, Failure> {
        let Release { service, artifact_id, environment, .. } = release;
        let announced = self.backends.writer.announce();
        let files = self.backends.storage.files(service, artifact_id, environment).await?;
        let restrictions = self.backends.restrictions.clone();
        let prepared = PreparedRelease::new(release.clone(), files, restrictions)
            .map_err(|error| Failure::Permanent(full_message(&error)))?;
        let change =
            Change { release_id: Some(release.release_id), plan: Box::new(move |tree| prepared.plan(tree)) };
        Ok(announced.write(change).await?)
    }

    /// Waits before the next try; less when the remote is back before. `false` when the server stops.
    async fn pause(&self, delay: Duration) -> bool {
        let mut problem = self.backends.repository.problem();
        let was_away = problem.borrow_and_update().is_some();
        let back = async {
            if !was_away || problem.wait_for(Option::is_none).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = self.stop.cancelled() => false,
            () = tokio::time::sleep(delay) => true,
            () = back => true,
        }
    }

    async fn done(&self, message: &Message, release: &Release, outcome: Outcome) {
        let Release { service, environment, artifact_id, actor, intent, .. } = release;
        let commit = match outcome {
            Outcome::Committed(commit) => Some(commit),
            Outcome::Unchanged => None,
        };
        if let Some(commit) = commit {
            self.committed.fetch_add(1, Ordering::SeqCst);
            self.count(release, message);
            info!(
                service = %service, environment = %environment, "artifact-id" = %artifact_id, commit = %commit,
                intent = intent.kind(), releaser = actor.email(),
                "Release [{environment}]: {service} ({artifact_id}) by {}", actor.display_name()
            );
        } else {
            info!(service = %service, environment = %environment, "artifact-id" = %artifact_id, "already released");
        }
        let state = if commit.is_some() { ReleaseState::Released } else { ReleaseState::Unchanged };
        self.tracker.finish(message.id, state, commit.map(|id: ObjectId| id.to_string()), None);
        if let Err(error) = self.backends.broker.ack(message.id).await {
            // It comes again after a restart, and finds its commit.
            error!("an executed event cannot be acknowledged: {}", full_message(&error));
        }
    }

    async fn ack(&self, id: Uuid) {
        if let Err(error) = self.backends.broker.ack(id).await {
            // It comes again after a restart, and finds what it has become.
            error!("an executed event cannot be acknowledged: {}", full_message(&error));
        }
    }

    fn count(&self, release: &Release, message: &Message) {
        let metrics = &self.backends.metrics;
        metrics.count_release(ReleaseLabels {
            environment: release.environment.as_str(),
            service: release.service.as_str(),
            releaser: release.actor.email(),
            intent: release.intent.kind(),
            squad: "",
        });
        let took = (Utc::now() - message.accepted_at).to_std().unwrap_or_default();
        metrics.observe_push("success", took);
    }

    async fn bury(&self, id: Uuid, reason: String) {
        error!(reason, "the event failed for good; see 'server events list'");
        if let Err(error) = self.backends.broker.bury(id, reason.clone()).await {
            error!("a failed event cannot be put aside: {}", full_message(&error));
        }
        self.tracker.finish(id, ReleaseState::Failed, None, Some(reason));
    }
}

fn delays() -> impl Iterator<Item = Duration> {
    let backoff = ExponentialBuilder::default().with_min_delay(MIN_DELAY).with_max_delay(MAX_DELAY);
    backoff.with_jitter().without_max_times().build()
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        let message = full_message(&error);
        match error {
            StorageError::Unavailable { .. } => Self::Transient(message),
            _ => Self::Permanent(message),
        }
    }
}

impl From<FlowError> for Failure {
    fn from(error: FlowError) -> Self {
        let message = error.to_string();
        match error {
            FlowError::Invalid(_) | FlowError::NotFound(_) => Self::Permanent(message),
            FlowError::Unavailable(_) | FlowError::Internal(_) => Self::Transient(message),
        }
    }
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        let message = error.to_string();
        match error {
            WriteError::Refused(_) => Self::Permanent(message),
            WriteError::Declined(_) => Self::Declined(message),
            WriteError::Unavailable(_) => Self::Transient(message),
            WriteError::Closed => Self::Stopping,
        }
    }
}

//! Executes accepted events: many at once, those of one service and environment
//! one after the other, each until it is done or cannot be done.

mod lanes;

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBuilder};
use chrono::Utc;
use release_api::v1::ReleaseState;
use release_broker::{Lease, Message};
use release_core::{
    Event, Spec,
    event::{self, Release, is_announcement},
    full_message,
};
use release_git::{Change, ObjectId, Outcome, WriteError};
use release_notify::{Failed, Released};
use release_storage::{File, StorageError};
use release_telemetry::{TraceContext, metrics::ReleaseLabels};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, error, info, info_span, warn};
use uuid::Uuid;

use crate::{
    Backends, FlowError, auto_release::auto_release, events::event_of, plan::PreparedRelease,
    rollouts::Rollouts, tracker::Tracker,
};
use lanes::Lanes;

/// How many events are worked on or wait for an earlier one of their service.
const MAX_IN_FLIGHT: usize = 1_000;
/// The same of what daemons tell, besides: however much that is, it holds up no release.
const MAX_ROLLOUTS: usize = 500;
const MIN_DELAY: Duration = Duration::from_millis(200);
const MAX_DELAY: Duration = Duration::from_secs(15);
/// How often the remote may decline a release again, having taken others since the last time.
const MAX_DECLINED: u32 = 4;
/// How many artifacts are read at once. They count only after that.
const MAX_READING: usize = 8;
/// How many KiB of files may wait for their push, except for a single larger release.
const MAX_IN_MEMORY: u32 = 256 << 10;

/// Takes events from the broker and executes them until it is told to stop.
pub struct Dispatcher {
    worker: Worker,
    /// By service and environment.
    releases: Lanes,
    /// By what they are about.
    rollouts: Lanes,
    /// What daemons told and has its turn later, with its key. The broker bounds it.
    waiting: VecDeque<(String, Message)>,
}

#[derive(Clone)]
struct Worker {
    backends: Backends,
    tracker: Arc<Tracker>,
    rollouts: Rollouts,
    stop: CancellationToken,
    /// Counts what the remote accepted, to tell a release that it declines from a remote that declines all.
    committed: Arc<AtomicU64>,
    reading: Arc<Semaphore>,
    in_memory: Arc<Semaphore>,
}

/// Why an event was not executed.
pub(crate) enum Failure {
    /// Trying again cannot help.
    Permanent(String),
    /// The remote declines this one.
    Declined(String),
    /// Something is away.
    Transient(String),
    /// The writer takes nothing more, as when the server stops.
    Closed(String),
}

impl Dispatcher {
    pub(crate) fn new(backends: Backends, tracker: Arc<Tracker>, rollouts: Rollouts) -> Self {
        let worker = Worker {
            backends,
            tracker,
            rollouts,
            stop: CancellationToken::new(),
            committed: Arc::default(),
            reading: Arc::new(Semaphore::new(MAX_READING)),
            in_memory: Arc::new(Semaphore::new(MAX_IN_MEMORY as usize)),
        };
        Self { worker, releases: Lanes::default(), rollouts: Lanes::default(), waiting: VecDeque::new() }
    }

    /// Cancelling it makes [`Dispatcher::run`] return: what is being written is
    /// finished, what waits goes back to the queue.
    pub fn stop_token(&self) -> CancellationToken {
        self.worker.stop.clone()
    }

    pub async fn run(mut self) {
        let stop = self.worker.stop.clone();
        let broker = self.worker.backends.broker.clone();
        let notifying = tokio::spawn(self.worker.backends.outbox.clone().run(stop.clone()));
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(done) = self.releases.next() => self.releases.finished(&self.worker, done),
                Some(done) = self.rollouts.next() => {
                    self.rollouts.finished(&self.worker, done);
                    self.take_waiting();
                }
                message = broker.receive(), if self.releases.in_flight() < MAX_IN_FLIGHT => match message {
                    Some(message) => self.take(message),
                    None => break,
                },
            }
        }
        while self.releases.next().await.is_some() {}
        while self.rollouts.next().await.is_some() {}
        stop.cancel();
        if let Err(panic) = notifying.await {
            error!("delivering notifications panicked; they go on after a restart: {panic}");
        }
    }

    fn take(&mut self, message: Message) {
        // What cannot be executed has nothing that it would be ordered with.
        let (key, is_rollout) = match event_of(&message) {
            Ok(event) => {
                if let Event::Release(release) = &event {
                    self.worker.tracker.accept(release);
                }
                (event.ordering_key(), matches!(event, Event::Rollout(_)))
            }
            Err(_) => (message.id.to_string(), false),
        };
        if is_rollout {
            self.waiting.push_back((key, message));
            self.take_waiting();
        } else {
            self.releases.take(&self.worker, key, message);
        }
    }

    fn take_waiting(&mut self) {
        while self.rollouts.in_flight() < MAX_ROLLOUTS
            && let Some((key, message)) = self.waiting.pop_front()
        {
            self.rollouts.take(&self.worker, key, message);
        }
    }
}

impl Worker {
    /// Executes one event to its end.
    async fn execute(&self, message: Message) {
        // What is finished came again since RabbitMQ never heard of it. Done once more, it could undo a later one.
        if is_announcement(&message.kind) || self.tracker.is_finished(message.id) {
            return self.settle(message.id, None).await;
        }
        let event = match event_of(&message) {
            Ok(event) => event,
            Err(error) => return self.bury(message.id, full_message(&error)).await,
        };
        if let Some(reason) = self.until_done(&message, &event).await {
            if let Event::Release(release) = &event {
                self.backends.outbox.failed(Failed { release, reason: &reason }).await;
            }
            self.bury(message.id, reason).await;
        }
    }

    /// The reason when it failed for good; `None` when it is done or the server stops.
    async fn until_done(&self, message: &Message, event: &Event) -> Option<String> {
        let id = message.id;
        let mut delays = delays();
        let mut declined = 0;
        let mut accepted_before = u64::MAX;
        loop {
            if message.lease.is_over() || !self.backends.broker.holds(id) {
                info!("the event was taken back; it comes again, here or at another server");
                self.tracker.progress(id, ReleaseState::Queued, None);
                return None;
            }
            self.tracker.progress(id, ReleaseState::Releasing, None);
            let reason = match self.attempt(message, event).await {
                Ok(()) => return None,
                Err(Failure::Permanent(reason)) => return Some(reason),
                Err(Failure::Closed(_)) if self.stop.is_cancelled() => return None,
                Err(Failure::Transient(reason) | Failure::Closed(reason)) => reason,
                Err(Failure::Declined(reason)) => {
                    // Only while it takes others: else it may as well be the remote's trouble.
                    let accepted = self.committed.load(Ordering::SeqCst);
                    declined += u32::from(accepted > accepted_before);
                    accepted_before = accepted;
                    if declined >= MAX_DECLINED {
                        return Some(reason);
                    }
                    reason
                }
            };
            warn!(reason, "the event waits");
            self.tracker.progress(id, ReleaseState::Queued, Some(reason));
            if !self.pause(delays.next().unwrap_or(MAX_DELAY)).await {
                return None;
            }
        }
    }

    async fn attempt(&self, message: &Message, event: &Event) -> Result<(), Failure> {
        match event {
            Event::Release(release) => {
                let (outcome, spec) = self.release(release).await?;
                self.done(message, release, &spec, outcome).await;
            }
            Event::NewArtifact(artifact) => {
                auto_release(&self.backends, &self.tracker, message, artifact).await?;
                self.settle(message.id, None).await;
            }
            Event::Rollout(report) => {
                let announcement = self.rollouts.execute(message, report).await?;
                if let Some(announcement) = announcement
                    && !self.announce(announcement).await
                {
                    return Ok(());
                }
                self.settle(message.id, None).await;
            }
        }
        Ok(())
    }

    async fn release(&self, release: &Release) -> Result<(Outcome, Spec), Failure> {
        let Release { service, artifact_id, environment, .. } = release;
        let turn = self.reading.acquire().await;
        let announced = self.backends.writer.announce();
        let reading = self.backends.storage.files(service, artifact_id, environment);
        let files = reading.instrument(info_span!("read artifact")).await?;
        let _in_memory = self.in_memory.acquire_many(kibibytes(&files)).await;
        drop(turn);
        let restrictions = self.backends.restrictions.clone();
        let prepared = PreparedRelease::new(release.clone(), files, restrictions)
            .map_err(|error| Failure::Permanent(full_message(&error)))?;
        let spec = prepared.spec().clone();
        let change =
            Change { release_id: Some(release.release_id), plan: Box::new(move |tree| prepared.plan(tree)) };
        Ok((announced.write(change).instrument(info_span!("write")).await?, spec))
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

    async fn done(&self, message: &Message, release: &Release, spec: &Spec, outcome: Outcome) {
        let Release { service, environment, artifact_id, .. } = release;
        let commit = match outcome {
            Outcome::Committed(commit) => Some(commit),
            Outcome::Unchanged => None,
        };
        let released = Released { release, spec, at: Utc::now() };
        if let Some(commit) = commit {
            self.committed.fetch_add(1, Ordering::SeqCst);
            self.count(release, spec, message);
            log(released, commit);
        } else {
            info!(service = %service, environment = %environment, "artifact-id" = %artifact_id, "already released");
        }
        let state = if commit.is_some() { ReleaseState::Released } else { ReleaseState::Unchanged };
        self.tracker.finish(message.id, state, commit.map(|id: ObjectId| id.to_string()), None);
        if commit.is_some() {
            self.backends.outbox.released(released).await;
            if !self.announce(announcement(message, release, spec)).await {
                return;
            }
        }
        self.settle(message.id, None).await;
    }

    /// Tells other systems. Tries until it works; `false` when the server stops before.
    async fn announce(&self, announcement: Message) -> bool {
        let mut delays = delays();
        let announce = || self.backends.broker.announce(announcement.clone());
        while let Err(error) = announce().instrument(info_span!("announce")).await {
            warn!("a '{}' cannot be announced yet: {}", announcement.kind, full_message(&error));
            if !self.pause(delays.next().unwrap_or(MAX_DELAY)).await {
                return false;
            }
        }
        true
    }

    /// The event will not come again: it is done, or dead for this reason. Tries
    /// until it works, because what waits behind it must not be executed before:
    /// coming again after that, it would undo it.
    async fn settle(&self, id: Uuid, dead: Option<&str>) {
        let broker = &self.backends.broker;
        let mut delays = delays();
        loop {
            let settled = match dead {
                None => broker.ack(id).await,
                Some(reason) => broker.bury(id, reason.to_owned()).await,
            };
            let Err(error) = settled else { return self.backends.outbox.settle(id) };
            error!("an executed event cannot be taken out of the queue: {}", full_message(&error));
            if !self.pause(delays.next().unwrap_or(MAX_DELAY)).await {
                return;
            }
        }
    }

    fn count(&self, release: &Release, spec: &Spec, message: &Message) {
        let metrics = &self.backends.metrics;
        metrics.count_release(ReleaseLabels {
            environment: release.environment.as_str(),
            service: release.service.as_str(),
            releaser: release.actor.email(),
            intent: release.intent.kind(),
            squad: &spec.squad,
        });
        let took = (Utc::now() - message.accepted_at).to_std().unwrap_or_default();
        metrics.observe_push("success", took);
    }

    async fn bury(&self, id: Uuid, reason: String) {
        error!(reason, "the event failed for good; see 'server events list'");
        self.settle(id, Some(&reason)).await;
        self.tracker.finish(id, ReleaseState::Failed, None, Some(reason));
    }
}

/// One line with all that log aggregation counts releases by.
fn log(released: Released<'_>, commit: ObjectId) {
    let Release { service, environment, namespace, artifact_id, actor, intent, .. } = released.release;
    let Spec { squad, application, .. } = released.spec;
    info!(
        service = %service,
        environment = %environment,
        namespace = %namespace,
        "artifact-id" = %artifact_id,
        squad,
        "commit-message" = application.message,
        "commit-author" = application.author_name,
        "commit-author-email" = application.author_email,
        "commit-committer" = application.committer_name,
        "commit-committer-email" = application.committer_email,
        "commit-link" = application.url,
        "commit-sha" = application.sha,
        releaser = actor.email(),
        "type" = "release",
        commit = %commit,
        intent = intent.kind(),
        "{}", released.sentence()
    );
}

/// Each release makes one, with one id, however often it is told.
fn announcement(message: &Message, release: &Release, spec: &Spec) -> Message {
    let body = event::Released {
        name: release.service.as_str(),
        namespace: release.namespace.as_str(),
        artifact_id: release.artifact_id.as_str(),
        author_email: &spec.application.author_email,
        author_name: &spec.application.author_name,
        squad: &spec.squad,
        environment: release.environment.as_str(),
        intent_type: release.intent.kind(),
    };
    let kind = event::Released::KIND;
    Message {
        id: Uuid::new_v5(&release.release_id, kind.as_bytes()),
        kind: kind.to_owned(),
        correlation_id: message.correlation_id.clone(),
        accepted_at: Utc::now(),
        body: body.to_json(),
        trace: TraceContext::current_header(),
        lease: Lease::default(),
    }
}

fn kibibytes(files: &[File]) -> u32 {
    let bytes: usize = files.iter().map(|file| file.contents.len()).sum();
    u32::try_from(bytes >> 10).unwrap_or(u32::MAX).clamp(1, MAX_IN_MEMORY)
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
            WriteError::Closed => Self::Closed(message),
        }
    }
}

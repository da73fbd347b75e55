//! Accepting a release.

use std::time::Duration;

use chrono::Utc;
use release_api::v1::{ReleaseState, ReleaseStatus};
use release_broker::{BrokerError, Lease, Message};
use release_core::{Event, Intent, Name, Person, event::Release, gate::Candidate};
use release_storage::{StorageError, Summary};
use release_telemetry::TraceContext;
use tokio::time::timeout;
use tracing::{Instrument as _, info_span};
use uuid::Uuid;

use crate::{
    Backends, Flow, FlowError, gate, layout, plan::running_artifact, suggest::did_you_mean, tracker::Tracker,
};

/// What `POST /release` asks for, checked as far as its form goes.
#[derive(Debug, Clone)]
pub struct ReleaseRequest {
    pub service: Name,
    pub environment: Name,
    pub artifact_id: Name,
    pub actor: Person,
    pub intent: Intent,
    /// The caller's key, if it sent one: the same key and request is the same release.
    pub idempotency_key: Option<String>,
    /// The HTTP request id; follows the release through logs and broker.
    pub request_id: String,
}

/// What became of a release request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// Durable; it will become one commit.
    Queued { release_id: Uuid },
    /// The environment already runs the artifact.
    Unchanged,
}

impl Flow {
    /// Checks a release and hands it to the broker. When this returns
    /// [`Accepted::Queued`], the release will be executed whatever happens to this process.
    pub async fn release(&self, request: ReleaseRequest) -> Result<Accepted, FlowError> {
        // Company for those that are being written: until it is refused or with the dispatcher.
        let _announced = self.backends.writer.announce();
        let release_id = release_id(&request);
        if request.idempotency_key.is_some()
            && let Some(known) = self.known_release(release_id).await?
        {
            return Ok(match known.state {
                ReleaseState::Unchanged => Accepted::Unchanged,
                _ => Accepted::Queued { release_id },
            });
        }
        let summary = self.artifact(&request.service, &request.artifact_id).await?;
        check_environment(&request, &summary)?;
        let release = new_release(release_id, &request, &summary)?;
        if self.is_running(&release)? || self.check_rules(&release).is_err() {
            self.look_at_the_remote().await;
        }
        let is_running = self.is_running(&release)?;
        let is_shared = self.backends.broker.is_shared();
        if is_running && !is_shared {
            return Ok(Accepted::Unchanged);
        }
        self.check_rules(&release)?;
        enqueue(&self.backends, &self.tracker, release, request.request_id).await?;
        if is_shared {
            self.tracker.forget_old(|id| self.backends.broker.holds(id));
        }
        // What others accepted may change what runs, so whoever executes it has the last word.
        if is_running && self.ends_unchanged(release_id).await {
            return Ok(Accepted::Unchanged);
        }
        Ok(Accepted::Queued { release_id })
    }

    /// Before somebody is told that there is nothing to do, or that it is not allowed: others
    /// may have changed that. While the remote is away, what it last was has to do.
    async fn look_at_the_remote(&self) {
        const PATIENCE: Duration = Duration::from_secs(5);
        // A failure is noted where the server says what is wrong with it.
        let _ = timeout(PATIENCE, self.backends.writer.fetch()).await;
    }

    /// Whether the release turns out to change nothing, if this server gets to it soon.
    async fn ends_unchanged(&self, id: Uuid) -> bool {
        const PATIENCE: Duration = Duration::from_secs(1);
        timeout(PATIENCE, self.tracker.finished(id)).await == Ok(ReleaseState::Unchanged)
    }

    /// How far a release has come; `None` when no such release is known.
    ///
    /// Another server may execute what this one accepted. Then it is queued until its commit has been
    /// fetched, or until it is found among the dead; and unchanged while its artifact runs.
    pub async fn release_status(&self, id: Uuid) -> Result<Option<ReleaseStatus>, FlowError> {
        match self.status_without_rollout(id).await? {
            Some(status) => self.with_rollout(status).await.map(Some),
            None => Ok(None),
        }
    }

    async fn status_without_rollout(&self, id: Uuid) -> Result<Option<ReleaseStatus>, FlowError> {
        let known = self.status_without_dead(id).await?;
        match known {
            Some(known) if known.state.is_final() || self.backends.broker.holds(id) => Ok(Some(known)),
            Some(known) => match self.failed_status(id).await {
                Ok(Some(failed)) => Ok(Some(failed)),
                _ => self.executed_elsewhere(known).map(Some),
            },
            None => self.failed_status(id).await,
        }
    }

    /// What a repeated request repeats. A shared broker is not asked for its dead, which is dear: there, what
    /// failed for good at another server is tried again.
    async fn known_release(&self, id: Uuid) -> Result<Option<ReleaseStatus>, FlowError> {
        if self.tracker.is_on_offer(id) {
            // The first request may fail yet, so this one hands it over, too.
            return Ok(None);
        }
        if self.backends.broker.is_shared() {
            self.status_without_dead(id).await
        } else {
            self.status_without_rollout(id).await
        }
    }

    async fn status_without_dead(&self, id: Uuid) -> Result<Option<ReleaseStatus>, FlowError> {
        let tracked = self.tracker.status(id);
        if tracked.as_ref().is_some_and(|known| known.state.is_final() || self.backends.broker.holds(id)) {
            return Ok(tracked);
        }
        let committed = self.read(move |snapshot| Ok(snapshot.find_release(id)?)).await?;
        let Some(commit) = committed else { return Ok(tracked) };
        Ok(Some(ReleaseStatus {
            release_id: id,
            service: commit.message.service,
            environment: commit.message.environment,
            artifact_id: commit.message.artifact_id,
            state: ReleaseState::Released,
            queue_position: None,
            commit: Some(commit.id.to_string()),
            message: None,
            rollout: None,
            superseded_by: None,
        }))
    }

    /// The other server makes no commit of a release that changes nothing.
    fn executed_elsewhere(&self, known: ReleaseStatus) -> Result<ReleaseStatus, FlowError> {
        let snapshot = self.backends.repository.snapshot();
        let newest = snapshot.releases(&known.environment, &known.service).next().transpose()?;
        if newest.is_some_and(|newest| newest.message.artifact_id == known.artifact_id) {
            return Ok(ReleaseStatus { state: ReleaseState::Unchanged, queue_position: None, ..known });
        }
        Ok(known)
    }

    /// Of a release that failed before a restart; what waits is known to the tracker.
    async fn failed_status(&self, id: Uuid) -> Result<Option<ReleaseStatus>, FlowError> {
        if self.backends.broker.counts().await?.dead == 0 {
            return Ok(None);
        }
        let dead = self.backends.broker.dead().await?.into_iter().find(|dead| dead.message.id == id);
        Ok(dead.and_then(|dead| {
            let Event::Release(release) = Event::from_json(&dead.message.kind, &dead.message.body).ok()?
            else {
                return None;
            };
            Some(ReleaseStatus {
                release_id: id,
                service: release.service.to_string(),
                environment: release.environment.to_string(),
                artifact_id: release.artifact_id.to_string(),
                state: ReleaseState::Failed,
                queue_position: None,
                commit: None,
                message: Some(dead.reason),
                rollout: None,
                superseded_by: None,
            })
        }))
    }

    /// The artifact, or an error that names similar ones.
    async fn artifact(
        &self,
        service: &Name,
        artifact_id: &Name,
    ) -> Result<std::sync::Arc<Summary>, FlowError> {
        let storage = &self.backends.storage;
        match storage.summary(service, artifact_id).await {
            Err(StorageError::NotFound { .. }) => {
                let ids = storage.ids(service).await?;
                if ids.is_empty() {
                    let hint = did_you_mean(service, &storage.services().await?);
                    return Err(FlowError::Invalid(format!("service '{service}' has no artifacts{hint}")));
                }
                let hint = did_you_mean(artifact_id, &ids);
                Err(FlowError::Invalid(format!("service '{service}' has no artifact '{artifact_id}'{hint}")))
            }
            result => Ok(result?),
        }
    }

    /// Whether the environment runs the artifact and nothing that waits will change that.
    fn is_running(&self, release: &Release) -> Result<bool, FlowError> {
        let snapshot = self.backends.repository.snapshot();
        for id in self.tracker.waiting(release.service.as_str(), release.environment.as_str()) {
            // What another server was to execute may be written already.
            if self.backends.broker.holds(id) || snapshot.find_release(id)?.is_none() {
                return Ok(false);
            }
        }
        let path = layout::artifact_file(&release.environment, &release.namespace, &release.service);
        // One look-up takes less time than handing it to another thread.
        let running = running_artifact(&snapshot.tree(), &path)?;
        Ok(running.as_deref() == Some(release.artifact_id.as_str()))
    }

    /// Asks now so that the caller is told; asked again on the files that the commit stands on.
    fn check_rules(&self, release: &Release) -> Result<(), FlowError> {
        let Release { service, environment, branch, .. } = release;
        let snapshot = self.backends.repository.snapshot();
        let candidate = Candidate { branch, environment };
        let refusal = gate::refusal(&snapshot.tree(), &self.backends.restrictions, service, candidate)?;
        refusal.map_or(Ok(()), |reasons| Err(FlowError::Invalid(reasons)))
    }
}

/// Hands a release to the broker. It will be executed when this returns.
pub(crate) async fn enqueue(
    backends: &Backends,
    tracker: &Tracker,
    release: Release,
    request_id: String,
) -> Result<(), BrokerError> {
    // First the tracker: the dispatcher may have the event before this continues.
    let offer = tracker.offer(&release);
    let message = message(release.release_id, &Event::Release(release), request_id);
    backends.broker.publish(message).instrument(info_span!("publish")).await?;
    offer.taken();
    Ok(())
}

pub(crate) fn message(id: Uuid, event: &Event, request_id: String) -> Message {
    Message {
        id,
        kind: event.kind().to_owned(),
        correlation_id: request_id,
        accepted_at: Utc::now(),
        body: event.to_json(),
        trace: TraceContext::current_header(),
        lease: Lease::default(),
    }
}

/// A repeated request with the same key gets the id of the first; another
/// request under the same key, such as one for the next environment, its own.
fn release_id(request: &ReleaseRequest) -> Uuid {
    let Some(key) = &request.idempotency_key else { return Uuid::now_v7() };
    let ReleaseRequest { service, environment, artifact_id, .. } = request;
    // None of the names can hold a line break.
    let name = format!("{service}\n{environment}\n{artifact_id}\n{key}");
    Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes())
}

fn check_environment(request: &ReleaseRequest, summary: &Summary) -> Result<(), FlowError> {
    let ReleaseRequest { environment, artifact_id, .. } = request;
    if summary.environments.contains(environment) {
        return Ok(());
    }
    let hint = did_you_mean(environment, &summary.environments);
    Err(FlowError::Invalid(format!("artifact '{artifact_id}' has no environment '{environment}'{hint}")))
}

pub(crate) fn new_release(
    id: Uuid,
    request: &ReleaseRequest,
    summary: &Summary,
) -> Result<Release, FlowError> {
    let spec = &summary.spec;
    let namespace = if spec.namespace.is_empty() {
        request.environment.clone()
    } else {
        Name::new(&spec.namespace).map_err(|problem| {
            FlowError::Invalid(format!("artifact '{}': its namespace {problem}", request.artifact_id))
        })?
    };
    Ok(Release {
        release_id: id,
        service: request.service.clone(),
        environment: request.environment.clone(),
        namespace,
        artifact_id: request.artifact_id.clone(),
        branch: spec.application.branch.clone(),
        actor: request.actor.clone(),
        intent: request.intent.clone(),
        enqueued_at: Utc::now(),
    })
}

//! What a new artifact sets off: releases by policies.

use release_broker::Message;
use release_core::{Event, Intent, Name, Person, event::NewArtifact};
use release_storage::Summary;
use uuid::Uuid;

use crate::{
    Backends, Flow, FlowError, ReleaseRequest, policies,
    release::{enqueue, message, new_release},
    tracker::Tracker,
};

impl Flow {
    /// An artifact was stored. When this returns, its policies will be obeyed whatever happens to
    /// this process. `md5` is that of its zip: the same zip stored again is the same event.
    pub async fn artifact_stored(
        &self,
        artifact: NewArtifact,
        md5: &str,
        request_id: String,
    ) -> Result<(), FlowError> {
        let NewArtifact { service, artifact_id } = &artifact;
        // None of the names can hold a line break.
        let name = format!("{service}\n{artifact_id}\n{md5}");
        let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes());
        let event = Event::NewArtifact(artifact);
        Ok(self.backends.broker.publish(message(id, &event, request_id)).await?)
    }
}

/// Accepts one release for each environment that the artifact's branch is released to; each goes
/// its own way from there. Their ids follow from the event's, so that a repeated event makes the same ones.
///
/// An artifact that is not its branch's newest is left to the newer one's event: whatever order the
/// events come in, an old artifact never takes the place of a newer one.
pub(crate) async fn auto_release(
    backends: &Backends,
    tracker: &Tracker,
    event: &Message,
    artifact: &NewArtifact,
) -> Result<(), FlowError> {
    let NewArtifact { service, artifact_id } = artifact;
    let storage = &backends.storage;
    let summary = storage.summary(service, artifact_id).await?;
    let branch = &summary.spec.application.branch;
    let newest = storage.newest(service, Some(branch), 1).await?;
    if newest.first().is_some_and(|newest| newest.spec.id != artifact_id.as_str()) {
        tracing::info!(service = %service, "artifact-id" = %artifact_id, "not released by policies: there is a newer one");
        return Ok(());
    }
    for environment in environments(backends, service, branch).await? {
        let id = Uuid::new_v5(&event.id, environment.as_str().as_bytes());
        let request = request(artifact, environment, &summary, event);
        let release = new_release(id, &request, &summary)?;
        enqueue(backends, tracker, release, request.request_id).await?;
    }
    Ok(())
}

/// Where new artifacts of the branch go by themselves.
async fn environments(backends: &Backends, service: &Name, branch: &str) -> Result<Vec<Name>, FlowError> {
    let snapshot = backends.repository.snapshot();
    let of_service = service.clone();
    let read = tokio::task::spawn_blocking(move || policies::read(&snapshot.tree(), &of_service));
    let policies =
        read.await.map_err(|panic| FlowError::Internal(format!("reading policies: {panic}")))???;
    let of_branch = policies.auto_releases().iter().filter(|policy| policy.branch == branch);
    Ok(of_branch.map(|policy| policy.environment.clone()).collect())
}

fn request(artifact: &NewArtifact, environment: Name, summary: &Summary, event: &Message) -> ReleaseRequest {
    ReleaseRequest {
        service: artifact.service.clone(),
        environment,
        artifact_id: artifact.artifact_id.clone(),
        actor: author(summary),
        intent: Intent::AutoRelease,
        idempotency_key: None,
        request_id: event.correlation_id.clone(),
    }
}

/// A commit needs somebody who made it, also when CI did not say who.
fn author(summary: &Summary) -> Person {
    let application = &summary.spec.application;
    let author = Person::new(&application.author_name, &application.author_email);
    if author.is_unknown() { Person::new("auto-release", "") } else { author }
}

//! Which release something in a cluster belongs to.

use release_core::{Name, rollout::WorkloadId};
use release_git::{GitError, ReleaseCommit, Snapshot};

use super::desired::{Environment, Service};
use crate::{describe::changes, layout};

/// How many releases of one service are looked at.
const MAX_LOOK_BACK: usize = 50;

/// The newest commit that released the artifact to whatever this object is part of, among the last
/// releases of each service that comes into question.
pub(crate) fn release_of(
    snapshot: &Snapshot,
    (name, environment): (&Name, &Environment),
    object: &WorkloadId,
    artifact_id: &str,
) -> Result<Option<ReleaseCommit>, GitError> {
    for service in environment.candidates(object, artifact_id) {
        let found = newest(snapshot, name, service, |commit| commit.message.artifact_id == artifact_id)?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// The release that should run.
pub(crate) fn current(
    snapshot: &Snapshot,
    environment: &Name,
    service: &Service,
) -> Result<Option<ReleaseCommit>, GitError> {
    newest(snapshot, environment, service, |_| true)
}

fn newest(
    snapshot: &Snapshot,
    environment: &Name,
    service: &Service,
    is_it: impl Fn(&ReleaseCommit) -> bool,
) -> Result<Option<ReleaseCommit>, GitError> {
    let directory = layout::service_directory(environment, &service.namespace, &service.name);
    for commit in snapshot.releases(environment.as_str(), service.name.as_str()).take(MAX_LOOK_BACK) {
        let commit = commit?;
        // The title does not say to which namespace: the files do.
        if is_it(&commit) && changes(snapshot, &commit, &directory)? {
            return Ok(Some(commit));
        }
    }
    Ok(None)
}

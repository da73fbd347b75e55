//! The history of a service's releases.

use chrono::DateTime;
use release_api::{DescribeReleaseResponse, Release};
use release_core::{Name, Spec};
use release_git::{GitError, ReleaseCommit, Snapshot};

use crate::{Flow, FlowError, layout};

impl Flow {
    /// The newest releases of a service to an environment, newest first. Without
    /// a namespace: the one that is named like the environment.
    pub async fn describe_release(
        &self,
        service: Name,
        environment: Name,
        namespace: Option<Name>,
        count: usize,
    ) -> Result<DescribeReleaseResponse, FlowError> {
        let namespace = namespace.unwrap_or_else(|| environment.clone());
        let asked = (service.clone(), environment.clone());
        let releases = self
            .read(move |snapshot| Ok(newest_releases(snapshot, &asked.0, &asked.1, &namespace, count)?))
            .await?;
        if releases.is_empty() {
            return Err(self.not_released(service, Some(environment)).await);
        }
        Ok(DescribeReleaseResponse {
            service: service.to_string(),
            environment: environment.to_string(),
            releases,
        })
    }
}

fn newest_releases(
    snapshot: &Snapshot,
    service: &Name,
    environment: &Name,
    namespace: &Name,
    count: usize,
) -> Result<Vec<Release>, GitError> {
    let directory = layout::service_directory(environment, namespace, service);
    let artifact_file = layout::artifact_file(environment, namespace, service);
    let mut releases = Vec::new();
    for commit in snapshot.releases(environment.as_str(), service.as_str()) {
        let commit = commit?;
        // The title does not say to which namespace: the files do.
        if !changes(snapshot, &commit, &directory)? {
            continue;
        }
        let Some(artifact) = snapshot.tree_of(commit.id)?.file(&artifact_file)? else { continue };
        releases.push(release(releases.len(), commit, &artifact));
        if releases.len() == count {
            break;
        }
    }
    Ok(releases)
}

pub(crate) fn changes(
    snapshot: &Snapshot,
    commit: &ReleaseCommit,
    directory: &str,
) -> Result<bool, GitError> {
    let after = snapshot.tree_of(commit.id)?.id(directory)?;
    let before = match commit.parent {
        Some(parent) => snapshot.tree_of(parent)?.id(directory)?,
        None => None,
    };
    Ok(after != before)
}

fn release(release_index: usize, commit: ReleaseCommit, artifact_json: &[u8]) -> Release {
    let message = commit.message;
    let released_by = if message.released_by.is_unknown() { &commit.committer } else { &message.released_by };
    Release {
        release_index,
        // A file that cannot be read any more still was this artifact.
        artifact: Spec::from_json(artifact_json)
            .unwrap_or_else(|_| Spec { id: message.artifact_id.clone(), ..Spec::default() }),
        released_at: DateTime::from_timestamp(commit.time, 0).unwrap_or_default(),
        released_by_email: released_by.email().to_owned(),
        released_by_name: released_by.name().to_owned(),
        intent: message.intent,
    }
}

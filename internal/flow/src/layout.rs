//! Where things are in the config repository.

use release_core::{Name, artifact};
use release_git::{EntryKind, GitError, Tree};

/// The directory of a service's files in an environment.
pub(crate) fn service_directory(environment: &Name, namespace: &Name, service: &Name) -> String {
    format!("{}/{namespace}/{service}", releases_directory(environment.as_str()))
}

/// The spec of the artifact that runs there.
pub(crate) fn artifact_file(environment: &Name, namespace: &Name, service: &Name) -> String {
    format!("{}/{}", service_directory(environment, namespace, service), artifact::FILE_NAME)
}

/// Where a service's Flux `Kustomization` goes.
pub(crate) fn kustomization_file(environment: &Name, namespace: &Name, service: &Name) -> String {
    format!("clusters/{environment}/{namespace}/{service}.yaml")
}

pub(crate) fn releases_directory(environment: &str) -> String {
    format!("{environment}/releases")
}

/// The environments: the directories that have releases in them, in alphabetical order.
pub(crate) fn environments(tree: &Tree<'_>) -> Result<Vec<Name>, GitError> {
    let mut environments = Vec::new();
    for name in directories(tree, "")? {
        if tree.id(&releases_directory(name.as_str()))?.is_some() {
            environments.push(name);
        }
    }
    Ok(environments)
}

pub(crate) fn namespaces(tree: &Tree<'_>, environment: &Name) -> Result<Vec<Name>, GitError> {
    directories(tree, &releases_directory(environment.as_str()))
}

/// The services that are released to any environment, in alphabetical order.
pub(crate) fn services(tree: &Tree<'_>) -> Result<Vec<Name>, GitError> {
    let mut services = Vec::new();
    for environment in environments(tree)? {
        let releases = releases_directory(environment.as_str());
        for namespace in directories(tree, &releases)? {
            services.extend(directories(tree, &format!("{releases}/{namespace}"))?);
        }
    }
    services.sort();
    services.dedup();
    Ok(services)
}

/// The subdirectories whose names are valid; others are not ours.
fn directories(tree: &Tree<'_>, path: &str) -> Result<Vec<Name>, GitError> {
    let entries = tree.entries(path)?.into_iter();
    let directories = entries.filter(|entry| entry.kind == EntryKind::Directory);
    Ok(directories.filter_map(|entry| Name::new(&entry.name).ok()).collect())
}

//! What the config repository says should run: an index of each environment, advanced
//! by tree ids, so that a directory that did not change is not read again.

use std::{
    collections::{BTreeMap, HashMap},
    iter::once,
    sync::{Arc, Mutex, PoisonError},
};

use release_core::{
    Name, Spec, artifact,
    rollout::{
        WorkloadId,
        record::{JOB, POD, owners, owners_of_pod},
    },
};
use release_git::{Entry, EntryKind, GitError, ObjectId, Tree};

use super::manifests::{self, Expected};
use crate::layout;

/// Of one service's directory.
const MAX_MANIFESTS: usize = 500;
const MAX_MANIFEST_BYTES: usize = 1 << 20;
/// What may own a pod of ours that is not a job's.
const OWNERS_OF_PODS: [&str; 3] = ["Deployment", "StatefulSet", "DaemonSet"];

/// A service in one namespace of one environment.
#[derive(Debug)]
pub(crate) struct Service {
    directory: ObjectId,
    pub(crate) name: Name,
    pub(crate) namespace: Name,
    /// Empty when its file cannot be read.
    pub(crate) artifact_id: String,
    /// `None` when others render the manifests: then only the cluster knows.
    pub(crate) workloads: Option<Vec<Expected>>,
}

#[derive(Debug)]
struct Namespace {
    directory: ObjectId,
    services: BTreeMap<String, Arc<Service>>,
}

/// All services of an environment.
#[derive(Debug, Default)]
pub(crate) struct Environment {
    /// The directory that this was made from.
    pub(crate) releases: Option<ObjectId>,
    namespaces: BTreeMap<String, Arc<Namespace>>,
    by_workload: HashMap<WorkloadId, Arc<Service>>,
}

/// The environments that were asked for.
#[derive(Debug, Default)]
pub(crate) struct Index {
    environments: Mutex<HashMap<Name, Arc<Environment>>>,
}

impl Index {
    /// What the environment has in these files. The first time, it is read as a whole: blocks.
    pub(crate) fn environment(&self, tree: &Tree<'_>, name: &Name) -> Result<Arc<Environment>, GitError> {
        // Held while reading: whoever comes meanwhile wants the same. What is in there is whole at any time.
        let mut environments = self.environments.lock().unwrap_or_else(PoisonError::into_inner);
        let known = environments.get(name).cloned().unwrap_or_default();
        let releases = tree.id(&layout::releases_directory(name.as_str()))?;
        if releases == known.releases {
            return Ok(known);
        }
        let next = Arc::new(known.advance(tree, name)?);
        match next.releases {
            Some(_) => environments.insert(name.clone(), next.clone()),
            None => environments.remove(name),
        };
        Ok(next)
    }
}

impl Environment {
    fn advance(&self, tree: &Tree<'_>, name: &Name) -> Result<Self, GitError> {
        let path = layout::releases_directory(name.as_str());
        let mut namespaces = BTreeMap::new();
        for entry in directories(tree.entries(&path)?) {
            let known = self.namespaces.get(&entry.name);
            let namespace = match known.filter(|known| known.directory == entry.id) {
                Some(known) => known.clone(),
                None => Arc::new(Namespace::read(tree, &entry, known.map(Arc::as_ref))?),
            };
            namespaces.insert(entry.name, namespace);
        }
        Ok(Self::new(tree.id(&path)?, namespaces))
    }

    fn new(releases: Option<ObjectId>, namespaces: BTreeMap<String, Arc<Namespace>>) -> Self {
        let services = namespaces.values().flat_map(|namespace| namespace.services.values());
        let by_workload = services.flat_map(|service| {
            let workloads = service.workloads.iter().flatten();
            workloads.map(move |workload| (workload.id.clone(), service.clone()))
        });
        let by_workload = by_workload.collect();
        Self { releases, namespaces, by_workload }
    }

    pub(crate) fn service(&self, namespace: &str, name: &str) -> Option<&Arc<Service>> {
        self.namespaces.get(namespace)?.services.get(name)
    }

    pub(crate) fn services(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.namespaces.values().flat_map(|namespace| namespace.services.values())
    }

    /// Those whose manifests have the workload, those that are called like it, and the one that
    /// runs the artifact: the services that something may be part of, the likeliest first.
    pub(crate) fn candidates(&self, id: &WorkloadId, artifact_id: &str) -> Vec<&Arc<Service>> {
        let kinds: &[&str] = if id.kind == POD { &OWNERS_OF_PODS } else { &[id.kind.as_str()] };
        let owners: Vec<&str> = match id.kind.as_str() {
            POD => owners_of_pod(&id.name).collect(),
            JOB => owners(&id.name).collect(),
            _ => Vec::new(),
        };
        let names: Vec<&str> = once(id.name.as_str()).chain(owners).collect();
        let ids = names.iter().flat_map(|name| {
            kinds.iter().map(|kind| WorkloadId {
                kind: (*kind).to_owned(),
                namespace: id.namespace.clone(),
                name: (*name).to_owned(),
            })
        });
        let by_manifest = ids.filter_map(|id| self.by_workload.get(&id));
        // A job of `api-worker` begins like `api`, too. Who renders their manifests may call them so.
        let is_likely = |service: &&Arc<Service>| {
            id.kind != JOB || service.name.as_str() == id.name || service.workloads.is_some()
        };
        let by_name = names.iter().filter_map(|name| self.service(&id.namespace, name)).filter(is_likely);
        let the_only = self.only_one_with(&id.namespace, artifact_id);
        by_manifest.chain(by_name).chain(the_only).chain(self.elsewhere(id)).collect()
    }

    /// What applies a service is often in a namespace of its own. It is told of as if it were a pod.
    fn elsewhere(&self, id: &WorkloadId) -> impl Iterator<Item = &Arc<Service>> {
        let may_be = |service: &Service| id.kind == POD && service.namespace.as_str() != id.namespace;
        self.services().filter(move |service| may_be(service) && service.name.as_str() == id.name)
    }

    /// The service in whose name something in the cluster begins: `api` of `api-worker`.
    pub(crate) fn namesake(&self, id: &WorkloadId) -> Option<&Arc<Service>> {
        once(id.name.as_str()).chain(owners(&id.name)).find_map(|name| self.service(&id.namespace, name))
    }

    fn only_one_with(&self, namespace: &str, artifact_id: &str) -> Option<&Arc<Service>> {
        let services = self.namespaces.get(namespace)?.services.values();
        let mut with = services.filter(|service| service.artifact_id == artifact_id);
        with.next().filter(|_| with.next().is_none())
    }
}

impl Namespace {
    fn read(tree: &Tree<'_>, entry: &Entry, known: Option<&Self>) -> Result<Self, GitError> {
        let mut services = BTreeMap::new();
        let Ok(name) = Name::new(&entry.name) else { return Ok(Self { directory: entry.id, services }) };
        for directory in directories(tree.inside(entry).entries("")?) {
            let known = known.and_then(|known| known.services.get(&directory.name));
            let service = match known.filter(|known| known.directory == directory.id) {
                Some(known) => Some(known.clone()),
                None => Service::read(tree, &directory, &name)?.map(Arc::new),
            };
            services.extend(service.map(|service| (directory.name, service)));
        }
        Ok(Self { directory: entry.id, services })
    }
}

impl Service {
    /// `None` when its name is not one of ours.
    fn read(tree: &Tree<'_>, entry: &Entry, namespace: &Name) -> Result<Option<Self>, GitError> {
        let Ok(name) = Name::new(&entry.name) else { return Ok(None) };
        let files = tree.inside(entry);
        let spec = files.file(artifact::FILE_NAME)?.and_then(|json| Spec::from_json(&json).ok());
        let manifests = read_manifests(&files)?;
        Ok(Some(Self {
            directory: entry.id,
            name,
            namespace: namespace.clone(),
            artifact_id: spec.map(|spec| spec.id).unwrap_or_default(),
            workloads: manifests.and_then(|manifests| manifests::workloads(&manifests, namespace)),
        }))
    }

    /// By its manifests, there is nothing in it that daemons tell of.
    pub(crate) fn runs_nothing(&self) -> bool {
        self.workloads.as_ref().is_some_and(|workloads| workloads.iter().all(|one| !one.is_managed))
    }

    pub(crate) fn expected(&self, id: &WorkloadId) -> Option<&Expected> {
        self.workloads.iter().flatten().find(|workload| workload.id == *id)
    }
}

/// The manifests of a directory and those below it; `None` when they are rendered by others.
fn read_manifests(files: &Tree<'_>) -> Result<Option<Vec<Vec<u8>>>, GitError> {
    let mut manifests = Vec::new();
    let mut to_read = vec![*files];
    while let Some(directory) = to_read.pop() {
        for entry in directory.entries("")? {
            match entry.kind {
                EntryKind::Directory => to_read.push(directory.inside(&entry)),
                EntryKind::File if manifests::is_kustomization(&entry.name) => return Ok(None),
                EntryKind::File if manifests::is_manifest(&entry.name) && manifests.len() < MAX_MANIFESTS => {
                    let contents = directory.file(&entry.name)?.unwrap_or_default();
                    manifests.extend(Some(contents).filter(|contents| contents.len() <= MAX_MANIFEST_BYTES));
                }
                EntryKind::File => {}
            }
        }
    }
    Ok(Some(manifests))
}

fn directories(entries: Vec<Entry>) -> impl Iterator<Item = Entry> {
    entries.into_iter().filter(|entry| entry.kind == EntryKind::Directory)
}

#[cfg(test)]
pub(crate) mod tests;

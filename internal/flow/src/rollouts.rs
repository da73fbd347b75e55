//! What became of releases in their clusters.
//!
//! Daemons tell two kinds of things. *Happenings* (a rollout succeeded, a pod or a job
//! fails) come through the broker, are executed once, and are kept in a note of the release's
//! commit ([`execute`]). *States* of whole clusters are kept in memory and replaced by the next
//! one. [`join`] makes of both how far a release has come.

mod cluster;
mod desired;
mod execute;
mod find;
mod join;
mod looks;
mod manifests;
mod truth;

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use chrono::{DateTime, Utc};
use release_api::v1::{EnvironmentStatus, ReleaseState, ReleaseStatus, Rollout, StatusResponse};
use release_core::{
    Name,
    event::Event,
    rollout::{ClusterState, Report},
};
use release_git::{GitError, ObjectId, ReleaseCommit, Snapshot};
use tokio::task::spawn_blocking;
use uuid::Uuid;

use crate::{Backends, Flow, FlowError, release::message};
use cluster::{Cluster, Clusters};
use desired::{Index, Service};
use join::{Live, Release};
use looks::Looks;
use truth::Comparison;

/// How many ids of happenings without a release are remembered.
const MAX_STRANGERS: usize = 10_000;
/// How many releases before the current one may show that a daemon tells of an environment.
const RELEASES_WITH_NOTES: usize = 5;

/// Joins what daemons tell to releases. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Rollouts {
    backends: Backends,
    known: Arc<Known>,
}

#[derive(Default)]
struct Known {
    clusters: Clusters,
    index: Index,
    /// The newest of each environment, with what it was made of.
    comparisons: Mutex<HashMap<Name, Compared>>,
    /// Happenings that belong to no release, so that no note knows them.
    strangers: Mutex<VecDeque<Uuid>>,
    looks: Looks,
}

struct Compared {
    releases: Option<ObjectId>,
    cluster: Arc<Cluster>,
    comparison: Arc<Comparison>,
}

/// What `status` and `--wait` show of one environment.
struct Told {
    rollout: Option<Rollout>,
    comparison: Arc<Comparison>,
    silent_since: Option<DateTime<Utc>>,
}

impl Flow {
    /// Takes what a daemon tells. When this returns, it will be executed whatever happens to this
    /// process; a state is only kept in memory. The same id again has no further effect.
    pub async fn report(&self, id: Uuid, report: Report, request_id: String) -> Result<(), FlowError> {
        if let Report::State(state) = report {
            return self.rollouts.hear(state).await;
        }
        let event = Event::Rollout(report);
        Ok(self.backends.broker.publish(message(id, &event, request_id)).await?)
    }

    /// [`Flow::status`] with what is true in the clusters.
    pub async fn status_with_rollouts(
        &self,
        service: Name,
        namespace: Option<Name>,
    ) -> Result<StatusResponse, FlowError> {
        let status = self.status(service.clone(), namespace.clone()).await?;
        let rollouts = self.rollouts.clone();
        let environments = self
            .read(move |snapshot| {
                let environments = status.environments.into_iter();
                let told =
                    environments.map(|one| rollouts.status(snapshot, one, namespace.as_ref(), &service));
                Ok(told.collect::<Result<Vec<_>, GitError>>()?)
            })
            .await?;
        Ok(StatusResponse { default_namespaces: status.default_namespaces, environments })
    }

    /// Adds to a release that is on the remote what became of it in the cluster.
    pub(crate) async fn with_rollout(&self, status: ReleaseStatus) -> Result<ReleaseStatus, FlowError> {
        if !matches!(status.state, ReleaseState::Released | ReleaseState::Unchanged) {
            return Ok(status);
        }
        let rollouts = self.rollouts.clone();
        self.read(move |snapshot| Ok(rollouts.of_release(snapshot, status)?)).await
    }

    /// Sets the metrics of all clusters that were told of.
    pub async fn observe_clusters(&self) -> Result<(), FlowError> {
        let rollouts = self.rollouts.clone();
        self.read(move |snapshot| Ok(rollouts.observe(snapshot)?)).await
    }
}

impl Rollouts {
    pub(crate) fn new(backends: Backends) -> Self {
        Self { backends, known: Arc::default() }
    }

    /// Of tens of thousands of workloads, it takes a while.
    async fn hear(&self, state: ClusterState) -> Result<(), FlowError> {
        let known = self.known.clone();
        let heard = spawn_blocking(move || known.clusters.hear(state, Utc::now())).await;
        heard
            .map_err(|panic| FlowError::Internal(format!("keeping a cluster's state: {panic}")))?
            .map_err(|error| FlowError::Invalid(error.to_string()))
    }

    fn status(
        &self,
        snapshot: &Snapshot,
        environment: release_api::Environment,
        namespace: Option<&Name>,
        service: &Name,
    ) -> Result<EnvironmentStatus, GitError> {
        let Ok(name) = Name::new(&environment.name) else { return Ok(environment.into()) };
        let namespace = namespace.unwrap_or(&name).clone();
        let desired = self.known.index.environment(&snapshot.tree(), &name)?;
        let Some(found) = desired.service(namespace.as_str(), service.as_str()) else {
            return Ok(environment.into());
        };
        let current = find::current(snapshot, &name, found)?;
        let told = self.told(snapshot, &name, found, current.as_ref())?;
        let workloads = told.comparison.of_service(namespace.as_str(), service.as_str());
        Ok(EnvironmentStatus {
            environment,
            rollout: told.rollout,
            workloads: workloads.iter().map(truth::Compared::status).collect(),
            last_heard: told.silent_since,
        })
    }

    fn of_release(&self, snapshot: &Snapshot, status: ReleaseStatus) -> Result<ReleaseStatus, GitError> {
        let Ok(environment) = Name::new(&status.environment) else { return Ok(status) };
        let desired = self.known.index.environment(&snapshot.tree(), &environment)?;
        let is_same = |service: &&Arc<Service>| service.name.as_str().eq_ignore_ascii_case(&status.service);
        for service in desired.services().filter(is_same) {
            let Some(current) = find::current(snapshot, &environment, service)? else { continue };
            let is_current = match &status.commit {
                Some(commit) => current.id.to_string() == *commit,
                None => current.message.artifact_id == status.artifact_id,
            };
            if is_current {
                let rollout = self.told(snapshot, &environment, service, Some(&current))?.rollout;
                return Ok(ReleaseStatus { rollout, ..status });
            }
        }
        let newest = snapshot.releases(&status.environment, &status.service).next().transpose()?;
        let superseded_by = newest.map(|newest| newest.message.artifact_id);
        Ok(ReleaseStatus { superseded_by, ..status })
    }

    fn told(
        &self,
        snapshot: &Snapshot,
        environment: &Name,
        service: &Service,
        release: Option<&ReleaseCommit>,
    ) -> Result<Told, GitError> {
        let cluster = self.known.clusters.get(environment.as_str());
        let comparison = match &cluster {
            Some(cluster) => self.compare(snapshot, environment, cluster)?,
            None => Arc::default(),
        };
        let workloads = comparison.of_service(service.namespace.as_str(), service.name.as_str());
        let now = Utc::now();
        let live = cluster.as_ref().and_then(|cluster| Live::of(cluster, workloads, now));
        let rollout = match release {
            Some(commit) => self.rollout(snapshot, environment, service, commit, live)?,
            None => None,
        };
        let silent_since = cluster.as_ref().and_then(|cluster| cluster.silent_since(now));
        Ok(Told { rollout, comparison, silent_since })
    }

    /// `None` when no daemon tells of the environment: neither a state nor a note is there.
    fn rollout(
        &self,
        snapshot: &Snapshot,
        environment: &Name,
        service: &Service,
        commit: &ReleaseCommit,
        live: Option<Live<'_>>,
    ) -> Result<Option<Rollout>, GitError> {
        let note = snapshot.note(commit.id)?.unwrap_or_default();
        let records = release_core::rollout::record::parse(&note);
        let is_told = self.known.clusters.get(environment.as_str()).is_some()
            || !records.is_empty()
            || has_notes(snapshot, environment, service)?;
        let at = DateTime::from_timestamp(commit.time, 0).unwrap_or_default();
        let release = Release {
            service: service.name.as_str(),
            artifact_id: &commit.message.artifact_id,
            at,
            runs_nothing: service.runs_nothing(),
        };
        Ok(is_told.then(|| join::rollout(release, &records, live)))
    }

    /// Made again only when the files or the cluster have changed.
    fn compare(
        &self,
        snapshot: &Snapshot,
        environment: &Name,
        cluster: &Arc<Cluster>,
    ) -> Result<Arc<Comparison>, GitError> {
        let desired = self.known.index.environment(&snapshot.tree(), environment)?;
        let mut comparisons = self.known.comparisons.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = comparisons.get(environment)
            && known.releases == desired.releases
            && Arc::ptr_eq(&known.cluster, cluster)
        {
            return Ok(known.comparison.clone());
        }
        let comparison = Arc::new(Comparison::new(&desired, cluster));
        let compared =
            Compared { releases: desired.releases, cluster: cluster.clone(), comparison: comparison.clone() };
        comparisons.insert(environment.clone(), compared);
        Ok(comparison)
    }

    fn observe(&self, snapshot: &Snapshot) -> Result<(), GitError> {
        let metrics = &self.backends.metrics;
        for (name, cluster) in self.known.clusters.all() {
            let Ok(environment) = Name::new(&name) else { continue };
            for (truth, count) in self.compare(snapshot, &environment, &cluster)?.counts() {
                metrics.set_workloads(&name, truth::label(truth), count);
            }
            let age = (Utc::now() - cluster.heard_at).to_std().unwrap_or_default();
            metrics.set_cluster_state_age(&name, age);
        }
        Ok(())
    }

    /// Whether a happening without a release was executed already.
    fn knows_stranger(&self, id: Uuid) -> bool {
        self.strangers().contains(&id)
    }

    fn remember_stranger(&self, id: Uuid) {
        let mut strangers = self.strangers();
        if strangers.len() >= MAX_STRANGERS {
            strangers.pop_front();
        }
        strangers.push_back(id);
    }

    fn strangers(&self) -> std::sync::MutexGuard<'_, VecDeque<Uuid>> {
        // A list of ids is whole at any time.
        self.known.strangers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a daemon has told of any of the service's last releases.
fn has_notes(snapshot: &Snapshot, environment: &Name, service: &Service) -> Result<bool, GitError> {
    let releases = snapshot.releases(environment.as_str(), service.name.as_str());
    for commit in releases.take(RELEASES_WITH_NOTES) {
        if snapshot.note(commit?.id)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

//! A cluster that is watched.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use chrono::{DateTime, Utc};
use futures::{StreamExt as _, stream};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use release_core::rollout::Report;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::{
    sync::{Notify, mpsc},
    task::JoinSet,
};

use crate::{
    Happening, Observation, Rules, States, failure,
    index::{Alert, ApplierKind, Change, Effect, Index},
    logs, resources,
    slim::{Fields, Nothing, Slim},
    watch::Watch,
};

/// How many effects wait before the watches do.
const WAITING_EFFECTS: usize = 256;
/// How many logs are read at the same time.
const LOGS_AT_ONCE: usize = 32;
const FIELD_MANAGER: &str = "release-daemon";

/// Told of each watch that broke off, with the kind.
pub type OnRestart = Arc<dyn Fn(&str) + Send + Sync>;

/// A cluster, and what is known of it. Cheap to clone; clones know the same.
#[derive(Clone)]
pub struct Cluster(Arc<Shared>);

struct Shared {
    client: Client,
    index: Mutex<Index>,
    /// Notified when the index has something new for [`States`].
    news: Notify,
    /// Why a kind cannot be watched, by its plural name.
    problems: Mutex<BTreeMap<String, String>>,
    on_restart: OnRestart,
}

/// Why an observation could not be noted.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// The next attempt may work.
    #[error("the API server cannot note it now: {0}")]
    Unavailable(String),
    #[error("the API server refuses to note it: {0}; let the daemon patch this kind")]
    Refused(String),
}

impl Cluster {
    /// Knows nothing yet; see [`Cluster::watch`].
    pub fn new(client: Client, rules: Rules, on_restart: OnRestart) -> Self {
        Self(Arc::new(Shared {
            client,
            index: Mutex::new(Index::new(rules)),
            news: Notify::new(),
            problems: Mutex::default(),
            on_restart,
        }))
    }

    /// The end of this rollout waits to be told since before this process began. Call it before
    /// [`Cluster::watch`].
    pub fn assume_told(&self, observation: &Observation) {
        self.index().assume_told(observation);
    }

    /// Watches until it is dropped. What is to be told is sent in order; while nobody takes it, the
    /// watches wait.
    pub async fn watch(&self, happenings: mpsc::Sender<Happening>) {
        let (effects, waiting) = mpsc::channel(WAITING_EFFECTS);
        let mut watches = JoinSet::new();
        watches.spawn(self.watch_of(resources::deployments(), Change::Deployment, &effects).run());
        watches.spawn(self.watch_of(resources::stateful_sets(), Change::StatefulSet, &effects).run());
        watches.spawn(self.watch_of(resources::daemon_sets(), Change::DaemonSet, &effects).run());
        watches.spawn(self.watch_of(resources::jobs(), Change::Job, &effects).run());
        // What ended well has nothing to tell.
        let pods = self.watch_of(resources::pods(), Change::Pod, &effects);
        watches.spawn(Watch { fields: Some("status.phase!=Succeeded"), ..pods }.run());
        self.watch_appliers(&mut watches, &effects);
        self.pass_on(waiting, happenings).await;
    }

    fn watch_appliers(&self, watches: &mut JoinSet<()>, effects: &mpsc::Sender<Effect>) {
        let changes = [
            (
                ApplierKind::Application,
                (|event| Change::Applier(ApplierKind::Application, event)) as fn(_) -> _,
            ),
            (ApplierKind::Kustomization, |event| Change::Applier(ApplierKind::Kustomization, event)),
            (ApplierKind::HelmRelease, |event| Change::Applier(ApplierKind::HelmRelease, event)),
        ];
        for (kind, change) in changes {
            let watch = self.watch_of(resources::appliers(kind), change, effects);
            watches.spawn(Watch { is_optional: true, ..watch }.run());
        }
    }

    fn watch_of<S, T>(
        &self,
        resource: kube::api::ApiResource,
        change: fn(kube::runtime::watcher::Event<Slim<S, T>>) -> Change,
        effects: &mpsc::Sender<Effect>,
    ) -> Watch<S, T>
    where
        S: Fields + DeserializeOwned,
        T: Fields + DeserializeOwned,
    {
        let (cluster, effects) = (self.clone(), effects.clone());
        Watch { cluster, resource, fields: None, is_optional: false, change, effects }
    }

    /// Reads the logs that are to be told, several at the same time, and keeps the order.
    async fn pass_on(&self, effects: mpsc::Receiver<Effect>, happenings: mpsc::Sender<Happening>) {
        let effects = stream::unfold(effects, async |mut effects| Some((effects.recv().await?, effects)));
        let mut told = std::pin::pin!(effects.map(|effect| self.with_log(effect)).buffered(LOGS_AT_ONCE));
        while let Some(happening) = told.next().await {
            if happenings.send(happening).await.is_err() {
                return;
            }
        }
    }

    async fn with_log(&self, effect: Effect) -> Happening {
        let Effect { mut happening, log_of } = effect;
        if let (Some(container), Report::PodFailed(failed)) = (log_of, &mut happening.report) {
            let (namespace, pod) = (&failed.namespace, &failed.pod_name);
            let words = logs::last_words(self.client(), namespace, pod, &container).await;
            for error in failed.errors.iter_mut().filter(|error| error.name == container) {
                error.message.clone_from(&words);
            }
        }
        happening
    }

    /// Somebody else saw an object fail. `None`: it is not one of ours.
    pub fn alert(&self, alert: &Alert) -> Option<Happening> {
        self.index().alert(alert)
    }

    /// Notes in the cluster that the end of a rollout was told, in one annotation. An object that is gone
    /// needs no note.
    pub async fn observe(&self, observation: &Observation) -> Result<(), ObserveError> {
        let Observation { workload, artifact_id } = observation;
        let Some(resource) = resources::workloads(&workload.kind) else { return Ok(()) };
        let api: Api<Slim<Nothing, Nothing>> =
            Api::namespaced_with(self.client(), &workload.namespace, &resource);
        let annotation = self.index().observed_annotation();
        let patch = json!({"metadata": {"annotations": {annotation: artifact_id}}});
        let parameters =
            PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let Err(error) = api.patch(&workload.name, &parameters, &Patch::Merge(patch)).await else {
            return Ok(());
        };
        match failure::status(&error) {
            Some(404) => Ok(()),
            // An expired token is renewed, and conflicts and limits pass.
            Some(status @ 400..500) if !matches!(status, 401 | 408 | 409 | 429) => {
                Err(ObserveError::Refused(failure::sentence(&error)))
            }
            _ => Err(ObserveError::Unavailable(failure::sentence(&error))),
        }
    }

    /// What the server is to know of the workloads, as it changes.
    pub fn states(&self) -> States {
        States::new(self.clone())
    }

    /// Why some of the cluster is not seen, a sentence each. Empty: all is well.
    pub fn problems(&self) -> Vec<String> {
        let problems = lock(&self.0.problems);
        problems
            .iter()
            .map(|(kind, reason)| format!("the cluster's {kind} cannot be watched: {reason}"))
            .collect()
    }

    /// How many workloads are ours.
    pub fn managed_workloads(&self) -> usize {
        self.index().managed_workloads()
    }

    pub(crate) fn client(&self) -> Client {
        self.0.client.clone()
    }

    pub(crate) fn apply(&self, change: Change, now: DateTime<Utc>) -> Vec<Effect> {
        let mut index = self.index();
        let effects = index.apply(change, now);
        if index.has_news() {
            self.0.news.notify_one();
        }
        effects
    }

    pub(crate) fn index(&self) -> MutexGuard<'_, Index> {
        lock(&self.0.index)
    }

    /// Waits until there may be something new.
    pub(crate) async fn news(&self) {
        self.0.news.notified().await;
    }

    pub(crate) fn has_problem(&self, kind: &str) -> bool {
        lock(&self.0.problems).contains_key(kind)
    }

    pub(crate) fn set_problem(&self, kind: &str, problem: Option<String>) {
        let mut problems = lock(&self.0.problems);
        match problem {
            Some(problem) => problems.insert(kind.to_owned(), problem),
            None => problems.remove(kind),
        };
    }

    pub(crate) fn count_restart(&self, kind: &str) {
        (self.0.on_restart)(kind);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic halfway is a bug, but what is known is still better than nothing.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

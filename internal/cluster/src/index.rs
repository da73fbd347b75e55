//! What is known of the cluster, and what follows from each change of it. It asks
//! nobody and waits for nothing.
//!
//! Only objects with our annotations are kept, and of those only what is told of
//! them: some hundred bytes for a workload, nothing for a pod that is well.

mod applier;
mod daemon_set;
mod deployment;
mod job;
mod objects;
mod pod;
mod report;
mod state;
mod stateful_set;
#[cfg(test)]
pub(crate) mod tests;
mod workload;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use kube::runtime::watcher::Event;
use release_core::rollout::{Applier, Workload, WorkloadId};

pub(crate) use applier::{ApplierKind, ApplierObject};
pub(crate) use daemon_set::DaemonSet;
pub(crate) use deployment::Deployment;
pub(crate) use job::Job;
pub(crate) use pod::Pod;
pub(crate) use stateful_set::StatefulSet;

use self::{
    objects::{Key, Objects},
    report::Subject,
    workload::{Judged, Rollout},
};
use crate::{Annotations, Happening, Observation, managed::Managed};

/// What every workload kind must have been listed for before a state is complete.
const WORKLOAD_KINDS: [&str; 4] = [Deployment::KIND, StatefulSet::KIND, DaemonSet::KIND, Job::KIND];

/// What the rules need to know.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Where this cluster belongs, such as `prod`.
    pub environment: String,
    pub annotations: Annotations,
    /// Each so many crashes of a container one is told; at least 1.
    pub crash_modulo: i32,
}

/// News of one watch.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Deployment(Event<Deployment>),
    StatefulSet(Event<StatefulSet>),
    DaemonSet(Event<DaemonSet>),
    Job(Event<Job>),
    Pod(Event<Pod>),
    Applier(ApplierKind, Event<ApplierObject>),
}

/// Something to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Effect {
    pub(crate) happening: Happening,
    /// The container of a [`Report::PodFailed`] whose log says what happened; read it before telling.
    pub(crate) log_of: Option<String>,
}

/// Somebody else says that an object failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    pub kind: String,
    pub namespace: String,
    pub name: String,
    pub reason: String,
    pub message: String,
    /// When they say so; `None` when they don't say when.
    pub at: Option<DateTime<Utc>>,
}

#[derive(Debug)]
pub(crate) struct Index {
    rules: Rules,
    workloads: HashMap<&'static str, Objects<Known>>,
    /// Only those that had trouble.
    pods: Objects<Troubled>,
    appliers: BTreeMap<ApplierKind, Objects<KnownApplier>>,
    changed: BTreeSet<WorkloadId>,
    gone: BTreeSet<WorkloadId>,
    appliers_changed: bool,
    /// A list has ended since the last complete state.
    wants_complete: bool,
    /// What earlier processes have taken on to tell.
    assumed: HashMap<WorkloadId, String>,
}

#[derive(Debug)]
struct Known {
    workload: Workload,
    managed: Managed,
    uid: String,
    told: Told,
}

/// Which rollouts of a workload were told.
#[derive(Debug, Default)]
struct Told {
    /// The artifact whose end was told by this process; the annotation may not be there yet.
    here: Option<String>,
    /// The artifact came while we watched: what the annotation says of it is of an earlier rollout.
    is_annotation_old: bool,
}

impl Told {
    fn has(&self, managed: &Managed) -> bool {
        let annotation = managed.observed.as_ref().filter(|_| !self.is_annotation_old);
        [self.here.as_ref(), annotation].into_iter().flatten().any(|told| *told == managed.artifact_id)
    }
}

impl Known {
    /// What counts for the same object now. A rollback is told although its artifact was told before.
    fn told_of(self, uid: &str, managed: &Managed) -> Told {
        if self.uid != uid {
            return Told::default();
        }
        if self.managed.artifact_id != managed.artifact_id {
            return Told { here: None, is_annotation_old: true };
        }
        self.told
    }
}

#[derive(Debug)]
struct Troubled {
    uid: String,
    /// Restarts by container and kind of trouble.
    told: BTreeMap<(String, String), i32>,
}

#[derive(Debug)]
struct KnownApplier {
    applier: Applier,
    managed: Option<Managed>,
    uid: String,
}

impl Index {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules,
            workloads: WORKLOAD_KINDS.into_iter().map(|kind| (kind, Objects::default())).collect(),
            pods: Objects::default(),
            appliers: BTreeMap::new(),
            changed: BTreeSet::new(),
            gone: BTreeSet::new(),
            appliers_changed: false,
            wants_complete: false,
            assumed: HashMap::new(),
        }
    }

    /// The end of this rollout waits to be told since before this process began: it is not told anew.
    pub(crate) fn assume_told(&mut self, observation: &Observation) {
        self.assumed.insert(observation.workload.clone(), observation.artifact_id.clone());
    }

    pub(crate) fn observed_annotation(&self) -> String {
        self.rules.annotations.observed()
    }

    /// Takes in what a watch says. Of one object, changes must come in order.
    pub(crate) fn apply(&mut self, change: Change, now: DateTime<Utc>) -> Vec<Effect> {
        match change {
            Change::Deployment(event) => self.workload(&event, now).into_iter().collect(),
            Change::StatefulSet(event) => self.workload(&event, now).into_iter().collect(),
            Change::DaemonSet(event) => self.workload(&event, now).into_iter().collect(),
            Change::Job(event) => self.workload(&event, now).into_iter().collect(),
            Change::Pod(event) => self.pod(&event),
            Change::Applier(kind, event) => {
                self.applier(kind, &event);
                Vec::new()
            }
        }
    }

    /// Somebody else saw an object fail. `None`: it is not one of ours.
    pub(crate) fn alert(&self, alert: &Alert) -> Option<Happening> {
        let key = Key { namespace: alert.namespace.clone(), name: alert.name.clone() };
        let workload = self.workloads.get(alert.kind.as_str()).and_then(|objects| objects.get(&key));
        let (uid, managed) = match workload {
            Some(known) => (&known.uid, &known.managed),
            None => {
                let kind = ApplierKind::ALL.into_iter().find(|kind| kind.name() == alert.kind)?;
                let known = self.appliers.get(&kind)?.get(&key)?;
                (&known.uid, known.managed.as_ref()?)
            }
        };
        Some(Subject { rules: &self.rules, key: &key, uid, managed }.alerted(alert))
    }

    fn workload<W: Judged>(&mut self, event: &Event<W>, now: DateTime<Utc>) -> Option<Effect> {
        match event {
            Event::Init => self.objects::<W>().begin_list(),
            Event::InitApply(object) | Event::Apply(object) => return self.workload_seen(object, now),
            Event::Delete(object) => self.workload_gone::<W>(&Key::of(object.meta())),
            Event::InitDone => {
                for key in self.objects::<W>().end_list() {
                    self.note_gone(W::KIND, &key);
                }
                self.wants_complete = true;
            }
        }
        None
    }

    fn objects<W: Judged>(&mut self) -> &mut Objects<Known> {
        self.workloads.entry(W::KIND).or_default()
    }

    fn workload_seen<W: Judged>(&mut self, object: &W, now: DateTime<Utc>) -> Option<Effect> {
        let metadata = object.meta();
        let key = Key::of(metadata);
        let Some(managed) = self.rules.annotations.read(metadata, Some(object.template())) else {
            self.workload_gone::<W>(&key);
            return None;
        };
        let id = workload_id(W::KIND, &key);
        let uid = metadata.uid.clone().unwrap_or_default();
        let rollout = object.rollout();
        let before = self.objects::<W>().remove(&key);
        let workload = workload(id.clone(), object, &managed, &rollout, before.as_ref(), now);
        if before.as_ref().is_none_or(|before| before.workload != workload) {
            self.gone.remove(&id);
            self.changed.insert(id.clone());
        }
        let mut told = match before {
            Some(before) => before.told_of(&uid, &managed),
            None => Told { here: self.assumed.remove(&id), ..Told::default() },
        };
        let subject = Subject { rules: &self.rules, key: &key, uid: &uid, managed: &managed };
        let happening =
            if told.has(&managed) { None } else { subject.ended(W::KIND, object.generation(), &rollout) };
        if happening.is_some() {
            told.here = Some(managed.artifact_id.clone());
        }
        self.objects::<W>().insert(key, Known { workload, managed, uid, told });
        happening.map(|happening| Effect { happening, log_of: None })
    }

    fn workload_gone<W: Judged>(&mut self, key: &Key) {
        if self.objects::<W>().remove(key).is_some() {
            self.note_gone(W::KIND, key);
        }
    }

    fn note_gone(&mut self, kind: &str, key: &Key) {
        let id = workload_id(kind, key);
        self.changed.remove(&id);
        self.gone.insert(id);
    }

    fn pod(&mut self, event: &Event<Pod>) -> Vec<Effect> {
        match event {
            Event::Init => self.pods.begin_list(),
            Event::InitApply(pod) | Event::Apply(pod) => return self.pod_seen(pod),
            Event::Delete(pod) => drop(self.pods.remove(&Key::of(&pod.metadata))),
            Event::InitDone => drop(self.pods.end_list()),
        }
        Vec::new()
    }

    fn pod_seen(&mut self, pod: &Pod) -> Vec<Effect> {
        let key = Key::of(&pod.metadata);
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let before = self.pods.remove(&key).filter(|before| before.uid == uid);
        let Some(managed) = self.rules.annotations.read(&pod.metadata, None) else { return Vec::new() };
        let mut told = before.map(|before| before.told).unwrap_or_default();
        let subject = Subject { rules: &self.rules, key: &key, uid: &uid, managed: &managed };
        let mut effects = Vec::new();
        for trouble in pod::troubles(pod, self.rules.crash_modulo) {
            let place = (trouble.container.clone(), trouble.kind.clone());
            // An update for another reason does not make a crash a new one.
            if told.insert(place, trouble.restarts) != Some(trouble.restarts) {
                effects.push(subject.troubled(trouble));
            }
        }
        if !told.is_empty() {
            self.pods.insert(key, Troubled { uid, told });
        }
        effects
    }

    fn applier(&mut self, kind: ApplierKind, event: &Event<ApplierObject>) {
        let objects = self.appliers.entry(kind).or_default();
        match event {
            Event::Init => objects.begin_list(),
            Event::InitApply(object) | Event::Apply(object) => {
                let key = Key::of(&object.metadata);
                let known = KnownApplier {
                    applier: applier(kind, &key, object),
                    managed: self.rules.annotations.read(&object.metadata, None),
                    uid: object.metadata.uid.clone().unwrap_or_default(),
                };
                let before = objects.remove(&key);
                self.appliers_changed |= before.is_none_or(|before| before.applier != known.applier);
                objects.insert(key, known);
            }
            Event::Delete(object) => {
                self.appliers_changed |= objects.remove(&Key::of(&object.metadata)).is_some();
            }
            Event::InitDone => self.appliers_changed |= !objects.end_list().is_empty(),
        }
    }
}

fn workload_id(kind: &str, key: &Key) -> WorkloadId {
    WorkloadId { kind: kind.to_owned(), namespace: key.namespace.clone(), name: key.name.clone() }
}

/// The state of a workload; `before` is what was known of it.
fn workload<W: Judged>(
    id: WorkloadId,
    object: &W,
    managed: &Managed,
    rollout: &Rollout,
    before: Option<&Known>,
    now: DateTime<Utc>,
) -> Workload {
    let before = before.map(|before| &before.workload);
    let is_same =
        |before: &&Workload| before.phase == rollout.phase && before.artifact_id == managed.artifact_id;
    let since = match before {
        None => rollout.since.unwrap_or(now),
        before => before.filter(is_same).map_or(now, |before| before.since),
    };
    Workload {
        id,
        artifact_id: managed.artifact_id.clone(),
        squad: managed.squad.clone(),
        images: object.template().images(),
        desired: rollout.desired,
        available: rollout.available,
        phase: rollout.phase,
        since,
        error: rollout.error.clone(),
    }
}

fn applier(kind: ApplierKind, key: &Key, object: &ApplierObject) -> Applier {
    let applied = applier::applied(kind, object);
    Applier {
        id: workload_id(kind.name(), key),
        commit: applied.commit,
        phase: applied.phase,
        message: applied.message,
    }
}

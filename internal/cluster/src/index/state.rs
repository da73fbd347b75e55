//! What is there right now, as far as it changed or all of it.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use release_core::rollout::{Applier, ClusterState, Workload, WorkloadId};

use super::{Index, objects::Key};

impl Index {
    /// Whether something is to be told that was not yet. Before every kind was listed once, nothing is.
    pub(crate) fn has_news(&self) -> bool {
        let has_changed = !self.changed.is_empty() || !self.gone.is_empty() || self.appliers_changed;
        self.is_complete() && (has_changed || self.wants_complete)
    }

    /// How many workloads are ours.
    pub(crate) fn managed_workloads(&self) -> usize {
        self.workloads.values().map(super::Objects::len).sum()
    }

    /// Whether all of the workloads are known.
    pub(crate) fn is_complete(&self) -> bool {
        self.workloads.values().all(super::Objects::is_listed)
    }

    /// What changed since the last time, or all of it if that is wanted here or needed after a list.
    pub(crate) fn take_state(&mut self, all: bool, now: DateTime<Utc>) -> ClusterState {
        let is_complete = all || std::mem::take(&mut self.wants_complete);
        self.wants_complete = false;
        self.appliers_changed = false;
        let changed = std::mem::take(&mut self.changed);
        let gone = std::mem::take(&mut self.gone);
        let workloads = if is_complete { self.all_workloads() } else { self.some_workloads(&changed) };
        ClusterState {
            environment: self.rules.environment.clone(),
            observed_at: now,
            is_complete,
            workloads,
            gone: if is_complete { Vec::new() } else { gone.into_iter().collect() },
            appliers: self.all_appliers(),
        }
    }

    fn all_workloads(&self) -> Vec<Workload> {
        let known = self.workloads.values().flat_map(super::Objects::values);
        let mut workloads: Vec<_> = known.map(|known| known.workload.clone()).collect();
        workloads.sort_by(|one, other| one.id.cmp(&other.id));
        workloads
    }

    fn some_workloads(&self, ids: &BTreeSet<WorkloadId>) -> Vec<Workload> {
        let known = ids.iter().filter_map(|id| {
            let key = Key { namespace: id.namespace.clone(), name: id.name.clone() };
            self.workloads.get(id.kind.as_str())?.get(&key)
        });
        known.map(|known| known.workload.clone()).collect()
    }

    fn all_appliers(&self) -> Vec<Applier> {
        let known = self.appliers.values().flat_map(super::Objects::values);
        let mut appliers: Vec<_> = known.map(|known| known.applier.clone()).collect();
        appliers.sort_by(|one, other| one.id.cmp(&other.id));
        appliers
    }
}

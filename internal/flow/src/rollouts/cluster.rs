//! What the daemons have told lately of what runs. In memory only: they tell it again.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use chrono::{DateTime, TimeDelta, Utc};
use release_core::rollout::{Applier, ClusterState, Workload, WorkloadId};

/// Each has its own daemon; more are somebody's mistake.
const MAX_ENVIRONMENTS: usize = 200;
/// Of one environment. The endpoint takes no state with more.
const MAX_WORKLOADS: usize = 100_000;
/// A daemon that has been silent for longer may be away.
const FRESH_FOR: TimeDelta = TimeDelta::minutes(3);

/// The cluster of one environment.
#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    /// By the server's clock.
    pub(crate) heard_at: DateTime<Utc>,
    /// By the daemon's clock.
    observed_at: DateTime<Utc>,
    /// Whether `workloads` are all there are.
    pub(crate) is_complete: bool,
    pub(crate) workloads: BTreeMap<WorkloadId, Workload>,
    pub(crate) appliers: Vec<Applier>,
}

/// There are too many environments already.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("daemons of {MAX_ENVIRONMENTS} environments have told their states already; check the name '{0}'")]
pub(crate) struct TooManyEnvironments(String);

/// What is known of each environment.
#[derive(Debug, Default)]
pub(crate) struct Clusters(Mutex<BTreeMap<String, Arc<Cluster>>>);

impl Clusters {
    pub(crate) fn hear(&self, state: ClusterState, now: DateTime<Utc>) -> Result<(), TooManyEnvironments> {
        let mut clusters = self.lock();
        if clusters.len() >= MAX_ENVIRONMENTS && !clusters.contains_key(&state.environment) {
            return Err(TooManyEnvironments(state.environment));
        }
        let new = || Arc::new(Cluster::new(state.observed_at, now));
        let cluster = clusters.entry(state.environment.clone()).or_insert_with(new);
        Arc::make_mut(cluster).update(state, now);
        Ok(())
    }

    pub(crate) fn get(&self, environment: &str) -> Option<Arc<Cluster>> {
        self.lock().get(environment).cloned()
    }

    pub(crate) fn all(&self) -> Vec<(String, Arc<Cluster>)> {
        self.lock().iter().map(|(name, cluster)| (name.clone(), cluster.clone())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Cluster>>> {
        // A panic in between leaves a state that the daemon's next one replaces.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cluster {
    fn new(observed_at: DateTime<Utc>, heard_at: DateTime<Utc>) -> Self {
        Self { heard_at, observed_at, is_complete: false, workloads: BTreeMap::new(), appliers: Vec::new() }
    }

    /// A complete state replaces all. Changes that were observed before what is known already come
    /// too late, as after a reconnect: the daemon has told something newer.
    fn update(&mut self, state: ClusterState, now: DateTime<Utc>) {
        let ClusterState { observed_at, is_complete, workloads, gone, appliers, .. } = state;
        self.heard_at = now;
        if is_complete {
            self.workloads.clear();
        } else if observed_at < self.observed_at {
            return;
        }
        self.observed_at = observed_at;
        self.is_complete |= is_complete;
        self.appliers = appliers;
        for id in gone {
            self.workloads.remove(&id);
        }
        for workload in workloads {
            if self.workloads.len() < MAX_WORKLOADS || self.workloads.contains_key(&workload.id) {
                self.workloads.insert(workload.id.clone(), workload);
            }
        }
    }

    /// When the daemon was heard of last, if that is too long ago.
    pub(crate) fn silent_since(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        (now - self.heard_at > FRESH_FOR).then_some(self.heard_at)
    }
}

#[cfg(test)]
mod tests {
    use release_core::rollout::Phase;

    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    fn id(name: &str) -> WorkloadId {
        WorkloadId { kind: "Deployment".into(), namespace: "dev".into(), name: name.into() }
    }

    fn state(observed_at: i64, is_complete: bool, names: &[&str], gone: &[&str]) -> ClusterState {
        let workload = |name: &&str| Workload {
            id: id(name),
            artifact_id: format!("{name}-{observed_at}"),
            squad: String::new(),
            images: Vec::new(),
            desired: 1,
            available: 1,
            phase: Phase::Healthy,
            since: at(0),
            error: None,
        };
        ClusterState {
            environment: "dev".into(),
            observed_at: at(observed_at),
            is_complete,
            workloads: names.iter().map(workload).collect(),
            gone: gone.iter().map(|name| id(name)).collect(),
            appliers: Vec::new(),
        }
    }

    fn artifacts(clusters: &Clusters) -> Vec<String> {
        clusters.get("dev").unwrap().workloads.values().map(|workload| workload.artifact_id.clone()).collect()
    }

    #[test]
    fn changes_are_added_and_a_complete_state_replaces_all() {
        let clusters = Clusters::default();
        let steps: [(ClusterState, &[&str], bool); 5] = [
            (state(10, false, &["a"], &[]), &["a-10"], false),
            (state(20, true, &["b", "c"], &[]), &["b-20", "c-20"], true),
            (state(30, false, &["a"], &["b", "z"]), &["a-30", "c-20"], true),
            (state(25, false, &["c"], &["a"]), &["a-30", "c-20"], true),
            (state(5, true, &["d"], &[]), &["d-5"], true),
        ];
        for (number, (state, expected, is_complete)) in steps.into_iter().enumerate() {
            clusters.hear(state, at(100)).unwrap();
            assert_eq!(artifacts(&clusters), expected, "step {number}");
            assert_eq!(clusters.get("dev").unwrap().is_complete, is_complete, "step {number}");
        }
    }

    #[test]
    fn a_silent_daemon_is_noticed() {
        let clusters = Clusters::default();
        clusters.hear(state(0, true, &[], &[]), at(1000)).unwrap();
        let cluster = clusters.get("dev").unwrap();
        assert_eq!(cluster.silent_since(at(1000 + 180)), None);
        assert_eq!(cluster.silent_since(at(1000 + 181)), Some(at(1000)));
    }

    #[test]
    fn made_up_environments_do_not_fill_the_memory() {
        let clusters = Clusters::default();
        let of = |number: usize| ClusterState { environment: number.to_string(), ..state(0, true, &[], &[]) };
        for number in 0..MAX_ENVIRONMENTS {
            clusters.hear(of(number), at(0)).unwrap();
        }
        assert!(clusters.hear(of(MAX_ENVIRONMENTS), at(0)).is_err());
        assert!(clusters.hear(of(0), at(0)).is_ok());
    }
}

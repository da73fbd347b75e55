//! Does what runs agree with the config repository? Pure.

use std::{collections::HashMap, sync::Arc};

use release_api::v1::{Truth, WorkloadStatus};
use release_core::rollout::{Workload, WorkloadId};

use super::{
    cluster::Cluster,
    desired::{Environment, Service},
    manifests::Expected,
};

pub(crate) const ALL: [Truth; 5] =
    [Truth::InSync, Truth::Pending, Truth::Drifted, Truth::Missing, Truth::Unknown];

/// One workload on both sides; at least one of them has it.
#[derive(Debug, Clone)]
pub(crate) struct Compared {
    pub(crate) id: WorkloadId,
    pub(crate) truth: Truth,
    pub(crate) difference: Option<String>,
    /// As the cluster has it.
    pub(crate) live: Option<Workload>,
    /// Replicas that the config repository wants, where it says so.
    pub(crate) replicas: Option<i32>,
}

/// An environment, compared.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    /// By namespace and service, each in the order of kind and name.
    services: HashMap<(String, String), Vec<Compared>>,
    counts: [usize; ALL.len()],
}

impl Comparison {
    pub(crate) fn new(environment: &Environment, cluster: &Cluster) -> Self {
        let mut comparison = Self::default();
        for live in cluster.workloads.values() {
            let (service, compared) = compare(environment, live);
            comparison.add(service, compared);
        }
        // Of a cluster that was not told as a whole nobody knows what is missing.
        for service in environment.services().filter(|_| cluster.is_complete) {
            let expected = service.workloads.iter().flatten().filter(|expected| expected.has_to_be_there());
            for missing in expected.filter(|expected| !cluster.workloads.contains_key(&expected.id)) {
                comparison.add(Some(service), Compared::missing(missing));
            }
        }
        for compared in comparison.services.values_mut() {
            compared.sort_by(|a, b| a.id.cmp(&b.id));
        }
        comparison
    }

    fn add(&mut self, service: Option<&Arc<Service>>, compared: Compared) {
        self.counts[index(compared.truth)] += 1;
        if let Some(service) = service {
            let key = (service.namespace.to_string(), service.name.to_string());
            self.services.entry(key).or_default().push(compared);
        }
    }

    pub(crate) fn of_service(&self, namespace: &str, service: &str) -> &[Compared] {
        self.services.get(&(namespace.to_owned(), service.to_owned())).map_or(&[], Vec::as_slice)
    }

    /// How many workloads there are of each truth.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (Truth, usize)> {
        ALL.into_iter().zip(self.counts)
    }
}

fn index(truth: Truth) -> usize {
    ALL.iter().position(|known| *known == truth).expect("all are there")
}

/// The label in metrics.
pub(crate) fn label(truth: Truth) -> &'static str {
    match truth {
        Truth::InSync => "in_sync",
        Truth::Pending => "pending",
        Truth::Drifted => "drifted",
        Truth::Missing => "missing",
        Truth::Unknown => "unknown",
    }
}

/// The service that it is part of, or that it seems to be left over from.
fn compare<'a>(environment: &'a Environment, live: &Workload) -> (Option<&'a Arc<Service>>, Compared) {
    let service = environment.candidates(&live.id, &live.artifact_id).into_iter().next();
    let expected = service.and_then(|service| service.expected(&live.id));
    let (truth, difference) = judge(live, service.map(Arc::as_ref), expected);
    let compared = Compared {
        id: live.id.clone(),
        truth,
        difference,
        live: Some(live.clone()),
        replicas: expected.and_then(|expected| expected.replicas),
    };
    (service.or_else(|| environment.namesake(&live.id)), compared)
}

fn judge(live: &Workload, service: Option<&Service>, expected: Option<&Expected>) -> (Truth, Option<String>) {
    const NOT_THERE: &str = "the config repository does not have it";
    let Some(service) = service else { return (Truth::Unknown, Some(NOT_THERE.to_owned())) };
    if live.artifact_id == service.artifact_id {
        let difference = expected.and_then(|expected| difference(expected, live));
        return (if difference.is_some() { Truth::Drifted } else { Truth::InSync }, difference);
    }
    // Its manifests are at hand and do not have it: an older artifact did.
    if expected.is_none() && service.workloads.is_some() {
        return (Truth::Unknown, Some(NOT_THERE.to_owned()));
    }
    let pending = format!("it runs {}, and {} is released", live.artifact_id, service.artifact_id);
    (Truth::Pending, Some(pending))
}

/// What differs although the artifact is the same.
fn difference(expected: &Expected, live: &Workload) -> Option<String> {
    // What is filled in on the way to the cluster cannot be compared.
    let is_exact = |image: &String| !image.contains("${");
    let images = (expected.images.len() == live.images.len())
        .then(|| expected.images.iter().zip(&live.images))
        .and_then(|mut pairs| pairs.find(|(wanted, runs)| is_exact(wanted) && wanted != runs))
        .map(|(wanted, runs)| format!("it runs {runs} instead of {wanted}"));
    let containers = (!expected.images.is_empty() && expected.images.len() != live.images.len())
        .then(|| format!("it has {} containers instead of {}", live.images.len(), expected.images.len()));
    let replicas = expected
        .replicas
        .filter(|wanted| *wanted != live.desired)
        .map(|wanted| format!("it has {} replicas instead of {wanted}", live.desired));
    images.or(containers).or(replicas)
}

impl Compared {
    fn missing(expected: &Expected) -> Self {
        Self {
            id: expected.id.clone(),
            truth: Truth::Missing,
            difference: Some("the cluster does not have it".to_owned()),
            live: None,
            replicas: expected.replicas,
        }
    }

    /// One that is as it should be.
    #[cfg(test)]
    pub(crate) fn of(live: Workload) -> Self {
        let id = live.id.clone();
        Self { id, truth: Truth::InSync, difference: None, live: Some(live), replicas: None }
    }

    pub(crate) fn status(&self) -> WorkloadStatus {
        let WorkloadId { kind, namespace, name } = self.id.clone();
        let live = self.live.as_ref();
        WorkloadStatus {
            kind,
            namespace,
            name,
            truth: self.truth,
            difference: self.difference.clone(),
            artifact_id: live.map(|live| live.artifact_id.clone()).unwrap_or_default(),
            available: live.map_or(0, |live| live.available),
            desired: live.map_or(self.replicas.unwrap_or_default(), |live| live.desired),
            phase: live.map(|live| live.phase),
            error: live.and_then(|live| live.error.clone()),
        }
    }
}

#[cfg(test)]
mod tests;

//! Joins what is known of a release: its own commit, what was noted of it, and what
//! its cluster told last. Pure.

use chrono::{DateTime, Utc};
use release_api::v1::{Rollout, RolloutState, Truth};
use release_core::rollout::{
    Applier, Phase, Workload, WorkloadId,
    record::{self, JOB, Record, What},
};

use super::{cluster::Cluster, truth::Compared};

/// A commit that released something.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Release<'a> {
    pub(crate) service: &'a str,
    pub(crate) artifact_id: &'a str,
    pub(crate) at: DateTime<Utc>,
    /// Its manifests have nothing in them that daemons tell of.
    pub(crate) runs_nothing: bool,
}

/// What the cluster told last.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Live<'a> {
    /// By the clock that the records have, too.
    pub(crate) heard_at: DateTime<Utc>,
    /// Whether the cluster was told of as a whole; else there may be more of the service.
    pub(crate) is_complete: bool,
    /// Those of the service that there are or should be.
    pub(crate) workloads: &'a [Compared],
    pub(crate) appliers: &'a [Applier],
}

impl<'a> Live<'a> {
    /// What follows for a service with these workloads. `None` from a daemon that is away: it does not know
    /// what became of releases since. And of what changed alone, nothing follows for the others.
    pub(crate) fn of(cluster: &'a Cluster, workloads: &'a [Compared], now: DateTime<Utc>) -> Option<Self> {
        let Cluster { heard_at, is_complete, ref appliers, .. } = *cluster;
        let tells = (is_complete || !workloads.is_empty()) && cluster.silent_since(now).is_none();
        tells.then_some(Self { heard_at, is_complete, workloads, appliers })
    }
}

/// How far the release has come.
///
/// What the cluster told last counts, what was noted after that, and errors that were noted of what
/// is not well yet. Where the cluster tells nothing of the release, as after a restart of the server or
/// from before it, the note does.
pub(crate) fn rollout(release: Release<'_>, records: &[Record], live: Option<Live<'_>>) -> Rollout {
    let Some(live) = live.filter(|live| live.heard_at >= release.at) else {
        return noted(release, records, None);
    };
    let current = without_mended_jobs(&current(release, records, live));
    if current.is_empty() {
        let fails = record::open_errors(records).next().is_some();
        let counts = |record: &&Record| fails || record.at > live.heard_at;
        let records: Vec<Record> = records.iter().filter(counts).cloned().collect();
        return noted(release, &records, Some(live));
    }
    let available = current.iter().map(|workload| workload.available).sum();
    let newest = current.iter().map(|one| one.since).max().unwrap_or(release.at);
    let is_healthy = is_complete(release, live) && current.iter().all(|one| one.phase == Phase::Healthy);
    let error = first_error(&current, records, is_healthy.then_some(newest));
    let (state, since, error) = match error {
        Some((since, error)) => (RolloutState::Failed, since, Some(error)),
        None if is_healthy => (RolloutState::Healthy, newest, None),
        None if available > 0 => (RolloutState::Running, newest, None),
        None => (RolloutState::Applying, newest, None),
    };
    Rollout { state, since, available, desired: desired(release, &current, live), error }
}

/// What the note alone tells.
fn noted(release: Release<'_>, records: &[Record], live: Option<Live<'_>>) -> Rollout {
    let Some(outcome) = record::outcome(records) else { return waiting(release, live) };
    let state = if outcome.error.is_some() { RolloutState::Failed } else { RolloutState::Healthy };
    let (available, desired) = (outcome.available, outcome.desired);
    Rollout { state, since: outcome.at, available, desired, error: outcome.error }
}

/// Nothing tells of the release: the cluster does not have it yet, or there is nothing to tell of.
fn waiting(release: Release<'_>, live: Option<Live<'_>>) -> Rollout {
    let error = live.and_then(|live| failing_applier(release, live.appliers));
    let is_nothing_to_come = release.runs_nothing
        && live.is_some_and(|live| live.is_complete && wanted(release, live).next().is_none());
    let is_done = is_nothing_to_come && error.is_none();
    let state = if is_done { RolloutState::Healthy } else { RolloutState::Released };
    let desired = live.map_or(0, |live| desired(release, &[], live));
    Rollout { state, since: release.at, available: 0, desired, error }
}

/// The cluster's workloads that run the release, with what was noted of them.
fn current(release: Release<'_>, records: &[Record], live: Live<'_>) -> Vec<Workload> {
    let live_workloads = live.workloads.iter().filter_map(|compared| compared.live.as_ref());
    let current = live_workloads.filter(|workload| workload.artifact_id == release.artifact_id);
    current
        .map(|workload| {
            let is_news = |record: &&Record| record.at > live.heard_at && record.is_about(&workload.id);
            let workload = records.iter().filter(is_news).fold(workload.clone(), after);
            with_noted_error(workload, records)
        })
        .collect()
}

fn after(workload: Workload, record: &Record) -> Workload {
    let since = record.at;
    match &record.what {
        What::Succeeded { available, desired } => {
            let (available, desired) = (*available, *desired);
            Workload { phase: Phase::Healthy, since, available, desired, error: None, ..workload }
        }
        What::Failed { .. } if workload.phase == Phase::Failed => workload,
        What::Failed { error } => {
            Workload { phase: Phase::Failed, since, error: Some(error.clone()), ..workload }
        }
    }
}

/// The cluster does not say that pods crash, only that the workload is not there yet.
fn with_noted_error(workload: Workload, records: &[Record]) -> Workload {
    let counts = |record: &Record| {
        record.is_about(&workload.id) && (record.at >= workload.since || !record.is_late(records))
    };
    let noted = record::open_errors(records).find(|(record, _)| counts(record));
    match noted {
        Some((record, error)) if workload.phase != Phase::Healthy => {
            let since =
                if workload.phase == Phase::Failed { record.at.min(workload.since) } else { record.at };
            Workload { phase: Phase::Failed, since, error: Some(error.to_owned()), ..workload }
        }
        _ => workload,
    }
}

/// Since when and why it fails: of the workloads, and of what the cluster does not tell of, such as a job
/// that was removed. Of the latter nothing counts that was before all were healthy.
fn first_error(
    current: &[Workload],
    records: &[Record],
    healthy_since: Option<DateTime<Utc>>,
) -> Option<(DateTime<Utc>, String)> {
    let failed = current.iter().filter(|workload| workload.phase == Phase::Failed);
    let of_workloads = failed.map(|workload| {
        (workload.since, workload.error.clone().unwrap_or_else(|| format!("{} fails", workload.id.name)))
    });
    let is_told = |record: &Record| current.iter().any(|workload| record.is_about(&workload.id));
    let of_others = record::open_errors(records)
        .filter(|(record, _)| !is_told(record) && !record.is_late(records))
        .filter(|(record, _)| healthy_since.is_none_or(|healthy| record.at > healthy))
        .filter(|(record, _)| !went_well_later(&record.object, record.at, current))
        .map(|(record, error)| (record.at, error.to_owned()));
    of_workloads.chain(of_others).min()
}

/// Without the failed jobs whose next run was a success.
fn without_mended_jobs(current: &[Workload]) -> Vec<Workload> {
    let is_mended = |workload: &&Workload| {
        workload.phase == Phase::Failed && went_well_later(&workload.id, workload.since, current)
    };
    current.iter().filter(|workload| !is_mended(workload)).cloned().collect()
}

/// Whether it is a job, and its next run was a success.
fn went_well_later(id: &WorkloadId, since: DateTime<Utc>, current: &[Workload]) -> bool {
    let is_next_run = |other: &&Workload| other.since > since && is_other_run(id, &other.id);
    current.iter().filter(is_next_run).any(|next| next.phase == Phase::Healthy)
}

/// Whether both are jobs whose names were made from the same one, as a `CronJob` or `generateName` does.
fn is_other_run(one: &WorkloadId, other: &WorkloadId) -> bool {
    let is_job = |id: &WorkloadId| id.kind == JOB;
    let base = |id: &WorkloadId| {
        id.name.rsplit_once('-').filter(|(_, end)| is_generated(end)).map(|(base, _)| base.to_owned())
    };
    is_job(one)
        && is_job(other)
        && one.namespace == other.namespace
        && base(one).is_some()
        && base(one) == base(other)
}

fn is_generated(end: &str) -> bool {
    /// Kubernetes makes no other letters and digits, so that no words come about.
    const RANDOM: &str = "bcdfghjklmnpqrstvwxz2456789";
    let is_number = !end.is_empty() && end.bytes().all(|byte| byte.is_ascii_digit());
    is_number || (end.len() == 5 && end.chars().all(|letter| RANDOM.contains(letter)))
}

/// Whether nothing that the config repository wants is missing or runs something older.
fn is_complete(release: Release<'_>, live: Live<'_>) -> bool {
    live.is_complete && wanted(release, live).all(|compared| runs(release, compared))
}

fn runs(release: Release<'_>, compared: &Compared) -> bool {
    compared.live.as_ref().is_some_and(|workload| workload.artifact_id == release.artifact_id)
}

/// A job of another release stays as it is.
fn wanted<'a>(release: Release<'a>, live: Live<'a>) -> impl Iterator<Item = &'a Compared> {
    let is_old_job = move |compared: &Compared| compared.id.kind == JOB && !runs(release, compared);
    let is_wanted = move |compared: &&Compared| compared.truth != Truth::Unknown && !is_old_job(compared);
    live.workloads.iter().filter(is_wanted)
}

/// Of the workloads that are not there yet, as many as there should be or were before.
fn desired(release: Release<'_>, current: &[Workload], live: Live<'_>) -> i32 {
    let others = wanted(release, live).filter(|compared| !runs(release, compared));
    let to_come = others.map(|compared| {
        compared.replicas.or(compared.live.as_ref().map(|workload| workload.desired)).unwrap_or(1)
    });
    current.iter().map(|workload| workload.desired).chain(to_come).sum()
}

/// Why the release does not get to the cluster. Of several appliers, only those that are called like
/// the service are known to be its own.
fn failing_applier(release: Release<'_>, appliers: &[Applier]) -> Option<String> {
    let is_its_own = |applier: &&Applier| appliers.len() == 1 || applier.id.name == release.service;
    let failing = appliers.iter().filter(is_its_own).find(|applier| applier.phase == Phase::Failed)?;
    let message = failing.message.as_deref().unwrap_or("it does not say why");
    Some(format!("{} {}/{}: {message}", failing.id.kind, failing.id.namespace, failing.id.name))
}

#[cfg(test)]
mod tests;

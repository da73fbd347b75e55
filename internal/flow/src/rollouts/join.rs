//! Joins what is known of a release: its own commit, what was noted of it, and what
//! its cluster told last. Pure.

use chrono::{DateTime, Utc};
use release_api::v1::{Rollout, RolloutState};
use release_core::rollout::{
    Applier, Phase, Workload,
    record::{self, Record, What},
};

use super::truth::Compared;

/// A commit that released something.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Release<'a> {
    pub(crate) artifact_id: &'a str,
    pub(crate) at: DateTime<Utc>,
}

/// What the cluster told last.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Live<'a> {
    /// By the clock that the records have, too.
    pub(crate) heard_at: DateTime<Utc>,
    /// Those of the service that there are or should be.
    pub(crate) workloads: &'a [Compared],
    pub(crate) appliers: &'a [Applier],
}

/// How far the release has come.
///
/// What the cluster told last counts, and what was noted after that. Where the cluster tells nothing
/// of the release, as after a restart of the server, the note does.
pub(crate) fn rollout(release: Release<'_>, records: &[Record], live: Option<Live<'_>>) -> Rollout {
    let Some(live) = live else { return noted(release, records, None) };
    let current: Vec<Workload> = current(release, records, live);
    if current.is_empty() {
        let newer: Vec<Record> = records.iter().filter(|record| record.at > live.heard_at).cloned().collect();
        return noted(release, &newer, Some(live));
    }
    let error = errors(&current, records).into_iter().next();
    let available = current.iter().map(|workload| workload.available).sum();
    let is_healthy = is_complete(release, live) && current.iter().all(|one| one.phase == Phase::Healthy);
    let newest = current.iter().map(|one| one.since).max().unwrap_or(release.at);
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
    let Some(outcome) = record::outcome(records) else {
        let desired = live.map_or(0, |live| desired(release, &[], live));
        let error = live.and_then(|live| failing_applier(live.appliers));
        return Rollout { state: RolloutState::Released, since: release.at, available: 0, desired, error };
    };
    let state = if outcome.error.is_some() { RolloutState::Failed } else { RolloutState::Healthy };
    let (available, desired) = (outcome.available, outcome.desired);
    Rollout { state, since: outcome.at, available, desired, error: outcome.error }
}

/// The cluster's workloads that run the release, with what was noted of them since.
fn current(release: Release<'_>, records: &[Record], live: Live<'_>) -> Vec<Workload> {
    let live_workloads = live.workloads.iter().filter_map(|compared| compared.live.as_ref());
    let current = live_workloads.filter(|workload| workload.artifact_id == release.artifact_id);
    current
        .map(|workload| {
            let is_news = |record: &&Record| record.at > live.heard_at && record.is_about(&workload.id);
            records.iter().filter(is_news).fold(workload.clone(), after)
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

/// Since when and why it fails, the first one first: what the cluster tells of its workloads, and what was
/// noted of something that the cluster does not tell of, such as a job that was removed.
fn errors(current: &[Workload], records: &[Record]) -> Vec<(DateTime<Utc>, String)> {
    let failed = current.iter().filter(|workload| workload.phase == Phase::Failed);
    let of_workloads = failed.map(|workload| {
        let first = record::open_errors(records).find(|(record, _)| record.is_about(&workload.id));
        let noted = first.map(|(record, error)| (record.at.min(workload.since), error.to_owned()));
        let why = || workload.error.clone().unwrap_or_else(|| format!("{} fails", workload.id.name));
        noted.unwrap_or_else(|| (workload.since, why()))
    });
    let is_told = |record: &Record| current.iter().any(|workload| record.is_about(&workload.id));
    let of_others = record::open_errors(records).filter(|(record, _)| !is_told(record));
    let mut errors: Vec<_> =
        of_workloads.chain(of_others.map(|(record, error)| (record.at, error.to_owned()))).collect();
    errors.sort();
    errors
}

/// Whether nothing that the config repository wants is missing or runs something older.
fn is_complete(release: Release<'_>, live: Live<'_>) -> bool {
    wanted(live).all(|compared| {
        compared.live.as_ref().is_some_and(|workload| workload.artifact_id == release.artifact_id)
    })
}

fn wanted(live: Live<'_>) -> impl Iterator<Item = &Compared> {
    live.workloads.iter().filter(|compared| compared.truth != release_api::v1::Truth::Unknown)
}

/// Of the workloads that are not there yet, as many as there should be or were before.
fn desired(release: Release<'_>, current: &[Workload], live: Live<'_>) -> i32 {
    let others = wanted(live).filter(|compared| {
        compared.live.as_ref().is_none_or(|workload| workload.artifact_id != release.artifact_id)
    });
    let to_come = others.map(|compared| {
        compared.replicas.or(compared.live.as_ref().map(|workload| workload.desired)).unwrap_or(1)
    });
    current.iter().map(|workload| workload.desired).chain(to_come).sum()
}

/// Why releases do not get to the cluster.
fn failing_applier(appliers: &[Applier]) -> Option<String> {
    let failing = appliers.iter().find(|applier| applier.phase == Phase::Failed)?;
    let message = failing.message.as_deref().unwrap_or("it does not say why");
    Some(format!("{} {}/{}: {message}", failing.id.kind, failing.id.namespace, failing.id.name))
}

#[cfg(test)]
mod tests;

//! What is kept of a rollout with its release: the note of the release's commit.
//!
//! A note is JSON Lines, one line for each happening, oldest first. Servers of other
//! versions, and people, may have put lines of their own there: they are left alone.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Report, WorkloadId};

/// How many of our lines a note has at most: a pod that crashes all night must not grow it.
const MAX_RECORDS: usize = 50;
/// The longest text of a line, in characters.
const MAX_TEXT: usize = 1000;
/// What fails later than this after its success is not the rollout's fault any more. Without a
/// readiness probe a pod counts as available, and crashes then.
const SETTLED_AFTER: TimeDelta = TimeDelta::minutes(10);

/// One line of a note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// The id of the event that told it; there is one line for each.
    pub event: Uuid,
    /// When the server heard of it.
    pub at: DateTime<Utc>,
    /// The workload, or the pod that failed.
    #[serde(flatten)]
    pub object: WorkloadId,
    #[serde(flatten)]
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "camelCase")]
pub enum What {
    Succeeded { available: i32, desired: i32 },
    Failed { error: String },
}

/// How a rollout has ended so far, as its note tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub at: DateTime<Utc>,
    /// Of all workloads that succeeded.
    pub available: i32,
    pub desired: i32,
    /// The first error of the rollout that nothing better has followed; `None`: it is healthy.
    pub error: Option<String>,
}

impl Record {
    /// `None` for a state: it is no happening.
    pub fn new(event: Uuid, at: DateTime<Utc>, report: &Report) -> Option<Self> {
        let object = |kind: &str, namespace: &str, name: &str| WorkloadId {
            kind: shorten(kind),
            namespace: shorten(namespace),
            name: shorten(name),
        };
        let (object, what) = match report {
            Report::Succeeded(body) => {
                let what = What::Succeeded { available: body.available_pods, desired: body.replicas };
                (object(&body.resource_type, &body.namespace, &body.name), what)
            }
            Report::PodFailed(body) => {
                let errors =
                    body.errors.iter().map(|error| sentence(&[&error.name, &error.kind, &error.message]));
                (object(POD, &body.namespace, &body.pod_name), failed(errors))
            }
            Report::JobFailed(body) => {
                let errors = body.errors.iter().map(|error| sentence(&[&error.reason, &error.message]));
                (object(JOB, &body.namespace, &body.job_name), failed(errors))
            }
            Report::State(_) => return None,
        };
        Some(Self { event, at, object, what })
    }

    /// Whether it is about this workload: about itself or about one of its pods. Flux's alerts of
    /// a workload come under its own name, as if it were a pod.
    pub fn is_about(&self, workload: &WorkloadId) -> bool {
        if self.object.kind != POD {
            return self.object == *workload;
        }
        let name = &self.object.name;
        workload.kind != JOB
            && self.object.namespace == workload.namespace
            && (*name == workload.name || owners_of_pod(name).any(|owner| owner == workload.name))
    }

    /// Whether the rollout had ended well, long before: of this workload, for a job of all.
    pub fn is_late(&self, records: &[Self]) -> bool {
        let ends_well =
            |other: &&Self| other.is_success() && (self.object.kind == JOB || self.is_about(&other.object));
        let last_success = records.iter().filter(ends_well).map(|success| success.at).max();
        last_success.is_some_and(|success| self.at - success > SETTLED_AFTER)
    }

    pub fn is_success(&self) -> bool {
        matches!(self.what, What::Succeeded { .. })
    }

    /// A success of its workload came later.
    fn is_over(&self, later: &[Self]) -> bool {
        later.iter().any(|later| {
            later.is_success()
                && later.object.namespace == self.object.namespace
                && self.is_about(&later.object)
        })
    }
}

pub const POD: &str = "Pod";
pub const JOB: &str = "Job";

/// The names that an owner may have, longest first: the object's, without one or more of its last parts.
pub fn owners(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(name), |name| name.rsplit_once('-').map(|(owner, _)| owner)).skip(1)
}

/// A pod has one part more than its `StatefulSet` or `DaemonSet`, and two more than its Deployment.
pub fn owners_of_pod(pod: &str) -> impl Iterator<Item = &str> {
    owners(pod).take(2)
}

fn failed(errors: impl Iterator<Item = String>) -> What {
    What::Failed { error: shorten(&errors.collect::<Vec<_>>().join("; ")) }
}

/// `api: CrashLoopBackOff: cannot open the database`
fn sentence(parts: &[&str]) -> String {
    let parts: Vec<&str> = parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty()).collect();
    parts.join(": ")
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The lines of a note that are ours, oldest first.
pub fn parse(note: &str) -> Vec<Record> {
    note.lines().filter_map(record).collect()
}

fn record(line: &str) -> Option<Record> {
    serde_json::from_str(line).ok()
}

/// The note with one more line; `None` when the event is in it already.
///
/// Of our lines the oldest go when there are too many, but never the first error and the last
/// success. An event whose line is gone would be added again; a daemon repeats only what it told lately.
pub fn append(note: Option<&str>, new: &Record) -> Option<String> {
    let note = note.unwrap_or_default();
    let lines: Vec<(&str, Option<Record>)> = note.lines().map(|line| (line, record(line))).collect();
    let ours: Vec<&Record> = lines.iter().filter_map(|(_, record)| record.as_ref()).collect();
    if ours.iter().any(|known| known.event == new.event) {
        return None;
    }
    let superfluous = superfluous(&ours);
    let is_kept = |record: Option<&Record>| record.is_none_or(|record| !superfluous.contains(&record.event));
    let kept = lines.iter().filter(|(_, record)| is_kept(record.as_ref()));
    let mut text: String = kept.flat_map(|(line, _)| [line, "\n"]).collect();
    text.push_str(&serde_json::to_string(new).expect("it has only texts, numbers and times"));
    text.push('\n');
    Some(text)
}

/// Those that have to make room for one more.
fn superfluous(ours: &[&Record]) -> Vec<Uuid> {
    let first_error = ours.iter().position(|record| !record.is_success());
    let last_success = ours.iter().rposition(|record| record.is_success());
    let excess = (ours.len() + 1).saturating_sub(MAX_RECORDS);
    let others = ours.iter().enumerate();
    let others = others.filter(|(index, _)| ![first_error, last_success].contains(&Some(*index)));
    others.take(excess).map(|(_, record)| record.event).collect()
}

/// The errors that nothing better has followed, oldest first.
pub fn open_errors(records: &[Record]) -> impl Iterator<Item = (&Record, &str)> {
    records.iter().enumerate().filter_map(|(index, record)| match &record.what {
        What::Failed { error } if !record.is_over(&records[index + 1..]) => Some((record, error.as_str())),
        _ => None,
    })
}

/// What became of the rollout; `None` when nothing is recorded.
pub fn outcome(records: &[Record]) -> Option<Outcome> {
    let mut replicas = BTreeMap::new();
    let mut last_success = None;
    for record in records {
        if let What::Succeeded { available, desired } = record.what {
            replicas.insert(&record.object, (available, desired));
            last_success = Some(record.at);
        }
    }
    let first_error = open_errors(records).find(|(record, _)| !record.is_late(records));
    Some(Outcome {
        at: first_error.map(|(record, _)| record.at).or(last_success)?,
        available: replicas.values().map(|(available, _)| available).sum(),
        desired: replicas.values().map(|(_, desired)| desired).sum(),
        error: first_error.map(|(_, error)| error.to_owned()),
    })
}

#[cfg(test)]
mod tests;

//! What all kinds of workloads have in common.

use chrono::{DateTime, Utc};
use kube::Resource;
use release_core::rollout::{ConditionError, Phase};

use crate::slim::Template;

/// A kind of workload that says by itself how far it is.
pub(crate) trait Judged: Resource {
    const KIND: &'static str;

    fn template(&self) -> &Template;

    fn rollout(&self) -> Rollout;

    fn generation(&self) -> i64 {
        self.meta().generation.unwrap_or_default()
    }
}

/// How far a workload is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rollout {
    pub(crate) desired: i32,
    /// Of the newest version.
    pub(crate) available: i32,
    pub(crate) phase: Phase,
    pub(crate) error: Option<String>,
    /// When it came into this phase, if the object tells.
    pub(crate) since: Option<DateTime<Utc>>,
    /// `None`: it goes on.
    pub(crate) outcome: Option<Outcome>,
}

/// How it ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Succeeded,
    JobDone,
    JobFailed(Vec<ConditionError>),
}

impl Rollout {
    pub(crate) fn progressing(desired: i32) -> Self {
        Self { desired, available: 0, phase: Phase::Progressing, error: None, since: None, outcome: None }
    }

    pub(crate) fn ended(self, outcome: Outcome, since: Option<DateTime<Utc>>) -> Self {
        let error = match &outcome {
            Outcome::JobFailed(errors) => Some(errors.first().map(sentence).unwrap_or_default()),
            Outcome::Succeeded | Outcome::JobDone => None,
        };
        let phase = if error.is_some() { Phase::Failed } else { Phase::Healthy };
        Self { phase, error, since, outcome: Some(outcome), ..self }
    }

    /// It does not go on by itself, but it may.
    pub(crate) fn stuck(self, message: &str, since: Option<DateTime<Utc>>) -> Self {
        Self { phase: Phase::Failed, error: Some(message.to_owned()), since, ..self }
    }
}

fn sentence(error: &ConditionError) -> String {
    if error.message.is_empty() { error.reason.clone() } else { error.message.clone() }
}

/// How many of the newest version are available for certain: the cluster counts available
/// ones of all versions together, and the old ones may be among them.
pub(crate) fn of_the_newest(available: i32, all: i32, updated: i32) -> i32 {
    let old = (all - updated).max(0);
    (available - old).clamp(0, updated.max(0))
}

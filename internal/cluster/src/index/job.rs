//! When a job has ended.

use chrono::{DateTime, Utc};
use release_core::rollout::ConditionError;
use serde::Deserialize;

use super::workload::{Judged, Outcome, Rollout};
use crate::slim::{Condition, Slim, Template, or_default};

pub(crate) type Job = Slim<JobSpec, JobStatus>;

#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct JobSpec {
    completions: Option<i32>,
    #[serde(default)]
    template: Template,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct JobStatus {
    #[serde(deserialize_with = "or_default")]
    succeeded: i32,
    completion_time: Option<DateTime<Utc>>,
    #[serde(deserialize_with = "or_default")]
    conditions: Vec<Condition>,
}

impl Judged for Job {
    const KIND: &'static str = "Job";

    fn template(&self) -> &Template {
        &self.spec.template
    }

    fn rollout(&self) -> Rollout {
        let mut rollout = Rollout::progressing(self.spec.completions.unwrap_or(1));
        rollout.available = self.status.succeeded;
        let conditions = &self.status.conditions;
        let failed: Vec<_> = conditions.iter().filter(|condition| condition.is("Failed", "True")).collect();
        if let Some(first) = failed.first() {
            let since = first.last_transition_time;
            return rollout.ended(Outcome::JobFailed(failed.into_iter().map(error).collect()), since);
        }
        if conditions.iter().any(|condition| condition.is("Complete", "True")) {
            return rollout.ended(Outcome::JobDone, self.status.completion_time);
        }
        rollout
    }
}

fn error(condition: &Condition) -> ConditionError {
    ConditionError { reason: condition.reason.clone(), message: condition.message.clone() }
}

#[cfg(test)]
mod tests {
    use release_core::rollout::Phase;
    use serde_json::{Value, json};

    use super::*;
    use crate::index::tests::object;

    #[expect(clippy::needless_pass_by_value, reason = "json! is the argument")]
    fn rollout(conditions: Value) -> Rollout {
        object::<Job>(json!({"metadata": {}, "spec": {"completions": 2},
            "status": {"succeeded": 1, "conditions": conditions}}))
        .rollout()
    }

    #[test]
    fn a_job_has_failed_with_each_failed_condition_and_is_healthy_when_complete() {
        let failed = |reason: &str| json!({"type": "Failed", "status": "True", "reason": reason, "message": "gave up"});
        let cases = [
            (json!([]), Phase::Progressing, vec![]),
            (json!([{"type": "Complete", "status": "True"}]), Phase::Healthy, vec![]),
            (json!([{"type": "Failed", "status": "False"}]), Phase::Progressing, vec![]),
            (json!([{"type": "FailureTarget", "status": "True"}]), Phase::Progressing, vec![]),
            (json!([failed("A")]), Phase::Failed, vec!["A"]),
            (
                json!([failed("A"), {"type": "Suspended", "status": "True"}, failed("B")]),
                Phase::Failed,
                vec!["A", "B"],
            ),
        ];
        for (conditions, phase, reasons) in cases {
            let rollout = rollout(conditions.clone());
            assert_eq!(rollout.phase, phase, "{conditions}");
            let errors = match rollout.outcome {
                Some(Outcome::JobFailed(errors)) => errors,
                _ => Vec::new(),
            };
            assert_eq!(errors.iter().map(|error| &error.reason).collect::<Vec<_>>(), reasons, "{conditions}");
            assert_eq!((rollout.desired, rollout.available), (2, 1));
        }
    }
}

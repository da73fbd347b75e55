//! When a deployment has rolled out.

use serde::Deserialize;

use super::workload::{Judged, Outcome, Rollout, of_the_newest};
use crate::slim::{Condition, Slim, Template, or_default};

pub(crate) type Deployment = Slim<DeploymentSpec, DeploymentStatus>;

#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct DeploymentSpec {
    replicas: Option<i32>,
    #[serde(default)]
    template: Template,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct DeploymentStatus {
    observed_generation: i64,
    replicas: i32,
    updated_replicas: i32,
    available_replicas: i32,
    #[serde(deserialize_with = "or_default")]
    conditions: Vec<Condition>,
}

impl Judged for Deployment {
    const KIND: &'static str = "Deployment";

    fn template(&self) -> &Template {
        &self.spec.template
    }

    fn rollout(&self) -> Rollout {
        let status = &self.status;
        let desired = self.spec.replicas.unwrap_or(1);
        let is_observed = status.observed_generation >= self.generation();
        let mut rollout = Rollout::progressing(desired);
        if !is_observed {
            return rollout;
        }
        rollout.available =
            of_the_newest(status.available_replicas, status.replicas, status.updated_replicas);
        let counts = [status.updated_replicas, status.replicas, status.available_replicas];
        let progress = status.conditions.iter().find(|condition| condition.kind == "Progressing");
        if counts == [desired; 3] {
            let since = progress.and_then(|condition| condition.last_update_time);
            return rollout.ended(Outcome::Succeeded, since);
        }
        match progress.filter(|condition| condition.status == "False") {
            Some(condition) => rollout.stuck(&condition.message, condition.last_update_time),
            None => rollout,
        }
    }
}

#[cfg(test)]
mod tests {
    use release_core::rollout::Phase;
    use serde_json::{Value, json};

    use super::*;
    use crate::index::tests::object;

    #[expect(clippy::needless_pass_by_value, reason = "json! is the argument")]
    fn rollout(replicas: Value, status: Value) -> Rollout {
        object::<Deployment>(
            json!({"metadata": {"generation": 2}, "spec": {"replicas": replicas}, "status": status}),
        )
        .rollout()
    }

    #[test]
    fn a_deployment_has_succeeded_when_all_replicas_are_new_and_available() {
        let cases = [
            // generation observed, replicas, updated, available; phase, available of the newest
            ([2, 3, 3, 3], Phase::Healthy, 3),
            ([3, 3, 3, 3], Phase::Healthy, 3),
            ([1, 3, 3, 3], Phase::Progressing, 0),
            ([2, 4, 3, 3], Phase::Progressing, 2),
            ([2, 3, 2, 3], Phase::Progressing, 2),
            ([2, 3, 3, 2], Phase::Progressing, 2),
            ([2, 4, 1, 3], Phase::Progressing, 0),
            ([2, 0, 0, 0], Phase::Progressing, 0),
        ];
        for (counts, phase, available) in cases {
            let [observed, replicas, updated, available_replicas] = counts;
            let rollout = rollout(
                3.into(),
                json!({"observedGeneration": observed, "replicas": replicas, "updatedReplicas": updated,
                    "availableReplicas": available_replicas}),
            );
            assert_eq!((rollout.phase, rollout.available), (phase, available), "{counts:?}");
            assert_eq!(rollout.outcome.is_some(), phase == Phase::Healthy, "{counts:?}");
            assert_eq!(rollout.desired, 3);
        }
    }

    #[test]
    fn without_a_number_one_replica_is_wanted_and_none_is_a_number() {
        let one =
            json!({"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1});
        assert_eq!(rollout(Value::Null, one.clone()).phase, Phase::Healthy);
        assert_eq!(rollout(0.into(), one).phase, Phase::Progressing);
        assert_eq!(rollout(0.into(), json!({"observedGeneration": 2})).phase, Phase::Healthy);
    }

    #[test]
    fn one_that_makes_no_progress_has_failed_but_that_is_no_happening() {
        let condition = json!({"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded",
            "message": "timed out", "lastUpdateTime": "2026-01-01T00:00:00Z"});
        let status =
            |observed: i64| json!({"observedGeneration": observed, "replicas": 1, "conditions": [condition]});
        let stuck = rollout(3.into(), status(2));
        assert_eq!((stuck.phase, stuck.error.as_deref()), (Phase::Failed, Some("timed out")));
        assert!(stuck.outcome.is_none() && stuck.since.is_some());
        assert_eq!(rollout(3.into(), status(1)).phase, Phase::Progressing);
    }
}

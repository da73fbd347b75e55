//! When a stateful set has rolled out.

use serde::Deserialize;

use super::workload::{Judged, Outcome, Rollout, of_the_newest};
use crate::slim::{Slim, Template};

pub(crate) type StatefulSet = Slim<StatefulSetSpec, StatefulSetStatus>;

#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct StatefulSetSpec {
    replicas: Option<i32>,
    #[serde(default)]
    template: Template,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct StatefulSetStatus {
    observed_generation: i64,
    replicas: i32,
    ready_replicas: i32,
    current_replicas: i32,
    updated_replicas: i32,
}

impl Judged for StatefulSet {
    const KIND: &'static str = "StatefulSet";

    fn template(&self) -> &Template {
        &self.spec.template
    }

    fn rollout(&self) -> Rollout {
        let status = &self.status;
        // Its pods are made one after the other, so its status may lag behind what is wanted.
        let desired = self.spec.replicas.unwrap_or(status.replicas);
        let mut rollout = Rollout::progressing(desired);
        if status.observed_generation < self.generation() {
            return rollout;
        }
        rollout.available = of_the_newest(status.ready_replicas, status.replicas, status.updated_replicas);
        let counts =
            [status.replicas, status.ready_replicas, status.current_replicas, status.updated_replicas];
        if counts == [desired; 4] { rollout.ended(Outcome::Succeeded, None) } else { rollout }
    }
}

#[cfg(test)]
mod tests {
    use release_core::rollout::Phase;
    use serde_json::json;

    use super::*;
    use crate::index::tests::object;

    #[test]
    fn a_stateful_set_has_succeeded_when_all_replicas_are_new_and_ready() {
        let cases = [
            // generation observed, replicas, ready, current, updated; phase
            ([2, 3, 3, 3, 3], Phase::Healthy),
            ([1, 3, 3, 3, 3], Phase::Progressing),
            ([2, 3, 2, 3, 3], Phase::Progressing),
            ([2, 3, 3, 2, 3], Phase::Progressing),
            ([2, 3, 3, 3, 2], Phase::Progressing),
            // The second pod is not made before the first one is ready.
            ([2, 1, 1, 1, 1], Phase::Progressing),
            ([2, 0, 0, 0, 0], Phase::Progressing),
        ];
        for (counts, phase) in cases {
            let [observed, replicas, ready, current, updated] = counts;
            let status = json!({"observedGeneration": observed, "replicas": replicas, "readyReplicas": ready,
                "currentReplicas": current, "updatedReplicas": updated});
            let set: StatefulSet =
                object(json!({"metadata": {"generation": 2}, "spec": {"replicas": 3}, "status": status}));
            let rollout = set.rollout();
            assert_eq!(rollout.phase, phase, "{counts:?}");
            assert_eq!(rollout.outcome.is_some(), phase == Phase::Healthy, "{counts:?}");
        }
    }
}

//! When a daemon set has rolled out.

use release_core::rollout::Phase;
use serde::Deserialize;

use super::workload::{Judged, Outcome, Rollout, of_the_newest};
use crate::slim::{Slim, Template};

pub(crate) type DaemonSet = Slim<DaemonSetSpec, DaemonSetStatus>;

#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct DaemonSetSpec {
    #[serde(default)]
    template: Template,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct DaemonSetStatus {
    observed_generation: i64,
    desired_number_scheduled: i32,
    current_number_scheduled: i32,
    updated_number_scheduled: i32,
    number_ready: i32,
    number_available: i32,
    number_unavailable: i32,
    number_misscheduled: i32,
}

impl Judged for DaemonSet {
    const KIND: &'static str = "DaemonSet";

    fn template(&self) -> &Template {
        &self.spec.template
    }

    fn rollout(&self) -> Rollout {
        let status = &self.status;
        let desired = status.desired_number_scheduled;
        let mut rollout = Rollout::progressing(desired);
        if status.observed_generation < self.generation() {
            return rollout;
        }
        let available = status.number_available;
        rollout.available =
            of_the_newest(available, status.current_number_scheduled, status.updated_number_scheduled);
        if status.has_rolled_out() {
            rollout.available = available;
            return rollout.ended(Outcome::Succeeded, None);
        }
        if desired == 0 {
            // It is for no node: nothing is amiss, and nothing is to be told.
            rollout.phase = Phase::Healthy;
        }
        rollout
    }
}

impl DaemonSetStatus {
    fn has_rolled_out(&self) -> bool {
        self.desired_number_scheduled != 0
            && self.desired_number_scheduled == self.current_number_scheduled
            && self.number_ready == self.number_available
            && self.number_available == self.updated_number_scheduled
            && self.number_unavailable == 0
            && self.number_misscheduled == 0
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::index::tests::object;

    #[test]
    fn a_daemon_set_has_succeeded_when_every_node_has_the_new_pod() {
        let cases = [
            // generation observed, desired, current, updated, ready, available, unavailable, misscheduled
            ([2, 3, 3, 3, 3, 3, 0, 0], Phase::Healthy),
            ([1, 3, 3, 3, 3, 3, 0, 0], Phase::Progressing),
            ([2, 0, 0, 0, 0, 0, 0, 0], Phase::Healthy),
            ([1, 0, 0, 0, 0, 0, 0, 0], Phase::Progressing),
            ([2, 3, 2, 3, 3, 3, 0, 0], Phase::Progressing),
            ([2, 3, 3, 2, 3, 3, 0, 0], Phase::Progressing),
            ([2, 3, 3, 3, 2, 3, 0, 0], Phase::Progressing),
            ([2, 3, 3, 3, 3, 2, 0, 0], Phase::Progressing),
            ([2, 3, 3, 3, 3, 3, 1, 0], Phase::Progressing),
            ([2, 3, 3, 3, 3, 3, 0, 1], Phase::Progressing),
        ];
        for (counts, phase) in cases {
            let [observed, desired, current, updated, ready, available, unavailable, misscheduled] = counts;
            let status = json!({"observedGeneration": observed, "desiredNumberScheduled": desired,
                "currentNumberScheduled": current, "updatedNumberScheduled": updated, "numberReady": ready,
                "numberAvailable": available, "numberUnavailable": unavailable,
                "numberMisscheduled": misscheduled});
            let set: DaemonSet = object(json!({"metadata": {"generation": 2}, "status": status}));
            let rollout = set.rollout();
            assert_eq!(rollout.phase, phase, "{counts:?}");
            assert_eq!(rollout.outcome.is_some(), phase == Phase::Healthy && desired > 0, "{counts:?}");
            assert_eq!(rollout.desired, desired);
        }
    }
}

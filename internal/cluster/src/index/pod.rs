//! What is wrong with a pod's containers.

use serde::Deserialize;

use crate::slim::{Nothing, Slim, or_default};

pub(crate) type Pod = Slim<Nothing, PodStatus>;

const CRASH_LOOP: &str = "CrashLoopBackOff";
const BAD_CONFIG: &str = "CreateContainerConfigError";
const OUT_OF_MEMORY: &str = "OOMKilled";
/// A container that waits for one of these, in a pod that has not started, has an error.
const CANNOT_START: [&str; 3] = [BAD_CONFIG, "ImagePullBackOff", "InvalidImageName"];
/// The kubelet says so now and then, and tries again.
const NOISE: &str = "failed to sync configmap cache: timed out waiting for the condition";

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PodStatus {
    phase: String,
    #[serde(deserialize_with = "or_default")]
    init_container_statuses: Vec<ContainerStatus>,
    #[serde(deserialize_with = "or_default")]
    container_statuses: Vec<ContainerStatus>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ContainerStatus {
    name: String,
    restart_count: i32,
    #[serde(deserialize_with = "or_default")]
    state: ContainerState,
    #[serde(deserialize_with = "or_default")]
    last_state: ContainerState,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct ContainerState {
    waiting: Option<Reason>,
    running: Option<Nothing>,
    terminated: Option<Reason>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Reason {
    #[serde(deserialize_with = "or_default")]
    reason: String,
    #[serde(deserialize_with = "or_default")]
    message: String,
}

/// What is wrong with one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) container: String,
    pub(crate) kind: String,
    /// Empty for a crash: its log says more.
    pub(crate) message: String,
    /// How often the container had been restarted when it happened.
    pub(crate) restarts: i32,
}

impl Trouble {
    /// Whether the container's log tells what happened.
    pub(crate) fn is_crash(&self) -> bool {
        self.kind == CRASH_LOOP
    }
}

/// What is wrong with a pod right now. Of the crashes of a container each `modulo`-th counts, beginning
/// with the first.
pub(crate) fn troubles(pod: &Pod, modulo: i32) -> Vec<Trouble> {
    let of_job = pod.metadata.owner_references.iter().flatten().any(|owner| owner.kind == "Job");
    let status = &pod.status;
    let crashes_count = |phases: &[&str]| !of_job && phases.contains(&status.phase.as_str());
    // A pod has not started before its init containers are done.
    let init =
        status.init_container_statuses.iter().zip(std::iter::repeat(crashes_count(&["Pending", "Running"])));
    let others = status.container_statuses.iter().zip(std::iter::repeat(crashes_count(&["Running"])));
    init.chain(others)
        .flat_map(|(container, crashes_count)| {
            let crash = container.crash(modulo).filter(|_| crashes_count);
            let cannot_start = container.cannot_start().filter(|_| status.phase == "Pending");
            crash.into_iter().chain(cannot_start).chain(container.out_of_memory())
        })
        .collect()
}

impl ContainerStatus {
    fn crash(&self, modulo: i32) -> Option<Trouble> {
        self.state.waiting.as_ref().filter(|waiting| waiting.reason == CRASH_LOOP)?;
        // With a modulo of 1 that is every crash.
        let counts = self.restart_count % modulo == 1 % modulo;
        counts.then(|| self.trouble(CRASH_LOOP, "", self.restart_count))
    }

    fn cannot_start(&self) -> Option<Trouble> {
        let waiting = self.state.waiting.as_ref()?;
        let is_trouble = CANNOT_START.contains(&waiting.reason.as_str()) && waiting.message != NOISE;
        is_trouble.then(|| self.trouble(&waiting.reason, &waiting.message, self.restart_count))
    }

    fn out_of_memory(&self) -> Option<Trouble> {
        let killed = |state: &ContainerState| {
            state.terminated.clone().filter(|terminated| terminated.reason == OUT_OF_MEMORY)
        };
        if let Some(killed) = killed(&self.state) {
            return Some(self.trouble(OUT_OF_MEMORY, &killed.message, self.restart_count));
        }
        // A container that runs again, or has ended again, has one more restart than it had when it was killed.
        let has_started = self.state.running.is_some() || self.state.terminated.is_some();
        let restarts = self.restart_count - i32::from(has_started);
        let killed = killed(&self.last_state)?;
        Some(self.trouble(OUT_OF_MEMORY, &killed.message, restarts.max(0)))
    }

    fn trouble(&self, kind: &str, message: &str, restarts: i32) -> Trouble {
        Trouble { container: self.name.clone(), kind: kind.to_owned(), message: message.to_owned(), restarts }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::index::tests::object;

    #[expect(clippy::needless_pass_by_value, reason = "json! is the argument")]
    fn found(status: Value, modulo: i32) -> Vec<(String, String, String, i32)> {
        let pod: Pod = object(json!({"metadata": {}, "status": status}));
        let parts = |it: Trouble| (it.container, it.kind, it.message, it.restarts);
        troubles(&pod, modulo).into_iter().map(parts).collect()
    }

    fn waiting(phase: &str, reason: &str, message: &str, restarts: i32) -> Value {
        json!({"phase": phase, "containerStatuses": [{"name": "app", "restartCount": restarts,
            "state": {"waiting": {"reason": reason, "message": message}}}]})
    }

    #[test]
    fn crashes_of_a_running_pod_are_told_every_so_often() {
        let cases = [
            ("Running", 1, 5, true),
            ("Running", 6, 5, true),
            ("Running", 0, 5, false),
            ("Running", 2, 5, false),
            ("Running", 5, 5, false),
            ("Running", 7, 1, true),
            ("Running", 8, 1, true),
            ("Pending", 1, 5, false),
            ("Failed", 1, 5, false),
        ];
        for (phase, restarts, modulo, expected) in cases {
            let found = found(waiting(phase, "CrashLoopBackOff", "back-off 5m0s", restarts), modulo);
            assert_eq!(!found.is_empty(), expected, "{phase} {restarts} {modulo}");
            assert!(found.iter().all(|trouble| trouble.2.is_empty()), "the log is the message");
        }
    }

    #[test]
    fn crashes_of_a_jobs_pod_are_the_jobs() {
        let owned = |kind: &str| -> Pod {
            object(
                json!({"metadata": {"ownerReferences": [{"kind": kind, "name": "x", "uid": "u", "apiVersion": "v1"}]},
                "status": waiting("Running", "CrashLoopBackOff", "", 1)}),
            )
        };
        assert!(troubles(&owned("Job"), 5).is_empty());
        assert_eq!(troubles(&owned("ReplicaSet"), 5).len(), 1);
    }

    #[test]
    fn what_keeps_a_container_from_starting_is_told_with_the_clusters_words() {
        let cases = [
            ("Pending", "CreateContainerConfigError", "secret \"x\" not found", true),
            ("Pending", "ImagePullBackOff", "Back-off pulling image \"x\"", true),
            ("Pending", "InvalidImageName", "couldn't parse image", true),
            ("Pending", "CreateContainerConfigError", NOISE, false),
            ("Pending", "ContainerCreating", "", false),
            ("Pending", "ErrImagePull", "", false),
            ("Running", "CreateContainerConfigError", "x", false),
        ];
        for (phase, reason, message, expected) in cases {
            let found = found(waiting(phase, reason, message, 0), 5);
            let expected: Vec<_> =
                expected.then(|| ("app".into(), reason.into(), message.into(), 0)).into_iter().collect();
            assert_eq!(found, expected, "{phase} {reason} {message}");
        }
    }

    #[test]
    fn one_kill_for_memory_is_the_same_before_and_after_the_restart() {
        let killed = json!({"terminated": {"reason": "OOMKilled", "message": "too much"}});
        let status = |restarts: i32, state: Value, last: Value| {
            json!({"phase": "Running", "containerStatuses":
                [{"name": "app", "restartCount": restarts, "state": state, "lastState": last}]})
        };
        let back_off = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        let cases = [
            (status(2, killed.clone(), json!({})), vec![2]),
            (status(3, json!({"running": {"startedAt": "x"}}), killed.clone()), vec![2]),
            (status(3, json!({"terminated": {"reason": "Error"}}), killed.clone()), vec![2]),
            (status(2, back_off, killed), vec![2]),
            (status(0, json!({"terminated": {"reason": "Error"}}), json!({})), vec![]),
        ];
        for (status, expected) in cases {
            let found = found(status.clone(), 5);
            assert_eq!(found.iter().map(|trouble| trouble.3).collect::<Vec<_>>(), expected, "{status}");
            assert!(found.iter().all(|trouble| trouble.2 == "too much"));
        }
    }

    #[test]
    fn each_container_counts_by_itself_and_init_containers_do_so_before_the_pod_runs() {
        let crash = |name: &str| json!({"name": name, "restartCount": 1, "state": {"waiting": {"reason": "CrashLoopBackOff"}}});
        let names = |status| found(status, 5).into_iter().map(|trouble| trouble.0).collect::<Vec<_>>();
        let status = |phase: &str| {
            json!({"phase": phase, "initContainerStatuses": [crash("migrate")],
            "containerStatuses": [crash("app"), {"name": "fine", "state": {"running": {}}}, crash("proxy")]})
        };
        assert_eq!(names(status("Pending")), ["migrate"]);
        assert_eq!(names(status("Running")), ["migrate", "app", "proxy"]);
    }
}

use release_api::v1::Truth;
use release_core::rollout::WorkloadId;
use uuid::Uuid;

use super::*;

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(second, 0).unwrap()
}

fn id(text: &str) -> WorkloadId {
    let (kind, name) = text.split_once('/').unwrap();
    WorkloadId { kind: kind.into(), namespace: "dev".into(), name: name.into() }
}

fn succeeded(second: i64, object: &str) -> Record {
    let what = What::Succeeded { available: 3, desired: 3 };
    Record { event: Uuid::nil(), at: at(second), object: id(object), what }
}

fn failed(second: i64, object: &str) -> Record {
    let what = What::Failed { error: format!("error at {second}") };
    Record { event: Uuid::nil(), at: at(second), object: id(object), what }
}

/// `m-2` was released at 10; the cluster was heard of at 100.
fn runs(object: &str, artifact_id: &str, available: i32, phase: Phase) -> Compared {
    let workload = Workload {
        id: id(object),
        artifact_id: artifact_id.into(),
        squad: String::new(),
        images: Vec::new(),
        desired: 3,
        available,
        phase,
        since: at(50),
        error: (phase == Phase::Failed).then(|| "too slow".to_owned()),
    };
    Compared::of(workload)
}

fn missing(object: &str) -> Compared {
    Compared { truth: Truth::Missing, live: None, replicas: Some(2), ..runs(object, "", 0, Phase::Healthy) }
}

fn join(
    records: &[Record],
    live: Option<(&[Compared], &[Applier])>,
) -> (RolloutState, i64, i32, i32, String) {
    let release = Release { artifact_id: "m-2", at: at(10) };
    let live = live.map(|(workloads, appliers)| Live { heard_at: at(100), workloads, appliers });
    let Rollout { state, since, available, desired, error } = rollout(release, records, live);
    (state, since.timestamp(), available, desired, error.unwrap_or_default())
}

/// What the cluster tells, and what is to be joined from it.
type Case<'a> = (&'a [Compared], RolloutState, i64, i32, i32, &'a str);

#[test]
fn a_release_goes_from_released_to_healthy_as_the_cluster_tells() {
    use Phase::{Failed, Healthy, Progressing};
    use RolloutState as State;
    let (api, worker) = ("Deployment/api", "Deployment/worker");
    let cases: [Case<'_>; 10] = [
        (&[], State::Released, 10, 0, 0, ""),
        (&[runs(api, "m-1", 3, Healthy)], State::Released, 10, 0, 3, ""),
        (&[missing(api)], State::Released, 10, 0, 2, ""),
        (&[runs(api, "m-2", 0, Progressing)], State::Applying, 50, 0, 3, ""),
        (&[runs(api, "m-2", 1, Progressing)], State::Running, 50, 1, 3, ""),
        (&[runs(api, "m-2", 3, Healthy)], State::Healthy, 50, 3, 3, ""),
        (&[runs(api, "m-2", 3, Healthy), runs(worker, "m-1", 3, Healthy)], State::Running, 50, 3, 6, ""),
        (&[runs(api, "m-2", 3, Healthy), missing(worker)], State::Running, 50, 3, 5, ""),
        (&[runs(api, "m-2", 1, Failed)], State::Failed, 50, 1, 3, "too slow"),
        (
            &[runs(api, "m-2", 3, Healthy), runs(worker, "m-2", 0, Failed)],
            State::Failed,
            50,
            3,
            6,
            "too slow",
        ),
    ];
    for (workloads, state, since, available, desired, error) in cases {
        let expected = (state, since, available, desired, error.to_owned());
        assert_eq!(join(&[], Some((workloads, &[]))), expected, "{workloads:?}");
    }
}

#[test]
fn what_is_left_over_does_not_keep_a_release_from_being_healthy() {
    let left_over = Compared { truth: Truth::Unknown, ..runs("Deployment/old", "m-0", 1, Phase::Healthy) };
    let workloads = [runs("Deployment/api", "m-2", 3, Phase::Healthy), left_over];
    assert_eq!(join(&[], Some((&workloads, &[]))).0, RolloutState::Healthy);
}

#[test]
fn without_a_cluster_the_note_tells() {
    let api = "Deployment/api";
    assert_eq!(join(&[], None), (RolloutState::Released, 10, 0, 0, String::new()));
    assert_eq!(join(&[succeeded(60, api)], None), (RolloutState::Healthy, 60, 3, 3, String::new()));
    let error = "error at 70".to_owned();
    assert_eq!(
        join(&[succeeded(60, api), failed(70, "Pod/api-x")], None),
        (RolloutState::Failed, 70, 3, 3, error)
    );
    let mended = [failed(60, "Pod/api-x"), succeeded(70, api)];
    assert_eq!(join(&mended, None), (RolloutState::Healthy, 70, 3, 3, String::new()));
}

#[test]
fn of_the_cluster_and_the_note_the_newer_one_counts() {
    use Phase::{Failed, Healthy, Progressing};
    let api = "Deployment/api";
    let cases = [
        // Noted before the cluster was heard of: it knows better.
        (failed(60, "Pod/api-x"), runs(api, "m-2", 3, Healthy), RolloutState::Healthy, ""),
        (succeeded(60, api), runs(api, "m-2", 1, Progressing), RolloutState::Running, ""),
        (failed(20, "Pod/api-x"), runs(api, "m-2", 1, Failed), RolloutState::Failed, "error at 20"),
        (succeeded(60, api), runs(api, "m-1", 3, Healthy), RolloutState::Released, ""),
        // Noted since.
        (failed(120, "Pod/api-x"), runs(api, "m-2", 3, Healthy), RolloutState::Failed, "error at 120"),
        (succeeded(120, api), runs(api, "m-2", 1, Progressing), RolloutState::Healthy, ""),
        (succeeded(120, api), runs(api, "m-2", 1, Failed), RolloutState::Healthy, ""),
        (succeeded(120, api), runs(api, "m-1", 3, Healthy), RolloutState::Healthy, ""),
        // The cluster does not tell of it, so nothing has changed.
        (failed(60, "Job/migrate"), runs(api, "m-2", 3, Healthy), RolloutState::Failed, "error at 60"),
    ];
    for (record, workload, state, error) in cases {
        let found = join(std::slice::from_ref(&record), Some((std::slice::from_ref(&workload), &[])));
        assert_eq!((found.0, found.4.as_str()), (state, error), "{record:?} {workload:?}");
    }
}

#[test]
fn a_failing_applier_is_why_a_release_does_not_arrive() {
    let applier = Applier {
        id: id("Kustomization/apps"),
        commit: None,
        phase: Phase::Failed,
        message: Some("kustomize build failed".into()),
    };
    let appliers = [Applier { phase: Phase::Healthy, ..applier.clone() }, applier];
    let waiting = join(&[], Some((&[runs("Deployment/api", "m-1", 3, Phase::Healthy)], &appliers)));
    assert_eq!(
        (waiting.0, waiting.4.as_str()),
        (RolloutState::Released, "Kustomization dev/apps: kustomize build failed")
    );
    let arrived = join(&[], Some((&[runs("Deployment/api", "m-2", 3, Phase::Healthy)], &appliers)));
    assert_eq!((arrived.0, arrived.4.as_str()), (RolloutState::Healthy, ""));
}

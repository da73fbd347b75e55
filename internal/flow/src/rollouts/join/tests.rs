use release_api::v1::Truth;
use release_core::rollout::{ClusterState, WorkloadId};
use uuid::Uuid;

use super::*;
use crate::rollouts::cluster::Clusters;

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

type Found = (RolloutState, i64, i32, i32, String);

fn found(rollout: Rollout) -> Found {
    let Rollout { state, since, available, desired, error } = rollout;
    (state, since.timestamp(), available, desired, error.unwrap_or_default())
}

const RELEASE: Release<'_> = Release {
    service: "api",
    artifact_id: "m-2",
    at: DateTime::from_timestamp(10, 0).unwrap(),
    runs_nothing: false,
};

fn live<'a>(workloads: &'a [Compared], appliers: &'a [Applier]) -> Live<'a> {
    Live { heard_at: at(100), is_complete: true, workloads, appliers }
}

fn join(records: &[Record], told: Option<(&[Compared], &[Applier])>) -> Found {
    found(rollout(RELEASE, records, told.map(|(workloads, appliers)| live(workloads, appliers))))
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
        // The cluster tells of crashes only that the workload is not there yet.
        (failed(60, "Pod/api-x"), runs(api, "m-2", 0, Progressing), RolloutState::Failed, "error at 60"),
        (failed(20, "Pod/api-x"), runs(api, "m-2", 1, Progressing), RolloutState::Failed, "error at 20"),
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

fn applier(name: &str) -> Applier {
    Applier {
        id: id(&format!("Kustomization/{name}")),
        commit: None,
        phase: Phase::Healthy,
        message: Some("kustomize build failed".into()),
    }
}

#[test]
fn a_failing_applier_of_its_own_is_why_a_release_does_not_arrive() {
    let failing = |name: &str| Applier { phase: Phase::Failed, ..applier(name) };
    let why = |name: &str| format!("Kustomization dev/{name}: kustomize build failed");
    for (appliers, expected) in [
        (vec![failing("apps")], why("apps")),
        (vec![applier("apps"), failing("api")], why("api")),
        (vec![failing("other"), failing("api")], why("api")),
        (vec![failing("other"), applier("api")], String::new()),
        (vec![failing("other"), failing("another")], String::new()),
    ] {
        let waiting = join(&[], Some((&[runs("Deployment/api", "m-1", 3, Phase::Healthy)], &appliers)));
        assert_eq!((waiting.0, waiting.4), (RolloutState::Released, expected), "{appliers:?}");
        let arrived = join(&[], Some((&[runs("Deployment/api", "m-2", 3, Phase::Healthy)], &appliers)));
        assert_eq!((arrived.0, arrived.4.as_str()), (RolloutState::Healthy, ""));
    }
}

#[test]
fn what_the_whole_cluster_did_not_tell_since_the_release_is_not_healthy() {
    let healthy = [runs("Deployment/api", "m-2", 3, Phase::Healthy)];
    let live = live(&healthy, &[]);
    let before = Live { heard_at: at(9), ..live };
    let partial = Live { is_complete: false, ..live };
    for (live, expected) in
        [(live, RolloutState::Healthy), (partial, RolloutState::Running), (before, RolloutState::Released)]
    {
        assert_eq!(rollout(RELEASE, &[], Some(live)).state, expected, "{live:?}");
    }
}

#[test]
fn a_crash_counts_until_it_goes_well_or_is_of_another_time() {
    use Phase::{Healthy, Progressing};
    let api = "Deployment/api";
    let week = 7 * 24 * 3600;
    let unwell = |since| {
        let mut compared = runs(api, "m-2", 2, Progressing);
        compared.live.as_mut().unwrap().since = at(since);
        compared
    };
    let crashed = [succeeded(60, api), failed(week, "Pod/api-x")];
    let heard = |compared: &Compared| {
        let workloads = std::slice::from_ref(compared);
        let live = Live { heard_at: at(2 * week), ..live(workloads, &[]) };
        rollout(RELEASE, &crashed, Some(live)).state
    };
    assert_eq!(heard(&runs(api, "m-2", 3, Healthy)), RolloutState::Healthy);
    assert_eq!(heard(&unwell(week - 1)), RolloutState::Failed);
    assert_eq!(heard(&unwell(week + 1)), RolloutState::Running, "it went well again since");
    assert_eq!(join(&crashed, None), (RolloutState::Healthy, 60, 3, 3, String::new()));
}

#[test]
fn a_jobs_failure_ends_when_all_are_healthy_or_its_next_run_is_a_success() {
    use Phase::{Failed, Healthy};
    let api = runs("Deployment/api", "m-2", 3, Healthy);
    let job = |name: &str, phase: Phase, since: i64| {
        let mut compared = runs(name, "m-2", 3, phase);
        compared.live.as_mut().unwrap().since = at(since);
        compared
    };
    let fails = job("Job/api-cron-28001", Failed, 60);
    let cases = [
        (vec![], vec![api.clone(), fails.clone()], RolloutState::Failed),
        (
            vec![],
            vec![api.clone(), fails.clone(), job("Job/api-cron-28002", Healthy, 70)],
            RolloutState::Healthy,
        ),
        (
            vec![],
            vec![api.clone(), fails.clone(), job("Job/api-cron-28000", Healthy, 55)],
            RolloutState::Failed,
        ),
        (vec![], vec![api.clone(), fails, job("Job/api-seed", Healthy, 70)], RolloutState::Failed),
        // It is not there any more.
        (vec![failed(40, "Job/migrate")], vec![api.clone()], RolloutState::Healthy),
        (vec![failed(60, "Job/migrate-x2x2z")], vec![api.clone()], RolloutState::Failed),
        (
            vec![failed(60, "Job/migrate-x2x2z")],
            vec![api.clone(), job("Job/migrate-bcdfg", Healthy, 70)],
            RolloutState::Healthy,
        ),
        // Its failure keeps the others from coming.
        (
            vec![failed(60, "Job/migrate")],
            vec![runs("Deployment/api", "m-1", 3, Healthy)],
            RolloutState::Failed,
        ),
    ];
    for (records, workloads, expected) in cases {
        assert_eq!(join(&records, Some((&workloads, &[]))).0, expected, "{records:?} {workloads:?}");
    }
}

#[test]
fn a_job_of_another_release_is_not_waited_for() {
    let old = Compared { truth: Truth::Pending, ..runs("Job/migrate-1", "m-1", 0, Phase::Healthy) };
    let workloads = [runs("Deployment/api", "m-2", 3, Phase::Healthy), old];
    assert_eq!(join(&[], Some((&workloads, &[]))), (RolloutState::Healthy, 50, 3, 3, String::new()));
}

#[test]
fn a_release_of_which_nothing_runs_is_done_when_the_cluster_was_told_of_since() {
    let release = Release { runs_nothing: true, ..RELEASE };
    let nothing = live(&[], &[]);
    let old = [runs("Deployment/api", "m-1", 3, Phase::Healthy)];
    let fails = [Applier { phase: Phase::Failed, ..applier("api") }];
    for (live, expected) in [
        (Some(nothing), RolloutState::Healthy),
        (Some(live(&old, &[])), RolloutState::Released),
        (Some(live(&[], &fails)), RolloutState::Released),
        (Some(Live { is_complete: false, ..nothing }), RolloutState::Released),
        (Some(Live { heard_at: at(9), ..nothing }), RolloutState::Released),
        (None, RolloutState::Released),
    ] {
        let found = rollout(release, &[], live);
        assert_eq!((found.state, found.since), (expected, at(10)), "{live:?}");
    }
    assert_eq!(rollout(RELEASE, &[], Some(nothing)).state, RolloutState::Released, "others may render it");
}

#[test]
fn a_daemon_that_is_away_and_changes_of_others_tell_nothing() {
    let workloads = [runs("Deployment/api", "m-2", 3, Phase::Healthy)];
    let cluster = |is_complete| {
        let clusters = Clusters::default();
        let (workloads, gone, appliers) = (Vec::new(), Vec::new(), Vec::new());
        let environment = "dev".to_owned();
        let state = ClusterState { environment, observed_at: at(0), is_complete, workloads, gone, appliers };
        clusters.hear(state, at(100)).unwrap();
        clusters.get("dev").unwrap()
    };
    for (is_complete, workloads, now, tells) in [
        (true, &workloads[..], 100 + 180, true),
        (true, &workloads, 100 + 181, false),
        (true, &[], 100, true),
        (false, &workloads, 100, true),
        (false, &[], 100, false),
    ] {
        let cluster = cluster(is_complete);
        let live = Live::of(&cluster, workloads, at(now));
        assert_eq!(live.is_some(), tells, "{is_complete} {workloads:?} {now}");
        assert!(live.is_none_or(|live| live.is_complete == is_complete && live.heard_at == at(100)));
    }
}

//! What daemons tell, and what is known of releases because of it.

use chrono::{TimeDelta, Utc};
use release_api::v1::{EnvironmentStatus, Rollout, RolloutState, Truth};
use release_core::rollout::{
    ClusterState, ContainerError, Phase, PodFailed, Report, Succeeded, Workload, WorkloadId,
};
use release_flow::Scope;

use super::{notifications::*, *};

const NOTES: &str = "refs/notes/rollouts";

fn succeeded(artifact_id: &str) -> Report {
    Report::Succeeded(Succeeded {
        name: "api".into(),
        namespace: "dev".into(),
        resource_type: "Deployment".into(),
        available_pods: 3,
        replicas: 3,
        artifact_id: artifact_id.into(),
        author_email: "jane@example.com".into(),
        squad: String::new(),
        environment: "dev".into(),
    })
}

fn failed(artifact_id: &str) -> Report {
    Report::PodFailed(PodFailed {
        pod_name: "api-7d9f-x2x1z".into(),
        namespace: "dev".into(),
        errors: vec![ContainerError {
            name: "api".into(),
            message: "no database".into(),
            kind: "CrashLoopBackOff".into(),
        }],
        author_email: "jane@example.com".into(),
        environment: "dev".into(),
        artifact_id: artifact_id.into(),
        squad: String::new(),
        alert_squad: "#alerts".into(),
    })
}

fn state(artifact_id: &str, available: i32, phase: Phase) -> Report {
    let now = Utc::now();
    let id = WorkloadId { kind: "Deployment".into(), namespace: "dev".into(), name: "api".into() };
    Report::State(ClusterState {
        environment: "dev".into(),
        observed_at: now,
        is_complete: true,
        workloads: vec![Workload {
            id,
            artifact_id: artifact_id.into(),
            squad: String::new(),
            images: Vec::new(),
            desired: 3,
            available,
            phase,
            since: now,
            error: (phase == Phase::Failed).then(|| "out of memory".to_owned()),
        }],
        gone: Vec::new(),
        appliers: Vec::new(),
    })
}

impl Fixture {
    async fn tell(&self, id: Uuid, report: Report) {
        self.flow.report(id, report, "a-request".into()).await.unwrap();
    }

    /// Tells, and waits until it is executed.
    async fn told(&self, id: Uuid, report: Report) {
        self.tell(id, report).await;
        self.drained().await;
    }

    async fn in_dev(&self) -> EnvironmentStatus {
        let status = self.flow.status_with_rollouts(name("api"), None).await.unwrap();
        status.environments.into_iter().find(|one| one.environment.name == "dev").unwrap()
    }

    async fn rollout(&self) -> Option<Rollout> {
        self.in_dev().await.rollout
    }

    async fn state(&self) -> (RolloutState, String) {
        let rollout = self.rollout().await.expect("a daemon tells");
        (rollout.state, rollout.error.unwrap_or_default())
    }

    async fn released(&self, artifacts: &[&str]) -> Vec<String> {
        let mut commits = Vec::new();
        for id in artifacts {
            self.upload(&ArtifactBuilder::new("api", id)).await;
            commits.push(self.release(request("api", "dev", id)).await.commit.unwrap());
        }
        commits
    }

    /// The lines of a commit's note on the remote.
    fn note(&self, commit: &str) -> Vec<String> {
        let notes = self.origin.git(&["for-each-ref", NOTES]);
        if notes.is_empty() {
            return Vec::new();
        }
        let listed = self.origin.git(&["notes", "--ref=rollouts", "list"]);
        if !listed.contains(commit) {
            return Vec::new();
        }
        let note = self.origin.git(&["notes", "--ref=rollouts", "show", commit]);
        note.lines().map(str::to_owned).collect()
    }
}

fn healthy() -> (RolloutState, String) {
    (RolloutState::Healthy, String::new())
}

fn crashed() -> (RolloutState, String) {
    (RolloutState::Failed, "api: CrashLoopBackOff: no database".to_owned())
}

#[tokio::test]
async fn what_a_daemon_told_is_noted_and_told_once_however_often_it_comes() {
    let fakes = Fakes::start().await;
    let fixture = fakes.fixture(Origin::new()).await;
    let commit = fixture.released(&["master-1"]).await.remove(0);
    assert_eq!(fixture.rollout().await, None, "no daemon tells");
    let id = Uuid::new_v4();
    for _ in 0..3 {
        fixture.told(id, failed("master-1")).await;
    }
    assert_eq!(fixture.note(&commit).len(), 1);
    assert_eq!(fixture.state().await, crashed());
    fixture.told(Uuid::new_v4(), succeeded("master-1")).await;
    assert_eq!(fixture.note(&commit).len(), 2);
    let rollout = fixture.rollout().await.unwrap();
    assert_eq!((rollout.state, rollout.available, rollout.desired), (RolloutState::Healthy, 3, 3));
    let told = ["#releases-dev", "jane@example.com", "jane@example.com", "#alerts", "jane@example.com"];
    until(|| fakes.pending() == 0 && fakes.slack.messages().len() >= told.len()).await;
    assert_eq!(fakes.slack.recipients(), told);
}

#[tokio::test]
async fn what_became_of_releases_survives_a_restart() {
    let fixture = Fixture::start(Origin::new()).await;
    fixture.released(&["master-1"]).await;
    fixture.told(Uuid::new_v4(), succeeded("master-1")).await;
    let fixture = Fixture::start(fixture.stop().await).await;
    assert_eq!(fixture.state().await, healthy());
}

#[tokio::test]
async fn killed_after_the_note_it_is_told_once_after_the_restart() {
    let fakes = Fakes::start().await;
    let fixture = fakes.fixture(Origin::new()).await;
    let commit = fixture.released(&["master-1"]).await.remove(0);
    until(|| fakes.pending() == 0 && fakes.slack.messages().len() == 2).await;
    let origin = fixture.stop().await;

    let broker = Arc::new(KilledBeforeAck(events(&origin)));
    let outbox = fakes.outbox(&origin, QUICK);
    let fixture = Fixture::start_with(origin, broker, outbox).await;
    fixture.tell(Uuid::new_v4(), failed("master-1")).await;
    until(|| !fixture.note(&commit).is_empty()).await;
    let origin = fixture.stop().await;
    assert_eq!(fakes.slack.messages().len(), 2, "nothing is sent before the acknowledgement");

    let restarted = Fakes { metrics: Metrics::new(), ..fakes };
    let fixture = restarted.fixture(origin).await;
    fixture.drained().await;
    until(|| restarted.slack.messages().len() >= 4 && restarted.pending() == 0).await;
    assert_eq!(restarted.slack.recipients()[2..], ["jane@example.com", "#alerts"]);
    assert_eq!(fixture.note(&commit).len(), 1);
}

#[tokio::test]
async fn killed_before_the_note_it_is_noted_and_told_once_after_the_restart() {
    let fakes = Fakes::start().await;
    let fixture = fakes.fixture(Origin::new()).await;
    let commit = fixture.released(&["master-1"]).await.remove(0);
    until(|| fakes.pending() == 0 && fakes.slack.messages().len() == 2).await;
    fixture.origin.go_away();
    fixture.tell(Uuid::new_v4(), failed("master-1")).await;
    until(|| fakes.pending() == 2).await;
    let origin = fixture.stop().await;
    origin.come_back();
    assert!(fakes.slack.messages().len() == 2, "nothing is sent before the acknowledgement");

    let restarted = Fakes { metrics: Metrics::new(), ..fakes };
    let fixture = restarted.fixture(origin).await;
    fixture.drained().await;
    until(|| restarted.slack.messages().len() >= 4 && restarted.pending() == 0).await;
    assert_eq!(restarted.slack.recipients()[2..], ["jane@example.com", "#alerts"]);
    assert_eq!(fixture.note(&commit).len(), 1);
}

#[tokio::test]
async fn what_belongs_to_no_release_is_told_once_and_noted_nowhere() {
    let fakes = Fakes::start().await;
    let fixture = fakes.fixture(Origin::new()).await;
    fixture.released(&["master-1"]).await;
    let id = Uuid::new_v4();
    for _ in 0..2 {
        fixture.told(id, failed("somebody-elses-1")).await;
    }
    let told = ["#releases-dev", "jane@example.com", "jane@example.com", "#alerts"];
    until(|| fakes.pending() == 0 && fakes.slack.messages().len() >= told.len()).await;
    assert_eq!(fakes.slack.recipients(), told);
    assert_eq!(fixture.origin.git(&["for-each-ref", NOTES]), "");
}

#[tokio::test]
async fn a_remote_that_takes_no_notes_keeps_nobody_from_hearing_of_it() {
    const NO_NOTES: &str = "#!/bin/sh\ncase $1 in refs/notes/*) echo 'no notes here' >&2; exit 1;; esac\n";
    let fakes = Fakes::start().await;
    let fixture = fakes.fixture(Origin::new()).await;
    let commit = fixture.released(&["master-1"]).await.remove(0);
    fixture.origin.set_hook("update", NO_NOTES);
    let id = Uuid::new_v4();
    for _ in 0..2 {
        fixture.told(id, failed("master-1")).await;
    }
    until(|| fakes.pending() == 0 && fakes.slack.messages().len() >= 4).await;
    assert_eq!(fakes.slack.recipients()[2..], ["jane@example.com", "#alerts"]);
    assert!(fixture.note(&commit).is_empty());
}

#[tokio::test]
async fn each_release_of_an_artifact_has_its_own_rollout() {
    let fixture = Fixture::start(Origin::new()).await;
    let commits = fixture.released(&["master-1", "master-2"]).await;
    fixture.told(Uuid::new_v4(), failed("master-2")).await;
    // Late: the release is not the current one any more.
    fixture.told(Uuid::new_v4(), succeeded("master-1")).await;
    assert_eq!(fixture.state().await, crashed());
    assert_eq!([&commits[0], &commits[1]].map(|commit| fixture.note(commit).len()), [1, 1]);

    let back = fixture.release(request("api", "dev", "master-1")).await.commit.unwrap();
    assert_eq!(fixture.state().await, (RolloutState::Released, String::new()));
    fixture.told(Uuid::new_v4(), succeeded("master-1")).await;
    assert_eq!(fixture.state().await, healthy());
    assert_eq!([&commits[0], &back].map(|commit| fixture.note(commit).len()), [1, 1]);
}

#[tokio::test]
async fn a_release_is_followed_through_its_cluster_until_a_later_one_replaces_it() {
    let fixture = Fixture::start(Origin::new()).await;
    for id in ["master-1", "master-2"] {
        fixture.upload(&ArtifactBuilder::new("api", id)).await;
    }
    let first = fixture.release(request("api", "dev", "master-1")).await.release_id;
    let progress = async || fixture.flow.release_status(first).await.unwrap().unwrap();
    assert_eq!(progress().await.rollout, None);
    for (report, expected, error) in [
        (state("master-0", 3, Phase::Healthy), RolloutState::Released, None),
        (state("master-1", 0, Phase::Progressing), RolloutState::Applying, None),
        (state("master-1", 1, Phase::Progressing), RolloutState::Running, None),
        (state("master-1", 1, Phase::Failed), RolloutState::Failed, Some("out of memory")),
        (state("master-1", 3, Phase::Healthy), RolloutState::Healthy, None),
    ] {
        fixture.tell(Uuid::new_v4(), report).await;
        let rollout = progress().await.rollout.unwrap();
        assert_eq!((rollout.state, rollout.error.as_deref()), (expected, error));
    }
    assert_eq!(fixture.in_dev().await.workloads[0].truth, Truth::InSync);

    fixture.release(request("api", "dev", "master-2")).await;
    let replaced = progress().await;
    assert_eq!((replaced.rollout, replaced.superseded_by.as_deref()), (None, Some("master-2")));
    assert_eq!(fixture.state().await, (RolloutState::Released, String::new()));
    assert_eq!(fixture.in_dev().await.workloads[0].truth, Truth::Pending);
}

#[tokio::test]
async fn what_a_daemon_has_not_told_yet_is_known_from_the_note() {
    let fixture = Fixture::start(Origin::new()).await;
    fixture.released(&["master-1"]).await;
    fixture.told(Uuid::new_v4(), succeeded("master-1")).await;
    let manifest = "kind: StatefulSet\nmetadata: {name: api, annotations: {x.io/controlled-by-release-manager: 'true'}}\n";
    fixture.origin.commit("by hand", &[("dev/releases/dev/api/40-stateful-set.yaml", manifest)]);
    fixture.writer.fetch().await.unwrap();
    let Report::State(mut state) = state("x-1", 1, Phase::Healthy) else { panic!() };
    state.workloads[0].id.name = "other".into();
    for (is_complete, expected) in [(false, RolloutState::Healthy), (true, RolloutState::Released)] {
        let state = ClusterState { is_complete, ..state.clone() };
        fixture.tell(Uuid::new_v4(), Report::State(state)).await;
        assert_eq!(fixture.state().await.0, expected, "complete: {is_complete}");
    }
}

#[tokio::test]
async fn a_release_of_which_nothing_runs_is_done_when_its_cluster_was_told_of() {
    let fixture = Fixture::start(Origin::new()).await;
    fixture.released(&["master-1"]).await;
    let Report::State(mut state) = state("x-1", 1, Phase::Healthy) else { panic!() };
    state.workloads[0].id.name = "other".into();
    fixture.tell(Uuid::new_v4(), Report::State(state)).await;
    let rollout = fixture.rollout().await.unwrap();
    assert_eq!((rollout.state, rollout.desired), (RolloutState::Healthy, 0));
}

#[tokio::test]
async fn an_error_outlasts_the_states_that_do_not_know_of_it() {
    let fixture = Fixture::start(Origin::new()).await;
    fixture.released(&["master-1"]).await;
    fixture.told(Uuid::new_v4(), failed("master-1")).await;
    for (report, expected) in [
        (state("master-1", 0, Phase::Progressing), crashed()),
        (state("master-1", 0, Phase::Progressing), crashed()),
        (state("master-1", 3, Phase::Healthy), healthy()),
    ] {
        fixture.tell(Uuid::new_v4(), report).await;
        assert_eq!(fixture.state().await, expected);
    }
}

#[tokio::test]
async fn the_comparison_follows_the_files_and_is_counted() {
    let fixture = Fixture::start(Origin::new()).await;
    fixture.released(&["master-1"]).await;
    let report = state("master-1", 3, Phase::Healthy);
    fixture.tell(Uuid::new_v4(), report.clone()).await;
    let counts = async || {
        fixture.flow.observe_clusters().await.unwrap();
        let text = fixture.metrics.encode();
        let count = |truth: &str| {
            let series = format!("release_manager_workloads{{environment=\"dev\",truth=\"{truth}\"}} ");
            text.lines().find_map(|line| line.strip_prefix(&series)?.parse::<u32>().ok())
        };
        ["in_sync", "drifted"].map(|truth| count(truth).unwrap())
    };
    assert_eq!(counts().await, [1, 0]);
    let manifest = "kind: Deployment\nmetadata: {name: api}\nspec: {replicas: 1}\n";
    fixture.origin.commit("by hand", &[("dev/releases/dev/api/40-deployment.yaml", manifest)]);
    fixture.writer.fetch().await.unwrap();
    // The autoscaler of the other manifests is another service's, so this number counts.
    let status = fixture.in_dev().await;
    assert_eq!(status.workloads[0].difference.as_deref(), Some("it has 3 replicas instead of 1"));
    assert_eq!(counts().await, [0, 1]);
}

#[tokio::test]
async fn the_first_success_and_the_first_error_of_a_release_are_timed_once() {
    let fixture = Fixture::start(Origin::new()).await;
    fixture.released(&["master-1"]).await;
    let known = Uuid::new_v4();
    for id in [known, known, Uuid::new_v4()] {
        fixture.told(id, failed("master-1")).await;
    }
    for _ in 0..2 {
        fixture.told(Uuid::new_v4(), succeeded("master-1")).await;
    }
    fixture.told(Uuid::new_v4(), succeeded("somebody-elses-1")).await;
    let text = fixture.metrics.encode();
    for outcome in ["failed", "healthy"] {
        let labels = format!("{{environment=\"dev\",outcome=\"{outcome}\"}}");
        let line = format!("release_manager_rollout_duration_seconds_count{labels} 1");
        assert!(text.lines().any(|found| found == line), "{line}\nis not in\n{text}");
    }
}

#[tokio::test]
async fn what_daemons_tell_is_in_the_figures_of_delivery() {
    let fixture = Fixture::start(Origin::new()).await;
    fixture.released(&["master-1", "master-2"]).await;
    fixture.told(Uuid::new_v4(), failed("master-1")).await;
    fixture.told(Uuid::new_v4(), succeeded("master-2")).await;
    let scope = Scope { period: TimeDelta::days(1), ..Scope::default() };
    let dora = fixture.flow.dora(scope).await.unwrap();
    assert_eq!((dora.overall.deployments, dora.overall.failures), (2, 1));
    assert!(dora.overall.time_to_restore_seconds.is_some());
}

#[tokio::test]
async fn states_of_made_up_environments_are_no_harm() {
    let fixture = Fixture::start(Origin::new()).await;
    fixture.released(&["master-1"]).await;
    let Report::State(state) = state("master-1", 3, Phase::Healthy) else { panic!() };
    let elsewhere = ClusterState { environment: "../etc".into(), ..state };
    fixture.tell(Uuid::new_v4(), Report::State(elsewhere)).await;
    fixture.flow.observe_clusters().await.unwrap();
    assert_eq!(fixture.rollout().await, None);
}

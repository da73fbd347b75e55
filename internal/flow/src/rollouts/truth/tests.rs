use chrono::{DateTime, Utc};
use release_core::rollout::{ClusterState, Phase};

use super::*;
use crate::rollouts::{cluster::Clusters, desired::tests::Files};

const MANAGED: &str =
    "metadata:\n  name: NAME\n  annotations: {lunarway.com/controlled-by-release-manager: 'true'}\n";

fn manifest(kind: &str, name: &str, spec: &str) -> String {
    format!("kind: {kind}\n{}spec: {spec}\n", MANAGED.replace("NAME", name))
}

fn now() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH
}

fn live(kind: &str, name: &str, artifact_id: &str, images: &[&str], desired: i32) -> Workload {
    Workload {
        id: WorkloadId { kind: kind.into(), namespace: "dev".into(), name: name.into() },
        artifact_id: artifact_id.into(),
        squad: String::new(),
        images: images.iter().map(|&image| image.to_owned()).collect(),
        desired,
        available: desired,
        phase: Phase::Healthy,
        since: now(),
        error: None,
    }
}

fn compare_all(files: &Files, is_complete: bool, workloads: Vec<Workload>) -> Comparison {
    let clusters = Clusters::default();
    let state = ClusterState {
        environment: "dev".into(),
        observed_at: now(),
        is_complete,
        workloads,
        gone: Vec::new(),
        appliers: Vec::new(),
    };
    clusters.hear(state, now()).unwrap();
    Comparison::new(&files.environment(), &clusters.get("dev").unwrap())
}

fn truths(comparison: &Comparison, service: &str) -> Vec<(String, Truth, String)> {
    let compared = comparison.of_service("dev", service).iter();
    compared.map(|one| (one.id.name.clone(), one.truth, one.difference.clone().unwrap_or_default())).collect()
}

#[test]
fn each_difference_has_a_name_and_a_sentence() {
    let spec = "{replicas: 2, template: {spec: {containers: [{image: 'api:2'}]}}}";
    let files = Files::new().service("api", "m-2", &[&manifest("Deployment", "api", spec)]);
    let cases = [
        (live("Deployment", "api", "m-2", &["api:2"], 2), Truth::InSync, ""),
        (live("Deployment", "api", "m-1", &["api:1"], 5), Truth::Pending, "it runs m-1, and m-2 is released"),
        (live("Deployment", "api", "m-2", &["api:3"], 2), Truth::Drifted, "it runs api:3 instead of api:2"),
        (live("Deployment", "api", "m-2", &["api:2"], 5), Truth::Drifted, "it has 5 replicas instead of 2"),
        (
            live("Deployment", "api", "m-2", &["api:2", "spy:1"], 2),
            Truth::Drifted,
            "it has 2 containers instead of 1",
        ),
    ];
    for (workload, truth, difference) in cases {
        let comparison = compare_all(&files, true, vec![workload.clone()]);
        let expected = [("api".to_owned(), truth, difference.to_owned())];
        assert_eq!(truths(&comparison, "api"), expected, "{workload:?}");
        let counts: Vec<_> = comparison.counts().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counts, [(truth, 1)]);
    }
}

#[test]
fn what_the_manifests_leave_open_does_not_differ() {
    let open = manifest("Deployment", "api", "{}");
    let filled_in =
        manifest("Deployment", "api", "{template: {spec: {containers: [{image: 'api:${TAG}'}]}}}");
    let autoscaled = manifest("Deployment", "api", "{replicas: 1}")
        + "---\nkind: HorizontalPodAutoscaler\nspec: {scaleTargetRef: {kind: Deployment, name: api}}\n";
    for manifest in [open, filled_in, autoscaled] {
        let files = Files::new().service("api", "m-2", &[&manifest]);
        let comparison = compare_all(&files, true, vec![live("Deployment", "api", "m-2", &["api:2"], 7)]);
        assert_eq!(truths(&comparison, "api")[0].1, Truth::InSync, "{manifest}");
    }
}

#[test]
fn what_only_one_side_has_is_missing_or_unknown() {
    let (api, worker) = (manifest("Deployment", "api", "{}"), manifest("Deployment", "api-worker", "{}"));
    let unmanaged = "kind: Deployment\nmetadata: {name: by-hand}\n";
    let files = Files::new().service("api", "m-2", &[&api, &worker, unmanaged]);
    let running =
        || vec![live("Deployment", "api", "m-2", &[], 1), live("StatefulSet", "api-old", "m-1", &[], 1)];

    let comparison = compare_all(&files, true, running());
    let not_there = "the config repository does not have it".to_owned();
    let expected = [
        ("api".to_owned(), Truth::InSync, String::new()),
        ("api-worker".to_owned(), Truth::Missing, "the cluster does not have it".to_owned()),
        ("api-old".to_owned(), Truth::Unknown, not_there),
    ];
    assert_eq!(truths(&comparison, "api"), expected);

    let incomplete = compare_all(&files, false, running());
    assert!(truths(&incomplete, "api").iter().all(|(_, truth, _)| *truth != Truth::Missing));
    let stranger = compare_all(&files, true, vec![live("Deployment", "other", "x-1", &[], 1)]);
    assert!(stranger.counts().any(|count| count == (Truth::Unknown, 1)), "it is of no service, and counted");
}

#[test]
fn of_what_others_render_only_the_artifact_counts() {
    let files = Files::new().rendered("api", "m-2");
    for (workload, truth) in [
        (live("Deployment", "api", "m-2", &["api:9"], 9), Truth::InSync),
        (live("Deployment", "api", "m-1", &[], 1), Truth::Pending),
        (live("Deployment", "prefix-api", "m-2", &[], 1), Truth::InSync),
    ] {
        let comparison = compare_all(&files, true, vec![workload]);
        assert_eq!(truths(&comparison, "api")[0].1, truth);
    }
}

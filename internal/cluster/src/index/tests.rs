//! The rules together: what is told, once, and what the state says.

use release_core::rollout::{Phase, Report};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;

pub(crate) fn object<K: DeserializeOwned>(object: Value) -> K {
    serde_json::from_value(object).unwrap()
}

const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

fn later(seconds: i64) -> DateTime<Utc> {
    NOW + chrono::TimeDelta::seconds(seconds)
}

fn index() -> Index {
    Index::new(Rules {
        environment: "prod".into(),
        annotations: Annotations::new("lunarway.com"),
        crash_modulo: 5,
    })
}

fn metadata(name: &str, artifact: &str, observed: &str) -> Value {
    json!({"namespace": "dev", "name": name, "uid": format!("uid-{name}"), "generation": 1,
        "labels": {"squad": "aura"}, "annotations": {
            "lunarway.com/controlled-by-release-manager": "true", "lunarway.com/artifact-id": artifact,
            "lunarway.com/author": "j@x.io", "lunarway.com/observed-artifact-id": observed}})
}

fn deployment(name: &str, artifact: &str, available: i32) -> Deployment {
    deployment_with(metadata(name, artifact, ""), available)
}

#[expect(clippy::needless_pass_by_value, reason = "json! is the argument")]
fn deployment_with(metadata: Value, available: i32) -> Deployment {
    object(json!({"metadata": metadata,
        "spec": {"replicas": 1, "template": {"spec": {"containers": [{"image": "svc:1"}]}}},
        "status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": available}}))
}

fn pod(uid: &str, containers: &[(&str, i32)]) -> Pod {
    let crash = |(name, restarts): &(&str, i32)| json!({"name": name, "restartCount": restarts, "state": {"waiting": {"reason": "CrashLoopBackOff"}}});
    let mut metadata = metadata("svc-1", "a-1", "");
    metadata["uid"] = uid.into();
    let containers: Vec<_> = containers.iter().map(crash).collect();
    object(json!({"metadata": metadata, "status": {"phase": "Running", "containerStatuses": containers}}))
}

fn seen(index: &mut Index, deployment: Deployment) -> Vec<Effect> {
    index.apply(Change::Deployment(Event::Apply(deployment)), NOW)
}

fn list(index: &mut Index, deployments: impl IntoIterator<Item = Deployment>) -> Vec<Effect> {
    let applied = deployments.into_iter().map(Event::InitApply);
    let events = std::iter::once(Event::Init).chain(applied).chain([Event::InitDone]);
    events.flat_map(|event| index.apply(Change::Deployment(event), NOW)).collect()
}

fn list_nothing_else(index: &mut Index) {
    for end in [false, true] {
        index.apply(Change::StatefulSet(if end { Event::InitDone } else { Event::Init }), NOW);
        index.apply(Change::DaemonSet(if end { Event::InitDone } else { Event::Init }), NOW);
        index.apply(Change::Job(if end { Event::InitDone } else { Event::Init }), NOW);
    }
}

fn ids(effects: &[Effect]) -> Vec<Uuid> {
    effects.iter().map(|effect| effect.happening.id).collect()
}

#[test]
fn a_rollout_is_told_once_with_all_that_is_known_of_it() {
    let mut index = index();
    assert!(seen(&mut index, deployment("svc", "a-1", 0)).is_empty());
    let effects = seen(&mut index, deployment("svc", "a-1", 1));
    let [Effect { happening, log_of: None }] = &effects[..] else { panic!("{effects:?}") };
    let Report::Succeeded(body) = &happening.report else { panic!("{happening:?}") };
    assert_eq!(
        serde_json::to_value(body).unwrap(),
        json!({"name": "svc", "namespace": "dev", "resourceType": "Deployment", "availablePods": 1, "replicas": 1,
            "artifactId": "a-1", "authorEmail": "j@x.io", "squad": "aura", "environment": "prod"})
    );
    let observation = happening.observation.as_ref().unwrap();
    assert_eq!((observation.workload.name.as_str(), observation.artifact_id.as_str()), ("svc", "a-1"));

    assert!(seen(&mut index, deployment("svc", "a-1", 1)).is_empty(), "not again before it is noted");
    assert!(seen(&mut index, deployment("svc", "a-1", 0)).is_empty());
    assert!(seen(&mut index, deployment("svc", "a-1", 1)).is_empty(), "nor when a pod was restarted");
    assert!(list(&mut index, [deployment("svc", "a-1", 1)]).is_empty(), "nor after a new list");
    assert_eq!(seen(&mut index, deployment("svc", "a-2", 1)).len(), 1, "the next artifact is");
}

#[test]
fn a_rollback_is_told_although_its_artifact_was_told_before() {
    let of = |artifact: &str, generation: i64, available| {
        // The annotation stays, since nothing was told after it.
        let mut metadata = metadata("svc", artifact, "a-1");
        metadata["generation"] = generation.into();
        let mut deployment = deployment_with(metadata, available);
        deployment.status =
            object::<Deployment>(json!({"metadata": {}, "status": {"observedGeneration": generation,
            "replicas": 1, "updatedReplicas": 1, "availableReplicas": available}}))
            .status;
        deployment
    };
    let mut index = index();
    assert!(list(&mut index, [of("a-1", 1, 1)]).is_empty(), "noted by an earlier process");
    assert!(seen(&mut index, of("a-2", 2, 0)).is_empty(), "it never gets well");
    assert!(seen(&mut index, of("a-1", 3, 0)).is_empty());
    let told = seen(&mut index, of("a-1", 3, 1));
    assert_eq!(told.len(), 1);
    assert_ne!(ids(&told), ids(&list(&mut self::index(), [deployment("svc", "a-1", 1)])), "another rollout");
    assert!(seen(&mut index, of("a-1", 3, 0)).is_empty());
    assert!(seen(&mut index, of("a-1", 3, 1)).is_empty(), "once");
    assert!(list(&mut index, [of("a-1", 3, 1)]).is_empty(), "also after a new list");
    assert!(list(&mut index, [of("a-2", 4, 0)]).is_empty());
    assert_eq!(list(&mut index, [of("a-1", 5, 1)]).len(), 1, "a change that only lists show");
}

#[test]
fn what_was_noted_or_waits_to_be_told_is_not_told_and_what_ended_meanwhile_is() {
    let observed = |artifact| deployment_with(metadata("svc", "a-2", artifact), 1);
    assert!(list(&mut index(), [observed("a-2")]).is_empty());
    assert_eq!(list(&mut index(), [observed("a-1")]).len(), 1, "it ended while no daemon was there");
    for (waiting, expected) in [("a-2", 0), ("a-1", 1)] {
        let mut index = index();
        let workload = WorkloadId { kind: "Deployment".into(), namespace: "dev".into(), name: "svc".into() };
        index.assume_told(&Observation { workload, artifact_id: waiting.into() });
        assert_eq!(list(&mut index, [observed("")]).len(), expected, "{waiting}");
        assert_eq!(seen(&mut index, observed("")).len(), 0);
    }
}

#[test]
fn the_same_has_the_same_id_in_every_life_of_the_daemon_and_another_object_another() {
    let id = |deployment| ids(&list(&mut index(), [deployment]));
    let first = id(deployment("svc", "a-1", 1));
    assert_eq!(first, id(deployment("svc", "a-1", 1)));
    let mut recreated = deployment("svc", "a-1", 1);
    recreated.metadata.uid = Some("another".into());
    let mut again = deployment("svc", "a-1", 1);
    again.metadata.generation = Some(0);
    for other in [recreated, again, deployment("svc", "a-2", 1), deployment("other", "a-1", 1)] {
        assert_ne!(first, id(other));
    }
}

#[test]
fn an_object_that_was_made_again_is_told_of_again() {
    let mut index = index();
    assert_eq!(seen(&mut index, deployment("svc", "a-1", 1)).len(), 1);
    let mut recreated = deployment("svc", "a-1", 1);
    recreated.metadata.uid = Some("another".into());
    assert_eq!(seen(&mut index, recreated).len(), 1);
}

#[test]
fn a_failed_job_is_told_with_its_conditions_and_a_complete_one_is_not() {
    let job = |condition: &str| -> Job {
        object(json!({"metadata": metadata("migrate", "a-1", ""), "status": {"conditions":
            [{"type": condition, "status": "True", "reason": "BackoffLimitExceeded", "message": "gave up"}]}}))
    };
    let mut index = index();
    assert!(index.apply(Change::Job(Event::Apply(job("Complete"))), NOW).is_empty());
    let effects = index.apply(Change::Job(Event::Apply(job("Failed"))), NOW);
    let Report::JobFailed(body) = &effects[0].happening.report else { panic!("{effects:?}") };
    assert_eq!((body.job_name.as_str(), body.errors[0].reason.as_str()), ("migrate", "BackoffLimitExceeded"));
    assert!(effects[0].happening.observation.is_some());
    assert!(index.apply(Change::Job(Event::Apply(job("Failed"))), NOW).is_empty());
}

#[test]
fn a_crash_is_told_once_for_each_container_with_its_log() {
    let mut index = index();
    let mut apply = |pod| index.apply(Change::Pod(Event::Apply(pod)), NOW);
    let effects = apply(pod("u", &[("app", 1)]));
    assert_eq!(effects[0].log_of.as_deref(), Some("app"));
    let Report::PodFailed(body) = &effects[0].happening.report else { panic!("{effects:?}") };
    assert_eq!((body.pod_name.as_str(), body.alert_squad.as_str()), ("svc-1", "#squad-aura-alerts"));
    assert_eq!(effects[0].happening.observation, None);

    assert!(apply(pod("u", &[("app", 1)])).is_empty(), "an update for another reason");
    let both = apply(pod("u", &[("app", 1), ("proxy", 1)]));
    assert_eq!(both.len(), 1, "only the other container");
    assert!(apply(pod("u", &[])).is_empty());
    assert!(apply(pod("u", &[("app", 1)])).is_empty(), "it looked well for a moment");
    assert!(apply(pod("u", &[("app", 5)])).is_empty());
    assert_eq!(apply(pod("u", &[("app", 6)])).len(), 1);
    assert_eq!(apply(pod("v", &[("app", 6)])).len(), 1, "another pod of the same name");

    // A daemon that comes up sees all at once, and gives the same ids.
    let fresh =
        self::index().apply(Change::Pod(Event::InitApply(pod("u", &[("app", 1), ("proxy", 1)]))), NOW);
    assert_eq!(ids(&fresh), [ids(&effects), ids(&both)].concat());
}

#[test]
fn of_pods_that_are_well_or_gone_nothing_is_kept() {
    let mut index = index();
    index.apply(Change::Pod(Event::Apply(pod("u", &[]))), NOW);
    assert_eq!(index.pods.len(), 0);
    index.apply(Change::Pod(Event::Apply(pod("u", &[("app", 1)]))), NOW);
    assert_eq!(index.pods.len(), 1);
    index.apply(Change::Pod(Event::Delete(pod("u", &[("app", 1)]))), NOW);
    assert_eq!(index.pods.len(), 0);
    index.apply(Change::Pod(Event::Apply(pod("u", &[("app", 1)]))), NOW);
    index.apply(Change::Pod(Event::Init), NOW);
    index.apply(Change::Pod(Event::InitDone), NOW);
    assert_eq!(index.pods.len(), 0, "deleted while the watch was away");
}

#[test]
fn a_state_says_what_changed_and_all_of_it_after_a_list() {
    let mut index = index();
    list(&mut index, [deployment("a", "a-1", 1), deployment("b", "a-1", 0)]);
    assert!(!index.has_news(), "the other kinds are not known yet");
    list_nothing_else(&mut index);
    assert!(index.has_news());
    let state = index.take_state(false, later(1));
    assert!(state.is_complete && state.gone.is_empty() && !index.has_news());
    let shown = |workload: &Workload| (workload.id.name.clone(), workload.phase, workload.available);
    let all: Vec<_> = state.workloads.iter().map(shown).collect();
    assert_eq!(all, [("a".into(), Phase::Healthy, 1), ("b".into(), Phase::Progressing, 0)]);
    assert_eq!((state.environment.as_str(), state.observed_at), ("prod", later(1)));
    assert_eq!(state.workloads[0].images, ["svc:1"]);

    seen(&mut index, deployment("a", "a-1", 1));
    assert!(!index.has_news(), "nothing changed");
    index.apply(Change::Deployment(Event::Apply(deployment("b", "a-1", 1))), later(5));
    index.apply(Change::Deployment(Event::Delete(deployment("a", "a-1", 1))), later(6));
    let state = index.take_state(false, later(7));
    assert!(!state.is_complete);
    assert_eq!(state.workloads.iter().map(shown).collect::<Vec<_>>(), [("b".into(), Phase::Healthy, 1)]);
    assert_eq!(state.workloads[0].since, later(5));
    assert_eq!(state.gone.iter().map(|id| id.name.as_str()).collect::<Vec<_>>(), ["a"]);

    list(&mut index, []);
    let state = index.take_state(false, later(8));
    assert!(state.is_complete && state.workloads.is_empty(), "b was deleted while the watch was away");
}

#[test]
fn a_phase_lasts_since_the_workload_came_into_it_with_this_artifact() {
    let mut index = index();
    list_nothing_else(&mut index);
    let mut since = |deployment, seconds| {
        index.apply(Change::Deployment(Event::Apply(deployment)), later(seconds));
        index.take_state(true, NOW).workloads[0].since
    };
    assert_eq!(since(deployment("a", "a-1", 0), 1), later(1));
    assert_eq!(since(deployment("a", "a-1", 0), 2), later(1));
    assert_eq!(since(deployment("a", "a-1", 1), 3), later(3));
    assert_eq!(since(deployment("a", "a-2", 1), 4), later(4));
}

#[test]
fn what_is_not_ours_any_more_is_gone() {
    let mut index = index();
    list(&mut index, [deployment("a", "a-1", 1)]);
    list_nothing_else(&mut index);
    index.take_state(true, NOW);
    let mut released = deployment("a", "a-1", 1);
    released.metadata.annotations = None;
    seen(&mut index, released);
    let state = index.take_state(false, NOW);
    assert_eq!((state.workloads.len(), state.gone.len()), (0, 1));
    let mut foreign = deployment("b", "a-1", 1);
    foreign.metadata.annotations = None;
    seen(&mut index, foreign);
    assert!(!index.has_news(), "what was never ours is nothing");
}

#[test]
fn appliers_are_always_all_of_them() {
    let mut index = index();
    list(&mut index, []);
    list_nothing_else(&mut index);
    index.take_state(true, NOW);
    let kustomization = |ready: &str| -> ApplierObject {
        object(json!({"metadata": {"namespace": "flux-system", "name": "apps"},
            "status": {"conditions": [{"type": "Ready", "status": ready, "message": "words"}]}}))
    };
    let mut apply = |event| {
        index.apply(Change::Applier(ApplierKind::Kustomization, event), NOW);
        index.has_news().then(|| index.take_state(false, NOW).appliers)
    };
    let appliers = apply(Event::Apply(kustomization("True"))).unwrap();
    assert_eq!((appliers[0].id.kind.as_str(), appliers[0].phase), ("Kustomization", Phase::Healthy));
    assert_eq!(apply(Event::Apply(kustomization("True"))), None);
    assert_eq!(apply(Event::Apply(kustomization("False"))).unwrap()[0].phase, Phase::Failed);
    assert_eq!(apply(Event::Init), None);
    assert_eq!(apply(Event::InitDone), Some(vec![]), "the kind is not there any more");
}

#[test]
fn an_alert_about_one_of_our_objects_is_a_failure_of_its_artifact() {
    let mut index = index();
    seen(&mut index, deployment("svc", "a-1", 1));
    let alert = |kind: &str, name: &str, message: &str| Alert {
        kind: kind.into(),
        namespace: "dev".into(),
        name: name.into(),
        reason: "HealthCheckFailed".into(),
        message: message.into(),
        at: Some(NOW),
    };
    let happening = index.alert(&alert("Deployment", "svc", "bad")).unwrap();
    let Report::PodFailed(body) = &happening.report else { panic!("{happening:?}") };
    assert_eq!((body.pod_name.as_str(), body.artifact_id.as_str()), ("svc", "a-1"));
    assert_eq!(
        (body.errors[0].name.as_str(), body.errors[0].kind.as_str()),
        ("Deployment/svc", "HealthCheckFailed")
    );
    assert_eq!(index.alert(&alert("Deployment", "svc", "bad")).unwrap().id, happening.id);
    assert_ne!(index.alert(&alert("Deployment", "svc", "worse")).unwrap().id, happening.id);
    let again = |seconds| Alert { at: Some(later(seconds)), ..alert("Deployment", "svc", "bad") };
    assert_eq!(index.alert(&again(600)).unwrap().id, happening.id, "Flux says it every few minutes");
    assert_ne!(index.alert(&again(3600)).unwrap().id, happening.id, "but it is not swallowed for good");
    for (kind, name) in
        [("Deployment", "other"), ("StatefulSet", "svc"), ("Kustomization", "svc"), ("Node", "svc")]
    {
        assert_eq!(index.alert(&alert(kind, name, "bad")), None, "{kind} {name}");
    }

    let release = json!({"metadata": metadata("chart", "a-2", "")});
    let change = Change::Applier(ApplierKind::HelmRelease, Event::Apply(object(release)));
    index.apply(change, NOW);
    assert!(index.alert(&alert("HelmRelease", "chart", "bad")).is_some());
}

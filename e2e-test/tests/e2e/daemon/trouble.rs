//! The API server or the network is in trouble: each happening is told once all the same.

use std::time::Duration;

use release_testing::{
    fake::Behaviour,
    kubernetes::{Fault, Kind, Kubernetes, Verb, objects},
};
use serde_json::json;

use super::setting::{Setting, told};
use crate::harness::{LONG, until};

#[tokio::test]
async fn everything_that_happens_is_told_once_and_noted() {
    let setting = Setting::with(Kubernetes::start().await).await;
    let kubernetes = &setting.kubernetes;
    setting.roll_out("svc", "a-1");
    kubernetes.put(objects::stateful_set("dev", "store", "a-1", 2));
    kubernetes.update("StatefulSet", "dev", "store", |object| objects::roll_out(object, 2));
    kubernetes.put(objects::daemon_set("dev", "agent", "a-1"));
    kubernetes.update("DaemonSet", "dev", "agent", |object| objects::roll_out(object, 3));
    kubernetes.put(objects::job("dev", "migrate", "a-1"));
    kubernetes.update("Job", "dev", "migrate", objects::fail_job);
    kubernetes.set_log("dev", "svc-1", "app", "starting\npanicked\n");
    kubernetes.put(objects::pod("dev", "svc-1", "a-1"));
    kubernetes.update("Pod", "dev", "svc-1", |pod| objects::crash(pod, 1));
    setting.server.wait_for_effects(5).await;
    kubernetes.update("Pod", "dev", "svc-1", |pod| pod["metadata"]["labels"]["x"] = json!("y"));
    let effects = setting.all_effects().await;
    let mut seen = told(&effects);
    seen.sort();
    let all =
        ["deploy agent a-1", "deploy store a-1", "deploy svc a-1", "error svc-1 a-1", "joberror migrate a-1"];
    assert_eq!(seen, all);
    let crash = effects.iter().find(|report| report.kind == "error").expect("it was told");
    assert_eq!(crash.body["errors"][0]["message"], "starting\npanicked");
    for (kind, name) in [("StatefulSet", "store"), ("DaemonSet", "agent"), ("Job", "migrate")] {
        setting.is_observed(kind, name, "a-1").await;
    }
}

#[tokio::test]
async fn a_watch_that_breaks_in_any_way_loses_and_doubles_nothing() {
    let faults = [
        Fault::GoneEvent,
        Fault::Status(410),
        Fault::Status(500),
        Fault::Status(401),
        Fault::TooManyRequests { retry_after: 1 },
        Fault::LosesAnswer,
        Fault::Slow(Duration::from_secs(1)),
    ];
    let setting = Setting::with(Kubernetes::start().await).await;
    for (number, fault) in faults.into_iter().enumerate() {
        setting.kubernetes.fail(Verb::Watch, "deployments", 2, fault);
        setting.kubernetes.fail(Verb::List, "deployments", 1, Fault::Status(500));
        setting.kubernetes.cut_watches();
        setting.roll_out(&format!("svc-{number}"), "a-1");
        setting.server.wait_for_effects(number + 1).await;
    }
    let seen = told(&setting.all_effects().await);
    let all: Vec<String> = (0..faults.len()).map(|number| format!("deploy svc-{number} a-1")).collect();
    assert_eq!(seen, all);
    setting.daemon.ready().await;
}

#[tokio::test]
async fn an_api_server_that_refuses_everything_for_a_while_is_asked_again() {
    let setting = Setting::with(Kubernetes::start().await).await;
    for fault in [Fault::Status(500), Fault::Status(403), Fault::TooManyRequests { retry_after: 1 }] {
        setting.kubernetes.fail_all(Some(fault));
        setting.kubernetes.forget_history();
        setting.kubernetes.cut_watches();
        until("the daemon says what is wrong", LONG, async || {
            setting.daemon.page("ready").await.filter(|text| text.contains("cannot be watched"))
        })
        .await;
        setting.roll_out("svc", &format!("a-{fault:?}"));
        setting.kubernetes.fail_all(None);
    }
    setting.daemon.ready().await;
    let seen = told(&setting.all_effects().await);
    assert!(seen.last().expect("the last one at least").contains("TooManyRequests"), "{seen:?}");
}

/// The watch had no chance to see the deletion, so the new list has to tell.
#[tokio::test]
async fn what_was_deleted_while_nobody_watched_is_gone() {
    let setting = Setting::with(Kubernetes::start().await).await;
    setting.roll_out("svc", "a-1");
    setting.roll_out("other", "a-1");
    let state_has = async |names: &[&str]| {
        until(&format!("the state has {names:?}"), LONG, async || {
            let states = setting.server.states();
            let complete = states.iter().rfind(|state| state["isComplete"] == true)?;
            let workloads = complete["workloads"].as_array().expect("a list");
            let found: Vec<&str> =
                workloads.iter().filter_map(|workload| workload["name"].as_str()).collect();
            (found == names).then_some(())
        })
        .await;
    };
    setting.kubernetes.forget_history();
    state_has(&["other", "svc"]).await;
    setting.kubernetes.fail(Verb::Watch, "deployments", 1, Fault::Status(500));
    setting.kubernetes.cut_watches();
    setting.kubernetes.remove("Deployment", "dev", "svc");
    setting.kubernetes.forget_history();
    state_has(&["other"]).await;
}

#[tokio::test]
async fn a_server_that_is_away_slow_or_strange_gets_everything_in_the_end_and_once() {
    let setting = Setting::with(Kubernetes::start().await).await;
    let behaviours = [
        Behaviour::Fails(500),
        Behaviour::Fails(401),
        Behaviour::LimitsRate(1),
        Behaviour::Resets,
        Behaviour::LosesAnswers,
    ];
    for (number, behaviour) in behaviours.into_iter().enumerate() {
        setting.server.behave(behaviour);
        let before = setting.server.attempts();
        setting.roll_out(&format!("svc-{number}"), "a-1");
        until("it was tried", LONG, async || (setting.server.attempts() > before + 1).then_some(())).await;
        setting.server.behave(Behaviour::Works);
        setting.server.wait_for_effects(number + 1).await;
        setting.is_observed("Deployment", &format!("svc-{number}"), "a-1").await;
    }
    let seen = told(&setting.all_effects().await);
    let all: Vec<String> = (0..behaviours.len()).map(|number| format!("deploy svc-{number} a-1")).collect();
    assert_eq!(seen, all);
}

const COMMIT: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";

#[tokio::test]
async fn argo_and_flux_are_told_of_where_they_are_installed() {
    let kubernetes = Kubernetes::start().await;
    kubernetes.define(Kind::argo_application());
    kubernetes.define(Kind::flux_kustomization());
    kubernetes.put(json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": "all", "namespace": "argocd"},
        "status": {"health": {"status": "Healthy"}, "sync": {"status": "Synced", "revision": COMMIT}},
    }));
    let setting = Setting::with(kubernetes).await;
    until("the application is in the state", LONG, async || {
        let states = setting.server.states();
        let applier = states.last()?["appliers"][0].clone();
        (applier["name"] == "all" && applier["commit"] == COMMIT && applier["phase"] == "healthy")
            .then_some(())
    })
    .await;
}

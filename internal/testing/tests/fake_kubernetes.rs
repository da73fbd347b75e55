//! The fake API server, as kube's client sees it.

use std::{fmt::Debug, pin::pin, time::Duration};

use futures::{Stream, StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::{apps::v1::Deployment, coordination::v1::Lease, core::v1::Pod};
use kube::{
    Api, Client, Config, Error, ResourceExt as _,
    api::{ListParams, LogParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams},
    core::{DynamicObject, GroupVersionKind},
    discovery,
    runtime::watcher::{self, Event},
};
use release_testing::kubernetes::{Fault, Kind, Kubernetes, Verb, objects};
use serde_json::json;

fn client(kubernetes: &Kubernetes) -> Client {
    let config = Config::new(kubernetes.url().parse().expect("a URL"));
    Client::try_from(config).expect("a client")
}

/// The code of a refusal.
fn code<T: Debug>(answer: Result<T, Error>) -> u16 {
    match answer {
        Err(Error::Api(status)) => status.code,
        other => panic!("not refused: {other:?}"),
    }
}

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_mins(1), future).await.expect("it takes milliseconds")
}

#[tokio::test]
async fn lists_come_in_pages_of_one_moment() {
    let kubernetes = Kubernetes::start().await;
    for number in 0..5 {
        kubernetes.put(objects::deployment("dev", &format!("svc-{number}"), "a-1", 1));
    }
    kubernetes.put(objects::deployment("prod", "svc", "a-1", 1));
    let api: Api<Deployment> = Api::all(client(&kubernetes));
    let first = api.list(&ListParams::default().limit(4)).await.unwrap();
    kubernetes.remove("Deployment", "prod", "svc");
    let token = first.metadata.continue_.clone().unwrap();
    let second = api.list(&ListParams::default().limit(4).continue_token(&token)).await.unwrap();
    assert_eq!((first.items.len(), second.items.len()), (4, 2));
    assert_eq!(first.metadata.resource_version, second.metadata.resource_version);
    assert_eq!(second.items[1].name_any(), "svc");
    assert_eq!(second.metadata.continue_.as_deref(), Some(""));
    kubernetes.forget_history();
    assert_eq!(code(api.list(&ListParams::default().limit(4).continue_token(&token)).await), 410);
}

#[tokio::test]
async fn lists_have_what_is_selected() {
    let kubernetes = Kubernetes::start().await;
    for (namespace, name) in [("dev", "one"), ("dev", "two"), ("prod", "one")] {
        kubernetes.put(objects::deployment(namespace, name, "a-1", 1));
    }
    let dev: Api<Deployment> = Api::namespaced(client(&kubernetes), "dev");
    for (parameters, count) in [
        (ListParams::default(), 2),
        (ListParams::default().fields("metadata.name=one"), 1),
        (ListParams::default().labels("app!=one,squad"), 1),
        (ListParams::default().labels("!squad"), 0),
    ] {
        assert_eq!(dev.list(&parameters).await.unwrap().items.len(), count, "{parameters:?}");
    }
    assert_eq!(code(dev.list(&ListParams::default().fields("spec.replicas=1")).await), 400);
}

#[tokio::test]
async fn a_watch_tells_all_changes_after_its_version_and_bookmarks() {
    let kubernetes = Kubernetes::start().await;
    kubernetes.put(objects::deployment("dev", "old", "a-1", 1));
    let start = kubernetes.version().to_string();
    kubernetes.put(objects::deployment("dev", "svc", "a-1", 1));
    let api: Api<Deployment> = Api::all(client(&kubernetes));
    let mut watch = pin!(api.watch(&WatchParams::default(), &start).await.unwrap());
    kubernetes.update("Deployment", "dev", "svc", |object| objects::roll_out(object, 1));
    kubernetes.put(objects::pod("dev", "svc-1", "a-1"));
    kubernetes.remove("Deployment", "dev", "svc");
    kubernetes.bookmark();
    let mut seen = Vec::new();
    while seen.len() < 4 {
        seen.push(match in_time(watch.try_next()).await.unwrap().unwrap() {
            WatchEvent::Added(object) => format!("added {}", object.name_any()),
            WatchEvent::Modified(object) => {
                format!("modified {:?}", object.status.unwrap().available_replicas)
            }
            WatchEvent::Deleted(object) => format!("deleted {}", object.name_any()),
            WatchEvent::Bookmark(bookmark) => format!("at {}", bookmark.metadata.resource_version),
            WatchEvent::Error(status) => panic!("{status:?}"),
        });
    }
    let end = format!("at {}", kubernetes.version());
    assert_eq!(seen, ["added svc", "modified Some(1)", "deleted svc", &end]);
}

#[tokio::test]
async fn a_watch_ends_after_the_seconds_that_the_client_asked_for() {
    let kubernetes = Kubernetes::start().await;
    let api: Api<Pod> = Api::all(client(&kubernetes));
    let version = kubernetes.version().to_string();
    let watch = api.watch(&WatchParams::default().timeout(1), &version).await.unwrap();
    assert_eq!(in_time(watch.count()).await, 0);
}

#[tokio::test]
async fn a_selected_watch_sees_what_begins_and_ceases_to_be_selected() {
    let kubernetes = Kubernetes::start().await;
    let api: Api<Pod> = Api::namespaced(client(&kubernetes), "dev");
    let selected = WatchParams::default().fields("status.phase!=Running");
    let start = kubernetes.version().to_string();
    let mut watch = pin!(api.watch(&selected, &start).await.unwrap());
    kubernetes.put(objects::pod("prod", "else", "a-1"));
    kubernetes.put(objects::pod("dev", "svc-1", "a-1"));
    for phase in ["Pending", "Running"] {
        kubernetes.update("Pod", "dev", "svc-1", |pod| pod["status"]["phase"] = json!(phase));
    }
    assert!(matches!(in_time(watch.try_next()).await.unwrap(), Some(WatchEvent::Added(_))));
    assert!(matches!(in_time(watch.try_next()).await.unwrap(), Some(WatchEvent::Deleted(_))));
}

#[tokio::test]
async fn versions_that_are_too_old_are_gone() {
    let kubernetes = Kubernetes::start_with_history(2).await;
    let start = kubernetes.version();
    for number in 0..3 {
        kubernetes.put(objects::pod("dev", &format!("svc-{number}"), "a-1"));
    }
    let api: Api<Pod> = Api::all(client(&kubernetes));
    let first = async |version: u64| {
        let mut watch = pin!(api.watch(&WatchParams::default(), &version.to_string()).await.unwrap());
        in_time(watch.try_next()).await.unwrap().unwrap()
    };
    assert!(matches!(first(start).await, WatchEvent::Error(status) if status.code == 410));
    assert!(matches!(first(start + 1).await, WatchEvent::Added(pod) if pod.name_any() == "svc-1"));
    let newest = (start + 3).to_string();
    let mut running = pin!(api.watch(&WatchParams::default(), &newest).await.unwrap());
    kubernetes.forget_history();
    let event = in_time(running.try_next()).await.unwrap().unwrap();
    assert!(matches!(event, WatchEvent::Error(status) if status.code == 410));
}

/// The next object, and whether it was listed or seen.
async fn next(mut events: impl Stream<Item = watcher::Result<Event<Pod>>> + Unpin) -> (&'static str, String) {
    loop {
        match in_time(events.next()).await.expect("it never ends") {
            Ok(Event::InitApply(pod)) => return ("listed", pod.name_any()),
            Ok(Event::Apply(pod)) => return ("saw", pod.name_any()),
            Ok(Event::Delete(pod)) => return ("deleted", pod.name_any()),
            Ok(Event::Init | Event::InitDone) | Err(_) => {}
        }
    }
}

#[tokio::test]
async fn kubes_watcher_resumes_after_a_cut_and_lists_again_after_410() {
    let kubernetes = Kubernetes::start().await;
    kubernetes.put(objects::pod("dev", "first", "a-1"));
    let mut events = pin!(watcher::watcher(Api::<Pod>::all(client(&kubernetes)), watcher::Config::default()));
    assert_eq!(next(&mut events).await, ("listed", "first".into()));
    kubernetes.put(objects::pod("dev", "second", "a-1"));
    assert_eq!(next(&mut events).await, ("saw", "second".into()));
    kubernetes.cut_watches();
    kubernetes.remove("Pod", "dev", "first");
    assert_eq!(next(&mut events).await, ("deleted", "first".into()));
    assert_eq!(kubernetes.requested(Verb::List, "pods"), 1);
    kubernetes.forget_history();
    assert_eq!(next(&mut events).await, ("listed", "second".into()));
    assert_eq!(kubernetes.requested(Verb::List, "pods"), 2);
}

#[tokio::test]
async fn a_merge_patch_changes_what_it_names() {
    let kubernetes = Kubernetes::start().await;
    kubernetes.put(objects::deployment("dev", "svc", "a-1", 2));
    let api: Api<Deployment> = Api::namespaced(client(&kubernetes), "dev");
    let patch = async |name: &str, patch: serde_json::Value| {
        api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await
    };
    let annotations = json!({"lunarway.com/author": null, "x/y": "z"});
    let change = json!({"metadata": {"annotations": annotations}, "status": {"replicas": 9}});
    let patched = patch("svc", change).await.unwrap();
    assert_eq!(patched.annotations()["x/y"], "z");
    assert!(!patched.annotations().contains_key("lunarway.com/author"));
    assert_eq!((patched.metadata.generation, patched.status.unwrap().replicas), (Some(1), None));
    let scaled = patch("svc", json!({"spec": {"replicas": 3}})).await.unwrap();
    assert_eq!(scaled.metadata.generation, Some(2));
    patch("svc", json!({"spec": {"replicas": 3}})).await.unwrap();
    let version = scaled.metadata.resource_version.unwrap();
    assert_eq!(kubernetes.version().to_string(), version, "what changes nothing is no change");
    assert_eq!(code(patch("else", json!({})).await), 404);
    assert_eq!(code(patch("svc", json!({"metadata": {"resourceVersion": "1"}})).await), 409);
}

#[tokio::test]
async fn a_lease_is_written_by_one_who_knows_it() {
    let kubernetes = Kubernetes::start().await;
    let api: Api<Lease> = Api::namespaced(client(&kubernetes), "release");
    let held_by = |lease: &Lease, holder: &str| {
        let mut lease = lease.clone();
        lease.spec.get_or_insert_default().holder_identity = Some(holder.into());
        lease
    };
    let mut lease = Lease::default();
    lease.metadata.name = Some("daemon".into());
    let created = api.create(&PostParams::default(), &held_by(&lease, "one")).await.unwrap();
    assert_eq!(code(api.create(&PostParams::default(), &lease).await), 409);
    api.replace("daemon", &PostParams::default(), &held_by(&created, "two")).await.unwrap();
    assert_eq!(code(api.replace("daemon", &PostParams::default(), &held_by(&created, "three")).await), 409);
    let lease = api.get("daemon").await.unwrap();
    assert_eq!(lease.spec.unwrap().holder_identity.as_deref(), Some("two"));
}

#[tokio::test]
async fn logs_end_with_the_lines_that_were_asked_for() {
    let kubernetes = Kubernetes::start().await;
    kubernetes.set_log("dev", "svc-1", "app", "one\ntwo\nthree\n");
    let api: Api<Pod> = Api::namespaced(client(&kubernetes), "dev");
    let last = |container: &str| LogParams {
        container: Some(container.into()),
        tail_lines: Some(2),
        limit_bytes: Some(8),
        ..LogParams::default()
    };
    assert_eq!(api.logs("svc-1", &last("app")).await.unwrap(), "two\nthre");
    assert_eq!(code(api.logs("svc-1", &last("sidecar")).await), 400);
}

#[tokio::test]
async fn kinds_that_are_defined_are_discovered() {
    let kubernetes = Kubernetes::start().await;
    let client = client(&kubernetes);
    let wanted = GroupVersionKind::gvk("argoproj.io", "v1alpha1", "Application");
    assert_eq!(code(discovery::pinned_kind(&client, &wanted).await), 404);
    kubernetes.define(Kind::argo_application());
    let (resource, _) = discovery::pinned_kind(&client, &wanted).await.unwrap();
    kubernetes.put(json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": "all", "namespace": "argocd"}, "status": {"health": {"status": "Healthy"}},
    }));
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let listed = api.list(&ListParams::default()).await.unwrap();
    assert_eq!(listed.items[0].data["status"]["health"]["status"], "Healthy");
    let groups = client.list_api_groups().await.unwrap().groups;
    assert!(groups.iter().any(|group| group.name == "apps"), "{groups:#?}");
    assert_eq!(client.list_api_group_resources("apps/v1").await.unwrap().resources.len(), 3);
}

#[tokio::test]
async fn faults_meet_the_requests_they_are_for_and_all_are_counted() {
    let kubernetes = Kubernetes::start().await;
    let api: Api<Pod> = Api::all(client(&kubernetes));
    let list = async || api.list(&ListParams::default()).await;
    kubernetes.fail(Verb::List, "pods", 1, Fault::Status(403));
    kubernetes.fail(Verb::List, "pods", 1, Fault::LosesAnswer);
    kubernetes.fail(Verb::List, "jobs", 1, Fault::Status(500));
    assert_eq!(code(list().await), 403);
    assert!(!matches!(list().await, Ok(_) | Err(Error::Api(_))));
    assert!(list().await.is_ok());
    assert_eq!(kubernetes.requested(Verb::List, "pods"), 3);
    kubernetes.fail(Verb::Watch, "pods", 1, Fault::GoneEvent);
    let version = kubernetes.version().to_string();
    let mut watch = pin!(api.watch(&WatchParams::default(), &version).await.unwrap());
    assert!(matches!(in_time(watch.try_next()).await.unwrap(), Some(WatchEvent::Error(_))));
    kubernetes.fail_all(Some(Fault::Status(410)));
    assert_eq!(code(list().await), 410);
    kubernetes.fail_all(None);
    assert!(list().await.is_ok());
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_back() {
    let kubernetes = Kubernetes::start().await;
    kubernetes.fail(Verb::List, "pods", 2, Fault::TooManyRequests { retry_after: 1 });
    let url = format!("{}/api/v1/pods", kubernetes.url());
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let refused = http.get(&url).send().await.unwrap();
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (429, &"1".parse().unwrap()));
}

#[tokio::test]
async fn it_carries_a_large_cluster_and_a_storm() {
    const PODS: usize = 20_000;
    const UPDATES: usize = 5_000;
    let kubernetes = Kubernetes::start().await;
    for number in 0..PODS {
        kubernetes.put(objects::pod("dev", &format!("svc-{number}"), "a-1"));
    }
    let api: Api<Pod> = Api::all(client(&kubernetes));
    let mut parameters = ListParams::default().limit(500);
    let mut count = 0;
    let version = loop {
        let page = api.list_metadata(&parameters).await.unwrap();
        count += page.items.len();
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters = parameters.continue_token(&token),
            None => break page.metadata.resource_version.unwrap(),
        }
    };
    assert_eq!(count, PODS);
    let mut watch = pin!(api.watch_metadata(&WatchParams::default(), &version).await.unwrap());
    for number in 0..UPDATES {
        kubernetes.update("Pod", "dev", &format!("svc-{number}"), |pod| objects::crash(pod, 1));
    }
    for number in 0..UPDATES {
        let event = in_time(watch.try_next()).await.unwrap().unwrap();
        assert!(matches!(event, WatchEvent::Modified(pod) if pod.name_any() == format!("svc-{number}")));
    }
}

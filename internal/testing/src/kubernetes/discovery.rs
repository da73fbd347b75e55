//! What kinds there are, as clients find out.

use axum::response::Response;
use serde_json::{Value, json};

use super::{answer, kind::Kind, store::Store};

pub(super) fn answer(path: &[String], store: &Store) -> Response {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let found = match path[..] {
        ["version"] => Some(json!({"major": "1", "minor": "20", "gitVersion": "v1.20.2-fake"})),
        ["api"] => Some(json!({"kind": "APIVersions", "versions": ["v1"]})),
        ["api", "v1"] => Some(resources(store, "", "v1")),
        ["apis"] => Some(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups(store)})),
        ["apis", name] => groups(store).into_iter().find(|group| group["name"] == name),
        ["apis", group, version] => {
            let is_there = store.kinds().any(|kind| kind.group == group && kind.version == version);
            is_there.then(|| resources(store, group, version))
        }
        _ => None,
    };
    found.map_or_else(
        || answer::failure(404, "the server could not find the requested resource"),
        |found| answer::object(200, &found),
    )
}

fn groups(store: &Store) -> Vec<Value> {
    let mut names: Vec<(&str, &str)> =
        store.kinds().map(|kind| (kind.group.as_str(), kind.version.as_str())).collect();
    names.dedup();
    names.retain(|(group, _)| !group.is_empty());
    names.into_iter().map(|(group, version)| api_group(group, version)).collect()
}

fn api_group(group: &str, version: &str) -> Value {
    let version = json!({"groupVersion": format!("{group}/{version}"), "version": version});
    json!({"kind": "APIGroup", "apiVersion": "v1", "name": group, "versions": [version], "preferredVersion": version})
}

fn resources(store: &Store, group: &str, version: &str) -> Value {
    let kinds: Vec<&Kind> =
        store.kinds().filter(|kind| kind.group == group && kind.version == version).collect();
    let resources: Vec<Value> = kinds.iter().copied().map(resource).collect();
    let group_version = kinds.first().map_or_else(|| version.to_owned(), |kind| kind.api_version());
    json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources})
}

fn resource(kind: &Kind) -> Value {
    json!({
        "name": kind.plural,
        "singularName": kind.name.to_lowercase(),
        "namespaced": true,
        "kind": kind.name,
        "verbs": ["create", "delete", "get", "list", "patch", "update", "watch"],
    })
}

//! What pods and the daemon's account may do.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::kustomizations;

/// The `restricted` Pod Security Standard, and a root file system that nobody writes to.
#[tokio::test]
async fn pods_are_locked_down() {
    let mut pods = 0;
    for ((kind, name), object) in kustomizations().await {
        let Some(pod) = object.pointer("/spec/template/spec") else { continue };
        pods += 1;
        let of_pod = &pod["securityContext"];
        assert_eq!(of_pod["runAsNonRoot"], true, "{kind} {name}");
        assert_eq!(of_pod["seccompProfile"]["type"], "RuntimeDefault", "{kind} {name}");
        for container in pod["containers"].as_array().expect("a list") {
            let locked = json!({
                "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                "capabilities": {"drop": ["ALL"]},
            });
            assert_eq!(container["securityContext"], locked, "{kind} {name}");
            for needed in
                ["/resources/requests/memory", "/resources/limits/memory", "/resources/requests/cpu"]
            {
                assert!(container.pointer(needed).is_some(), "{kind} {name} has no {needed}");
            }
            for probe in ["livenessProbe", "readinessProbe"] {
                assert_eq!(container[probe]["httpGet"]["port"], "http", "{kind} {name}");
            }
        }
    }
    assert_eq!(pods, 2);
}

#[tokio::test]
async fn secrets_are_not_in_manifests() {
    let objects = kustomizations().await;
    for ((kind, name), object) in &objects {
        assert_ne!(kind, "Secret");
        let variables = object.pointer("/spec/template/spec/containers/0/env").and_then(Value::as_array);
        for variable in variables.into_iter().flatten() {
            let variable_name = variable["name"].as_str().expect("a name");
            let is_secret = ["TOKEN", "SECRET", "PASSWORD"].iter().any(|word| variable_name.contains(word));
            assert_eq!(is_secret, variable.get("value").is_none(), "{name}: {variable_name}");
        }
    }
}

/// As docs/operations.md says; more would be a change for every cluster's owners.
#[tokio::test]
async fn the_daemon_may_do_what_it_needs_and_nothing_more() {
    let mut granted = BTreeSet::new();
    for ((kind, _), object) in kustomizations().await {
        if kind == "ClusterRole" || kind == "Role" {
            granted.extend(
                object["rules"].as_array().expect("rules").iter().flat_map(|rule| grants(&kind, rule)),
            );
        }
    }
    let reading = ["get", "list", "watch"];
    let mut needed = BTreeSet::new();
    for resource in ["apps/daemonsets", "apps/deployments", "apps/statefulsets", "batch/jobs"] {
        needed.extend(reading.iter().chain(&["patch"]).map(|verb| format!("ClusterRole {verb} {resource}")));
    }
    let appliers = [
        "argoproj.io/applications",
        "kustomize.toolkit.fluxcd.io/kustomizations",
        "helm.toolkit.fluxcd.io/helmreleases",
    ];
    for resource in ["/pods"].iter().chain(&appliers) {
        needed.extend(reading.iter().map(|verb| format!("ClusterRole {verb} {resource}")));
    }
    needed.insert("ClusterRole get /pods/log".to_owned());
    needed.insert("Role create coordination.k8s.io/leases".to_owned());
    for verb in ["get", "update"] {
        needed.insert(format!("Role {verb} coordination.k8s.io/leases release-daemon"));
    }
    assert_eq!(granted, needed);
}

/// Every single thing that a rule allows.
fn grants(kind: &str, rule: &Value) -> Vec<String> {
    let texts = |field: &str| -> Vec<String> {
        let list = rule[field].as_array().into_iter().flatten();
        list.map(|text| text.as_str().expect("a text").to_owned()).collect()
    };
    let names = [vec![String::new()], texts("resourceNames")].concat().join(" ");
    let mut grants = Vec::new();
    for group in texts("apiGroups") {
        for resource in texts("resources") {
            grants
                .extend(texts("verbs").iter().map(|verb| format!("{kind} {verb} {group}/{resource}{names}")));
        }
    }
    grants
}

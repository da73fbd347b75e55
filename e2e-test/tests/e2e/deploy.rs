//! What is in deploy/, without a cluster: that it is what it says, and that the programs
//! understand it. `make e2e-kubernetes` asks an API server about the same objects.

mod prometheus;
mod rendered;
mod security;

use std::process::Command;

use serde_json::Value;

use crate::harness::{program, run};

use rendered::{directory, helm, kustomizations, objects};

#[tokio::test]
async fn the_chart_renders_what_the_kustomizations_have() {
    let chart = objects(&helm(&["template", "release"], &[]).await.ok());
    let kustomized = kustomizations().await;
    assert_eq!(chart.len(), 14);
    assert_eq!(chart.keys().collect::<Vec<_>>(), kustomized.keys().collect::<Vec<_>>());
    for (name, object) in &chart {
        assert!(*object == kustomized[name], "{name:?}: {object:#}\nis not\n{:#}", kustomized[name]);
    }
}

#[tokio::test]
async fn the_chart_can_be_changed_by_values_and_refuses_unknown_ones() {
    let linted = helm(&["lint", "--strict"], &[]).await;
    assert_eq!(linted.code, Some(0), "{linted:#?}");
    let values = ["server.enabled=false", "daemon.environment=prod", "daemon.extraArgs={--log.level=debug}"];
    let chart = objects(&helm(&["template", "other"], &values).await.ok());
    assert!(chart.keys().all(|(_, name)| name == "other-daemon"), "{:?}", chart.keys());
    let daemon = chart[&("Deployment".to_owned(), "other-daemon".to_owned())].to_string();
    for argument in
        ["--environment=prod", "--release-manager-url=http://other-server:8080", "--log.level=debug"]
    {
        assert!(daemon.contains(argument), "{argument} is not in {daemon}");
    }
    for wrong in ["server.replica=2", "daemon.environment=", "server.replicas=many"] {
        let refused = helm(&["template", "release"], &[wrong]).await;
        assert_eq!(refused.code, Some(1), "{wrong}: {}", refused.stdout);
    }
}

#[tokio::test]
async fn the_chart_is_of_the_version_of_the_programs() {
    let chart = std::fs::read_to_string(directory("helm/release-platform/Chart.yaml")).expect("a chart");
    let chart: Value = serde_norway::from_str(&chart).expect("YAML");
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
}

#[tokio::test]
async fn the_programs_understand_the_flags_and_variables_of_their_containers() {
    let kustomized = kustomizations().await;
    let mut seen = Vec::new();
    for object in kustomized.values() {
        let Some(containers) = object.pointer("/spec/template/spec/containers") else { continue };
        for container in containers.as_array().expect("a list") {
            let name = container["name"].as_str().expect("a name");
            assert_is_understood(name, container).await;
            seen.push(name.to_owned());
        }
    }
    assert_eq!(seen, ["daemon", "server"]);
}

/// A program that is asked for its help reads the arguments before that, and their values.
async fn assert_is_understood(name: &str, container: &Value) {
    let texts = |field: &str, of: fn(&Value) -> &Value| -> Vec<String> {
        let list = container[field].as_array().expect("a list");
        list.iter().map(|item| of(item).as_str().expect("a text").to_owned()).collect()
    };
    let mut command = Command::new(program(name));
    command.args(texts("args", |argument| argument)).arg("--help");
    let help = run(command).await.ok();
    for variable in texts("env", |variable| &variable["name"]) {
        let is_known = variable == "HOME" || help.contains(&format!("[env: {variable}"));
        assert!(is_known, "{name} does not read {variable}");
    }
}

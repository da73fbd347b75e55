//! deploy/ as `kubectl kustomize` and `helm` render it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use serde::Deserialize as _;
use serde_json::Value;

use crate::harness::{Run, run};

/// By kind and name.
pub(super) type Objects = BTreeMap<(String, String), Value>;

/// In deploy/.
pub(super) fn directory(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(name)
}

pub(super) async fn kustomizations() -> Objects {
    let mut all = Objects::new();
    for part in ["server", "daemon"] {
        let mut kubectl = Command::new("kubectl");
        kubectl.arg("kustomize").arg(directory("kustomize").join(part));
        all.extend(objects(&run(kubectl).await.ok()));
    }
    all
}

/// For the namespace of the kustomizations, and some version that people run.
pub(super) async fn helm(arguments: &[&str], values: &[&str]) -> Run {
    let helm = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/bin/helm");
    assert!(helm.exists(), "{} is missing; run `.ci/install test`", helm.display());
    let mut command = Command::new(helm);
    command.args(arguments).arg(directory("helm/release-platform")).arg("--namespace=release-platform");
    if arguments.contains(&"template") {
        command.arg("--kube-version=1.33.0");
    }
    command.args(values.iter().flat_map(|value| ["--set", value]));
    run(command).await
}

pub(super) fn objects(yaml: &str) -> Objects {
    let documents = serde_norway::Deserializer::from_str(yaml);
    let objects = documents.map(|document| Value::deserialize(document).expect("YAML"));
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let named = |object: Value| ((text(&object["kind"]), text(&object["metadata"]["name"])), object);
    objects.filter(Value::is_object).map(named).collect()
}

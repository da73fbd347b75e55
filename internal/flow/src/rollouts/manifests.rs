//! Which workloads a service's plain manifests make. Tolerant: what cannot be read
//! is somebody else's to complain about, and makes nothing.

use release_core::{
    Name,
    rollout::{WorkloadId, record::JOB},
};
use serde::Deserialize as _;
use serde_norway::Value;

const KUSTOMIZATIONS: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];
/// Kubernetes' own, and KEDA's.
const AUTOSCALERS: [&str; 2] = ["HorizontalPodAutoscaler", "ScaledObject"];
const KINDS: [&str; 4] = ["Deployment", "StatefulSet", "DaemonSet", JOB];

/// A workload as the config repository has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) id: WorkloadId,
    /// Init containers first; empty where the manifest does not say.
    pub(crate) images: Vec<String>,
    /// `None` when the manifest does not say, or an autoscaler decides.
    pub(crate) replicas: Option<i32>,
    /// Whether daemons tell of it.
    pub(crate) is_managed: bool,
}

impl Expected {
    /// A job that is done may be removed, by its TTL, a hook or a person.
    pub(crate) fn has_to_be_there(&self) -> bool {
        self.is_managed && self.id.kind != JOB
    }
}

/// Whether the directory of this file is rendered by others, so that its manifests are not what runs.
pub(crate) fn is_kustomization(file_name: &str) -> bool {
    KUSTOMIZATIONS.contains(&file_name)
}

pub(crate) fn is_manifest(file_name: &str) -> bool {
    matches!(file_name.rsplit_once('.'), Some((_, "yaml" | "yml")))
}

/// The workloads of all manifests of a service in `namespace`; `None` when others make
/// workloads of them, as Helm does.
pub(crate) fn workloads(manifests: &[Vec<u8>], namespace: &Name) -> Option<Vec<Expected>> {
    let documents: Vec<Value> = manifests.iter().flat_map(|manifest| documents(manifest)).collect();
    if documents.iter().any(|document| text(document, "apiVersion").starts_with("helm.toolkit.fluxcd.io/")) {
        return None;
    }
    let mut workloads: Vec<Expected> =
        documents.iter().filter_map(|document| workload(document, namespace)).collect();
    for autoscaler in documents.iter().filter(|document| AUTOSCALERS.contains(&text(document, "kind"))) {
        let target = at(autoscaler, &["spec", "scaleTargetRef"]);
        let kind = Some(text(target, "kind")).filter(|kind| !kind.is_empty()).unwrap_or("Deployment");
        let is_target = |id: &WorkloadId| id.kind == kind && id.name == text(target, "name");
        for workload in workloads.iter_mut().filter(|workload| is_target(&workload.id)) {
            workload.replicas = None;
        }
    }
    Some(workloads)
}

/// Up to the first that is no YAML.
fn documents(manifest: &[u8]) -> Vec<Value> {
    let Ok(manifest) = str::from_utf8(manifest) else { return Vec::new() };
    serde_norway::Deserializer::from_str(manifest)
        .map_while(|document| Value::deserialize(document).ok())
        .collect()
}

fn workload(document: &Value, namespace: &Name) -> Option<Expected> {
    let kind = text(document, "kind");
    let metadata = at(document, &["metadata"]);
    let name = text(metadata, "name");
    if !KINDS.contains(&kind) || name.is_empty() {
        return None;
    }
    let namespace = match text(metadata, "namespace") {
        "" => namespace.as_str(),
        own => own,
    };
    let spec = at(document, &["spec"]);
    Some(Expected {
        id: WorkloadId { kind: kind.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() },
        images: images(at(spec, &["template", "spec"])),
        replicas: at(spec, &["replicas"]).as_i64().and_then(|replicas| i32::try_from(replicas).ok()),
        is_managed: has_daemons_annotation(metadata),
    })
}

/// Daemons tell of nothing else. The annotation's prefix is theirs to configure.
fn has_daemons_annotation(metadata: &Value) -> bool {
    let Value::Mapping(annotations) = at(metadata, &["annotations"]) else { return false };
    annotations.iter().any(|(name, value)| {
        let name = name.as_str().unwrap_or_default();
        name.ends_with("/controlled-by-release-manager") && value.as_str() == Some("true")
    })
}

fn images(pod: &Value) -> Vec<String> {
    let containers = ["initContainers", "containers"].map(|list| at(pod, &[list]).as_sequence());
    let containers = containers.into_iter().flatten().flatten();
    containers.map(|container| text(container, "image").to_owned()).collect()
}

/// Null when there is nothing at the path.
fn at<'a>(value: &'a Value, path: &[&str]) -> &'a Value {
    path.iter().try_fold(value, |value, name| value.get(*name)).unwrap_or(&Value::Null)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    at(value, &[name]).as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(manifests: &[&str]) -> Option<Vec<Expected>> {
        let manifests: Vec<Vec<u8>> = manifests.iter().map(|text| text.as_bytes().to_vec()).collect();
        workloads(&manifests, &Name::new("dev").unwrap())
    }

    const DEPLOYMENT: &str = "
apiVersion: apps/v1
kind: Deployment
metadata:
  name: api
  annotations: { lunarway.com/controlled-by-release-manager: 'true' }
spec:
  replicas: 3
  template:
    spec:
      containers: [{ name: api, image: registry/api:2 }, { name: side, image: side:1 }]
      initContainers: [{ name: init, image: init:1 }]
";

    #[test]
    fn workloads_are_read_and_everything_else_is_passed_over() {
        let others = "kind: Service\nmetadata: {name: api}\n---\nkind: StatefulSet\nmetadata: {name: db, namespace: data}\n---\n---\nkind: DaemonSet\n";
        let found = read(&[DEPLOYMENT, others, "{{ template }", "\u{0}", "- a list"]).unwrap();
        let id = |kind: &str, namespace: &str, name: &str| WorkloadId {
            kind: kind.into(),
            namespace: namespace.into(),
            name: name.into(),
        };
        let api = Expected {
            id: id("Deployment", "dev", "api"),
            images: vec!["init:1".into(), "registry/api:2".into(), "side:1".into()],
            replicas: Some(3),
            is_managed: true,
        };
        let db = Expected {
            id: id("StatefulSet", "data", "db"),
            images: Vec::new(),
            replicas: None,
            is_managed: false,
        };
        assert_eq!(found, [api, db]);
    }

    #[test]
    fn an_autoscaler_decides_how_many_of_its_target_there_are() {
        let autoscaler =
            |kind: &str, target: &str| format!("kind: {kind}\nspec: {{scaleTargetRef: {{{target}}}}}");
        for (kind, target, replicas) in [
            ("HorizontalPodAutoscaler", "kind: Deployment, name: api", None),
            ("HorizontalPodAutoscaler", "kind: Deployment, name: other", Some(3)),
            ("ScaledObject", "name: api", None),
            ("ScaledObject", "kind: StatefulSet, name: api", Some(3)),
            ("Other", "kind: Deployment, name: api", Some(3)),
        ] {
            let found = read(&[&autoscaler(kind, target), DEPLOYMENT]).unwrap();
            assert_eq!(found[0].replicas, replicas, "{kind} {target}");
        }
    }

    #[test]
    fn a_job_need_not_be_there_when_it_is_done() {
        let job = &read(&[&DEPLOYMENT.replace("kind: Deployment", "kind: Job")]).unwrap()[0];
        assert!(job.is_managed && !job.has_to_be_there());
        assert!(read(&[DEPLOYMENT]).unwrap()[0].has_to_be_there());
    }

    #[test]
    fn what_helm_makes_is_not_known() {
        let release = "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: api}";
        assert_eq!(read(&[release, DEPLOYMENT]), None);
    }
}

//! Kinds of objects, and where they are found.

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// Empty for the oldest kinds, such as pods.
    pub group: String,
    pub version: String,
    /// As in URLs.
    pub plural: String,
    /// As in objects.
    pub name: String,
}

impl Kind {
    /// All kinds here are in namespaces.
    pub fn new(group: &str, version: &str, plural: &str, name: &str) -> Self {
        Self { group: group.into(), version: version.into(), plural: plural.into(), name: name.into() }
    }

    /// Of an Argo CD that is installed.
    pub fn argo_application() -> Self {
        Self::new("argoproj.io", "v1alpha1", "applications", "Application")
    }

    /// Of a Flux that is installed.
    pub fn flux_kustomization() -> Self {
        Self::new("kustomize.toolkit.fluxcd.io", "v1", "kustomizations", "Kustomization")
    }

    pub fn flux_helm_release() -> Self {
        Self::new("helm.toolkit.fluxcd.io", "v2", "helmreleases", "HelmRelease")
    }

    pub(super) fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }
}

pub(super) fn built_in() -> Vec<Kind> {
    vec![
        Kind::new("", "v1", "pods", "Pod"),
        Kind::new("apps", "v1", "deployments", "Deployment"),
        Kind::new("apps", "v1", "statefulsets", "StatefulSet"),
        Kind::new("apps", "v1", "daemonsets", "DaemonSet"),
        Kind::new("batch", "v1", "jobs", "Job"),
        Kind::new("coordination.k8s.io", "v1", "leases", "Lease"),
    ]
}

//! Where the API server has each kind.

use k8s_openapi::api::{apps::v1 as apps, batch::v1 as batch, core::v1 as core};
use kube::api::{ApiResource, GroupVersionKind};

use crate::index::ApplierKind;

pub(crate) fn deployments() -> ApiResource {
    ApiResource::erase::<apps::Deployment>(&())
}

pub(crate) fn stateful_sets() -> ApiResource {
    ApiResource::erase::<apps::StatefulSet>(&())
}

pub(crate) fn daemon_sets() -> ApiResource {
    ApiResource::erase::<apps::DaemonSet>(&())
}

pub(crate) fn jobs() -> ApiResource {
    ApiResource::erase::<batch::Job>(&())
}

pub(crate) fn pods() -> ApiResource {
    ApiResource::erase::<core::Pod>(&())
}

pub(crate) fn appliers(kind: ApplierKind) -> ApiResource {
    let (group, version, plural) = match kind {
        ApplierKind::Application => ("argoproj.io", "v1alpha1", "applications"),
        ApplierKind::Kustomization => ("kustomize.toolkit.fluxcd.io", "v1", "kustomizations"),
        ApplierKind::HelmRelease => ("helm.toolkit.fluxcd.io", "v2", "helmreleases"),
    };
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind.name()), plural)
}

/// Of a kind of workload.
pub(crate) fn workloads(kind: &str) -> Option<ApiResource> {
    let all = [deployments(), stateful_sets(), daemon_sets(), jobs()];
    all.into_iter().find(|resource| resource.kind == kind)
}

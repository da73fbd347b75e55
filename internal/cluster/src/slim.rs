//! Objects of the cluster with only those fields that decide something. A pod as
//! the API server tells it has some 10 KiB, as kept here a few hundred bytes.

use std::{borrow::Cow, collections::BTreeMap, fmt::Debug};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use kube::{
    api::{ApiResource, ObjectMeta},
    core::DynamicResourceScope,
};
use serde::{Deserialize, Deserializer};

/// Fields of a spec or a status.
pub(crate) trait Fields: Clone + Debug + Default {}
impl<T: Clone + Debug + Default> Fields for T {}

/// An object with these fields of its spec and its status. A field that is missing
/// or null is as its default, so that no odd object ends a list.
#[derive(Debug, Clone, Deserialize)]
#[serde(bound = "S: Fields + Deserialize<'de>, T: Fields + Deserialize<'de>")]
pub(crate) struct Slim<S: Fields, T: Fields> {
    #[serde(deserialize_with = "without_field_owners")]
    pub(crate) metadata: ObjectMeta,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) spec: S,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) status: T,
}

/// Nothing of it.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Nothing {}

impl<S: Fields, T: Fields> kube::Resource for Slim<S, T> {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn group(resource: &ApiResource) -> Cow<'_, str> {
        resource.group.as_str().into()
    }

    fn version(resource: &ApiResource) -> Cow<'_, str> {
        resource.version.as_str().into()
    }

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        resource.kind.as_str().into()
    }

    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        resource.plural.as_str().into()
    }

    fn api_version(resource: &ApiResource) -> Cow<'_, str> {
        resource.api_version.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    generation: Option<i64>,
    resource_version: Option<String>,
    deletion_timestamp: Option<Time>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    owner_references: Option<Vec<OwnerReference>>,
}

/// `managedFields` is often the largest part of an object, and nobody reads it.
fn without_field_owners<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    let metadata = Metadata::deserialize(deserializer)?;
    Ok(ObjectMeta {
        name: metadata.name,
        namespace: metadata.namespace,
        uid: metadata.uid,
        generation: metadata.generation,
        resource_version: metadata.resource_version,
        deletion_timestamp: metadata.deletion_timestamp,
        labels: metadata.labels,
        annotations: metadata.annotations,
        owner_references: metadata.owner_references,
        ..ObjectMeta::default()
    })
}

pub(crate) fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// What deployments, stateful sets and daemon sets make pods of.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Template {
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) metadata: TemplateMetadata,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) spec: TemplateSpec,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct TemplateMetadata {
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) labels: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TemplateSpec {
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) init_containers: Vec<Container>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) containers: Vec<Container>,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Container {
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) image: String,
}

impl Template {
    /// Init containers first.
    pub(crate) fn images(&self) -> Vec<String> {
        let containers = self.spec.init_containers.iter().chain(&self.spec.containers);
        containers.map(|container| container.image.clone()).collect()
    }
}

/// One of an object's conditions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Condition {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// `True`, `False` or `Unknown`.
    pub(crate) status: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) reason: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) message: String,
    pub(crate) last_update_time: Option<chrono::DateTime<chrono::Utc>>,
    pub(crate) last_transition_time: Option<chrono::DateTime<chrono::Utc>>,
}

impl Condition {
    pub(crate) fn is(&self, kind: &str, status: &str) -> bool {
        self.kind == kind && self.status == status
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_reads_is_not_kept_and_what_is_null_is_empty() {
        let object: Slim<TemplateSpec, Nothing> = serde_json::from_str(
            r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","annotations":null,
                "managedFields":[{"fieldsV1":{"f:spec":{}}}]},"spec":{"containers":null},"status":null}"#,
        )
        .unwrap();
        assert_eq!(object.metadata.name.as_deref(), Some("a"));
        assert_eq!(object.metadata.managed_fields, None);
        assert!(object.spec.containers.is_empty());
    }
}

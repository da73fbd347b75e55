//! Which objects are ours: those with the annotations that a release puts on them.

use std::collections::BTreeMap;

use kube::api::ObjectMeta;

use crate::slim::Template;

const CONTROLLED: &str = "controlled-by-release-manager";
const ARTIFACT: &str = "artifact-id";
const AUTHOR: &str = "author";
const OBSERVED: &str = "observed-artifact-id";
const ALERTS: &str = "runtime-alerts";

/// The names of annotations: `<prefix>/artifact-id` and so on.
#[derive(Debug, Clone)]
pub struct Annotations {
    prefix: String,
}

/// An object that a release put into the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Managed {
    pub(crate) artifact_id: String,
    pub(crate) author_email: String,
    /// May be empty.
    pub(crate) squad: String,
    /// The artifact whose end was told already.
    pub(crate) observed: Option<String>,
    /// Empty: nobody is alerted.
    pub(crate) alert_channel: String,
}

impl Annotations {
    /// `prefix` is a domain, such as `lunarway.com`.
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.trim_end_matches('/').to_owned() }
    }

    /// The annotation that says which artifact was told of.
    pub(crate) fn observed(&self) -> String {
        format!("{}/{OBSERVED}", self.prefix)
    }

    /// `None`: the object is not ours, or is going away.
    pub(crate) fn read(&self, metadata: &ObjectMeta, template: Option<&Template>) -> Option<Managed> {
        if metadata.deletion_timestamp.is_some() {
            return None;
        }
        let get = |name: &str| self.get(metadata, name);
        let text = |name: &str| get(name).filter(|text| !text.is_empty()).map(str::to_owned);
        let (Some("true"), Some(artifact_id), Some(author_email)) =
            (get(CONTROLLED), text(ARTIFACT), text(AUTHOR))
        else {
            return None;
        };
        let squad = squad(metadata.labels.as_ref())
            .or_else(|| squad(template.map(|template| &template.metadata.labels)))
            .unwrap_or_default();
        let alert_channel = alert_channel(get(ALERTS), &squad);
        Some(Managed { artifact_id, author_email, squad, observed: text(OBSERVED), alert_channel })
    }

    fn get<'m>(&self, metadata: &'m ObjectMeta, name: &str) -> Option<&'m str> {
        let annotations = metadata.annotations.as_ref()?;
        annotations.get(&format!("{}/{name}", self.prefix)).map(String::as_str)
    }
}

fn squad(labels: Option<&BTreeMap<String, String>>) -> Option<String> {
    labels?.get("squad").filter(|squad| !squad.is_empty()).cloned()
}

fn alert_channel(annotation: Option<&str>, squad: &str) -> String {
    match annotation {
        Some("false") => String::new(),
        Some(channel) => channel.to_owned(),
        None => format!("#squad-{}-alerts", if squad.is_empty() { "no-one" } else { squad }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(metadata: Value, template: Value) -> Option<Managed> {
        let metadata = serde_json::from_value(metadata).unwrap();
        let template: Template = serde_json::from_value(template).unwrap();
        Annotations::new("lunarway.com").read(&metadata, Some(&template))
    }

    fn annotated(also: &[(&str, &str)]) -> Value {
        let ours = [("controlled-by-release-manager", "true"), ("artifact-id", "a-1"), ("author", "j@x.io")];
        let all = ours.iter().chain(also);
        let annotations: BTreeMap<_, _> =
            all.map(|(name, value)| (format!("lunarway.com/{name}"), *value)).collect();
        json!({"name": "svc", "annotations": annotations})
    }

    #[test]
    fn an_object_counts_only_with_all_of_the_annotations_and_while_it_stays() {
        assert!(read(annotated(&[]), json!({})).is_some());
        for (missing, value) in
            [("controlled-by-release-manager", "false"), ("artifact-id", ""), ("author", "")]
        {
            assert_eq!(read(annotated(&[(missing, value)]), json!({})), None, "{missing}");
        }
        for missing in ["controlled-by-release-manager", "artifact-id", "author"] {
            let mut metadata = annotated(&[]);
            metadata["annotations"].as_object_mut().unwrap().remove(&format!("lunarway.com/{missing}"));
            assert_eq!(read(metadata, json!({})), None, "{missing}");
        }
        let mut going = annotated(&[]);
        going["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        assert_eq!(read(going, json!({})), None);
        assert_eq!(read(json!({"name": "svc"}), json!({})), None);
    }

    #[test]
    fn the_prefix_of_annotations_can_be_another_one() {
        let metadata = serde_json::from_value(annotated(&[])).unwrap();
        assert_eq!(Annotations::new("example.com").read(&metadata, None), None);
        assert_eq!(Annotations::new("example.com/").observed(), "example.com/observed-artifact-id");
    }

    #[test]
    fn the_squad_is_the_objects_else_its_templates() {
        let template = json!({"metadata": {"labels": {"squad": "nova"}}});
        let mut metadata = annotated(&[]);
        assert_eq!(read(metadata.clone(), template.clone()).unwrap().squad, "nova");
        metadata["labels"] = json!({"squad": "aura"});
        assert_eq!(read(metadata, template).unwrap().squad, "aura");
        assert_eq!(read(annotated(&[]), json!({})).unwrap().squad, "");
    }

    #[test]
    fn alerts_go_to_the_squad_unless_the_object_says_otherwise() {
        let cases = [
            (None, "aura", "#squad-aura-alerts"),
            (None, "", "#squad-no-one-alerts"),
            (Some("false"), "aura", ""),
            (Some("#ops"), "aura", "#ops"),
            (Some("true"), "aura", "true"),
        ];
        for (annotation, squad, expected) in cases {
            assert_eq!(alert_channel(annotation, squad), expected, "{annotation:?} {squad}");
        }
    }
}

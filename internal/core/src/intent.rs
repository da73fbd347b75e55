//! Why somebody released: the wire form is fixed by existing clients.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What the releasing person (or policy) wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Intent {
    /// One artifact, chosen by its id.
    ReleaseArtifact,
    /// The newest artifact of a branch.
    ReleaseBranch { branch: String },
    /// What runs in another environment.
    Promote { from_environment: String },
    /// Back to an artifact released before; `previous_artifact_id` is the one that is left.
    Rollback { previous_artifact_id: String },
    /// An auto-release policy.
    AutoRelease,
}

impl Intent {
    /// The name on the wire and in commit trailers.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ReleaseArtifact => "ReleaseArtifact",
            Self::ReleaseBranch { .. } => "ReleaseBranch",
            Self::Promote { .. } => "Promote",
            Self::Rollback { .. } => "Rollback",
            Self::AutoRelease => "AutoRelease",
        }
    }

    /// The intent of this kind with its one detail; `None` for an unknown kind.
    pub fn from_kind(kind: &str, detail: &str) -> Option<Self> {
        let detail = detail.to_owned();
        Some(match kind {
            "ReleaseArtifact" => Self::ReleaseArtifact,
            "ReleaseBranch" => Self::ReleaseBranch { branch: detail },
            "Promote" => Self::Promote { from_environment: detail },
            "Rollback" => Self::Rollback { previous_artifact_id: detail },
            "AutoRelease" => Self::AutoRelease,
            _ => return None,
        })
    }

    /// The branch, environment or artifact id that belongs to the kind; empty where none does.
    pub fn detail(&self) -> &str {
        match self {
            Self::ReleaseBranch { branch } => branch,
            Self::Promote { from_environment } => from_environment,
            Self::Rollback { previous_artifact_id } => previous_artifact_id,
            Self::ReleaseArtifact | Self::AutoRelease => "",
        }
    }
}

/// All parts are always present; the one that belongs to the kind is filled.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Wire {
    #[serde(rename = "type")]
    kind: String,
    release_branch: WireBranch,
    promote: WirePromote,
    rollback: WireRollback,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireBranch {
    #[serde(skip_serializing_if = "String::is_empty")]
    branch: String,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WirePromote {
    #[serde(skip_serializing_if = "String::is_empty")]
    from_environment: String,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireRollback {
    #[serde(skip_serializing_if = "String::is_empty")]
    previous_artifact_id: String,
}

impl Serialize for Intent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut wire = Wire { kind: self.kind().to_owned(), ..Wire::default() };
        let detail = self.detail().to_owned();
        match self {
            Self::ReleaseBranch { .. } => wire.release_branch.branch = detail,
            Self::Promote { .. } => wire.promote.from_environment = detail,
            Self::Rollback { .. } => wire.rollback.previous_artifact_id = detail,
            Self::ReleaseArtifact | Self::AutoRelease => {}
        }
        wire.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Intent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = Wire::deserialize(deserializer)?;
        let detail = match wire.kind.as_str() {
            "ReleaseBranch" => wire.release_branch.branch,
            "Promote" => wire.promote.from_environment,
            "Rollback" => wire.rollback.previous_artifact_id,
            _ => String::new(),
        };
        Self::from_kind(&wire.kind, &detail).ok_or_else(|| {
            serde::de::Error::custom(format!(
                "type must be one of ReleaseArtifact, ReleaseBranch, Promote, Rollback, AutoRelease, not '{}'",
                wire.kind
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_form_has_every_part() {
        let cases = [
            (
                Intent::ReleaseArtifact,
                r#"{"type":"ReleaseArtifact","releaseBranch":{},"promote":{},"rollback":{}}"#,
            ),
            (
                Intent::ReleaseBranch { branch: "feature/x".into() },
                r#"{"type":"ReleaseBranch","releaseBranch":{"branch":"feature/x"},"promote":{},"rollback":{}}"#,
            ),
            (
                Intent::Promote { from_environment: "dev".into() },
                r#"{"type":"Promote","releaseBranch":{},"promote":{"fromEnvironment":"dev"},"rollback":{}}"#,
            ),
            (
                Intent::Rollback { previous_artifact_id: "m-1-2".into() },
                r#"{"type":"Rollback","releaseBranch":{},"promote":{},"rollback":{"previousArtifactId":"m-1-2"}}"#,
            ),
            (Intent::AutoRelease, r#"{"type":"AutoRelease","releaseBranch":{},"promote":{},"rollback":{}}"#),
        ];
        for (intent, json) in cases {
            assert_eq!(serde_json::to_string(&intent).unwrap(), json);
            assert_eq!(serde_json::from_str::<Intent>(json).unwrap(), intent);
        }
    }

    #[test]
    fn missing_parts_are_read_as_empty_and_unknown_kinds_are_named() {
        let short: Intent = serde_json::from_str(r#"{"type":"Promote"}"#).unwrap();
        assert_eq!(short, Intent::Promote { from_environment: String::new() });
        let error = serde_json::from_str::<Intent>(r#"{"type":"Nonsense"}"#).unwrap_err();
        assert!(error.to_string().contains("not 'Nonsense'"), "{error}");
    }
}

//! Wire types shared by the server and its clients.
//!
//! Everything outside [`v1`] is fixed by clients that exist in the field: names,
//! what is left out when empty, and what is always present. What this platform
//! adds lives in [`v1`], under `/api/v1/`.

mod policies;
pub mod v1;

use chrono::{DateTime, Utc};
use release_core::{Intent, Spec};
use serde::{Deserialize, Serialize};

pub use policies::{
    ApplyAutoReleaseRequest, ApplyAutoReleaseResponse, ApplyBranchRestrictionRequest,
    ApplyBranchRestrictionResponse, AutoReleasePolicy, BranchRestrictionPolicy, DeletePoliciesRequest,
    DeletePoliciesResponse, PoliciesResponse,
};

/// The request id that a client chose, echoed by the server and found in its logs.
pub const REQUEST_ID_HEADER: &str = "x-request-id";
/// The version of the calling program.
pub const CLI_VERSION_HEADER: &str = "x-cli-version";
/// Makes a repeated `POST /release` answer the first one's release instead of
/// releasing twice. Any text of at most 255 bytes; a random UUID is a good one.
pub const IDEMPOTENCY_KEY_HEADER: &str = "idempotency-key";

/// The body of every error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorResponse {
    pub status: u16,
    pub message: String,
}

/// `POST /release`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseRequest {
    pub service: String,
    pub environment: String,
    pub artifact_id: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub committer_name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub committer_email: String,
    pub intent: Intent,
}

/// The answer to `POST /release`. `status` is filled when there was nothing to do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReleaseResponse {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub service: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub release_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub status: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub to_environment: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tag: String,
}

/// `GET /status`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StatusResponse {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub default_namespaces: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub environments: Vec<Environment>,
}

/// What runs in one environment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Environment {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The artifact id.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tag: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub committer: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub author: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// When CI ended, in milliseconds since 1970.
    #[serde(skip_serializing_if = "is_zero")]
    pub date: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub build_url: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub high_vulnerabilities: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub medium_vulnerabilities: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub low_vulnerabilities: i64,
}

// The signature is serde's.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// `GET /describe/release/{service}/{environment}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescribeReleaseResponse {
    pub service: String,
    pub environment: String,
    /// Newest first.
    #[serde(default)]
    pub releases: Vec<Release>,
}

/// One release of the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// 0 is the current one.
    #[serde(default)]
    pub release_index: usize,
    pub artifact: Spec,
    pub released_at: DateTime<Utc>,
    #[serde(default)]
    pub released_by_email: String,
    #[serde(default)]
    pub released_by_name: String,
    pub intent: Intent,
}

/// `GET /describe/artifact/{service}` and `GET /describe/latest-artifact/{service}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescribeArtifactResponse {
    pub service: String,
    /// Newest first.
    #[serde(default)]
    pub artifacts: Vec<Spec>,
}

/// `POST /artifacts/create`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateArtifactRequest {
    pub artifact: Spec,
    /// The zip's MD5, in base64.
    pub md5: String,
}

/// The answer to `POST /artifacts/create`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateArtifactResponse {
    /// Takes one PUT of the zip with the header `Content-MD5`; valid for 15 minutes.
    pub artifact_upload_url: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_values_are_left_out_where_older_clients_expect_it() {
        assert_eq!(serde_json::to_string(&StatusResponse::default()).unwrap(), "{}");
        assert_eq!(serde_json::to_string(&ReleaseResponse::default()).unwrap(), "{}");
        assert_eq!(serde_json::to_string(&Environment::default()).unwrap(), "{}");
    }

    #[test]
    fn a_release_request_has_the_fields_names() {
        let request = ReleaseRequest {
            service: "svc".into(),
            environment: "dev".into(),
            artifact_id: "master-1-2".into(),
            committer_name: String::new(),
            committer_email: "j@x.io".into(),
            intent: Intent::ReleaseArtifact,
        };
        assert_eq!(
            serde_json::to_string(&request).unwrap(),
            r#"{"service":"svc","environment":"dev","artifactId":"master-1-2","committerEmail":"j@x.io","intent":{"type":"ReleaseArtifact","releaseBranch":{},"promote":{},"rollback":{}}}"#
        );
    }
}

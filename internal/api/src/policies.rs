//! `/policies…`

use serde::{Deserialize, Serialize};

/// `GET /policies`: what counts for the service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PoliciesResponse {
    pub service: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub auto_releases: Vec<AutoReleasePolicy>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub branch_restrictions: Vec<BranchRestrictionPolicy>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AutoReleasePolicy {
    pub id: String,
    pub branch: String,
    pub environment: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BranchRestrictionPolicy {
    /// Empty for a restriction that the server has for all services.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    pub branch_regex: String,
    pub environment: String,
}

/// `PATCH /policies/auto-release`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApplyAutoReleaseRequest {
    pub service: String,
    pub branch: String,
    pub environment: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub committer_name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub committer_email: String,
}

/// The answer to `PATCH /policies/auto-release`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ApplyAutoReleaseResponse {
    pub id: String,
    pub service: String,
    pub branch: String,
    pub environment: String,
}

/// `PATCH /policies/branch-restriction`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApplyBranchRestrictionRequest {
    pub service: String,
    pub branch_regex: String,
    pub environment: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub committer_name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub committer_email: String,
}

/// The answer to `PATCH /policies/branch-restriction`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ApplyBranchRestrictionResponse {
    pub id: String,
    pub service: String,
    pub branch_regex: String,
    pub environment: String,
}

/// `DELETE /policies`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeletePoliciesRequest {
    pub service: String,
    pub policy_ids: Vec<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub committer_name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub committer_email: String,
}

/// The answer to `DELETE /policies`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeletePoliciesResponse {
    pub service: String,
    /// How many were deleted.
    pub count: usize,
}

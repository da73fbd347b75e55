//! New artifacts, and what is known of the old ones.

use release_api::DescribeArtifactResponse;
use release_core::{Name, Spec};
use release_storage::Checksum;

use crate::{Flow, FlowError, suggest::did_you_mean};

impl Flow {
    /// The URL that takes the zip of this artifact, `md5` being its MD5 in base64.
    pub async fn create_artifact(&self, spec: Spec, md5: String) -> Result<String, FlowError> {
        let name = |field: &str, value: &str| {
            Name::new(value).map_err(|problem| FlowError::Invalid(format!("artifact.{field}: {problem}")))
        };
        let (service, id) = (name("service", &spec.service)?, name("id", &spec.id)?);
        let md5 =
            Checksum::from_base64(&md5).map_err(|problem| FlowError::Invalid(format!("md5: {problem}")))?;
        Ok(self.backends.storage.upload_url(&service, &id, md5).await?.into())
    }

    /// Newest first, of all branches or of one. A service without artifacts is
    /// an error that names similar ones; a branch without artifacts is not.
    pub async fn describe_artifacts(
        &self,
        service: Name,
        branch: Option<String>,
        count: usize,
    ) -> Result<DescribeArtifactResponse, FlowError> {
        let storage = &self.backends.storage;
        let newest = storage.newest(&service, branch.as_deref(), count).await?;
        if newest.is_empty() && storage.ids(&service).await?.is_empty() {
            let hint = did_you_mean(&service, &storage.services().await?);
            return Err(FlowError::NotFound(format!("service '{service}' has no artifacts{hint}")));
        }
        let artifacts = newest.into_iter().map(|summary| summary.spec.clone()).collect();
        Ok(DescribeArtifactResponse { service: service.to_string(), artifacts })
    }

    /// The newest artifact of a branch; a branch without artifacts is an error.
    pub async fn latest_artifact(
        &self,
        service: Name,
        branch: String,
    ) -> Result<DescribeArtifactResponse, FlowError> {
        let found = self.describe_artifacts(service.clone(), Some(branch.clone()), 1).await?;
        if found.artifacts.is_empty() {
            return Err(FlowError::Invalid(format!(
                "service '{service}' has no artifact of branch '{branch}'"
            )));
        }
        Ok(found)
    }
}

//! `/policies…`

use release_api::{
    ApplyAutoReleaseRequest, ApplyAutoReleaseResponse, ApplyBranchRestrictionRequest,
    ApplyBranchRestrictionResponse, DeletePoliciesRequest, DeletePoliciesResponse, PoliciesResponse,
};
use reqwest::Method;

use crate::{
    Client, ClientError,
    call::{Call, Repeat},
};

impl Client {
    /// `GET /policies`; none when the service has none.
    pub async fn policies(&self, service: &str) -> Result<PoliciesResponse, ClientError> {
        let mut url = self.endpoint(&["policies"])?;
        url.query_pairs_mut().append_pair("service", service);
        match self.send(&Call::get(url)).await {
            Err(ClientError::Refused { status: 404, .. }) => {
                Ok(PoliciesResponse { service: service.to_owned(), ..PoliciesResponse::default() })
            }
            result => result,
        }
    }

    /// `PATCH /policies/auto-release`. Applying twice is applying once, so it is repeated like a reading call.
    pub async fn apply_auto_release(
        &self,
        request: &ApplyAutoReleaseRequest,
    ) -> Result<ApplyAutoReleaseResponse, ClientError> {
        let url = self.endpoint(&["policies", "auto-release"])?;
        self.send(&Call::with_body(Method::PATCH, url, request, Repeat::Always)).await
    }

    /// `PATCH /policies/branch-restriction`. Applying twice is applying once, so it is repeated like
    /// a reading call.
    pub async fn apply_branch_restriction(
        &self,
        request: &ApplyBranchRestrictionRequest,
    ) -> Result<ApplyBranchRestrictionResponse, ClientError> {
        let url = self.endpoint(&["policies", "branch-restriction"])?;
        self.send(&Call::with_body(Method::PATCH, url, request, Repeat::Always)).await
    }

    /// `DELETE /policies`. Not repeated when it may have worked: the second time there would be
    /// nothing to delete, which is an error.
    pub async fn delete_policies(
        &self,
        request: &DeletePoliciesRequest,
    ) -> Result<DeletePoliciesResponse, ClientError> {
        let url = self.endpoint(&["policies"])?;
        self.send(&Call::with_body(Method::DELETE, url, request, Repeat::IfNotAccepted)).await
    }
}

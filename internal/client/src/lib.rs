//! Typed HTTP client of the release server, ours or one of the field's.
//!
//! Every request carries a fresh `x-request-id`, the program's version and the
//! token. What may be repeated safely is repeated a few times; see [`Client`].

mod call;
mod config;
mod error;
mod identity;
mod policies;
mod rollouts;
mod upload;
mod v1;

use release_api::{
    CreateArtifactRequest, CreateArtifactResponse, DescribeArtifactResponse, DescribeReleaseResponse,
    ReleaseRequest, ReleaseResponse, StatusResponse,
};
pub use release_core::Secret;
use release_core::Spec;
pub use reqwest::Url;

use call::{Call, Repeat};
pub use config::{BaseUrlError, ClientConfig, parse_base_url};
pub use error::ClientError;
pub use identity::{
    Credentials, DeviceLogin, Identity, MachineLogin, ProviderConfig, ProviderError, ProviderUrlError,
    Session, TokenError, TokenFile, TokenFileError, parse_provider_url,
};
pub use v1::DoraQuery;

/// The release server, as a client sees it.
///
/// Reading calls and [`Client::create_artifact`] are repeated when the server
/// cannot be reached, is unavailable (502, 503, 504), or the connection breaks.
/// [`Client::release`] and the calls that change events or delete policies are only repeated when
/// it is certain that nothing was accepted: no connection was made, or the
/// answer was 503. A release whose connection breaks half-way is not repeated:
/// servers in the field do not know idempotency keys and would release twice.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    config: std::sync::Arc<ClientConfig>,
}

impl Client {
    /// Connects to nothing yet.
    pub fn new(config: ClientConfig) -> Result<Self, ClientError> {
        Ok(Self { http: call::http_client(config.timeout)?, config: std::sync::Arc::new(config) })
    }

    /// `POST /release`. Its idempotency key is the same when it is repeated.
    pub async fn release(&self, request: &ReleaseRequest) -> Result<ReleaseResponse, ClientError> {
        let call = Call::post(self.endpoint(&["release"])?, request, Repeat::IfNotAccepted);
        self.send(&call.with_idempotency_key()).await
    }

    /// `GET /status`. An empty namespace is the one named like each environment.
    pub async fn status(&self, service: &str, namespace: &str) -> Result<StatusResponse, ClientError> {
        let mut url = self.endpoint(&["status"])?;
        url.query_pairs_mut().append_pair("service", service);
        append_unless_empty(&mut url, "namespace", namespace);
        self.send(&Call::get(url)).await
    }

    /// `GET /describe/release/…`: the last `count` releases, newest first.
    pub async fn describe_release(
        &self,
        service: &str,
        environment: &str,
        count: u32,
        namespace: &str,
    ) -> Result<DescribeReleaseResponse, ClientError> {
        let mut url = self.endpoint(&["describe", "release", service, environment])?;
        url.query_pairs_mut().append_pair("count", &count.to_string());
        append_unless_empty(&mut url, "namespace", namespace);
        self.send(&Call::get(url)).await
    }

    /// `GET /describe/artifact/…`: the last `count` artifacts, newest first; an
    /// empty branch means all branches.
    pub async fn describe_artifacts(
        &self,
        service: &str,
        count: u32,
        branch: &str,
    ) -> Result<DescribeArtifactResponse, ClientError> {
        let mut url = self.endpoint(&["describe", "artifact", service])?;
        url.query_pairs_mut().append_pair("count", &count.to_string());
        append_unless_empty(&mut url, "branch", branch);
        self.send(&Call::get(url)).await
    }

    /// `GET /describe/latest-artifact/…`
    pub async fn latest_artifact(&self, service: &str, branch: &str) -> Result<Spec, ClientError> {
        let mut url = self.endpoint(&["describe", "latest-artifact", service])?;
        url.query_pairs_mut().append_pair("branch", branch);
        let response: DescribeArtifactResponse = self.send(&Call::get(url)).await?;
        let no_artifact =
            || ClientError::NoArtifact { service: service.to_owned(), branch: branch.to_owned() };
        response.artifacts.into_iter().next().ok_or_else(no_artifact)
    }

    /// `POST /artifacts/create`: asks for the URL that [`Client::upload`] takes.
    pub async fn create_artifact(
        &self,
        request: &CreateArtifactRequest,
    ) -> Result<CreateArtifactResponse, ClientError> {
        // Asking twice only makes two URLs.
        let url = self.endpoint(&["artifacts", "create"])?;
        self.send(&Call::post(url, request, Repeat::Always)).await
    }

    /// The base URL with these path segments, each percent-encoded.
    fn endpoint(&self, segments: &[&str]) -> Result<Url, ClientError> {
        // The URL standard resolves dot segments even when they are encoded.
        if let Some(name) = segments.iter().find(|segment| matches!(**segment, "" | "." | "..")) {
            return Err(ClientError::BadName((*name).to_owned()));
        }
        let mut url = self.config.base_url.clone();
        url.path_segments_mut().expect("an http URL has a path").pop_if_empty().extend(segments);
        Ok(url)
    }
}

fn append_unless_empty(url: &mut Url, key: &str, value: &str) {
    if !value.is_empty() {
        url.query_pairs_mut().append_pair(key, value);
    }
}

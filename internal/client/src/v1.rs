//! Calls that older servers and those of the field do not have.

use release_api::v1::{
    DoraResponse, EnvironmentStatus, EnvironmentsResponse, EventsResponse, ReleaseStatus, ServicesResponse,
    StatusResponse,
};
use reqwest::Method;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::{Client, ClientError, append_unless_empty, call::Call};

/// What [`Client::dora`] asks for. What is empty does not matter.
#[derive(Debug, Clone, Copy, Default)]
pub struct DoraQuery<'a> {
    pub service: &'a str,
    pub squad: &'a str,
    pub environment: &'a str,
    /// 1 to 365, back from now.
    pub days: u16,
}

impl Client {
    /// `GET /api/v1/releases/{id}`
    pub async fn release_status(&self, id: &str) -> Result<ReleaseStatus, ClientError> {
        self.get_v1(&["releases", id], "tell how far a release is").await
    }

    /// `GET /api/v1/status`: [`Client::status`] with what is true in the clusters, as far as
    /// the server can tell; an older one cannot.
    pub async fn status_with_rollouts(
        &self,
        service: &str,
        namespace: &str,
    ) -> Result<StatusResponse, ClientError> {
        let mut url = self.endpoint(&["api", "v1", "status"])?;
        url.query_pairs_mut().append_pair("service", service);
        append_unless_empty(&mut url, "namespace", namespace);
        let told =
            self.send(&Call::get(url)).await.map_err(|error| or_unsupported(error, "tell of rollouts"));
        match told {
            Err(ClientError::Unsupported { .. }) => {
                let status = self.status(service, namespace).await?;
                let environments = status.environments.into_iter().map(EnvironmentStatus::from).collect();
                Ok(StatusResponse { default_namespaces: status.default_namespaces, environments })
            }
            told => told,
        }
    }

    /// `GET /api/v1/metrics/dora`
    pub async fn dora(&self, query: DoraQuery<'_>) -> Result<DoraResponse, ClientError> {
        let mut url = self.endpoint(&["api", "v1", "metrics", "dora"])?;
        url.query_pairs_mut().append_pair("days", &query.days.to_string());
        append_unless_empty(&mut url, "service", query.service);
        append_unless_empty(&mut url, "squad", query.squad);
        append_unless_empty(&mut url, "environment", query.environment);
        self.send(&Call::get(url))
            .await
            .map_err(|error| or_unsupported(error, "tell how software is delivered"))
    }

    /// `GET /api/v1/environments`
    pub async fn environments(&self) -> Result<EnvironmentsResponse, ClientError> {
        self.get_v1(&["environments"], "list environments").await
    }

    /// `GET /api/v1/services`
    pub async fn services(&self) -> Result<ServicesResponse, ClientError> {
        self.get_v1(&["services"], "list services").await
    }

    /// `GET /api/v1/events`
    pub async fn events(&self) -> Result<EventsResponse, ClientError> {
        self.get_v1(&["events"], "list events").await
    }

    /// `POST /api/v1/events/{id}/retry`: puts a dead event back into the queue.
    pub async fn retry_event(&self, id: Uuid) -> Result<(), ClientError> {
        let url = self.endpoint(&["api", "v1", "events", &id.to_string(), "retry"])?;
        let result = self.send_without_answer(&Call::change(Method::POST, url)).await;
        result.map_err(|error| or_unsupported(error, "retry an event"))
    }

    /// `DELETE /api/v1/events/{id}`: forgets a dead event.
    pub async fn drop_event(&self, id: Uuid) -> Result<(), ClientError> {
        let url = self.endpoint(&["api", "v1", "events", &id.to_string()])?;
        let result = self.send_without_answer(&Call::change(Method::DELETE, url)).await;
        result.map_err(|error| or_unsupported(error, "drop an event"))
    }

    async fn get_v1<T: DeserializeOwned>(&self, path: &[&str], what: &'static str) -> Result<T, ClientError> {
        let url = self.endpoint(&[&["api", "v1"], path].concat())?;
        self.send(&Call::get(url)).await.map_err(|error| or_unsupported(error, what))
    }
}

/// A server that has the endpoint says in its own words what it did not find;
/// one that has not answers with its router's bare 404 or 405.
pub(crate) fn or_unsupported(error: ClientError, what: &'static str) -> ClientError {
    match error {
        ClientError::NotTheServer { status: 404 | 405, request_id, .. } => {
            ClientError::Unsupported { what, request_id }
        }
        error => error,
    }
}

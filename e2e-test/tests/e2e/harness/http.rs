//! Requests as they are on the wire, for what our own client does not let one do.

use release_api::IDEMPOTENCY_KEY_HEADER;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Audience, Server, server::Audience::Hamctl};

/// What the server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Null when it is no JSON.
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }

    /// Of a release that was accepted and will become a commit.
    pub(crate) fn release_id(&self) -> Option<Uuid> {
        self.body["releaseId"].as_str()?.parse().ok()
    }
}

/// One `POST /release`.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) service: String,
    pub(crate) environment: String,
    pub(crate) artifact_id: String,
    pub(crate) key: Uuid,
}

impl Order {
    pub(crate) fn new(service: &str, environment: &str, artifact_id: &str) -> Self {
        Self {
            service: service.to_owned(),
            environment: environment.to_owned(),
            artifact_id: artifact_id.to_owned(),
            key: Uuid::new_v4(),
        }
    }

    pub(crate) fn body(&self) -> Value {
        json!({
            "service": self.service,
            "environment": self.environment,
            "artifactId": self.artifact_id,
            "committerName": "Jane Doe",
            "committerEmail": "jane@example.com",
            "intent": {"type": "ReleaseArtifact"},
        })
    }
}

/// Calls a server as one audience. Outlives the server's restarts.
#[derive(Clone)]
pub(crate) struct Caller {
    http: reqwest::Client,
    base_url: String,
    token: String,
}

impl Server {
    pub(crate) fn caller(&self, audience: Audience) -> Caller {
        Caller { http: self.http.clone(), base_url: self.url(""), token: self.token(audience) }
    }

    /// With a token of its own, as of an identity provider.
    pub(crate) fn caller_with(&self, token: &str) -> Caller {
        Caller { token: token.to_owned(), ..self.caller(Hamctl) }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        answer(self.caller(Hamctl).request(Method::GET, path)).await.expect("an answer")
    }

    /// The id of an accepted release.
    pub(crate) async fn accepted(&self, order: &Order) -> Uuid {
        let answer = self.caller(Hamctl).order(order).await.expect("an answer");
        answer.release_id().unwrap_or_else(|| panic!("{order:?} was not accepted: {answer:?}"))
    }

    /// The bytes of a release request, for a connection of one's own.
    pub(crate) fn order_on_the_wire(&self, order: &Order) -> Vec<u8> {
        let body = order.body().to_string();
        let headers = [
            "POST /release HTTP/1.1".to_owned(),
            "Host: localhost".to_owned(),
            format!("Authorization: Bearer {}", self.token(Hamctl)),
            format!("{IDEMPOTENCY_KEY_HEADER}: {}", order.key),
            format!("Content-Length: {}", body.len()),
        ];
        format!("{}\r\n\r\n{body}", headers.join("\r\n")).into_bytes()
    }
}

impl Caller {
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base_url)).bearer_auth(&self.token)
    }

    /// An error means that there was no answer.
    pub(crate) async fn order(&self, order: &Order) -> reqwest::Result<Answer> {
        let request = self.request(Method::POST, "/release");
        answer(request.header(IDEMPOTENCY_KEY_HEADER, order.key.to_string()).json(&order.body())).await
    }
}

pub(crate) async fn answer(request: RequestBuilder) -> reqwest::Result<Answer> {
    let response = request.send().await?;
    let status = response.status().as_u16();
    let body = response.bytes().await?;
    Ok(Answer { status, body: serde_json::from_slice(&body).unwrap_or_default() })
}

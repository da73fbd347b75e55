//! One request: sent, repeated where that is safe, and its answer read.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use release_api::{CLI_VERSION_HEADER, IDEMPOTENCY_KEY_HEADER, REQUEST_ID_HEADER};
use release_core::Secret;
use reqwest::{
    Method, RequestBuilder, Response, StatusCode, Url,
    header::{CONTENT_TYPE, LOCATION},
    redirect,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tracing::{Instrument as _, info_span};
use uuid::Uuid;

use crate::{Client, ClientError, error::root_cause};

/// The largest answer that is read. A hundred described releases are about 1 MiB.
const MAX_ANSWER: usize = 16 * 1024 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// When a call may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Sending it twice does no harm.
    Always,
    /// Only when it is certain that the server did not take it.
    IfNotAccepted,
}

impl Repeat {
    fn allows(self, error: &ClientError) -> bool {
        match self {
            Self::Always => error.is_transient(),
            Self::IfNotAccepted => error.was_not_accepted(),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Call {
    method: Method,
    url: Url,
    body: Option<Vec<u8>>,
    idempotency_key: Option<Uuid>,
    repeat: Repeat,
}

impl Call {
    pub(crate) fn get(url: Url) -> Self {
        Self { method: Method::GET, url, body: None, idempotency_key: None, repeat: Repeat::Always }
    }

    pub(crate) fn post<T: Serialize>(url: Url, body: &T, repeat: Repeat) -> Self {
        Self::with_body(Method::POST, url, body, repeat)
    }

    pub(crate) fn with_body<T: Serialize>(method: Method, url: Url, body: &T, repeat: Repeat) -> Self {
        let body = serde_json::to_vec(body).expect("wire types have only texts, numbers and times");
        Self { method, body: Some(body), repeat, ..Self::get(url) }
    }

    /// A call without a body that changes something.
    pub(crate) fn change(method: Method, url: Url) -> Self {
        Self { method, repeat: Repeat::IfNotAccepted, ..Self::get(url) }
    }

    pub(crate) fn with_idempotency_key(self) -> Self {
        self.with_this_idempotency_key(Uuid::new_v4())
    }

    /// For what has an id of its own.
    pub(crate) fn with_this_idempotency_key(self, id: Uuid) -> Self {
        Self { idempotency_key: Some(id), ..self }
    }
}

pub(crate) fn http_client(timeout: Duration) -> Result<reqwest::Client, ClientError> {
    reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT.min(timeout))
        .redirect(redirect::Policy::none())
        .user_agent(concat!("release-client/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| ClientError::Setup { cause: root_cause(&error) })
}

/// Three more attempts within about three seconds.
pub(crate) fn backoff() -> ExponentialBuilder {
    ExponentialBuilder::new().with_jitter().with_min_delay(Duration::from_millis(200)).with_max_times(3)
}

impl Client {
    pub(crate) async fn send<T: DeserializeOwned>(&self, call: &Call) -> Result<T, ClientError> {
        let body = self.send_for_body(call).await?;
        decode(&body.bytes).map_err(|error| ClientError::Unreadable {
            cause: error.to_string(),
            request_id: body.request_id,
        })
    }

    /// For answers that say nothing beyond "done".
    pub(crate) async fn send_without_answer(&self, call: &Call) -> Result<(), ClientError> {
        self.send_for_body(call).await.map(drop)
    }

    async fn send_for_body(&self, call: &Call) -> Result<Body, ClientError> {
        let attempt = || self.attempt(call);
        attempt.retry(backoff()).when(|error| call.repeat.allows(error)).await
    }

    async fn attempt(&self, call: &Call) -> Result<Body, ClientError> {
        let request_id = Uuid::new_v4();
        let failed = |error: reqwest::Error| self.transport_error(&error, &call.url, request_id);
        let token = self.config.credentials.token().await.map_err(ClientError::NoToken)?;
        let name = format!("{} {}", call.method, call.url.path());
        let span = info_span!("call", "otel.name" = name, "otel.kind" = "client", %request_id);
        let sent = async { self.request(call, request_id, token.as_ref()).send().await };
        let response = sent.instrument(span).await.map_err(failed)?;
        let status = response.status();
        if status.is_redirection() {
            return Err(redirected(&response, &call.url, request_id));
        }
        let bytes = read_bounded(response, MAX_ANSWER).await.map_err(failed)?;
        let bytes = bytes.ok_or(ClientError::TooLarge { limit: MAX_ANSWER, request_id })?;
        if status.is_success() {
            return success(bytes, status, &call.url, request_id);
        }
        if status == StatusCode::UNAUTHORIZED {
            self.config.credentials.forget().await;
        }
        Err(refusal(status, &bytes, &call.url, request_id))
    }

    fn request(&self, call: &Call, request_id: Uuid, token: Option<&Secret>) -> RequestBuilder {
        let mut request = self
            .http
            .request(call.method.clone(), call.url.clone())
            .timeout(self.config.timeout)
            .header(REQUEST_ID_HEADER, request_id.to_string())
            .header(CLI_VERSION_HEADER, &self.config.cli_version);
        if let Some(trace) = (self.config.trace)() {
            request = request.header("traceparent", trace);
        }
        if let Some(token) = token {
            request = request.bearer_auth(token.expose());
        }
        if let Some(key) = call.idempotency_key {
            request = request.header(IDEMPOTENCY_KEY_HEADER, key.to_string());
        }
        if let Some(body) = &call.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.clone());
        }
        request
    }

    pub(crate) fn transport_error(&self, error: &reqwest::Error, url: &Url, request_id: Uuid) -> ClientError {
        let url = shown(url);
        if error.is_builder() {
            // A token with a line break in it, for example.
            return ClientError::Setup { cause: root_cause(error) };
        }
        if error.is_connect() {
            return ClientError::Unreachable { url, cause: root_cause(error) };
        }
        if error.is_timeout() {
            return ClientError::TimedOut { url, timeout: self.config.timeout, request_id };
        }
        ClientError::Interrupted { url, cause: root_cause(error), request_id }
    }
}

struct Body {
    bytes: Vec<u8>,
    request_id: Uuid,
}

/// `None` when the answer is larger than `limit` bytes.
pub(crate) async fn read_bounded(
    mut response: Response,
    limit: usize,
) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if bytes.len() + chunk.len() > limit {
            return Ok(None);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some(bytes))
}

/// A login page of a proxy is a 200, too.
fn success(bytes: Vec<u8>, status: StatusCode, url: &Url, request_id: Uuid) -> Result<Body, ClientError> {
    let looks_like_json = matches!(bytes.trim_ascii_start().first(), None | Some(b'{' | b'['));
    if looks_like_json {
        return Ok(Body { bytes, request_id });
    }
    Err(ClientError::NotTheServer { url: shown(url), status: status.as_u16(), request_id })
}

fn refusal(status: StatusCode, bytes: &[u8], url: &Url, request_id: Uuid) -> ClientError {
    let code = status.as_u16();
    let message = message_of(bytes, code);
    match (code, message) {
        (401, message) => {
            let message =
                message.unwrap_or_else(|| "the server does not accept the token, or wants one".to_owned());
            ClientError::Unauthorized { message, request_id }
        }
        (_, None) => ClientError::NotTheServer { url: shown(url), status: code, request_id },
        (400..500, Some(message)) => ClientError::Refused { status: code, message, request_id },
        (_, Some(message)) => ClientError::ServerFailed { status: code, message, request_id },
    }
}

/// Routers of the field's servers answer unknown paths with a message, too, but
/// without the `status` that the endpoints put beside it.
fn message_of(bytes: &[u8], code: u16) -> Option<String> {
    let answer: Value = serde_json::from_slice(bytes).ok()?;
    if matches!(code, 404 | 405) && answer.get("status").is_none() {
        return None;
    }
    Some(answer.get("message")?.as_str()?.to_owned())
}

fn redirected(response: &Response, url: &Url, request_id: Uuid) -> ClientError {
    let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    let location = location.and_then(|location| url.join(location).ok());
    ClientError::Redirected {
        url: shown(url),
        status: response.status().as_u16(),
        location: location.as_ref().map_or_else(|| "another place".to_owned(), shown),
        request_id,
    }
}

/// Scheme, host and port: what a person can check, and never a secret.
pub(crate) fn shown(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// Servers in the field write `null` where ours leave a list or text out.
fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    let mut value: Value = serde_json::from_slice(bytes)?;
    drop_nulls(&mut value);
    serde_json::from_value(value)
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(drop_nulls);
        }
        _ => {}
    }
}
